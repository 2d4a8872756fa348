// Candles with the bot's own lines, orders and fills, drawn by Lightweight Charts from a JSON address.
// The picture is for the eyes only: the same stands in the summary line and in the table.
import {
  CandlestickSeries,
  LineStyle,
  createChart,
  createSeriesMarkers,
} from "../vendor/lightweight-charts.mjs";
import { currentMarks, writeDecimal } from "./decimal.js";

const GROUP_FILLS_FROM = 200;
const TABLE_ROWS = 50;
const FOLDED_ZEROS = 5;
const RELOAD_AFTER_MS = 3000;
// Below this width names and letters would cover candles and each other: the legend holds them.
const NARROW_PX = 560;
const AXIS_LABEL_PX = 16;
const LEVEL_GAP_PX = 5;
const MARKER_LABEL_PX = 34;
const LINES = ["upper", "lower", "target", "stop", "average", "break_even"];
const SOLID_LINES = ["lower", "upper"];
const OPTIONAL_LINES = ["average", "break_even"];
const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";

// Custom properties hold light-dark(); a probe element tells what they are now.
function colours(element) {
  const probe = document.createElement("span");
  element.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["page", "text", "muted", "line", "profit", "loss", "accent", "warning"];
  const found = Object.fromEntries(names.map((name) => [name, read(name)]));
  probe.remove();
  return found;
}

function withAlpha(colour, alpha) {
  const parts = colour.match(/[\d.]+/g);
  return `rgba(${parts[0]}, ${parts[1]}, ${parts[2]}, ${alpha})`;
}

function decimalsOf(tick) {
  return tick && tick.includes(".") ? tick.replace(/0+$/, "").split(".")[1].length : 0;
}

// The same rules as the server's format_price.
function priceWriter(tick) {
  const decimals = decimalsOf(tick);
  return (price) => {
    const text = Math.abs(price).toFixed(decimals);
    const sign = price < 0 ? "\u2212" : "";
    const zeros = text.match(/^0\.(0+)[1-9]/)?.[1].length ?? 0;
    if (zeros < FOLDED_ZEROS) return sign + writeDecimal(text);
    const folded = [...String(zeros)].map((digit) => SUBSCRIPTS[digit]).join("");
    return `${sign}0${currentMarks().decimal}0${folded}${text.slice(2 + zeros)}`;
  };
}

function timeWriter(zone, options) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, {
    timeZone: zone || "UTC",
    hour12: false,
    ...options,
  });
  return (seconds) => format.format(new Date(seconds * 1000));
}

// One primitive draws all resting levels: thin tinted lines over the whole width.
class Levels {
  constructor() {
    this.levels = [];
    this.colours = {};
    this.range = null;
  }

  attached({ series, requestUpdate }) {
    this.series = series;
    this.requestUpdate = requestUpdate;
  }

  show(levels, tints, range) {
    this.levels = levels;
    this.colours = tints;
    this.range = range;
    this.requestUpdate?.();
  }

  // Without this the bounds would lie off screen.
  autoscaleInfo() {
    if (!this.range) return null;
    return { priceRange: { minValue: this.range[0], maxValue: this.range[1] } };
  }

  paneViews() {
    return [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.draw(target) }) }];
  }

  rows() {
    return this.levels
      .map(([price, side]) => [this.series.priceToCoordinate(Number(price)), side])
      .filter(([y]) => y !== null)
      .sort(([one], [other]) => one - other);
  }

  draw(target) {
    target.useBitmapCoordinateSpace(({ context, bitmapSize, verticalPixelRatio }) => {
      const thick = Math.max(1, Math.round(verticalPixelRatio));
      let last = -Infinity;
      for (const [y, side] of this.rows()) {
        // Closer lines would be one block of colour over the candles.
        if (y - last < LEVEL_GAP_PX) continue;
        last = y;
        context.fillStyle = this.colours[side] ?? this.colours.empty;
        context.fillRect(0, Math.round(y * verticalPixelRatio), bitmapSize.width, thick);
      }
    });
  }
}

