"""Published figures of venues: the plan, the levels, one round trip, the profit of a grid."""

import json
from collections.abc import Iterator
from decimal import ROUND_HALF_UP
from decimal import Decimal as D
from typing import Any

import pytest

from app.trading.cases import liquidation_figures, trailing_figures
from app.trading.inputs import read_plan_input
from app.trading.market import FeeSide
from app.trading.strategies.grid_figures import GridPlan
from app.trading.strategies.grid_levels import Cycle, cycle, profit_bounds, ratio
from app.trading.strategies.grid_params import Spacing
from app.trading.strategies.grid_plan import plan_grid
from tests.conftest import shared_folder

KINDS = ("plan", "levels", "cycle", "profit", "trailing", "liquidation")


def recorded_cases() -> Iterator[Any]:
    """Yield every case in the files of grids; an unknown kind fails when it is checked."""
    folder = shared_folder() / "data" / "vectors"
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        cases = data.get("cases", []) if isinstance(data, dict) else []
        for case in cases:
            if isinstance(case, dict) and ("grid" in path.stem or case.get("kind") in KINDS):
                yield pytest.param(case, id=f"{path.stem}:{case['id']}")


def agrees(expected: str, found: D) -> bool:
    """Compare after rounding half up to as many decimals as the expected number has."""
    number = D(expected)
    step = D(1).scaleb(int(number.as_tuple().exponent))
    return found.quantize(step, ROUND_HALF_UP) == number


def check(case: dict[str, Any]) -> None:
    """Check one case of any kind."""
    checks = {
        "plan": check_plan,
        "levels": check_plan,
        "cycle": check_cycle,
        "profit": check_profit,
        "trailing": check_trailing,
        "liquidation": check_liquidation,
    }
    checks[case["kind"]](case["input"], case["expected"])


def check_plan(given: dict[str, Any], expected: dict[str, Any]) -> None:
    params, market, price, unknown = read_plan_input(given)
    plan = plan_grid(params, market, price)
    assert not unknown
    assert not plan.errors
    seen = {name: check_figure(name, value, plan) for name, value in expected.items()}
    assert seen
    assert all(seen.values()), seen


def check_figure(name: str, value: Any, plan: GridPlan) -> bool:
    if name == "sell_count":
        return bool(value == len(plan.sells or ()))
    found = getattr(plan, name)
    if not isinstance(value, list):
        return agrees(value, found)
    if len(value) != len(found):
        return False
    return all(same(each, other) for each, other in zip(value, found, strict=True))


def same(expected: Any, found: Any) -> bool:
    if isinstance(expected, list):
        return agrees(expected[0], found.price) and agrees(expected[1], found.quantity)
    return agrees(expected, found if isinstance(found, D) else found.price)


def check_cycle(given: dict[str, Any], expected: dict[str, Any]) -> None:
    numbers = {name: D(given[name]) for name in ("buy", "sell", "buy_quantity", "sell_quantity")}
    found = cycle(**numbers, fee=D(given["fee"]), fee_side=FeeSide(given["fee_side"]))
    assert expected
    for name, value in expected.items():
        assert agrees(value, getattr(found, name)), (name, found)


def check_profit(given: dict[str, Any], expected: dict[str, Any]) -> None:
    lower, upper, grids = D(given["lower"]), D(given["upper"]), given["grids"]
    spacing, side = Spacing(given["spacing"]), FeeSide(given["fee_side"])
    least, most = profit_bounds(lower, upper, grids, spacing, D(given["fee"]), side)
    found = {
        "lowest_percent": least * 100,
        "highest_percent": most * 100,
        "profit_percent": least * 100,
        "ratio": ratio(lower, upper, grids),
    }
    assert expected
    for name, value in expected.items():
        assert agrees(value, found[name]), (name, found)


def check_trailing(given: dict[str, Any], expected: dict[str, Any]) -> None:
    found = trailing_figures(given)
    assert set(expected) <= set(found)
    for part, figures in expected.items():
        for name, value in figures.items():
            got = found[part][name]
            if isinstance(value, list):
                assert len(value) == len(got), (part, name, got)
                assert all(agrees(a, D(b)) for a, b in zip(value, got, strict=True))
            else:
                assert agrees(value, D(got)), (part, name, got)


def check_liquidation(given: dict[str, Any], expected: dict[str, Any]) -> None:
    found = liquidation_figures(given)
    assert set(expected) == {"price"}
    assert agrees(expected["price"], D(found["price"])), found


@pytest.mark.shared
@pytest.mark.parametrize("case", list(recorded_cases()))
def test_a_published_case_comes_out_the_same(case: dict[str, Any]) -> None:
    check(case)


@pytest.mark.shared
def test_every_kind_of_published_case_is_among_them() -> None:
    kinds = {param.values[0]["kind"] for param in recorded_cases()}
    assert kinds == set(KINDS)


