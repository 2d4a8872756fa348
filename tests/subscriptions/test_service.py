from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import delete, func, select

from app import events
from app.accounts.models import AuditEntry
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, LimitReached, NotFound
from app.money import Money
from app.subscriptions import jobs, queries, quotas, rights, service, usage
from app.subscriptions.events import PlanEnded
from app.subscriptions.models import Plan, PlanPrice, Subscription
from app.subscriptions.offers import saved_by
from app.subscriptions.periods import YEAR
from app.subscriptions.rules import FREE_LIMITS, RunningBots
from app.transactions import transaction
from tests.at_once import at_once
from tests.factories import make_user


@pytest.fixture
def plans(database: None) -> None:
    with transaction():
        service.seed_plans()


@pytest.fixture
def user_id(plans: None) -> int:
    with transaction():
        return make_user().id


@pytest.fixture
def ended() -> Iterator[list[PlanEnded]]:
    """Collect what is announced."""
    seen: list[PlanEnded] = []
    handlers = events._handlers[PlanEnded]
    before = list(handlers)
    handlers[:] = [seen.append]
    yield seen
    handlers[:] = before


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> dict[int, RunningBots]:
    """Say how many bots somebody runs."""
    counts: dict[int, RunningBots] = {}
    monkeypatch.setattr(
        usage._Registered,
        "counter",
        staticmethod(lambda user_id: counts.get(user_id, RunningBots(0, 0))),
    )
    return counts


def plan_of(user_id: int) -> str:
    return queries.limits_of(user_id).plan


def offers() -> dict[str, queries.Offer]:
    return {offer.limits.plan: offer for offer in queries.price_list()}


def test_a_fresh_installation_sells_pro_for_29_dollars_a_month(plans: None) -> None:
    free, pro, premium = queries.price_list()
    assert free.is_free
    assert (free.limits.max_bots, free.limits.max_live_bots) == (3, 0)
    assert pro.month == Money(Decimal("29.00"), "USD")
    assert pro.year == Money(Decimal("290.00"), "USD")
    assert saved_by(pro, YEAR) == Money(Decimal("58.00"), "USD")
    assert premium.month == Money(Decimal("79.00"), "USD")
    limits = premium.limits
    assert (limits.max_bots, limits.max_live_bots, limits.tick_period_s) == (100, 50, 5)


def test_seeding_again_undoes_nothing_that_staff_changed(plans: None, user_id: int) -> None:
    with transaction():
        service.change_plan(
            user_id, "pro", replace(queries.plans_on_offer()[1], max_bots=25), visible=True
        )
        service.add_price(user_id, "pro", Decimal("31.50"))
    with transaction():
        service.seed_plans()
    assert offers()["pro"].limits.max_bots == 25
    assert offers()["pro"].month == Money(Decimal("31.50"), "USD")
    assert db.session.scalar(select(func.count(PlanPrice.id))) == 9


def test_a_price_holds_from_its_moment_on(plans: None, user_id: int) -> None:
    tomorrow = utc_now() + timedelta(days=1)
    with transaction():
        service.add_price(user_id, "pro", Decimal(35), valid_from=tomorrow)
    assert offers()["pro"].month == Money(Decimal(29), "USD")
    later = {offer.limits.plan: offer for offer in queries.price_list(tomorrow)}
    assert later["pro"].month == Money(Decimal(35), "USD")
    assert later["pro"].year == Money(Decimal(290), "USD")


def test_prices_are_refused_in_the_past_twice_and_for_unknown_plans(user_id: int) -> None:
    later = utc_now() + timedelta(days=1)
    with transaction():
        service.add_price(user_id, "pro", Decimal(35), valid_from=later)
    with pytest.raises(Conflict, match="plan_price_twice"), transaction():
        service.add_price(user_id, "pro", Decimal(36), valid_from=later)
    with pytest.raises(InvalidInput, match="plan_price_in_past"), transaction():
        service.add_price(user_id, "pro", Decimal(36), valid_from=utc_now() - timedelta(seconds=5))
    with pytest.raises(InvalidInput, match="unknown_plan"), transaction():
        service.add_price(user_id, "gold", Decimal(36))


