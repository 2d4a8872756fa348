"""Isolated margin by Bybit's rule: where a position is closed by force, and what a plan says."""

import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest

from app.trading.backtest import run_backtest
from app.trading.contracts import Stake, isolated_liquidation, taken_over_at
from app.trading.market import (
    Candle,
    FeeSide,
    MarginRule,
    MarketKind,
    PricePoint,
    Tier,
    booked,
)
from app.trading.orders import OrderKind, Side
from app.trading.simulator import LIQUIDATION, Book
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_params import Direction
from app.trading.strategies.grid_worst import MOST_TRIPS
from tests.long import few
from tests.trading.world import Desk, at, grid, market

TIERS = (Tier(D(0), D("0.005")), Tier(D(2_000_000), D("0.0056"), D(1_200)))
PERP = market(
    kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE, margin_rule=MarginRule.POSITION,
    maker_fee=D("0.0002"), taker_fee=D("0.00055"), tiers=TIERS, max_leverage=D(100),
)  # fmt: skip


@pytest.mark.parametrize(
    ("base", "leverage", "price"),
    [
        # EP·(1 - 1/leverage + MMR), by hand from the help page's formula.
        ("1", "10", "90.5"),
        ("-1", "10", "109.5"),
        ("3", "50", "98.5"),
        ("-3", "2", "149.5"),
    ],
)
def test_in_the_lowest_tier_the_price_is_that_of_the_published_formula(
    base: str, leverage: str, price: str
) -> None:
    stake = Stake(D(base), abs(D(base)) * 100)
    assert isolated_liquidation(stake, D(leverage), TIERS) == D(price)


def test_a_higher_tier_maintains_more_less_its_deduction() -> None:
    # By hand: value 2,600,000, margin 260,000, maintenance 2,600,000 · 0.0056 - 1,200 = 13,360.
    stake = Stake(D(26), D(2_600_000))
    found = isolated_liquidation(stake, D(10), TIERS)
    assert found is not None
    assert booked(found) == booked(D(100_000) - D(260_000 - 13_360) / 26)


def test_no_position_is_never_closed() -> None:
    assert isolated_liquidation(Stake(), D(10), TIERS) is None


def test_what_backs_the_position_is_gone_at_the_price_of_its_take_over() -> None:
    assert taken_over_at(Stake(D(10), D(1000)), D(5000), D(10), PERP) == 90
    assert taken_over_at(Stake(D(-10), D(1000)), D(5000), D(10), PERP) == 110


def test_a_liquidation_leaves_all_other_money() -> None:
    book = Book([PERP], {"USDT": D(5000)})
    book.set_leverage(PERP.symbol, D(10))
    book.advance(PERP.symbol, PricePoint(1, at(1), D(100)))
    book.place(PERP.symbol, "a", Side.BUY, OrderKind.MARKET, None, D(10), at(1))
    paid = book.balance("USDT").total
    assert book.advance(PERP.symbol, PricePoint(2, at(2), D("90.51"))) == []
    (fill,) = book.advance(PERP.symbol, PricePoint(3, at(3), D("90.5")))
    assert (fill.client_id, fill.price) == (LIQUIDATION, D(90))
    assert book.balance("USDT").total == paid - 100
    assert book.balance("USDT").locked == 0


def test_a_leverage_for_which_the_margin_is_not_there_is_refused() -> None:
    book = Book([PERP], {"USDT": D(150)})
    assert book.set_leverage(PERP.symbol, D(10))
    book.advance(PERP.symbol, PricePoint(1, at(1), D(100)))
    book.place(PERP.symbol, "a", Side.BUY, OrderKind.MARKET, None, D(10), at(1))
    before = book.balance("USDT")
    assert not book.set_leverage(PERP.symbol, D(2))
    assert book.balance("USDT") == before
    assert book.set_leverage(PERP.symbol, D(20))
    assert book.balance("USDT").free > before.free


def candle(number: int, price: D) -> Candle:
    return Candle(number * 60_000, price, price, price, price, D(1))


