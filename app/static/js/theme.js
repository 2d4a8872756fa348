// Sets the theme before the first paint. A classic script, because modules run too late for that.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function apply() {
    const choice = root.dataset.themeChoice;
    const auto = dark.matches ? "dark" : "light";
    root.dataset.bsTheme = choice === "auto" ? auto : choice;
    document.dispatchEvent(new CustomEvent("themechange"));
  }

  function markChosen(form, choice) {
    for (const button of form.querySelectorAll("button[name=theme]")) {
      const chosen = button.value === choice;
      button.setAttribute("aria-pressed", String(chosen));
      const use = button.querySelector("use");
      use.setAttribute("href", use.getAttribute("href").replace(/#.*/, chosen ? "#check" : "#open"));
    }
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("[data-theme-form]")) return;
    event.preventDefault();
    const body = new FormData(form, event.submitter);
    root.dataset.themeChoice = body.get("theme");
    apply();
    for (const each of document.querySelectorAll("[data-theme-form]")) {
      markChosen(each, body.get("theme"));
    }
    form.closest("details")?.removeAttribute("open");
    await fetch(form.action, { method: "POST", body, redirect: "manual" });
  });

  dark.addEventListener("change", apply);
  apply();
})();
