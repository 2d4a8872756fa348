// The list of bots: what is ticked stays ticked when the rows are read anew, and is summed up.
import { writeDecimal } from "./decimal.js";

const bar = document.getElementById("bulk");
const ticked = new Set();

function boxes() {
  return [...document.querySelectorAll("#bot-rows input[name=id]")];
}

function tell() {
  const chosen = boxes().filter((box) => box.checked);
  bar.hidden = chosen.length === 0;
  const sums = new Map();
  for (const box of chosen) {
    if (!box.dataset.value) continue;
    const key = `${box.dataset.currency} ${box.dataset.stage}`;
    sums.set(key, (sums.get(key) ?? 0) + Number(box.dataset.value));
  }
  const values = [...sums].map(([key, sum]) => `${writeDecimal(sum.toFixed(2))} ${key}`);
  bar.querySelector("[data-chosen]").textContent = [
    bar.dataset.text.replace("{count}", String(chosen.length)),
    ...values,
  ].join(" · ");
}

function remember(event) {
  if (event.target.name !== "id") return;
  if (event.target.checked) ticked.add(event.target.value);
  else ticked.delete(event.target.value);
  tell();
}

if (bar) {
  const rows = document.getElementById("bot-rows");
  rows.addEventListener("change", remember);
  rows.addEventListener("htmx:afterSwap", () => {
    for (const box of boxes()) box.checked = ticked.has(box.value);
    tell();
  });
  bar.querySelector("[data-none]").addEventListener("click", () => {
    ticked.clear();
    for (const box of boxes()) box.checked = false;
    tell();
  });
  tell();
}
