// What every page needs: CSRF for htmx, menus, dialogs, typed numbers, pending buttons, the stream.
import { watchDecimals } from "./decimal.js";
import { watchDialogForms, watchDialogs } from "./dialog.js";
import { watchPalette } from "./palette.js";
import { guardDoubleSend } from "./sending.js";
import { watchShortcuts } from "./shortcuts.js";
import { openStream } from "./stream.js";

const csrfToken = document.querySelector("meta[name=csrf-token]")?.content;

function watchMenus() {
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details[data-menu][open]");
    if (!menu) return;
    menu.removeAttribute("open");
    menu.querySelector("summary").focus();
  });
}

function watchCopyButtons() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    announce(button.dataset.copied);
    button.append(` ✓`);
    button.disabled = true;
    setTimeout(() => {
      button.lastChild.remove();
      button.disabled = false;
    }, 2000);
  });
}

// Selects that send their form at once, where scripts run.
function watchAutoSubmit() {
  document.addEventListener("change", (event) => {
    event.target.closest("[data-auto-submit]")?.form?.requestSubmit();
  });
}

export function announce(text) {
  const region = document.getElementById("live-region");
  if (region) region.textContent = text;
}

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = csrfToken;
});

watchMenus();
watchDialogs();
watchDecimals();
guardDoubleSend();
watchDialogForms();
watchCopyButtons();
watchAutoSubmit();
watchShortcuts();
watchPalette();
document.querySelector("[data-focus]")?.focus();
if (document.body.dataset.events) openStream(document.body.dataset.events);
