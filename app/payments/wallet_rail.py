"""The wallet as a rail: nobody else is asked, so an invoice is paid in one transaction."""

from decimal import Decimal

from app.db import db, utc_now
from app.errors import Conflict
from app.events import publish
from app.payments import invoices
from app.payments.checkouts import own_invoice
from app.payments.events import PaymentSettled
from app.payments.models import Invoice, Payment
from app.payments.rules import PAYABLE, InvoiceState, PaymentState, Purpose
from app.payments.settling import income_lines, references
from app.wallet import service as wallet


def pay_invoice(user_id: int, invoice_id: int) -> bool:
    """Pay a person's own invoice from the wallet; tell whether it was done just now.

    Paid before: nothing happens. Raises Conflict, which says how much is missing.
    """
    invoice = own_invoice(user_id, invoice_id)
    if invoice.state == InvoiceState.PAID:
        return False
    if invoice.state not in PAYABLE:
        raise Conflict("invoice_not_open", state=invoice.state)
    if invoice.external_id is not None:
        raise Conflict("invoice_at_provider")
    payment = _row(invoice)
    _book(invoice, payment)
    invoices.pay(invoice, f"payment:{payment.id}")
    publish(PaymentSettled(payment.id, user_id, invoice.id, payment.purpose))
    return True


def _row(invoice: Invoice) -> Payment:
    now = utc_now()
    payment = Payment(
        user_id=invoice.user_id,
        invoice_id=invoice.id,
        purpose=Purpose.INVOICE.value,
        rail=wallet.WALLET,
        external_id=f"invoice:{invoice.id}",
        state=PaymentState.SUCCEEDED.value,
        amount=invoice.total,
        currency=invoice.currency,
        settled_at=now,
        mail_due_at=now,
    )
    db.session.add(payment)
    db.session.flush()
    return payment


def _book(invoice: Invoice, payment: Payment) -> None:
    lines = income_lines(invoice)
    if sum((line.amount for line in lines), invoice.tax) != invoice.total:
        # It would put money of the wallet into the wallet.
        raise Conflict("invoice_not_by_wallet")
    try:
        wallet.pay_from_wallet(
            f"payment:{payment.id}:settled",
            invoice.user_id,
            invoice.currency,
            lines,
            tax=invoice.tax,
            refs=references(payment),
        )
    except Conflict as error:
        if error.code != "insufficient_funds":
            raise
        available = Decimal(error.values["available"])
        raise Conflict(
            "wallet_short",
            missing=invoice.total - available,
            available=available,
            currency=invoice.currency,
        ) from None
