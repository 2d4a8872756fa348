"""Files of candles: every bad row is named, gaps are listed, good ones are read exactly."""

import gzip
from collections import Counter
from decimal import Decimal as D
from itertools import islice, pairwise
from pathlib import Path

import pytest

from app.trading.candles import BadCandle, Gap, check_candles, parse_candles
from tests.conftest import shared_folder
from tests.long import few

HEADER = "ts_ms,open,high,low,close,volume\n"
T = 1_767_225_600_000
MINUTE = 60_000


def row(minute: int, values: str = "5,9,1,6,100") -> str:
    return f"{T + minute * MINUTE},{values}\n"


GOOD = [HEADER, row(0), row(1), row(2)]


def test_good_candles_are_read_exactly() -> None:
    first, *_ = parse_candles([HEADER, row(0, "5.10,9,0.00000001,6,0")])
    assert first == (T, D("5.10"), D(9), D("1E-8"), D(6), D(0))
    assert str(first.open) == "5.10"
    report = check_candles(GOOD)
    assert report.is_good(strict=True)
    assert (report.rows, report.first_ms, report.timeframe_ms) == (3, T, MINUTE)


BAD_ROWS = [
    (row(3, "5,9,1,6"), "wrong_number_of_columns"),
    (row(3, "5,9,1,6,7,8"), "wrong_number_of_columns"),
    (f"x{row(3)}", "not_a_time"),
    (f"{T // 1000},5,9,1,6,100\n", "not_milliseconds"),
    (row(3, "five,9,1,6,7"), "not_a_number"),
    (row(3, "5,,1,6,7"), "not_a_number"),
    (row(3, "5,9,1,NaN,7"), "not_finite"),
    (row(3, "5,9,1,6,inf"), "not_finite"),
    (row(3, "5,9,-1,6,7"), "negative"),
    (row(3, "5,9,1,6,-7"), "negative"),
    (row(3, "5,9,1e0,6,7"), "not_plain_digits"),
    (row(3, "0,9,0,6,7"), "not_positive"),
    (row(3, "5,1,9,6,7"), "high_below_low"),
    (row(3, "10,9,1,6,7"), "outside_high_low"),
    (row(3, "5,9,1,0.5,7"), "outside_high_low"),
    (row(2), "duplicate_row"),
    (row(1), "unsorted_row"),
    ("٥" + row(3), "not_a_time"),
]


@pytest.mark.parametrize(("line", "code"), BAD_ROWS)
def test_a_bad_row_is_named(line: str, code: str) -> None:
    lines = [*GOOD, line, row(4)]
    report = check_candles(lines)
    assert [(bad.row, bad.line, bad.code) for bad in report.bad] == [(4, 5, code)]
    assert not report.is_good()
    assert report.rows == 4
    read = parse_candles(lines)
    assert [next(read).ts_ms for _ in range(3)] == [T, T + MINUTE, T + 2 * MINUTE]
    with pytest.raises(BadCandle) as caught:
        next(read)
    assert (caught.value.row, caught.value.line, caught.value.code) == (4, 5, code)


@pytest.mark.parametrize("first", ["", "ts,o,h,l,c,v\n", row(0), "ts_ms,open,high,low,close\n"])
def test_wrong_columns_are_named(first: str) -> None:
    report = check_candles([first, row(1)])
    assert [(bad.line, bad.code) for bad in report.bad] == [(1, "wrong_columns")]
    with pytest.raises(BadCandle, match="wrong_columns"):
        next(parse_candles([first, row(1)]))


def test_every_bad_row_is_counted_and_the_first_hundred_are_named() -> None:
    report = check_candles([HEADER, *(row(n, "x,9,1,6,7") for n in range(150))])
    assert (report.bad_count, len(report.bad)) == (150, 100)


def test_a_file_without_rows_is_not_good() -> None:
    assert not check_candles([HEADER]).is_good()
    assert list(parse_candles([HEADER])) == []


def test_gaps_are_listed_and_spoil_only_a_strict_check() -> None:
    report = check_candles([HEADER, row(0), row(1), row(4), row(5), row(7)])
    assert report.gaps == (
        Gap(3, 4, T + MINUTE, T + 4 * MINUTE, 2),
        Gap(5, 6, T + 5 * MINUTE, T + 7 * MINUTE, 1),
    )
    assert report.is_good()
    assert not report.is_good(strict=True)


def test_a_named_timeframe_makes_the_gaps() -> None:
    lines = [HEADER, row(0), row(2), row(4)]
    assert not check_candles(lines).gaps
    assert [gap.missing for gap in check_candles(lines, MINUTE).gaps] == [1, 1]


def test_line_ends_and_empty_lines_do_not_matter() -> None:
    lines = ["\ufeff" + HEADER.replace("\n", "\r\n"), row(0).replace("\n", "\r\n"), "\n", row(1)]
    assert check_candles(lines).is_good(strict=True)
    assert len(list(parse_candles(lines))) == 2


# What is said of the files; of any other one its own rows say it.
KNOWN_GAPS = {
    "binance-BTCUSDT-1h-2017": 8,
    "binanceusdm-FILUSDT-1m": 13,
    "freqtrade-XRPETH-1m": 265,
    "bybit-BTCUSDT-15m": 12,
    "bybit-BTCUSDT-5m": 5,
}


def recorded_files() -> list[Path]:
    return sorted((shared_folder() / "data" / "candles").glob("*.csv.gz"))


@pytest.mark.shared
@pytest.mark.parametrize("path", few(recorded_files(), 4), ids=lambda path: path.name)
def test_a_recorded_file_is_good_and_has_the_gaps_that_are_known(path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        report = check_candles(lines)
    assert report.is_good()
    gaps = KNOWN_GAPS.get(path.name.split(".")[0])
    assert len(report.gaps) == (wider_steps(path) if gaps is None else gaps)


def wider_steps(path: Path) -> int:
    """Count the rows that come later than most do after the one before."""
    with gzip.open(path, "rt") as lines:
        times = [int(line.partition(",")[0]) for line in islice(lines, 1, None)]
    steps = Counter(after - before for before, after in pairwise(times))
    usual = steps.most_common(1)[0][0] if steps else 0
    return sum(count for step, count in steps.items() if step > usual)
