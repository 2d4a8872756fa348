"""One order of locks: nobody waits in a circle for a person's money."""

import time
from threading import Event

from flask import Flask
from sqlalchemy import select

from app.accounts.locks import lock_person
from app.adapters.payments.port import DisputeState, RailDispute
from app.db import db, utc_now
from app.payments import invoices, refunds, wallet_rail
from app.payments.models import Payment
from app.payments.rules import RefundTarget
from app.payments.settling import take
from app.subscriptions.kept import service
from app.transactions import transaction
from tests.at_once import MOST_WAITING_S, at_once, wait_for_a_lock
from tests.person_first import person_first
from tests.subscriptions.kept.world import Person, choice, usd


def test_who_pays_waits_for_news_of_a_provider_and_not_in_a_circle(
    app: Flask, person: Person
) -> None:
    """News hold the person and then an invoice; a payer must not hold the invoice by then."""
    person.fill_wallet("29")
    invoice_id = person.start()
    assert invoice_id is not None

    def act(number: int) -> bool:
        with transaction():
            if number:
                return wallet_rail.pay_invoice(person.id, invoice_id)
            lock_person(person.id)
            time.sleep(0.1)
            return invoices.lock(invoice_id).id == invoice_id

    assert at_once(app, 2, act) == [True, True]
    assert person.state() == "active"


def test_a_second_click_that_comes_late_takes_back_no_other_order(
    app: Flask, person: Person
) -> None:
    """It was on its way before its first click was stored, and after that another plan chosen."""
    began = Event()

    def act(number: int) -> int | None:
        if number:
            began.wait(MOST_WAITING_S)
            with transaction():
                return service.start(person.id, choice(), "wallet", "clicked")
        with transaction():
            lock_person(person.id)
            service.start(person.id, choice(), "wallet", "clicked")
            other = service.start(person.id, choice("premium"), "wallet", "other")
            began.set()
            wait_for_a_lock()
            return other

    other, late = at_once(app, 2, act)
    assert late is None
    standing = person.standing()
    assert standing is not None
    assert (standing.plan_code, standing.pay_invoice_id) == ("premium", other)


def test_all_that_moves_a_plan_or_its_money_holds_its_person_first(person: Person) -> None:
    with person_first() as seen:
        person.fill_wallet("200")
        person.subscribe(rail="demo")
        person.change(choice("premium"))
        person.pay_from_wallet(person.invoices()[-1].id)
        person.clock.pass_(days=25)
        person.run()
        person.cancel()
        person.undo()
        payment = db.session.scalars(select(Payment).order_by(Payment.id)).first()
        assert payment is not None
        name, payment_id = payment.external_id, payment.id
        db.session.rollback()
        with transaction():
            refunds.ask("a", payment_id, usd("5").amount, RefundTarget.WALLET, None, "wished")
        with transaction():
            told = RailDispute("dp_1", name, DisputeState.OPEN, usd("9"), utc_now())
            assert take("demo", told).applied
        person.clock.pass_(days=8)
        person.run()
    kinds = {kind for locks in seen for kind in locks}
    assert kinds == {
        "users", "invoices", "kept_subscriptions", "checkouts", "payments", "subscriptions",
        "ledger",
    }  # fmt: skip
