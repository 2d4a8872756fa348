"""Stripe as a way to pay: pages, callbacks, pictures of its objects, refunds and disputes."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts.models import Role, User
from app.adapters.payments import rails, use_rails
from app.adapters.payments.port import BadCallback, Order, RailState, Ref, RefundOrder
from app.adapters.payments.port import RailCustomer as SeenCustomer
from app.adapters.payments.stripe import callbacks
from app.adapters.payments.stripe.rail import StripeRail
from app.adapters.payments.stripe.values import minor_units, money_of, owner_in
from app.db import db
from app.errors import Conflict, Unavailable
from app.money import Money
from app.payments import jobs, refunds
from app.payments.models import Checkout, Dispute, PaymentAlert, RailCustomer
from app.payments.rules import RefundTarget
from app.transactions import transaction
from app.wallet.queries import available
from app.wallet.rules import frozen_of
from tests.client import Client
from tests.conftest import new_client
from tests.doubles.stripe import FakeStripe, Fault, signed
from tests.doubles.stripe.contract import SHARED
from tests.factories import make_user
from tests.long import few
from tests.payments import world
from tests.payments.stripe_world import SECRET, TAG, door, post, rail_over, settle
from tests.payments.world import issue, state_of, usd
from tests.wallet.books import sums

Login = Callable[[User], Client]
VECTORS = SHARED / "data" / "stripe" / "signature" / "vectors.json"
NOW = 1_795_254_400
PLAIN = json.dumps(
    {
        "id": "evt_1", "object": "event", "type": "invoice.paid",
        "api_version": "2026-10-28.endive",
        "created": NOW, "livemode": False,
        "data": {"object": {"id": "in_1", "object": "invoice", "customer_name": "Иван Ё"}},
    },
    ensure_ascii=False,
).encode()  # fmt: skip


@pytest.fixture
def fake(app: Flask) -> Iterator[FakeStripe]:
    """Put Stripe's stand-in behind the rails of the process."""
    before = dict(rails())
    stand_in = FakeStripe(now=int(time.time()))
    use_rails({**before, "stripe": rail_over(stand_in)})
    yield stand_in
    use_rails(before)


@pytest.fixture
def user(database: None) -> User:
    return make_user()


@pytest.fixture
def client(user: User, login_as: Login, fake: FakeStripe) -> Client:
    browser = login_as(user)
    fake.endpoint(door(browser), [SECRET])
    return browser


def order(user_id: int = 7, key: str = "checkout:1", amount: str = "12.50") -> Order:
    return Order(
        key=key,
        reference=key,
        user_id=user_id,
        email="seven@example.org",
        money=usd(amount),
        description="Top-up",
        language="pt_BR",
        success_url="https://botyard.example/checkouts/1",
        cancel_url="https://botyard.example/invoices",
        save_method=True,
    )


def press_pay(client: Client, invoice_id: int) -> str:
    """Press Pay and return the session to which it leads."""
    answer = client.post_form(f"/invoices/{invoice_id}/pay", {"rail": "stripe"})
    assert answer.status_code == 303, answer.text
    db.session.rollback()
    return str(
        db.session.scalars(select(Checkout.external_id).order_by(Checkout.id.desc())).first()
    )


def is_taken(header: str, raw: bytes, secrets: tuple[str, ...], now: int) -> bool:
    try:
        callbacks.read({"Stripe-Signature": header}, raw, secrets, datetime.fromtimestamp(now, UTC))
    except BadCallback:
        return False
    return True


@pytest.mark.shared
def test_c01_recorded_signatures_are_taken_and_refused_as_they_say() -> None:
    told = json.loads(VECTORS.read_bytes())
    assert len(told["vectors"]) >= 12
    for vector in told["vectors"]:
        raw = vector.get("body", told["raw_body"]).encode()
        # The library looks at the past only; we refuse a stamp of the future too.
        expected = vector["expect"] == "accept" and vector["name"] != "future_1h"
        taken = is_taken(vector["header"], raw, (vector["secret"],), vector["now"])
        assert taken == expected, vector["name"]


