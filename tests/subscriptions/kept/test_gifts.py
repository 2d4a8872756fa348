"""Days that staff give of what somebody pays for here: the next charge moves, nothing else."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from app.accounts.models import AuditEntry
from app.db import db
from app.errors import Conflict
from app.formatting.filters import day
from app.payments import service as payments
from app.payments.rules import RefundTarget
from app.subscriptions import giving, history
from app.subscriptions import service as plans
from app.subscriptions.kept import service
from app.subscriptions.periods import LIFETIME
from app.subscriptions.terms import Choice
from app.transactions import transaction
from tests.long import few
from tests.subscriptions.kept.world import Person, choice, usd

STAFF = 1


@pytest.fixture
def subscriber(person: Person) -> Person:
    """Somebody with Pro for April and money in the wallet."""
    person.clock.reach(person.clock.now.replace(day=1) + timedelta(days=40))
    person.clock.reach(person.clock.now.replace(month=4, year=person.clock.now.year + 1, day=1))
    person.fill_wallet("1000")
    person.subscribe()
    return person


def end_of(person: Person) -> datetime:
    end = person.kept().period_end
    assert end is not None
    return end


def give(person: Person, days: int, *, seen: datetime | None = None, plan: str = "pro") -> datetime:
    with transaction():
        return giving.give_days(
            STAFF, person.id, plan, days, "was away", seen_end=seen or end_of(person),
            shown_at=person.clock.now,
        )  # fmt: skip


def test_given_days_move_the_next_charge_and_all_later_ones(subscriber: Person) -> None:
    seen = end_of(subscriber)
    for _ in range(2):
        assert give(subscriber, 10, seen=seen) == seen + timedelta(days=10)
    with pytest.raises(Conflict, match="right_moved"):
        give(subscriber, 5, seen=seen)
    standing = subscriber.standing()
    assert standing is not None and standing.next_at == seen + timedelta(days=10)
    entries = select(func.count()).where(AuditEntry.action == "subscription.days_given")
    assert db.session.scalar(entries) == 1
    assert history.history_of(subscriber.id)[0].what == "days_given"
    subscriber.clock.reach(seen + timedelta(days=9))
    subscriber.run()
    assert [one.state for one in subscriber.invoices()] == ["paid", "open"]
    subscriber.clock.reach(seen + timedelta(days=10, minutes=1))
    subscriber.run()
    assert subscriber.invoices()[1].lines[0].period_start == seen + timedelta(days=10)
    assert end_of(subscriber) == (seen + timedelta(days=10)).replace(month=6)
    assert subscriber.wallet() == Decimal(1000 - 2 * 29)


def test_days_given_in_the_last_week_take_the_open_invoice_back(subscriber: Person) -> None:
    subscriber.clock.reach(end_of(subscriber) - timedelta(days=2))
    subscriber.run()
    give(subscriber, 30)
    subscriber.run()
    assert [one.state for one in subscriber.invoices()] == ["paid", "void"]
    assert subscriber.state() == "active" and subscriber.plan() == "pro"
    subscriber.clock.reach(end_of(subscriber) + timedelta(minutes=1))
    subscriber.run()
    assert [one.state for one in subscriber.invoices()] == ["paid", "void", "paid"]


@pytest.mark.parametrize("paid_early", few([False, True], 2))
def test_an_upgrade_in_given_days_costs_what_they_differ_by(
    subscriber: Person, paid_early: bool
) -> None:
    """Of 30 days and 30 given, 6 are left: none of them is had for nothing."""
    give(subscriber, 30)
    subscriber.clock.reach(end_of(subscriber) - timedelta(days=6))
    if paid_early:
        subscriber.run()
        assert subscriber.pay_from_wallet(subscriber.invoices()[-1].id)
    with transaction():
        preview = service.preview_change(subscriber.id, choice("premium"))
    part = Decimal(6) / 31 + paid_early
    assert abs(preview.due_now.amount - (79 - 29) * part) < Decimal("0.02")


def test_money_that_went_back_is_not_credited_beside_given_days(subscriber: Person) -> None:
    """15 of 30 paid days are left and 10 given: 24.17, or 14.67 once 19.00 of 29.00 went back."""
    subscriber.clock.pass_(days=15)
    give(subscriber, 10)
    with transaction():
        preview = service.preview_change(subscriber.id, choice("premium"))
    assert [line.money for line in preview.lines] == [usd("-24.17"), usd("65.83")]
    with transaction():
        payment = subscriber.payments()[0].id
        payments.refund(0, "r", payment, Decimal(19), RefundTarget.WALLET, "as asked")
    with transaction():
        preview = service.preview_change(subscriber.id, choice("premium"))
    assert [line.money for line in preview.lines] == [usd("-14.67"), usd("65.83")]


@pytest.mark.parametrize("upgraded_at", [5, 45])
def test_a_cent_given_back_leaves_days_that_were_given_to_a_larger_plan_their_worth(
    subscriber: Person, upgraded_at: int
) -> None:
    """Premium since the fifth day, or since one of the days given: no day is worth less for it."""
    if upgraded_at > 30:
        give(subscriber, 60)
    subscriber.clock.pass_(days=upgraded_at)
    assert subscriber.pay_from_wallet(_change(subscriber, choice("premium")))
    if upgraded_at < 30:
        give(subscriber, 60, plan="premium")
    subscriber.clock.pass_(days=5)
    with transaction():
        plans.add_price(None, "premium", Decimal(999), period=LIFETIME)
    subscriber.clock.pass_(seconds=2)
    before = _credit(subscriber)
    with transaction():
        upgrade = subscriber.payments()[1].id
        payments.refund(0, "r", upgrade, Decimal("0.01"), RefundTarget.WALLET, "as asked")
    # Months of 30 and 31 days are counted a little differently.
    assert before > 80 and before - _credit(subscriber) < 3


def _change(person: Person, wanted: Choice) -> int:
    person.run()
    return person.change(wanted) or 0


def _credit(person: Person) -> Decimal:
    with transaction():
        return -service.preview_change(person.id, choice("premium", LIFETIME)).lines[0].money.amount


def test_ten_years_given_make_no_upgrade_cheap(subscriber: Person) -> None:
    give(subscriber, 3_650)
    with transaction():
        preview = service.preview_change(subscriber.id, choice("premium"))
    assert preview.due_now.amount > 6_000


def test_a_planned_change_and_a_cancelled_end_move_along(subscriber: Person) -> None:
    subscriber.change(choice(None, extra_bot=1))
    give(subscriber, 3)
    kept = subscriber.kept()
    assert kept.change_at == kept.period_end
    subscriber.cancel()
    seen = end_of(subscriber)
    give(subscriber, 4)
    kept = subscriber.kept()
    assert kept.access_until == kept.period_end == seen + timedelta(days=4)


@pytest.mark.long
def test_days_are_refused_where_money_is_waited_for_or_nothing_ends(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    seen = end_of(person)
    with transaction():
        token = service.preview_change(person.id, choice("premium")).token
    with transaction():
        service.change(person.id, choice("premium"), token)
    with pytest.raises(Conflict, match="days_change_waits"):
        give(person, 5)
    person.clock.reach(seen + timedelta(minutes=1))
    for _ in range(3):
        person.run()
    assert person.state() == "past_due"
    with pytest.raises(Conflict, match="days_pay_first"):
        give(person, 5)


def test_a_trial_is_made_longer(trial: Person) -> None:
    trial.start()
    seen = end_of(trial)
    give(trial, 7)
    kept = trial.kept()
    assert kept.trial_end == kept.period_end == seen + timedelta(days=7)
    trial.fill_wallet("29")
    trial.clock.reach(seen + timedelta(days=7, minutes=1))
    trial.run()
    assert trial.state() == "active" and trial.wallet() == 0
    standing = trial.standing()
    assert standing is not None and standing.next_charge == usd("29")


def test_who_was_told_of_the_end_of_a_trial_is_told_of_the_later_one_too(trial: Person) -> None:
    """The first mail names a day that does not hold any more, and the later one is charged."""
    trial.start()
    trial.clock.reach(end_of(trial) - timedelta(days=2))
    trial.run()
    ends = give(trial, 20)
    trial.run()
    assert trial.mails() == ["trial_ends"]
    trial.clock.reach(ends - timedelta(days=2))
    for _ in range(2):
        trial.run()
    assert trial.mails() == ["trial_ends"] * 2
    assert day(ends) in trial.letters("trial_ends")[1]
