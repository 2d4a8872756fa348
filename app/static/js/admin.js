// The staff desk: questions before dangerous buttons, bulk actions, filters, parts of a record.

function ask(text, button) {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  const body = document.createElement("form");
  body.method = "dialog";
  body.className = "dialog-body stack";
  const question = document.createElement("p");
  question.textContent = text;
  const row = document.createElement("div");
  row.className = "form-actions";
  const yes = makeButton(button.textContent.trim(), "btn btn-danger", "yes");
  const no = makeButton(document.body.dataset.textBack || "✕", "btn btn-secondary", "no");
  row.append(yes, no);
  body.append(question, row);
  dialog.append(body);
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      button.focus();
      resolve(dialog.returnValue === "yes");
    });
  });
}

function makeButton(text, look, value) {
  const button = document.createElement("button");
  button.className = look;
  button.value = value;
  button.textContent = text;
  return button;
}

function selectedRows() {
  return document.querySelectorAll("input[name=rowid]:checked").length;
}

function tell(text) {
  document.getElementById("live-region").textContent = text;
  const strip = document.createElement("p");
  strip.className = "form-error";
  strip.textContent = text;
  document.querySelector("[data-bulk]").parentElement.append(strip);
  setTimeout(() => strip.remove(), 6000);
}

// Runs in the capture phase, before the guard against double sends sees the event.
function watchQuestions() {
  for (const button of document.querySelectorAll("button[data-confirm]")) button.disabled = false;
  document.addEventListener(
    "submit",
    async (event) => {
      const button = event.submitter;
      if (!button?.dataset.confirm || button.dataset.answered) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if ("bulk" in button.dataset && selectedRows() === 0) {
        tell(event.target.dataset.none);
        return;
      }
      if (!(await ask(button.dataset.confirm, button))) return;
      button.dataset.answered = "yes";
      event.target.requestSubmit(button);
      delete button.dataset.answered;
    },
    true,
  );
  document.querySelector("[data-all-rows]")?.addEventListener("change", (event) => {
    for (const box of document.querySelectorAll("input[name=rowid]")) box.checked = event.target.checked;
  });
}

function valueControl(filter, value) {
  if (!filter.options) {
    const input = document.createElement("input");
    input.className = "form-control";
    input.type = filter.type === "datepicker" ? "date" : "text";
    input.value = value ?? "";
    return input;
  }
  const select = document.createElement("select");
  select.className = "form-select";
  for (const [key, text] of filter.options) {
    select.append(new Option(text, key, false, String(key) === String(value)));
  }
  return select;
}

function addFilter(form, name, filters, chosen, value) {
  const texts = form.dataset;
  const row = document.createElement("div");
  row.className = "filter-row row-actions";
  const label = document.createElement("strong");
  label.textContent = name;
  const how = document.createElement("select");
  how.className = "form-select";
  how.setAttribute("aria-label", `${name}: ${texts.textHow}`);
  filters.forEach((filter, place) => {
    how.append(new Option(filter.operation, place, false, filter.index === chosen));
  });
  let control = null;
  const draw = (current) => {
    const next = valueControl(filters[how.selectedIndex], current);
    next.setAttribute("aria-label", `${name}: ${texts.textValue}`);
    if (control) control.replaceWith(next);
    control = next;
  };
  draw(value);
  how.addEventListener("change", () => draw(null));
  const remove = makeButton(texts.textRemove, "btn btn-quiet btn-small", "");
  remove.type = "button";
  remove.addEventListener("click", () => row.remove());
  row.append(label, how, control, remove);
  row.filterControl = () => ({ control, arg: filters[how.selectedIndex].arg });
  form.querySelector(".filter-rows").append(row);
}

function watchFilters() {
  const form = document.getElementById("filter_form");
  if (!form) return;
  const groups = JSON.parse(form.dataset.groups);
  for (const [index, name, value] of JSON.parse(form.dataset.active)) {
    addFilter(form, name, groups[name], index, value);
  }
  form.querySelector(".filter-add").addEventListener("change", (event) => {
    const name = event.target.value;
    if (name) addFilter(form, name, groups[name], null, null);
    event.target.value = "";
  });
  form.addEventListener("submit", () => {
    [...form.querySelectorAll(".filter-row")].forEach((row, place) => {
      const { control, arg } = row.filterControl();
      control.name = `flt${place}_${arg}`;
    });
  });
}

function addPart(list) {
  const numbers = [...list.querySelectorAll("[data-inline-part]")].map((part) => +part.dataset.inlinePart);
  const place = Math.max(-1, ...numbers) + 1;
  const prefix = `${list.dataset.inlineField}-${place}`;
  const part = list.querySelector("[data-inline-template]").content.firstElementChild.cloneNode(true);
  part.dataset.inlinePart = place;
  for (const control of part.querySelectorAll("[name]")) {
    const old = control.id;
    control.name = control.name ? `${prefix}-${control.name}` : prefix;
    control.id = old ? `${prefix}-${old}` : prefix;
    part.querySelector(`label[for="${CSS.escape(old)}"]`)?.setAttribute("for", control.id);
  }
  list.querySelector("[data-inline-add]").before(part);
  part.querySelector("input, select, textarea")?.focus();
}

function watchParts() {
  document.addEventListener("click", (event) => {
    const add = event.target.closest("[data-inline-add]");
    if (add) addPart(add.closest("[data-inline-field]"));
    event.target.closest("[data-inline-remove]")?.closest("[data-inline-part]").remove();
  });
}

watchQuestions();
watchFilters();
watchParts();
