"""Money that several hands move in the same moment: no more goes back, or in, than there is."""

from contextlib import suppress
from decimal import Decimal

import pytest
import stripe
from flask import Flask
from sqlalchemy import func, select

from app.accounts.deletion import erasing
from app.accounts.models import User
from app.db import db
from app.errors import Conflict
from app.payments import jobs, refunds
from app.payments.models import Checkout, CreditNote, PaymentAlert, Refund
from app.payments.rules import RefundTarget
from app.transactions import transaction
from tests.at_once import at_once
from tests.client import Client
from tests.doubles.stripe import FakeStripe
from tests.factories import make_user
from tests.payments import world
from tests.payments.stripe_world import session_of, settle
from tests.payments.world import issue
from tests.wallet.books import sums


@pytest.mark.parametrize("other", list(RefundTarget))
def test_c38_partial_refunds_of_the_desk_and_at_the_provider_at_once_agree_in_all_books(
    app: Flask, client: Client, fake: FakeStripe, user: User, other: RefundTarget
) -> None:
    """Of 29: 7 for each of four clicks at the desk, two of them to `other`, and of two at Stripe.

    Nobody at Stripe knows what went to the wallet: what is too much then waits for a person.
    """
    user_id, staff_id = user.id, make_user().id
    invoice_id = issue(user_id)
    client.post_form(f"/invoices/{invoice_id}/pay", {"rail": "stripe"})
    fake.checkout.pay(session_of(user_id))
    settle(fake)
    payment_id, charge = world.payments()[0].id, fake.latest("charge")["id"]
    db.session.remove()

    def give(number: int) -> None:
        if number >= 4:
            with suppress(stripe.InvalidRequestError):
                fake.client().v1.refunds.create({"charge": charge, "amount": 700})
            fake.deliver()
            world.work()
            return
        target = other if number % 2 else RefundTarget.RAIL
        with suppress(Conflict):
            with transaction():
                refund_id = refunds.ask(
                    f"desk:{number}", payment_id, Decimal(7), target, staff_id, "asked for"
                )
            jobs.send_refund(refund_id)

    at_once(app, 6, give)
    settle(fake)

    (payment,) = world.payments()
    done = db.session.scalars(select(Refund).where(Refund.state == "succeeded")).all()
    waits = db.session.scalars(select(PaymentAlert).where(PaymentAlert.state == "open")).all()
    excess = sum((one.amount for one in waits), Decimal(0))
    assert payment.refunded == sum(one.amount for one in done) == 28
    assert not excess or other is RefundTarget.WALLET
    there = sum(Decimal(row["amount"]) / 100 for row in fake.every("refund"))
    assert there == sum(one.amount for one in done if one.target == "rail") + excess <= 29
    notes = db.session.scalars(select(CreditNote)).all()
    assert sorted(one.refund_id for one in notes) == sorted(one.id for one in done)
    assert sum(one.amount for one in notes) == payment.refunded
    books = sums()
    assert books["contra:refunds", "USD"] == payment.refunded
    balance = sum(Decimal(row["net"]) / 100 for row in fake.every("balance_transaction"))
    assert books["psp:stripe", "USD"] == balance + excess
    shown = client.get(f"/invoices/{invoice_id}").text
    assert "Partly refunded" in shown


def test_a_top_up_while_its_owner_is_erased_is_booked_once_or_not_begun(
    app: Flask, client: Client, fake: FakeStripe, user: User
) -> None:
    """Money that a bank has moved is in the books, whoever it belonged to; no page stays open."""
    user_id = user.id
    answer = client.post_form("/wallet/top-up", {"amount": "20.00", "rail": "stripe"})
    assert answer.status_code == 303
    session = session_of(user_id)
    fake.checkout.pay(session)
    with transaction():
        person = db.session.get_one(User, user_id)
        person.leaves_at = func.now()
    db.session.remove()

    def act(number: int) -> None:
        if number == 0:
            erasing.erase(user_id)
        elif number == 1:
            fake.deliver()
            world.work()
        elif number == 2:
            jobs.look_at_checkouts()
        else:
            client.post_form("/wallet/top-up", {"amount": "30.00", "rail": "stripe"})

    at_once(app, 4, act)
    settle(fake)
    for _ in range(2):
        jobs.look_at_checkouts()
        erasing.erase(user_id)
    settle(fake)
    db.session.rollback()
    assert [key for key in world.postings() if key.endswith(":settled")] == [
        f"payment:{world.payments()[0].id}:settled"
    ]
    assert sums()[f"wallet:u{user_id}", "USD"] == -20
    assert "open" not in db.session.scalars(select(Checkout.state)).all()
    assert [one.state for one in world.payments()] == ["succeeded"]
    assert {event.state for event in world.events()} <= {"processed", "ignored"}
