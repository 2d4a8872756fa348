"""The provider itself: pages, payments, refunds and disputes, each change with its callback.

Every verb is a transaction of its own on a connection of its own, as a stranger's would be: what
we roll back on our side stays done here.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.config import current_config
from app.db import db, utc_now
from app.errors import Conflict, NotFound
from app.money import CENT, Money
from app.payments.demo.cards import REFUND_FAILS, Card, Outcome
from app.payments.demo.models import DemoEvent, DemoObject
from app.queues import QueueName, enqueue_once

API_VERSION = "2026-11-01"
PAGE_LIVES = timedelta(hours=24)
CARD_PAGE = "card_page"
CARD_PAGE_LIVES = timedelta(hours=1)
DELIVER_JOB = "app.payments.demo.jobs.deliver_events"
DISPUTE_FEE = Decimal(15)
_PERCENT, _FIXED = Decimal("0.029"), Decimal("0.30")
_objects = cast(Table, DemoObject.__table__)
_events = cast(Table, DemoEvent.__table__)

Data = Mapping[str, Any]


def webhook_secret() -> str:
    """Return what callbacks are signed with: known to both sides and to nobody else."""
    return _derived("callbacks")


def create_checkout(key: str, details: Data) -> Data:
    """Make a page to pay on; the same key again returns the same page."""
    page_id = f"dco_{_derived(f'checkout {key}')[:40]}"
    expires = utc_now() + PAGE_LIVES
    with db.engine.begin() as connection:
        customer = details.get("customer") or _new_customer(connection, details)
        data = {
            **details,
            "state": "open",
            "customer": customer,
            "expires_at": int(expires.timestamp()),
        }
        _insert(connection, page_id, "checkout", "", data)
        return _get(connection, "checkout", page_id)


def find(kind: str, object_id: str) -> Data | None:
    """Return an object, with the ids of the payments of a page; None if there is none."""
    if kind == "checkout":
        _expire(object_id)
    with db.engine.connect() as connection:
        row = _row(connection, kind, object_id)
        if row is None:
            return None
        if kind == "customer" and row.get("card"):
            card = Card(row["card"], Outcome(row["outcome"]))
            return {**row, "method": card.label, "method_ref": _name_of(card)}
        if kind != "checkout":
            return row
        paid = select(_objects.c.id).where(
            _objects.c.kind == "payment", _objects.c.parent == object_id
        )
        ids = list(connection.scalars(paid.order_by(_objects.c.created_at)))
        return {**row, "payments": ids}


def close_checkout(page_id: str) -> None:
    """Take a page back, if it is still open."""
    with db.engine.begin() as connection:
        page = _get(connection, "checkout", page_id, lock=True)
        if page["state"] == "open":
            _end_unpaid(connection, page)
    _request_delivery()


def _expire(page_id: str) -> None:
    """End a page whose time is over, when somebody looks at it."""
    with db.engine.begin() as connection:
        page = _row(connection, "checkout", page_id, lock=True)
        if page is None or page["state"] != "open" or _lasts(page):
            return
        _end_unpaid(connection, page)
    _request_delivery()


def _end_unpaid(connection: Connection, page: Data) -> None:
    _change(connection, page, state="expired")
    _abandon_tries(connection, page)
    _emit(connection, "checkout.expired", page, ("checkout", str(page["id"])))


def _abandon_tries(connection: Connection, page: Data) -> None:
    """Cancel what the bank of the payer was asked about and nobody answered."""
    tries = select(_objects).where(
        _objects.c.kind == "payment",
        _objects.c.parent == page["id"],
        _objects.c.data["state"].astext == "pending",
    )
    for row in connection.execute(tries.with_for_update()).mappings().all():
        left = _change(connection, _plain(row), state="canceled", failure="canceled")
        _emit(connection, "payment.canceled", left, ("payment", str(left["id"])))


def pay(page_id: str, card: Card) -> Data:
    """Charge a card on a page; return the payment."""
    with db.engine.begin() as connection:
        page = _open_page(connection, page_id)
        payment = _charge(connection, page, card, page_id)
        if payment["state"] == "succeeded":
            _complete(connection, page, card)
    _request_delivery()
    return payment


def create_card_page(details: Data) -> Data:
    """Make a page on which a customer says by which card they pay from now on."""
    page_id = f"dcp_{secrets.token_hex(20)}"
    with db.engine.begin() as connection:
        customer = details.get("customer") or _new_customer(connection, details)
        expires = _seconds(utc_now() + CARD_PAGE_LIVES)
        data = {**details, "state": "open", "customer": customer, "expires_at": expires}
        _insert(connection, page_id, CARD_PAGE, "", data)
        return _get(connection, CARD_PAGE, page_id)


def keep_card(page_id: str, card: Card) -> None:
    """Keep a card for later payments; raise Conflict with the reason if its bank says no."""
    with db.engine.begin() as connection:
        page = _open_page(connection, page_id, CARD_PAGE)
        if card.outcome in {Outcome.DECLINED, Outcome.NO_FUNDS}:
            raise Conflict(card.outcome.value)
        customer = _get(connection, "customer", page["customer"], lock=True)
        _change(connection, customer, card=card.number, outcome=card.outcome.value)
        _change(connection, page, state="completed")
        _emit(connection, "customer.updated", page, ("customer", page["customer"]))
    _request_delivery()


def confirm(payment_id: str, agreed: bool) -> Data:
    """End the question of the payer's bank: the payment goes through, or not."""
    with db.engine.begin() as connection:
        payment = _get(connection, "payment", payment_id, lock=True)
        if payment["state"] != "pending":
            return payment
        page = _open_page(connection, payment["parent"])
        card = Card(payment["card"], Outcome.CONFIRMS)
        if agreed:
            payment = _succeed(connection, payment, page)
            _complete(connection, page, card)
        else:
            payment = _fail(connection, payment, page, "authentication_failed")
    _request_delivery()
    return payment


