// One stream of hints for all tabs of a browser. A hint names what changed ("bot:12"); it becomes
// an event of that name on <body>, and blocks with hx-trigger="bot:12 from:body" read themselves
// again. After a lost stream or a hidden tab everything is read again ("refresh"), never replayed.

const LOST_AFTER_MS = 20_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
const SAME_TOPIC_MS = 1_000;
const CATCH_UP_AFTER_MS = 2_000;

const lastSent = new Map();
let hiddenSince = 0;
let lostTimer = 0;
let lostSince = null;
let caughtUp = false;

function trigger(name) {
  document.body.dispatchEvent(new CustomEvent(name));
}

// At most one event a topic and second; the last one of a burst is never swallowed.
function tell(topic) {
  const now = Date.now();
  const next = (lastSent.get(topic) ?? 0) + SAME_TOPIC_MS;
  if (next > now + SAME_TOPIC_MS) return;
  const at = Math.max(now, next);
  lastSent.set(topic, at);
  setTimeout(() => document.hidden || trigger(topic), at - now);
}

function showLost() {
  const bar = document.getElementById("stream-bar");
  if (!bar) return;
  const clock = lostSince.toLocaleTimeString(document.documentElement.lang, { hour12: false });
  bar.textContent = bar.dataset.text.replace("{time}", clock);
  bar.hidden = false;
  // A stream doesn't tell why it was refused. If the person has logged out elsewhere, reading the
  // blocks again leads to the log-in page.
  trigger("refresh");
}

function markLost() {
  if (lostSince) return;
  lostSince = new Date();
  lostTimer = setTimeout(showLost, LOST_AFTER_MS);
}

function markOpen() {
  clearTimeout(lostTimer);
  const bar = document.getElementById("stream-bar");
  if (bar) bar.hidden = true;
  if (lostSince) trigger("refresh");
  lostSince = null;
  catchUp();
}

// What changed after the page was drawn and before the stream was open has sent its hint into the
// void, so the blocks are read once more.
function catchUp() {
  if (caughtUp) return;
  caughtUp = true;
  trigger("refresh");
}

// Keeps the stream open until `stop` settles; the server may close it at any time.
function listen(address, report) {
  let pause = FIRST_PAUSE_MS;
  const connect = () => {
    const source = new EventSource(address);
    source.addEventListener("open", () => {
      pause = FIRST_PAUSE_MS;
      report({ state: "open" });
    });
    source.addEventListener("message", (event) => report(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      source.close();
      report({ state: "lost" });
      setTimeout(connect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    });
    window.addEventListener("pagehide", () => source.close(), { once: true });
  };
  connect();
}

function take(message) {
  if (message.state === "open") markOpen();
  else if (message.state === "lost") markLost();
  // "resync": the server has lost count of what this browser was told.
  else if (message.topic === "resync") trigger("refresh");
  else if (typeof message.topic === "string") tell(message.topic);
}

export function openStream(address) {
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("botyard-stream") : null;
  if (channel) channel.addEventListener("message", (event) => take(event.data));
  const report = (message) => {
    take(message);
    channel?.postMessage(message);
  };
  // The tab that holds the lock listens for all; when it closes, the next one takes over.
  if (channel && navigator.locks) {
    navigator.locks.request("botyard-stream", () => {
      listen(address, report);
      return new Promise(() => {});
    });
  } else {
    listen(address, take);
  }
  // Another tab may hold the stream already; then no "open" is told to this one.
  setTimeout(catchUp, CATCH_UP_AFTER_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenSince = Date.now();
    else if (Date.now() - hiddenSince > SAME_TOPIC_MS) trigger("refresh");
  });
}
