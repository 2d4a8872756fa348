// Links marked data-dialog show the [data-dialog-body] part of their page in a <dialog>.
// Without scripts, or when anything fails, the link simply opens the page. A form marked
// data-dialog-next does the same with the page that it leads to; closing that page's dialog goes
// on to its data-back, because what was sent is stored by then.

import { release } from "./sending.js";

function makeDialog() {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  document.body.append(dialog);
  return dialog;
}

function closeButton(dialog, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-quiet dialog-close";
  button.setAttribute("aria-label", text);
  button.textContent = "✕";
  button.addEventListener("click", () => dialog.close());
  return button;
}

async function loadBody(address) {
  const answer = await fetch(address, { headers: { "X-Dialog": "1" }, credentials: "same-origin" });
  if (!answer.ok || answer.redirected) return null;
  return bodyOf(answer);
}

async function bodyOf(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return page.querySelector("[data-dialog-body]");
}

async function openDialog(link) {
  const body = await loadBody(link.href).catch(() => null);
  if (!body) {
    window.location.assign(link.href);
    return;
  }
  show(body, () => link.focus());
}

function show(body, closed) {
  const dialog = makeDialog();
  body.classList.add("dialog-body");
  const heading = body.querySelector("h1, h2");
  if (heading) {
    heading.id ||= "dialog-heading";
    dialog.setAttribute("aria-labelledby", heading.id);
  }
  dialog.append(document.adoptNode(body), closeButton(dialog, body.dataset.close || "Close"));
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  for (const back of dialog.querySelectorAll("[data-dialog-close]")) {
    back.addEventListener("click", (event) => {
      event.preventDefault();
      dialog.close();
    });
  }
  dialog.showModal();
  (dialog.querySelector("[data-dialog-focus]") ?? heading)?.focus();
  window.htmx?.process(dialog);
}

export function watchDialogs() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    openDialog(link);
  });
}

async function sendForm(form, button) {
  const sent = new FormData(form, button);
  const answer = await fetch(form.action, { method: "POST", body: sent, credentials: "same-origin" });
  if (answer.status === 422) {
    // Nothing was stored; the whole page says what is wrong.
    form.submit();
    return;
  }
  const body = answer.ok && answer.redirected ? await bodyOf(answer) : null;
  if (!body?.dataset.back) {
    window.location.assign(answer.url);
    return;
  }
  release(form);
  show(body, () => window.location.assign(body.dataset.back));
}

export function watchDialogForms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || !form.hasAttribute("data-dialog-next")) return;
    // Buttons with a name ask for something else than to go on.
    if (event.submitter?.name) return;
    event.preventDefault();
    sendForm(form, event.submitter).catch(() => release(form));
  });
}
