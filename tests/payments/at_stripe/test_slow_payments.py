"""Money that takes days, whose news never come: the provider is asked."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from app.accounts.models import User
from app.adapters.payments.port import Ref
from app.db import db, utc_now
from app.payments import invoices, jobs, slow
from app.payments.demo import provider as demo
from app.payments.models import Checkout, Invoice, Payment
from app.subscriptions.periods import MONTH
from app.subscriptions.provider import service as provider
from app.subscriptions.queries import limits_of
from app.subscriptions.terms import Choice
from app.transactions import transaction
from app.wallet import service as wallet
from app.wallet.queries import available
from tests.at_once import at_once
from tests.client import Client
from tests.doubles.stripe import FakeStripe, Fault
from tests.long import few
from tests.payments import world
from tests.payments.stripe_world import session_of, settle
from tests.payments.world import issue, open_page, state_of


def slowly_paid(client: Client, fake: FakeStripe, user: User, key: str = "one") -> int:
    """Pay an invoice of ours by debit, two hours ago; return it."""
    invoice_id, user_id = issue(user.id, key=key), user.id
    client.post_form(f"/invoices/{invoice_id}/pay", {"rail": "stripe"})
    fake.checkout.pay(session_of(user_id), delayed=True)
    settle(fake)
    grow_old()
    assert {one.state for one in world.payments()} == {"pending"}
    return invoice_id


def grow_old(**span: float) -> None:
    then = utc_now() - timedelta(**(span or {"hours": 2}))
    with transaction():
        db.session.execute(update(Payment).values(created_at=then))


@pytest.mark.parametrize(("ok", "state", "booked"), few([(True, "paid", 1), (False, "open", 0)], 2))
def test_c18_money_whose_news_never_came_is_asked_for(
    client: Client, fake: FakeStripe, user: User, ok: bool, state: str, booked: int
) -> None:
    invoice_id = slowly_paid(client, fake, user)
    jobs.look_at_slow_payments()
    assert state_of(invoice_id) == "open"
    fake.checkout.settle(session_of(user.id), ok=ok)
    jobs.look_at_slow_payments()
    assert state_of(invoice_id) == state
    assert [one.state for one in world.payments()] == ["succeeded" if ok else "failed"]
    # And what comes late after all changes nothing.
    settle(fake)
    jobs.look_at_slow_payments()
    assert (state_of(invoice_id), len(world.postings())) == (state, booked)


def test_c18_one_that_can_not_be_taken_holds_up_no_other(
    client: Client, fake: FakeStripe, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault by which its callback died is there still."""
    bad, good = (slowly_paid(client, fake, user, key) for key in ("bad", "good"))
    for session in fake.every("checkout.session"):
        fake.checkout.settle(session["id"], ok=True)

    def explode(invoice: Invoice, *args: Any, **kwargs: Any) -> None:
        if invoice.id == bad:
            raise ZeroDivisionError("in the middle")
        move_to(invoice, *args, **kwargs)

    move_to = invoices.move_to
    oldest_first = [Ref("payment", one.external_id) for one in world.payments()]
    with monkeypatch.context() as patch:
        patch.setattr(invoices, "move_to", explode)
        patch.setattr(slow, "under_way", lambda _now: [("stripe", ref) for ref in oldest_first])
        jobs.look_at_slow_payments()
    assert (state_of(bad), state_of(good)) == ("open", "paid")
    jobs.look_at_slow_payments()
    assert state_of(bad) == "paid"


def test_c18_asking_and_the_callback_at_once_book_it_once(
    app: Flask, client: Client, fake: FakeStripe, user: User
) -> None:
    invoice_id = slowly_paid(client, fake, user)
    fake.checkout.settle(session_of(user.id), ok=True)
    while fake.deliver():
        pass
    db.session.remove()
    at_once(app, 4, lambda number: world.work() if number % 2 else jobs.look_at_slow_payments())
    world.work()
    assert state_of(invoice_id) == "paid"
    assert (len(world.payments()), len(world.postings())) == (1, 1)


