from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from app.accounts.models import User
from app.db import utc_now
from app.subscriptions import queries, rights, service, usage
from app.subscriptions.periods import Period, Unit
from app.subscriptions.rules import RunningBots
from app.transactions import transaction
from tests.client import Client
from tests.factories import make_user


@pytest.fixture(autouse=True)
def plans(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction():
        service.seed_plans()
    two = staticmethod(lambda user_id: RunningBots(2, 0))
    monkeypatch.setattr(usage._Registered, "counter", two)


def test_the_price_list_shows_three_plans_from_the_database(client: Client) -> None:
    page = client.get("/pricing").text
    for text in ("Free", "Pro", "Premium", "29.00\u00a0USD", "79.00\u00a0USD", "290.00\u00a0USD"):
        assert text in page
    with transaction():
        service.add_price(None, "pro", Decimal("31.25"))
    page = client.get("/pricing").text
    assert "31.25\u00a0USD" in page and ">29.00\u00a0USD" not in page


def test_a_price_for_three_months_stands_beside_the_others(client: Client) -> None:
    with transaction():
        service.add_price(None, "pro", Decimal(84), period=Period(3, Unit.MONTH))
        service.add_price(None, "pro", Decimal(9), period=Period(1, Unit.WEEK))
    page = client.get("/pricing").text
    assert "84.00\u00a0USD for 3 months" in page
    assert page.index("for 1 week") < page.index("for 3 months")


def test_the_price_list_says_what_each_plan_allows_how_often(client: Client) -> None:
    page = client.get("/pricing").text
    assert page.count("API calls a minute") == 3
    assert "1,200" in page and "300" in page


def test_prices_follow_the_readers_marks(client: Client) -> None:
    page = client.get("/pricing", headers={"Accept-Language": "ru"}).text
    assert "29,00\u00a0USD" in page


def test_without_plans_the_page_says_so(client: Client) -> None:
    with transaction():
        for plan in queries.plans_on_offer():
            service.change_plan(None, plan.plan, plan, visible=False)
    assert client.get("/pricing").status_code == 200
    assert "No plan is on offer" in client.get("/pricing").text


def test_a_person_sees_the_plan_what_is_used_and_its_end(
    login_as: Callable[[User], Client],
) -> None:
    with transaction():
        user = make_user()
    page = login_as(user).get("/subscriptions").text
    assert "2 of 3" in page and "0 of 2" in page and "paper money only" in page
    with transaction():
        until = utc_now() + timedelta(days=2)
        rights.give_plan(None, user.id, "pro", until, "test phase")
    page = login_as(user).get("/subscriptions").text
    assert "2 of 20" in page and "0 of 10" in page and "ends soon" in page


def test_the_profile_shows_the_plan(login_as: Callable[[User], Client]) -> None:
    with transaction():
        user = make_user()
    assert 'href="/subscriptions"' in login_as(user).get("/profile").text


def test_a_name_that_staff_gave_is_escaped(client: Client) -> None:
    with transaction():
        plan = queries.plans_on_offer()[1]
        renamed = type(plan)(
            **{**{f: getattr(plan, f) for f in plan.__slots__}, "name": "<b>x</b>"}
        )
        service.change_plan(None, "pro", renamed, visible=True)
    page = client.get("/pricing").text
    assert "&lt;b&gt;x" in page and "<b>x" not in page


def test_visitors_are_asked_to_log_in(client: Client) -> None:
    answer = client.get("/subscriptions")
    assert answer.status_code == 302 and "/login" in answer.headers["Location"]
