// What a screen reader, a keyboard and weak eyes need of a page; returns one line a fault.
() => {
  const faults = new Set();
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const clipped = (element) => element.closest(".visually-hidden, .live-region, .skip-link") !== null;
  const name = (element) => `<${element.tagName.toLowerCase()}${element.id ? ` #${element.id}` : ""} class="${element.getAttribute("class") ?? ""}"> ${element.textContent.trim().slice(0, 30)}`;
  const words = (ids) => ids.split(/\s+/).filter(Boolean).map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
  const called = (element) =>
    element.getAttribute("aria-label") || words(element.getAttribute("aria-labelledby") ?? "") ||
    [...(element.labels ?? [])].map((label) => label.textContent).join(" ") || (element.matches("select, input, textarea") ? "" : element.textContent) || element.title;

  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href], summary, svg[role=img], nav, [role=listbox], [role=combobox]")) {
    const text = called(field);
    if (!text.trim()) faults.add(`no name: ${name(field)}`);
  }

  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) faults.add(`id twice: ${id}`);
  for (const kind of ["for", "aria-labelledby", "aria-describedby", "aria-controls"]) {
    for (const element of document.querySelectorAll(`[${kind}]`)) {
      for (const id of element.getAttribute(kind).split(/\s+/).filter(Boolean)) {
        if (!document.getElementById(id)) faults.add(`${kind} leads nowhere: ${id}`);
      }
    }
  }

  let before = 0;
  for (const heading of document.querySelectorAll("main h1, main h2, main h3, main h4")) {
    const level = Number(heading.tagName[1]);
    if (before && level > before + 1) faults.add(`heading skips a level: ${name(heading)}`);
    before = level;
  }
  for (const cell of document.querySelectorAll("thead th:not([scope])")) faults.add(`no scope: ${name(cell)}`);
  if (!document.documentElement.lang) faults.add("no language");
  if (document.querySelectorAll("main").length !== 1) faults.add("not one main part");
  for (const element of document.querySelectorAll("[tabindex]")) if (element.tabIndex > 0) faults.add(`order forced: ${name(element)}`);

  // Contrast of every written word against what lies behind it.
  const parse = (text) => {
    const numbers = (text.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
    return text.startsWith("color(") ? [...numbers.slice(0, 3).map((part) => part * 255), numbers[3] ?? 1] : [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map((place) => top[place] * top[3] + below[place] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(parse(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = (colour) => {
    const [red, green, blue] = colour.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const theme = document.documentElement.dataset.bsTheme;
  for (const scheme of ["light", "dark"]) {
    document.documentElement.dataset.bsTheme = scheme;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
      const element = text.parentElement;
      if (!text.textContent.trim() || element.matches("script, style, noscript, option") || !shown(element) || clipped(element)) continue;
      if (element.closest(":disabled, [aria-disabled=true], [data-canvas], .choice-card:has(:disabled)")) continue;
      const style = getComputedStyle(element);
      const behind = ground(element);
      const [high, low] = [light(over(parse(style.color), behind)), light(behind)].sort((one, other) => other - one);
      const ratio = (high + 0.05) / (low + 0.05);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5)) faults.add(`${scheme}: contrast ${ratio.toFixed(2)}: ${name(element)}`);
    }
  }
  document.documentElement.dataset.bsTheme = theme;

  // Fingers need room where there are no mice.
  if (window.innerWidth < 768) {
    for (const target of document.querySelectorAll("button, select, input:not([type=hidden]):not([type=checkbox]):not([type=radio]), .btn, .chip, summary, .tabs a, .bottom-bar a")) {
      const box = target.getBoundingClientRect();
      if (shown(target) && !clipped(target) && box.height && box.height < 43.5) faults.add(`${Math.round(box.height)} px high: ${name(target)}`);
    }
  }
  return [...faults];
}
