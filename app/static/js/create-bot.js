// The create page: a live preview 300 ms after typing, number and step of grids that set each other,
// presets with undo, share buttons, and the range drawn on the chart. The server calculates; this asks.
import "./chart.js";
import { inputText, readDecimal } from "./decimal.js";
import { addRangeHandles } from "./range-handles.js";

const PAUSE_MS = 300;
const form = document.getElementById("bot-form");
let timer = 0;
let running = null;
let beforeOwn = null;

function control(name) {
  return form.querySelector(`[data-parameter="${name}"]`);
}

function numberIn(name) {
  const reading = control(name) ? readDecimal(control(name).value) : null;
  return reading?.value ? Number(reading.value) : null;
}

function setText(input, text) {
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

async function post(address, extra = {}) {
  running?.abort();
  running = new AbortController();
  const body = new FormData(form);
  for (const [name, value] of Object.entries(extra)) body.set(name, value);
  const answer = await fetch(address, {
    method: "POST", body, signal: running.signal, headers: { "HX-Request": "true" },
  });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.text();
}

async function preview() {
  const target = document.getElementById("bot-preview");
  const dims = target.querySelectorAll(".dim");
  for (const part of dims) part.classList.add("is-waiting");
  try {
    target.innerHTML = await post(form.dataset.preview);
    for (const part of target.querySelectorAll("[data-belongs-to]")) {
      document.getElementById(part.dataset.belongsTo)?.replaceChildren(...part.childNodes);
      part.remove();
    }
    const bar = target.querySelector("[data-summary-bar]");
    document.getElementById("bot-summary").replaceChildren(...bar.childNodes);
    bar.remove();
    drawLines();
    outdatePast();
  } catch (error) {
    if (error.name === "AbortError") return;
    for (const part of dims) part.classList.remove("is-waiting");
  }
}

// What was counted on the past belongs to the settings of then.
function outdatePast() {
  document.querySelector("#past-run [data-past-result]")?.classList.add("is-waiting");
  document.querySelector("#past-run [data-outdated]")?.removeAttribute("hidden");
}

function previewSoon() {
  clearTimeout(timer);
  timer = setTimeout(preview, PAUSE_MS);
}

// The whole form is read again: account, strategy, pair or preset changed.
async function reloadForm(extra) {
  const target = document.getElementById("bot-fields");
  try {
    target.innerHTML = await post(form.dataset.form, extra);
  } catch (error) {
    if (error.name !== "AbortError") form.submit();
    return;
  }
  window.htmx?.process(target);
  form.dispatchEvent(new CustomEvent("fields:new"));
  fillStep();
  drawSpan();
  await preview();
}

function isGeometric() {
  return form.querySelector("[name=spacing]:checked, select[name=spacing]")?.value === "geometric";
}

function isEndless() {
  return Boolean(form.querySelector("[name=infinity]:checked"));
}

function writeShort(number, digits) {
  const text = number.toFixed(Math.max(0, Math.min(12, digits)));
  return inputText(text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text);
}

// The step is money, or percent where lines stand at equal percent.
function fillStep() {
  const step = control("step");
  if (!step) return;
  const unit = step.closest(".form-group").querySelector(".unit");
  if (unit) unit.textContent = isGeometric() ? "%" : step.dataset.quote;
  for (const name of ["upper", "grids"]) if (control(name)) control(name).disabled = isEndless();
  const [lower, upper, grids] = [numberIn("lower"), numberIn("upper"), numberIn("grids")];
  if (isEndless() || lower === null || upper === null || lower <= 0 || !grids || upper <= lower) return;
  step.value = isGeometric()
    ? writeShort(((upper / lower) ** (1 / grids) - 1) * 100, 4)
    : writeShort((upper - lower) / grids, 8 - Math.ceil(Math.log10(upper)));
}

function fillGrids() {
  const [lower, upper, step] = [numberIn("lower"), numberIn("upper"), numberIn("step")];
  if (isEndless() || lower === null || upper === null || lower <= 0 || !(step > 0) || upper <= lower) return;
  const count = isGeometric() ? Math.log(upper / lower) / Math.log1p(step / 100) : (upper - lower) / step;
  control("grids").value = String(Math.max(2, Math.min(1000, Math.round(count))));
}

function markOwn() {
  const own = form.querySelector("[data-own]");
  const chosen = form.querySelector("[data-preset]:checked");
  if (!own || !chosen) return;
  const name = chosen.closest("label").querySelector("strong").textContent;
  beforeOwn = chosen.value;
  own.checked = true;
  drawSpan();
  form.querySelector("[data-own-text]").textContent = form.dataset.textOwn.replace("{preset}", name);
  form.querySelector("[data-undo-line]").hidden = false;
}

function shareButton(button) {
  // A real account's money may come after the form.
  const known = document.getElementById("free-money")?.dataset.free;
  if (known === undefined) return;
  const free = Number(known);
  const part = Math.floor(free * Number(button.dataset.share)) / 100;
  setText(control("investment"), inputText(part.toFixed(2)));
}

function drawLines() {
  const holder = document.querySelector("#bot-preview [data-lines]");
  const chart = document.querySelector("[data-chart][data-own-lines]");
  if (!holder || !chart) return;
  const text = (name) => {
    const reading = control(name) ? readDecimal(control(name).value) : null;
    return reading?.value ?? null;
  };
  chart.dispatchEvent(
    new CustomEvent("chart:lines", {
      detail: {
        levels: JSON.parse(holder.dataset.lines || "[]"),
        bounds: { lower: text("lower"), upper: text("upper"), stop: text("stop_loss"), target: text("take_profit") },
      },
    }),
  );
}

// The days that made the chosen preset lie in a band behind the candles.
function drawSpan() {
  const chart = document.querySelector("[data-chart][data-own-lines]");
  const chosen = form.querySelector("[data-preset]:checked");
  const span = chosen?.dataset.from ? [Number(chosen.dataset.from), Number(chosen.dataset.to)] : null;
  chart?.dispatchEvent(new CustomEvent("chart:span", { detail: span }));
}

function watch() {
  form.addEventListener("input", (event) => {
    const name = event.target.dataset?.parameter;
    if (!name) return;
    if (name === "step") {
      form.querySelector("[name=linked]").value = "step";
      fillGrids();
    } else if (["grids", "lower", "upper"].includes(name)) {
      if (name === "grids") form.querySelector("[name=linked]").value = "grids";
      if (form.querySelector("[name=linked]").value === "step") fillGrids();
      else fillStep();
    }
    if (["lower", "upper", "grids", "step", "spacing"].includes(name)) markOwn();
    previewSoon();
  });
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-reload]")) reloadForm({});
    else if (event.target.matches("[data-preset]")) reloadForm({ use_preset: "1" });
    else if (["spacing", "infinity"].includes(event.target.dataset.parameter)) {
      form.querySelector("[name=linked]").value = isEndless() ? "step" : "grids";
      fillStep();
      previewSoon();
    }
  });
  form.addEventListener("click", (event) => {
    const share = event.target.closest("[data-share]");
    if (share) shareButton(share);
    if (event.target.closest("[data-minimum]")) {
      const least = document.querySelector("#bot-preview [data-minimum]")?.dataset.minimum;
      if (least) setText(control("investment"), inputText((Math.ceil(Number(least) * 100) / 100).toFixed(2)));
    }
    if (event.target.closest("[data-undo]") && beforeOwn) {
      form.querySelector(`[data-preset][value="${beforeOwn}"]`).checked = true;
      reloadForm({ use_preset: "1" });
    }
  });
}

if (form) {
  watch();
  fillStep();
  drawSpan();
  addRangeHandles(document.querySelector("[data-chart][data-own-lines]"), form);
  drawLines();
}
