"""Invoices of plans over periods of time, and payments of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

from app.db import db, utc_now
from app.money import Money
from app.payments import invoices
from app.payments.models import Invoice, Payment, Refund
from app.payments.rules import Line, LineKind, NewInvoice
from app.transactions import transaction

_numbers = count(1)


@dataclass(frozen=True)
class Charge:
    """A line of an invoice for a period."""

    amount: str
    start: datetime | None
    end: datetime | None
    kind: LineKind = LineKind.PLAN
    subject: str = "plan:pro"
    text: str = "line"
    price_id: int | None = None


def at(text: str) -> datetime:
    """Return a moment of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def charge(
    amount: str,
    start: str,
    end: str,
    kind: LineKind = LineKind.PLAN,
    subject: str = "plan:pro",
) -> Charge:
    """Return a line for the time between two days."""
    return Charge(amount, at(start), at(end), kind, subject)


def bill(
    user_id: int,
    charges: Charge | Iterable[Charge],
    *,
    paid: bool = True,
    discount: str = "0",
    tax: str = "0",
    currency: str = "USD",
) -> int:
    """Issue an invoice, and note that it is paid."""
    lines = tuple(
        Line(one.kind, one.text, Money(Decimal(one.amount), currency), 1, one.subject, one.start,
             one.end, one.price_id)
        for one in ([charges] if isinstance(charges, Charge) else charges)
    )  # fmt: skip
    with transaction():
        new = NewInvoice(
            f"bill:{next(_numbers)}",
            user_id,
            lines,
            discount=Money(Decimal(discount), currency),
            tax=Money(Decimal(tax), currency),
        )
        invoice, _ = invoices.draft(new, "ordered")
        invoices.open_(invoice, "issued")
        if paid:
            invoices.pay(invoice, "paid")
        return invoice.id


def take_money(
    invoice_id: int, amount: str, *, fee: str = "0", rail: str = "demo", settled: str = ""
) -> int:
    """Note that a payment of an invoice has come."""
    with transaction():
        invoice = db.session.get_one(Invoice, invoice_id)
        payment = Payment(
            user_id=invoice.user_id,
            invoice_id=invoice_id,
            purpose="invoice",
            rail=rail,
            external_id=f"test{next(_numbers)}",
            state="succeeded",
            amount=Decimal(amount),
            currency=invoice.currency,
            fee=Decimal(fee),
            settled_at=at(settled) if settled else utc_now(),
        )
        db.session.add(payment)
        db.session.flush()
        return payment.id


def give_back(payment_id: int, amount: str, settled: str) -> None:
    """Note that money of a payment went back."""
    with transaction():
        db.session.add(
            Refund(
                key=f"test{next(_numbers)}",
                payment_id=payment_id,
                target="rail",
                state="succeeded",
                amount=Decimal(amount),
                currency="USD",
                reason="asked for",
                settled_at=at(settled),
            )
        )
