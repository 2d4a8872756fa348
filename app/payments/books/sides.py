"""Our side of a comparison: how objects of a rail stand in our rows, in its figures."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select

from app.adapters.payments.books import Figures, sum_figures
from app.db import db
from app.money import Money
from app.payments import alerts
from app.payments.models import Dispute, Invoice, Payment, Refund
from app.payments.rules import UNDECIDED, InvoiceState, PaymentState, RefundTarget


@dataclass(frozen=True, slots=True)
class Side:
    """How rows of a kind are found: by their ids at the rail, and those that must be there."""

    kind: str
    figures: Callable[[str, Collection[str]], dict[str, Figures]]
    awaited: Callable[[str, datetime], Select[Any]]


_sides: dict[str, Side] = {}


def compare_with(side: Side) -> None:
    """Make this our side of a kind; an upper subject adds what it keeps itself."""
    _sides[side.kind] = side


def sides() -> Mapping[str, Side]:
    """Return our side of each kind."""
    return _sides


def _payments(rail: str, ids: Collection[str]) -> dict[str, Figures]:
    rows = db.session.scalars(
        select(Payment).where(Payment.rail == rail, Payment.external_id.in_(ids))
    )
    return {
        row.external_id: {
            "state": row.state,
            "fee": sum_figures(Money(row.fee, row.currency))["amount"],
            **sum_figures(Money(row.amount, row.currency)),
        }
        for row in rows
    }


def _paid_since(rail: str, since: datetime) -> Select[Any]:
    return select(Payment.external_id).where(
        Payment.rail == rail,
        Payment.state == PaymentState.SUCCEEDED.value,
        Payment.settled_at >= since,
        Payment.amount > 0,
    )


def _invoices(rail: str, ids: Collection[str]) -> dict[str, Figures]:
    rows = db.session.scalars(
        select(Invoice).where(Invoice.rail == rail, Invoice.external_id.in_(ids))
    )
    return {
        str(row.external_id): {
            "state": row.state,
            "tax": sum_figures(Money(row.tax, row.currency))["amount"],
            **sum_figures(Money(row.total, row.currency)),
        }
        for row in rows
    }


def _unsettled(rail: str, _since: datetime) -> Select[Any]:
    waits = (InvoiceState.OPEN.value, InvoiceState.UNCOLLECTIBLE.value)
    return select(Invoice.external_id).where(
        Invoice.rail == rail, Invoice.external_id.is_not(None), Invoice.state.in_(waits)
    )


def _refunds(rail: str, ids: Collection[str]) -> dict[str, Figures]:
    rows = db.session.scalars(
        select(Refund)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Payment.rail == rail, Refund.external_id.in_(ids))
    )
    booked = {
        str(row.external_id): {
            "state": row.state,
            **sum_figures(Money(row.amount, row.currency)),
        }
        for row in rows
    }
    return {**alerts.known_refunds(rail, ids), **booked}


def _refunded_since(rail: str, since: datetime) -> Select[Any]:
    return (
        select(Refund.external_id)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(
            Payment.rail == rail,
            Refund.target == RefundTarget.RAIL.value,
            Refund.external_id.is_not(None),
            or_(Refund.settled_at >= since, Refund.state == PaymentState.PENDING.value),
        )
    )


def _disputes(rail: str, ids: Collection[str]) -> dict[str, Figures]:
    rows = db.session.scalars(
        select(Dispute).where(Dispute.rail == rail, Dispute.external_id.in_(ids))
    )
    return {
        row.external_id: {"state": row.state, **sum_figures(Money(row.amount, row.currency))}
        for row in rows
    }


def _disputed_since(rail: str, since: datetime) -> Select[Any]:
    return select(Dispute.external_id).where(
        Dispute.rail == rail, or_(Dispute.state.in_(UNDECIDED), Dispute.created_at >= since)
    )


for _side in (
    Side("invoice", _invoices, _unsettled),
    Side("payment", _payments, _paid_since),
    Side("refund", _refunds, _refunded_since),
    Side("dispute", _disputes, _disputed_since),
):
    compare_with(_side)
