"""Recordings made by tests."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from app.markets.sources import MarketState

HEADER = "ts_ms,open,high,low,close,volume"
FIRST_MS = 1_700_000_040_000
MINUTE_MS = 60_000


def write_rows(path: Path, rows: Iterable[str], header: str = HEADER) -> Path:
    """Write a file of candles, compressed if its name says so."""
    text = "\n".join((header, *rows)) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def rising_rows(count: int, step_ms: int = MINUTE_MS, first_ms: int = FIRST_MS) -> list[str]:
    """Make candles that rise by one each; opens at 100, 101, ..."""
    return [
        f"{first_ms + number * step_ms},{100 + number},{102 + number},{99 + number},"
        f"{101 + number},8"
        for number in range(count)
    ]


def state_of(
    symbol: str = "BTC/USDT", exchange: str = "bybit", *, number: int = 1, position: int = 0
) -> MarketState:
    """Return a pair as the feed knows it."""
    return MarketState(
        number, exchange, symbol, symbol.split("/", maxsplit=1)[0], None, "", position, 0, None
    )
