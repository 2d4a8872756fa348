"""The plan of a grid: what is refused, what is warned of, and figures followed by hand."""

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.trading.market import FeeSide, Market, MarketKind
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_figures import GridPlan
from app.trading.strategies.grid_levels import ladder, most_grids
from app.trading.strategies.grid_params import Direction, GridParams, Sizing, Spacing
from app.trading.strategies.grid_plan import plan_grid
from app.trading.strategy import InvalidParams
from tests.trading.world import grid, market


def plan(price: str = "95", on: Market | None = None, **changes: Any) -> GridPlan:
    return plan_grid(grid(**changes), on or market(), D(price))


def codes(problems: Any) -> list[tuple[str, str]]:
    return [(found.field, found.code) for found in problems]


def test_without_price_only_the_levels_are_known() -> None:
    found = plan_grid(grid(), market(), None)
    assert found == GridPlan(levels=(D(80), D(90), D(100), D(110), D(120)))


@pytest.mark.parametrize(("price", "field"), [("79.99", "lower"), ("120.01", "upper")])
def test_a_range_without_the_price_is_refused(price: str, field: str) -> None:
    assert codes(plan(price).errors) == [(field, "range_excludes_price")]


@pytest.mark.parametrize("price", ["80", "120"])
def test_both_ends_belong_to_the_range(price: str) -> None:
    assert not plan(price).errors


def test_at_the_upper_price_nothing_is_bought_first() -> None:
    found = plan("120")
    assert (found.empty_level, found.base_to_buy, len(found.buys or ())) == (D(120), D(0), 4)


def test_levels_on_the_same_tick_are_refused_with_the_most_that_fit() -> None:
    found = plan(grids=41, on=market(tick=D(1)))
    assert codes(found.errors) == [("grids", "duplicate_levels")]
    assert found.errors[0].values["maximum"] == 40
    assert not plan(grids=40, on=market(tick=D(1))).errors


def test_a_grid_that_loses_on_every_level_is_refused() -> None:
    found = plan(on=market(maker_fee=D("0.07")))
    assert ("grids", "fees_exceed_profit") in codes(found.errors)


def test_a_grid_that_loses_on_some_levels_is_warned_of() -> None:
    found = plan(on=market(maker_fee=D("0.05")))
    assert ("grids", "fees_exceed_profit") in codes(found.warnings)
    assert not found.errors


def test_more_orders_than_the_venue_takes_are_warned_of_and_wait() -> None:
    found = plan(on=market(max_orders=3))
    assert codes(found.warnings) == [("grids", "too_many_orders")]
    assert (found.orders_resting, found.orders_virtual) == (3, 1)
    assert not found.errors


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stop_loss": "95"}, "stop_loss_not_below_price"),
        ({"take_profit": "95"}, "take_profit_not_above_price"),
    ],
)
def test_an_exit_that_is_already_reached_is_refused(changes: dict[str, Any], code: str) -> None:
    assert [found.code for found in plan(**changes).errors] == [code]


def test_exits_inside_the_range_are_warned_of() -> None:
    found = plan(stop_loss="85", take_profit="110")
    assert codes(found.warnings) == [
        ("stop_loss", "stop_loss_inside_range"),
        ("take_profit", "take_profit_inside_range"),
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"direction": "short"}, "spot_is_long_only"),
        ({"direction": "neutral"}, "spot_is_long_only"),
        ({"leverage": "2"}, "spot_has_no_leverage"),
    ],
)
def test_spot_takes_no_futures_parameters(changes: dict[str, Any], code: str) -> None:
    assert [found.code for found in plan(**changes).errors] == [code]


def test_a_given_quantity_below_the_venues_minimum_is_refused() -> None:
    found = plan(investment=None, quantity="0.01")
    assert codes(found.errors) == [("quantity", "below_minimum_order")]


def test_money_for_less_than_a_lot_is_refused_on_contracts_too() -> None:
    rules = market(kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE, lot=D(1000), min_notional=D(0))
    for direction in ("long", "short", "neutral"):
        found = plan(on=rules, direction=direction)
        assert ("investment", "investment_too_small") in codes(found.errors)


def test_an_infinity_grid_with_millions_of_levels_is_refused_at_once() -> None:
    found = plan("119", upper=None, grids=None, step="0.0000001", infinity=True)
    assert codes(found.errors) == [("step", "grids_out_of_range")]
    assert len(found.levels) < 30


def test_a_given_quantity_must_be_paid_by_the_given_money() -> None:
    found = plan(investment="100", quantity="1", reserve="0")
    assert codes(found.errors) == [("investment", "investment_too_small")]
    assert found.errors[0].values["minimum"] == "360"


