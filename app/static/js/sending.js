// Forms that are on their way.

// A second click does nothing; the server also takes a repeated form as one.
export function guardDoubleSend() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    const button = event.submitter;
    if (button?.dataset.pending) {
      button.dataset.text = button.textContent;
      button.textContent = button.dataset.pending;
    }
    button?.classList.add("is-pending");
    button?.setAttribute("aria-disabled", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) release(form);
  });
}

// What was sent has not led away from the page: it can be sent again.
export function release(form) {
  delete form.dataset.sent;
  for (const button of form.querySelectorAll(".is-pending")) {
    button.classList.remove("is-pending");
    button.removeAttribute("aria-disabled");
    if (button.dataset.text) button.textContent = button.dataset.text;
  }
}
