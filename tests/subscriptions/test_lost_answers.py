"""Money is moved once, though the answer of the provider is lost and its keys are forgotten."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask

from app.accounts.models import User
from app.adapters.payments.port import RailState, RefundOrder
from app.db import db
from app.errors import Unavailable
from app.payments import checkouts, jobs, paying, refunds
from app.payments.books import reconcile
from app.payments.models import Refund
from app.payments.rules import RefundTarget
from app.payments.settling import take
from app.transactions import transaction
from tests.clock import Clock
from tests.doubles.stripe import FakeStripe, Fault
from tests.long import few
from tests.payments.stripe_world import rail_over, settle
from tests.payments.test_stripe_rail import order
from tests.payments.world import usd
from tests.subscriptions.kept.world import Person
from tests.subscriptions.provider_world import stand_in


@pytest.fixture
def clock(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def fake(app: Flask, database: None) -> Iterator[FakeStripe]:
    with stand_in(app) as stripe:
        yield stripe


@pytest.fixture
def person(fake: FakeStripe, clock: Clock) -> Person:
    """Somebody whose subscription we keep, and whose card Stripe keeps."""
    clock.pass_(days=1)
    made = Person(clock)
    invoice_id = made.start()
    assert invoice_id is not None
    paying.lead_to_page(
        user_of(made), "stripe", lambda: checkouts.want_invoice(made.id, invoice_id), "/invoices"
    )
    fake.checkout.pay(fake.latest("checkout.session")["id"])
    settle(fake)
    assert made.kept().rail == "stripe"
    return made


def user_of(person: Person) -> User:
    with transaction():
        user = db.session.get_one(User, person.id)
        db.session.expunge(user)
    return user


def charge_in_vain(person: Person, fake: FakeStripe) -> int:
    """Have the next period charged, and the answer be lost; return its invoice."""
    person.clock.reach((person.kept().period_end or person.clock.now) - timedelta(days=3))
    person.run()
    person.clock.pass_(days=3)
    due = person.invoices()[-1].id
    fake.faults.add(Fault(path="payment_intents", method="POST", acted=True, lost=True))
    with pytest.raises(Unavailable):
        paying.charge_saved(
            user_of(person), "stripe", lambda: checkouts.want_invoice(person.id, due)
        )
    return due


@pytest.mark.parametrize("hours", few([2, 26], 2))
def test_a_charge_whose_answer_is_lost_is_not_made_again_hours_later(
    person: Person, fake: FakeStripe, hours: int
) -> None:
    charge_in_vain(person, fake)
    fake.faults.add(Fault(path="/v1/", lost=True, times=None))
    for _ in range(2):
        person.clock.pass_(hours=hours / 2)
        jobs.look_at_checkouts()
        person.run()
    fake.faults.clear()
    fake.advance(hours=hours)
    person.run()
    settle(fake)
    assert len(fake.every("payment_intent")) == 2
    assert [(one.amount, one.surplus) for one in person.payments()] == [
        (Decimal(29), Decimal(0))
    ] * 2
    assert person.state() == "active"


@pytest.mark.long
def test_a_page_for_an_invoice_does_not_make_its_charge_be_forgotten(
    person: Person, fake: FakeStripe
) -> None:
    due = charge_in_vain(person, fake)
    paying.lead_to_page(
        user_of(person), "stripe", lambda: checkouts.want_invoice(person.id, due), "/invoices"
    )
    person.run()
    settle(fake)
    assert len(fake.every("payment_intent")) == 2
    assert person.state() == "active"


def test_a_refund_that_waits_at_the_provider_for_days_is_not_sent_again(
    person: Person, fake: FakeStripe
) -> None:
    payment = person.payments()[0]
    with transaction():
        refund_id = refunds.ask("r", payment.id, Decimal(10), RefundTarget.RAIL, None, "asked for")
    asked = RefundOrder("r", payment.external_id, usd("10.00"), "asked for")
    made = rail_over(fake).refund(asked)
    with transaction():
        take("stripe", replace(made, state=RailState.PENDING))
    person.clock.pass_(days=2)
    fake.advance(days=2)
    calls = len(fake.calls)
    jobs.send_waiting_refunds()
    assert len(fake.calls) == calls
    # Its end was not told either: the comparison of the night asks for it by name.
    with transaction():
        reconcile.begin("stripe", person.clock.now)
    assert reconcile.go_on("stripe", 10)
    db.session.rollback()
    assert db.session.get_one(Refund, refund_id).state == "succeeded"
    assert [one["amount"] for one in fake.every("refund")] == [1_000]


def test_a_refund_whose_answer_was_lost_is_found_by_its_mark() -> None:
    fake = FakeStripe()
    rail = rail_over(fake)
    page = rail.create(order())
    paid = fake.checkout.pay(page.external_id)["payment_intent"]
    asked = RefundOrder("refund:1", paid, usd("5.00"), "asked for")
    first = rail.refund(asked)
    fake.advance(days=2)
    assert rail.refund(asked).id == first.id
    assert rail.refund(replace(asked, key="refund:2")).id != first.id
