// Two handles over the chart of the create page: the bounds of the range as sliders. Dragging or the
// arrow keys move a bound by whole ticks; the field and the handle always show the same price.
import { inputText, readDecimal, writeDecimal } from "./decimal.js";

const PAGE_STEP = 10;

class Handle {
  constructor(chart, name, field) {
    this.chart = chart;
    this.name = name;
    this.field = field;
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.className = "chart-handle";
    this.button.setAttribute("role", "slider");
    this.button.setAttribute("aria-label", field.labels[0]?.textContent.trim() ?? name);
    this.tag = document.createElement("span");
    this.tag.textContent = `↕ ${chart.names[name] ?? name}`;
    this.button.append(this.tag);
    chart.canvas.append(this.button);
    this.button.addEventListener("keydown", (event) => this.onKey(event));
    this.button.addEventListener("pointerdown", (event) => this.grab(event));
    field.addEventListener("input", () => this.place());
  }

  get tick() {
    return Number(this.chart.data?.tick) || 0.01;
  }

  get price() {
    const reading = readDecimal(this.field.value);
    return reading?.value ? Number(reading.value) : null;
  }

  write(price) {
    const decimals = (this.chart.data.tick.replace(/0+$/, "").split(".")[1] ?? "").length;
    const snapped = Math.max(this.tick, Math.round(price / this.tick) * this.tick);
    this.field.value = inputText(snapped.toFixed(decimals));
    this.field.dispatchEvent(new Event("input", { bubbles: true }));
    this.chart.root.dispatchEvent(new CustomEvent("chart:moved", { detail: this.name }));
  }

  place() {
    const price = this.price;
    const y = price === null ? null : this.chart.series.priceToCoordinate(price);
    const height = this.chart.canvas.clientHeight;
    this.button.hidden = y === null || y < 0 || y > height;
    if (this.button.hidden) return;
    this.button.style.top = `${y}px`;
    const text = writeDecimal(readDecimal(this.field.value).value);
    this.button.setAttribute("aria-valuenow", String(price));
    this.button.setAttribute("aria-valuetext", text);
  }

  onKey(event) {
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: PAGE_STEP, PageDown: -PAGE_STEP };
    if (!(event.key in steps) || this.price === null) return;
    event.preventDefault();
    this.write(this.price + steps[event.key] * this.tick);
  }

  grab(event) {
    event.preventDefault();
    this.button.setPointerCapture(event.pointerId);
    this.button.focus();
    const box = this.chart.canvas.getBoundingClientRect();
    const move = (at) => {
      const price = this.chart.series.coordinateToPrice(at.clientY - box.top);
      if (price !== null && price > 0) this.write(price);
    };
    this.button.addEventListener("pointermove", move);
    const release = () => this.button.removeEventListener("pointermove", move);
    this.button.addEventListener("pointerup", release, { once: true });
    this.button.addEventListener("pointercancel", release, { once: true });
  }
}

export function addRangeHandles(root, form) {
  const chart = root?.botChart;
  if (!chart) return;
  const fields = () => ["lower", "upper"].map((name) => [name, form.querySelector(`[data-parameter="${name}"]`)]);
  let handles = [];
  const build = () => {
    for (const handle of handles) handle.button.remove();
    handles = fields().filter(([, field]) => field).map(([name, field]) => new Handle(chart, name, field));
    place();
  };
  const place = () => requestAnimationFrame(() => handles.forEach((handle) => handle.place()));
  root.addEventListener("chart:drawn", place);
  root.addEventListener("chart:lines", place);
  form.addEventListener("fields:new", build);
  chart.chart.timeScale().subscribeVisibleLogicalRangeChange(place);
  build();
}