def test_a_reserve_that_does_not_cover_the_fees_is_warned_of() -> None:
    on = market(fee_side=FeeSide.QUOTE)
    assert codes(plan(on=on, reserve="0").warnings) == [("reserve", "reserve_below_fees")]
    assert not plan(on=on, reserve="0.01").warnings


def test_equal_quote_spends_the_same_on_every_level() -> None:
    on = market(lot=D("0.00000001"), fee_side=FeeSide.QUOTE)
    found = plan(on=on, sizing="equal_quote", reserve="0")
    # c = 1000 / (2 + 95/110 + 95/120)
    assert found.order_value is not None
    assert found.order_value.quantize(D("0.0001")) == D("273.5751")
    values = [order.price * (order.quantity or 0) for order in (found.buys or ())]
    assert all(found.order_value - value < D("0.000002") for value in values)
    assert found.quantity is None
    coins = sum(order.quantity or 0 for order in (found.sells or ()))
    assert found.base_to_buy == found.base_reserved == coins


def test_the_worst_case_counts_every_coin_at_the_lower_price() -> None:
    found = plan(reserve="0", on=market(fee_side=FeeSide.QUOTE))
    # q 2.777: first purchase 5.554 for 527.63, buys 472.09, each with 0.1 % on top.
    worst = found.worst_case
    assert worst is not None
    cash = D(1000) - (D("527.630") + D("472.090")) * D("1.001")
    assert worst.coins == D("11.108")
    assert worst.value == cash + D("11.108") * 80
    assert worst.loss == 1000 - worst.value
    assert worst.break_even is not None
    sold_at_break_even = worst.break_even * worst.coins * D("0.999") + cash
    assert abs(sold_at_break_even - 1000) < D("1e-20")


def test_a_short_futures_grid_mirrors_the_long_one() -> None:
    on = market(kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE)
    found = plan("105", on=on, direction="short", reserve="0")
    assert found.empty_level == D(100)
    assert [order.price for order in found.buys or ()] == [D(90), D(80)]
    assert [order.price for order in found.sells or ()] == [D(110), D(120)]
    # q = 1000 / (110 + 120 + 2 * 105)
    assert found.quantity == D("2.272")
    assert found.base_to_buy == D("-4.544")


def test_a_level_is_floored_for_a_buy_and_ceiled_for_a_sell() -> None:
    steps = ladder(D(1), D(2), 3, Spacing.ARITHMETIC, D("0.1"))
    assert steps.levels == steps.buys == (D(1), D("1.3"), D("1.6"), D(2))
    assert steps.sells == (D(1), D("1.4"), D("1.7"), D(2))


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(2, 1000), st.sampled_from(Spacing))
def test_levels_rise_and_end_exactly_at_both_bounds(
    low: int, width: int, grids: int, spacing: Spacing
) -> None:
    steps = ladder(D(low), D(low + width), grids, spacing, None)
    assert (steps.exact[0], steps.exact[-1]) == (D(low), D(low + width))
    assert len(steps.exact) == grids + 1
    assert all(a < b for a, b in zip(steps.exact, steps.exact[1:], strict=False))


@given(st.integers(10, 10**4), st.integers(5, 10**4), st.sampled_from(Spacing))
def test_as_many_grids_as_are_named_have_no_duplicates(
    low: int, width: int, spacing: Spacing
) -> None:
    most = most_grids(D(low), D(low + width), spacing, D(1))
    assume(most >= 2)
    assert not ladder(D(low), D(low + width), most, spacing, D(1)).has_duplicates


markets = st.builds(
    market,
    lot=st.sampled_from([D("0.001"), D("0.1"), D(1), None]),
    min_notional=st.sampled_from([None, D(1), D(5), D(10)]),
    min_quantity=st.sampled_from([None, D("0.5"), D("0.013")]),
    maker_fee=st.sampled_from([D(0), D("0.001"), D("0.0075")]),
    taker_fee=st.sampled_from([D(0), D("0.001"), D("0.01")]),
    fee_side=st.sampled_from(FeeSide),
)
grids = st.builds(
    GridParams,
    lower=st.decimals(40, 80, places=2),
    upper=st.decimals(110, 200, places=2),
    grids=st.integers(2, 60),
    spacing=st.sampled_from(Spacing),
    sizing=st.sampled_from(Sizing),
    investment=st.decimals(1, 100_000, places=2),
    reserve=st.sampled_from([D(0), D("0.01"), D("0.05")]),
)
prices = st.decimals(80, 110, places=2)


@given(grids, markets, prices)
def test_the_named_minimum_is_enough_and_a_lot_less_is_not(
    params: GridParams, on: Market, price: D
) -> None:
    least = plan_grid(params, on, price).minimum_investment
    assert least is not None
    assume(least > 0)

    def problems(money: D) -> list[str]:
        changed = GridParams(**{**as_dict(params), "investment": money})
        return [found.code for found in plan_grid(changed, on, price).errors]

    assert "investment_too_small" not in problems(least)
    assert "investment_too_small" in problems(least * D("0.98"))