def test_a_hidden_plan_is_not_offered_but_holds(plans: None, user_id: int) -> None:
    with transaction():
        rights.give_plan(None, user_id, "pro", None, "tester")
        limits = queries.limits_of(user_id)
        service.change_plan(None, "pro", limits, visible=False)
    assert "pro" not in offers()
    assert plan_of(user_id) == "pro"


def test_without_a_subscription_the_free_plan_holds(user_id: int) -> None:
    assert queries.limits_of(user_id) == FREE_LIMITS
    summary = queries.plan_summary(user_id)
    assert (summary.plan, summary.is_free, summary.ends_soon) == ("free", True, False)


def test_without_any_plan_stored_the_free_limits_hold(database: None) -> None:
    with transaction():
        user_id = make_user().id
    db.session.execute(delete(Plan))
    assert queries.limits_of(user_id) == FREE_LIMITS
    db.session.rollback()


def test_a_given_plan_holds_until_its_end(user_id: int) -> None:
    until = utc_now() + timedelta(days=3)
    with transaction():
        rights.give_plan(None, user_id, "pro", until, "test phase")
    limits = queries.limits_of(user_id)
    assert (limits.plan, limits.max_live_bots, limits.until) == ("pro", 10, until)
    assert queries.plan_summary(user_id).ends_soon


def test_a_plan_that_ran_out_counts_no_more_even_before_the_job_came(user_id: int) -> None:
    give_that_ended(user_id)
    assert plan_of(user_id) == "free"


def test_giving_is_audited_with_before_and_after(user_id: int) -> None:
    with transaction():
        staff = make_user().id
        rights.give_plan(staff, user_id, "pro", None, "won it")
        rights.give_plan(staff, user_id, "premium", None, "a sorry gift")
    entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [entry.action for entry in entries] == ["subscription.given"] * 2
    assert entries[0].before is None
    assert entries[1].before is not None and entries[1].before["plan"] == "pro"
    assert entries[1].after is not None and entries[1].after["plan"] == "premium"
    assert (entries[1].actor_id, entries[1].reason) == (staff, "a sorry gift")


def test_another_plan_replaces_the_present_one_and_announces_its_end(
    user_id: int, ended: list[PlanEnded]
) -> None:
    with transaction():
        rights.give_plan(None, user_id, "premium", None, "first")
        rights.give_plan(None, user_id, "pro", None, "second")
    assert plan_of(user_id) == "pro"
    assert ended == [PlanEnded(user_id, "premium")]
    states = db.session.scalars(select(Subscription.state).order_by(Subscription.id)).all()
    assert states == ["replaced", "active"]


def test_the_same_plan_again_only_moves_its_end(user_id: int, ended: list[PlanEnded]) -> None:
    until = utc_now() + timedelta(days=30)
    with transaction():
        rights.give_plan(None, user_id, "pro", None, "first")
        rights.give_plan(None, user_id, "pro", until, "second")
    assert queries.limits_of(user_id).until == until
    assert ended == []
    assert db.session.scalar(select(func.count(Subscription.id))) == 1


def test_what_cannot_be_given_is_refused(user_id: int) -> None:
    past = utc_now() - timedelta(seconds=1)
    for plan, until, reason, code in (
        ("free", None, "reason", "free_plan_is_not_given"),
        ("gold", None, "reason", "unknown_plan"),
        ("pro", past, "reason", "plan_end_in_past"),
        ("pro", None, " \x00 ", "plan_reason_missing"),
        ("pro", None, "x" * 501, "plan_reason_missing"),
    ):
        with pytest.raises(InvalidInput, match=code), transaction():
            rights.give_plan(None, user_id, plan, until, reason)
    with pytest.raises(NotFound, match="unknown_user"), transaction():
        rights.give_plan(None, user_id + 999, "pro", None, "reason")
    assert plan_of(user_id) == "free"