OWN_CASES = [
    # 1000 / (90 + 80 + 2 * 95) by hand: 2.777... floored to 2.777; empty is 100.
    {
        "id": "own-plan",
        "kind": "plan",
        "input": {
            "price": "95",
            "lower": "80",
            "upper": "120",
            "grids": 4,
            "spacing": "arithmetic",
            "sizing": "equal_base",
            "investment": "1000",
            "tick": "0.1",
            "lot": "0.001",
            "maker_fee": "0.001",
            "fee_side": "received_asset",
        },
        "expected": {
            "levels": ["80", "90", "100", "110", "120"],
            "empty_level": "100",
            "buys": [["90", "2.777"], ["80", "2.777"]],
            "sells": [["110", "2.774"], ["120", "2.774"]],
            "quantity": "2.777",
            "base_to_buy": "5.554",
            "base_cost": "527.630",
            "quote_reserved": "472.090",
            "base_reserved": "5.554",
            "investment": "1000",
        },
    },
    {
        "id": "own-quantity",
        "kind": "plan",
        "input": {
            "price": "100",
            "lower": "80",
            "upper": "120",
            "grids": 4,
            "quantity": "2",
            "reserve": "0.2",
        },
        # The price stands on a level: it is the empty one. (90 + 80 + 2 * 100) * 2 / 0.8
        "expected": {
            "empty_level": "100",
            "buys": ["90", "80"],
            "sells": ["110", "120"],
            "investment": "925",
            "base_to_buy": "4",
        },
    },
    {
        "id": "own-neutral",
        "kind": "plan",
        "input": {
            "market_type": "linear",
            "direction": "neutral",
            "leverage": "2",
            "price": "95",
            "lower": "80",
            "upper": "120",
            "grids": 4,
            "investment": "330",
        },
        # No empty level; 660 / max(80 + 90, 100 + 110 + 120)
        "expected": {
            "buys": [["90", "2"], ["80", "2"]],
            "sells": [["100", "2"], ["110", "2"], ["120", "2"]],
            "base_to_buy": "0",
            "quantity": "2",
        },
    },
    {
        "id": "own-geometric",
        "kind": "levels",
        "input": {"lower": "1", "upper": "16", "grids": 4, "spacing": "geometric", "tick": "0.1"},
        "expected": {"levels": ["1", "2", "4", "8", "16"]},
    },
    {
        "id": "own-cycle-in-coins",
        "kind": "cycle",
        "input": {
            "buy": "90",
            "sell": "100",
            "buy_quantity": "2",
            "sell_quantity": "1.998",
            "fee": "0.001",
            "fee_side": "received_asset",
        },
        # 199.8 - 0.1998 - 180; fees 0.002 * 100 + 0.1998
        "expected": {"grid_profit": "19.6002", "fees_in_quote": "0.3998"},
    },
    {
        "id": "own-cycle-in-quote",
        "kind": "cycle",
        "input": {
            "buy": "90",
            "sell": "100",
            "buy_quantity": "2",
            "sell_quantity": "2",
            "fee": "0.001",
            "fee_side": "quote",
        },
        "expected": {"grid_profit": "19.62", "fees_in_quote": "0.38"},
    },
    {
        "id": "own-profit",
        "kind": "profit",
        "input": {
            "lower": "1",
            "upper": "16",
            "grids": 4,
            "spacing": "geometric",
            "fee": "0.01",
            "fee_side": "received_asset",
        },
        # 0.99 * 0.99 * 2 - 1
        "expected": {"ratio": "2", "profit_percent": "96.02"},
    },
]


OWN_CASES += [
    {
        "id": "own-trailing",
        "kind": "trailing",
        "input": {
            "lower": "80",
            "upper": "120",
            "grids": 4,
            "price": "95",
            "trailing_up": True,
            "then_price": "130",
        },
        "expected": {
            "before": {"buys": ["90", "80"], "empty_level": "100", "sells": ["110", "120"]},
            "after": {"cancelled": ["80"], "new_buy": "120", "lower": "90", "upper": "130"},
        },
    },
    {
        "id": "own-liquidation-short",
        "kind": "liquidation",
        "input": {
            "exchange": "binance",
            "margin": "isolated",
            "side": "short",
            "quantity": "10",
            "entry_price": "100",
            "wallet_balance": "200",
            "maintenance_amount": "0",
            "maintenance_rate": "0.02",
        },
        # (200 + 1000) / (0.2 + 10)
        "expected": {"price": "117.647"},
    },
]


@pytest.mark.parametrize("case", OWN_CASES, ids=lambda case: case["id"])
def test_a_case_computed_by_hand_comes_out_the_same(case: dict[str, Any]) -> None:
    check(case)


def test_an_unknown_kind_fails_loudly() -> None:
    with pytest.raises(KeyError):
        check({"kind": "weather", "input": {}, "expected": {}})


def test_a_wrong_figure_is_noticed() -> None:
    wrong = {**OWN_CASES[0], "expected": {"quantity": "2.776"}}
    with pytest.raises(AssertionError):
        check(wrong)


def test_a_round_trip_without_fees_earns_the_step() -> None:
    assert cycle(D(90), D(100), D(2), D(2), D(0), FeeSide.QUOTE) == Cycle(D(20), D(0))
