"""Live is paper is back-test: the same fills, exactly, over the same candles fed in lock-step.

Three venues of three makers take part: the stand-in for a real exchange with its own matcher, the
paper venue, and the book of the back-test. The feed waits until every woken account has ticked. The
stand-in is met twice: as an object, and over HTTP through the real library with signed requests.
`make check-parity` takes longer stretches and every recording over HTTP too.
"""

import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from app.bots import wake
from app.bots.live import real_side, tick_accounts
from app.db import db
from app.markets.models import MarketRow
from app.markets.queries import to_market
from app.trading.backtest import BacktestResult, run_backtest
from app.trading.candles import parse_candles
from app.trading.funding import FundingRate
from app.trading.market import Candle, candle_path
from app.trading.strategies.grid import GRID as GRID_STRATEGY
from app.transactions import transaction
from tests.bots.live_world import GRID, HOLDER, World, candles_of, wander
from tests.bots.test_live import paper_market
from tests.chaos.prices import scaled, tape_of
from tests.conftest import shared_folder
from tests.doubles.bybit.faults import Faults
from tests.doubles.bybit.operator import Operator
from tests.doubles.bybit.server import Hand, Limits
from tests.doubles.bybit.venue import Venue
from tests.doubles.fake_exchange import FakeExchange
from tests.doubles.live import CONTRACT, LiveWorld
from tests.doubles.wire import product_at_double
from tests.long import few, twin

pytestmark = pytest.mark.usefixtures("database")

KEY = "customer-one-of-the-stand-in"
RECORDED = sorted((shared_folder() / "data" / "candles").glob("*.csv.gz"))
# So many candles of each recording; of so many the busiest stretch is taken.
SLICE = int(os.environ.get("PARITY_CANDLES", "8"))
READ = max(1500, 4 * SLICE)
IN_FULL = SLICE > 8
QUIET, SPACING = Decimal("0.3"), Decimal("0.4")
# What longs pay to shorts, in turn.
RATES = Decimal("0.0003"), Decimal("-0.0001")


# Opens a world whose exchange is the stand-in, and says how a bot gets a seat there.
Opened = tuple[LiveWorld, Callable[..., int]]


@pytest.fixture
def as_object(monkeypatch: pytest.MonkeyPatch, database: None) -> Opened:
    """Meet the stand-in without a wire."""
    venue, faults = Venue(), Faults()
    live = LiveWorld(Hand(Operator(venue, faults, Limits())))

    def seat(**params: Any) -> int:
        (real,) = live.add_fake_seat(KEY, **params).bots
        exchange = FakeExchange(venue, KEY, {live.symbol: ("spot", "AAAUSDT")}, faults)
        monkeypatch.setattr(real_side, "open_venue", lambda account_id: exchange)
        return real

    return live, seat


@pytest.fixture
def over_http(database: None) -> Iterator[Opened]:
    """Meet the stand-in over HTTP, through the real library."""
    with product_at_double() as server:
        live = LiveWorld(server.operator_hand())

        def seat(**params: Any) -> int:
            (real,) = live.add_seat(KEY, **params).bots
            return real

        yield live, seat


def live_and_paper(
    opened: Opened, candles: Sequence[Candle], params: dict[str, Any]
) -> tuple[LiveWorld, int, int]:
    """Let a live and a paper bot trade side by side, price by price; return both."""
    live, seat = opened
    prices = tape_of("", candles).prices
    live.play(prices[0])
    real = seat(**params)
    paper = live.world.add_bot(**params)
    live.tick()
    for price in prices[1:]:
        live.play(price)
        tick_woken(live.world, price)
    live.tick()
    return live, real, paper


def tick_woken(world: World, price: Decimal) -> None:
    """Let the feed wait until everybody has ticked whom this price has woken."""
    tick_accounts(wake.pop_crossed(world.market_id, price, price), HOLDER)


def traded(live: LiveWorld, bot: int) -> list[tuple[Any, ...]]:
    """Return a bot's fills as they were booked."""
    return [
        (f.side, f.price, f.quantity, f.fee, f.fee_currency, f.maker) for f in live.world.fills(bot)
    ]


def logical(live: LiveWorld, bot: int) -> list[tuple[Any, ...]]:
    """Return a bot's orders without what only the venue knows."""
    return sorted(
        (
            o.purpose, -1 if o.level is None else o.level, o.side, o.cycle, o.attempt,
            o.price or 0, o.quantity, o.status, o.filled, o.value, o.fee_base, o.fee_quote,
        )
        for o in live.world.orders(bot)
    )  # fmt: skip


def assert_all_equal(live: LiveWorld, real: int, paper: int, expected: BacktestResult) -> None:
    """Compare the three, fill by fill, order by order and in money."""
    backtest = [
        (f.side.value, f.price, f.quantity, f.fee, f.fee_currency, f.maker) for f in expected.fills
    ]
    assert traded(live, paper) == backtest
    assert traded(live, real) == backtest
    assert logical(live, real) == logical(live, paper)
    mine, theirs = live.world.metrics(real), live.world.metrics(paper)
    for name in ("quote", "base", "base_cost", "fees", "fills", "grid_profit", "matched_trades"):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert mine.grid_profit == expected.books.grid_profit
    assert live.differences() == []


def compare_made(opened: Opened, seed: int, count: int) -> None:
    """Let all three trade made candles."""
    candles = candles_of(wander(seed, count))
    expected = run_backtest("grid", GRID, paper_market(), candles, Decimal(1000))
    assert len(expected.fills) > 8
    live, real, paper = live_and_paper(opened, candles, GRID)
    assert_all_equal(live, real, paper, expected)


