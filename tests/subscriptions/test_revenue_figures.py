import json
import os
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.subscriptions.revenue.figures import Movements, cohorts, movements

SHARED = Path(os.environ.get("BOTYARD_SHARED") or Path(__file__).parents[3] / "shared").resolve()
VECTORS = SHARED / "data" / "vectors" / "saas.json"

START = {1: Decimal(2000), 2: Decimal(5000), 3: Decimal(1667)}
END = {1: Decimal(5000), 3: Decimal(1667), 4: Decimal(1600), 5: Decimal(2000)}
MONEY = st.decimals(min_value=0, max_value=10_000, places=2)


def rounded(value: Decimal | None, step: str = "0.01") -> str | None:
    return None if value is None else str(value.quantize(Decimal(step), ROUND_HALF_UP))


def percent(share: Decimal | None) -> str | None:
    return rounded(None if share is None else share * 100)


def figures(found: Movements) -> dict[str, Any]:
    lost = found.contraction + found.churned
    gained = found.new + found.expansion + found.reactivation
    return {
        "start_mrr": int(found.start),
        "end_mrr": int(found.end),
        "arr": int(found.a_year),
        "new": int(found.new),
        "expansion": int(found.expansion),
        "contraction": int(found.contraction),
        "churned": int(found.churned),
        "reactivation": int(found.reactivation),
        "net_new": int(found.net_new),
        "gross_mrr_churn_pct": percent(found.gross_churn),
        "net_mrr_churn_pct": percent(found.net_churn),
        "customer_churn_pct": percent(found.customer_churn),
        "quick_ratio_baremetrics": rounded(found.quick_ratio),
        "quick_ratio_with_reactivation": rounded(gained / lost if lost else None),
        "arpa": int(rounded(found.per_customer, "1") or 0),
        "ltv_arpa_over_churn": int(rounded(found.lifetime_value, "1") or 0),
    }


def test_a_month_with_every_movement_but_contraction() -> None:
    found = movements(START, END, paid_before={1, 2, 3, 5})
    moved = (found.new, found.expansion, found.churned, found.reactivation)
    assert [int(amount) for amount in moved] == [1600, 3000, 5000, 2000]
    assert found.net_new == found.end - found.start == Decimal(1600)
    assert (percent(found.gross_churn), percent(found.net_churn)) == ("57.69", "0.00")
    assert (percent(found.customer_churn), rounded(found.quick_ratio)) == ("33.33", "0.92")
    assert (rounded(found.per_customer, "1"), rounded(found.lifetime_value, "1")) == (
        "2567",
        "7700",
    )


def test_a_month_without_customers_has_no_shares() -> None:
    found = movements({}, {}, paid_before=set())
    assert found.gross_churn is found.customer_churn is found.per_customer is None
    assert found.quick_ratio is found.lifetime_value is None


def test_while_nobody_leaves_a_lifetime_has_no_value() -> None:
    assert movements(START, START, paid_before=set()).lifetime_value is None


@given(
    st.dictionaries(st.integers(1, 9), MONEY),
    st.dictionaries(st.integers(1, 9), MONEY),
    st.sets(st.integers(1, 9)),
)
def test_movements_lead_from_the_start_to_the_end(
    start: dict[int, Decimal], end: dict[int, Decimal], paid_before: set[int]
) -> None:
    found = movements(start, end, paid_before)
    assert found.start + found.net_new == found.end
    assert found.customers_churned <= found.customers_at_start


def test_a_cohort_shrinks_and_takes_back_who_returns() -> None:
    january, february, march = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
    first, second = cohorts({january: {1, 2}, february: {1, 3}, march: {1, 2, 3}})
    assert (first.month, first.size, first.staying) == (january, 2, (2, 1, 2))
    assert [percent(share) for share in first.retention] == ["100.00", "50.00", "100.00"]
    assert (second.month, second.staying) == (february, (1, 1))


def vectors() -> Any:
    return json.loads(VECTORS.read_text()) if VECTORS.exists() else {"worked": [], "cases": []}


def worked(kind: type) -> list[Any]:
    """Return the worked examples whose input is of a kind: a list of amounts, or movements."""
    return [case for case in vectors()["worked"] if isinstance(case["input"], kind)]


@pytest.mark.shared
@pytest.mark.parametrize("case", worked(dict), ids=lambda case: case["name"])
def test_worked_vectors(case: dict[str, Any]) -> None:
    given_, expected = case["input"], case["expect"]
    names = sorted({*given_["start_mrr_by_customer"], *given_["end_mrr_by_customer"]})
    start, end = (
        {names.index(name): Decimal(amount) for name, amount in given_[key].items()}
        for key in ("start_mrr_by_customer", "end_mrr_by_customer")
    )
    # Who left long ago and did not come back is in neither.
    came_back = set(given_.get("previously_churned", ())) & set(names)
    before = {names.index(name) for name in came_back}
    found_all = figures(movements(start, end, before))
    assert {name: found_all[name] for name in expected} == expected


@pytest.mark.shared
@pytest.mark.parametrize("case", vectors()["cases"], ids=lambda case: case["id"])
def test_figures_that_vendors_print(case: dict[str, Any]) -> None:
    given_, expected = case["input"], case["expected"]
    start = Decimal(given_.get("start_mrr", given_.get("start_of_day")))
    if "end_of_day" in given_:
        grown = Decimal(given_["end_of_day"]) - Decimal(given_.get("new_business", 0)) - start
        moved = {
            "expansion": max(grown, Decimal(0)),
            "contraction": max(-grown, Decimal(0)),
            "churned": Decimal(0),
            "new": Decimal(given_.get("new_business", 0)),
            "reactivation": Decimal(0),
        }
    else:
        moved = {
            "expansion": Decimal(given_.get("expansion_mrr", 0)),
            "contraction": Decimal(given_.get("contraction_mrr", 0)),
            "churned": Decimal(given_.get("churn_mrr", 0)),
            "new": Decimal(given_.get("new_mrr", 0)),
            "reactivation": Decimal(given_.get("reactivation_mrr", 0)),
        }
    found = Movements(
        start=start,
        end=start,
        customers_at_start=1,
        customers_at_end=1,
        customers_churned=0,
        **moved,
    )
    shares = {"gross_mrr_churn_rate": found.gross_churn, "net_mrr_churn_rate": found.net_churn}
    for name, value in expected.items():
        share, told = shares[name], Decimal(str(value))
        assert share is not None
        # To as many places as the vendor prints.
        assert share.quantize(told, ROUND_HALF_UP) == told
