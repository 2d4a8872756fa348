"""Which money is asked for now, of whom and how, and when again if it does not come."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app.accounts import queries as people
from app.db import db, utc_now
from app.payments import customers, invoices
from app.payments.models import Invoice
from app.payments.rules import InvoiceState
from app.subscriptions.kept import rules, store
from app.subscriptions.kept.rules import InvoiceKind, Reason
from app.subscriptions.models import KeptState, KeptSubscription
from app.wallet import queries as wallet
from app.wallet.service import WALLET

BATCH = 200
# Why a wallet pays nothing, as it is noted with the try.
WALLET_SHORT = "wallet_short"
_CHARGED = (KeptState.TRIALING.value, KeptState.ACTIVE.value, KeptState.PAST_DUE.value)

# Asked again and again, so they are put together once.
_DUE = (
    select(Invoice.id, Invoice.key)
    .join(KeptSubscription, KeptSubscription.id == Invoice.kept_id)
    .where(
        Invoice.state == InvoiceState.OPEN.value,
        Invoice.next_attempt_at <= store.NOW,
        KeptSubscription.state.in_(_CHARGED),
    )
    .order_by(Invoice.next_attempt_at)
    .limit(BATCH)
)
_SHORT = (
    select(Invoice.id, Invoice.user_id, Invoice.total, Invoice.currency)
    .join(KeptSubscription, KeptSubscription.id == Invoice.kept_id)
    .where(
        Invoice.state == InvoiceState.OPEN.value,
        Invoice.due_at <= store.NOW,
        Invoice.failure == WALLET_SHORT,
        KeptSubscription.rail == WALLET,
        KeptSubscription.state.in_(_CHARGED),
    )
    .order_by(Invoice.due_at.desc())
    .limit(BATCH)
)


@dataclass(frozen=True, slots=True)
class Charge:
    """An invoice and who pays it; `is_saved` if the rail keeps something to pay by."""

    invoice_id: int
    id: int
    email: str
    language: str
    rail: str
    is_saved: bool


def due_invoices(now: datetime) -> list[int]:
    """Return invoices of running subscriptions whose money is to be asked for now."""
    rows = db.session.execute(_DUE, {"now": now})
    found = ((invoice_id, Reason.parse(key)) for invoice_id, key in rows)
    return [one for one, reason in found if reason and reason.kind is InvoiceKind.PERIOD]


def payable_again(now: datetime, user_id: int | None = None) -> list[int]:
    """Return overdue invoices that a wallet could not pay and now can; of one person or of all."""
    query = _SHORT if user_id is None else _SHORT.where(Invoice.user_id == user_id)
    return [
        number
        for number, owner, total, currency in db.session.execute(query, {"now": now})
        if wallet.available(owner, currency) >= total
    ]


def ask_again(invoice_id: int) -> None:
    """Let the money of an overdue invoice be asked for now, before the planned day."""
    invoice, now = invoices.lock(invoice_id), utc_now()
    waits = invoice.next_attempt_at is None or invoice.next_attempt_at > now
    if invoice.state == InvoiceState.OPEN and invoice.failure == WALLET_SHORT and waits:
        invoice.next_attempt_at = now


def charge_of(invoice_id: int, now: datetime) -> Charge | None:
    """Return who is to pay an invoice and how; None if nobody is, by now."""
    invoice = invoices.lock(invoice_id)
    reason = Reason.parse(invoice.key)
    is_due = invoice.next_attempt_at is not None and invoice.next_attempt_at <= now
    if invoice.state != InvoiceState.OPEN or reason is None or not is_due:
        return None
    kept = store.lock(reason.kept_id)
    if kept.state not in _CHARGED or not store.may_charge(kept.user_id):
        return None
    if store.is_missed(kept, now) or store.is_given_up(kept, now):
        # What nobody could have any more is not asked for.
        return None
    person = people.user_by_id(kept.user_id)
    saved = {method.rail for method in customers.saved_methods(kept.user_id)}
    return Charge(
        invoice_id=invoice_id,
        id=kept.user_id,
        email=person.email,
        language=person.language,
        rail=kept.rail,
        is_saved=kept.rail in saved,
    )


def plan_next_try(invoice_id: int, failure: str) -> None:
    """Note why a try came to nothing, if it was one, and when the next one is; again: nothing."""
    invoice, now = invoices.lock(invoice_id), utc_now()
    reason = Reason.parse(invoice.key)
    is_due = invoice.next_attempt_at is not None and invoice.next_attempt_at <= now
    if invoice.state != InvoiceState.OPEN or not is_due or invoice.due_at is None or reason is None:
        return
    ends = store.grace_end(store.lock(reason.kept_id))
    invoice.next_attempt_at = rules.next_try(invoice.due_at, now, ends)
    if failure:
        invoice.attempts += 1
        invoice.failure = failure