// A band behind the candles: the days that a preset was made from.
class Span {
  constructor(chart) {
    this.chart = chart;
    this.bars = null;
  }

  attached({ requestUpdate }) {
    this.requestUpdate = requestUpdate;
  }

  show(bars, colour) {
    this.bars = bars;
    this.colour = colour;
    this.requestUpdate?.();
  }

  paneViews() {
    return [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.draw(target) }) }];
  }

  draw(target) {
    if (!this.bars) return;
    const [left, right] = this.bars.map((bar) => this.chart.timeScale().logicalToCoordinate(bar));
    if (left === null || right === null) return;
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio }) => {
      context.fillStyle = this.colour;
      context.fillRect(left * horizontalPixelRatio, 0, (right - left) * horizontalPixelRatio, bitmapSize.height);
    });
  }
}

// The place of the bar that holds a moment, null before the first bar.
function barOf(starts, time) {
  let low = 0;
  let high = starts.length - 1;
  if (!starts.length || time < starts[0]) return null;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= time) low = middle;
    else high = middle - 1;
  }
  return low;
}

// A letter stands where the last one of its side is far enough away.
function fillMarkers(fills, candles, tints, letters, barsPerLabel) {
  const starts = candles.map((candle) => candle.time);
  const grouped = fills.length > GROUP_FILLS_FROM;
  const bars = new Map();
  for (const [time, side] of fills) {
    const bar = barOf(starts, time);
    if (bar === null) continue;
    const key = `${bar}${side}`;
    const entry = bars.get(key) ?? { bar, side, count: 0 };
    entry.count += 1;
    bars.set(key, entry);
  }
  const labelled = { buy: -Infinity, sell: -Infinity };
  const label = ({ bar, side, count }) => {
    if (bar - labelled[side] < barsPerLabel) return "";
    labelled[side] = bar;
    return letters[side] + (count > 1 || grouped ? `×${count}` : "");
  };
  return [...bars.values()]
    .sort((one, other) => one.bar - other.bar)
    .map(({ bar, side, count }) => ({
      time: starts[bar],
      position: side === "buy" ? "belowBar" : "aboveBar",
      shape: side === "buy" ? "arrowUp" : "arrowDown",
      color: side === "buy" ? tints.profit : tints.loss,
      size: Number.isFinite(barsPerLabel) ? 1 : 0.7,
      text: label({ bar, side, count }),
    }));
}

