from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.money import Money, ceil_to_step, exact_text, floor_to_step, parse_exact

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9)
STEPS = st.sampled_from([Decimal(text) for text in ("0.00000001", "0.01", "0.5", "1", "25")])


def test_money_refuses_a_float() -> None:
    with pytest.raises(TypeError):
        Money(1.5, "USD")  # type: ignore[arg-type]


def test_money_refuses_a_float_factor() -> None:
    with pytest.raises(TypeError):
        Money(Decimal(1), "USD") * 0.5  # type: ignore[operator]


def test_two_currencies_never_meet() -> None:
    with pytest.raises(ValueError, match="USD and EUR"):
        Money(Decimal(1), "USD") + Money(Decimal(1), "EUR")


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [("1.005", "USD", "1.01"), ("-1.005", "USD", "-1.01"), ("0.123456789", "BTC", "0.12345679")],
)
def test_money_is_rounded_half_up_to_its_minor_unit(
    amount: str, currency: str, rounded: str
) -> None:
    assert Money(Decimal(amount), currency).rounded().amount == Decimal(rounded)


@given(AMOUNTS, STEPS)
def test_steps_enclose_the_value(value: Decimal, step: Decimal) -> None:
    low, high = floor_to_step(value, step), ceil_to_step(value, step)
    assert low <= value <= high
    assert high - low in (0, step)
    assert low % step == 0


def test_without_a_step_nothing_is_rounded() -> None:
    assert floor_to_step(Decimal("1.23456"), None) == Decimal("1.23456")


@given(AMOUNTS)
def test_exact_text_reads_back_as_the_same_number(value: Decimal) -> None:
    text = exact_text(value)
    assert parse_exact(text) == value
    assert "E" not in text.upper()


@pytest.mark.parametrize("text", ["", "abc", "NaN", "Infinity", "1,5", "1 2"])
def test_parse_exact_refuses_what_is_not_a_finite_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_exact(text)