def test_c01_only_raw_bytes_that_were_signed_just_now_are_taken() -> None:
    header = signed(PLAIN, ["whsec_a"], NOW)[1]["Stripe-Signature"]
    again = json.dumps(json.loads(PLAIN)).encode()
    assert is_taken(header, PLAIN, ("whsec_a",), NOW + 300)
    assert not is_taken(header, PLAIN, ("whsec_a",), NOW + 301)
    assert not is_taken(header, PLAIN, ("whsec_a",), NOW - 301)
    assert not is_taken(header, again, ("whsec_a",), NOW)
    assert not is_taken(header, PLAIN, ("whsec_b",), NOW)
    assert not is_taken(header, PLAIN, ("",), NOW)
    assert not is_taken("", PLAIN, ("whsec_a",), NOW)
    assert not is_taken(header.replace("v1=", "v0="), PLAIN, ("whsec_a",), NOW)
    assert not is_taken(header.partition(",")[2], PLAIN, ("whsec_a",), NOW)
    assert not is_taken(header.replace(str(NOW), str(NOW + 5)), PLAIN, ("whsec_a",), NOW)


def test_c02_old_and_new_secret_hold_side_by_side() -> None:
    both = signed(PLAIN, ["whsec_old", "whsec_new"], NOW)[1]["Stripe-Signature"]
    for known in (("whsec_old",), ("whsec_new",), ("whsec_x", "whsec_new")):
        assert is_taken(both, PLAIN, known, NOW)
    assert not is_taken(both, PLAIN, ("whsec_neither",), NOW)


@pytest.mark.parametrize(
    ("thing", "refs", "group"),
    [
        ({"object": "invoice", "id": "in_1"}, [("invoice", "in_1")], "in_1"),
        (
            {
                "object": "invoice",
                "id": "in_1",
                "customer": "cus_1",
                "parent": {"subscription_details": {"subscription": "sub_1"}},
            },
            [("invoice", "in_1"), ("subscription", "sub_1")],
            "cus_1",
        ),
        ({"object": "invoice", "customer": "cus_1"}, [], "cus_1"),
        (
            {"object": "charge", "id": "ch_1", "customer": {"id": "cus_1"}},
            [("payment", "ch_1")],
            "cus_1",
        ),
        (
            {
                "object": "checkout.session",
                "id": "cs_1",
                "customer": "cus_1",
                "payment_intent": "pi_1",
            },
            [("checkout", "cs_1"), ("payment", "pi_1")],
            "cus_1",
        ),
        (
            {"object": "refund", "id": "re_1", "payment_intent": "pi_1", "charge": "ch_1"},
            [("refund", "re_1")],
            "pi_1",
        ),
        ({"object": "dispute", "id": "dp_1", "charge": "ch_1"}, [("dispute", "dp_1")], "ch_1"),
        ({"object": "customer", "id": "cus_1"}, [("customer", "cus_1")], "cus_1"),
        (
            {"object": "invoice_payment", "id": "inpay_1", "invoice": "in_1"},
            [("invoice", "in_1")],
            "inpay_1",
        ),
        (
            {"object": "payment_method", "id": "pm_1", "customer": "cus_1"},
            [("customer", "cus_1")],
            "cus_1",
        ),
        ({"object": "payment_method", "id": "pm_1", "customer": None}, [], "pm_1"),
        ({"object": "meteor", "id": "m_1"}, [], "m_1"),
    ],
)
def test_c08_an_event_is_a_hint_at_objects_and_nothing_else(
    thing: dict[str, Any], refs: list[tuple[str, str]], group: str
) -> None:
    event = {**json.loads(PLAIN), "data": {"object": thing}}
    assert [(ref.kind, ref.id) for ref in callbacks.refs_of(event)] == refs
    raw, headers = signed(event, [SECRET])
    incoming = callbacks.read(headers, raw, (SECRET,), datetime.now(UTC))
    assert incoming.group == group
    assert incoming.livemode is False and incoming.happened_at.timestamp() == NOW


@pytest.mark.parametrize(
    "change",
    [
        {"object": "v2.core.event"},
        {"id": None},
        {"id": "x" * 101},
        {"type": 5},
        {"created": "x"},
        {"created": 10**30},
        {"livemode": "no"},
        {"data": None},
        {"data": {"object": []}},
        {"data": {"object": {"object": "invoice", "id": "in_\x00"}}},
        {"data": {"object": {"object": "invoice", "id": "in_1", "parent": [1]}}},
    ],
)
def test_c15_thin_events_and_signed_nonsense_are_refused(
    client: Client, change: dict[str, Any]
) -> None:
    raw, headers = signed({**json.loads(PLAIN), **change}, [SECRET])
    assert post(client, raw, headers) == 400
    assert world.events() == []