class BotChart {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("[data-canvas]");
    this.names = JSON.parse(root.dataset.textBounds || "{}");
    this.frame = root.querySelector("[data-frame][aria-pressed=true]")?.dataset.frame ?? "5m";
    this.lines = [];
    this.ownLines = null;
    this.lastLoad = 0;
    this.chart = createChart(this.canvas, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily },
      rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false },
      crosshair: { mode: 0 },
      handleScroll: { vertTouchDrag: false },
    });
    this.series = this.chart.addSeries(CandlestickSeries, { priceLineVisible: false });
    this.levels = new Levels();
    this.series.attachPrimitive(this.levels);
    this.span = new Span(this.chart);
    this.series.attachPrimitive(this.span);
    this.ownSpan = null;
    this.markers = createSeriesMarkers(this.series, [], { autoScale: false });
    this.listen();
    this.load();
  }

  listen() {
    this.root.addEventListener("click", (event) => {
      const layer = event.target.closest("[data-layer]");
      if (layer) {
        layer.setAttribute("aria-pressed", String(layer.getAttribute("aria-pressed") !== "true"));
        this.draw();
      }
      const frame = event.target.closest("[data-frame]");
      if (frame) this.chooseFrame(frame);
    });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => {
      if (this.data && this.chart.timeScale().options().barSpacing !== this.spacing) this.mark();
    });
    document.addEventListener("themechange", () => this.draw());
    if (this.root.dataset.topic) {
      document.body.addEventListener(this.root.dataset.topic, () => this.reload());
    }
    document.body.addEventListener("refresh", () => this.reload());
    this.root.addEventListener("chart:span", (event) => {
      this.ownSpan = event.detail;
      this.draw();
    });
    this.root.addEventListener("chart:lines", (event) => {
      this.ownLines = event.detail;
      this.draw();
    });
  }

  chooseFrame(button) {
    for (const other of this.root.querySelectorAll("[data-frame]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    this.frame = button.dataset.frame;
    this.fitted = false;
    this.load();
  }

  reload() {
    if (Date.now() - this.lastLoad > RELOAD_AFTER_MS) this.load();
  }

  async load() {
    this.lastLoad = Date.now();
    const address = new URL(this.root.dataset.url, location.href);
    address.searchParams.set("timeframe", this.frame);
    try {
      const answer = await fetch(address, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      this.data = await answer.json();
    } catch {
      if (!this.data) this.root.querySelector("[data-summary]").textContent = this.root.dataset.textFailed;
      return;
    }
    this.draw();
  }

  shows(layer) {
    return this.root.querySelector(`[data-layer=${layer}]`)?.getAttribute("aria-pressed") !== "false";
  }

  draw() {
    if (!this.data) return;
    const tints = colours(this.root);
    const write = priceWriter(this.data.tick);
    this.dress(tints, write);
    const candles = this.data.candles.map(([time, open, high, low, close]) => ({
      time, open: Number(open), high: Number(high), low: Number(low), close: Number(close),
    }));
    this.series.setData(candles);
    const bounds = this.ownLines?.bounds ?? this.data.bounds ?? {};
    const levels = this.ownLines?.levels ?? this.data.levels ?? [];
    this.drawBounds(bounds, tints);
    const range = bounds.lower && bounds.upper ? [Number(bounds.lower), Number(bounds.upper)] : null;
    this.levels.show(
      this.shows("levels") ? levels : [],
      { buy: withAlpha(tints.profit, 0.4), sell: withAlpha(tints.loss, 0.4), empty: withAlpha(tints.muted, 0.4) },
      range,
    );
    if (!this.fitted && candles.length) {
      this.chart.timeScale().setVisibleLogicalRange({ from: candles.length - 120, to: candles.length + 4 });
      this.fitted = true;
    }
    this.mark();
    this.shade(tints);
    this.describe(candles, write);
    this.explainLines(bounds, write);
    this.root.dispatchEvent(new CustomEvent("chart:drawn"));
  }

  dress(tints, write) {
    const short = timeWriter(this.data.zone, { hour: "2-digit", minute: "2-digit" });
    const day = timeWriter(this.data.zone, { day: "numeric", month: "short" });
    const full = timeWriter(this.data.zone, { dateStyle: "medium", timeStyle: "short" });
    this.chart.applyOptions({
      layout: { background: { color: tints.page }, textColor: tints.muted },
      grid: { vertLines: { color: withAlpha(tints.line, 0.6) }, horzLines: { color: withAlpha(tints.line, 0.6) } },
      localization: {
        priceFormatter: write, timeFormatter: full,
        tickmarksPriceFormatter: (prices) => prices.map((price) => (this.isCovered(price) ? "" : write(price))),
      },
      timeScale: { tickMarkFormatter: (time, kind) => (kind < 3 ? day(time) : short(time)) },
    });
    this.series.applyOptions({
      upColor: tints.page, wickUpColor: tints.profit, borderUpColor: tints.profit,
      downColor: tints.loss, wickDownColor: tints.loss, borderDownColor: tints.loss,
      priceFormat: { type: "custom", minMove: Number(this.data.tick) || 0.01, formatter: write },
    });
  }

  mark() {
    const letters = { buy: this.root.dataset.textBuy, sell: this.root.dataset.textSell };
    const fills = this.shows("fills") ? this.data.fills ?? [] : [];
    this.spacing = this.chart.timeScale().options().barSpacing;
    const barsPerLabel = this.isNarrow ? Infinity : MARKER_LABEL_PX / this.spacing;
    this.markers.setMarkers(fillMarkers(fills, this.series.data(), colours(this.root), letters, barsPerLabel));
  }

  shade(tints) {
    const note = this.root.querySelector("[data-span-note]");
    const starts = this.series.data().map((candle) => candle.time);
    const from = this.ownSpan && starts.length ? barOf(starts, this.ownSpan[0]) ?? 0 : null;
    const to = from === null ? null : barOf(starts, this.ownSpan[1]);
    const bars = to === null ? null : [from - 0.5, to + 0.5];
    this.span.show(bars, withAlpha(tints.accent, 0.08));
    if (note) note.hidden = bars === null;
  }

  get isNarrow() {
    return this.canvas.clientWidth < NARROW_PX;
  }

  // A mark of the axis that a line's label would half cover is left out.
  isCovered(price) {
    const y = this.series.priceToCoordinate(price);
    if (y === null) return false;
    const last = this.series.data().at(-1)?.close;
    const labelled = this.lines.map((line) => line.options().price);
    if (last !== undefined) labelled.push(last);
    return labelled.some((own) => {
      const at = this.series.priceToCoordinate(own);
      return at !== null && Math.abs(at - y) < AXIS_LABEL_PX;
    });
  }

  explainLines(bounds, write) {
    const legend = this.root.querySelector("[data-legend]");
    if (!legend) return;
    legend.hidden = !this.isNarrow;
    legend.replaceChildren(...this.shownLines(bounds).map((name) => {
      const entry = document.createElement("li");
      entry.className = `line-${name}${SOLID_LINES.includes(name) ? "" : " dashed"}`;
      entry.append(sample(), ` ${this.names[name] ?? name} ${write(Number(bounds[name]))}`);
      return entry;
    }));
  }

  shownLines(bounds) {
    return LINES.filter((name) => bounds[name] && (!OPTIONAL_LINES.includes(name) || this.shows(name)));
  }

  drawBounds(bounds, tints) {
    for (const line of this.lines) this.series.removePriceLine(line);
    const looks = {
      lower: tints.accent, upper: tints.accent, stop: tints.loss, target: tints.profit,
      average: tints.warning, break_even: tints.text,
    };
    this.lines = this.shownLines(bounds).map((name) =>
      this.series.createPriceLine({
        price: Number(bounds[name]), color: looks[name], lineWidth: 1, axisLabelVisible: true,
        // Where handles or the legend carry the names, the lines do without.
        title: this.ownLines || this.isNarrow ? "" : this.names[name] ?? "",
        lineStyle: SOLID_LINES.includes(name) ? LineStyle.Solid : LineStyle.Dashed,
      }),
    );
  }

  describe(candles, write) {
    const summary = this.root.querySelector("[data-summary]");
    if (summary) summary.textContent = this.data.summary ?? "";
    const rows = this.root.querySelector("[data-rows]");
    if (!rows) return;
    const when = timeWriter(this.data.zone, { dateStyle: "medium", timeStyle: "short" });
    rows.replaceChildren(
      ...candles.slice(-TABLE_ROWS).reverse().map((candle) => {
        const row = document.createElement("tr");
        row.append(cell("td", when(candle.time)));
        for (const key of ["open", "high", "low", "close"]) row.append(cell("td", write(candle[key]), "num"));
        return row;
      }),
    );
  }
}

function sample() {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("viewBox", "0 0 18 8");
  picture.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "line");
  for (const [name, value] of [["x1", 0], ["x2", 18], ["y1", 4], ["y2", 4]]) line.setAttribute(name, value);
  picture.append(line);
  return picture;
}

function cell(tag, text, look = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = look;
  return element;
}

for (const root of document.querySelectorAll("[data-chart]")) root.botChart = new BotChart(root);
