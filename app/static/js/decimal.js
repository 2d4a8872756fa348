// Reads typed numbers by the same rules as the server (app/formatting/inputs.py) and shows under
// the field how they were read. The server decides; this only tells early.

const SPACES = /[\u0020\u00a0\u2009\u202f]/;
const GROUPS_OF_THREE = /^[0-9]{3}$/;

export function currentMarks() {
  const { decimalMark, groupMark } = document.documentElement.dataset;
  return { decimal: decimalMark || ".", group: groupMark || "," };
}

// Returns {value: "1234.5"}, {first, second} when both readings are possible, or null.
export function readDecimal(text, marks = currentMarks()) {
  const written = tidy(text);
  if (written === null) return null;
  const own = marks.decimal;
  const other = own === "." ? "," : ".";
  if (!written.includes(other)) return exact(written.replace(own, "."));
  if (written.includes(own) || count(written, other) > 1) {
    const plain = withoutGroups(written, own, other);
    return plain === null ? null : exact(plain.replace(own, "."));
  }
  const [whole, after] = written.split(other);
  if (other === marks.group && after.length === 3 && !["", "0"].includes(whole.replace(/^[+-]/, ""))) {
    return { first: whole + after, second: `${whole}.${after}` };
  }
  return exact(written.replace(other, "."));
}

function count(text, mark) {
  return text.split(mark).length - 1;
}

function tidy(text) {
  let stripped = text.trim().replace("\u2212", "-");
  if (stripped.length > 60) return null;
  const groups = stripped.split(SPACES);
  if (groups.length > 1) {
    const last = groups.at(-1).match(/^([0-9]*)([.,]?)([0-9]*)$/);
    if (!last || !/^[+-]?[0-9]{1,3}$/.test(groups[0])) return null;
    const middles = [...groups.slice(1, -1), last[1]];
    if (!middles.every((group) => GROUPS_OF_THREE.test(group))) return null;
    stripped = groups[0] + middles.join("") + last[2] + last[3];
  }
  return /^[+-]?[0-9.,]+$/.test(stripped) ? stripped : null;
}

function withoutGroups(written, own, group) {
  const sign = /^[+-]/.test(written) ? written[0] : "";
  const [whole, ...fractions] = written.slice(sign.length).split(own);
  const [head, ...rest] = whole.split(group);
  const formed =
    fractions.length <= 1 &&
    !fractions.join("").includes(group) &&
    /^[1-9][0-9]{0,2}$/.test(head) &&
    rest.every((part) => GROUPS_OF_THREE.test(part));
  if (!formed) return null;
  return sign + head + rest.join("") + (fractions.length ? own + fractions[0] : "");
}

function exact(written) {
  const match = written.match(/^([+-]?)([0-9]*)(?:\.([0-9]*))?$/);
  if (!match || !(match[2] || match[3])) return null;
  const fraction = match[3] ? `.${match[3]}` : "";
  const sign = match[1] === "-" ? "-" : "";
  return { value: `${sign}${match[2].replace(/^0+(?=[0-9])/, "") || "0"}${fraction}` };
}

// Writes an exact decimal text in the language's marks, with at least `decimals` decimals.
export function writeDecimal(value, decimals = 0, marks = currentMarks()) {
  const negative = value.startsWith("-");
  const [whole, fraction = ""] = value.replace(/^[+-]/, "").split(".");
  const grouped = whole.replace(/\B(?=(?:[0-9]{3})+$)/g, marks.group);
  const padded = fraction.padEnd(decimals, "0");
  return (negative ? "\u2212" : "") + grouped + (padded ? marks.decimal + padded : "");
}

// Writes a number for a field: no groups, the language's decimal mark.
export function inputText(value, marks = currentMarks()) {
  return String(value).replace(".", marks.decimal);
}

function readBack(input) {
  const line = document.getElementById(`${input.id}-read`);
  if (!line) return;
  line.classList.remove("read-back-question");
  line.textContent = "";
  if (!input.value.trim()) return;
  const reading = readDecimal(input.value);
  if (reading === null) return;
  if (reading.first) {
    line.classList.add("read-back-question");
    line.textContent = line.dataset.question
      .replace("{first}", writeDecimal(reading.first))
      .replace("{second}", writeDecimal(reading.second));
    return;
  }
  const unit = input.dataset.decimal;
  const named = unit && unit !== "-";
  line.textContent = `= ${writeDecimal(reading.value, named ? 2 : 0)}${named ? `\u00a0${unit}` : ""}`;
}

export function watchDecimals() {
  document.addEventListener("input", (event) => {
    if (event.target.matches?.("input[data-decimal]")) readBack(event.target);
  });
}
