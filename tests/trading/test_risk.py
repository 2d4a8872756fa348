"""Limits: what an intent must pass, and how the budget is used up."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.contracts import Stake, margin
from app.trading.engine import tick
from app.trading.intents import Cancel, Intent, Place, reason
from app.trading.ledger import Ledger
from app.trading.market import FeeSide, MarketKind, Triggers, exact
from app.trading.orders import Order, OrderKey, OrderKind, Purpose, Side, Status
from app.trading.position import Holdings
from app.trading.risk import NO_LIMITS, Limits, MarginLeft, check, standing_orders
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_fit import Fitter
from app.trading.strategies.grid_state import GridState, Phase, Slot
from app.trading.strategy import Severity, View
from tests.examples import tried
from tests.trading.world import Desk, at, grid, market

WHY = reason("test")


def place(
    side: Side = Side.BUY,
    price: str | None = "90",
    quantity: str = "1",
    purpose: Purpose = Purpose.GRID,
) -> Place:
    kind = OrderKind.MARKET if price is None else OrderKind.LIMIT
    asked = None if price is None else D(price)
    return Place(OrderKey(purpose, 1, side), 0, kind, asked, D(quantity), WHY)


def standing(side: Side, price: str, quantity: str, status: Status = Status.OPEN) -> Order:
    key = OrderKey(Purpose.GRID, 2, side)
    return Order("by1", key, 0, OrderKind.LIMIT, D(price), D(quantity), status)


def view(*orders: Order, base: str = "2", quote: str = "200", **changes: Any) -> View:
    start: dict[str, Any] = {
        "time": at(0),
        "price": D(100),
        "market": market(**changes),
        "params": None,
        "state": None,
        "orders": orders,
        "holdings": Holdings(D(base), D(quote)),
        "investment": D(400),
    }
    return View(**start)


def codes(intents: list[Intent], on: View, limits: Limits = NO_LIMITS) -> list[str | None]:
    """Return the code of each intent that is denied, None for one that is allowed."""
    verdict = check(tuple(intents), on, limits)
    denied = {id(each.intent): each.code for each in verdict.denied}
    assert len(verdict.allowed) + len(verdict.denied) == len(intents)
    return [denied.get(id(intent)) for intent in intents]


@pytest.mark.parametrize(
    ("intent", "code"),
    [
        (place(quantity="2.222"), None),
        (place(quantity="2.223"), "over_budget"),
        (place(price=None, quantity="2"), None),
        (place(price=None, quantity="2.001"), "over_budget"),
        (place(Side.SELL, "110", "2"), None),
        (place(Side.SELL, "110", "2.001"), "not_enough_coins"),
        (place(quantity="0.011"), "below_minimum_order"),
        (place(quantity="0"), "below_minimum_order"),
    ],
)
def test_an_order_must_fit_the_budget_and_the_minimum(intent: Place, code: str | None) -> None:
    assert codes([intent], view()) == [code]


def test_a_fee_in_quote_counts_against_the_budget() -> None:
    on = view(fee_side=FeeSide.QUOTE)
    assert codes([place(quantity="2.22")], on) == [None]
    assert codes([place(quantity="2.221")], on) == ["over_budget"]


def test_each_allowed_order_uses_up_its_part() -> None:
    assert codes([place(), place(), place()], view()) == [None, None, "over_budget"]
    sells = [place(Side.SELL, "110") for _ in range(3)]
    assert codes(list(sells), view()) == [None, None, "not_enough_coins"]


@pytest.mark.parametrize("status", [Status.INTENDED, Status.OPEN, Status.UNRESOLVED])
def test_orders_that_may_stand_count(status: Status) -> None:
    assert codes([place()], view(standing(Side.BUY, "90", "1.3", status))) == ["over_budget"]


def test_orders_that_are_over_do_not_count() -> None:
    assert codes([place()], view(standing(Side.BUY, "90", "1.3", Status.CANCELLED))) == [None]


def test_only_the_open_part_of_an_order_counts() -> None:
    part = replace(standing(Side.SELL, "110", "2", Status.PARTIAL), filled=D(1))
    assert codes([place(Side.SELL, "110", "1")], view(part)) == [None]
    assert codes([place(Side.SELL, "110", "1.001")], view(part)) == ["not_enough_coins"]


@pytest.mark.parametrize("by_market", [False, True])
def test_no_more_orders_than_allowed_stand(by_market: bool) -> None:
    on = view(standing(Side.SELL, "110", "1"), max_orders=2 if by_market else None)
    limits = Limits() if by_market else Limits(max_open_orders=2)
    assert codes([place(), place()], on, limits) == [None, "too_many_open_orders"]


def test_a_halted_bot_may_only_cancel_and_close() -> None:
    cancel = Cancel("by1", WHY)
    close = place(Side.SELL, None, "1", Purpose.CLOSE)
    limits = Limits(halted=True, max_open_orders=0)
    assert codes([cancel, place(), close], view(), limits) == [None, "halted", None]


def test_a_denied_order_becomes_a_warning_and_is_not_among_the_intents() -> None:
    opened = Desk(grid(reserve="0"), market(), D(95))
    done = tick(GRID, opened.view(), Limits(halted=True))
    assert not done.intents
    assert [each.code for each in done.denied] == ["halted"]
    assert [(line.code, line.level) for line in done.events] == [
        ("denied_halted", Severity.WARNING)
    ]


def test_the_wake_prices_are_the_nearest_of_orders_and_triggers() -> None:
    started = Desk(grid(reserve="0", stop_loss="89.5"), market(), D(95))
    started.see("95")
    done = started.tick_once()
    assert done.triggers == Triggers(D("89.5"), D("120.01"))
    assert done.wake == Triggers(D(90), D(110))
    started.see("89.6")
    assert started.tick_once().wake == Triggers(D("89.5"), D(100))


def test_denied_levels_are_tried_again_then_paused() -> None:
    started = Desk(grid(reserve="0"), market(), D(95), limits=Limits(max_open_orders=3))
    started.see("95")
    assert len(started.resting()) == 3
    assert sum(order.status is Status.DENIED for order in started.orders.values()) == 3
    assert started.codes().count("order_denied") == 1
    assert "level_paused" in started.codes()


def test_a_level_that_is_denied_at_every_fill_is_told_once() -> None:
    started = Desk(grid(reserve="0"), market(), D(95), limits=Limits(max_open_orders=3))
    started.see("95")
    told = ("order_denied", "level_paused", "denied_too_many_open_orders")
    before = {code: started.codes().count(code) for code in told}
    denied = sum(order.status is Status.DENIED for order in started.orders.values())
    assert before == dict.fromkeys(told, 1)
    for price in ("89", "101", "89", "101"):
        started.see(price)
    assert sum(order.status is Status.DENIED for order in started.orders.values()) == denied + 4
    assert {code: started.codes().count(code) for code in told} == before


def contract_view(*orders: Order, base: str = "0", quote: str = "90", cost: str = "0") -> View:
    rules = {"kind": MarketKind.LINEAR, "fee_side": FeeSide.QUOTE}
    params = replace(grid(direction="neutral"), leverage=D(1))
    held = Holdings(D(base), D(quote), D(cost))
    return replace(view(*orders, **rules), params=params, holdings=held)


@pytest.mark.parametrize(
    ("wallet", "quantity", "code", "smaller"),
    [
        # A sell binds no more margin than the buys of 90 that stand; those and their fees have to
        # be there all the same, or a venue takes no other order.
        ("90.179", "0.8", "over_margin", None),
        ("90.18", "0.8", None, None),
        # The dearer side binds more.
        ("110.219", "1", "over_margin", D("0.999")),
        ("110.22", "1", None, None),
        # Losses have left less than what stands needs: no order that may open is taken then.
        ("80", "0.1", "over_margin", None),
    ],
)
def test_a_neutral_grid_sends_what_its_margin_and_fees_allow(
    wallet: str, quantity: str, code: str | None, smaller: D | None
) -> None:
    on = contract_view(standing(Side.BUY, "90", "1"), quote=wallet)
    sell = place(Side.SELL, "110", quantity)
    assert codes([sell], on) == [code]
    # Who asks for orders goes by the same rule.
    slot = Slot(Side.SELL, D(quantity))
    fitter = Fitter(on, GridState(Phase.RUNNING, D(1), D(100), (slot,)))
    found = fitter.within_means(0, slot, D(110))
    assert found == (slot if code is None else smaller and replace(slot, quantity=smaller))


@pytest.mark.parametrize(
    ("wallet", "code", "smaller"), [("200.15", "over_margin", D("0.937")), ("200.16", None, None)]
)
def test_an_order_on_the_side_that_binds_no_more_margin_needs_its_fee_all_the_same(
    wallet: str, code: str | None, smaller: D | None
) -> None:
    # A short position of 2 binds all but a few cents, and its closing buys nothing.
    held = {"base": "-2", "quote": str(D(wallet) + 200), "cost": "200"}
    on = contract_view(standing(Side.BUY, "90", "2"), **held)
    assert codes([place(Side.BUY, "80", "1")], on) == [code]
    slot = Slot(Side.BUY, D(1))
    fitter = Fitter(on, GridState(Phase.RUNNING, D(1), D(100), (slot,)))
    found = fitter.within_means(0, slot, D(80))
    assert found == (slot if smaller is None else replace(slot, quantity=smaller))


def test_a_closing_order_that_trades_at_once_takes_no_fee_from_the_others() -> None:
    # It frees more than it costs. Who asks for orders has never counted it.
    held = {"base": "-2", "quote": "500.31", "cost": "200"}
    on = contract_view(**held)
    on = replace(on, market=replace(on.market, taker_fee=D("0.01")))
    assert codes([place(Side.BUY, "110", "1"), place(Side.SELL, "100.1", "1")], on) == [None, None]


prices = st.integers(5_000, 15_000).map(lambda found: D(found) / 100)
lots = st.integers(0, 5_000).map(lambda found: D(found) / 1000)


@tried(200)
@given(
    st.tuples(st.sampled_from([1, -1]), lots, prices),
    st.lists(st.tuples(st.sampled_from(Side), lots, prices), max_size=4),
    st.tuples(st.sampled_from(Side), lots, prices),
    st.integers(-10, 200).map(lambda found: D(found) / 100),
    st.sampled_from([D(1), D(5)]),
)
@exact
def test_what_is_allowed_on_a_contract_the_venue_takes(
    position: tuple[int, D, D],
    others: list[tuple[Side, D, D]],
    wanted: tuple[Side, D, D],
    spare: D,
    leverage: D,
) -> None:
    sign, size, entry = position
    stake, (side, quantity, price) = Stake(sign * size, size * entry), wanted
    standing_ones = [standing(way, str(at_), str(many)) for way, many, at_ in others]
    on = contract_view(*standing_ones, base=str(stake.base), cost=str(stake.cost))
    orders = standing_orders(on)
    after = orders.plus(side, quantity, quantity * price)
    wallet = margin(stake, after, leverage) + spare
    held = replace(on.holdings, quote=wallet - sign * stake.cost)
    on = replace(on, params=replace(on.params, leverage=leverage), holdings=held)
    left = MarginLeft.of(on)
    assert left.wallet == wallet
    ledger = Ledger([on.market], {"USDT": wallet})
    contract = ledger.contracts[on.market.symbol]
    contract.stake, contract.orders, contract.leverage = stake, orders, leverage
    ledger.bind(on.market, contract)
    for some in (quantity, on.market.quantity_down(left.room(side, price))):
        if left.lack(side, some, price) <= 0:
            assert ledger.can_pay(on.market, side, price, some, on.market.maker_fee)


def test_what_closes_goes_out_whatever_the_margin() -> None:
    # A position of 2 that has lost more than its margin has left.
    held = {"base": "2", "quote": "-120", "cost": "200"}
    on = contract_view(standing(Side.SELL, "110", "1.5"), **held)
    close = place(Side.SELL, None, "2", Purpose.CLOSE)
    assert codes([place(Side.SELL, "110", "0.5"), close], on) == [None, None]
    assert codes([place(Side.SELL, "110", "0.6")], on) == ["over_margin"]


@pytest.mark.parametrize(
    ("on", "first", "other", "code"),
    [
        (contract_view(quote="160"), (Side.SELL, "60", "1"), (Side.SELL, "110", "0.6"), "margin"),
        (
            view(maker_fee=D(0), taker_fee=D("0.01"), fee_side=FeeSide.QUOTE),
            (Side.BUY, "100", "1"),
            (Side.BUY, "90", "1.105"),
            "budget",
        ),
    ],
    ids=["contract", "spot"],
)
def test_an_order_on_its_way_that_trades_at_once_claims_what_it_did_when_decided(
    on: View, first: tuple[Side, str, str], other: tuple[Side, str, str], code: str
) -> None:
    assert codes([place(*first), place(*other)], on) == [None, f"over_{code}"]
    on_its_way = standing(*first, Status.INTENDED)
    assert codes([place(*other)], replace(on, orders=(on_its_way,))) == [f"over_{code}"]
    # Once it stands it trades at its limit.
    assert codes([place(*other)], replace(on, orders=(standing(*first),))) == [None]