def compare_recorded(opened: Opened, path: Path) -> None:
    """Let all three trade the busiest stretch of a recording."""
    candles = busiest(path)
    tape = tape_of(path.name, candles)
    low, high = min(tape.prices), max(tape.prices)
    if high - low < SPACING:
        pytest.skip(f"{path.name} stands nearly still: nothing can trade there")
    # So narrow that even a quiet stretch trades, and not so narrow that fees eat it all.
    lower, upper = low - QUIET, high + QUIET
    grids = max(2, min(12, int((upper - lower) / SPACING)))
    params = {**GRID, "lower": str(lower), "upper": str(upper), "grids": str(grids)}
    expected = run_backtest("grid", params, paper_market(), candles, Decimal(1000))
    live, real, paper = live_and_paper(opened, candles, params)
    assert_all_equal(live, real, paper, expected)
    # A stretch in which nothing trades would prove nothing.
    assert len(expected.fills) > 1


def busiest(path: Path) -> list[Candle]:
    """Return the stretch of a recording that goes up and down most, brought to about 100."""
    with gzip.open(path, "rt") as lines:
        candles = list(islice(parse_candles(lines), READ))
    moved = [(candle.high - candle.low) / candle.close for candle in candles]
    starts = range(0, max(1, len(candles) - SLICE + 1), max(1, SLICE // 2))
    best = max(starts, key=lambda start: sum(moved[start : start + SLICE]))
    stretch = candles[best : best + SLICE]
    factor = 100 / stretch[0].open
    return [scaled(candle, factor) for candle in stretch]


@twin
@pytest.mark.parametrize("seed", range(2))
def test_live_is_paper_is_back_test_over_made_candles(as_object: Opened, seed: int) -> None:
    compare_made(as_object, 40 + seed, 120)


@twin
def test_live_over_http_is_paper_is_back_test_over_made_candles(over_http: Opened) -> None:
    compare_made(over_http, 43, 120)


@pytest.mark.long
def test_live_is_paper_is_back_test_for_a_geometric_grid_that_follows_the_price(
    as_object: Opened,
) -> None:
    params = {
        **GRID, "spacing": "geometric", "sizing": "equal_quote", "grids": "8", "trailing_up": True,
    }  # fmt: skip
    # It leaves the range upwards by some gaps, wandering all the way.
    prices = [price + number // 4 for number, price in enumerate(wander(44, 100))]
    candles = candles_of(prices)
    expected = run_backtest("grid", params, paper_market(), candles, Decimal(1000))
    live, real, paper = live_and_paper(as_object, candles, params)
    assert_all_equal(live, real, paper, expected)
    assert len(expected.fills) > 8
    # The ladder has moved, and alike.
    moved = [
        GRID_STRATEGY.decode_state(live.world.bot(bot).strategy_state).trail
        for bot in (real, paper)
    ]
    assert moved[0] == moved[1] > 0


@pytest.mark.long
def test_live_over_http_is_paper_is_back_test_for_a_contract_with_funding(
    over_http: Opened,
) -> None:
    live, seat = over_http
    world = live.world_of(CONTRACT)
    params = {**GRID, "direction": "neutral", "leverage": "5"}
    candles = joined(candles_of(wander(45, 80)))
    rates = {
        candle.ts_ms: RATES[number % 2] for number, candle in enumerate(candles) if number % 4 == 3
    }
    with transaction():
        market = to_market(db.session.get_one(MarketRow, world.market_id))
    funding = [FundingRate(at, rate) for at, rate in rates.items()]
    expected = run_backtest("grid", params, market, candles, Decimal(1000), funding=funding)
    live.play(candles[0].open, symbol=CONTRACT)
    real = seat(symbols=(CONTRACT,), **params)
    paper = world.add_bot(**params)
    live.tick()
    for candle in candles:
        for step, price in enumerate(candle_path(candle)):
            due = None if step else rates.get(candle.ts_ms)
            if due is not None:
                # Nobody fills at the price that was already there, so this order of things is free.
                live.hand.do("fund", symbol="AAAUSDT", rate=format(due, "f"))
            if step or candle is not candles[0]:
                at_double(live, price)
                world.play(price, funding=due)
                tick_woken(world, price)
    live.audit()
    assert_all_equal(live, real, paper, expected)
    assert len(expected.fills) > 8
    paid = [world.metrics(bot).funding for bot in (real, paper)]
    assert paid == [expected.books.funding] * 2
    assert paid[0] != 0


def at_double(live: LiveWorld, price: Decimal) -> None:
    live.hand.do("push", symbol="AAAUSDT", prices=[format(price, "f")], category="linear")


def joined(candles: Sequence[Candle]) -> list[Candle]:
    """Let each candle open at the close of the one before it."""
    found = [candles[0]]
    for candle in candles[1:]:
        before = found[-1].close
        top, bottom = max(candle.high, before), min(candle.low, before)
        found.append(Candle(candle.ts_ms, before, top, bottom, candle.close, candle.volume))
    return found


@pytest.mark.shared
@pytest.mark.parametrize("path", few(RECORDED, 20), ids=lambda path: path.name)
def test_live_is_paper_is_back_test_over_recorded_candles(as_object: Opened, path: Path) -> None:
    compare_recorded(as_object, path)


@pytest.mark.shared
@pytest.mark.parametrize(
    "path", few(RECORDED, 1 if IN_FULL else len(RECORDED)), ids=lambda path: path.name
)
def test_live_over_http_is_paper_is_back_test_over_recorded_candles(
    over_http: Opened, path: Path
) -> None:
    compare_recorded(over_http, path)
