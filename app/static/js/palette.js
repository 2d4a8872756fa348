// Ctrl-K or ⌘K: a list of pages and own bots, found by typing and walked by arrow keys.
import { isOff, isTyping } from "./shortcuts.js";

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

export function watchPalette() {
  const dialog = document.getElementById("go-to");
  if (!dialog) return;
  const field = dialog.querySelector("input");
  const list = dialog.querySelector("[role=listbox]");
  const none = dialog.querySelector("[data-none]");
  const pages = list.innerHTML;
  let chosen = null;

  const shown = () => [...list.children].filter((option) => !option.hidden);

  const choose = (option) => {
    chosen?.setAttribute("aria-selected", "false");
    chosen = option ?? null;
    if (!chosen) {
      field.removeAttribute("aria-activedescendant");
      return;
    }
    chosen.setAttribute("aria-selected", "true");
    field.setAttribute("aria-activedescendant", chosen.id);
    chosen.scrollIntoView({ block: "nearest" });
  };

  const filter = () => {
    const words = plain(field.value).split(/\s+/).filter(Boolean);
    for (const option of list.children) {
      const text = plain(option.textContent);
      option.hidden = !words.every((word) => text.includes(word));
    }
    const found = shown();
    none.textContent = found.length ? "" : none.dataset.text;
    choose(found[0]);
  };

  const number = () => [...list.children].forEach((option, place) => { option.id = `palette-${place}`; });

  const addBots = async () => {
    const answer = await fetch(dialog.dataset.bots, { credentials: "same-origin" }).catch(() => null);
    // Without them the pages are still there.
    if (!answer?.ok || answer.redirected) return;
    list.innerHTML = pages + (await answer.text());
    number();
    filter();
  };

  const open = () => {
    if (dialog.open || document.querySelector("dialog[open]")) return;
    list.innerHTML = pages;
    number();
    field.value = "";
    filter();
    dialog.showModal();
    field.focus();
    addBots();
  };

  const step = (by) => {
    const found = shown();
    if (found.length) choose(found[(found.indexOf(chosen) + by + found.length) % found.length]);
  };

  field.addEventListener("input", filter);
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") step(1);
    else if (event.key === "ArrowUp") step(-1);
    else if (event.key === "Enter" && !event.isComposing) {
      if (chosen) window.location.assign(chosen.dataset.go);
    } else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[data-go]");
    if (option) window.location.assign(option.dataset.go);
  });
  // A click beside it closes it, as with Escape.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || event.ctrlKey === event.metaKey || event.altKey || event.shiftKey) return;
    if (isOff() || isTyping(event.target)) return;
    event.preventDefault();
    open();
  });
  for (const button of document.querySelectorAll("[data-open-palette]")) button.addEventListener("click", open);
}