def as_dict(params: GridParams) -> dict[str, Any]:
    return {name: getattr(params, name) for name in GridParams.__dataclass_fields__}


@given(grids, markets, prices)
def test_resting_orders_are_as_many_as_gaps_and_cost_no_more_than_the_money(
    params: GridParams, on: Market, price: D
) -> None:
    found = plan_grid(params, on, price)
    buys, sells = found.buys or (), found.sells or ()
    assert len(buys) + len(sells) == params.grids
    assert all(order.price < price for order in buys)
    assert all(order.price > price for order in sells)
    assert found.base_cost is not None
    assert found.quote_reserved is not None
    # A lot may be rounded up once, for coins that the fee takes.
    slack = price * (on.lot or 0) + (found.base_cost * D("0.011"))
    assert found.base_cost + found.quote_reserved <= (params.investment or 0) + slack


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [("lower", "missing"), ("upper", "missing"), ("grids", "missing")]),
        ({"lower": "x"}, [("lower", "not_a_number")]),
        ({"lower": "1e5"}, [("lower", "not_a_number")]),
        ({"lower": "NaN"}, [("lower", "not_a_number")]),
        ({"lower": "Infinity"}, [("lower", "not_a_number")]),
        ({"lower": "1_000"}, [("lower", "not_a_number")]),
        ({"lower": "٣"}, [("lower", "not_a_number")]),
        ({"lower": "0"}, [("lower", "too_small")]),
        ({"lower": "-5"}, [("lower", "too_small")]),
        ({"lower": 1.5}, [("lower", "float_refused")]),
        ({"lower": True}, [("lower", "not_a_number")]),
        ({"lower": D("1e30")}, [("lower", "too_many_digits")]),
        ({"lower": D("1e1000000000")}, [("lower", "too_many_digits")]),
        ({"lower": D("1e-1000000000")}, [("lower", "too_many_digits")]),
        ({"lower": D("12345678901234567890.1234567890123456789")}, [("lower", "too_many_digits")]),
        ({"lower": D("0e1000000000")}, [("lower", "too_small")]),
        ({"lower": D("NaN")}, [("lower", "not_a_number")]),
        ({"lower": "9" * 21}, [("lower", "not_a_number")]),
        ({"upper": "80"}, [("upper", "invalid_range")]),
        ({"upper": "70"}, [("upper", "invalid_range")]),
        ({"grids": "2.5"}, [("grids", "not_an_integer")]),
        ({"grids": 1}, [("grids", "grids_out_of_range")]),
        ({"grids": 1001}, [("grids", "grids_out_of_range")]),
        ({"spacing": "cubic"}, [("spacing", "not_a_choice")]),
        ({"sizing": 3}, [("sizing", "not_a_choice")]),
        ({"reserve": "1"}, [("reserve", "too_large")]),
        ({"leverage": "0.5"}, [("leverage", "too_small")]),
        ({"trailing_up": "maybe"}, [("trailing_up", "not_a_flag")]),
        ({"investment": ""}, [("investment", "missing")]),
        ({"gird": 3}, [("gird", "unknown_field")]),
        ({"stop_loss": "90", "take_profit": "80"}, [("stop_loss", "stop_loss_above_take_profit")]),
        (
            {"quantity": "1", "sizing": "equal_quote"},
            [("quantity", "quantity_needs_equal_base")],
        ),
        (
            {"infinity": "maybe", "upper": None, "grids": None, "step": "1"},
            [("infinity", "not_a_flag")],
        ),
        ({"spacing": "log", "grids": None, "step": "5"}, [("spacing", "not_a_choice")]),
        (
            {"infinity": True, "upper": None, "grids": None, "step": "1000000"},
            [("step", "too_large")],
        ),
        ({"lower": "x", "grids": "y"}, [("lower", "not_a_number"), ("grids", "not_a_number")]),
    ],
)
def test_every_bad_field_is_named(values: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    good = {"lower": "80", "upper": "120", "grids": 4, "investment": "1000"} if values else {}
    with pytest.raises(InvalidParams) as caught:
        GRID.parse({**good, **values})
    assert [each for each in codes(caught.value.problems) if each in expected] == expected
    assert (caught.value.field, caught.value.code) == expected[0]


def test_fields_declare_what_parse_reads() -> None:
    params = grid(spacing="geometric", trailing_up="on", stop_loss="70.5", reserve="0.02")
    assert {field.name for field in GRID.fields} == set(GridParams.__dataclass_fields__)
    assert GRID.parse(GRID.encode_params(params)) == params


def test_directions_are_the_words_of_the_parameters() -> None:
    assert [each.value for each in Direction] == ["long", "neutral", "short"]
