"""Prices for a long run: recorded ones where they are at hand, else made ones."""

import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import islice
from pathlib import Path

from app.trading.candles import parse_candles
from app.trading.market import Candle
from tests.bots.live_world import candles_of, path_of, wander

ROOT = Path(__file__).resolve().parents[2]
RECORDED = "bybitlinear-BTCUSDT-1h*"
CENT = Decimal("0.01")
SHARED = Path(os.environ.get("BOTYARD_SHARED") or ROOT.parent / "shared")


@dataclass(frozen=True)
class Tape:
    """A row of prices, and the range in which most of them lie."""

    name: str
    prices: list[Decimal]
    lower: Decimal
    upper: Decimal


def recorded(
    name: str = "bybitlinear-BTCUSDT-1h*", skip: int = 500, count: int = 500
) -> Tape | None:
    """Return a stretch of recorded candles, brought to a price of about 100."""
    found = sorted((SHARED / "data" / "candles").glob(name))
    if not found:
        return None
    with gzip.open(found[0], "rt") as lines:
        candles = list(islice(parse_candles(lines), skip, skip + count))
    factor = 100 / candles[0].open
    return tape_of(found[0].name, [scaled(candle, factor) for candle in candles])


def made(seed: int, count: int = 2000) -> Tape:
    """Return made prices."""
    return tape_of(f"made prices, seed {seed}", candles_of(wander(seed, count)))


def for_ever(tape: Tape, skip: int = 0) -> Iterator[Decimal]:
    """Walk the prices there and back again, beginning at one that lies well within the range."""
    middle = (tape.upper - tape.lower) / 4
    inside = (
        number
        for number, price in enumerate(tape.prices[skip:], skip)
        if tape.lower + middle < price < tape.upper - middle
    )
    yield from tape.prices[next(inside) :]
    while True:
        yield from reversed(tape.prices)
        yield from tape.prices


def tape_of(name: str, candles: Sequence[Candle]) -> Tape:
    """Return the prices of candles as a back-test walks them, and where most of them lie."""
    prices = path_of(candles)
    ordered = sorted(prices)
    return Tape(name, prices, ordered[len(ordered) // 10], ordered[-len(ordered) // 10])


def scaled(candle: Candle, factor: Decimal) -> Candle:
    """Return a candle at another price, in whole cents."""
    first, high, low, last = (
        (price * factor).quantize(CENT, ROUND_HALF_EVEN) for price in candle[1:5]
    )
    return Candle(candle.ts_ms, first, high, low, last, candle.volume)
