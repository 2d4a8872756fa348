"""A venue changes its lot or its minimum while a grid runs: orders are fitted, and books exact."""

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.market import FeeSide, MarginRule, MarketKind, exact
from app.trading.orders import Side, Status
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_state import Phase
from app.trading.strategy import StopHow
from tests.examples import tried
from tests.trading.world import Desk, grid, market

VAIN = {Status.REJECTED, Status.DENIED}


def contract(**changes: Any) -> Any:
    rules = {
        "kind": MarketKind.LINEAR, "margin_rule": MarginRule.POSITION, "maker_fee": D(0),
        "fee_side": FeeSide.QUOTE,
    }  # fmt: skip
    return market(**{**rules, "taker_fee": D(0), **changes})


def desk(on: Any, price: str = "95", **changes: Any) -> Desk:
    opened = Desk(grid(**changes), on, D(price))
    opened.see(price)
    return opened


def in_vain(of: Desk) -> list[tuple[Status, Side, D]]:
    return [(o.status, o.key.side, o.quantity) for o in of.orders.values() if o.status in VAIN]


@exact
def assert_exact(of: Desk) -> None:
    """Coins of gaps and of dust are no more than what is held; the venue has the same books."""
    held = of.books.position.base
    if of.market.kind is MarketKind.SPOT:
        assert of.book.balance("ABC").total == held
        closing = sum((s.remaining for s in of.state.slots if s.side is Side.SELL), D(0))
        assert closing + of.state.carried.coins <= held
    else:
        assert of.book.stake(of.market.symbol).base == held
    earned = sum((match.profit for match in of.matches), D(0))
    assert of.books.grid_profit == earned


def test_orders_go_out_in_the_lot_of_now_and_what_falls_away_is_kept() -> None:
    started = desk(market())
    before = started.resting()
    started.change_rules(lot=D("0.1"))
    started.see("79")
    started.see("121")
    started.see("79")
    assert in_vain(started) == []
    assert len(started.resting()) == len(before) == 4
    placed = [order for order in started.orders.values() if order.key.level is not None][4:]
    assert len(placed) > 6
    assert all(order.quantity % D("0.1") == 0 for order in placed)
    assert started.state.carried.coins > 0
    assert_exact(started)


def test_the_owner_is_told_once_of_each_change() -> None:
    started = desk(market())
    started.change_rules(lot=D("0.1"))
    for price in ("79", "121", "79", "121"):
        started.see(price)
    (line,) = [each for each in started.events if each.code == "orders_smaller"]
    assert (line.values["symbol"], line.values["lot"]) == ("ABC/USDT", "0.1")
    started.change_rules(lot=D("0.5"))
    started.see("79")
    started.see("121")
    assert started.codes().count("orders_smaller") == 2


def test_what_waits_as_dust_goes_along_with_a_later_sell() -> None:
    started = desk(market(lot=D("0.01")))
    started.change_rules(lot=D("1"))
    for _ in range(4):
        started.see("79")
        started.see("121")
    assert in_vain(started) == []
    # All was sold at the top, but what does not fill a lot of now.
    assert started.books.position.base < 1
    assert_exact(started)


def test_orders_that_are_too_small_by_now_wait_without_a_refusal() -> None:
    started = desk(market())
    started.change_rules(min_notional=D(300))
    started.see("89")
    assert in_vain(started) == []
    # The sell that answers is worth about 230: its coins wait, told once.
    assert started.resting() and started.codes().count("orders_too_small") == 1
    started.see("121")
    started.see("79")
    assert in_vain(started) == []
    assert started.codes().count("orders_too_small") == 1
    assert_exact(started)
    started.change_rules(min_notional=D(1))
    started.see("85")
    assert len(started.resting()) == 4


def test_a_stop_sells_what_waited() -> None:
    started = desk(market())
    started.change_rules(min_notional=D(300))
    started.see("89")
    started.see("79", stop=StopHow.SELL)
    assert started.finished == "stop_requested"
    assert started.books.position.base < D("0.001")


@pytest.mark.parametrize("direction", ["long", "short", "neutral"])
def test_contracts_are_fitted_alike(direction: str) -> None:
    started = desk(contract(), direction=direction, leverage="2")
    started.change_rules(lot=D("0.1"))
    for price in ("121", "79", "121", "79", "100"):
        started.see(price)
    assert in_vain(started) == []
    assert len(started.resting()) == 4
    assert_exact(started)


