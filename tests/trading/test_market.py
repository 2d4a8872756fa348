"""Markets, candles' paths and exact arithmetic; a venue's own rounding as far as it is ours."""

import json
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.market import Triggers, booked, candle_path, exact
from tests.conftest import shared_folder
from tests.trading.world import candles, market


def test_a_rising_candle_falls_first_and_a_falling_one_rises_first() -> None:
    rising, level, falling = candles(
        ("5", "9", "1", "6"), ("5", "9", "1", "5"), ("6", "9", "1", "5")
    )
    assert candle_path(rising) == tuple(map(D, (5, 1, 9, 6)))
    assert candle_path(level) == tuple(map(D, (5, 1, 9, 5)))
    assert candle_path(falling) == tuple(map(D, (6, 9, 1, 5)))


def test_prices_and_quantities_go_to_their_steps() -> None:
    on = market(tick=D("0.5"), lot=D("0.2"))
    assert (on.price_down(D("1.9")), on.price_up(D("1.6"))) == (D("1.5"), D("2.0"))
    assert on.quantity_down(D("0.99")) == D("0.8")


def test_without_a_step_nothing_is_rounded() -> None:
    on = market(tick=None, lot=None)
    assert on.price_down(D("1.23456789")) == on.quantity_down(D("1.23456789")) == D("1.23456789")


@given(
    st.decimals("0.00000001", 10**6, places=8),
    st.sampled_from([D("0.01"), D("0.00000001"), D("0.25"), D(10), None]),
)
def test_rounding_stays_within_a_step_and_on_the_grid(value: D, step: D | None) -> None:
    on = market(tick=step)
    down, up = on.price_down(value), on.price_up(value)
    assert down <= value <= up
    assert up - down in (0, step)
    assert on.price_down(down) == on.price_up(down) == down


@pytest.mark.parametrize(
    ("quantity", "price", "tradable"),
    [("0.5", "10", True), ("0.4", "100", False), ("0.5", "9", False), ("0", "10", False)],
)
def test_an_order_must_pass_both_minimums(quantity: str, price: str, tradable: bool) -> None:
    on = market(min_quantity=D("0.5"), min_notional=D(5))
    assert on.is_tradable(D(quantity), D(price)) is tradable


def test_triggers_are_crossed_at_their_price_already() -> None:
    both = Triggers(D(90), D(110))
    assert [both.crossed(D(p)) for p in (89, 90, 91, 109, 110)] == [True, True, False, False, True]
    assert not Triggers().crossed(D(1))


@given(st.decimals(-1000, 1000, places=25))
def test_what_is_booked_is_rounded_down_to_18_digits(value: D) -> None:
    @exact
    def lost() -> D:
        return value - booked(value)

    assert 0 <= lost() < D("1e-18")


@exact
def adjacent(step: D, value: D, others: D) -> bool:
    """Say whether two prices are the same or neighbours on a step."""
    return abs(value - others) <= step


def precision_cases() -> list[Any]:
    """Return the recorded roundings of a venue's library."""
    path = shared_folder() / "data" / "vectors" / "precision_bybit.json"
    if not path.is_file():
        return []
    cases = json.loads(path.read_text(encoding="utf-8"), parse_float=D)["cases"]
    return [pytest.param(case, id=f"{case['symbol']}-{i}") for i, case in enumerate(cases)]


@pytest.mark.shared
@pytest.mark.parametrize("case", precision_cases())
def test_quantities_are_cut_as_the_venues_library_cuts_them(case: dict[str, Any]) -> None:
    sizes, tick = case["lotSizeFilter"], case["priceFilter"]["tickSize"]
    lot = sizes["qtyStep"] if "qtyStep" in sizes else sizes["basePrecision"]
    on = market(lot=D(lot), tick=D(tick))
    cut = on.quantity_down(D(case["raw_amount"]))
    # Their library raises where nothing would be left.
    said = case["amount_to_precision"]
    assert cut == (0 if said == "InvalidOrder" else D(said))
    price, theirs = D(case["raw_price"]), D(case["price_to_precision"])
    # Theirs is the nearest tick; ours is never worse than the level, so one of both is theirs.
    assert theirs in (on.price_down(price), on.price_up(price))
    assert adjacent(D(tick), on.price_down(price), on.price_up(price))
