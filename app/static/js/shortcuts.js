// Keyboard shortcuts. The list that `?` shows is also what the keys do: entries carry data-keys and
// either data-go (an address) or data-find (a field to go to). They can be switched off in that list.
const STORE = "shortcuts";
const TWO_KEYS_MS = 1200;

export function isTyping(target) {
  // A field of a dialog that was just closed keeps the focus until the browser paints again.
  if (target.closest?.("dialog:not([open])")) return false;
  return target.closest?.("input, select, textarea, [contenteditable]") !== null;
}

export function isOff() {
  try {
    return localStorage.getItem(STORE) === "off";
  } catch {
    return false;
  }
}

function switchTo(on) {
  try {
    localStorage.setItem(STORE, on ? "on" : "off");
  } catch {
    // A browser that keeps nothing keeps them on.
  }
}

function find(selector) {
  const field = [...document.querySelectorAll(selector)].find((each) => each.offsetParent !== null);
  field?.focus();
  field?.select?.();
  return Boolean(field);
}

export function watchShortcuts() {
  const list = document.getElementById("shortcut-list");
  if (!list) return;
  const entries = new Map([...list.querySelectorAll("[data-keys]")].map((entry) => [entry.dataset.keys, entry]));
  let first = "";
  let timer = 0;

  const act = (keys) => {
    const entry = entries.get(keys);
    if (!entry) return false;
    if (entry.dataset.go) window.location.assign(entry.dataset.go);
    else if (entry.dataset.find) return find(entry.dataset.find);
    else list.showModal();
    return true;
  };

  document.addEventListener("keydown", (event) => {
    const withOthers = event.ctrlKey || event.metaKey || event.altKey;
    if (withOthers || event.defaultPrevented || isOff() || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const keys = first ? `${first} ${event.key}` : event.key;
    clearTimeout(timer);
    first = "";
    if (act(keys) || (keys !== event.key && act(event.key))) {
      event.preventDefault();
    } else if ([...entries.keys()].some((known) => known.startsWith(`${event.key} `))) {
      first = event.key;
      timer = setTimeout(() => { first = ""; }, TWO_KEYS_MS);
    }
  });

  const box = list.querySelector("[data-shortcuts-on]");
  box.checked = !isOff();
  box.addEventListener("change", () => switchTo(box.checked));
  for (const button of document.querySelectorAll("[data-open-shortcuts]")) {
    button.addEventListener("click", () => list.showModal());
  }
}
