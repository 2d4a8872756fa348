"""Limits of a whole bot: which one is broken, and how they are read."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest

from app.trading.guard import GUARD_FIELDS, Facts, Guard, broken, read_guard, write_guard
from app.trading.strategy import InvalidParams

CALM = Facts(
    capital=D(1000), equity=D(950), day_equity=D(1000), day_flows=D(0), open_orders=10,
    exposure=D(1900),
)  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "facts", "code"),
    [
        ({}, {}, None),
        ({"max_capital": "1000"}, {}, None),
        ({"max_capital": "999"}, {}, "limit_max_capital"),
        ({"max_daily_loss": "50"}, {}, None),
        ({"max_daily_loss": "49.99"}, {}, "limit_daily_loss"),
        ({"max_daily_loss": "49.99"}, {"day_flows": D(-10)}, None),
        ({"max_daily_loss": "50"}, {"day_flows": D(10)}, "limit_daily_loss"),
        ({"max_open_orders": 10}, {}, None),
        ({"max_open_orders": 9}, {}, "limit_open_orders"),
        ({"max_leverage": "2"}, {}, None),
        ({"max_leverage": "1.9"}, {}, "limit_leverage"),
        ({"max_leverage": "200"}, {"equity": D(-1)}, "limit_leverage"),
        ({"max_leverage": "1"}, {"equity": D(0), "exposure": D(0)}, None),
    ],
)
def test_a_limit_is_broken_beyond_it_and_not_at_it(
    limits: dict[str, Any], facts: dict[str, Any], code: str | None
) -> None:
    found = broken(read_guard(limits), replace(CALM, **facts))
    assert (None if found is None else found.code) == code


def test_the_reason_tells_value_and_limit() -> None:
    found = broken(Guard(max_daily_loss=D(40)), CALM)
    assert found is not None
    assert found.values == {"value": "50", "limit": "40"}


def test_limits_are_read_by_their_declaration() -> None:
    guard = read_guard({"max_capital": "10.5", "max_open_orders": 3})
    assert read_guard(write_guard(guard)) == guard
    assert {field.name for field in GUARD_FIELDS} == set(Guard.__dataclass_fields__)
    with pytest.raises(InvalidParams) as caught:
        read_guard({"max_capital": "-1", "max_leverage": "NaN", "colour": "red"})
    assert {each.field for each in caught.value.problems} == {
        "max_capital", "max_leverage", "colour",
    }  # fmt: skip