def fell(*prices: str) -> list[Candle]:
    return [candle(number, D(price)) for number, price in enumerate(prices)]


@pytest.mark.parametrize("leverage", ["3", "8", "20", "60"])
def test_the_plan_names_the_liquidation_that_a_falling_price_meets(leverage: str) -> None:
    params = grid(lower="90", upper="110", grids="10", leverage=leverage, reserve="0.05")
    plan = GRID.plan(params, PERP, D(100))
    assert plan.liquidation is not None
    forced = plan.liquidation.below
    assert forced is not None
    encoded = GRID.encode_params(params)
    cents = forced.quantize(D("0.01"))
    # The price sinks in small steps, so that every order above has filled before.
    way = ["100", *(format(D(100) - D(n) / 4, "f") for n in range(1, 200))]
    above = [each for each in way if D(each) > cents + D("0.02")]
    for last, end in ((cents + D("0.02"), None), (cents - D("0.02"), "liquidated")):
        result = run_backtest("grid", encoded, PERP, fell(*above, str(last)), funding=())
        assert result.finished == end, (leverage, last)


def test_a_grid_that_would_be_closed_on_its_way_says_where_and_what_is_lost() -> None:
    params = grid(lower="90", upper="110", grids="10", leverage="60", reserve="0.05")
    plan = GRID.plan(params, PERP, D(100))
    assert plan.liquidation is not None
    assert plan.worst_case is not None
    forced = plan.liquidation.below
    assert forced is not None
    assert forced > params.lower
    assert "liquidation_inside_range" in [each.code for each in plan.warnings]
    assert (plan.worst_case.price, plan.worst_case.coins) == (forced, D(0))
    assert 0 < plan.worst_case.loss < (plan.investment or D(0))
    short = GRID.plan(replace(params, direction=Direction.SHORT), PERP, D(100))
    assert short.liquidation is not None
    assert short.worst_case is not None
    assert short.liquidation.above == short.worst_case.price


def test_leverage_beyond_what_the_venue_takes_is_refused() -> None:
    plan = GRID.plan(grid(leverage="101"), PERP, D(100))
    assert [each.code for each in plan.errors] == ["leverage_too_high"]
    assert GRID.plan(grid(leverage="100"), PERP, D(100)).errors == ()
    fine = GRID.plan(grid(leverage="2.505"), PERP, D(100))
    assert [each.code for each in fine.errors] == ["leverage_too_fine"]


def test_a_stop_loss_that_keeps_a_position_is_warned_of() -> None:
    def codes(**values: str) -> list[str]:
        return [each.code for each in GRID.plan(grid(**values), PERP, D(100)).warnings]

    assert "stop_keeps_position" in codes(stop_loss="70", at_exit="keep")
    assert "stop_keeps_position" in codes(stop_loss_share="0.2", at_exit="keep")
    assert "stop_keeps_position" not in codes(stop_loss="70", at_exit="sell")
    assert "stop_keeps_position" not in codes(at_exit="keep")


@pytest.mark.parametrize("reserve", few(["0.02", "0.05", "0.2"], 2))
@pytest.mark.parametrize("leverage", few(["3", "5", "10"], 2))
@pytest.mark.parametrize("direction", list(Direction))
def test_a_plan_says_after_how_many_trips_at_an_end_the_margin_runs_short(
    direction: Direction, leverage: str, reserve: str
) -> None:
    params = grid(
        lower="95", upper="105", grids=10, direction=direction, leverage=leverage, reserve=reserve
    )
    told = {
        D(str(each.values["price"])): each.values["trips"]
        for each in GRID.plan(params, PERP, D(100)).warnings
        if each.code == "margin_runs_short"
    }
    ends = {
        D(95): ("94.9", "96.1"), D(105): ("105.1", "103.9"),
    }  # fmt: skip
    # A long grid is full at its lower end only, a short one at its upper.
    full = {Direction.LONG: (D(95),), Direction.SHORT: (D(105),)}.get(direction, (D(95), D(105)))
    assert set(told) <= set(full)
    for end in full:
        out, back = ends[end]
        desk = Desk(params, PERP, D(100))
        desk.see("100")
        desk.see(out)
        trips = 0
        while not _runs_short(desk) and trips < MOST_TRIPS:
            trips += 1
            desk.see(back)
            desk.see(out)
        assert told.get(end) == (trips if _runs_short(desk) else None)


