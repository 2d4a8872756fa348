"""Mails that money has come or gone back: exactly one for each payment, and for each refund.

A refund that fails after its owner was told of it has a second one.

The row itself says that its mail is due (`mail_due_at`), written by the transaction that books the
money: so a callback costs nothing more, and one that comes again finds nothing to book. The words
are put together later, by the transaction that takes the mark away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from flask_babel import gettext as _
from sqlalchemy import select, update

from app.accounts.locks import lock_person
from app.accounts.models import User
from app.accounts.queries import is_gone, user_by_id
from app.db import db, utc_now
from app.formatting.filters import day, money
from app.i18n import written_for
from app.money import Money
from app.notifications.service import send_mail
from app.payments import queries
from app.payments.models import CreditNote, Invoice, Payment, Refund
from app.payments.queries import LineView
from app.payments.rules import PAYABLE, PaymentState, RefundTarget
from app.payments.settling import income_lines
from app.payments.texts import NOTES, discount_words, rail_label

BATCH = 200
# So long a mail waits that could not be written, for whatever fault of ours.
AGAIN_AFTER = timedelta(hours=1)
WALLET_PAGE = "/wallet"

Told = TypeVar("Told", Payment, Refund)


@dataclass(frozen=True, slots=True)
class Due:
    """A payment or a refund whose owner is to get a mail."""

    model: type[Payment | Refund]
    id: int


@dataclass(frozen=True, slots=True)
class NextCharge:
    """What is asked for next, and when."""

    money: Money
    at: datetime


@dataclass(frozen=True, slots=True)
class Bought:
    """A line of an invoice in words; `period` is empty where it is for none."""

    what: str
    amount: str
    period: str


def _nothing(_invoice: Invoice) -> NextCharge | None:
    return None


class _Registered:
    """The function that knows subscriptions, once a subject above this one has given it."""

    next_charge: Callable[[Invoice], NextCharge | None] = staticmethod(_nothing)


def name_next_charge_with(next_charge: Callable[[Invoice], NextCharge | None]) -> None:
    """Register the function that says what follows the period of an invoice."""
    _Registered.next_charge = staticmethod(next_charge)


def due(now: datetime) -> list[Due]:
    """Return the mails that nobody has written yet, the oldest first of each kind."""
    return [Due(model, row_id) for model in (Payment, Refund) for row_id in _due(model, now)]


def tell(one: Due) -> None:
    """Write a mail; again, and to somebody who is erased: nothing."""
    if one.model is Payment:
        _tell_of_payment(one.id)
    else:
        _tell_of_refund(one.id)


def put_off(one: Due) -> None:
    """Try a mail again later, so that a fault of ours does not come back each time."""
    later = update(one.model).where(one.model.id == one.id, one.model.mail_due_at.is_not(None))
    db.session.execute(later.values(mail_due_at=utc_now() + AGAIN_AFTER))


def _due(model: type[Payment | Refund], now: datetime) -> list[int]:
    query = select(model.id).where(model.mail_due_at <= now).order_by(model.mail_due_at)
    return list(db.session.scalars(query.limit(BATCH)))


def _tell_of_payment(payment_id: int) -> None:
    owner = db.session.scalar(select(Payment.user_id).where(Payment.id == payment_id))
    payment = _take(Payment, payment_id, owner)
    if payment is None or not payment.amount or is_gone(payment.user_id):
        return
    person = user_by_id(payment.user_id)
    send_mail(person, "payment_received", **_words_of_payment(person, payment))


def _tell_of_refund(refund_id: int) -> None:
    owner = db.session.scalar(
        select(Payment.user_id)
        .join(Refund, Refund.payment_id == Payment.id)
        .where(Refund.id == refund_id)
    )
    refund = _take(Refund, refund_id, owner)
    if refund is None:
        return
    payment = db.session.get_one(Payment, refund.payment_id)
    if not is_gone(payment.user_id):
        person = user_by_id(payment.user_id)
        # One that comes to nothing before it is told has no mark; with one it was told before.
        template = "refund_failed" if refund.state == PaymentState.FAILED else "refund_made"
        send_mail(person, template, **_words_of_refund(person, payment, refund))


def _take(model: type[Told], row_id: int, owner: int | None) -> Told | None:
    """Take the mark of a row away, under the lock of its owner; None if somebody was faster."""
    if owner is None:
        return None
    lock_person(owner)
    query = select(model).where(model.id == row_id, model.mail_due_at.is_not(None))
    found = db.session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if found is not None:
        found.mail_due_at = None
    return found


def _words_of_payment(person: User, payment: Payment) -> dict[str, Any]:
    invoice = db.session.get(Invoice, payment.invoice_id) if payment.invoice_id else None
    # What fills the wallet settles nothing else, and what settled nothing fills the wallet.
    is_top_up = invoice is None or not income_lines(invoice)
    is_stray = not is_top_up and payment.surplus == payment.amount
    with written_for(person):
        in_wallet = money(payment.surplus, payment.currency) if payment.surplus else ""
        values = {
            "amount": money(payment.amount, payment.currency),
            "way": _way(payment),
            "day": day(payment.settled_at or utc_now()),
            "notes": [str(NOTES[note]) for note in payment.notes],
            "in_wallet": "" if is_top_up else in_wallet,
            "is_open": invoice is not None and invoice.state in PAYABLE,
            "bought": [] if invoice is None or is_stray else _bought(invoice),
            "next_charge": "" if invoice is None or is_stray else _next_charge(invoice, payment),
        }
    return {**values, **_place(invoice)}


def _words_of_refund(person: User, payment: Payment, refund: Refund) -> dict[str, Any]:
    invoice = db.session.get(Invoice, payment.invoice_id) if payment.invoice_id else None
    note = select(CreditNote.number).where(CreditNote.refund_id == refund.id)
    is_to_wallet = refund.target == RefundTarget.WALLET
    with written_for(person):
        from_wallet = money(refund.from_wallet, refund.currency) if refund.from_wallet else ""
        values = {
            "amount": money(refund.amount, refund.currency),
            "paid": money(payment.amount, payment.currency),
            "is_part": refund.amount < payment.amount,
            "is_to_wallet": is_to_wallet,
            "way": rail_label(RefundTarget.WALLET.value) if is_to_wallet else _way(payment),
            "day": day(refund.settled_at or utc_now()),
            "from_wallet": from_wallet,
            "credit_note": db.session.scalar(note) or "",
        }
    return {**values, **_place(invoice)}


def _place(invoice: Invoice | None) -> dict[str, str]:
    """Return the number of an invoice and the path of its page; else that of the wallet."""
    if invoice is None or invoice.number is None:
        return {"number": "", "path": WALLET_PAGE}
    return {"number": invoice.number, "path": f"/invoices/{invoice.id}"}


def _way(payment: Payment) -> str:
    label = rail_label(payment.rail)
    return f"{label}, {payment.method}" if payment.method else label


def _bought(invoice: Invoice) -> list[Bought]:
    """Return what stands on an invoice, with what lowers or raises the sum of its lines."""
    rows = [_line(queries.line_view(invoice, line), invoice.currency) for line in invoice.lines]
    if invoice.discount:
        off = money(-invoice.discount, invoice.currency)
        rows.append(Bought(discount_words(invoice.discount_name), off, ""))
    if invoice.tax:
        rows.append(Bought(_("Tax"), money(invoice.tax, invoice.currency), ""))
    return rows


def _line(line: LineView, currency: str) -> Bought:
    # How many there are of it stands in its words.
    start, end = line.period_start, line.period_end
    period = f"{day(start)} – {day(end)}" if start and end else ""
    return Bought(line.description, money(line.amount, currency), period)


def _next_charge(invoice: Invoice, payment: Payment) -> str:
    coming = None if payment.refunded == payment.amount else _Registered.next_charge(invoice)
    if coming is None:
        return ""
    return f"{money(coming.money.amount, coming.money.currency)}, {day(coming.at)}"