def test_c14_an_event_of_an_old_version_is_read_by_what_stripe_says_now(client: Client) -> None:
    old = {**json.loads(PLAIN), "api_version": "2020-08-27"}
    old["data"] = {
        "object": {"object": "invoice", "id": "in_old", "subscription": "sub_1", "paid": True}
    }
    assert post(client, *signed(old, [SECRET])) == 200
    world.work()
    assert [(event.state, event.reason) for event in world.events()] == [
        ("ignored", "unknown_object")
    ]


def test_amounts_are_counted_as_each_currency_is() -> None:
    assert money_of(1_999, "usd") == Money(Decimal("19.99"), "USD")
    assert money_of(1_999, "jpy") == Money(Decimal(1_999), "JPY")
    assert money_of(1_990, "kwd") == Money(Decimal("1.99"), "KWD")
    assert minor_units(usd("19.99")) == 1_999
    assert minor_units(Money(Decimal(5), "JPY")) == 5
    with pytest.raises(ValueError, match="finer"):
        minor_units(usd("0.001"))


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({"app": TAG, "user_id": "7"}, 7), ({"app": "other", "user_id": "7"}, None), ({}, None),
        (None, None), ({"app": TAG}, None), ({"app": TAG, "user_id": "7x"}, None),
        ({"app": TAG, "user_id": "9" * 30}, None), ({"app": TAG, "user_id": "²"}, None),
    ],
)  # fmt: skip
def test_c11_only_our_own_mark_says_whose_an_object_is(metadata: Any, owner: int | None) -> None:
    assert owner_in(metadata, TAG) == owner


def test_c20_a_call_whose_answer_was_lost_makes_nothing_twice() -> None:
    fake = FakeStripe()
    rail = rail_over(fake)
    for path in ("/v1/customers", "/v1/checkout/sessions"):
        fake.faults.add(Fault(path=path, method="POST", lost=True, acted=True))
    for _ in range(2):
        with pytest.raises(Unavailable, match="rail_unavailable"):
            rail.create(order())
    made = rail.create(order())
    assert [row["id"] for row in fake.every("checkout.session")] == [made.external_id]
    assert [row["id"] for row in fake.every("customer")] == [made.customer_id]
    sent = [call for call in fake.calls if call.method == "POST"]
    assert {call.idempotency_key for call in sent} == {"botyard:customer:7", "botyard:checkout:1"}
    assert {call.version for call in fake.calls} == {"2026-10-28.endive"}


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_what_stripe_can_not_answer_now_is_asked_again_later(status: int) -> None:
    fake = FakeStripe()
    fake.faults.add(Fault(path="/v1/customers", status=status))
    with pytest.raises(Unavailable, match="rail_unavailable"):
        rail_over(fake).create(order())


def test_c20_what_stripe_refuses_is_shown_and_not_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = FakeStripe()
    rail = rail_over(fake)
    rail.create(order())
    posts = len(_posts(fake))
    with caplog.at_level(logging.ERROR), pytest.raises(Conflict, match="rail_refused"):
        rail.create(order(amount="99.00"))
    # The customer was found by its key; the page has other content under the same key.
    assert len(_posts(fake)) == posts + 2
    assert "IdempotencyError" in caplog.text and "sk_test" not in caplog.text


def _posts(fake: FakeStripe) -> list[str]:
    return [call.path for call in fake.calls if call.method == "POST"]


def test_a_saved_card_is_charged_without_a_page_and_once() -> None:
    fake = FakeStripe()
    rail = rail_over(fake)
    made = rail.create(order())
    with pytest.raises(Conflict, match="no_saved_method"):
        rail.charge(order(key="checkout:2"))
    fake.checkout.pay(made.external_id)
    again = order(key="checkout:3", amount="7.00")
    known = Order(
        **{name: getattr(again, name) for name in again.__slots__}
        | {"customer_id": made.customer_id}
    )
    first, second = rail.charge(known), rail.charge(known)
    assert first.id == second.id
    assert (first.state, first.money, first.reference) == (
        RailState.SUCCEEDED,
        usd("7.00"),
        "checkout:3",
    )
    assert len(fake.every("payment_intent")) == 2


