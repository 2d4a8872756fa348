"""Invoices with their lines and the chain of what happened to them."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, CreatedAt, RowId
from app.payments.rules import InvoiceState, LineKind


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
        CheckConstraint(
            "state in ({})".format(", ".join(f"'{state.value}'" for state in InvoiceState)),
            name="state",
        ),
        CheckConstraint("total = subtotal - discount + tax", name="total"),
        CheckConstraint("currency ~ '^[A-Z]{3,5}$'", name="currency"),
        CheckConstraint("(state = 'paid') = (paid_at is not null)", name="paid_at"),
        CheckConstraint("state in ('draft', 'void') or number is not null", name="numbered"),
        Index("ix_invoices_user_id", "user_id", "id"),
        Index("ix_invoices_due", "due_at", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[RowId]
    key: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    subscription_id: Mapped[int | None] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    rail: Mapped[str] = mapped_column(default="", server_default="")
    external_id: Mapped[str | None]
    number: Mapped[str | None] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(server_default=InvoiceState.DRAFT.value)
    currency: Mapped[str]
    subtotal: Mapped[Decimal]
    discount: Mapped[Decimal]
    tax: Mapped[Decimal]
    total: Mapped[Decimal]
    due_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]
    paid_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
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
        CheckConstraint(
            "kind in ({})".format(", ".join(f"'{kind.value}'" for kind in LineKind)), name="kind"
        ),
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
