"""Reads for pages: invoices as people see them, their payments, and how callbacks stand."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from sqlalchemy import func, select

from app.adapters.payments import rail_named, rails
from app.adapters.payments.demo import NAME as DEMO
from app.adapters.payments.keeping import CardRail
from app.db import Base, db, utc_now
from app.errors import NotFound
from app.listing.waiting import Waiting
from app.payments import customers, refunds
from app.payments.customers import SavedMethod
from app.payments.models import (
    Checkout,
    CreditNote,
    Dispute,
    Invoice,
    InvoiceEvent,
    InvoiceLine,
    Payment,
    PaymentAlert,
    RailEvent,
    Refund,
)
from app.payments.rules import (
    PAYABLE,
    UNDECIDED,
    AlertState,
    EventState,
    InvoiceState,
    PaymentState,
    RefundTarget,
    shown_state,
)
from app.settings import queries as settings
from app.settings.rules import RAIL_SWITCHES

LISTED = 200
LARGEST_ID = 2**63 - 1
R = TypeVar("R", bound=Base)
P = TypeVar("P", Dispute, PaymentAlert)


@dataclass(frozen=True, slots=True)
class InvoiceCard:
    """An invoice in a list; `state` is the one that people read, see `shown_state`."""

    id: int
    number: str | None
    state: str
    total: Decimal
    currency: str
    refunded: Decimal
    created_at: datetime
    due_at: datetime | None
    user_id: int


@dataclass(frozen=True, slots=True)
class RefundView:
    """Money given back, with the id and number of its credit note."""

    id: int
    target: str
    state: str
    amount: Decimal
    currency: str
    reason: str
    failure: str | None
    created_at: datetime
    credit_note_id: int | None
    credit_note: str | None


@dataclass(frozen=True, slots=True)
class CreditView:
    """A credit note whose refund holds; `tax` is what of its amount is tax."""

    id: int
    number: str
    amount: Decimal
    tax: Decimal
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentView:
    """A try to pay, and what may still be given back of it."""

    id: int
    rail: str
    external_id: str
    state: str
    amount: Decimal
    currency: str
    fee: Decimal
    surplus: Decimal
    method: str
    failure: str | None
    notes: tuple[str, ...]
    created_at: datetime
    settled_at: datetime | None
    to_rail: Decimal
    to_wallet: Decimal
    refunds: tuple[RefundView, ...]
    # For staff only.
    disputes: tuple[Dispute, ...]
    alerts: tuple[PaymentAlert, ...]


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """A payment and the invoice that it was for."""

    payment: PaymentView
    invoice_id: int | None


@dataclass(frozen=True, slots=True)
class LineView:
    """A line of an invoice, for the period that it gives."""

    kind: str
    description: str
    quantity: int
    amount: Decimal
    period_start: datetime | None
    period_end: datetime | None
    price_id: int | None


@dataclass(frozen=True, slots=True)
class InvoicePage:
    """All that stands on the page of an invoice."""

    card: InvoiceCard
    lines: tuple[LineView, ...]
    events: tuple[InvoiceEvent, ...]
    payments: tuple[PaymentView, ...]
    credits: tuple[CreditView, ...]
    subtotal: Decimal
    discount: Decimal
    discount_name: str
    tax: Decimal
    opened_at: datetime | None
    paid_at: datetime | None
    # Why the last try failed; nothing while another one is under way.
    failure: str | None
    is_under_way: bool
    is_payable: bool
    rail: str
    external_id: str | None
    # Where one that its provider keeps is paid; nothing else can be done with it here.
    pay_url: str | None


@dataclass(frozen=True, slots=True)
class CheckoutView:
    """A page of a rail that somebody came back from."""

    id: int
    state: str
    purpose: str
    invoice_id: int | None
    rail: str
    url: str | None
    amount: Decimal
    currency: str
    paid: bool
    failure: str | None


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many callbacks of a rail are in a state."""

    rail: str
    state: str
    count: int


def offered_rails() -> tuple[str, ...]:
    """Return the rails that are set up and that staff have not switched off."""
    return tuple(name for name in rails() if _is_on(name))


def card_rails() -> tuple[str, ...]:
    """Return the rails that keep another card without a payment."""
    return tuple(name for name in offered_rails() if isinstance(rail_named(name), CardRail))


def list_invoices(user_id: int) -> tuple[InvoiceCard, ...]:
    """Return a person's own invoices, the newest first; drafts are nobody's business."""
    query = (
        select(Invoice)
        .where(Invoice.user_id == user_id, Invoice.number.is_not(None))
        .order_by(Invoice.id.desc())
        .limit(LISTED)
    )
    rows = db.session.scalars(query).all()
    given = _given_back(row.id for row in rows)
    return tuple(_card(row, given.get(row.id, Decimal(0))) for row in rows)


