"""Coins that lots and fees keep from being sold wait, and are sold as soon as they fill a lot."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.backtest import run_backtest
from app.trading.market import FeeSide, exact
from app.trading.orders import Order, Purpose, Side, Status
from app.trading.performance import figures
from app.trading.position import Holdings
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_news import answering_order
from app.trading.strategies.grid_state import NOTHING, Sums
from tests.examples import tried
from tests.long import thinned
from tests.trading.world import Desk, Faults, candles, grid, market

# The rules of a big venue for its largest pair: a lot is worth about 1 USDT.
BTC = market(
    symbol="BTC/USDT",
    base="BTC",
    tick=D("0.01"),
    lot=D("0.00001"),
    min_quantity=D("0.00001"),
    min_notional=D(5),
)


def test_what_does_not_fill_a_lot_waits() -> None:
    bought = Sums(D(2), D(200), D("0.002"), D(0))
    answer = answering_order(market(lot=D("0.01")), bought, NOTHING)
    assert answer.quantity == D("1.99")
    assert answer.carried.coins == D("0.008")
    assert answer.opening.joined(answer.carried) == bought


def test_what_waits_is_sold_along_at_its_own_cost_once_it_fills_a_lot() -> None:
    bought = Sums(D(2), D(200), D("0.002"), D(0))
    waiting = Sums(D("0.009"), D(7), D(0), D("0.1"))
    answer = answering_order(market(lot=D("0.01")), bought, waiting)
    assert answer.quantity == D(2)
    assert answer.opening.fee_quote == D("0.1")
    # 1.991 of 1.998 new coins, and everything that waited.
    own, rest = bought.split(D("1.991"))
    assert answer.opening == own.joined(waiting)
    assert answer.carried == rest
    assert rest.coins == D("0.007")


@given(
    st.decimals(D("0.001"), 1000, places=3),
    st.sampled_from([D(0), D("0.00075"), D("0.001"), D("0.1")]),
    st.decimals(0, 5, places=6),
    st.decimals(D("0.01"), 100_000, places=2),
)
@exact
def test_a_split_loses_neither_coins_nor_cost(quantity: D, fee: D, waiting: D, price: D) -> None:
    on = market(lot=D("0.01"))
    bought = Sums(quantity, quantity * price, quantity * fee, D(0))
    carried = Sums(waiting, waiting * price, D(0), D("0.01"))
    answer = answering_order(on, bought, carried)
    assert answer.opening.joined(answer.carried) == bought.joined(carried)
    assert answer.opening.coins == answer.quantity
    assert answer.carried.coins < max(on.lot or D(0), D("0.01"))


def sweep(bottom: str, top: str, times: int) -> list[tuple[str, str, str, str]]:
    return [(bottom, top, bottom, top), (top, top, bottom, bottom)] * times


@thinned(10)
def test_ten_thousand_round_trips_starve_no_level(step: int) -> None:
    params = {
        "lower": "60000",
        "upper": "70000",
        "grids": "50",
        "investment": "6000",
        "spacing": "geometric",
    }
    result = run_backtest(
        "grid",
        params,
        BTC,
        candles(("65000", "65000", "65000", "65000"), *sweep("59990", "70010", 210 // step)),
    )
    assert len(result.matches) > 10_000 // step
    assert not [line.code for line in result.events if line.code.startswith("denied_")]
    assert result.figures.grid > 0
    assert all(match.profit > 0 for match in result.matches[-50:])
    # At the bottom every level has bought: q on each, and less than a lot beside.
    sizes = {
        o.quantity for o in result.orders if o.key.side is Side.BUY and o.key.level is not None
    }
    assert len(sizes) == 1
    held = result.books.position.base
    standing = [o for o in result.orders if o.status.is_live]
    assert {order.key.side for order in standing} == {Side.SELL}
    selling = sum((order.remaining for order in standing), D(0))
    assert 0 <= held - selling < D("0.00001")


walks = st.lists(
    st.integers(7500, 12500).map(lambda cents: D(cents) / 100), min_size=8, max_size=80
)
coarse = st.builds(
    market,
    lot=st.sampled_from([D("0.001"), D("0.01"), D("0.1")]),
    maker_fee=st.sampled_from([D("0.001"), D("0.00075"), D("0.004")]),
    taker_fee=st.sampled_from([D("0.001"), D("0.0015")]),
    fee_side=st.sampled_from(FeeSide),
)
shapes = st.fixed_dictionaries(
    {
        "grids": st.integers(2, 12),
        "spacing": st.sampled_from(["arithmetic", "geometric"]),
        "sizing": st.sampled_from(["equal_base", "equal_quote"]),
        "reserve": st.just("0.05"),
        "investment": st.just("3000"),
    }
)


@tried(25)
@given(walks, shapes, coarse, st.booleans(), st.integers(0, 10**6))
@exact
def test_coins_are_never_lost_and_less_than_a_lot_waits(
    walk: list[D], changes: dict[str, Any], on: Any, partial: bool, seed: int
) -> None:
    desk = Desk(grid(**changes), on, D(100), faults=Faults(seed=seed, partial=partial))
    desk.see("100")
    for price in walk:
        desk.see(price)
        position = desk.books.position
        flows = sum(
            (each.quantity if each.side is Side.BUY else -each.quantity) for each in desk.fills
        )
        fees = sum(each.fee for each in desk.fills if each.fee_currency == on.base)
        assert position.base == flows - fees
        assert desk.state.carried.coins < (on.lot or D(0))
        assert position.base == coins_accounted(desk)
        shown = figures(desk.books, desk.price, on)
        assert shown.total == shown.grid + shown.price_change
        assert not [code for code in desk.codes() if code.startswith("denied_")]


def coins_accounted(desk: Desk) -> D:
    """Sum the coins that sells stand for, that wait, and that an open buy has filled so far."""
    live = {o.key: o for o in desk.orders.values() if o.status.is_live}
    total = desk.state.carried.coins
    for slot in desk.state.slots:
        if slot.side is Side.SELL:
            total += slot.remaining
        else:
            total += slot.done.coins
    for order in live.values():
        if order.key.purpose is Purpose.GRID:
            total += order.filled - order.fee_base if order.key.side is Side.BUY else -order.filled
    return total


def test_an_untradable_rest_of_a_sell_is_sold_by_the_next_one() -> None:
    on = market(maker_fee=D(0), taker_fee=D(0), min_notional=D(50))
    desk = Desk(grid(reserve="0"), on, D(95))
    desk.see("95")
    sell = next(o for o in desk.orders.values() if o.price == D(110))
    part = replace(sell, status=Status.CANCELLED, filled=D("2.4"), value=D(264))
    buy = next(o for o in desk.orders.values() if o.price == D(90))
    bought = replace(buy, status=Status.FILLED, filled=buy.quantity, value=buy.quantity * 90)
    view = desk.view()
    others = tuple(o for o in view.orders if o.client_id not in {sell.client_id, buy.client_id})
    state = view.state
    for order in (part, bought):
        told = replace(view, orders=(order, *others), holdings=Holdings(D(20), D(900)), state=state)
        state = GRID.decide(told).state
    assert state.slots[2].side is Side.BUY
    assert state.slots[1].quantity == D("2.777") + D("0.377")
    assert state.carried == NOTHING


def test_what_is_too_small_to_sell_waits_while_the_level_buys_again() -> None:
    on = market(maker_fee=D(0), taker_fee=D(0), min_notional=D(130))
    desk = Desk(grid(reserve="0"), on, D(95))
    desk.see("95")
    buy = next(o for o in desk.orders.values() if o.price == D(90))
    part = replace(buy, status=Status.CANCELLED, filled=D("1.35"), value=D("121.5"))
    # 1.427 are left: 128 at 90 are below the minimum, and so are 1.35 at 100... 135 are not.
    decided = GRID.decide(told_alone(desk, part))
    assert decided.state.slots[1].quantity == D("1.35")
    tiny = replace(buy, status=Status.FILLED, quantity=D(1), filled=D(1), value=D(90))
    decided = GRID.decide(told_alone(desk, tiny))
    slot = decided.state.slots[1]
    assert (slot.side, slot.cycle, slot.quantity) == (Side.BUY, 1, D("2.777"))
    assert decided.state.carried == Sums(D(1), D(90), D(0), D(0))
    assert [event.code for event in decided.events] == ["level_bought", "level_too_small_to_sell"]


def told_alone(desk: Desk, order: Order) -> Any:
    view = desk.view()
    others = tuple(each for each in view.orders if each.client_id != order.client_id)
    return replace(view, orders=(order, *others), holdings=Holdings(D(20), D(900)))


def test_what_the_first_purchase_leaves_over_waits_too() -> None:
    desk = Desk(grid(), market(lot=D("0.01")), D(95))
    desk.see("95")
    sells = sum(q for side, _, q in desk.resting() if side == "sell")
    assert desk.state.carried.coins == desk.books.position.base - sells
    assert 0 < desk.state.carried.coins < D("0.01")


@pytest.mark.parametrize("name", ["carried"])
def test_a_state_of_before_coins_were_carried_is_still_read(name: str) -> None:
    desk = Desk(grid(), market(), D(95))
    stored = GRID.encode_state(desk.state)
    assert name not in stored
    for member in ("needed", "bought"):
        del stored["entry"][member]
    read = GRID.decode_state(stored)
    assert read.carried == NOTHING
    assert read.entry is not None
    assert read.entry.needed is None


def test_with_more_coins_than_the_sells_need_the_cash_alone_pays_the_buys() -> None:
    free = market(maker_fee=D(0), taker_fee=D(0))
    funds = Holdings(D(9), D(300))
    fitting = GRID.within_funds(grid(reserve="0"), free, D(95), funds)
    plan = GRID.plan(fitting, free, D(95))
    assert plan.quote_reserved is not None
    assert D(290) < plan.quote_reserved <= 300
    state = GRID.start_state(grid(reserve="0"), free, D(95), funds)
    assert state.unit == plan.quantity
    assert state.entry is None
