"""Every kind of grid: short, neutral, trailing, infinity, virtual orders, triggers, exits."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.engine import tick
from app.trading.intents import Cancel, Place
from app.trading.market import FeeSide, MarketKind, PricePoint, Tier, Triggers, booked, exact
from app.trading.orders import Side, Status
from app.trading.performance import figures
from app.trading.position import Holdings
from app.trading.risk import check
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_levels import _long_ladder, _short_ladder, ladder
from app.trading.strategies.grid_params import ProfitUse, Spacing
from app.trading.strategies.grid_plan import plan_grid
from app.trading.strategies.grid_state import Phase
from app.trading.strategy import InvalidParams, Protection, StopHow
from tests.examples import tried
from tests.trading.world import Desk, Faults, at, grid, market

FREE = market(maker_fee=D(0), taker_fee=D(0))
PERP = market(
    kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE, maker_fee=D(0), taker_fee=D(0),
    tiers=(Tier(D(0), D("0.005")),),
)  # fmt: skip


def desk(price: str = "95", *, on: Any = FREE, **changes: Any) -> Desk:
    opened = Desk(grid(**{"reserve": "0", **changes}), on, D(price))
    opened.see(price)
    return opened


def resting(of: Desk) -> list[tuple[str, D]]:
    return [(side, price) for side, price, _ in of.resting()]


def sides(of: Desk, side: str) -> list[D]:
    return [price for each, price in resting(of) if each == side]


# --- levels by step -----------------------------------------------------------------------------


def test_levels_may_be_counted_off_by_a_step() -> None:
    params = grid(grids=None, step="15")
    assert (params.grids, params.upper) == (2, D(110))
    assert GRID.parse(GRID.encode_params(params)) == params


def test_a_geometric_step_is_a_share() -> None:
    params = grid(grids=None, step="0.1", spacing="geometric")
    assert params.grids == 4
    assert params.upper == D("117.128")
    assert GRID.parse(GRID.encode_params(params)) == params


@pytest.mark.parametrize("upper", ["1500", "1900", "3000", "9000"])
def test_a_level_that_a_share_puts_on_a_tick_stays_there(upper: str) -> None:
    """The top is rounded to the step of the books; a level drawn from it stood a tick lower."""
    params = grid(grids=None, step="0.05", spacing="geometric", lower="1000", upper=upper)
    plan = plan_grid(params, market(tick=D("0.01")), D(1300))
    assert plan.levels[:4] == (D(1000), D(1050), D("1102.5"), D("1157.62"))
    assert [order.price for order in plan.buys or ()][-3:] == [D("1102.5"), D(1050), D(1000)]


@given(st.integers(1, 500), st.sampled_from(["0.001", "0.0137", "0.1"]))
def test_a_top_counted_off_is_read_as_the_same_number_of_steps(cents: int, step: str) -> None:
    values = {"lower": "50", "upper": D(5100 + cents * 100) / 100, "step": step, "quantity": "1"}
    try:
        params = GRID.parse({**values, "spacing": "geometric"})
    except InvalidParams as bad:
        assert bad.code in {"grids_out_of_range"}
        return
    assert GRID.parse(GRID.encode_params(params)) == params


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"step": "5"}, "step", "grids_and_step"),
        ({"grids": None, "step": "0.001"}, "step", "grids_out_of_range"),
        ({"grids": None, "step": "30"}, "step", "grids_out_of_range"),
        ({"infinity": True}, "step", "infinity_needs_step"),
        ({"infinity": True, "grids": None, "step": "0.01"}, "upper", "infinity_has_no_upper"),
        ({"trailing_up_limit": "150"}, "trailing_up_limit", "limit_without_trailing"),
        (
            {"trailing_up": True, "trailing_up_limit": "120"},
            "trailing_up_limit",
            "trailing_limit_inside_range",
        ),
        (
            {"trailing_down": True, "trailing_down_limit": "80"},
            "trailing_down_limit",
            "trailing_limit_inside_range",
        ),
        ({"stop_loss_share": "1.5"}, "stop_loss_share", "too_large"),
        ({"max_resting": 1}, "max_resting", "too_small"),
        (
            {"direction": "short", "stop_loss": "70", "take_profit": "130"},
            "stop_loss",
            "stop_loss_below_take_profit",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(
    changes: dict[str, Any], field: str, code: str
) -> None:
    with pytest.raises(InvalidParams) as caught:
        grid(**changes)
    assert (field, code) in [(each.field, each.code) for each in caught.value.problems]


# --- short and neutral --------------------------------------------------------------------------


def test_a_short_grid_sells_first_and_mirrors_the_long_one() -> None:
    started = desk("105", on=PERP, direction="short")
    assert started.books.position.base == D("-4.544")
    assert sides(started, "sell") == [D(120), D(110)]
    assert sides(started, "buy") == [D(90), D(80)]
    started.see("111")
    assert sides(started, "sell") == [D(120)]
    assert sides(started, "buy") == [D(100), D(90), D(80)]
    assert not started.matches
    started.see("99")
    (match,) = started.matches
    assert (match.opened_by, match.sell_price, match.buy_price) == (Side.SELL, D(110), D(100))
    assert match.profit == D("22.72")
    assert "short_closed" in started.codes()


def test_the_first_short_sale_counts_from_the_level_above() -> None:
    started = desk("105", on=PERP, direction="short")
    started.see("89")
    (match,) = started.matches
    assert (match.entry_client_id, match.sell_price, match.buy_price) == (None, D(100), D(90))


def test_a_neutral_grid_starts_flat_with_an_order_on_every_level() -> None:
    started = desk("95", on=PERP, direction="neutral", leverage="2")
    assert started.books.position.base == 0
    assert resting(started) == [
        ("sell", D(120)),
        ("sell", D(110)),
        ("sell", D(100)),
        ("buy", D(90)),
        ("buy", D(80)),
    ]
    assert len(resting(desk("100", on=PERP, direction="neutral"))) == 4


@pytest.mark.parametrize("first", ["89", "101"])
def test_whichever_fills_first_of_a_neutral_grid_the_other_closes_it(first: str) -> None:
    started = desk("95", on=PERP, direction="neutral")
    started.see(first)
    assert len(resting(started)) == 4
    started.see("101" if first == "89" else "89")
    (match,) = started.matches
    assert match.opened_by is (Side.BUY if first == "89" else Side.SELL)
    assert (match.buy_price, match.sell_price) == (D(90), D(100))
    assert started.books.position.base == 0
    assert len(resting(started)) == 4


@pytest.mark.parametrize("first", ["89", "101"])
@pytest.mark.parametrize("how", [StopHow.LEAVE_ORDERS, StopHow.KEEP])
def test_both_orders_left_of_the_first_gap_close_each_other(first: str, how: StopHow) -> None:
    started = desk("95", on=PERP, direction="neutral")
    if how is StopHow.LEAVE_ORDERS:
        started.settle(how)
    else:
        # Both fill before their cancels arrive.
        started.state = tick(GRID, started.view(how)).state
    state = started.state
    for price in (first, "101" if first == "89" else "89"):
        started.inbox += started.book.advance(PERP.symbol, PricePoint(9, at(9), D(price)))
        started._read_inbox()
        if how is StopHow.LEAVE_ORDERS:
            view = started.view()
            read = GRID.read_left(state, view.orders, view.time)
            state, started.matches = read.state, [*started.matches, *read.matches]
            started.news.clear()
    started.settle(how)
    (match,) = started.matches
    assert match.opened_by is (Side.BUY if first == "89" or how is StopHow.KEEP else Side.SELL)
    assert (match.buy_price, match.sell_price, match.is_part) == (D(90), D(100), False)
    assert match.profit == match.quantity * 10


def test_what_an_order_left_in_the_first_gap_has_opened_in_part_is_closed_alone() -> None:
    started = desk("95", on=PERP, direction="neutral")
    bought = next(o for o in started.orders.values() if o.price == 90)
    sold = next(o for o in started.orders.values() if o.price == 100)
    part = replace(
        bought, status=Status.CANCELLED, filled=D("0.5"), value=D(45), fee_quote=D("0.1")
    )
    whole = replace(
        sold, status=Status.FILLED, filled=sold.quantity, value=sold.quantity * 100, fee_quote=D(0)
    )
    read = GRID.read_left(started.state, (part, whole), at(1))
    (match,) = read.matches
    assert (match.quantity, match.buy_value, match.sell_value) == (D("0.5"), D(45), D(50))
    assert (match.profit, match.is_part) == (D("4.9"), False)


def test_a_long_grid_never_sells_to_open() -> None:
    started = desk("95", on=PERP)
    view = started.view()
    gone = Holdings(D(1), view.holdings.quote, D(95))
    missing = [order for order in view.orders if order.key.side is Side.BUY]
    done = tick(GRID, type(view)(**{**members(view), "orders": tuple(missing), "holdings": gone}))
    sells = [e for e in done.intents if isinstance(e, Place) and e.key.side is Side.SELL]
    assert sum(each.quantity for each in sells) == 1
    assert not done.denied
    # Whoever asks for more is held back all the same.
    more = replace(sells[0], key=replace(sells[0].key, cycle=9))
    (denied,) = check((*sells, more), replace(view, orders=tuple(missing), holdings=gone)).denied
    assert denied.code == "would_open_short"


def members(view: Any) -> dict[str, Any]:
    return {name: getattr(view, name) for name in type(view).__dataclass_fields__}


# --- virtual orders -----------------------------------------------------------------------------


def test_only_the_nearest_orders_rest() -> None:
    started = desk("100", grids=20, max_resting=6, lower="50", upper="150")
    assert len(resting(started)) == 6
    assert resting(started)[0] == ("sell", D(115))
    assert resting(started)[-1] == ("buy", D(85))


def test_orders_are_swapped_as_the_price_moves_but_not_at_every_step() -> None:
    started = desk("100", grids=40, max_resting=8, lower="50", upper="150")
    placed = len(started.orders)
    for price in ("101.2", "98.7", "101.2", "98.7"):
        started.see(price)
        assert len(resting(started)) == 8
    # Fills alone are answered; nothing is taken back.
    cancelled = [o for o in started.orders.values() if o.status.value == "CANCELLED"]
    assert not cancelled
    for price in ("104", "107", "110", "113"):
        started.see(price)
    nearest = sorted(abs(price - 113) for _, price in resting(started))
    assert nearest[-1] <= D("12.5")
    assert len(started.orders) < placed + 40
    assert "order_cancelled_outside" not in started.codes()


def test_a_look_without_a_fill_changes_nothing() -> None:
    started = desk("100", grids=40, max_resting=8, lower="50", upper="150")
    before = resting(started)
    started.see("101.9")
    started.see("98.1")
    assert resting(started) == before


@tried(3)
@given(st.lists(st.integers(5200, 14800), min_size=2, max_size=8), st.integers(2, 12))
def test_with_few_orders_resting_the_same_levels_fill_as_with_all(
    walk: list[int], most: int
) -> None:
    # Prices move by less than a gap, so no waiting level is jumped over.
    price, path = 10000, [D(100)]
    for target in walk:
        while abs(target - price) > 200:
            price += 200 if target > price else -200
            path.append(D(price) / 100)
    params = {"grids": 40, "lower": "50", "upper": "150"}
    few, all_of_them = desk("100", max_resting=most, **params), desk("100", **params)
    for each in path:
        few.see(each)
        all_of_them.see(each)
    bare = [(fill.side, fill.price, fill.quantity) for fill in few.fills]
    assert bare == [(fill.side, fill.price, fill.quantity) for fill in all_of_them.fills]


# --- trailing -----------------------------------------------------------------------------------


def test_trailing_up_gives_up_the_lowest_buy_for_one_below_the_new_top() -> None:
    started = desk("95", trailing_up=True, grids=4)
    started.see("121")
    assert sides(started, "buy") == [D(110), D(100), D(90), D(80)]
    started.see("130")
    assert sides(started, "buy") == [D(120), D(110), D(100), D(90)]
    assert {"lower": "90", "upper": "130"} in [event.values for event in started.events]
    started.see("119")
    assert resting(started)[0] == ("sell", D(130))
    assert len(resting(started)) == 4


def die_before_acting(desk: Desk, price: str) -> None:
    """Let a price happen, decide, and die before anything of it is done."""
    desk.price = D(price)
    decided = tick(GRID, desk.view())
    assert any(isinstance(intent, Cancel) for intent in decided.intents)
    desk.state = decided.state


def test_trailing_goes_on_when_its_worker_died_before_it_took_an_order_back() -> None:
    started = desk("95", trailing_up=True, grids=4)
    started.see("121")
    die_before_acting(started, "130")
    started.see("130")
    assert sides(started, "buy") == [D(120), D(110), D(100), D(90)]


def test_orders_beyond_the_cap_go_when_the_worker_died_before_it_took_them_back() -> None:
    started = desk("100", grids=10, lower="50", upper="150")
    started.params = replace(started.params, max_resting=4)
    die_before_acting(started, "100")
    started.see("100")
    assert len(resting(started)) == 4


@pytest.mark.parametrize("leverage", [None, "3"])
def test_orders_that_shrank_on_the_way_up_stay_within_the_money_that_they_brought(
    leverage: str | None,
) -> None:
    # Bought with all the money at the bottom, each step up buys fewer coins for it.
    if leverage is None:
        started = desk("81", trailing_up=True, grids=10)
    else:
        started = desk("81", on=PERP, trailing_up=True, grids=10, leverage=leverage)
    for price in ("121", "149", "200", "161", "200", "173", "200", "161", "200"):
        started.see(price)
    assert started.state.trail > 10
    assert len(resting(started)) == 10
    assert not [code for code in started.codes() if code.startswith("denied_")]


def test_trailing_wakes_one_step_beyond_the_range() -> None:
    started = desk("95", trailing_up=True)
    started.see("121")
    assert started.tick_once().triggers == Triggers(D(120), D(130))


def test_trailing_stops_at_its_limit() -> None:
    started = desk("95", trailing_up=True, trailing_up_limit="135")
    started.see("121")
    started.see("200")
    assert (started.state.trail, sides(started, "buy")[0]) == (1, D(120))


@pytest.mark.parametrize(
    ("on", "changes", "warned"),
    [
        # Without a limit the first price is named at which it goes wrong ...
        ({"min_quantity": D(2)}, {"trailing_up": True}, ("up", "minimum", D(130))),
        ({"min_notional": D(200)}, {"trailing_down": True}, ("down", "minimum", D(70))),
        ({"maker_fee": D("0.03")}, {"trailing_up": True}, ("up", "fees", D(170))),
        # ... with one what is so at the limit.
        (
            {"min_quantity": D(2)},
            {"trailing_up": True, "trailing_up_limit": "200"},
            ("up", "minimum", D(200)),
        ),
        ({}, {"trailing_up": True, "trailing_down": True}, None),
        ({"min_quantity": D(2)}, {}, None),
    ],
)
def test_a_plan_warns_of_where_trailing_goes_wrong(
    on: dict[str, Any], changes: dict[str, Any], warned: tuple[str, str, D] | None
) -> None:
    plan = GRID.plan(grid(reserve="0", **changes), market(**on), D(95))
    found = [each for each in plan.warnings if each.code.startswith("trailing_below")]
    if warned is None:
        assert found == []
        return
    way, what, price = warned
    assert [(each.field, each.code, each.values["price"]) for each in found] == [
        (f"trailing_{way}_limit", f"trailing_below_{what}", str(price))
    ]


def test_a_grid_whose_next_order_would_be_too_small_stays_and_says_so_once() -> None:
    # Equal coins cost ever more on the way up: what the lowest buy frees buys fewer of them.
    coarse = market(maker_fee=D(0), taker_fee=D(0), min_quantity=D(2))
    started = desk("95", on=coarse, trailing_up=True)
    for price in ("121", "130", "140", "150", "200", "190", "210"):
        started.see(price)
    assert (started.state.trail, started.state.stuck) == (1, True)
    (said,) = (line for line in started.events if line.code == "trailing_too_small")
    assert said.values == {"price": "130", "quantity": "1.923"}
    # Nothing wakes it for that any more, and its orders stand.
    assert started.tick_once().triggers.above is None
    assert sides(started, "buy") == [D(120), D(110), D(100), D(90)]
    # The next fill may have changed that: it looks again, and says again if it has not.
    started.see("119")
    assert not started.state.stuck
    for price in ("131", "145"):
        started.see(price)
    assert started.state.stuck or started.state.trail > 1
    assert GRID.decode_state(GRID.encode_state(started.state)) == started.state


def test_trailing_down_takes_the_coins_of_the_highest_sell_lower() -> None:
    started = desk("95", trailing_down=True)
    started.see("79")
    coins = started.books.position.base
    assert sides(started, "sell") == [D(120), D(110), D(100), D(90)]
    started.see("70")
    assert sides(started, "sell") == [D(110), D(100), D(90), D(80)]
    assert started.books.position.base == coins
    started.see("81")
    # The coins of the level at 110 went for 80: the loss is booked as what it is.
    assert started.matches[-1].profit == (80 - 110) * D("2.777")


def test_a_jump_over_several_steps_trails_all_of_them() -> None:
    started = desk("95", trailing_up=True)
    started.see("121")
    started.see("160")
    assert started.state.trail == 4
    assert len(resting(started)) == 4
    assert started.codes().count("trailed_up") == 4


def test_levels_that_come_back_never_reuse_an_id() -> None:
    started = desk("95", trailing_up=True, trailing_down=True)
    for price in ("121", "160", "60", "160", "60", "121"):
        # The desk refuses an id that was used before.
        started.see(price)
    assert started.state.newest > 0
    assert len(started.state.slots) == 4


def test_a_far_order_that_a_grid_gives_up_as_it_follows_is_taken_back_once() -> None:
    # It is too far away as well: of the few that may rest others are nearer now.
    started = desk("100", max_resting=3, grids=8, trailing_up=True)
    for price in ("121.64", "126.46", "136.87", "149.49", "181.42"):
        started.see(price)
    assert "trailed_up" in started.codes()


# --- infinity -----------------------------------------------------------------------------------


def infinite(price: str = "100", **changes: Any) -> Desk:
    values = {"upper": None, "grids": None, "step": "0.05", "infinity": True, "lower": "80"}
    return desk(
        price,
        on=market(lot=D("0.00000001"), tick=D("0.0001"), maker_fee=D(0), taker_fee=D(0)),
        **{**values, **changes},
    )


def test_an_infinity_grid_keeps_the_value_of_its_coins() -> None:
    started = infinite(max_resting=10)
    # X = 1000 * 80 / 100, kept at the empty level 80 * 1.05^5.
    assert abs(started.books.position.base * D("102.1025250") - 800) < D("0.001")
    for price in ("106", "112", "118", "124", "130", "137", "145", "200", "400"):
        started.see(price)
        value = started.books.position.base * D(price)
        assert D(755) < value < D(845), (price, value)
    assert not [code for code in started.codes() if code.startswith("denied")]
    for price in ("300", "200", "150", "110", "100", "90", "82"):
        started.see(price)
        assert D(755) < started.books.position.base * D(price) < D(845)


def test_an_infinity_grid_is_never_above_its_range() -> None:
    started = infinite(max_resting=10)
    started.see("900")
    assert "price_above_range" not in started.codes()
    assert not GRID.is_outside(started.params, D(900), started.state)


def ladders_made() -> int:
    return sum(kept.cache_info().misses for kept in (_short_ladder, _long_ladder))


def test_an_infinity_grid_makes_its_levels_once_however_far_the_price_leaps() -> None:
    # Ladders are kept for all ticks of a process: one for each step of the way filled its memory.
    started = infinite(max_resting=10)
    before = ladders_made()
    started.see("1000000")
    assert len(started.state.slots) > 190
    assert ladders_made() - before <= 4


def test_of_long_ladders_few_are_kept_in_memory() -> None:
    before = ladders_made()
    for cents in range(150):
        ladder(D(100) + D(cents) / 100, D(900), 500, Spacing.ARITHMETIC, D("0.01"))
    assert ladders_made() - before == 150
    assert _long_ladder.cache_info().currsize < 150


# --- the trigger price --------------------------------------------------------------------------


def test_a_grid_waits_for_its_trigger_price() -> None:
    started = desk("95", trigger_price="100")
    assert started.state.phase is Phase.WAITING
    assert not started.orders
    assert started.tick_once().triggers == Triggers(None, D(100))
    started.see("99.99")
    assert not started.orders
    started.see("100")
    assert sides(started, "sell") == [D(120), D(110)]
    assert started.codes()[0] == "grid_started"


def test_a_trigger_below_is_waited_for_from_above() -> None:
    started = desk("130", trigger_price="110")
    started.see("111")
    assert not started.orders
    started.see("109")
    assert len(resting(started)) == 4


def test_a_jump_out_of_the_range_ends_a_waiting_grid_with_its_reason() -> None:
    started = desk("95", trigger_price="100")
    started.see("150")
    assert started.finished == "start_failed"


def test_a_trigger_that_was_touched_and_left_begins_the_grid_at_the_price_of_now() -> None:
    started = desk("95", trigger_price="100")
    view = replace(started.view(), price=D(97), swing=(D(96), D("100.2")))
    done = tick(GRID, view)
    assert done.state.phase is Phase.ENTRY
    assert done.state.start_price == 97
    assert [(line.code, line.values["price"]) for line in done.events] == [
        ("grid_started", "100.2")
    ]
    assert tick(GRID, replace(view, swing=(D(96), D("99.99")))).state.phase is Phase.WAITING


def test_a_trigger_that_was_touched_is_waited_for_again_where_the_plan_fails_by_now() -> None:
    started = desk("95", trigger_price="100")
    done = tick(GRID, replace(started.view(), price=D(79), swing=(D(79), D(101))))
    assert (done.state.phase, done.finished) == (Phase.WAITING, None)
    (line,) = done.events
    assert (line.code, line.values) == (
        "trigger_missed", {"touched": "101", "price": "79", "code": "range_excludes_price"}
    )  # fmt: skip
    assert done.triggers == Triggers(None, D(100))


@pytest.mark.parametrize("swing", [None, (D(97), D(101))])
def test_a_grid_does_not_begin_at_an_old_price(swing: tuple[D, D] | None) -> None:
    started = desk("95", trigger_price="100")
    price = D(100) if swing is None else D(97)
    view = replace(started.view(), price=price, swing=swing, price_is_old=True)
    done = tick(GRID, view)
    assert (done.state.phase, done.intents, done.events) == (Phase.WAITING, (), ())
    # Any other price wakes it.
    assert done.triggers == Triggers(price, price)
    assert tick(GRID, replace(view, price_is_old=False)).state.phase is Phase.ENTRY


def test_a_waiting_grid_can_be_stopped() -> None:
    started = desk("95", trigger_price="100")
    started.settle(StopHow.SELL)
    assert started.finished == "stop_requested"


# --- exits by equity ----------------------------------------------------------------------------


def test_a_loss_of_equity_ends_the_grid_at_the_very_price() -> None:
    started = desk("95", stop_loss_share="0.1", at_exit="sell")
    started.see("89")
    trigger = started.tick_once().triggers.below
    assert trigger is not None
    position = started.books.position
    assert abs(position.quote + position.base * trigger - 900) < D("1e-15")
    started.see(trigger + D("0.01"))
    assert started.finished is None
    started.see(trigger)
    assert started.finished == "stop_loss_share_reached"
    assert started.books.position.base == 0


def test_a_gain_of_equity_ends_the_grid() -> None:
    started = desk("95", take_profit_share="0.05")
    started.see("119")
    assert started.finished == "take_profit_share_reached"


def test_a_short_grid_ends_above_its_stop() -> None:
    started = desk("105", on=PERP, direction="short", stop_loss="125", at_exit="sell")
    started.see("125")
    assert started.finished == "stop_loss_reached"
    assert started.books.position.base == 0


def test_the_stop_that_should_rest_follows_the_settings() -> None:
    started = desk("95", stop_loss="70", stop_loss_share="0.9", at_exit="sell")
    money = started.money

    def protection() -> Protection | None:
        held = started.books.position.holdings
        return GRID.protection(started.params, started.state, FREE, held, money)

    assert protection() == Protection(Side.SELL, D(70))
    started.see("60")
    assert protection() is None
    short = desk("105", on=PERP, direction="short", stop_loss_share="0.1", at_exit="sell")
    found = GRID.protection(short.params, short.state, PERP, short.books.position.holdings, D(1000))
    assert found is not None
    assert found.side is Side.BUY
    assert abs(short.books.position.equity(found.trigger) - 900) < D("0.05")
    kept = desk("95", stop_loss="70")
    assert (
        GRID.protection(kept.params, kept.state, FREE, kept.books.position.holdings, money) is None
    )


def test_the_fees_of_orders_that_stand_are_kept_back_on_a_contract() -> None:
    # Else an order that had to wait for margin is asked for at the next look, though nothing came.
    rules = replace(PERP, maker_fee=D("0.004"), taker_fee=D("0.006"))
    opened = desk("100", on=rules, lower="20", upper="180", grids=30, leverage="20")
    assert opened.codes().count("orders_without_margin") == 1
    assert "order_rejected" not in opened.codes()


def test_a_sale_that_trades_at_once_after_a_leap_needs_the_margin_of_that_price() -> None:
    # At its limit there would be enough; the venue takes the price of now, and the taker's fee.
    opened = desk("100", on=PERP, lower="80", upper="120", direction="neutral", max_resting=2)
    for price in ("130", "85", "121", "96"):
        opened.see(price)
    refused = {"order_rejected", "denied_over_margin"}
    assert not refused & set(opened.codes())


def test_a_buy_that_trades_at_once_keeps_back_the_fee_of_a_taker() -> None:
    rules = replace(FREE, maker_fee=D(0), taker_fee=D("0.01"), fee_side=FeeSide.QUOTE)
    opened = desk("120", on=rules, grids=4, reserve="0", max_resting=3)
    opened.see("80")
    assert {each.status for each in opened.orders.values()} <= {Status.OPEN, Status.FILLED}


# --- profit -------------------------------------------------------------------------------------


def test_reinvested_profit_makes_later_orders_bigger() -> None:
    aside, reinvested = desk("95"), desk("95", profit_use="reinvest")
    for _ in range(20):
        for price in ("89", "101"):
            aside.see(price)
            reinvested.see(price)
    assert {q for s, p, q in aside.resting() if p == 90} == {D("2.777")}
    (bigger,) = {q for s, p, q in reinvested.resting() if p == 90}
    earned = sum((match.profit for match in reinvested.matches), D(0))
    assert bigger == (D("2.777") * (1 + earned / 1000)).quantize(D("0.001"), "ROUND_FLOOR")
    assert not [code for code in reinvested.codes() if code.startswith("denied")]


@pytest.mark.parametrize(
    ("direction", "last", "opens"),
    [("long", "101", ("buy", D(90))), ("short", "89", ("sell", D(100)))],
)
def test_reinvested_profit_leaves_the_leverage_of_a_contract_as_it_is(
    direction: str, last: str, opens: tuple[str, D]
) -> None:
    way = {"on": PERP, "direction": direction, "leverage": "5"}
    aside, reinvested = desk("95", **way), desk("95", **way, profit_use="reinvest")
    for price in ("89", "101") * 20 + (last,):
        aside.see(price)
        reinvested.see(price)
    (size,) = [q for side, price, q in aside.resting() if (side, price) == opens]
    (bigger,) = [q for side, price, q in reinvested.resting() if (side, price) == opens]
    earned = sum((match.profit for match in reinvested.matches), D(0))
    assert earned > 1000
    assert bigger == (size * (1 + earned / 1000)).quantize(D("0.001"), "ROUND_FLOOR")


def test_profit_that_was_taken_out_is_not_reinvested() -> None:
    opened = desk("95")
    for price in ("89", "101") * 20:
        opened.see(price)
    earned = sum((match.profit for match in opened.matches), D(0))
    opened.state = GRID.with_flow(opened.state, -earned)
    opened.params = replace(opened.params, profit_use=ProfitUse.REINVEST)
    opened.see("89")
    opened.see("101")
    more = opened.matches[-1].profit
    (size,) = [
        quantity for side, price, quantity in opened.resting() if (side, price) == ("buy", D(90))
    ]
    assert size == (D("2.777") * (1 + more / 1000)).quantize(D("0.001"), "ROUND_FLOOR")


# --- whatever happens -----------------------------------------------------------------------------

walks = st.lists(
    st.integers(6000, 15000).map(lambda cents: D(cents) / 100), min_size=8, max_size=50
)
kinds = st.fixed_dictionaries(
    {
        "grids": st.integers(2, 12),
        "spacing": st.sampled_from(["arithmetic", "geometric"]),
        "sizing": st.sampled_from(["equal_base", "equal_quote"]),
        "reserve": st.sampled_from(["0.01", "0.05"]),
        "profit_use": st.sampled_from(["set_aside", "reinvest"]),
        "trailing_up": st.booleans(),
        "trailing_down": st.booleans(),
    },
    optional={
        "max_resting": st.integers(2, 8),
        "stop_loss_share": st.just("0.4"),
        "take_profit": st.just("149"),
        "trigger_price": st.sampled_from(["92", "108"]),
    },
)
places = st.one_of(
    st.builds(
        market,
        fee_side=st.sampled_from(FeeSide),
        maker_fee=st.sampled_from([D(0), D("0.001")]),
        lot=st.sampled_from([D("0.001"), D("0.01"), None]),
        tick=st.sampled_from([D("0.01"), None]),
    ),
    st.builds(
        market,
        kind=st.just(MarketKind.LINEAR),
        fee_side=st.just(FeeSide.QUOTE),
        maker_fee=st.sampled_from([D(0), D("0.0002"), D("-0.0001")]),
        lot=st.sampled_from([D("0.001"), D("0.01")]),
        tiers=st.just((Tier(D(0), D("0.005")),)),
    ),
)
faultlike = st.builds(
    Faults,
    seed=st.integers(0, 10**6),
    refuse=st.sampled_from([0.0, 0.1]),
    lose_reply=st.sampled_from([0.0, 0.2]),
    hold_back_news=st.sampled_from([0.0, 0.5]),
    partial=st.booleans(),
)


@tried(25)
@given(walks, kinds, places, faultlike, st.sampled_from(["long", "neutral", "short"]))
@exact
def test_whatever_kind_the_books_agree_to_the_last_unit(
    walk: list[D], changes: dict[str, Any], on: Any, faults: Faults, direction: str
) -> None:
    linear = on.kind is MarketKind.LINEAR
    more = {"direction": direction} if linear else {}
    if direction == "short" and linear:
        changes = {name: value for name, value in changes.items() if name != "take_profit"}
    started = Desk(grid(**changes, **more), on, D(100), faults=faults)
    for price in [D(100), *walk]:
        started.see(on.price_down(price))
        for balance in started.book.balances().values():
            assert balance.locked >= 0
        if direction == "long" or not linear:
            assert started.books.position.base >= 0
        elif direction == "short":
            assert started.books.position.base <= 0
    faults.refuse = faults.lose_reply = faults.hold_back_news = 0
    for _ in range(3):
        started.settle()
    held, venue = started.books.position, started.book.balances()
    if linear:
        stake = started.book.stake(on.symbol)
        # Fills that were told late change the average cost, but never the sums.
        assert held.base == stake.base
        assert held.quote == venue["USDT"].total - stake.sign * stake.cost
    else:
        assert held.base == started.book.balance("ABC").total
        assert held.quote == venue["USDT"].total
    shown = figures(started.books, started.price, on)
    assert shown.total == booked(held.quote + held.base * started.price) - started.money
    assert shown.total == shown.grid + shown.price_change + shown.funding


@tried(30)
@given(
    st.lists(st.sampled_from([Side.BUY, Side.SELL]), min_size=3, max_size=10),
    st.integers(7900, 13100),
)
def test_from_any_sides_every_gap_gets_its_order(chosen: list[Side], cents: int) -> None:
    price = D(cents) / 100
    started = desk("100", grids=len(chosen), lower="80", upper="130", investment="10000")
    for order in list(started.orders.values()):
        if order.status.is_live:
            started._cancel(order.client_id)
    started.settle()
    view = started.view()
    slots = tuple(
        type(slot)(side, D(1), cycle=5, opening=None if side is Side.BUY else slot_sums())
        for slot, side in zip(view.state.slots, chosen, strict=True)
    )
    for order in list(started.orders.values()):
        if order.status.is_live:
            started._cancel(order.client_id)
    started.news.clear()
    started.state = type(view.state)(**{**members(view.state), "slots": slots})
    coins = D(len(chosen))
    book = started.book
    missing = coins - book.balance("ABC").total
    give(started, max(D(0), missing), D(100_000))
    started.price = price
    started.seq += 1
    started.see(price)
    assert len(resting(started)) == len(chosen)


def slot_sums() -> Any:
    from app.trading.strategies.grid_state import Sums

    return Sums(D(1), D(100), D(0), D(0))


def give(to: Desk, coins: D, cash: D) -> None:
    to.book._ledger.move("ABC", coins, D(0))
    to.book._ledger.move("USDT", cash, D(0))
    position = to.books.position
    changed = type(position)(
        position.quote + cash, position.base + coins, position.base_cost, position.fees
    )
    to.books = type(to.books)(**{**members(to.books), "position": changed})


@pytest.mark.parametrize("profit_use", ["set_aside", "reinvest"])
@pytest.mark.parametrize("walk", [("123", "79", "123"), ("103", "97", "111", "81", "119")])
def test_orders_of_equal_value_stay_within_the_money_without_any_reserve(
    profit_use: str, walk: tuple[str, ...]
) -> None:
    # A first sale brings less than the buy that answers it, by both fees.
    started = desk(
        "100", on=market(), sizing="equal_quote", grids=10, profit_use=profit_use, lower="80"
    )
    for price in walk:
        started.see(price)
    assert started.matches
    assert len(resting(started)) == 10
    assert not [code for code in started.codes() if code.startswith("denied_")]
