"""Editing a running grid: the preview, what is done, and that nothing is lost on the way."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bots.queries.ladder import rungs_of
from app.trading.engine import tick
from app.trading.intents import Cancel, Place
from app.trading.market import FeeSide, MarketKind, Tier, Triggers, booked, exact
from app.trading.orders import Side, Status
from app.trading.performance import figures
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_state import Phase
from app.trading.strategy import StopHow
from tests.examples import tried
from tests.trading.world import Desk, Faults, grid, market

FREE = market(maker_fee=D(0), taker_fee=D(0))
PERP = market(
    kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE, maker_fee=D(0), taker_fee=D(0),
    tiers=(Tier(D(0), D("0.005")),),
)  # fmt: skip


def desk(price: str = "95", *, on: Any = FREE, **changes: Any) -> Desk:
    opened = Desk(grid(**{"reserve": "0", **changes}), on, D(price))
    opened.see(price)
    return opened


def edit(of: Desk, **changes: Any) -> Any:
    """Edit a running grid as the caller does: money moves, then settings and state together."""
    new = GRID.parse({**GRID.encode_params(of.params), **changes})
    found = GRID.edit(of.params, of.state, new, of.view())
    if found.state is None:
        return found
    of.book._ledger.move("USDT", found.money_in, D(0))
    position = of.books.position
    of.books = replace(
        of.books,
        position=replace(position, quote=position.quote + found.money_in),
        deposited=of.books.deposited + found.money_in,
    )
    of.money += found.money_in
    of.params, of.state = new, GRID.decode_state(GRID.encode_state(found.state))
    return found


def test_other_exits_change_no_order() -> None:
    started = desk()
    before = started.resting()
    found = edit(started, stop_loss="70", max_resting=50)
    assert (found.cancels, found.places, found.money_in) == ((), (), 0)
    started.settle()
    assert started.resting() == before
    assert started.state.phase is Phase.RUNNING
    started.see("70")
    assert started.finished == "stop_loss_reached"


def test_an_exit_that_is_already_reached_is_refused() -> None:
    found = edit(desk(), stop_loss="96")
    assert found.state is None
    assert [each.code for each in found.errors] == ["stop_loss_not_below_price"]


def test_another_range_is_previewed_and_then_done() -> None:
    started = desk()
    found = edit(started, lower="90", upper="110", investment="1500")
    assert {(each.side, each.price) for each in found.cancels} == {
        (Side.BUY, D(90)), (Side.BUY, D(80)), (Side.SELL, D(110)), (Side.SELL, D(120)),
    }  # fmt: skip
    assert found.money_in == 500
    # q = 1500 / (90 + 3 * 95) over sells at 105, 110 and the empty 100... coins beyond the held.
    needed = sum((each.quantity for each in found.places if each.side is Side.SELL), D(0))
    assert found.base_to_buy == needed - started.books.position.base
    assert found.cost == found.base_to_buy * 95
    started.settle()
    assert "edit_done" in started.codes()
    assert {(Side(s), p, q) for s, p, q in started.resting()} == {
        (each.side, each.price, each.quantity) for each in found.places
    }
    assert started.books.position.base == needed


def test_coins_that_are_too_many_are_sold() -> None:
    started = desk()
    started.see("79")
    started.see("81")
    found = edit(started, lower="70", upper="85")
    assert found.base_to_sell > 0
    started.settle()
    assert "first_sale_done" in started.codes()
    sells = sum((q for side, _, q in started.resting() if side == "sell"), D(0))
    assert 0 <= started.books.position.base - sells < D("0.002")


def bought(of: Desk, price: int) -> D:
    """Return the size of the buy that rests at a price."""
    (found,) = [size for side, at, size in of.resting() if (side, at) == ("buy", D(price))]
    return found


def test_reinvested_profit_stays_in_the_orders_over_edits() -> None:
    aside, reinvested = desk(), desk(profit_use="reinvest")
    for edited in (aside, reinvested):
        for _ in range(8):
            edited.see("79")
            edited.see("101")
        edited.see("95")
    for upper, lowest in (("130", 90), ("120", 80)):
        plain = edit(aside, upper=upper, grids=5)
        found = edit(reinvested, upper=upper, grids=5)
        aside.settle()
        reinvested.settle()
        # The coins of both grids differ, so what is bought for is compared.
        assert bought(reinvested, lowest) > D("1.1") * bought(aside, lowest)
        promised = {(each.side, each.price, each.quantity) for each in (*found.places, *found.kept)}
        assert {(Side(s), p, q) for s, p, q in reinvested.resting()} == promised
        assert plain.money_in == found.money_in == 0
    earned = sum((match.profit for match in reinvested.matches), D(0))
    assert reinvested.state.earned_before == earned
    taken = GRID.with_flow(reinvested.state, -earned)
    assert taken.earned == taken.earned_before == 0


@pytest.mark.parametrize("first", ["set_aside", "reinvest"])
def test_all_profit_is_reinvested_once_from_when_this_is_asked_for(first: str) -> None:
    started = desk(profit_use=first)
    for _ in range(8):
        started.see("79")
        started.see("101")
    started.see("95")
    edit(started, upper="130", grids=5)
    started.settle()
    # Neither changes an order that stands.
    for found in (edit(started, profit_use="set_aside"), edit(started, profit_use="reinvest")):
        assert (found.places, found.cancels, found.money_in) == ((), (), 0)
    started.settle()
    earned = sum((match.profit for match in started.matches), D(0))
    assert found.reinvested == earned > 100
    assert found.plan.investment == 1000 + earned
    started.see("89")
    started.see("101")
    earned = sum((match.profit for match in started.matches), D(0))
    before = earned if first == "set_aside" else started.state.earned
    assert started.state.money == 1000 + earned - before
    unit = started.state.unit * (1 + before / started.state.money)
    assert bought(started, 90) == unit.quantize(D("0.001"), "ROUND_FLOOR")


def test_less_money_in_a_grid_is_not_counted_against_its_profit() -> None:
    started = desk(profit_use="reinvest")
    for _ in range(8):
        started.see("79")
        started.see("101")
    earned = started.state.earned
    edit(started, investment="600")
    started.settle()
    assert started.state.earned_before == earned > 100
    assert started.state.money == 600 + earned


def denied(of: Desk) -> list[Any]:
    return [order for order in of.orders.values() if order.status is Status.DENIED]


def least(value: int) -> Any:
    """Return a market on which everything is free, but no order is worth less than that."""
    return replace(FREE, min_notional=D(value))


@pytest.mark.parametrize(
    ("min_notional", "smallest", "codes"),
    [
        # q = 920 / (90 + 80 + 2 * 95) = 2.555; coins worth 42.2 are over, too few to be sold.
        (150, ["230", "162"], ["buys_smaller"]),
        # The lowest buy alone can't give it, so the next one gives its part.
        (190, ["202", "190"], ["buys_smaller"]),
        # Both are as small as can be, and money is there for one alone.
        (199, ["199"], ["buys_smaller", "orders_will_wait"]),
    ],
)
def test_coins_too_few_to_be_sold_pay_for_no_buy(
    min_notional: int, smallest: list[str], codes: list[str]
) -> None:
    started = desk(on=least(min_notional))
    found = edit(started, investment="920")
    assert found.base_to_sell == 0 and 42 < started.books.position.base * 95 - D("485.5") < 43
    assert [each.code for each in found.warnings] == codes
    promised = {(each.side.value, each.price, each.quantity) for each in found.places}
    assert sorted((p * q for s, p, q in promised if s == "buy"), reverse=True) == pytest.approx(
        list(map(D, smallest)), abs=D("1.5")
    )
    started.settle()
    assert set(started.resting()) == promised
    assert not denied(started)
    waits = "orders_will_wait" in codes
    assert started.codes().count("orders_without_means") == waits
    # The sells bring money, so what waits goes out.
    started.see("121")
    assert len(started.resting()) == 4
    assert not denied(started)


def test_where_the_size_is_named_money_comes_in_for_coins_too_few_to_be_sold() -> None:
    started = desk(on=least(150), quantity="3", investment="1080")
    started.params = replace(started.params, investment=None)
    # All but 6 of the coins of 95 are paid for, and the 0.8 that are over pay for nothing.
    started.books = replace(started.books, position=replace(started.books.position, quote=D(420)))
    found = edit(started, quantity="2.6")
    assert (found.base_to_sell, found.money_in) == (0, D("2.6") * 170 - 420)
    assert found.warnings == ()
    started.settle()
    assert [q for _, _, q in started.resting()] == [D("2.6")] * 4


def test_an_edit_without_a_first_trade_buys_for_no_more_than_the_cash() -> None:
    on = market(min_notional=D(5))
    endless = {"upper": None, "grids": None, "infinity": "true", "step": "0.02", "lower": "90"}
    started = Desk(grid(**endless, reserve="0.01"), on, D(100))
    for price in ("100", "93.37", "95.46"):
        started.see(price)
    found = edit(started, reserve="0")
    assert found.base_to_buy == found.base_to_sell == 0
    assert (found.plan.quote_reserved or 0) > started.books.position.quote
    promised = {(o.side.value, o.price, o.quantity) for o in (*found.kept, *found.places)}
    started.settle()
    assert set(started.resting()) == promised
    assert len(promised) == len(started.state.slots)
    assert not denied(started)


def test_a_range_without_the_price_is_refused() -> None:
    started = desk()
    before = started.state
    found = edit(started, lower="100", upper="120")
    assert [each.code for each in found.errors] == ["range_excludes_price"]
    assert started.state == before


@pytest.mark.parametrize(
    ("gone", "back", "wakes"),
    [("120", "109", Triggers(D(110), None)), ("85", "91", Triggers(D(60), D(90)))],
)
def test_an_edit_waits_while_the_price_has_left_its_range(
    gone: str, back: str, wakes: Triggers
) -> None:
    started = desk()
    edit(started, lower="90", upper="110", stop_loss="60")
    started.see(gone)
    assert (started.state.phase, started.resting()) == (Phase.EDITING, [])
    assert started.codes().count("edit_waits") == 1
    waiting = started.tick_once().triggers
    assert (waiting.above, max(waiting.below or D(0), D(60))) == (wakes.above, wakes.below)
    started.see(back)
    assert started.state.phase is Phase.RUNNING
    assert started.codes().count("edit_waits") == started.codes().count("edit_done") == 1
    assert started.resting()


def test_a_grid_that_was_outside_before_its_edit_says_too_that_it_waits() -> None:
    started = desk()
    started.see("79")
    edit(started, lower="75", upper="120")
    started.see("74")
    assert started.codes()[-1] == "edit_waits"
    started.see("76")
    assert {"edit_done", "price_back_in_range"} <= set(started.codes())


@pytest.mark.parametrize("exit_", [{"stop_loss": "60"}, {"stop_loss_share": "0.1"}])
def test_a_grid_that_waits_with_an_edit_still_minds_its_exits(exit_: dict[str, str]) -> None:
    started = desk(**exit_)
    edit(started, lower="90", upper="110")
    started.see("80")
    started.see("59")
    assert started.finished in {"stop_loss_reached", "stop_loss_share_reached"}


@pytest.mark.parametrize("price", ["95", "120"])
def test_an_edit_takes_orders_back_at_an_old_price_and_goes_on_with_the_next(price: str) -> None:
    started = desk()
    edit(started, lower="90", upper="110", stop_loss="60")
    view = replace(started.view(), price=D(price), price_is_old=True)
    leaving = tick(GRID, view)
    assert {type(intent) for intent in leaving.intents} == {Cancel}
    gone = replace(view, state=leaving.state, orders=())
    waiting = tick(GRID, gone)
    assert (waiting.state.phase, waiting.intents) == (Phase.EDITING, ())
    assert waiting.triggers == Triggers(D(price), D(price))
    begun = tick(GRID, replace(gone, state=waiting.state, price=D(94), price_is_old=False))
    assert any(isinstance(intent, Place) for intent in begun.intents)
    ended = tick(GRID, replace(gone, state=waiting.state, price=D(60)))
    assert ended.finished is not None or ended.state.exit is not None


def test_a_waiting_grid_is_edited_without_orders() -> None:
    started = desk(trigger_price="110")
    found = edit(started, trigger_price="100", upper="130")
    assert found.state.phase is Phase.WAITING
    started.see("100")
    assert started.resting()[0][1] == 130


def test_money_that_moves_takes_the_targets_by_equity_along() -> None:
    started = desk(stop_loss_share="0.1")
    assert started.state.equity == 1000
    assert GRID.with_flow(started.state, D(-50)).equity == 950
    edit(started, investment="1400")
    started.settle()
    assert started.state.equity == 1400


def test_an_edit_can_be_stopped_on_its_way() -> None:
    started = desk()
    edit(started, lower="85")
    started.settle(StopHow.SELL)
    assert started.finished == "stop_requested"
    assert started.books.position.base == 0


@pytest.mark.parametrize("how", list(StopHow))
@pytest.mark.parametrize("fills", ["before the stop", "after it"])
def test_an_edit_stopped_on_its_way_counts_what_its_old_orders_have_closed(
    how: StopHow, fills: str
) -> None:
    started = desk()
    started.see("89")
    edit(started, lower="85")
    if fills == "after it":
        # Nothing of what it asks for reaches the venue in time.
        started.state = tick(GRID, started.view(how)).state
        assert started.state.exit is not None
    started.see("101", stop=how)
    (match,) = started.matches
    assert (match.buy_price, match.sell_price, match.profit) == (D(90), D(100), D("27.77"))


@pytest.mark.parametrize("grids", [4, 7])
def test_an_edit_stopped_on_its_way_shows_the_levels_of_its_settings(grids: int) -> None:
    started = desk(trailing_up=True)
    started.see("131")
    assert started.state.trail == 1
    edit(started, upper="160", grids=grids)
    started.settle(StopHow.KEEP)
    assert started.finished == "stop_requested"
    params, state = GRID.encode_params(started.params), GRID.encode_state(started.state)
    shown = rungs_of("grid", params, state, FREE)
    assert shown.prices == rungs_of("grid", params, None, FREE).prices
    assert GRID.is_outside(started.params, D(79), started.state)
    assert not GRID.is_outside(started.params, D(81), started.state)


# --- orders that stay -----------------------------------------------------------------------------


def ids(of: Desk) -> set[str]:
    return {order.client_id for order in of.orders.values() if order.status.is_live}


SIZED = {"quantity": "1", "investment": "3000"}


@pytest.mark.parametrize("walk", [(), ("89", "79"), ("89", "101", "111", "99")])
@pytest.mark.parametrize("on", [FREE, market()], ids=["free", "fees in coins"])
def test_orders_that_fit_the_new_settings_stay(on: Any, walk: tuple[str, ...]) -> None:
    started = desk(on=on, **SIZED)
    for price in walk:
        started.see(price)
    before, sent = ids(started), len(started.orders)
    found = edit(started, lower="70", grids=5)
    assert len(found.kept) == len(before) == 4
    assert found.cancels == ()
    assert [(each.side, each.price, each.quantity) for each in found.places] == [
        (Side.BUY, D(70), D(1))
    ]
    started.settle()
    # One order more, and nothing else was sent or taken back.
    assert before < ids(started)
    assert len(started.orders) == sent + 1
    assert started.events[-1].code in {"edit_done", "price_back_in_range"}
    # Numbers of levels go on below: the ids of those that stay hold theirs.
    assert started.state.first == -1


def test_a_round_trip_whose_order_stays_goes_on_and_counts_what_it_cost() -> None:
    started = desk(**SIZED)
    started.see("89")
    (bought,) = (o for o in started.orders.values() if o.status.value == "FILLED" and o.price == 90)
    edit(started, lower="70", grids=5)
    started.settle()
    for price in ("101", "89", "101"):
        started.see(price)
    first, second = started.matches
    assert (first.entry_client_id, first.profit) == (bought.client_id, D(10))
    assert second.entry_client_id not in {None, bought.client_id}
    assert len({each.cycle for each in started.matches}) == 2


def test_what_no_longer_fits_is_taken_back_and_the_rest_stays() -> None:
    started = desk(**SIZED)
    found = edit(started, upper="110", grids=3)
    assert {(each.side, each.price) for each in found.cancels} == {(Side.SELL, D(120))}
    assert len(found.kept) == 3
    assert (found.places, found.base_to_sell) == ((), D(1))
    started.settle()
    assert [price for _, price, _ in started.resting()] == [110, 90, 80]
    assert started.books.position.base == 1


def test_a_first_trade_does_not_meet_an_own_order_that_stays() -> None:
    started = desk("100", lower="98", upper="102", grids=8, **SIZED)
    # One more sell needs a coin at market: sells within one percent of the price are in its way.
    found = edit(started, upper="102.5", grids=9)
    assert found.base_to_buy == 1
    assert {(each.side, each.price) for each in found.cancels} == {
        (Side.SELL, D("100.5")), (Side.SELL, D(101)),
    }  # fmt: skip
    assert len(found.kept) == 6
    started.settle()
    assert [price for _, price, _ in started.resting()] == [
        D("102.5"), D(102), D("101.5"), D(101), D("100.5"),
        D("99.5"), D(99), D("98.5"), D(98),
    ]  # fmt: skip
    assert started.books.position.base == 5


def test_orders_partly_filled_or_in_doubt_do_not_stay() -> None:
    started = desk(**SIZED)
    orders = {(o.key.side, o.price): o for o in started.orders.values()}
    doubt, part = orders[Side.BUY, D(80)], orders[Side.SELL, D(120)]
    started.orders[doubt.client_id] = doubt.with_status(Status.UNRESOLVED)
    started.orders[part.client_id] = replace(part, filled=D("0.5"), status=Status.PARTIAL)
    found = GRID.edit(
        started.params,
        started.state,
        GRID.parse({**GRID.encode_params(started.params), "lower": "70", "grids": 5}),
        started.view(),
    )
    assert {each.price for each in found.kept} == {D(90), D(110)}


@pytest.mark.parametrize("kind", ["long", "short", "neutral"])
def test_orders_of_contracts_stay_as_well(kind: str) -> None:
    started = desk(on=PERP, direction=kind, **SIZED)
    before = ids(started)
    found = edit(started, lower="70", grids=5)
    kept = len(found.kept)
    assert kept == len([each for each in before if started.orders[each].key.side]) - len(
        found.cancels
    )
    assert kept >= 2
    started.settle()
    assert len(before & ids(started)) == kept
    started.see("79")
    started.see("101")
    assert started.finished is None


changes_of = st.fixed_dictionaries(
    {},
    optional={
        "lower": st.sampled_from(["75", "82"]),
        "upper": st.sampled_from(["118", "140"]),
        "grids": st.integers(2, 9),
        "investment": st.sampled_from(["900", "1700"]),
        "quantity": st.sampled_from(["0.5", "1"]),
        "spacing": st.sampled_from(["arithmetic", "geometric"]),
        "sizing": st.sampled_from(["equal_base", "equal_quote"]),
        "max_resting": st.integers(2, 6),
        "trailing_up": st.booleans(),
    },
)
walks = st.lists(
    st.integers(8300, 11700).map(lambda cents: D(cents) / 100), min_size=2, max_size=12
)


@tried(35)
@given(
    st.lists(st.tuples(walks, changes_of), min_size=1, max_size=4),
    st.sampled_from(["spot", "long", "neutral", "short"]),
    st.integers(0, 10**6),
    st.booleans(),
    st.booleans(),
)
@exact
def test_after_any_edits_the_books_agree_and_every_gap_has_its_order(
    parts: list[tuple[list[D], dict[str, Any]]], kind: str, seed: int, partial: bool, sized: bool
) -> None:
    on = FREE if kind == "spot" else PERP
    more = {} if kind == "spot" else {"direction": kind}
    if sized:
        # Of one size whatever the range is: many orders stay.
        more |= {"quantity": "1", "investment": "1700"}
    faults = Faults(seed=seed, partial=partial, lose_reply=0.1)
    started = Desk(grid(reserve="0.05", **more), on, D(100), faults=faults)
    started.see("100")
    for walk, changes in parts:
        for price in walk:
            started.see(price)
        # A size in coins goes with equal coins only.
        equal = changes.get("sizing", started.params.sizing.value) == "equal_base"
        edit(started, **(changes if equal else {**changes, "quantity": None}))
        started.see(started.price)
    faults.lose_reply, faults.partial = 0, False
    started.settle()
    held, venue = started.books.position, started.book
    if kind == "spot":
        assert held.base == venue.balance("ABC").total
        assert held.quote == venue.balance("USDT").total
    else:
        stake = venue.stake(on.symbol)
        assert held.base == stake.base
        assert held.quote == venue.balance("USDT").total - stake.sign * stake.cost
    shown = figures(started.books, started.price, on)
    assert shown.total == booked(held.quote + held.base * started.price) - started.money
    if started.finished is None:
        assert started.state.phase is not Phase.EDITING


rules_of = st.tuples(
    st.sampled_from(["0.0001", "0.01", "0.1"]), st.sampled_from(["1", "5", "30", "60"])
)
money_of = st.fixed_dictionaries(
    {},
    optional={
        "lower": st.sampled_from(["75", "82"]),
        "grids": st.integers(2, 9),
        "investment": st.sampled_from(["700", "850", "920", "960", "1700"]),
        "reserve": st.sampled_from(["0", "0.02", "0.1"]),
    },
)


@tried(30)
@given(
    st.lists(st.tuples(walks, rules_of, money_of), min_size=1, max_size=4),
    st.sampled_from(["spot", "long", "neutral", "short"]),
    st.sampled_from([FeeSide.QUOTE, FeeSide.RECEIVED_ASSET]),
    st.sampled_from([D(0), D("0.001")]),
    st.sampled_from(["equal_base", "equal_quote", "infinity"]),
)
def test_an_edit_comes_to_just_what_its_preview_promised(
    parts: list[tuple[list[D], tuple[str, str], dict[str, Any]]],
    kind: str,
    fee_side: FeeSide,
    fee: D,
    sizing: str,
) -> None:
    on = replace(FREE if kind == "spot" else PERP, maker_fee=fee, taker_fee=fee)
    if kind == "spot":
        on = replace(on, fee_side=fee_side)
    more: dict[str, Any] = {} if kind == "spot" else {"direction": kind, "leverage": "2"}
    endless = sizing == "infinity" and kind == "spot"
    if endless:
        more |= {"infinity": "true", "upper": None, "grids": None, "step": "0.05"}
    elif sizing != "infinity":
        more["sizing"] = sizing
    started = Desk(grid(reserve="0.01", **more), on, D(100))
    started.see("100")
    for walk, (
        lot,
        least_value,
    ), changes in parts:
        for price in walk:
            started.see(price)
        started.change_rules(lot=D(lot), min_notional=D(least_value))
        found = edit(started, **({**changes, "grids": None} if endless else changes))
        if started.finished or found.state is None or not found.places:
            continue
        started.settle()
        promised = {(o.side.value, o.price, o.quantity) for o in (*found.kept, *found.places)}
        assert set(started.resting()) == promised
        orders = started.orders.values()
        assert not [o for o in orders if o.status in {Status.DENIED, Status.REJECTED}]


@pytest.mark.parametrize("bad", [{"grids": 5}, {"lower": "70"}])
def test_the_ids_of_an_edited_grid_are_new(bad: dict[str, Any]) -> None:
    started = desk()
    old = set(started.orders)
    for _ in range(3):
        edit(started, **bad)
        started.settle()
        edit(started, lower="80", grids=4)
        started.settle()
    # The desk refuses an id that was used before.
    assert len(started.orders) > len(old)
