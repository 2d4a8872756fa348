"""The codec: exact round trips, and no floats either way."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal as D
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.codec import decimal_of, from_json, to_json
from app.trading.intents import Reason
from app.trading.orders import Order, OrderKey, OrderKind, Purpose, Side, Status
from app.trading.strategies.grid_params import GridParams
from tests.trading.world import grid

numbers = st.decimals(allow_nan=False, allow_infinity=False)
keys = st.builds(
    OrderKey,
    st.sampled_from(Purpose),
    st.none() | st.integers(0, 999),
    st.sampled_from(Side),
    st.integers(0),
)
orders = st.builds(
    Order,
    client_id=st.text(),
    key=keys,
    attempt=st.integers(0),
    kind=st.sampled_from(OrderKind),
    price=st.none() | numbers,
    quantity=numbers,
    status=st.sampled_from(Status),
    filled=numbers,
)


@given(orders)
def test_an_order_comes_back_exactly(order: Order) -> None:
    back = from_json(Order, to_json(order))
    assert back == order
    assert str(back.quantity) == str(order.quantity)


def test_parameters_come_back_exactly() -> None:
    params = grid(reserve="0.0100", stop_loss="70.50")
    assert from_json(GridParams, to_json(params)) == params


@dataclass(frozen=True)
class Everything:
    """One member of every kind that is stored."""

    times: tuple[datetime, ...]
    by_name: Mapping[str, D]
    reason: Reason
    flag: bool
    count: int
    maybe: D | None


def test_every_kind_of_value_comes_back() -> None:
    value = Everything(
        (datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),),
        {"a": D("1.10"), "b": D("-1E-30")},
        Reason("why", {"level": 3, "price": "1.5", "none": None}),
        True,
        7,
        None,
    )
    assert from_json(Everything, to_json(value)) == value


def test_times_are_stored_as_utc() -> None:
    there = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=3)))
    assert to_json(there) == "2026-01-01T09:00:00+00:00"


@pytest.mark.parametrize(
    "value", [1.5, [1.5], {"a": 1.5}, (D(1), 2.0), {1: "a"}, object(), {1, 2}, b"x"]
)
def test_what_is_not_exact_is_never_stored(value: Any) -> None:
    with pytest.raises(TypeError):
        to_json(value)


@pytest.mark.parametrize("value", [D("NaN"), D("Infinity"), datetime(2026, 1, 1)])  # noqa: DTZ001
def test_values_without_meaning_are_never_stored(value: Any) -> None:
    with pytest.raises(ValueError, match="finite|zone"):
        to_json(value)


class Colour(StrEnum):
    """A choice of one."""

    RED = "red"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (D, 1.5),
        (D, 1),
        (D, "x"),
        (D, "NaN"),
        (D | None, 1.5),
        (D | None, "x"),
        (int, "1"),
        (int, True),
        (bool, 1),
        (str, 1),
        (Colour, "blue"),
        (tuple[D, ...], "1"),
        (tuple[D, ...], ["1", 2.0]),
        (OrderKey, {"purpose": "grid", "level": "1", "side": "buy", "cycle": 0}),
        (OrderKey, {"purpose": "grid"}),
    ],
)
def test_data_of_another_kind_is_refused(kind: Any, data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_json(kind, data)


def test_decimals_are_read_from_text_alone() -> None:
    assert str(decimal_of("1.500")) == "1.500"
    for wrong in (1, 1.5, None):
        with pytest.raises(TypeError):
            decimal_of(wrong)
