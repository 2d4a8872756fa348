"""Recorded candles on disk: which files there are, what each is of, and whether it can be played.

A file is named EXCHANGE-PAIR-TIMEFRAME[-ERA].csv or .csv.gz, as in `bybit-BTCUSDT-5m.csv.gz`.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path

from app.errors import ConfigError, InvalidInput
from app.trading.candles import HEADER, CandleReport, check_candles, parse_candles
from app.trading.market import Candle, MarketKind

DAY_MS = 86_400_000
HISTORY_MS = 90 * DAY_MS
MOST_DECIMALS = 12

_NAME = re.compile(
    r"(?P<exchange>[a-z0-9]+)-(?P<pair>[A-Z0-9]{5,20})-(?P<timeframe>\d{1,2}[mhd])"
    r"(?:-(?P<era>[A-Za-z0-9_]+))?\.csv(?:\.gz)?"
)
_VENUES = {
    "bybit": ("bybit", MarketKind.SPOT),
    "bybitlinear": ("bybit", MarketKind.LINEAR),
    "binance": ("binance", MarketKind.SPOT),
    "binanceusdm": ("binance", MarketKind.LINEAR),
    "okx": ("okx", MarketKind.SPOT),
    "kucoin": ("kucoin", MarketKind.SPOT),
    "mexc": ("mexc", MarketKind.SPOT),
}
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "EUR", "BRL", "TRY", "BTC", "ETH", "USD")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": DAY_MS}


class BadRecordingError(InvalidInput):
    """A file can't be played: the file and the row are named, and nothing starts."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of candles and what its name says."""

    path: Path
    exchange: str
    base: str
    quote: str
    kind: MarketKind
    timeframe_ms: int
    digest: str

    @property
    def symbol(self) -> str:
        pair = f"{self.base}/{self.quote}"
        return pair if self.kind is MarketKind.SPOT else f"{pair}:{self.quote}"

    @property
    def identity(self) -> str:
        """Return what tells this content from every other."""
        return f"replay:{self.path.name}:{self.digest}"

    def candles(self, start: int = 0) -> Iterator[Candle]:
        """Yield candles from a row on (counted from 0); close the iterator to close the file."""
        with open_lines(self.path) as lines:
            rows = islice(lines, 1 + start, None)
            yield from parse_candles(chain([HEADER], rows))


@dataclass(frozen=True, slots=True)
class Scan:
    """What a full check found: rows, how many of them are history, and the step of the prices."""

    report: CandleReport
    start_row: int
    tick: Decimal


@dataclass(frozen=True, slots=True)
class Choice:
    """The files that will be played, and those that won't with the reason."""

    chosen: tuple[Recording, ...]
    skipped: dict[str, str]


def choose_recordings(path: Path) -> Choice:
    """Look at a file or folder; the finest timeframe of a pair wins, the newest era among equals.

    Raise ConfigError if nothing is left to play.
    """
    files = _files(path)
    skipped: dict[str, str] = {}
    best: dict[tuple[str, str], Recording] = {}
    for file in files:
        recording = _recording(file, skipped)
        if recording is None:
            continue
        key = (recording.exchange, recording.symbol)
        other = best.get(key)
        # Names are sorted, so that the later era comes later.
        if other is None or recording.timeframe_ms <= other.timeframe_ms:
            best[key] = recording
            if other is not None:
                skipped[other.path.name] = "finer_or_newer_file"
        else:
            skipped[file.name] = "finer_or_newer_file"
    if not best:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise ConfigError(
            "nothing_to_replay", field="MARKET_REPLAY", path=str(path), skipped=reasons or "-"
        )
    return Choice(tuple(best.values()), skipped)


def scan(recording: Recording) -> Scan:
    """Check every row; raise BadRecordingError naming the first bad one."""
    counter = _Counter()
    try:
        with open_lines(recording.path) as lines:
            report = check_candles(counter.pass_on(lines))
    except (OSError, EOFError, zlib.error) as error:
        raise BadRecordingError(
            "unreadable_recording", file=recording.path.name, reason=type(error).__name__
        ) from error
    if report.bad:
        bad = report.bad[0]
        raise BadRecordingError(
            "bad_recording", file=recording.path.name, row=bad.row, line=bad.line, reason=bad.code,
            bad_rows=report.bad_count,
        )  # fmt: skip
    if report.rows == 0:
        raise BadRecordingError("empty_recording", file=recording.path.name)
    if report.timeframe_ms is not None and report.timeframe_ms != recording.timeframe_ms:
        raise BadRecordingError(
            "wrong_timeframe", file=recording.path.name, named_ms=recording.timeframe_ms,
            found_ms=report.timeframe_ms,
        )  # fmt: skip
    start = min(counter.early, report.rows // 2)
    return Scan(report, start, Decimal(1).scaleb(-counter.decimals))


class _Counter:
    """Looks at lines as they pass: how many are of the first 90 days, and how many decimals."""

    def __init__(self) -> None:
        self.early = 0
        self.decimals = 0
        self._limit = 0

    def pass_on(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            time, _, rest = line.partition(",")
            if time.isdecimal() and len(time) == len("1700000000000"):
                self._limit = self._limit or int(time) + HISTORY_MS
                self.early += int(time) < self._limit
                if self.early <= 1000:  # noqa: PLR2004 - a thousand prices show all decimals
                    decimals = len(rest.partition(",")[0].partition(".")[2])
                    self.decimals = min(MOST_DECIMALS, max(self.decimals, decimals))
            yield line


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError("no_such_path", field="MARKET_REPLAY", path=str(path))
    return sorted(
        file
        for file in path.iterdir()
        if file.is_file() and file.name.endswith((".csv", ".csv.gz"))
    )


def _recording(file: Path, skipped: dict[str, str]) -> Recording | None:
    found = _NAME.fullmatch(file.name)
    if found is None:
        skipped[file.name] = "unknown_name"
        return None
    venue = _VENUES.get(found["exchange"])
    pair = _split(found["pair"])
    if venue is None or pair is None:
        skipped[file.name] = "unknown_exchange" if venue is None else "unknown_pair"
        return None
    timeframe = found["timeframe"]
    return Recording(
        path=file,
        exchange=venue[0],
        base=pair[0],
        quote=pair[1],
        kind=venue[1],
        timeframe_ms=int(timeframe[:-1]) * _UNIT_MS[timeframe[-1]],
        digest=hashlib.sha256(file.read_bytes()).hexdigest()[:16],
    )


def _split(pair: str) -> tuple[str, str] | None:
    for quote in _QUOTES:
        if pair.endswith(quote) and len(pair) > len(quote):
            return pair.removesuffix(quote), quote
    return None


@contextmanager
def open_lines(path: Path) -> Iterator[Iterable[str]]:
    """Open a .csv or .csv.gz for reading.

    What is no UTF-8 is replaced, so that it is a bad row with a number like any other.
    """
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
            yield lines
    else:
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield lines
