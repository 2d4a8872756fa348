"""Verbs of staff and others: issue an invoice, take it back, give it up, give money back."""

from decimal import Decimal

from app.accounts import audit
from app.accounts.limits import Limit, spend
from app.accounts.models import User
from app.accounts.queries import find_user
from app.accounts.reasons import checked_reason
from app.db import db
from app.errors import Conflict, NotFound
from app.formatting.filters import day, money
from app.i18n import written_for
from app.notifications.service import send_mail
from app.payments import invoices, refunds
from app.payments.models import Invoice, Refund
from app.payments.rules import (
    PAYABLE,
    InvoiceState,
    NewInvoice,
    RefundTarget,
    add_up,
    check_issued,
)

# How often an invoice is mailed again.
AGAIN = Limit("invoice_mails", 1, 60)


def issue(
    new: NewInvoice,
    cause: str,
    *,
    actor_id: int | None = None,
    reason: str | None = None,
    notify: bool = False,
) -> Invoice:
    """Make an invoice and open it; the same key again returns the one that it made before.

    Where nothing is to be paid it is paid at once. With `notify` its owner gets a mail. Raises
    Conflict where staff have used the key for another one.
    """
    if actor_id is not None:
        reason = checked_reason(reason or "")
    check_issued(new.lines, add_up(new.lines, new.discount, new.tax))
    person = find_user(new.user_id)
    if person is None:
        raise NotFound("unknown_user", field="user_id")
    invoice, is_new = invoices.draft(new, cause, actor_id=actor_id)
    if not is_new:
        if actor_id is not None and not _is_of(invoice, new):
            raise Conflict("form_sent_before")
        return invoice
    invoices.open_(invoice, "issued", actor_id=actor_id)
    if not invoice.total:
        invoices.pay(invoice, "nothing_due")
    if actor_id is not None:
        _audit("invoice.issued", invoice, actor_id, reason)
    if notify and invoice.total:
        _tell(person, invoice)
    return invoice


def resend(actor_id: int, invoice_id: int, reason: str) -> None:
    """Mail an unpaid invoice of ours to its owner again, once a minute at most; audited."""
    reason = checked_reason(reason)
    invoice = _lock_own(invoice_id)
    if invoice.state not in PAYABLE:
        raise Conflict("invoice_not_open", state=invoice.state)
    person = find_user(invoice.user_id)
    if person is None:
        raise NotFound("unknown_user")
    spend(AGAIN, str(invoice.id))
    _tell(person, invoice)
    _audit("invoice.resent", invoice, actor_id, reason)


def void_invoice(actor_id: int, invoice_id: int, reason: str) -> None:
    """Take an invoice back before it is paid; audited. Again: nothing."""
    reason = checked_reason(reason)
    invoice = _lock_own(invoice_id)
    if invoice.state != InvoiceState.VOID:
        invoices.void(invoice, reason, actor_id=actor_id)
        _audit("invoice.voided", invoice, actor_id, reason)


def write_off(actor_id: int, invoice_id: int, reason: str) -> None:
    """Give an invoice up that nobody will pay; audited. Again: nothing."""
    reason = checked_reason(reason)
    invoice = _lock_own(invoice_id)
    if invoice.state != InvoiceState.UNCOLLECTIBLE:
        invoices.give_up(invoice, reason, actor_id=actor_id)
        _audit("invoice.written_off", invoice, actor_id, reason)


def refund(
    actor_id: int, key: str, payment_id: int, amount: Decimal, target: RefundTarget, reason: str
) -> int:
    """Give money of a payment back, once for each key of the form; audited.

    Raises Conflict where the key was used for another refund: this one is not made then.
    """
    refund_id = refunds.ask(
        f"staff:{key}", payment_id, amount, target, actor_id, checked_reason(reason)
    )
    made = db.session.get_one(Refund, refund_id)
    if (made.payment_id, made.amount, made.target) != (payment_id, amount, target.value):
        raise Conflict("form_sent_before")
    return refund_id


def _is_of(invoice: Invoice, new: NewInvoice) -> bool:
    """Tell whether an invoice is what a form asks for; the day until which is not compared."""
    lines = [(line.kind, line.description, line.amount) for line in invoice.lines]
    asked = [(line.kind.value, line.description.strip(), line.amount.amount) for line in new.lines]
    total = add_up(new.lines, new.discount, new.tax).total
    return (invoice.user_id, invoice.currency, lines) == (new.user_id, total.currency, asked)


def _lock_own(invoice_id: int) -> Invoice:
    """Return an invoice that we keep ourselves, under its lock."""
    invoice = invoices.lock(invoice_id)
    if invoice.external_id is not None:
        raise Conflict("invoice_at_provider")
    return invoice


def _tell(person: User, invoice: Invoice) -> None:
    with written_for(person):
        total = money(invoice.total, invoice.currency)
        due_at = day(invoice.due_at) if invoice.due_at else ""
    told = {"number": invoice.number, "total": total, "due_at": due_at}
    send_mail(person, "invoice_issued", invoice_id=invoice.id, **told)


def _audit(action: str, invoice: Invoice, actor_id: int, reason: str | None) -> None:
    audit.record(
        action,
        "invoice",
        invoice.id,
        actor_id=actor_id,
        after={
            "number": invoice.number,
            "state": invoice.state,
            "total": str(invoice.total),
            "currency": invoice.currency,
            "user": invoice.user_id,
        },
        reason=reason,
    )
