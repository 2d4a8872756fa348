"""Time passes: invoices of coming periods, charges, reminders, dunning, the end; each once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app import events, queues
from app.accounts.models import User
from app.db import db
from app.formatting.filters import day
from app.payments import invoices, paying, wallet_rail
from app.payments import queries as payment_queries
from app.payments import service as payments
from app.payments.checkouts import Want
from app.payments.demo import provider
from app.payments.demo.cards import Card
from app.payments.jobs import look_at_checkout
from app.payments.models import Checkout, Invoice
from app.payments.rules import Line, LineKind, NewInvoice, Purpose
from app.queues import QueueName
from app.settings import service as settings
from app.subscriptions import history, queries
from app.subscriptions import service as plans
from app.subscriptions.events import PlanEnded
from app.subscriptions.kept import charges, jobs, renewing
from app.subscriptions.models import RailSubscription
from app.subscriptions.periods import MONTH, Period, Unit
from app.transactions import transaction
from tests.at_once import at_once
from tests.clock import Clock
from tests.long import few
from tests.subscriptions.kept.world import (
    DECLINED,
    PAYS,
    Person,
    choice,
    subscribe_at_provider,
    usd,
)

WEEK, DAY = Period(1, Unit.WEEK), Period(1, Unit.DAY)


def ends(person: Person) -> timedelta:
    """Return how long the present period still lasts."""
    end = person.kept().period_end
    assert end is not None
    return end - person.clock.now


def go_to_end(person: Person, **more: float) -> None:
    """Let time pass to the end of the period and some more, with the jobs on the way."""
    person.live_on(seconds=(ends(person) + timedelta(**more)).total_seconds())


def test_the_next_period_is_asked_for_a_week_before_and_taken_when_it_begins(
    person: Person,
) -> None:
    person.fill_wallet("100")
    person.subscribe()
    end = person.kept().period_end
    assert end is not None
    person.clock.reach(end - timedelta(days=7, minutes=5))
    person.run()
    assert len(person.invoices()) == 1
    person.clock.pass_(minutes=10)
    person.run()
    person.run()
    _, renewal = person.invoices()
    assert (renewal.state, renewal.due_at, renewal.next_attempt_at) == ("open", end, end)
    assert renewal.lines[0].period_start == end
    standing = person.standing()
    assert standing is not None
    assert (standing.next_charge, standing.next_at) == (usd("29"), end)
    person.clock.reach(end + timedelta(minutes=1))
    person.run()
    person.run()
    assert [one.state for one in person.invoices()] == ["paid", "paid"]
    assert person.wallet() == Decimal(42)
    kept = person.kept()
    assert (kept.state, kept.period_start, kept.number) == ("active", end, 2)
    assert kept.anchor is not None and kept.period_end == MONTH.after(kept.anchor, 2)
    assert "past_due" not in [change.what for change in history.history_of(person.id)]


def test_a_kept_card_is_charged_each_period_and_once(person: Person) -> None:
    person.subscribe(rail="demo")
    for _ in range(3):
        go_to_end(person, hours=6)
    paid = [payment for payment in person.payments() if payment.state == "succeeded"]
    assert [payment.amount for payment in paid] == [Decimal(29)] * 4
    assert [one.state for one in person.invoices()] == ["paid"] * 4


def test_months_are_counted_from_the_first_day(person: Person) -> None:
    """Who began on the 31st pays at the end of each month, not ever earlier."""
    now = person.clock.now
    person.clock.reach(now.replace(year=now.year + 1, month=1, day=31))
    person.fill_wallet("1000")
    person.subscribe()
    days = []
    for _ in range(3):
        end = person.kept().period_end
        assert end is not None
        days.append(end.day)
        person.clock.reach(end)
        person.run()
    assert days == [28, 31, 30]


def test_bil16_overdue_then_retries_then_expired(person: Person) -> None:
    """A clock that is moved past the due day shows overdue, retries, and the end."""
    person.subscribe(rail="demo")
    person.change_card(DECLINED)
    end = person.kept().period_end
    assert end is not None
    go_to_end(person, hours=1)
    standing = person.standing()
    assert standing is not None
    assert (standing.state, standing.is_past_due, standing.unpaid_since) == ("past_due", True, end)
    assert person.plan() == "pro", "the grace"
    person.live_on(days=9)
    renewal = person.invoices()[1]
    assert (renewal.state, renewal.attempts, renewal.next_attempt_at) == ("open", 4, None)
    person.live_on(days=6)
    assert (person.state(), person.plan()) == ("none", "free")
    assert person.invoices()[1].state == "uncollectible"
    tries = [one for one in person.payments() if one.state == "failed"]
    assert len(tries) == 4
    assert person.mails().count("renewal_failed") == 4


def test_bil17_a_decline_is_told_with_its_reason_and_the_next_try(person: Person) -> None:
    person.subscribe(rail="demo")
    person.change_card(DECLINED)
    go_to_end(person, hours=1)
    standing = person.standing()
    assert standing is not None and standing.unpaid_since is not None
    assert standing.failure == "card_declined"
    assert standing.next_attempt_at == standing.unpaid_since + timedelta(days=1)
    assert standing.pay_invoice_id == person.invoices()[1].id
    person.run()
    assert person.mails().count("renewal_failed") == 1
    person.change_card(PAYS)
    person.live_on(days=1)
    standing = person.standing()
    assert standing is not None
    assert (standing.state, standing.failure, standing.next_attempt_at) == ("active", None, None)
    assert standing.period_end == MONTH.after(person.kept().anchor, 2)  # type: ignore[arg-type]


def test_bil19_one_reminder_a_step_and_none_after_payment(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    end = person.kept().period_end
    assert end is not None
    seen = {}
    for days in (8, 7, 6, 3, 2, 1):
        person.clock.reach(end - timedelta(days=days) + timedelta(minutes=1))
        person.run()
        person.run()
        seen[days] = person.mails().count("renewal_due")
    assert seen == {8: 0, 7: 1, 6: 1, 3: 2, 2: 2, 1: 3}
    person.clock.reach(end)
    person.run()
    assert person.mails().count("renewal_due") == 4, "due today, and the wallet is short"
    person.live_on(days=2)
    assert person.mails().count("renewal_due") == 4
    person.live_on(days=2)
    assert person.mails().count("renewal_due") == 5, "three days over"
    person.live_on(days=3)
    assert person.mails().count("renewal_due") == 5
    assert person.mails() == ["renewal_due"] * 5


def test_bil19_none_after_cancel_and_none_after_an_early_payment(person: Person) -> None:
    person.fill_wallet("87")
    person.subscribe()
    person.live_on(days=26)
    assert person.mails() == ["renewal_due"]
    person.pay_from_wallet(person.invoices()[1].id)
    person.live_on(days=14)
    assert person.mails() == ["renewal_due"]
    assert len(person.invoices()) == 2, "a whole period more is paid"
    person.cancel()
    person.live_on(days=40)
    assert person.mails() == ["renewal_due"]
    assert (person.state(), person.plan(), person.wallet()) == ("none", "free", Decimal(29))


def test_bil19_after_a_missed_run_the_newest_reminder_is_sent_alone(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    end = person.kept().period_end
    assert end is not None
    person.clock.reach(end - timedelta(days=2))
    person.run()
    person.run()
    assert person.mails() == ["renewal_due"], "not those of 7 and 3 days before"
    person.clock.reach(end - timedelta(hours=20))
    person.run()
    assert person.mails() == ["renewal_due"] * 2


@pytest.mark.parametrize(("period", "mails"), few([(WEEK, 3), (DAY, 1)], 2))
def test_a_short_period_is_asked_for_when_half_of_it_is_over(
    person: Person, period: Period, mails: int
) -> None:
    with transaction():
        plans.add_price(None, "pro", Decimal(9), period=period)
    person.clock.pass_(days=1)
    person.fill_wallet("9")
    person.subscribe(choice("pro", period))
    start, end = person.kept().period_start, person.kept().period_end
    assert start is not None and end is not None
    person.clock.reach(start + (end - start) / 2 - timedelta(minutes=1))
    person.run()
    assert len(person.invoices()) == 1
    person.live_on(seconds=(end - person.clock.now).total_seconds() + 60)
    assert len(person.invoices()) == 2
    assert len(person.mails()) == mails


@pytest.mark.long
def test_the_money_of_the_wallet_is_asked_for_again_and_again(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    go_to_end(person, hours=1)
    standing = person.standing()
    assert standing is not None
    assert (standing.state, standing.failure) == ("past_due", "wallet_short")
    person.fill_wallet("29")
    person.live_on(days=1)
    assert (person.state(), person.wallet()) == ("active", Decimal(0))


def test_money_that_comes_in_the_grace_is_taken_at_once_and_once(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    go_to_end(person, hours=1)
    assert person.state() == "past_due"
    person.fill_wallet("28")
    jobs.pay_overdue(person.id)
    assert (person.state(), person.invoices()[-1].attempts) == ("past_due", 1), "still too little"
    with transaction():
        user = db.session.get_one(User, person.id)
        db.session.expunge(user)
    wanted = Want(Purpose.TOP_UP, usd("30"), "Top-up")
    url = paying.lead_to_page(user, "demo", lambda: wanted, "/wallet")
    page = url.rpartition("/")[2]
    provider.pay(page, PAYS)
    (number,) = db.session.scalars(select(Checkout.id).where(Checkout.purpose == "top_up"))
    db.session.rollback()
    look_at_checkout(number)
    assert queues.queue(QueueName.PAYMENTS).fetch_job(f"pay-overdue-{person.id}") is not None
    for _ in range(2):
        jobs.pay_overdue(person.id)
    assert (person.state(), person.wallet()) == ("active", Decimal(28 + 30 - 29))


@pytest.mark.long
def test_a_gift_in_the_grace_is_taken_with_the_next_run(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    go_to_end(person, hours=1)
    person.fill_wallet("29")
    person.run()
    assert (person.state(), person.wallet()) == ("active", Decimal(0))


def test_bil16_bots_stop_gently_when_nobody_pays(person: Person) -> None:
    seen: list[PlanEnded] = []
    handlers = events._handlers[PlanEnded]
    before = list(handlers)
    handlers[:] = [seen.append]
    try:
        person.fill_wallet("34")
        person.subscribe(choice("pro", extra_bot=1))
        go_to_end(person, days=13)
        assert (person.plan(), seen) == ("pro", [])
        person.live_on(days=2)
    finally:
        handlers[:] = before
    assert {event.plan_code for event in seen} == {"pro", "extra_bot"}
    assert queries.limits_of(person.id).max_bots == 3


@pytest.mark.long
def test_who_pays_during_the_grace_goes_on_as_if_nothing_had_been(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    anchor = person.kept().anchor
    go_to_end(person, days=10)
    assert person.state() == "past_due"
    person.fill_wallet("29")
    person.pay_from_wallet(person.invoices()[1].id)
    kept = person.kept()
    assert anchor is not None
    assert (kept.state, kept.period_end) == ("active", MONTH.after(anchor, 2))
    assert (kept.access_until, person.plan()) == (None, "pro")


def subscribe_by(person: Person, period: Period, price: int) -> None:
    """Subscribe to pro for another period, by a card that is declined from then on."""
    with transaction():
        plans.add_price(None, "pro", Decimal(price), period=period)
    person.clock.pass_(days=1)
    person.subscribe(choice("pro", period), rail="demo")
    person.change_card(DECLINED)


def test_nobody_has_more_than_one_period_unpaid(person: Person) -> None:
    """The grace of a month would be two weeks more of what is paid by the week."""
    subscribe_by(person, WEEK, 9)
    go_to_end(person, days=6, hours=23)
    assert (person.state(), person.plan()) == ("past_due", "pro")
    assert person.kept().access_until == WEEK.after(person.kept().period_end)  # type: ignore[arg-type]
    person.clock.pass_(hours=2)
    person.run()
    assert (person.state(), person.plan()) == ("none", "free")
    assert [one.state for one in person.invoices()] == ["paid", "uncollectible"]
    last_day = WEEK.after(person.invoices()[1].lines[0].period_start or person.clock.now)
    overdue = [body for body in person.letters("renewal_due") if "was due" in body]
    declined = person.letters("renewal_failed")
    assert len(overdue) == 1 and len(declined) == 3, "tried on the day, after one and three days"
    assert all(f"goes on until {day(last_day)};" in body for body in (*overdue, *declined))
    assert ["We try again" in body for body in declined] == [True, True, False]


def lapse(person: Person) -> None:
    """Let a week pass unpaid to its end."""
    go_to_end(person, days=8)
    assert (person.state(), person.plan()) == ("none", "free")


def come_back_by(person: Person, way: str) -> None:
    """Begin again after an unpaid end, and pay for one week."""
    if way == "orders anew":
        person.subscribe(choice("pro", WEEK), rail="demo")
    else:
        person.pay_by_card(person.invoices()[-1].id)
    person.change_card(DECLINED)
    assert person.state() == "active"


@pytest.mark.parametrize("way", ["orders anew", "pays at last"])
def test_who_did_not_pay_for_a_grace_gets_no_other_one_for_a_year(person: Person, way: str) -> None:
    """Else each second week would cost nothing."""
    subscribe_by(person, WEEK, 9)
    lapse(person)
    come_back_by(person, way)
    go_to_end(person, hours=1)
    person.run()
    assert (person.state(), person.plan()) == ("none", "free")
    person.clock.pass_(days=366)
    come_back_by(person, way)
    go_to_end(person, hours=1)
    assert (person.state(), person.plan()) == ("past_due", "pro")


def test_who_ends_what_is_overdue_gets_no_other_grace_either(person: Person) -> None:
    subscribe_by(person, WEEK, 9)
    go_to_end(person, days=6)
    assert person.state() == "past_due"
    person.cancel()
    come_back_by(person, "orders anew")
    go_to_end(person, hours=1)
    person.run()
    assert (person.state(), person.plan()) == ("none", "free")


def test_who_pays_within_the_grace_has_it_again(person: Person) -> None:
    subscribe_by(person, WEEK, 9)
    go_to_end(person, days=3)
    person.pay_by_card(person.invoices()[-1].id)
    person.change_card(DECLINED)
    go_to_end(person, days=3)
    assert (person.state(), person.plan()) == ("past_due", "pro")


def test_nothing_is_told_of_a_day_after_the_end(person: Person) -> None:
    subscribe_by(person, Period(2, Unit.DAY), 3)
    go_to_end(person, days=5)
    assert person.state() == "none"
    declined = person.letters("renewal_failed")
    assert ["We try again" in body for body in declined] == [True, False], "at once and a day later"
    assert not [body for body in person.letters("renewal_due") if "was due" in body]


@pytest.mark.parametrize("card", [PAYS, DECLINED])
def test_without_any_grace_a_period_is_paid_on_its_day_or_ends(person: Person, card: Card) -> None:
    with transaction():
        settings.change("payment_grace_days", "0")
    person.subscribe(rail="demo")
    person.change_card(card)
    go_to_end(person, minutes=1)
    person.clock.pass_(minutes=1)
    person.run()
    pays = card is PAYS
    assert person.state() == ("active" if pays else "none")
    assert [one.state for one in person.invoices()] == ["paid", "paid" if pays else "uncollectible"]


def printed(person: Person, invoice_id: int) -> tuple[datetime | None, datetime | None]:
    """Return the period that stands on the page of an invoice, and in its file."""
    db.session.rollback()
    (line,) = payment_queries.own_invoice(person.id, invoice_id).lines
    return line.period_start, line.period_end


def test_an_invoice_prints_the_period_that_its_money_has_bought(person: Person) -> None:
    """The first one begins when it is paid, and so does one that was given up and paid at last."""
    person.fill_wallet("58")
    first = person.start()
    assert first is not None
    person.clock.pass_(hours=20)
    person.pay_from_wallet(first)
    kept = person.kept()
    assert timedelta(0) <= person.clock.now - kept.period_start < timedelta(minutes=1)  # type: ignore[operator]
    assert printed(person, first) == (kept.period_start, kept.period_end)
    go_to_end(person, hours=1)
    second = person.invoices()[-1].id
    assert printed(person, second) == (person.kept().period_start, person.kept().period_end)
    go_to_end(person, days=20)
    late = person.invoices()[-1].id
    assert person.state() == "none"
    person.fill_wallet("29")
    person.pay_from_wallet(late)
    kept = person.kept()
    assert printed(person, late) == (kept.period_start, kept.period_end)


@pytest.mark.parametrize("column", ["given_from", "given_until"])
def test_what_an_invoice_has_given_does_not_change(person: Person, column: str) -> None:
    person.fill_wallet("29")
    first = person.start()
    assert first is not None
    person.clock.pass_(hours=1)
    person.pay_from_wallet(first)
    db.session.rollback()
    with pytest.raises(IntegrityError), transaction():
        setattr(db.session.get_one(Invoice, first), column, person.clock.now)


@pytest.mark.long
def test_money_after_the_end_gives_a_period_from_then_on(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    go_to_end(person, days=20)
    assert (person.state(), person.invoices()[1].state) == ("none", "uncollectible")
    person.fill_wallet("29")
    person.pay_from_wallet(person.invoices()[1].id)
    kept = person.kept()
    assert (kept.state, person.plan()) == ("active", "pro")
    assert kept.anchor is not None and kept.period_end == MONTH.after(kept.anchor)
    go_to_end(person, hours=1)
    # Its next period is asked for; days of grace were had already, and nobody paid for them.
    assert (len(person.invoices()), person.invoices()[2].state) == (3, "uncollectible")
    assert person.state() == "none"


@pytest.mark.long
def test_money_after_the_end_goes_to_the_wallet_beside_another_subscription(
    person: Person,
) -> None:
    person.fill_wallet("29")
    person.subscribe()
    go_to_end(person, days=20)
    person.fill_wallet("108")
    person.subscribe(choice("premium"))
    person.pay_from_wallet(person.invoices()[1].id)
    assert person.wallet() == Decimal(29)
    assert (person.plan(), person.kept().number) == ("premium", 1)


@pytest.mark.long
def test_money_after_the_end_goes_to_the_wallet_beside_one_of_a_provider(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    go_to_end(person, days=20)
    subscribe_at_provider(person)
    person.fill_wallet("29")
    person.pay_from_wallet(person.invoices()[1].id)
    assert (person.wallet(), person.state()) == (Decimal(29), "none")


def test_money_for_a_period_that_staff_gave_up_goes_to_the_wallet(person: Person) -> None:
    person.fill_wallet("100")
    person.subscribe()
    person.live_on(days=25)
    with transaction():
        payments.write_off(0, person.invoices()[1].id, "nobody pays")
    person.pay_from_wallet(person.invoices()[1].id)
    assert (person.wallet(), person.kept().number) == (Decimal(71), 1)


@pytest.mark.parametrize("kept_out", few(["blocked_at", "leaves_at"], 2))
def test_who_may_not_come_in_is_charged_no_more_and_it_ends_with_what_is_paid(
    person: Person, kept_out: str
) -> None:
    person.fill_wallet("100")
    person.subscribe()
    with transaction():
        user = db.session.get_one(User, person.id)
        setattr(user, kept_out, person.clock.now + timedelta(days=90))
    go_to_end(person, hours=1)
    assert (person.wallet(), len(person.invoices())) == (Decimal(71), 1)
    assert (person.state(), person.plan()) == ("none", "free")


@pytest.mark.long
def test_a_renewal_that_is_open_is_not_taken_from_somebody_blocked(person: Person) -> None:
    person.fill_wallet("100")
    person.subscribe()
    person.live_on(days=25)
    with transaction():
        db.session.get_one(User, person.id).blocked_at = person.clock.now
    go_to_end(person, days=20)
    assert (person.wallet(), person.state()) == (Decimal(71), "none")


def test_canceled_it_ends_with_what_is_paid_and_undone_it_goes_on(person: Person) -> None:
    person.fill_wallet("100")
    person.subscribe()
    person.live_on(days=25)
    assert [one.state for one in person.invoices()] == ["paid", "open"]
    person.cancel()
    person.cancel()
    assert [one.state for one in person.invoices()] == ["paid", "void"]
    standing = person.standing()
    assert standing is not None
    assert standing.cancel_at == standing.period_end
    assert (standing.next_charge, standing.state) == (None, "active")
    assert queries.plan_summary(person.id).until == standing.period_end
    person.undo()
    person.undo()
    person.run()
    assert [one.state for one in person.invoices()] == ["paid", "void", "open"]
    person.cancel()
    go_to_end(person, minutes=1)
    assert (person.state(), person.plan(), person.wallet()) == ("none", "free", Decimal(71))
    assert person.invoices()[2].state == "void"


def test_a_plan_that_was_canceled_ends_on_time_even_without_the_job(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    person.cancel()
    person.clock.pass_(days=32)
    assert person.plan() == "free"


@pytest.mark.long
def test_an_overdue_subscription_is_canceled_at_once(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    go_to_end(person, days=1)
    person.cancel()
    assert (person.state(), person.plan()) == ("none", "free")
    assert person.invoices()[1].state == "void"


def test_staff_who_take_a_renewal_back_end_it_with_what_is_paid(person: Person) -> None:
    person.fill_wallet("100")
    person.subscribe()
    person.live_on(days=25)
    with transaction():
        payments.void_invoice(0, person.invoices()[1].id, "as they asked")
    standing = person.standing()
    assert standing is not None and standing.cancel_at == standing.period_end
    go_to_end(person, hours=1)
    assert (person.state(), person.wallet()) == ("none", Decimal(71))


@pytest.mark.long
def test_who_pays_by_another_rail_is_asked_there_next_time(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    person.live_on(days=25)
    person.pay_by_card(person.invoices()[1].id)
    assert person.kept().rail == "demo"
    go_to_end(person, hours=1)
    assert [one.rail for one in person.payments()] == ["wallet", "demo", "demo"]


def test_a_price_that_rises_is_not_theirs(person: Person) -> None:
    """Running subscriptions keep the price that they began with."""
    person.fill_wallet("100")
    person.subscribe()
    with transaction():
        plans.add_price(None, "pro", Decimal(49))
    go_to_end(person, hours=1)
    assert person.invoices()[1].total == Decimal(29)


# -- trials ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_trial_with_money_goes_on_by_itself(trial: Person) -> None:
    trial.fill_wallet("29")
    quote_standing = trial.start()
    assert quote_standing is None, "nothing is to be paid now"
    standing = trial.standing()
    assert standing is not None
    assert (standing.state, standing.next_charge, trial.plan()) == ("trialing", usd("29"), "pro")
    assert standing.next_at == standing.trial_end == trial.kept().started_at + timedelta(days=14)
    trial.live_on(days=15)
    assert (trial.state(), trial.wallet()) == ("active", Decimal(0))
    assert trial.mails() == ["trial_ends"]
    kept = trial.kept()
    assert (kept.number, kept.period_start) == (1, kept.trial_end)


def test_a_trial_without_money_ends_with_its_time(trial: Person) -> None:
    trial.start(rail="demo")
    trial.live_on(days=13)
    assert trial.plan() == "pro"
    trial.live_on(days=2)
    assert (trial.state(), trial.plan()) == ("none", "free")
    assert [one.state for one in trial.invoices()] == ["void"]
    assert trial.mails() == ["trial_ends"]


@pytest.mark.long
def test_a_trial_whose_card_is_declined_has_its_grace(trial: Person) -> None:
    with transaction():
        plans.add_price(None, "extra_bot", Decimal(1), period=DAY)
    trial.clock.pass_(days=1)
    trial.subscribe(choice(None, DAY, extra_bot=1), rail="demo")
    trial.cancel()
    trial.live_on(days=2)
    trial.change_card(DECLINED)
    assert trial.start(rail="demo") is None
    trial.live_on(days=15)
    assert (trial.state(), trial.plan()) == ("past_due", "pro")
    assert trial.mails().count("renewal_failed") == 2
    assert trial.mails().count("trial_ends") == 1


def test_a_short_trial_is_reminded_of_half_way(trial: Person) -> None:
    with transaction():
        pro = queries.plans_on_offer()[1]
        plans.change_plan(None, "pro", pro, visible=True, trial_days=4)
    trial.start()
    trial.clock.pass_(hours=47)
    trial.run()
    assert trial.mails() == []
    trial.clock.pass_(hours=2)
    trial.run()
    trial.run()
    assert trial.mails() == ["trial_ends"]


@pytest.mark.long
def test_who_is_about_to_leave_is_asked_for_nothing(person: Person) -> None:
    person.fill_wallet("100")
    person.subscribe()
    person.live_on(days=25)
    with transaction():
        db.session.get_one(User, person.id).leaves_at = person.clock.now + timedelta(days=30)
    person.live_on(days=10)
    assert [one.state for one in person.invoices()] == ["paid", "open"]
    assert (person.wallet(), person.mails()) == (Decimal(71), ["renewal_due"])


def test_somebody_tries_once_only(trial: Person) -> None:
    assert trial.start() is None
    trial.cancel()
    trial.live_on(days=15)
    assert trial.state() == "none"
    assert trial.start() is not None
    other, now = Person(trial.clock), trial.clock.now
    with transaction():
        db.session.add(
            RailSubscription(
                user_id=other.id, rail="stripe", external_id="sub_1", state="canceled",
                price_ref="price_1", quantity=1, started_at=now, period_end=now, trial_end=now,
                is_collection_paused=False, has_pending_update=False,
            )
        )  # fmt: skip
    assert other.start() is not None, "tried at the provider"


def test_add_ons_are_not_to_be_tried(trial: Person) -> None:
    assert trial.start(choice("pro", extra_bot=100)) is not None


def test_a_trial_of_a_provider_is_reminded_of_once(trial: Person) -> None:
    now = trial.clock.now
    with transaction():
        price = queries.price_on_sale("pro", MONTH, "USD", now)
        db.session.add(
            RailSubscription(
                user_id=trial.id, rail="stripe", external_id="sub_1", state="trialing",
                price_ref="price_1", quantity=1, started_at=now, period_end=now,
                trial_end=now + timedelta(days=14), is_collection_paused=False,
                has_pending_update=False, plan_code="pro", price_id=price.id if price else None,
            )
        )  # fmt: skip
    trial.live_on(days=10)
    assert trial.mails() == []
    trial.live_on(days=5)
    assert trial.mails() == ["trial_ends"]


# -- runs that die --------------------------------------------------------------------------------


class Died(BaseException):
    """The process was killed."""


def die_in(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, *, after: bool = False
) -> Callable[[], None]:
    """Let the next call of a function kill the process, before or after its work."""
    real, left = getattr(place, name), [1]

    def once(*arguments: object, **named: object) -> object:
        dies = bool(left) and left.pop()
        if dies and not after:
            raise Died
        answer = real(*arguments, **named)
        if dies:
            raise Died
        return answer

    monkeypatch.setattr(place, name, once)
    return lambda: monkeypatch.setattr(place, name, real)


PLACES = [
    ("wallet", charges, "charge_of", True),
    ("wallet", wallet_rail, "pay_invoice", False),
    ("wallet", wallet_rail, "pay_invoice", True),
    ("wallet", invoices, "pay", True),
    ("demo", charges, "charge_of", False),
    ("demo", charges, "plan_next_try", False),
    ("demo", paying, "take", False),
    ("demo", paying, "charge_saved", False),
    ("demo", paying, "charge_saved", True),
    ("demo", renewing, "tend", False),
    ("demo", renewing, "tend", True),
]


@pytest.mark.parametrize(("rail", "place", "name", "after"), few(PLACES, 6))
def test_a_run_that_dies_is_finished_by_the_next_and_nothing_is_paid_twice(
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
    rail: str,
    place: object,
    name: str,
    after: bool,
) -> None:
    person.fill_wallet("100")
    person.subscribe(rail=rail)
    end = person.kept().period_end
    assert end is not None
    for moment in (end - timedelta(days=6), end + timedelta(minutes=1)):
        person.clock.reach(moment)
        restore = die_in(monkeypatch, place, name, after=after)
        try:
            person.run()
        except Died:
            db.session.rollback()
        restore()
        person.run()
    assert [one.state for one in person.invoices()] == ["paid", "paid"]
    assert [one.state for one in person.payments()] == ["succeeded", "succeeded"]
    assert (person.kept().number, person.state()) == (2, "active")


@pytest.mark.parametrize("rail", few(["wallet", "demo"], 2))
def test_two_runs_at_once_take_the_money_once(person: Person, app: Flask, rail: str) -> None:
    person.fill_wallet("100")
    person.subscribe(rail=rail)
    go_to_end(person, hours=-6)
    person.clock.pass_(hours=7)
    at_once(app, 4, lambda _: jobs.renew_due())
    person.run()
    assert [one.state for one in person.invoices()] == ["paid", "paid"]
    assert [one.state for one in person.payments()] == ["succeeded", "succeeded"]
    assert (person.kept().number, person.state()) == (2, "active")


def test_a_subscription_never_has_two_open_invoices(person: Person) -> None:
    person.start()
    kept = person.kept()
    line = Line(LineKind.PLAN, "Pro", usd("29"))
    again = NewInvoice("else", person.id, (line,), kept_id=kept.id)
    with pytest.raises(IntegrityError, match="one_open_of_kept"), transaction():
        payments.issue(again, "test")


@pytest.mark.long
@pytest.mark.parametrize("rail", ["wallet", "demo"])
@pytest.mark.parametrize("before", [25, 5])
def test_periods_that_nobody_asked_for_are_not_charged_afterwards(
    person: Person, rail: str, before: int
) -> None:
    """Workers that were away for a hundred days: the present period is paid, from now on."""
    person.fill_wallet("500")
    person.subscribe(rail=rail)
    person.live_on(days=before)
    person.clock.pass_(days=100)
    for _ in range(3):
        person.run()
    assert [one.amount for one in person.payments()] == [Decimal(29)] * 2
    kept = person.kept()
    assert kept.state == "active" and kept.period_start is not None
    assert abs(kept.period_start - person.clock.now) < timedelta(minutes=1)
    assert kept.period_end == MONTH.after(kept.period_start)
    (line,) = person.invoices()[-1].lines
    assert (line.period_start, line.period_end) == (kept.period_start, kept.period_end)
    assert "put_off" in [change.what for change in history.history_of(person.id)]
    person.live_on(days=32)
    assert len(person.payments()) == 3


@pytest.mark.long
def test_who_has_too_little_after_our_absence_has_the_whole_grace_from_then_on(
    person: Person,
) -> None:
    person.fill_wallet("29")
    person.subscribe()
    person.live_on(days=25)
    person.clock.pass_(days=100)
    person.run()
    person.live_on(days=13)
    assert person.state() == "past_due"
    assert person.plan() == "pro"
    person.live_on(days=2)
    assert (person.state(), person.plan()) == ("none", "free")


@pytest.mark.long
def test_who_did_not_pay_is_not_charged_when_the_grace_ended_in_our_absence(
    person: Person,
) -> None:
    person.fill_wallet("29")
    person.subscribe()
    person.live_on(days=31)
    assert person.state() == "past_due"
    person.fill_wallet("100")
    person.clock.pass_(days=100)
    person.run()
    assert (person.state(), person.wallet()) == ("none", Decimal(100))


def test_a_change_that_waited_begins_with_the_period_that_is_paid(person: Person) -> None:
    person.fill_wallet("500")
    person.subscribe(choice("premium"))
    person.clock.pass_(days=5)
    assert person.change(choice("pro")) is None
    person.clock.pass_(days=100)
    person.run()
    assert person.plan() == "pro"
    assert [one.amount for one in person.payments()] == [Decimal(79), Decimal(29)]


@pytest.mark.long
def test_one_that_fails_stops_no_other(
    person: Person, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    other = Person(clock)
    for one in (person, other):
        one.fill_wallet("100")
        one.subscribe()
    real = charges.charge_of
    bad = person.id

    def broken(invoice_id: int, now: object) -> object:
        if db.session.get_one(Invoice, invoice_id).user_id == bad:
            raise RuntimeError("bad row")
        return real(invoice_id, now)  # type: ignore[arg-type]

    monkeypatch.setattr(charges, "charge_of", broken)
    go_to_end(other, hours=1)
    assert (other.kept().number, person.kept().number) == (2, 1)
