"""A customer, their invoices, and the provider of the demonstration whose callbacks are posted."""

import json
import time
from collections.abc import Iterable
from decimal import Decimal
from urllib.parse import urlparse

from sqlalchemy import select

from app.adapters.payments import signing
from app.adapters.payments.demo import HEADER
from app.db import db
from app.money import Money
from app.payments import drain, service
from app.payments.demo import provider
from app.payments.models import Invoice, Payment, RailEvent
from app.payments.rules import Line, LineKind, NewInvoice
from app.transactions import transaction
from app.wallet.models import LedgerPosting
from tests.client import Client

PAYS = "4242 4242 4242 4242"
DECLINED = "4000000000000002"
NO_FUNDS = "4000000000009995"
CONFIRMS = "4000002500003155"
DISPUTED = "4000000000000259"
REFUND_FAILS = "4000000000005126"

# News bring more news now and then; so many times in a row they never do.
MOST_ROUNDS = 200

Sent = tuple[str, str]


def usd(amount: str) -> Money:
    return Money(Decimal(amount), "USD")


def issue(user_id: int, amount: str = "29.00", key: str = "one", tax: str = "0") -> int:
    """Issue an invoice over one line."""
    line = Line(LineKind.PLAN, "Pro, 1 month", usd(amount), subject="plan:pro")
    with transaction():
        return service.issue(NewInvoice(key, user_id, (line,), tax=usd(tax)), "ordered").id


def open_page(client: Client, invoice_id: int) -> str:
    """Press Pay and return the path of the provider's page."""
    answer = client.post_form(f"/invoices/{invoice_id}/pay", {"rail": "demo"})
    assert answer.status_code == 303, answer.text
    return urlparse(answer.location).path


def pay(client: Client, path: str, card: str = PAYS) -> str:
    """Type a card on the provider's page; return where it leads, or nothing if it does not."""
    answer = client.post_form(path, {"number": card})
    assert answer.status_code in {303, 422}, answer.text
    return urlparse(answer.location).path if answer.status_code == 303 else ""


def outbox() -> list[Sent]:
    """Take the callbacks that the provider would deliver now: their ids and bodies."""
    return provider.due_events()


def signed(raw: bytes, stamp: int | None = None, secret: str | None = None) -> dict[str, str]:
    """Return the headers of a callback as the provider writes them."""
    stamp = int(time.time()) if stamp is None else stamp
    return {HEADER: signing.sign(secret or provider.webhook_secret(), stamp, raw)}


def post(client: Client, raw: bytes, headers: dict[str, str] | None = None) -> int:
    """Post a callback like a stranger; return the status."""
    sent = signed(raw) if headers is None else headers
    return client.post("/webhooks/demo", data=raw, headers=sent).status_code


def deliver(client: Client, events: Iterable[Sent] | None = None) -> int:
    """Post callbacks, all that wait by default; return how many."""
    posted = 0
    for event_id, body in outbox() if events is None else events:
        assert post(client, body.encode()) == 200
        provider.note_delivered(event_id)
        posted += 1
    return posted


def work() -> int:
    """Apply what is due, as the worker does; return how many callbacks are done with."""
    done = 0
    for _ in range(MOST_ROUNDS):
        with transaction():
            groups = drain.due_groups()
        applied = sum(drain.apply_group(group) for group in groups)
        if not applied:
            return done
        done += applied
    raise AssertionError("callbacks without end")


def settle(client: Client) -> None:
    """Deliver and apply until nothing is left."""
    for _ in range(MOST_ROUNDS):
        if not deliver(client) + work():
            db.session.rollback()
            return
    raise AssertionError("the provider tells news without end")


def renamed(body: str, event_id: str) -> bytes:
    """Return the same news under another id."""
    return json.dumps({**json.loads(body), "id": event_id}).encode()


def state_of(invoice_id: int) -> str:
    db.session.rollback()
    return str(db.session.scalar(select(Invoice.state).where(Invoice.id == invoice_id)))


def payments() -> list[Payment]:
    db.session.rollback()
    return list(db.session.scalars(select(Payment).order_by(Payment.id)))


def events() -> list[RailEvent]:
    db.session.rollback()
    return list(db.session.scalars(select(RailEvent).order_by(RailEvent.id)))


def postings() -> list[str]:
    """Return the keys of all that was booked, in order."""
    db.session.rollback()
    return list(db.session.scalars(select(LedgerPosting.key).order_by(LedgerPosting.id)))


def picture(invoice_id: int) -> tuple[object, ...]:
    """Return all that must be the same whatever order news came in."""
    db.session.rollback()
    tries = sorted(
        (one.state, one.amount, one.refunded, one.surplus, one.failure, tuple(one.notes))
        for one in db.session.scalars(select(Payment))
    )
    return state_of(invoice_id), tries, sorted(postings())
