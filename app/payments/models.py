"""Invoices with the chain of what happened to them, and the money that came and went by rails."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, CreatedAt, RowId
from app.payments.rules import (
    AlertKind,
    AlertState,
    CheckoutState,
    DisputeState,
    EventState,
    InvoiceState,
    LineKind,
    PaymentState,
    Purpose,
    RefundTarget,
    Settlement,
)


def _one_of(column: str, words: Iterable[StrEnum]) -> CheckConstraint:
    known = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} in ({known})", name=column)


class DocumentSeries(Base):
    """The last number of a series: taken under the row's lock, so that no number is left out."""

    __tablename__ = "document_series"

    code: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[int]


class Invoice(Base):
    """What a person owes or has paid. Only `app.payments.invoices` sets its state.

    `key` names the reason of an invoice, so that the same one is never made twice. What a
    provider keeps carries its `rail` and `external_id`.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("rail", "external_id"),
        _one_of("state", InvoiceState),
        CheckConstraint("total = subtotal - discount + tax", name="total"),
        CheckConstraint("currency ~ '^[A-Z]{3,5}$'", name="currency"),
        CheckConstraint("(state = 'paid') = (paid_at is not null)", name="paid_at"),
        CheckConstraint("state in ('draft', 'void') or number is not null", name="numbered"),
        CheckConstraint(
            "given_from < given_until and state = 'paid' "
            "or given_from is null and given_until is null",
            name="given",
        ),
        Index("ix_invoices_user_id", "user_id", "id"),
        Index("ix_invoices_due", "due_at", postgresql_where=text("state = 'open'")),
        Index(
            "uq_invoices_one_open_of_kept",
            "kept_id",
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
    )

    id: Mapped[RowId]
    key: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    subscription_id: Mapped[int | None] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    kept_id: Mapped[int | None] = mapped_column(ForeignKey("kept_subscriptions.id"), index=True)
    rail: Mapped[str] = mapped_column(default="", server_default="")
    external_id: Mapped[str | None]
    # Of a provider's invoice: its subscription there, and the page on which anybody may pay it.
    subscription_ref: Mapped[str | None] = mapped_column(index=True)
    pay_url: Mapped[str | None]
    number: Mapped[str | None] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(server_default=InvoiceState.DRAFT.value)
    currency: Mapped[str]
    subtotal: Mapped[Decimal]
    discount: Mapped[Decimal]
    # By which code, where that is known.
    discount_name: Mapped[str] = mapped_column(default="", server_default="")
    tax: Mapped[Decimal]
    total: Mapped[Decimal]
    due_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]
    paid_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    # Which period its money has bought, where that is not the one that it was issued for.
    given_from: Mapped[datetime | None]
    given_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[datetime | None]
    failure: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    lines: Mapped[list["InvoiceLine"]] = relationship(order_by="InvoiceLine.position")
    events: Mapped[list["InvoiceEvent"]] = relationship(order_by="InvoiceEvent.position")


class InvoiceLine(Base):
    """A line as it was when the invoice was opened; never changed afterwards."""

    __tablename__ = "invoice_lines"
    __table_args__ = (
        _one_of("kind", LineKind),
        CheckConstraint("quantity >= 1", name="quantity"),
    )

    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str]
    description: Mapped[str]
    subject: Mapped[str] = mapped_column(server_default="")
    quantity: Mapped[int] = mapped_column(Integer, server_default="1")
    amount: Mapped[Decimal]
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    price_id: Mapped[int | None] = mapped_column(ForeignKey("plan_prices.id"), index=True)


class InvoiceEvent(Base):
    """One move of an invoice: from, to, why, by whom. The database refuses a state without one."""

    __tablename__ = "invoice_events"

    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    cause: Mapped[str]
    actor_id: Mapped[int | None]
    at: Mapped[CreatedAt]


class RailCustomer(Base):
    """Who a person is at a rail: one customer a person, one person a customer."""

    __tablename__ = "rail_customers"
    __table_args__ = (UniqueConstraint("rail", "external_id"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    rail: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str]
    # What they paid with last, in words such as "Visa 4242"; kept by the rail, for later payments.
    method: Mapped[str] = mapped_column(default="", server_default="")
    # The rail's own name of that card or account; nothing in rows of before it was kept.
    method_ref: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[CreatedAt]


class Checkout(Base):
    """A page of a rail where a person may pay for one thing; one is open at a time for each."""

    __tablename__ = "checkouts"
    __table_args__ = (
        UniqueConstraint("rail", "external_id"),
        _one_of("purpose", Purpose),
        _one_of("state", CheckoutState),
        CheckConstraint("amount >= 0", name="amount"),
        Index(
            "uq_checkouts_open",
            "user_id",
            "purpose",
            "subject",
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_checkouts_due", "expires_at", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    purpose: Mapped[str]
    subject: Mapped[str] = mapped_column(default="", server_default="")
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    rail: Mapped[str]
    external_id: Mapped[str | None]
    url: Mapped[str | None]
    # Of one that begins a subscription: what is sold there, and what has begun.
    content: Mapped[dict[str, Any] | None]
    subscription_ref: Mapped[str | None]
    amount: Mapped[Decimal]
    currency: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=CheckoutState.OPEN.value)
    failure: Mapped[str | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[CreatedAt]
    closed_at: Mapped[datetime | None]


class Payment(Base):
    """One try of money on a rail.

    `refunded` counts what was given back or is on its way back; `surplus` is what of the money
    went to the wallet, because nothing else was owed.
    """

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("rail", "external_id"),
        _one_of("purpose", Purpose),
        _one_of("state", PaymentState),
        CheckConstraint("amount >= 0 and fee >= 0", name="amount"),
        CheckConstraint("refunded between 0 and amount", name="refunded"),
        CheckConstraint("surplus between 0 and amount", name="surplus"),
        CheckConstraint("(state = 'succeeded') = (settled_at is not null)", name="settled_at"),
        Index("ix_payments_user_id", "user_id", "id"),
        Index(
            "ix_payments_mail_due", "mail_due_at", postgresql_where=text("mail_due_at is not null")
        ),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    checkout_id: Mapped[int | None] = mapped_column(ForeignKey("checkouts.id"), index=True)
    purpose: Mapped[str]
    rail: Mapped[str]
    external_id: Mapped[str]
    intent_id: Mapped[str | None] = mapped_column(index=True)
    charge_id: Mapped[str | None] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(server_default=PaymentState.PENDING.value)
    amount: Mapped[Decimal]
    currency: Mapped[str]
    fee: Mapped[Decimal] = mapped_column(default=Decimal(0), server_default="0")
    refunded: Mapped[Decimal] = mapped_column(default=Decimal(0), server_default="0")
    surplus: Mapped[Decimal] = mapped_column(default=Decimal(0), server_default="0")
    method: Mapped[str] = mapped_column(default="", server_default="")
    method_ref: Mapped[str] = mapped_column(default="", server_default="")
    failure: Mapped[str | None]
    notes: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default="[]")
    created_at: Mapped[CreatedAt]
    settled_at: Mapped[datetime | None]
    # When the mail about it was asked for; nothing once it is written, or where none is wanted.
    mail_due_at: Mapped[datetime | None]


class Refund(Base):
    """Money given back of a payment, to its rail or to the wallet.

    `from_wallet` is the part that the payment had left in the wallet; `tax` is a part of the rest.
    """

    __tablename__ = "refunds"
    __table_args__ = (
        UniqueConstraint("payment_id", "external_id"),
        _one_of("target", RefundTarget),
        _one_of("state", PaymentState),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("from_wallet between 0 and amount", name="from_wallet"),
        Index("ix_refunds_pending", "created_at", postgresql_where=text("state = 'pending'")),
        Index(
            "ix_refunds_mail_due", "mail_due_at", postgresql_where=text("mail_due_at is not null")
        ),
    )

    id: Mapped[RowId]
    key: Mapped[str] = mapped_column(unique=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"), index=True)
    target: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=PaymentState.PENDING.value)
    amount: Mapped[Decimal]
    currency: Mapped[str]
    from_wallet: Mapped[Decimal] = mapped_column(default=Decimal(0), server_default="0")
    tax: Mapped[Decimal] = mapped_column(default=Decimal(0), server_default="0")
    reason: Mapped[str]
    actor_id: Mapped[int | None]
    external_id: Mapped[str | None] = mapped_column(index=True)
    failure: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    settled_at: Mapped[datetime | None]
    # When the mail about it was asked for; nothing once it is written, or where none is wanted.
    mail_due_at: Mapped[datetime | None]


class CreditNote(Base):
    """The document of a refund of an invoice, with a number of its own series; never changed."""

    __tablename__ = "credit_notes"
    __table_args__ = (CheckConstraint("amount > 0 and tax between 0 and amount", name="amount"),)

    id: Mapped[RowId]
    number: Mapped[str] = mapped_column(unique=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), index=True)
    refund_id: Mapped[int] = mapped_column(ForeignKey("refunds.id"), unique=True)
    amount: Mapped[Decimal]
    tax: Mapped[Decimal]
    currency: Mapped[str]
    created_at: Mapped[CreatedAt]


class Dispute(Base):
    """A payment that the payer's bank takes back or asks about, until it has decided."""

    __tablename__ = "disputes"
    __table_args__ = (
        UniqueConstraint("rail", "external_id"),
        _one_of("state", DisputeState),
        CheckConstraint("amount > 0 and fee >= 0", name="amount"),
    )

    id: Mapped[RowId]
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"), index=True)
    rail: Mapped[str]
    external_id: Mapped[str]
    state: Mapped[str]
    amount: Mapped[Decimal]
    currency: Mapped[str]
    fee: Mapped[Decimal] = mapped_column(default=Decimal(0), server_default="0")
    # Until when the bank takes an answer, where that is told.
    answer_by: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    closed_at: Mapped[datetime | None]