def test_what_was_disputed_is_not_charged_though_stripe_would_charge_it() -> None:
    """A card is the same under another id; one that is another is charged instead."""
    stand_in = FakeStripe()
    v1: Any = stand_in.client().v1
    rail = rail_over(stand_in)
    cards = [
        v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}}) for _ in range(2)
    ]
    person = v1.customers.create(
        {"payment_method": cards[0].id, "invoice_settings": {"default_payment_method": cards[0].id}}
    )
    v1.payment_methods.attach(cards[1].id, {"customer": person.id})
    known = replace(order(key="checkout:2"), customer_id=person.id)
    paid = rail.charge(known)
    assert paid.method_ref == cards[0].card.fingerprint == cards[1].card.fingerprint
    seen = rail.fetch(Ref("customer", person.id))
    assert isinstance(seen, SeenCustomer) and seen.method_ref == paid.method_ref
    not_by = frozenset({paid.method_ref})
    disputed = replace(known, key="checkout:3", reference="checkout:3", not_by=not_by)
    with pytest.raises(Conflict, match="no_saved_method"):
        rail.charge(disputed)
    other = v1.payment_methods.create({"type": "card", "card": {"token": "tok_mastercard"}})
    v1.payment_methods.attach(other.id, {"customer": person.id})
    assert rail.charge(disputed).method_ref == other.card.fingerprint


def test_a_saved_card_that_declines_is_a_failed_payment() -> None:
    fake = FakeStripe()
    rail = rail_over(fake)
    made = rail.create(order())
    fake.checkout.pay(made.external_id)
    assert made.customer_id is not None
    fake.portal.new_card(made.customer_id, "4000000000000341")
    again = order(key="checkout:3")
    known = Order(
        **{name: getattr(again, name) for name in again.__slots__}
        | {"customer_id": made.customer_id}
    )
    payment = rail.charge(known)
    assert payment.state is RailState.FAILED and payment.failure


def test_a_page_that_is_closed_can_not_be_paid_and_closing_twice_is_nothing() -> None:
    fake = FakeStripe()
    rail = rail_over(fake)
    made = rail.create(order())
    rail.close(made.external_id)
    rail.close(made.external_id)
    assert fake.get(made.external_id)["status"] == "expired"


def test_unknown_objects_are_none() -> None:
    rail = rail_over(FakeStripe())
    kinds = {
        "checkout": "cs_test_0", "payment": "pi_0", "refund": "re_0", "dispute": "dp_0",
        "customer": "cus_0", "invoice": "in_0", "subscription": "sub_0", "meteor": "m_0",
    }  # fmt: skip
    assert {rail.fetch(Ref(kind, name)) for kind, name in kinds.items()} == {None}
    assert rail.fetch(Ref("payment", "ch_0")) is None


def test_an_invoice_is_paid_on_the_page_of_stripe(
    client: Client, user: User, fake: FakeStripe
) -> None:
    invoice_id = issue(user.id)
    session = press_pay(client, invoice_id)
    assert press_pay(client, invoice_id) == session
    fake.checkout.pay(session)
    assert state_of(invoice_id) == "open", "the page of the rail proves nothing"
    settle(fake)
    assert state_of(invoice_id) == "paid"
    (payment,) = world.payments()
    assert (payment.state, payment.method) == ("succeeded", "Visa 4242") and payment.amount == 29
    assert payment.fee == Decimal("1.14") and payment.charge_id and payment.intent_id
    assert world.postings() == [f"payment:{payment.id}:settled"]
    sent = fake.get(session)
    assert sent["metadata"] == {
        "app": TAG,
        "user_id": str(user.id),
        "reference": sent["client_reference_id"],
    }
    assert {event.state for event in world.events()} <= {"processed", "ignored"}


def test_a_fee_that_is_told_after_the_payment_is_booked_once(
    client: Client, user: User, fake: FakeStripe
) -> None:
    fake.settings.fees_come_late = True
    fake.checkout.pay(press_pay(client, issue(user.id)))
    settle(fake)
    (payment,) = world.payments()
    assert payment.state == "succeeded" and payment.fee == 0
    assert ("expense:fees", "USD") not in sums()
    fake.bank.tell_fees()
    settle(fake, duplicate=2)
    (payment,) = world.payments()
    assert payment.fee == sums()["expense:fees", "USD"] == Decimal("1.14")
    assert sums()["psp:stripe", "USD"] == Decimal("27.86")


@pytest.mark.parametrize("seed", few(range(3), 3))
def test_c06_any_order_and_many_times_end_the_same(
    client: Client, user: User, fake: FakeStripe, seed: int
) -> None:
    invoice_id = issue(user.id)
    session = press_pay(client, invoice_id)
    with pytest.raises(FakeStripe.CardDeclined):
        fake.checkout.pay(session, "4000000000000002")
    fake.checkout.pay(session)
    fake.deliver(shuffle=seed, duplicate=2)
    world.work()
    states = {payment.state: payment.id for payment in world.payments()}
    assert state_of(invoice_id) == "paid"
    assert set(states) <= {"succeeded", "failed"}
    assert world.postings() == [f"payment:{states['succeeded']}:settled"]