@pytest.mark.long
def test_c18_a_slow_subscription_whose_news_never_came_begins(
    fake: FakeStripe, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = user.id
    provider.start(user, Choice("pro", MONTH), "/pricing")
    session = session_of(user_id)
    fake.checkout.pay(session, delayed=True)
    settle(fake)
    assert limits_of(user_id).plan == "free"
    fake.checkout.settle(session, ok=True)
    monkeypatch.setattr(slow, "SLOW_AFTER", timedelta(0))
    jobs.look_at_slow_payments()
    db.session.rollback()
    assert limits_of(user_id).plan == "pro"
    assert db.session.scalars(select(Invoice.state)).all() == ["paid"]
    before = world.postings()
    settle(fake)
    assert world.postings() == before


def test_only_what_is_slow_is_asked_for_and_a_rail_that_is_away_once(
    client: Client, fake: FakeStripe, user: User
) -> None:
    slowly_paid(client, fake, user)
    for age, found in (({"minutes": 50}, 0), ({"days": 31}, 0), ({"hours": 2}, 1)):
        grow_old(**age)
        assert len(slow.under_way(utc_now())) == found
        db.session.rollback()
    fake.faults.add(Fault(path="/v1/payment_intents", status=503, times=100))
    jobs.look_at_slow_payments()
    assert [one.state for one in world.payments()] == ["pending"]


def test_an_abandoned_question_of_the_bank_ends_with_its_page(client: Client, user: User) -> None:
    """The tab was closed; the payer comes back, pays otherwise, and finds the old tab again."""
    invoice_id = issue(user.id)
    page = open_page(client, invoice_id)
    questions = [world.pay(client, page, world.CONFIRMS) for _ in range(2)]
    world.settle(client)
    assert [one.state for one in world.payments()] == ["pending", "pending"]
    assert "Pay with" not in client.get(f"/invoices/{invoice_id}").text
    assert open_page(client, invoice_id) == page
    assert world.pay(client, page)
    for question in questions:
        answer = client.post_form(question, {"answer": "yes"}, follow_redirects=True)
        assert "This page was used, or is over" in answer.text
    world.settle(client)
    assert state_of(invoice_id) == "paid" and len(world.postings()) == 1
    states = sorted((one.state, one.failure) for one in world.payments())
    assert states == [("canceled", "canceled"), ("canceled", "canceled"), ("succeeded", None)]


def test_an_abandoned_page_ends_with_its_day_and_is_not_asked_for_any_more(
    client: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PAGE_LIVES", timedelta(seconds=-1))
    invoice_id = issue(user.id)
    page = open_page(client, invoice_id)
    monkeypatch.setattr(demo, "_lasts", lambda _page: True)
    world.pay(client, page, world.CONFIRMS)
    world.settle(client)
    monkeypatch.undo()
    jobs.look_at_checkouts()
    world.settle(client)
    db.session.rollback()
    assert db.session.scalars(select(Checkout.state)).all() == ["expired"]
    assert [one.state for one in world.payments()] == ["canceled"]
    assert state_of(invoice_id) == "open" and open_page(client, invoice_id) != page


def test_who_pays_from_the_wallet_beside_an_open_question_pays_once(
    client: Client, user: User
) -> None:
    user_id, invoice_id = user.id, issue(user.id)
    with transaction():
        wallet.grant("gift", user_id, world.usd("100"), actor_id=None, reason="a gift")
    question = world.pay(client, open_page(client, invoice_id), world.CONFIRMS)
    client.post_form(f"/invoices/{invoice_id}/pay", {"rail": "wallet"})
    assert state_of(invoice_id) == "paid"
    # The old tab is faster than the order to take its page back: the money is the payer's.
    client.post_form(question, {"answer": "yes"})
    world.settle(client)
    assert available(user_id, "USD") == 100
    assert sorted(one.state for one in world.payments()) == ["succeeded", "succeeded"]