class PaymentAlert(Base):
    """What a provider tells of a payment that a person has to look into; it moves no money.

    `told` is the provider's word for it. `settlement` is what a person did about it.
    """

    __tablename__ = "payment_alerts"
    __table_args__ = (
        UniqueConstraint("rail", "kind", "external_id"),
        _one_of("kind", AlertKind),
        _one_of("state", AlertState),
        _one_of("settlement", Settlement),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("(state = 'settled') = (settlement is not null)", name="settled"),
        Index("ix_payment_alerts_open", "created_at", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[RowId]
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"), index=True)
    kind: Mapped[str]
    rail: Mapped[str]
    external_id: Mapped[str]
    told: Mapped[str]
    amount: Mapped[Decimal]
    currency: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=AlertState.OPEN.value)
    settlement: Mapped[str | None]
    actor_id: Mapped[int | None]
    created_at: Mapped[CreatedAt]
    closed_at: Mapped[datetime | None]


class RailEvent(Base):
    """A callback of a rail as it came: the queue of record, whatever happens to Redis.

    `refs` are the objects that it is about, as [kind, id]; they are fetched anew when it is
    applied, so `body` is kept for people only.
    """

    __tablename__ = "rail_events"
    __table_args__ = (
        UniqueConstraint("rail", "external_id"),
        _one_of("state", EventState),
        Index(
            "ix_rail_events_due", "due_at", postgresql_where=text("state in ('received', 'failed')")
        ),
        Index(
            "ix_rail_events_group",
            "rail",
            "group_key",
            "id",
            postgresql_where=text("state in ('received', 'failed')"),
        ),
        Index("ix_rail_events_rail_state", "rail", "state"),
    )

    id: Mapped[RowId]
    rail: Mapped[str]
    external_id: Mapped[str]
    type: Mapped[str]
    group_key: Mapped[str]
    refs: Mapped[list[Any]] = mapped_column(JSONB)
    body: Mapped[str]
    api_version: Mapped[str]
    livemode: Mapped[bool]
    state: Mapped[str] = mapped_column(server_default=EventState.RECEIVED.value)
    reason: Mapped[str | None]
    error: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    happened_at: Mapped[datetime]
    received_at: Mapped[CreatedAt]
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    processed_at: Mapped[datetime | None]
