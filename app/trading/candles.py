"""Read and check recorded candles from lines of text: every bad row is named, gaps are listed.

Columns are `ts_ms,open,high,low,close,volume`; the caller opens the file.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from app.errors import InvalidInput
from app.trading.intents import Plain
from app.trading.market import Candle

COLUMNS = ("ts_ms", "open", "high", "low", "close", "volume")
HEADER = ",".join(COLUMNS)
MINUTE_MS = 60_000
# Years 2001 to 2286: outside them a time is surely not in milliseconds.
EARLIEST_MS, LATEST_MS = 10**12, 10**13

NUMBER = r"([0-9]{1,20}(?:\.[0-9]{1,18})?)"
ROW = re.compile("([0-9]{13})" + f",{NUMBER}" * 5 + r"\s*", re.ASCII)


class BadCandle(InvalidInput):
    """A row can't be used. `row` counts data rows from 1, `line` lines of the file from 1."""

    def __init__(self, row: int, code: str, **values: Plain) -> None:
        super().__init__(code)
        self.values = {"row": row, "line": row + 1, **values}
        self.row = row
        self.line = row + 1


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be used, where it is, and what is wrong with it."""

    row: int
    line: int
    code: str
    values: dict[str, Plain]


@dataclass(frozen=True, slots=True)
class Gap:
    """Candles that are missing before a row."""

    row: int
    line: int
    from_ms: int
    to_ms: int
    missing: int


@dataclass(frozen=True, slots=True)
class CandleReport:
    """What a file of candles holds; `timeframe_ms` is the commonest distance of its rows."""

    rows: int
    first_ms: int | None
    last_ms: int | None
    timeframe_ms: int | None
    bad: tuple[BadRow, ...]
    bad_count: int
    gaps: tuple[Gap, ...]

    def is_good(self, *, strict: bool = False) -> bool:
        """Say whether the file can be used; with `strict` a gap spoils it too."""
        return self.bad_count == 0 and self.rows > 0 and not (strict and self.gaps)


# A file that is wrong throughout would name every row; this many make the point.
MOST_NAMED = 100


@dataclass(slots=True)
class _Checked:
    times: "array[int]" = field(default_factory=lambda: array("q"))
    rows: "array[int]" = field(default_factory=lambda: array("q"))
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0

    def complain(self, row: int, code: str, values: dict[str, Plain]) -> None:
        """Count a bad row and keep the first of them."""
        self.bad_count += 1
        if len(self.bad) < MOST_NAMED:
            self.bad.append(BadRow(row, row + 1, code, values))


def parse_candles(lines: Iterable[str]) -> Iterator[Candle]:
    """Yield candles in order; raise BadCandle at the first bad row, gaps are let through."""
    rows = iter(lines)
    _check_header(next(rows, ""))
    last = 0
    for number, line in enumerate(rows, 1):
        if not line.strip():
            continue
        candle = read_row(number, line)
        if candle.ts_ms <= last:
            raise BadCandle(
                number, _order_code(candle.ts_ms, last), ts_ms=candle.ts_ms, before=last
            )
        last = candle.ts_ms
        yield candle


def read_row(row: int, line: str) -> Candle:
    """Read one row; raise BadCandle naming what is wrong with it."""
    found = ROW.fullmatch(line)
    if found is None:
        raise _diagnosed(row, line)
    ts_ms, open_, high, low, close, volume = found.groups()
    candle = Candle(
        int(ts_ms), Decimal(open_), Decimal(high), Decimal(low), Decimal(close), Decimal(volume)
    )
    # One chained comparison is all that a good row costs.
    if not (0 < candle.low <= candle.open <= candle.high >= candle.close >= candle.low):
        raise _impossible(row, candle)
    return candle


def check_candles(lines: Iterable[str], timeframe_ms: int | None = None) -> CandleReport:
    """Read every row, however many are bad, and report bad rows and gaps.

    Without `timeframe_ms` the commonest distance of two rows is taken for it.
    """
    rows = iter(lines)
    checked = _Checked()
    try:
        _check_header(next(rows, ""))
    except BadCandle as bad:
        checked.complain(0, bad.code, dict(bad.values))
        return _report(checked, timeframe_ms)
    last = 0
    for number, line in enumerate(rows, 1):
        if not line.strip():
            continue
        try:
            ts_ms = read_row(number, line).ts_ms
        except BadCandle as bad:
            checked.complain(number, bad.code, _said(bad))
            continue
        if ts_ms <= last:
            values: dict[str, Plain] = {"ts_ms": ts_ms, "before": last}
            checked.complain(number, _order_code(ts_ms, last), values)
            continue
        last = ts_ms
        checked.times.append(ts_ms)
        checked.rows.append(number)
    return _report(checked, timeframe_ms)


def _report(checked: _Checked, timeframe_ms: int | None) -> CandleReport:
    times = checked.times
    steps = Counter(after - before for before, after in pairwise(times))
    if timeframe_ms is None and steps:
        timeframe_ms = steps.most_common(1)[0][0]
    gaps = []
    if timeframe_ms is not None and any(step > timeframe_ms for step in steps):
        for index, (before, after) in enumerate(pairwise(times), 1):
            if after - before > timeframe_ms:
                missing = (after - before - 1) // timeframe_ms
                row = checked.rows[index]
                gaps.append(Gap(row, row + 1, before, after, missing))
    return CandleReport(
        rows=len(times),
        first_ms=times[0] if times else None,
        last_ms=times[-1] if times else None,
        timeframe_ms=timeframe_ms,
        bad=tuple(checked.bad),
        bad_count=checked.bad_count,
        gaps=tuple(gaps),
    )


def _said(bad: BadCandle) -> dict[str, Plain]:
    return {name: value for name, value in bad.values.items() if name not in {"row", "line"}}


def _check_header(line: str) -> None:
    found = line.strip().lstrip("\ufeff")
    if found != HEADER:
        raise BadCandle(0, "wrong_columns", expected=HEADER, found=found[:80])


def _order_code(ts_ms: int, last: int) -> str:
    return "duplicate_row" if ts_ms == last else "unsorted_row"


def _diagnosed(row: int, line: str) -> BadCandle:
    parts = line.strip().split(",")
    if len(parts) != len(COLUMNS):
        return BadCandle(row, "wrong_number_of_columns", expected=len(COLUMNS), found=len(parts))
    if not re.fullmatch("[0-9]+", parts[0], re.ASCII):
        return BadCandle(row, "not_a_time", column="ts_ms", value=parts[0][:40])
    if not EARLIEST_MS <= int(parts[0][:20]) < LATEST_MS:
        return BadCandle(row, "not_milliseconds", column="ts_ms", value=parts[0][:40])
    for column, text in zip(COLUMNS[1:], parts[1:], strict=True):
        wrong = _wrong_number(text)
        if wrong:
            return BadCandle(row, wrong, column=column, value=text[:40])
    return BadCandle(row, "unreadable_row", value=line.strip()[:80])


def _wrong_number(text: str) -> str | None:
    if re.fullmatch(NUMBER, text, re.ASCII):
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return "not_a_number"
    if not value.is_finite():
        return "not_finite"
    return "negative" if value < 0 else "not_plain_digits"


def _impossible(row: int, candle: Candle) -> BadCandle:
    if candle.low <= 0:
        return BadCandle(row, "not_positive", column="low", value=str(candle.low))
    if candle.high < candle.low:
        values = {"high": str(candle.high), "low": str(candle.low)}
        return BadCandle(row, "high_below_low", **values)
    for column, value in (("open", candle.open), ("close", candle.close)):
        if not candle.low <= value <= candle.high:
            return BadCandle(row, "outside_high_low", column=column, value=str(value))
    return BadCandle(row, "unreadable_row")