def test_ending_a_plan_leaves_the_free_one_and_announces_it(
    user_id: int, ended: list[PlanEnded]
) -> None:
    with transaction():
        rights.give_plan(None, user_id, "pro", None, "first")
    with transaction():
        rights.end_plan(None, user_id, "asked for it")
    assert plan_of(user_id) == "free"
    assert ended == [PlanEnded(user_id, "pro")]
    with pytest.raises(Conflict, match="no_plan_to_end"), transaction():
        rights.end_plan(None, user_id, "asked for it")


def test_the_job_ends_each_expired_plan_once(user_id: int, ended: list[PlanEnded]) -> None:
    with transaction():
        other = make_user().id
        rights.give_plan(None, other, "pro", utc_now() + timedelta(days=1), "stays")
    give_that_ended(user_id)
    jobs.end_expired()
    jobs.end_expired()
    assert ended == [PlanEnded(user_id, "pro")]
    assert plan_of(other) == "pro"


def test_a_failing_handler_leaves_the_plan_for_the_next_run(
    user_id: int, ended: list[PlanEnded]
) -> None:
    give_that_ended(user_id)

    def fail(event: PlanEnded) -> None:
        raise RuntimeError("not now")

    events._handlers[PlanEnded].append(fail)
    with pytest.raises(RuntimeError, match="not now"):
        jobs.end_expired()
    events._handlers[PlanEnded].remove(fail)
    jobs.end_expired()
    assert ended == [PlanEnded(user_id, "pro")] * 2
    assert db.session.scalar(select(Subscription.state)) == "ended"


def test_whose_plan_can_not_be_ended_keeps_nobody_elses_going(
    user_id: int, ended: list[PlanEnded]
) -> None:
    with transaction():
        other = make_user().id
    for one in (user_id, other):
        give_that_ended(one)

    def fail(event: PlanEnded) -> None:
        if event.user_id == user_id:
            raise RuntimeError("not now")

    events._handlers[PlanEnded].insert(0, fail)
    with pytest.raises(RuntimeError, match="not now"):
        jobs.end_expired()
    events._handlers[PlanEnded].remove(fail)
    assert ended == [PlanEnded(other, "pro")]


def test_starting_is_checked_against_what_runs(
    user_id: int, running: dict[int, RunningBots]
) -> None:
    with transaction():
        quotas.check_may_start(user_id, "paper")
    running[user_id] = RunningBots(3, 0)
    with pytest.raises(LimitReached, match="plan_limit"), transaction():
        quotas.check_may_start(user_id, "paper")
    with transaction():
        rights.give_plan(None, user_id, "pro", None, "paid")
        quotas.check_may_start(user_id, "live")


def test_two_starts_at_once_never_share_the_last_place(
    app: Flask, user_id: int, running: dict[int, RunningBots]
) -> None:
    running[user_id] = RunningBots(2, 0)
    db.session.remove()

    def start(_: int) -> bool:
        try:
            with transaction():
                quotas.check_may_start(user_id, "paper")
                # What the commit would make visible to the next one.
                running[user_id] = RunningBots(running[user_id].total + 1, 0)
        except LimitReached:
            return False
        return True

    assert sorted(at_once(app, 4, start)) == [False, False, False, True]


def test_two_gifts_at_once_leave_one_plan(app: Flask, user_id: int) -> None:
    db.session.remove()

    def give(number: int) -> None:
        with transaction():
            rights.give_plan(None, user_id, ("pro", "premium")[number], None, "at once")

    at_once(app, 2, give)
    states = db.session.scalars(select(Subscription.state)).all()
    assert sorted(states) == ["active", "replaced"]


def test_nobody_who_counts_means_no_start(user_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage._Registered, "counter", None)
    with pytest.raises(RuntimeError, match="nobody counts bots"), transaction():
        quotas.check_may_start(user_id, "paper")


def give_that_ended(user_id: int) -> None:
    """Give a plan and let its time pass."""
    with transaction():
        rights.give_plan(None, user_id, "pro", utc_now() + timedelta(days=1), "short")
        subscription = db.session.scalars(
            select(Subscription).where(Subscription.user_id == user_id)
        ).one()
        subscription.ends_at = utc_now() - timedelta(seconds=1)
