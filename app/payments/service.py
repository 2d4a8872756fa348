"""Verbs of staff and others: issue an invoice, take it back, give it up, give money back."""

from decimal import Decimal

from app.accounts import audit
from app.accounts.limits import Limit, spend
from app.accounts.models import User
from app.accounts.queries import find_user
from app.accounts.reasons import checked_reason
from app.errors import Conflict, NotFound
from app.formatting.filters import day, money
from app.i18n import written_for
from app.notifications.service import send_mail
from app.payments import invoices, refunds
from app.payments.models import Invoice
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

    Where nothing is to be paid it is paid at once. With `notify` its owner gets a mail.
    """
    check_issued(new.lines, add_up(new.lines, new.discount, new.tax))
    person = find_user(new.user_id)
    if person is None:
        raise NotFound("unknown_user")
    invoice, is_new = invoices.draft(new, cause, actor_id=actor_id)
    if not is_new:
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
    """Give money of a payment back, once for each key of the form; audited."""
    return refunds.ask(f"staff:{key}", payment_id, amount, target, actor_id, checked_reason(reason))


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
