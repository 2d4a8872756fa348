"""What follows inside this subject when an invoice is done with, or somebody's money moved."""

from sqlalchemy import select

from app.accounts.deletion.events import PersonErasing
from app.db import db
from app.events import on
from app.notifications.stream import hint
from app.payments import alerts, checkouts, disputes
from app.payments.events import (
    InvoiceClosed,
    InvoiceOpened,
    InvoicePaid,
    PaymentSettled,
    RefundFailed,
)
from app.payments.models import Checkout
from app.payments.rules import CheckoutState
from app.transactions import after_commit


@on(InvoiceOpened)
def tell_of_new_invoice(event: InvoiceOpened) -> None:
    """Let the owner's open pages read the invoice."""
    _tell(event.user_id, event.invoice_id)


@on(InvoicePaid)
def end_paid_invoice(event: InvoicePaid) -> None:
    """Take back the page on which an invoice could still be paid, and tell open pages."""
    _take_pages_back(event.invoice_id)
    _tell(event.user_id, event.invoice_id)


@on(InvoiceClosed)
def end_closed_invoice(event: InvoiceClosed) -> None:
    """Take back the page on which an invoice could still be paid, and tell open pages."""
    _take_pages_back(event.invoice_id)
    _tell(event.user_id, event.invoice_id)


@on(PaymentSettled)
def note_money_of_nobody(event: PaymentSettled) -> None:
    """Have a person look into money of somebody who is erased: a page was taken back too late."""
    alerts.note_erased_payer(event.payment_id)


@on(RefundFailed)
def freeze_what_came_back(event: RefundFailed) -> None:
    """Let nobody spend what a bank has taken, because a refund of it has failed."""
    disputes.follow_failed_refund(event.refund_id)


@on(PersonErasing)
def end_pages_of_leaver(event: PersonErasing) -> None:
    """Take back every page on which somebody who is erased could still pay.

    What they have paid in the minutes before that is for a person to give back.
    """
    query = select(Checkout).where(
        Checkout.user_id == event.user_id, Checkout.state == CheckoutState.OPEN.value
    )
    for checkout in db.session.scalars(query.with_for_update()):
        checkouts.replace(checkout)
    alerts.note_late_payments(event.user_id)


def _take_pages_back(invoice_id: int) -> None:
    query = select(Checkout).where(
        Checkout.invoice_id == invoice_id, Checkout.state == CheckoutState.OPEN.value
    )
    for checkout in db.session.scalars(query.with_for_update()):
        checkouts.replace(checkout)


def _tell(user_id: int, invoice_id: int) -> None:
    after_commit(lambda: hint(user_id, f"invoice:{invoice_id}"))