def test_the_last_buy_of_a_short_takes_only_what_is_owed() -> None:
    # The first sale is cut to the lot of now: the orders that close it owe more than there is.
    params = grid(direction="short", leverage="2")
    started = Desk(params, contract(), D(95))
    started.change_rules(lot=D("3"))
    started.see("95")
    assert in_vain(started) == []
    buys = sum(quantity for side, _, quantity in started.resting() if side == "buy")
    assert buys <= -started.books.position.base
    started.see("79")
    assert started.books.position.base <= 0
    assert in_vain(started) == []


def test_a_rest_that_is_no_lot_any_more_counts_as_done() -> None:
    started = desk(market())
    buy = next(o for o in started.orders.values() if o.price == D(90))
    started.see("89", liquidity=D("1.5"))
    started.change_rules(lot=D(2), min_quantity=D(2))
    started._cancel(buy.client_id)
    started.settle()
    # The rest of 1.2 is no order, and what was bought is none either: it is kept as dust.
    assert D("1.4985") <= started.state.carried.coins < D("1.5")
    assert_exact(started)


LOTS = st.sampled_from(["0.001", "0.01", "0.05", "0.1", "0.3", "1"])
PRICES = st.lists(st.sampled_from(["79", "85", "91", "99", "104", "112", "121"]), max_size=5)


@tried(30)
@given(
    kind=st.sampled_from(["spot", "long", "short", "neutral"]),
    sizing=st.sampled_from(["equal_base", "equal_quote"]),
    reserve=st.sampled_from(["0", "0.1"]),
    fee=st.sampled_from([D(0), D("0.001")]),
    course=st.lists(st.tuples(LOTS, st.sampled_from(["1", "60", "250"]), PRICES), max_size=4),
)
def test_whatever_the_rules_become_nothing_is_refused_and_books_stay_exact(
    kind: str, sizing: str, reserve: str, fee: D, course: list[tuple[str, str, list[str]]]
) -> None:
    fees = {"maker_fee": fee, "taker_fee": fee}
    on = market(**fees) if kind == "spot" else contract(**fees)
    more = {} if kind == "spot" else {"direction": kind, "leverage": "2"}
    started = desk(on, sizing=sizing, reserve=reserve, **more)
    for lot, least, prices in course:
        started.change_rules(lot=D(lot), min_notional=D(least))
        for price in prices:
            started.see(price)
        assert in_vain(started) == []
        assert started.state.phase is Phase.RUNNING
        assert_exact(started)
        assert GRID.decode_state(GRID.encode_state(started.state)) == started.state


@pytest.mark.parametrize("direction", ["long", "short", "neutral"])
def test_without_a_reserve_the_last_order_of_a_leveraged_grid_is_smaller_not_denied(
    direction: str,
) -> None:
    started = desk(
        contract(maker_fee=D("0.001"), taker_fee=D("0.001")),
        direction=direction, leverage="5", reserve="0",
    )  # fmt: skip
    assert in_vain(started) == []
    assert len(started.resting()) == (5 if direction == "neutral" else 4)
    for price in ("79", "121", "79", "121", "95"):
        started.see(price)
        assert in_vain(started) == []
    assert started.book.balance("USDT").free >= 0
    assert_exact(started)


@pytest.mark.parametrize(
    ("kind", "price"), [("spot", "80"), ("long", "80"), ("short", "120"), ("neutral", "80")]
)
def test_without_a_reserve_a_first_trade_of_all_the_money_pays_its_fee(
    kind: str, price: str
) -> None:
    fees = {"maker_fee": D("0.001"), "taker_fee": D("0.001"), "fee_side": FeeSide.QUOTE}
    on = market(**fees) if kind == "spot" else contract(**fees)
    more = {} if kind == "spot" else {"direction": kind, "leverage": "2"}
    started = desk(on, price, reserve="0", **more)
    assert in_vain(started) == []
    assert len(started.resting()) == 4
    for each in ("100", "79", "121", "95"):
        started.see(each)
        assert in_vain(started) == []
    assert_exact(started)