def charge_customer(key: str, details: Data) -> Data:
    """Charge what was kept of a customer, without a page; the same key charges once."""
    payment_id = f"dpy_{_derived(f'charge {key}')[:24]}"
    with db.engine.begin() as connection:
        customer = _row(connection, "customer", str(details["customer"]))
        if customer is None or not customer.get("card"):
            raise Conflict("no_saved_method")
        known = _row(connection, "payment", payment_id)
        if known is not None:
            return known
        card = Card(customer["card"], Outcome(customer["outcome"]))
        if _name_of(card) in details.get("not_by", ()):
            raise Conflict("no_saved_method")
        payment = _charge(connection, {**details, "id": ""}, card, "", payment_id)
    _request_delivery()
    return payment


def refund(key: str, payment_id: str, amount: Decimal) -> Data:
    """Give back a part of a payment; the same key gives back once."""
    refund_id = f"dre_{_derived(f'refund {key}')[:24]}"
    with db.engine.begin() as connection:
        payment = _get(connection, "payment", payment_id, lock=True)
        known = _row(connection, "refund", refund_id)
        if known is not None:
            return known
        left = Decimal(payment["amount"]) - Decimal(payment.get("refunded", "0"))
        if payment["state"] != "succeeded" or amount > left:
            raise Conflict("refund_refused")
        given = Decimal(payment.get("refunded", "0")) + amount
        fails = payment["card"] == REFUND_FAILS
        if not fails:
            _change(connection, payment, refunded=str(given))
        data = {
            "payment": payment_id,
            "state": "failed" if fails else "succeeded",
            "failure": "expired_or_canceled_card" if fails else None,
            "amount": str(amount),
            "currency": payment["currency"],
            "customer": payment["customer"],
            "key": key,
        }
        _insert(connection, refund_id, "refund", payment_id, data)
        made = _get(connection, "refund", refund_id)
        _emit(connection, f"refund.{made['state']}", made, ("refund", refund_id))
    _request_delivery()
    return made