def test_c16_two_clicks_at_once_make_one_customer_and_one_page(
    app: Flask, login_as: Login, user: User, fake: FakeStripe
) -> None:
    invoice_id = issue(user.id)
    answers: list[int] = []
    # Two browsers: one test client is not made for two threads.
    browsers = [login_as(user), login_as(user)]

    def click(browser: Client) -> None:
        with app.app_context():
            sent = browser.post_form(f"/invoices/{invoice_id}/pay", {"rail": "stripe"})
            answers.append(sent.status_code)
            db.session.remove()

    threads = [threading.Thread(target=click, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [303, 303]
    assert len(fake.every("customer")) == 1
    assert len(fake.every("checkout.session", status="open")) == 1
    db.session.rollback()
    assert len(list(db.session.scalars(select(RailCustomer)))) == 1


def test_c19_an_abandoned_page_frees_the_invoice(
    client: Client, user: User, fake: FakeStripe
) -> None:
    invoice_id = issue(user.id)
    first = press_pay(client, invoice_id)
    fake.advance(days=1, hours=1)
    settle(fake)
    db.session.rollback()
    assert db.session.scalars(select(Checkout.state)).all() == ["expired"]
    assert press_pay(client, invoice_id) != first


def test_c18_money_under_way_is_no_money_yet(client: Client, user: User, fake: FakeStripe) -> None:
    invoice_id = issue(user.id)
    session = press_pay(client, invoice_id)
    fake.checkout.pay(session, delayed=True)
    settle(fake)
    assert state_of(invoice_id) == "open"
    fake.checkout.settle(session, ok=True)
    settle(fake)
    assert state_of(invoice_id) == "paid"


def test_c18_money_that_never_came_leaves_the_invoice_open(
    client: Client, user: User, fake: FakeStripe
) -> None:
    invoice_id = issue(user.id)
    session = press_pay(client, invoice_id)
    fake.checkout.pay(session, delayed=True)
    fake.checkout.settle(session, ok=False)
    settle(fake)
    assert state_of(invoice_id) == "open"
    assert [payment.state for payment in world.payments()] == ["failed"]


def net_there(fake: FakeStripe) -> Decimal:
    """Return what Stripe has of ours by its own account."""
    return Decimal(sum(row["net"] for row in fake.every("balance_transaction"))) / 100


def test_c38_refunds_of_ours_go_out_once_and_come_back_if_they_fail(
    client: Client, user: User, fake: FakeStripe
) -> None:
    staff = make_user()
    invoice_id = issue(user.id)
    fake.checkout.pay(press_pay(client, invoice_id))
    settle(fake)
    (payment,) = world.payments()
    for key, amount in (("a", "7.00"), ("b", "3.00")):
        with transaction():
            refund_id = refunds.ask(
                key, payment.id, Decimal(amount), RefundTarget.RAIL, staff.id, "wished"
            )
        jobs.send_refund(refund_id)
        jobs.send_refund(refund_id)
    settle(fake, duplicate=2)
    (payment,) = world.payments()
    assert payment.refunded == 10
    assert [row["amount"] for row in fake.every("refund")] == [700, 300]
    keys = {key for key in world.postings() if key.startswith("refund:")}
    assert len(keys) == 2
    assert sums()["psp:stripe", "USD"] == net_there(fake)
    fake.bank.fail_refund(fake.latest("refund")["id"])
    settle(fake)
    assert world.payments()[0].refunded == 7
    assert sums()["psp:stripe", "USD"] == net_there(fake)


def test_c38_a_refund_made_at_stripe_gets_its_row(
    client: Client, user: User, fake: FakeStripe
) -> None:
    fake.checkout.pay(press_pay(client, issue(user.id)))
    charge = fake.latest("charge")["id"]
    fake.client().v1.refunds.create({"charge": charge, "amount": 500})
    fake.deliver(shuffle=1)
    world.work()
    assert world.payments()[0].refunded == 5


@pytest.mark.parametrize(
    ("won", "left"), [([True], "20"), ([False], "0"), ([False, True], "20")], ids=str
)
def test_c39_a_disputed_top_up_is_frozen_and_comes_back_or_is_lost(
    client: Client, user: User, fake: FakeStripe, won: list[bool], left: str
) -> None:
    """Banks sometimes turn what was lost into a success, weeks later."""
    answer = client.post_form("/wallet/top-up", {"amount": "20.00", "rail": "stripe"})
    assert answer.status_code == 303, answer.text
    db.session.rollback()
    session = str(db.session.scalar(select(Checkout.external_id)))
    fake.checkout.pay(session, world.DISPUTED.replace(" ", ""))
    settle(fake)
    assert available(user.id, "USD") == 0
    for is_won in won:
        fake.bank.close_dispute(fake.latest("dispute")["id"], won=is_won)
        settle(fake)
    dispute = db.session.scalars(select(Dispute)).one()
    # With one that was won the fee is given back too: our books say what is there.
    assert dispute.state == ("won" if won[-1] else "lost")
    assert dispute.fee == (0 if won[-1] else 15)
    assert available(user.id, "USD") == Decimal(left)
    assert sums()["psp:stripe", "USD"] == net_there(fake)
    assert sums()[frozen_of(user.id), "USD"] == 0, "nothing waits for a bank that has decided"


def test_c11_what_others_sell_in_the_same_account_is_ignored(
    client: Client, fake: FakeStripe
) -> None:
    made = StripeRail(fake.client(), (SECRET,), "other").create(order())
    fake.checkout.pay(made.external_id)
    fake.bank.dispute(fake.latest("charge")["id"])
    settle(fake)
    assert world.payments() == [] and world.postings() == []
    assert {event.state for event in world.events()} == {"ignored"}


def test_c11_money_of_another_app_pays_nothing_though_its_word_is_one_of_ours(
    client: Client, user: User, fake: FakeStripe
) -> None:
    invoice_id = issue(user.id)
    press_pay(client, invoice_id)
    checkout = db.session.scalars(select(Checkout)).one()
    word = f"checkout:{checkout.id}"
    theirs = StripeRail(fake.client(), (SECRET,), "other").create(order(user.id, word, "29.00"))
    fake.checkout.pay(theirs.external_id)
    settle(fake)
    assert (state_of(invoice_id), world.payments(), world.postings()) == ("open", [], [])
    assert "ignored" in {event.state for event in world.events()}


def test_a_refund_order_names_what_stripe_took_the_money_by() -> None:
    fake = FakeStripe()
    rail = rail_over(fake)
    fake.checkout.pay(rail.create(order()).external_id)
    intent = fake.latest("payment_intent")["id"]
    asked = RefundOrder("refund:1", intent, usd("2.50"), "wished")
    first, second = rail.refund(asked), rail.refund(asked)
    assert first == second and first.key == "refund:1" and first.payment_id == intent
    assert rail.fetch(Ref("refund", first.id)) == first
    with pytest.raises(Conflict, match="rail_refused"):
        rail.refund(RefundOrder("refund:2", intent, usd("900.00"), "wished"))


def test_the_door_is_closed_while_there_are_no_keys(app: Flask, database: None) -> None:
    assert new_client(app).post("/webhooks/stripe", data=b"{}").status_code == 404


@pytest.mark.long
def test_warnings_and_inquiries_of_banks_are_shown_to_staff_and_move_nothing(
    client: Client, user: User, fake: FakeStripe, login_as: Login
) -> None:
    issue_id = issue(user.id)
    fake.checkout.pay(press_pay(client, issue_id))
    settle(fake)
    before, charge = world.picture(issue_id), fake.latest("charge")["id"]
    fake.bank.warn_of_fraud(charge)
    inquiry = fake.bank.inquire(charge)["id"]
    settle(fake)
    assert world.picture(issue_id) == before
    staff = login_as(make_user(Role.MANAGER))
    page = staff.get(f"/admin/invoices/page?id={issue_id}").text
    assert "The card was stolen" in page and "The bank asks; nothing was taken" in page
    assert "Payments to look into" in staff.get("/admin/").text
    alert = db.session.scalars(select(PaymentAlert)).one()
    assert alert.external_id in staff.get("/admin/payment-alerts/").text
    path = f"/admin/payment-alerts/settle?id={alert.id}"
    assert staff.post_form(path, {"how": "noted", "reason": "knows the payer"}).status_code == 303
    db.session.rollback()
    assert db.session.scalars(select(PaymentAlert.state)).one() == "settled"
    fake.bank.escalate(inquiry)
    settle(fake)
    dispute = db.session.scalars(select(Dispute)).one()
    assert dispute.state == "open" and dispute.fee == 15 and dispute.answer_by
    assert "opened" in " ".join(world.postings())