def _runs_short(desk: Desk) -> bool:
    """Tell whether an order was denied for lack of margin, or went out smaller, or waits."""
    smaller = any(quantity < desk.state.unit for _, _, quantity in desk.resting())
    denied = {"denied_over_margin", "orders_without_margin"} & set(desk.codes())
    return smaller or bool(denied)


def test_coins_never_lack_margin() -> None:
    coins = GRID.plan(grid(lower="95", upper="105", grids=10), market(), D(100))
    assert "margin_runs_short" not in [each.code for each in coins.warnings]


WAYS = {"up": (True, False), "down": (False, True), "both": (True, True)}


class Follower(Desk):
    """A neutral grid that follows the price, which wanders about."""

    def __init__(self, leverage: str, way: str) -> None:
        up, down = WAYS[way]
        params = grid(
            lower="95", upper="105", grids=10, direction=Direction.NEUTRAL, leverage=leverage,
            reserve="0.05", trailing_up=up, trailing_down=down,
        )  # fmt: skip
        super().__init__(params, PERP, D(100))
        self.moves = [-3, -2, -1, 1, 2, 3, *{"up": (2,), "down": (-2,), "both": ()}[way]]
        self.source = random.Random(3)
        self.see("100")

    def wander(self) -> bool:
        """Let the next price happen, unless it would end the position."""
        price = self.price + self.source.choice(self.moves) * D("0.37")
        if self.book._ledger.is_liquidated(PERP, price):
            return False
        self.see(price)
        return True

    @property
    def missing(self) -> int:
        """Count the orders that it wants and that do not stand."""
        wanted = len(self.state.slots) + sum(slot.twin is not None for slot in self.state.slots)
        return wanted - len(self.resting())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("leverage", ["5", "10"])
def test_a_neutral_grid_that_follows_the_price_waits_for_margin_and_was_warned(
    leverage: str, way: str
) -> None:
    desk = Follower(leverage, way)
    warned = {each.code for each in GRID.plan(desk.params, PERP, D(100)).warnings}
    assert {"trailing_margin", "trailing_liquidation"} <= warned
    was_short = False
    for _ in range(120):
        if not desk.wander():
            break
        was_short |= desk.missing > 0
    told = Counter(desk.codes())
    refused = {"denied_over_margin", "order_denied", "order_rejected", "level_paused"}
    assert not refused & set(told)
    assert told["orders_without_margin"] == was_short


def test_orders_that_wait_for_margin_go_out_when_there_is_more() -> None:
    desk = Follower("10", "up")
    while desk.missing == 0:
        assert desk.wander()
    orders = len(desk.orders)
    desk.settle()
    assert len(desk.orders) == orders
    desk.book._ledger.move("USDT", D(500), D(0))
    desk.books = replace(
        desk.books, position=replace(desk.books.position, quote=desk.books.position.quote + 500)
    )
    desk.settle()
    assert desk.missing == 0


def test_a_limit_before_the_margin_ends_is_no_cause_for_a_warning() -> None:
    def codes(**values: Any) -> set[str]:
        params = grid(
            lower="95", upper="105", grids=10, direction=Direction.NEUTRAL, leverage="2", **values
        )
        found = {each.code for each in GRID.plan(params, PERP, D(100)).warnings}
        return found & {"trailing_margin", "trailing_liquidation"}

    assert codes() == set()
    roomy = {"reserve": "0.3", "trailing_up": True}
    assert codes(**roomy) == {"trailing_margin", "trailing_liquidation"}
    assert codes(**roomy, trailing_up_limit="110") == set()
    assert codes(**roomy, trailing_up_limit="140") == {"trailing_margin"}
    assert codes(reserve="0.6", trailing_down=True, trailing_down_limit="90") == set()
