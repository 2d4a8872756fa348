"""Candles per second of a grid back-test: `python -m bench.backtest`.

A year of 1-minute candles from a fixed recurrence (the same on every machine), and the recorded
FIL/USDT candles where the folder of recorded data is at hand.
"""

import gzip
import os
import time
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

from app.trading.backtest import run_backtest
from app.trading.candles import parse_candles
from app.trading.market import Candle, FeeSide, Market

MINUTES_IN_YEAR = 365 * 24 * 60
FIRST_MS = 1_704_067_200_000
MINUTE_MS = 60_000
CENTS = Decimal("0.01")
RECORDED = "candles/binanceusdm-FILUSDT-1m.csv.gz"

MARKET = Market(
    symbol="ABC/USDT",
    base="ABC",
    quote="USDT",
    tick=CENTS,
    lot=Decimal("0.0001"),
    min_notional=Decimal(5),
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
    fee_side=FeeSide.RECEIVED_ASSET,
)


def synthetic_candles(count: int, seed: int = 7) -> Iterator[Candle]:
    """Yield candles of a price that wanders around 100.00 by a linear congruential generator."""
    state, price = seed, 10_000
    for number in range(count):
        path = [price]
        for _ in range(4):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            pull = (10_000 - path[-1]) // 4000
            path.append(max(1, path[-1] + (state >> 40) % 21 - 10 + pull))
        yield Candle(
            FIRST_MS + number * MINUTE_MS,
            path[0] * CENTS,
            max(path) * CENTS,
            min(path) * CENTS,
            path[-1] * CENTS,
            Decimal(1),
        )
        price = path[-1]


def recorded_candles(path: Path) -> Iterator[Candle]:
    """Yield the recorded candles of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from parse_candles(lines)


def measure(name: str, candles: Iterable[Candle], lower: str, upper: str, grids: int) -> None:
    """Run one back-test and print its speed."""
    params = {
        "lower": lower,
        "upper": upper,
        "grids": grids,
        "spacing": "geometric",
        "investment": "10000",
    }
    started = time.perf_counter()
    result = run_backtest("grid", params, MARKET, candles)
    seconds = time.perf_counter() - started
    print(
        f"{name}: {grids} grids, {result.candles:,} candles, {len(result.fills):,} fills,"
        f" {seconds:.2f} s, {result.candles / seconds:,.0f} candles/s"
    )


def main() -> None:
    """Measure the made-up year with few and many grids, then the recording if it is there."""
    year = list(synthetic_candles(MINUTES_IN_YEAR))
    measure("synthetic year of 1m, in memory", year, "80", "125", 50)
    measure("synthetic year of 1m, in memory", year, "80", "125", 200)
    recorded = Path(os.environ.get("BOTYARD_SHARED", "../shared")) / "data" / RECORDED
    if not recorded.is_file():
        print(f"no recording at {recorded} (set BOTYARD_SHARED)")
        return
    measure("FIL/USDT 1m, read from .csv.gz", recorded_candles(recorded), "2.5", "9", 50)


if __name__ == "__main__":
    main()