def own_invoice(user_id: int, invoice_id: int) -> InvoicePage:
    """Return a person's own issued invoice; raise NotFound for any other."""
    row = _row(Invoice, invoice_id)
    if row is None or row.user_id != user_id or row.number is None:
        raise NotFound("unknown_invoice")
    return _page(row)


def own_credit(user_id: int, note_id: int) -> tuple[InvoicePage, CreditView]:
    """Return a credit note of an own invoice, and that; raise NotFound for any other.

    One whose refund came to nothing counts for nothing.
    """
    row = _row(CreditNote, note_id)
    if row is None:
        raise NotFound("unknown_credit_note")
    invoice = own_invoice(user_id, row.invoice_id)
    for credit in invoice.credits:
        if credit.id == note_id:
            return invoice, credit
    raise NotFound("unknown_credit_note")


def any_invoice(invoice_id: int) -> InvoicePage:
    """Return an invoice for staff; raise NotFound."""
    row = _row(Invoice, invoice_id)
    if row is None:
        raise NotFound("unknown_invoice")
    return _page(row)


def any_payment(payment_id: int) -> PaymentPage:
    """Return a payment for staff; raise NotFound."""
    row = _row(Payment, payment_id)
    if row is None:
        raise NotFound("unknown_payment")
    return PaymentPage(_payment(row), row.invoice_id)


def demo_dispute(dispute_id: int) -> str:
    """Return the id of a dispute at the provider of the demonstration; raise NotFound."""
    row = _row(Dispute, dispute_id)
    if row is None or row.rail != DEMO:
        raise NotFound("unknown_demo_object")
    return row.external_id


def own_checkout(user_id: int, checkout_id: int) -> CheckoutView:
    """Return how a page stands that somebody was led to; raise NotFound for one of others."""
    row = _row(Checkout, checkout_id)
    if row is None or row.user_id != user_id:
        raise NotFound("unknown_checkout")
    tries = db.session.scalars(
        select(Payment).where(Payment.checkout_id == row.id).order_by(Payment.id)
    ).all()
    return CheckoutView(
        id=row.id,
        state=row.state,
        purpose=row.purpose,
        invoice_id=row.invoice_id,
        rail=row.rail,
        url=row.url,
        amount=row.amount,
        currency=row.currency,
        paid=any(one.state == PaymentState.SUCCEEDED for one in tries) or _has_begun(row),
        failure=tries[-1].failure if tries else row.failure,
    )


def _has_begun(row: Checkout) -> bool:
    """Tell whether a subscription that began on a page is settled for its first time."""
    if row.subscription_ref is None:
        return False
    settled = select(Invoice.id).where(
        Invoice.user_id == row.user_id,
        Invoice.rail == row.rail,
        Invoice.subscription_ref == row.subscription_ref,
        Invoice.state == InvoiceState.PAID.value,
    )
    return db.session.scalar(settled.limit(1)) is not None


def line_view(invoice: Invoice, line: InvoiceLine) -> LineView:
    """Return a line of an invoice for the period that its money has bought."""
    return LineView(
        kind=line.kind,
        description=line.description,
        quantity=line.quantity,
        amount=line.amount,
        period_start=invoice.given_from or line.period_start,
        period_end=invoice.given_until or line.period_end,
        price_id=line.price_id,
    )


def saved_methods(user_id: int) -> tuple[SavedMethod, ...]:
    """Return what a person can pay with again, at rails that are offered."""
    offered = offered_rails()
    return tuple(one for one in customers.saved_methods(user_id) if one.rail in offered)


def dead_events() -> Waiting:
    """Return how many callbacks nobody tries to apply any more, and when the oldest came."""
    count, oldest = db.session.execute(
        select(func.count(), func.min(RailEvent.received_at)).where(
            RailEvent.state == EventState.DEAD.value
        )
    ).one()
    return Waiting(count, oldest)


def to_look_into() -> Waiting:
    """Return how many payments a person has to look into."""
    count, oldest = db.session.execute(
        select(func.count(), func.min(PaymentAlert.created_at)).where(
            PaymentAlert.state == AlertState.OPEN.value
        )
    ).one()
    return Waiting(count, oldest)


def undecided() -> Waiting:
    """Return how many disputes and inquiries wait for an answer or a decision."""
    count, oldest = db.session.execute(
        select(func.count(), func.min(Dispute.created_at)).where(Dispute.state.in_(UNDECIDED))
    ).one()
    return Waiting(count, oldest)


def event_counts() -> tuple[EventCount, ...]:
    """Count callbacks by rail and state."""
    query = select(RailEvent.rail, RailEvent.state, func.count()).group_by(
        RailEvent.rail, RailEvent.state
    )
    return tuple(EventCount(*row) for row in db.session.execute(query))


def oldest_waiting() -> datetime | None:
    """Return since when the oldest callback waits to be applied."""
    return db.session.scalar(
        select(func.min(RailEvent.received_at)).where(
            RailEvent.state.in_((EventState.RECEIVED.value, EventState.FAILED.value))
        )
    )


