"""The comparison of both books finds an order that is not what we believe it to be."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tests.doubles.books import Ours, Theirs, differences

D = Decimal
MONEY = D(1000)


def ours(**changed: Any) -> Ours:
    """Return our books with one order."""
    row = {
        "client_id": "by1", "bot_id": 1, "epoch": 0, "purpose": "grid", "level": 3, "cycle": 0,
        "side": "buy", "kind": "limit", "price": D("98.5"), "quantity": D(2), "filled": D(0),
        "status": "OPEN", "symbol": "AAA/USDT",
    }  # fmt: skip
    return Ours(1, [SimpleNamespace(**{**row, **changed})], [], {}, D(0))


def theirs(**changed: Any) -> Theirs:
    """Return the exchange's with the same order."""
    order = {
        "link_id": "by1", "number": 1, "side": "Buy", "kind": "Limit", "price": "98.50",
        "quantity": "2", "filled": "0", "status": "New", "reduce_only": False,
        "trigger_price": "0", "created": 1, "updated": 1,
    }  # fmt: skip
    return Theirs({"USDT": MONEY}, [{**order, **changed}], [])


STOP = {"purpose": "protect", "kind": "stop", "symbol": "AAA/USDT:USDT", "level": None}
TRIGGERED = {"kind": "Market", "price": "0", "trigger_price": "98.5", "reduce_only": True}
SALE = {"purpose": "close", "kind": "market", "symbol": "AAA/USDT:USDT", "price": None}


@pytest.mark.parametrize(
    ("mine", "there"),
    [
        ({}, {}),
        (STOP, {**TRIGGERED, "status": "New"}),
        ({**STOP, "symbol": "AAA/USDT"}, {**TRIGGERED, "reduce_only": False}),
        (SALE, {"kind": "Market", "price": "0", "reduce_only": True}),
    ],
    ids=["grid order", "stop of a contract", "stop of coins", "closing sale"],
)
def test_the_same_order_on_both_sides_is_no_difference(
    mine: dict[str, Any], there: dict[str, Any]
) -> None:
    assert differences(ours(**mine), theirs(**there), "USDT", MONEY) == []


@pytest.mark.parametrize(
    ("mine", "there"),
    [
        ({}, {"price": "98.51"}),
        ({}, {"side": "Sell"}),
        ({}, {"kind": "Market"}),
        ({}, {"reduce_only": True}),
        (STOP, {**TRIGGERED, "reduce_only": False}),
        (STOP, {**TRIGGERED, "trigger_price": "98"}),
        (STOP, {**TRIGGERED, "trigger_price": "0"}),
        (SALE, {"kind": "Market", "price": "0"}),
    ],
)
def test_another_price_side_kind_or_mark_is_a_difference(
    mine: dict[str, Any], there: dict[str, Any]
) -> None:
    (line,) = differences(ours(**mine), theirs(**there), "USDT", MONEY)
    assert "by1 asks for" in line
