"""Every recording outside the checkout: checked, and its first thousand candles played."""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest

from app.markets.recordings import choose_recordings
from app.markets.replay import PATH, ReplaySource
from app.trading.market import candle_path
from tests.long import few
from tests.markets.recorded import state_of

SHARED = Path(os.environ.get("BOTYARD_SHARED") or Path(__file__).parents[3] / "shared").resolve()
FILES = sorted((SHARED / "data" / "candles").glob("*.csv*"))
NAME = re.compile(
    r"(bybit|binance|okx|kucoin|mexc)(linear|usdm)?"
    r"-(\w+)(USDT|USDC|USD|EUR|BTC|ETH)-(\d+)([mhd])\b.*\.csv(\.gz)?"
)
KNOWN = [file for file in FILES if NAME.fullmatch(file.name)]
LENGTHS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CANDLES = 1000

pytestmark = pytest.mark.shared


@pytest.mark.parametrize("file", few(KNOWN, 8), ids=lambda file: file.name)
def test_recording_is_good_and_its_first_thousand_candles_are_played(file: Path) -> None:
    choice = choose_recordings(file)
    recording = choice.chosen[0]
    source = ReplaySource(choice, Decimal(600))
    state = state_of(recording.symbol, recording.exchange)
    history = source.history(state, NOW)
    start = history.position // PATH
    source.join(replace(state, position=history.position), NOW)
    expected = [
        price
        for candle in islice(recording.candles(start), CANDLES)
        for price in candle_path(candle)
    ]
    played: list[Decimal] = []
    now = NOW
    times = []
    # Each look that is due brings a point.
    for _ in expected:
        due = source.next_due()
        if due is None or len(played) >= len(expected):
            break
        now = max(now, due) + timedelta(milliseconds=1)
        for point in source.take(now).points.get(1, []):
            played.append(point.price)
            times.append(point.at)
    assert played[: len(expected)] == expected
    assert times == sorted(times)
    # Of a single candle nothing can lie in the past.
    has_past = len(list(islice(recording.candles(), 2))) > 1
    assert (start > 0) is has_past
    assert bool(history.hours) is has_past


def test_folder_plays_the_finest_file_of_each_pair_and_says_what_it_skips() -> None:
    choice = choose_recordings(SHARED / "data" / "candles")
    pairs = {(one.exchange, one.symbol): one.timeframe_ms for one in choice.chosen}
    finest: dict[tuple[str, str], int] = {}
    for file in KNOWN:
        found = NAME.fullmatch(file.name)
        assert found is not None
        exchange, contract, base, quote, count, unit, _ = found.groups()
        pair = (exchange, f"{base}/{quote}" + (f":{quote}" if contract else ""))
        length_ms = int(count) * LENGTHS_MS[unit]
        finest[pair] = min(length_ms, finest.get(pair, length_ms))
    assert pairs == finest
    for known, length_ms in {
        ("bybit", "BTC/USDT"): 300_000,
        ("binance", "BTC/USDT"): 300_000,
        ("binance", "FIL/USDT:USDT"): 60_000,
        ("bybit", "BTC/USDT:USDT"): 900_000,
    }.items():
        assert pairs[known] <= length_ms
    assert len(choice.chosen) + len(choice.skipped) == len(FILES)
