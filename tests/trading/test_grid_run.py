"""A running grid: what it asks for, price by price, and what it does when things go wrong."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.engine import tick
from app.trading.intents import Cancel, Place
from app.trading.market import FeeSide, Triggers, booked, exact
from app.trading.orders import Order, OrderKey, OrderKind, Purpose, Side, Status
from app.trading.performance import figures
from app.trading.ports import Balance
from app.trading.position import Holdings
from app.trading.risk import Limits
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_news import MOST_REFUSALS, counted_opening
from app.trading.strategies.grid_state import Phase
from app.trading.strategy import InvalidParams, StopHow
from tests.examples import tried
from tests.trading.world import Desk, Faults, grid, market

# With 0 reserve and no fee the sums can be followed: q = 1000 / (90 + 80 + 2 * 95) = 2.777.
FREE = market(maker_fee=D(0), taker_fee=D(0))


def desk(price: str = "95", *, on: Any = FREE, **changes: Any) -> Desk:
    """Return a desk on a grid 80-90-100-110-120 that has seen its first price."""
    limits = changes.pop("limits", Limits())
    faults = changes.pop("faults", None)
    params = grid(**{"reserve": "0", **changes})
    opened = Desk(params, on, D(price), faults=faults, limits=limits)
    opened.see(price)
    return opened


def prices(of: Desk) -> list[tuple[str, D]]:
    return [(side, price) for side, price, _ in of.resting()]


LADDER = [("sell", D(120)), ("sell", D(110)), ("buy", D(90)), ("buy", D(80))]


def test_the_first_thing_is_a_purchase_at_market_alone() -> None:
    opened = Desk(grid(reserve="0"), FREE, D(95))
    opened.seq = 1
    done = tick(GRID, opened.view())
    (intent,) = done.intents
    assert isinstance(intent, Place)
    assert intent.key == OrderKey(Purpose.ENTRY, None, Side.BUY)
    assert (intent.kind, intent.price, intent.quantity) == (OrderKind.MARKET, None, D("5.554"))
    assert intent.reason.code == "first_purchase"


def test_after_the_purchase_the_ladder_rests_nearest_first() -> None:
    started = desk()
    assert prices(started) == LADDER
    assert [o.price for o in started.orders.values()] == [None, D(90), D(80), D(110), D(120)]
    assert {quantity for _, _, quantity in started.resting()} == {D("2.777")}
    assert started.codes() == ["first_purchase_done"]


def test_nearest_means_by_distance_from_the_price() -> None:
    started = desk("97")
    assert [o.price for o in started.orders.values()][1:] == [D(90), D(110), D(80), D(120)]


def test_a_grid_that_starts_at_the_top_buys_nothing_first() -> None:
    started = desk("120")
    assert prices(started) == [("buy", D(110)), ("buy", D(100)), ("buy", D(90)), ("buy", D(80))]


def test_a_filled_buy_is_answered_by_a_sell_one_level_up() -> None:
    started = desk()
    started.see("89")
    assert prices(started) == [("sell", D(120)), ("sell", D(110)), ("sell", D(100)), ("buy", D(80))]
    placed = list(started.orders.values())[-1]
    assert placed.key == OrderKey(Purpose.GRID, 2, Side.SELL, 0)


def test_a_filled_sell_is_answered_by_a_buy_one_level_down() -> None:
    started = desk()
    started.see("111")
    assert prices(started) == [("sell", D(120)), ("buy", D(100)), ("buy", D(90)), ("buy", D(80))]
    placed = list(started.orders.values())[-1]
    assert placed.key == OrderKey(Purpose.GRID, 2, Side.BUY, 1)


def test_a_price_that_only_touches_a_level_fills_nothing() -> None:
    started = desk()
    started.see("90")
    assert prices(started) == LADDER


def test_a_fall_through_several_levels_turns_all_of_them() -> None:
    started = desk()
    started.see("79")
    assert prices(started) == [
        ("sell", D(120)),
        ("sell", D(110)),
        ("sell", D(100)),
        ("sell", D(90)),
    ]


def test_a_round_trip_is_matched_with_the_buy_that_it_answers() -> None:
    started = desk()
    started.see("89")
    started.see("101")
    (match,) = started.matches
    assert (match.buy_price, match.sell_price, match.quantity) == (D(90), D(100), D("2.777"))
    assert match.profit == D("27.77")
    buys = [o.client_id for o in started.orders.values() if o.price == D(90)]
    assert match.entry_client_id == buys[0]
    assert prices(started) == LADDER


def test_coins_of_the_first_purchase_count_from_the_level_below() -> None:
    started = desk()
    started.see("111")
    (match,) = started.matches
    assert match.entry_client_id is None
    assert (match.buy_price, match.profit) == (D(100), D("27.77"))


def test_a_fee_in_coins_makes_the_answering_sell_smaller() -> None:
    started = desk(on=market())
    started.see("89")
    sells = {price: quantity for side, price, quantity in started.resting() if side == "sell"}
    # 2.777 * 0.999 = 2.774223
    assert sells[D(100)] == D("2.774")
    started.see("101")
    (match,) = started.matches
    # Only what was sold is closed: 2.774 of the 2.774223 coins that cost 2.777 * 90.
    cost = D("2.777") * 90 * D("2.774") / D("2.774223")
    assert abs(match.profit - (D("2.774") * 100 * D("0.999") - cost)) < D("1e-15")
    assert match.buy_price == 90
    assert match.buy_quantity - match.coin_fee == D("2.774")


def test_a_fee_in_quote_is_taken_off_on_both_sides() -> None:
    started = desk(on=market(fee_side=FeeSide.QUOTE), reserve="0.01")
    started.see("89")
    started.see("101")
    (match,) = started.matches
    assert match.profit == match.quantity * (100 * D("0.999") - 90 * D("1.001"))


def test_the_buy_after_a_sell_has_the_planned_size_again() -> None:
    started = desk(on=market())
    started.see("89")
    started.see("101")
    assert dict((p, q) for _, p, q in started.resting())[D(90)] == D("2.777")


def test_every_order_says_why() -> None:
    opened = desk()
    opened.see("89")
    view = opened.view()
    bought = next(o for o in opened.orders.values() if o.price == D(90))
    gone = next(o for o in opened.orders.values() if o.price == D(100))
    done = tick(GRID, replace(view, orders=tuple(o for o in view.orders if o is not gone)))
    (intent,) = done.intents
    assert isinstance(intent, Place)
    assert intent.reason.code == "answers_buy"
    assert intent.reason.values == {
        "level": 2,
        "from_level": 1,
        "from_price": "90",
        "order": bought.client_id,
    }


def test_a_partly_filled_buy_is_not_answered_before_it_is_full() -> None:
    faults = Faults(seed=3, partial=True)
    started = desk(faults=faults)
    started.see("89")
    assert [side for side, _ in prices(started)].count("sell") == 2
    for _ in range(100):
        started.see("89")
    assert prices(started)[2] == ("sell", D(100))


# --- refusals and doubts ----------------------------------------------------------------------


def tell(of: Desk, client_id: str, status: Status) -> None:
    """Let news of an order come in from outside."""
    if status is Status.CANCELLED:
        of.book.cancel(client_id, of.view().time)
    of.orders[client_id] = replace(of.orders[client_id], status=status)
    of.news.append(client_id)


def open_at(of: Desk, price: str) -> Order:
    return next(o for o in of.orders.values() if o.price == D(price) and o.status.is_live)


def test_an_order_cancelled_behind_its_back_is_logged_and_placed_again() -> None:
    started = desk()
    gone = open_at(started, "80")
    tell(started, gone.client_id, Status.CANCELLED)
    started.settle()
    again = open_at(started, "80")
    assert (again.attempt, again.key) == (1, gone.key)
    assert started.codes()[-1] == "order_cancelled_outside"


def test_three_refusals_pause_a_level_until_another_fill() -> None:
    started = desk()
    for attempt in range(MOST_REFUSALS):
        standing = open_at(started, "80")
        assert standing.attempt == attempt
        tell(started, standing.client_id, Status.CANCELLED)
        started.settle()
    assert prices(started) == LADDER[:3]
    assert started.codes()[-1] == "level_paused"
    started.see("94")
    assert prices(started) == LADDER[:3]
    started.see("111")
    assert ("buy", D(80)) in prices(started)


def test_an_unresolved_order_freezes_its_level() -> None:
    started = desk()
    doubtful = open_at(started, "80")
    started.orders[doubtful.client_id] = replace(doubtful, status=Status.UNRESOLVED)
    done = started.tick_once()
    assert not done.intents
    assert not done.events


def test_an_order_that_turns_up_after_it_was_replaced_is_cancelled() -> None:
    started = desk()
    old = open_at(started, "80")
    tell(started, old.client_id, Status.CANCELLED)
    started.settle()
    stray = replace(old, status=Status.OPEN)
    view = started.view()
    done = tick(GRID, replace(view, orders=(*view.orders, stray)))
    (intent,) = done.intents
    assert isinstance(intent, Cancel)
    assert (intent.client_id, intent.reason.code) == (old.client_id, "stray_order")


def test_a_cancelled_order_that_filled_after_all_is_logged() -> None:
    started = desk()
    old = open_at(started, "80")
    tell(started, old.client_id, Status.CANCELLED)
    started.settle()
    tell(started, old.client_id, Status.FILLED)
    started.tick_once()
    assert started.codes()[-1] == "late_fill"


def test_a_cancelled_rest_is_placed_again_and_both_parts_count_as_one_buy() -> None:
    started = desk()
    first = open_at(started, "80")
    part = replace(first, status=Status.CANCELLED, filled=D(1), value=D(80))
    started.book.cancel(first.client_id, started.view().time)
    started.orders[first.client_id] = part
    started.news.append(first.client_id)
    started.settle()
    rest = open_at(started, "80")
    assert (rest.quantity, rest.attempt) == (D("1.777"), 1)
    view = started.view()
    filled = replace(rest, status=Status.FILLED, filled=D("1.777"), value=D("142.16"))
    orders = (filled, *(o for o in view.orders if o.client_id != rest.client_id))
    done = tick(GRID, replace(view, orders=orders, holdings=Holdings(D(10), D(500))))
    slot = done.state.slots[0]
    assert (slot.side, slot.quantity) == (Side.SELL, D("2.777"))
    assert slot.opening is not None
    assert slot.opening.value == D("222.16")


def test_a_rest_too_small_to_trade_ends_the_order() -> None:
    started = desk(on=market(maker_fee=D(0), taker_fee=D(0), min_notional=D(50)))
    order = open_at(started, "90")
    part = replace(order, status=Status.CANCELLED, filled=D("2.7"), value=D(243))
    view = started.view()
    orders = (part, *(o for o in view.orders if o.client_id != order.client_id))
    done = tick(GRID, replace(view, orders=orders, holdings=Holdings(D("8.3"), D(230))))
    assert done.state.slots[1].quantity == D("2.7")
    assert [event.code for event in done.events] == ["level_bought"]


def test_a_first_purchase_refused_three_times_ends_the_bot() -> None:
    started = desk(faults=Faults(refuse=1))
    assert started.finished == "first_purchase_failed"
    assert started.codes().count("first_purchase_refused") == MOST_REFUSALS
    assert not prices(started)
    assert not started.fills


def test_a_partly_filled_first_purchase_buys_the_rest() -> None:
    opened = Desk(grid(reserve="0"), FREE, D(95))
    view = opened.view()
    (asked,) = tick(GRID, view).intents
    assert isinstance(asked, Place)
    part = Order(
        "by1", asked.key, 0, asked.kind, None, asked.quantity, Status.CANCELLED, D(5), D(475)
    )
    done = tick(GRID, replace(view, orders=(part,), holdings=Holdings(D(5), D(525))))
    (more,) = done.intents
    assert isinstance(more, Place)
    assert (more.attempt, more.quantity) == (1, D("0.554"))


def test_old_news_told_again_changes_nothing() -> None:
    started = desk()
    for price in ("89", "101", "89"):
        started.see(price)
    view = started.view()
    finals = [order for order in started.orders.values() if order.status.is_final]
    assert len(finals) == 4
    done = tick(GRID, replace(view, orders=(*finals, *view.orders)))
    assert (done.state, done.intents, done.matches) == (started.state, (), ())


def test_no_news_no_intents() -> None:
    started = desk()
    assert not started.tick_once().intents
    assert not started.tick_once().events


# --- the range and the exits ------------------------------------------------------------------


def test_leaving_the_range_is_logged_once_and_keeps_the_orders() -> None:
    started = desk()
    for price in ("79", "78", "79"):
        started.see(price)
    assert started.codes().count("price_below_range") == 1
    assert len(prices(started)) == 4
    started.see("81")
    assert started.codes()[-1] == "price_back_in_range"
    started.see("121")
    assert started.codes()[-1] == "price_above_range"


def test_triggers_are_the_exits_or_the_ends_of_the_range() -> None:
    started = desk(stop_loss="85", take_profit="125")
    done = started.tick_once()
    assert done.triggers == Triggers(D(85), D("120.01"))
    assert done.wake == Triggers(D(90), D(110))


def test_outside_the_range_the_way_back_wakes() -> None:
    started = desk()
    started.see("130")
    assert started.tick_once().triggers == Triggers(D(120), None)
    started.see("70")
    assert started.tick_once().triggers == Triggers(None, D(80))


@pytest.mark.parametrize(
    ("price", "exits", "code", "purpose"),
    [
        ("75", {"stop_loss": "75"}, "stop_loss_reached", Purpose.STOP),
        ("125", {"take_profit": "125"}, "take_profit_reached", Purpose.CLOSE),
    ],
)
def test_an_exit_cancels_everything_then_sells(
    price: str, exits: dict[str, str], code: str, purpose: Purpose
) -> None:
    started = desk(at_exit="sell", **exits)
    started.see(price)
    assert started.finished == code
    assert not prices(started)
    assert started.books.position.base == 0
    if price == "75":
        sale = list(started.orders.values())[-1]
        assert (sale.key.purpose, sale.kind) == (purpose, OrderKind.MARKET)


def test_an_exit_that_keeps_coins_sells_nothing() -> None:
    started = desk(stop_loss="75")
    started.see("75")
    assert started.finished == "stop_loss_reached"
    assert not prices(started)
    assert started.books.position.base == D("11.108")


@pytest.mark.parametrize("how", list(StopHow))
def test_a_stop_request_is_done_as_asked(how: StopHow) -> None:
    started = desk()
    started.see("89", stop=how)
    assert started.finished == "stop_requested"
    coins = started.books.position.base
    assert (coins == 0) is (how is StopHow.SELL)
    assert bool(prices(started)) is (how is StopHow.LEAVE_ORDERS)


def test_a_stop_before_the_first_purchase_buys_nothing() -> None:
    opened = Desk(grid(reserve="0"), FREE, D(95))
    opened.see("95", stop=StopHow.SELL)
    assert opened.finished == "stop_requested"
    assert not opened.orders


def test_closing_waits_for_an_unresolved_order() -> None:
    started = desk()
    doubtful = open_at(started, "80")
    started.orders[doubtful.client_id] = replace(doubtful, status=Status.UNRESOLVED)
    done = started.tick_once(StopHow.SELL)
    assert len(done.intents) == 3
    done = started.tick_once(StopHow.SELL)
    assert not done.intents
    assert done.finished is None
    started.settle(StopHow.SELL)
    assert started.finished == "stop_requested"
    assert started.books.position.base == 0


def test_selling_can_still_be_asked_for_while_closing() -> None:
    started = desk()
    started.tick_once(StopHow.KEEP)
    started.settle(StopHow.SELL)
    assert started.books.position.base == 0


def test_a_finished_grid_does_nothing_more() -> None:
    started = desk()
    started.settle(StopHow.KEEP)
    assert started.state.phase is Phase.FINISHED
    started.see("60")
    assert started.finished == "stop_requested"
    assert not prices(started)


def test_a_closing_sale_refused_three_times_is_reported() -> None:
    started = desk()
    started.faults.refuse = 1
    started.settle(StopHow.SELL)
    assert started.finished == started.codes()[-1] == "closing_sale_failed"


def test_coins_too_few_to_sell_are_reported() -> None:
    started = desk(on=market())
    started.see("89")
    started.settle(StopHow.SELL)
    left = started.books.position.base
    assert 0 < left < D("0.001")
    assert started.codes()[-1] == "coins_left_over"


# --- starting again ---------------------------------------------------------------------------


def test_coins_that_are_held_are_not_bought_again() -> None:
    funds = Holdings(D("5.554"), D("472.37"))
    state = GRID.start_state(grid(reserve="0"), FREE, D(95), funds)
    assert (state.phase, state.entry) == (Phase.RUNNING, None)


def test_a_grid_takes_no_more_than_the_funds_are_worth() -> None:
    state = GRID.start_state(grid(reserve="0"), FREE, D(95), Holdings(D(0), D(500)))
    assert state.unit == D("1.388")


def test_a_start_that_the_plan_refuses_raises() -> None:
    with pytest.raises(InvalidParams) as caught:
        GRID.start_state(grid(), FREE, D(130))
    assert caught.value.code == "range_excludes_price"


def test_a_state_survives_storing() -> None:
    started = desk(on=market(), stop_loss="60", faults=Faults(seed=1, partial=True))
    for price in ("89", "89", "99", "79", "101", "60"):
        state = GRID.decode_state(GRID.encode_state(started.state))
        assert state == started.state
        started.see(price)


# --- whatever happens -------------------------------------------------------------------------

walks = st.lists(
    st.integers(7000, 13000).map(lambda cents: D(cents) / 100), min_size=8, max_size=60
)
gridlike = st.fixed_dictionaries(
    {
        "grids": st.integers(2, 12),
        "spacing": st.sampled_from(["arithmetic", "geometric"]),
        "sizing": st.sampled_from(["equal_base", "equal_quote"]),
        "reserve": st.sampled_from(["0", "0.01", "0.05"]),
    },
    optional={"stop_loss": st.just("75"), "take_profit": st.just("126")},
)
marketlike = st.builds(
    market,
    fee_side=st.sampled_from(FeeSide),
    maker_fee=st.sampled_from([D(0), D("0.001"), D("0.00075")]),
    taker_fee=st.sampled_from([D(0), D("0.001"), D("0.0015")]),
    lot=st.sampled_from([D("0.001"), D("0.01"), D("0.00000001"), None]),
    tick=st.sampled_from([D("0.01"), D("0.5"), None]),
)
faultlike = st.builds(
    Faults,
    seed=st.integers(0, 10**6),
    refuse=st.sampled_from([0.0, 0.1]),
    lose_reply=st.sampled_from([0.0, 0.2]),
    hold_back_news=st.sampled_from([0.0, 0.5]),
    partial=st.booleans(),
)


@tried(40)
@given(walks, gridlike, marketlike, faultlike)
@exact
def test_whatever_happens_the_books_agree_to_the_last_unit(
    walk: list[D], changes: dict[str, Any], on: Any, faults: Faults
) -> None:
    started = Desk(grid(**changes), on, D(100), faults=faults, touch=faults.seed % 2 == 0)
    for price in [D(100), *walk]:
        started.see(on.price_down(price))
        for balance in started.book.balances().values():
            assert balance.free >= 0
            assert balance.locked >= 0
    faults.refuse = faults.lose_reply = faults.hold_back_news = 0
    for _ in range(3):
        started.settle()
    venue = started.book.balances()
    held = started.books.position
    assert held.base == venue.get("ABC", Balance()).total
    assert held.quote == venue["USDT"].total
    shown = figures(started.books, started.price, on)
    assert shown.total == booked(held.quote + held.base * started.price) - started.money
    assert shown.total == shown.grid + shown.price_change + shown.funding


@tried(20)
@given(walks, gridlike, marketlike, st.integers(0, 10**6), st.sampled_from(list(StopHow)))
def test_a_stop_ends_any_grid_with_nothing_open(
    walk: list[D], changes: dict[str, Any], on: Any, seed: int, how: StopHow
) -> None:
    faults = Faults(seed=seed, lose_reply=0.2, hold_back_news=0.3, partial=True)
    started = Desk(grid(**changes), on, D(100), faults=faults)
    for price in [D(100), *walk]:
        started.see(on.price_down(price))
    faults.lose_reply = faults.hold_back_news = 0
    started.settle(how)
    assert started.finished is not None
    if how is not StopHow.LEAVE_ORDERS or started.finished != "stop_requested":
        assert not prices(started)
        assert all(each.locked == 0 for each in started.book.balances().values())


@tried(20)
@given(walks, gridlike, marketlike)
def test_without_faults_every_gap_always_has_its_order(
    walk: list[D], changes: dict[str, Any], on: Any
) -> None:
    without_exits = {k: v for k, v in changes.items() if k not in ("stop_loss", "take_profit")}
    params = grid(**{**without_exits, "reserve": "0.05"})
    started = Desk(params, on, D(100))
    for price in [D(100), *walk]:
        started.see(on.price_down(price))
        assert len(prices(started)) == params.grids


# --- gaps beyond an own order -------------------------------------------------------------------


def with_hole() -> Desk:
    """Return a desk whose gap from 100 to 110 holds nothing and wants a buy; another sells at 100.

    Its sell had filled, and the buys that answered it were refused until the price fell.
    """
    started = desk()
    started.see("89")
    started._cancel(open_at(started, "110").client_id)
    started.news.clear()
    started.state = with_slot(started.state, 2, side=Side.BUY, opening=None, cycle=7)
    position = started.books.position
    started.books = replace(started.books, position=replace(position, quote=D(1000)))
    started.book._ledger.move("USDT", D(1000) - position.quote, D(0))
    return started


def with_slot(state: Any, gap: int, **changes: Any) -> Any:
    slots = list(state.slots)
    slots[gap] = replace(slots[gap], **changes)
    return replace(state, slots=tuple(slots))


def test_what_would_meet_an_own_order_trades_at_once_one_tick_short_of_it() -> None:
    started = with_hole()
    started.see("95")
    bought = next(o for o in started.orders.values() if o.key.cycle == 7)
    assert (bought.key.level, bought.price, bought.status) == (2, D("99.99"), Status.FILLED)
    assert bought.value == 95 * bought.quantity
    assert [side for side, _ in prices(started)] == ["sell", "sell", "sell", "buy"]


def test_what_would_meet_an_order_about_to_trade_waits_for_the_next_look() -> None:
    started = with_hole()
    # The own sell at 100 must have traded; only the news of it is missing.
    started.price = D(105)
    assert not started.tick_once().intents


def test_an_order_at_the_very_price_rests_beside_the_own_one() -> None:
    started = with_hole()
    started.see("100")
    assert ("buy", D("99.99")) in prices(started)
    assert ("sell", D(100)) in prices(started)


def test_a_sell_that_would_meet_an_own_buy_stays_one_tick_above_it() -> None:
    started = desk()
    started.see("111")
    started._cancel(open_at(started, "90").client_id)
    started.news.clear()
    opening = counted_opening(FREE, D(90), D("2.777"), Side.BUY)
    # A gap below the buy at 100 holds coins.
    started.state = with_slot(started.state, 1, side=Side.SELL, opening=opening, cycle=7)
    position = started.books.position
    held = replace(position, base=position.base + D("2.777"))
    started.books = replace(started.books, position=held)
    started.book._ledger.move("ABC", D("2.777"), D(0))
    started.see("105")
    sold = next(o for o in started.orders.values() if o.key.cycle == 7)
    assert (sold.price, sold.status, sold.value) == (D("100.01"), Status.FILLED, 105 * sold.filled)


# --- after too many refusals ---------------------------------------------------------------------


def test_a_comparison_lets_refused_levels_try_again_without_telling_it_each_time() -> None:
    started = desk()
    for gap in range(4):
        started.state = with_slot(started.state, gap, refusals=MOST_REFUSALS, attempt=3)
    for order in list(started.orders.values()):
        if order.status.is_live:
            started._cancel(order.client_id)
    started.news.clear()
    assert not started.tick_once().intents
    done = tick(GRID, replace(started.view(), may_retry=True))
    tried = [intent for intent in done.intents if isinstance(intent, Place)]
    assert [place.price for place in tried] == [D(90), D(80), D(110)]
    for place in tried:
        refused = started._intend(place, Status.REJECTED)
        started.news.append(refused.client_id)
    lines = len(started.events)
    assert not started.tick_once().intents
    assert len(started.events) == lines
    again = tick(GRID, replace(started.view(), may_retry=True))
    assert len(again.intents) == len(tried)


def test_what_somebody_took_back_three_times_no_comparison_tries_again() -> None:
    started = desk()
    for _ in range(MOST_REFUSALS):
        tell(started, open_at(started, "80").client_id, Status.CANCELLED)
        started.settle()
    assert not tick(GRID, replace(started.view(), may_retry=True)).intents
    started.see("111")
    assert ("buy", D(80)) in prices(started)


def test_only_a_stop_at_a_price_looks_back_at_what_was_missed() -> None:
    started = desk(stop_loss="70", take_profit="130", stop_loss_share="0.2", at_exit="sell")
    view = started.view()
    swung = replace(view, swing=(D("70.01"), D(140)))
    assert GRID.ending(swung) is None
    ending = GRID.ending(replace(view, swing=(D("69.9"), D(140))))
    assert ending is not None
    assert ending.why.code == "stop_loss_reached"
    assert ending.why.values["price"] == "69.9"
