"""How far back a plan lets its owner look, and whose ticks come first, as data that staff edit."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from redis.exceptions import RedisError
from sqlalchemy import update

from app.accounts import limits
from app.accounts.models import Role, User
from app.bots import jobs, wake
from app.bots.queries import results
from app.db import db, utc_now
from app.errors import InvalidInput
from app.extensions import redis_client
from app.subscriptions.models import Plan
from app.subscriptions.priority import leads
from app.subscriptions.queries import allowed_by, plan_by_code
from app.subscriptions.quotas import spend
from app.subscriptions.rights import give_plan
from app.subscriptions.rules import FREE_LIMITS, LEAST_ALLOWED, Allowance, check_limits
from app.subscriptions.service import seed_plans
from app.trades.ledger import trades_before
from app.trades.models import TradeRow
from app.transactions import transaction
from tests.bots.shop import Shop
from tests.client import Client
from tests.factories import make_account, make_user
from tests.trades.test_trades import add_trade

Login = Callable[[User], Client]


@pytest.fixture
def shop(database: None) -> Shop:
    """Return a person with a trade of yesterday, one of 100 days ago, and an old open one."""
    with transaction():
        seed_plans()
    shop = Shop.open()
    bot_id, now = shop.add_bot("One"), utc_now()
    add_trade(shop, bot_id, "1", now - timedelta(days=1))
    add_trade(shop, bot_id, "2", now - timedelta(days=100))
    add_trade(
        shop, bot_id, "0", now - timedelta(days=200), status="open", exit_at=None, exit_price=None
    )
    return shop


def give(user_id: int, plan: str) -> None:
    with transaction():
        give_plan(None, user_id, plan, None, "for the test")


def profits(client: Client) -> list[str]:
    rows = csv.DictReader(io.StringIO(client.get("/trades.csv").text))
    return [row["profit"] for row in rows]


def test_closed_trades_are_shown_as_far_back_as_the_plan_says(shop: Shop, login_as: Login) -> None:
    client = login_as(shop.user)
    page = client.get("/trades").text
    assert "Your plan Free shows the last 90 days." in page
    assert "the plan Pro shows 730 days" in page
    assert profits(client) == ["1", "0"]
    assert len(trades_before(shop.user_id, None, 10)) == 2
    give(shop.user_id, "pro")
    assert "shows the last" not in client.get("/trades").text
    assert profits(client) == ["1", "2", "0"]
    assert len(trades_before(shop.user_id, None, 10)) == 3


def test_who_asks_for_shown_days_only_is_told_nothing(shop: Shop, login_as: Login) -> None:
    day = (utc_now() - timedelta(days=5)).date().isoformat()
    assert "shows the last" not in login_as(shop.user).get(f"/trades?from={day}").text


def test_statistics_go_back_as_far_as_the_plan_says(database: None) -> None:
    shop = Shop.open()
    shop.run_bot("97.9", "100.1", "97.9", "100.1")
    with transaction():
        db.session.execute(update(TradeRow).values(exit_at=utc_now() - timedelta(days=100)))

    def trades(longest: timedelta) -> int:
        return sum(line.sums.trades for line in results(shop.user_id, "paper", "all", longest).bots)

    assert trades(timedelta(days=110)) > 0
    assert trades(timedelta(days=90)) == 0


def plan_form(plan: Plan, change: Mapping[str, str]) -> dict[str, str]:
    numbers = {name: str(value) for name, value in allowed_by(plan).items()}
    names = ("name", "max_bots", "max_live_bots", "max_exchanges", "tick_period_s", "trial_days")
    return {**numbers, **{name: str(getattr(plan, name)) for name in names}, "visible": "y"} | {
        **change
    }


def test_what_staff_change_holds_at_once(shop: Shop, login_as: Login) -> None:
    customer, staff = login_as(shop.user), login_as(make_user(Role.MANAGER))
    form = plan_form(plan_by_code("free"), {"history_days": "120", "job_priority": "7"})
    answer = staff.post_form("/admin/plans/change?code=free", form)
    assert answer.status_code == 302
    assert profits(customer) == ["1", "2", "0"]
    page = customer.get("/subscriptions").text
    assert "Days of history shown" in page and ">120<" in page
    assert "Head start when many bots wait, seconds" in page and ">7<" in page
    assert "yours have the head start" in page


def test_what_is_counted_is_shown_beside_its_limit(
    shop: Shop, login_as: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = login_as(shop.user)
    assert "0 of 30" in customer.get("/subscriptions").text
    for _ in range(3):
        spend(shop.user.id, Allowance.PAST_RUNS, 86_400)
    for _ in range(7):
        spend(shop.user.id, Allowance.API_CALLS, 60)
    page = customer.get("/subscriptions").text
    assert "3 of 30" in page and "7 of 120" in page

    def away(*_args: object) -> int:
        raise RedisError

    monkeypatch.setattr(limits, "used", away)
    answer = customer.get("/subscriptions")
    assert answer.status_code == 200 and " of 30" not in answer.text


@pytest.mark.parametrize(
    ("what", "number"), [(Allowance.JOB_PRIORITY, 61), (Allowance.HISTORY_DAYS, 3_651)]
)
def test_numbers_beyond_sense_are_refused(what: Allowance, number: int) -> None:
    with pytest.raises(InvalidInput, match="bad_plan_limit"):
        check_limits(replace(FREE_LIMITS, allowed={**LEAST_ALLOWED, what: number}))


def test_ticks_of_a_larger_plan_come_first_of_those_that_wait(database: None) -> None:
    with transaction():
        seed_plans()
    free, pro, premium = (make_account(make_user()) for _ in range(3))
    give(pro.user_id, "pro")
    give(premium.user_id, "premium")
    with transaction():
        assert leads() == {pro.id: 5, premium.id: 15}
    jobs.refresh_leads()
    wake.request_ticks([free.id])
    wake.request_ticks([pro.id])
    wake.remind([premium.id])
    assert wake.take_due(3)[0] == [premium.id, pro.id, free.id]


def test_who_has_waited_longer_than_the_lead_comes_first_all_the_same(database: None) -> None:
    wake.keep_leads({2: 5})
    redis_client.client.zadd(wake.DUE, {"1": utc_now().timestamp() - 6})
    wake.request_ticks([2])
    assert wake.take_due(2)[0] == [1, 2]


def test_a_lead_shortens_no_pause_and_is_forgotten_with_the_plan(database: None) -> None:
    wake.keep_leads({3: 60})
    wake.put_back([3], 30)
    assert wake.take_due(1)[0] == []
    wake.keep_leads({})
    assert not redis_client.client.exists(wake.LEADS)
