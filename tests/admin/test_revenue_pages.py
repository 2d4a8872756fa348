"""The pages of revenue: who may see them, what stands on them, and their files."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta

import pytest

from app.accounts.models import Role, User
from app.db import utc_now
from app.payments.rules import LineKind
from app.subscriptions.service import seed_plans
from app.transactions import transaction
from tests.client import Client
from tests.factories import make_user
from tests.long import few
from tests.subscriptions.billing import Charge, bill, take_money

Login = Callable[[User], Client]
PATHS = ("", "income", "months.csv", "rental.csv", "payments.csv")


@pytest.fixture
def manager(database: None, login_as: Login) -> Client:
    with transaction():
        seed_plans()
    return login_as(make_user(Role.MANAGER))


@pytest.fixture
def paid(manager: Client) -> User:
    """Return a customer who pays 29.00 a month for a plan and 5.00 for a bot since yesterday."""
    start = utc_now() - timedelta(minutes=5)
    end = start + timedelta(days=30)
    customer = make_user()
    lines = [
        Charge("29.00", start, end),
        Charge("5.00", start, end, LineKind.BOT, "addon:extra_bot"),
    ]
    take_money(bill(customer.id, lines), "34.00", fee="1.29")
    return customer


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("role", "status"), [(Role.CUSTOMER, 404), (Role.SUPPORT, 403), (Role.MANAGER, 200)]
)
def test_only_managers_see_the_revenue(
    database: None, login_as: Login, role: Role, status: int
) -> None:
    client = login_as(make_user(role))
    assert [client.get(f"/admin/revenue/{path}").status_code for path in PATHS] == [status] * 5


def test_the_recurring_page_tells_the_figures_and_how_they_are_made(
    manager: Client, paid: User
) -> None:
    page = manager.get("/admin/revenue/").text
    assert "MRR" in page and "ARR" in page
    assert "after discounts and before tax" in page
    assert "who cancels counts until the paid period ends" in page
    [month] = rows_of(manager.get("/admin/revenue/months.csv").text)
    assert month["start"] == "0" and month["new"] == month["end"] == month["net_new"]
    assert (month["customers_start"], month["customers_end"]) == ("0", "1")


def test_the_income_page_tells_what_renting_brought(manager: Client, paid: User) -> None:
    page = manager.get("/admin/revenue/income").text
    assert "$32.71" in page or "32.71" in page
    assert paid.email in page
    rows = rows_of(manager.get("/admin/revenue/rental.csv").text)
    assert [(row["plan"], row["line"], row["bot_kind"], row["paid"]) for row in rows] == [
        ("extra_bot", "bot", "grid", "5"),
        ("pro", "plan", "", "29"),
    ]
    assert {row["period"] for row in rows} == {"month"}
    [payment] = rows_of(manager.get("/admin/revenue/payments.csv").text)
    assert (payment["gross"], payment["fee"], payment["net"]) == ("34", "1.29", "32.71")


def test_managers_learn_how_many_customers_cover_the_costs(manager: Client, paid: User) -> None:
    assert "Set them" in manager.get("/admin/revenue/income").text
    path = "/admin/settings/change"
    manager.post_form(path, {"name": "costs_a_month", "value": "many"})
    assert "Please write a whole number." in manager.get("/admin/settings/").text
    manager.post_form(path, {"name": "costs_a_month", "value": "1000"})
    assert "Set them" not in manager.get("/admin/revenue/income").text


@pytest.mark.parametrize("period", few(["this_month", "last_month", "year", "days", "nonsense"], 3))
def test_every_period_has_both_pages(manager: Client, paid: User, period: str) -> None:
    for path in ("", "income"):
        answer = manager.get(f"/admin/revenue/{path}?period={period}&currency=XYZ")
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("first", "last"),
    [("2026-01-01", "2025-01-01"), ("0001-01-01", "9999-12-31"), ("x" * 5000, "🦊"),
     ("2001-01-01", "2020-01-01")],
)  # fmt: skip
def test_days_that_cannot_be_are_told(manager: Client, first: str, last: str) -> None:
    answer = manager.get(
        "/admin/revenue/", query_string={"period": "days", "first": first, "last": last}
    )
    assert answer.status_code == 200
    assert "Choose" in answer.text