def _row(model: type[R], row_id: int) -> R | None:
    """Return a row; a number that none can have has none."""
    return db.session.get(model, row_id) if 0 < row_id <= LARGEST_ID else None


def _is_on(rail: str) -> bool:
    switch = RAIL_SWITCHES.get(rail)
    return switch is None or settings.is_on(switch)


def _card(row: Invoice, given_back: Decimal, *, is_under_way: bool = False) -> InvoiceCard:
    failed = row.failure is not None and not is_under_way
    return InvoiceCard(
        id=row.id,
        number=row.number,
        state=shown_state(row.state, row.total, given_back, row.due_at, utc_now(), failed=failed),
        total=row.total,
        currency=row.currency,
        refunded=given_back,
        created_at=row.created_at,
        due_at=row.due_at,
        user_id=row.user_id,
    )


def _page(row: Invoice) -> InvoicePage:
    payments = _payments(row.id)
    is_under_way = row.state in PAYABLE and any(
        one.state == PaymentState.PENDING for one in payments[-1:]
    )
    given_back = _given_back([row.id]).get(row.id, Decimal(0))
    return InvoicePage(
        card=_card(row, given_back, is_under_way=is_under_way),
        lines=tuple(line_view(row, line) for line in row.lines),
        events=tuple(row.events),
        payments=payments,
        credits=_credits(row.id),
        subtotal=row.subtotal,
        discount=row.discount,
        discount_name=row.discount_name,
        tax=row.tax,
        opened_at=row.opened_at,
        paid_at=row.paid_at,
        failure=row.failure if row.state == InvoiceState.OPEN and not is_under_way else None,
        is_under_way=is_under_way,
        is_payable=row.state in PAYABLE and row.external_id is None,
        rail=row.rail,
        external_id=row.external_id,
        pay_url=row.pay_url if row.state in PAYABLE else None,
    )


def _given_back(ids: Iterable[int]) -> dict[int, Decimal]:
    """Return what was given back of invoices, by the credit notes whose refunds hold."""
    query = (
        select(CreditNote.invoice_id, func.sum(CreditNote.amount))
        .join(Refund, Refund.id == CreditNote.refund_id)
        .where(CreditNote.invoice_id.in_(list(ids)), Refund.state == PaymentState.SUCCEEDED.value)
        .group_by(CreditNote.invoice_id)
    )
    return {invoice_id: total for invoice_id, total in db.session.execute(query)}


def _credits(invoice_id: int) -> tuple[CreditView, ...]:
    query = (
        select(CreditNote)
        .join(Refund, Refund.id == CreditNote.refund_id)
        .where(CreditNote.invoice_id == invoice_id, Refund.state == PaymentState.SUCCEEDED.value)
        .order_by(CreditNote.id)
    )
    return tuple(
        CreditView(one.id, one.number, one.amount, one.tax, one.created_at)
        for one in db.session.scalars(query)
    )


def _payments(invoice_id: int) -> tuple[PaymentView, ...]:
    query = select(Payment).where(Payment.invoice_id == invoice_id).order_by(Payment.id)
    return tuple(_payment(row) for row in db.session.scalars(query))


def _payment(row: Payment) -> PaymentView:
    back, disputed = refunds.given_back_of(row.id), refunds.disputed_of(row.id)
    return PaymentView(
        id=row.id,
        rail=row.rail,
        external_id=row.external_id,
        state=row.state,
        amount=row.amount,
        currency=row.currency,
        fee=row.fee,
        surplus=row.surplus,
        method=row.method,
        failure=row.failure,
        notes=tuple(row.notes),
        created_at=row.created_at,
        settled_at=row.settled_at,
        to_rail=refunds.refundable(row, RefundTarget.RAIL, back, disputed),
        to_wallet=refunds.refundable(row, RefundTarget.WALLET, back, disputed),
        refunds=_refunds(row.id),
        disputes=_about(Dispute, row.id),
        alerts=_about(PaymentAlert, row.id),
    )


def _about(model: type[P], payment_id: int) -> tuple[P, ...]:
    query = select(model).where(model.payment_id == payment_id).order_by(model.id)
    return tuple(db.session.scalars(query))


def _refunds(payment_id: int) -> tuple[RefundView, ...]:
    query = (
        select(Refund, CreditNote.id, CreditNote.number)
        .outerjoin(CreditNote, CreditNote.refund_id == Refund.id)
        .where(Refund.payment_id == payment_id)
        .order_by(Refund.id)
    )
    return tuple(
        RefundView(
            id=row.id,
            target=row.target,
            state=row.state,
            amount=row.amount,
            currency=row.currency,
            reason=row.reason,
            failure=row.failure,
            created_at=row.created_at,
            credit_note_id=note_id,
            credit_note=number,
        )
        for row, note_id, number in db.session.execute(query)
    )