def close_dispute(dispute_id: str, won: bool) -> None:
    """Let the bank decide about a dispute; what is decided stays."""
    with db.engine.begin() as connection:
        dispute = _get(connection, "dispute", dispute_id, lock=True)
        if dispute["state"] == "open":
            _change(connection, dispute, state="won" if won else "lost")
            _emit(connection, "dispute.closed", dispute, ("dispute", dispute_id))
    _request_delivery()


def newest(kind: str, limit: int = 50) -> list[Data]:
    """Return the newest objects of a kind."""
    query = select(_objects).where(_objects.c.kind == kind).order_by(_objects.c.created_at.desc())
    with db.engine.connect() as connection:
        return [_plain(row) for row in connection.execute(query.limit(limit)).mappings()]


def listed(kind: str, since: datetime, after: str | None, limit: int = 100) -> list[Data]:
    """Return objects of a kind made since a moment, in the order of their ids."""
    query = (
        select(_objects)
        .where(_objects.c.kind == kind, _objects.c.created_at >= since)
        .order_by(_objects.c.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(_objects.c.id > after)
    with db.engine.connect() as connection:
        return [_plain(row) for row in connection.execute(query).mappings()]


def due_events(limit: int = 50) -> list[tuple[str, str]]:
    """Return callbacks (id, body) to be delivered now; each waits a while for its next try."""
    with db.engine.begin() as connection:
        query = (
            select(_events.c.id, _events.c.body, _events.c.attempts)
            .where(_events.c.delivered_at.is_(None), _events.c.due_at <= func.now())
            .order_by(_events.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = list(connection.execute(query))
        for event_id, _body, attempts in rows:
            pause = timedelta(seconds=min(15 * 2 ** min(attempts, 10), 3600))
            connection.execute(
                update(_events)
                .where(_events.c.id == event_id)
                .values(attempts=attempts + 1, due_at=utc_now() + pause)
            )
    return [(event_id, body) for event_id, body, _attempts in rows]


def note_delivered(event_id: str) -> None:
    """Note that a callback was taken."""
    with db.engine.begin() as connection:
        connection.execute(
            update(_events).where(_events.c.id == event_id).values(delivered_at=utc_now())
        )


def _charge(
    connection: Connection, page: Data, card: Card, page_id: str, payment_id: str | None = None
) -> Data:
    payment_id = payment_id or f"dpy_{secrets.token_hex(12)}"
    data = {
        "state": "pending",
        "amount": page["amount"],
        "currency": page["currency"],
        "reference": page["reference"],
        "customer": page["customer"],
        "card": card.number,
        "method": card.label,
        "method_ref": _name_of(card),
    }
    _insert(connection, payment_id, "payment", page_id, data)
    payment = _get(connection, "payment", payment_id)
    if card.outcome in {Outcome.DECLINED, Outcome.NO_FUNDS}:
        return _fail(connection, payment, page, card.outcome.value)
    if card.outcome is Outcome.CONFIRMS and page_id:
        _emit(connection, "payment.confirmation_needed", payment, ("payment", payment_id))
        return payment
    payment = _succeed(connection, payment, page)
    if card.outcome is Outcome.DISPUTED:
        _open_dispute(connection, payment)
    return payment


def _succeed(connection: Connection, payment: Data, page: Data) -> Data:
    amount = Decimal(payment["amount"])
    fee = min(Money(amount * _PERCENT + _FIXED, payment["currency"]).rounded().amount, amount)
    paid = _change(connection, payment, state="succeeded", fee=str(fee.quantize(CENT)))
    _emit(connection, "payment.succeeded", paid, *_about(paid, page))
    return paid


def _fail(connection: Connection, payment: Data, page: Data, code: str) -> Data:
    failed = _change(connection, payment, state="failed", failure=code)
    _emit(connection, "payment.failed", failed, *_about(failed, page))
    return failed


def _about(payment: Data, page: Data) -> tuple[tuple[str, str], ...]:
    payment_ref = ("payment", str(payment["id"]))
    return (("checkout", str(page["id"])), payment_ref) if page["id"] else (payment_ref,)


def _complete(connection: Connection, page: Data, card: Card) -> None:
    _change(connection, page, state="completed")
    _abandon_tries(connection, page)
    if page.get("save"):
        customer = _get(connection, "customer", page["customer"], lock=True)
        _change(connection, customer, card=card.number, outcome=card.outcome.value)
    _emit(connection, "checkout.completed", page, ("checkout", str(page["id"])))


def _open_dispute(connection: Connection, payment: Data) -> None:
    dispute_id = f"ddp_{secrets.token_hex(12)}"
    data = {
        "payment": payment["id"],
        "state": "open",
        "amount": payment["amount"],
        "currency": payment["currency"],
        "customer": payment["customer"],
        "fee": str(DISPUTE_FEE),
    }
    _insert(connection, dispute_id, "dispute", str(payment["id"]), data)
    dispute = _get(connection, "dispute", dispute_id)
    _emit(connection, "dispute.created", dispute, ("dispute", dispute_id))


def _open_page(connection: Connection, page_id: str, kind: str = "checkout") -> Data:
    page = _get(connection, kind, page_id, lock=True)
    if page["state"] != "open" or not _lasts(page):
        raise Conflict("demo_page_closed")
    return page


def _lasts(page: Data) -> bool:
    return bool(page["expires_at"] >= utc_now().timestamp())


def _new_customer(connection: Connection, details: Data) -> str:
    word = f"customer {details['user']}"
    customer_id = f"dcu_{_derived(word)[:24]}"
    data = {"email": details["email"], "user": details["user"]}
    _insert(connection, customer_id, "customer", "", data)
    return customer_id


def _insert(connection: Connection, object_id: str, kind: str, parent: str, data: Data) -> None:
    statement = insert(_objects).values(id=object_id, kind=kind, parent=parent, data=dict(data))
    connection.execute(statement.on_conflict_do_nothing())


def _change(connection: Connection, found: Data, **values: Any) -> Data:
    outside = {"id", "kind", "parent", "created_at"}
    data = {name: value for name, value in found.items() if name not in outside} | values
    connection.execute(update(_objects).where(_objects.c.id == found["id"]).values(data=data))
    return {**found, **values}


def _get(connection: Connection, kind: str, object_id: str, *, lock: bool = False) -> Data:
    found = _row(connection, kind, object_id, lock=lock)
    if found is None:
        raise NotFound("unknown_demo_object")
    return found


def _row(connection: Connection, kind: str, object_id: str, *, lock: bool = False) -> Data | None:
    query = select(_objects).where(_objects.c.id == object_id, _objects.c.kind == kind)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return _plain(row) if row is not None else None


def _plain(row: Mapping[Any, Any]) -> Data:
    return {
        **row["data"],
        "id": row["id"],
        "kind": row["kind"],
        "parent": row["parent"],
        "created_at": row["created_at"],
    }


def _emit(connection: Connection, kind: str, about: Data, *refs: tuple[str, str]) -> None:
    event_id = f"dev_{secrets.token_hex(12)}"
    body = {
        "id": event_id,
        "object": "event",
        "type": kind,
        "api_version": API_VERSION,
        "created": _seconds(utc_now()),
        "livemode": current_config().is_production,
        "group": str(about.get("customer") or about["id"]),
        "data": {"objects": [{"object": what, "id": name} for what, name in refs]},
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    connection.execute(insert(_events).values(id=event_id, body=text))


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _derived(word: str) -> str:
    key = f"demo rail {current_config().secret_key}".encode()
    return hmac.new(key, word.encode(), hashlib.sha256).hexdigest()


def _name_of(card: Card) -> str:
    """Return our name of a card, from which nobody finds its number."""
    return f"dcd_{_derived(f'card {card.number}')[:24]}"


def _request_delivery() -> None:
    enqueue_once(QueueName.PAYMENTS, DELIVER_JOB, key="deliver-demo-events", slot_seconds=1)
