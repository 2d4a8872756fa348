// The widget of the small task, with its worker from a file of ours: nothing is inline.
import "../vendor/altcha.min.js";
import "../vendor/altcha-ru.js";
import "../vendor/altcha-pt-br.js";

const worker = new URL("../vendor/altcha-pbkdf2.js", import.meta.url);

globalThis.$altcha.algorithms.set("PBKDF2/SHA-256", () => new Worker(worker));

// A form that is sent before the task is solved waits for it; after a failure the server says why.
for (const widget of document.querySelectorAll("altcha-widget")) {
  const form = widget.closest("form");
  let state = "unverified";
  let waiting = null;

  widget.addEventListener("statechange", (event) => {
    state = event.detail.state;
    if (!waiting || !["verified", "error", "expired"].includes(state)) return;
    const { submitter } = waiting;
    waiting = null;
    // The widget puts its answer into the form only after this event.
    setTimeout(() => form.requestSubmit(submitter));
  });
  form.addEventListener(
    "submit",
    (event) => {
      if (["verified", "error", "expired"].includes(state)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const isFirst = waiting === null;
      waiting = { submitter: event.submitter };
      if (isFirst && state === "unverified") widget.verify();
    },
    { capture: true },
  );
}
