"""What payments brought and what the providers kept of them, and what stands on every account."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, case, func, select

from app.db import db
from app.wallet.models import LedgerAccount, LedgerEntry, LedgerPosting
from app.wallet.rules import FEES, PERSONAL, ZERO

PAYMENTS = ("payment", "top_up")
_PAYMENT_REF = "payment:"

# What the statistics of income call, and the desk.
__all__ = ["AccountSum", "PaymentFigure", "payment_figures", "trial_balance"]


@dataclass(frozen=True, slots=True)
class PaymentFigure:
    """One payment that came by a rail: what was paid, what the provider kept, what is left."""

    posting_id: int
    key: str
    at: datetime
    rail: str
    refs: tuple[str, ...]
    currency: str
    gross: Decimal
    fee: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class AccountSum:
    """What stands on an account, debit positive; those of people are summed by kind."""

    kind: str
    name: str
    currency: str
    accounts: int
    total: Decimal


def payment_figures(since: datetime, until: datetime) -> tuple[PaymentFigure, ...]:
    """Return the payments of a period, the oldest first.

    Fees that the provider told later, under the same `payment:…` reference, are joined.
    """
    received = func.sum(case((LedgerAccount.kind == "psp", LedgerEntry.amount), else_=0))
    kept = func.sum(case((LedgerAccount.name == FEES, LedgerEntry.amount), else_=0))
    rows = db.session.execute(
        select(
            LedgerPosting.id,
            LedgerPosting.key,
            LedgerPosting.at,
            LedgerPosting.rail,
            LedgerPosting.refs,
            LedgerEntry.commodity,
            received.label("received"),
            kept.label("kept"),
        )
        .join(LedgerEntry, LedgerEntry.posting_id == LedgerPosting.id)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(
            LedgerPosting.kind.in_(PAYMENTS), LedgerPosting.at >= since, LedgerPosting.at < until
        )
        .group_by(LedgerPosting.id, LedgerEntry.commodity)
        .order_by(LedgerPosting.id, LedgerEntry.commodity)
    ).all()
    late = _late_fees(since)
    return tuple(_figure(row, late) for row in rows)


def trial_balance() -> tuple[AccountSum, ...]:
    """Return what stands on every account; each currency sums to zero."""
    is_personal = LedgerAccount.kind.in_(PERSONAL)
    name = case((is_personal, LedgerAccount.kind), else_=LedgerAccount.name)
    rows = db.session.execute(
        select(
            LedgerAccount.kind,
            name.label("shown"),
            LedgerAccount.commodity,
            func.count(LedgerAccount.id.distinct()),
            func.sum(LedgerEntry.amount),
        )
        .join(LedgerEntry, LedgerEntry.account_id == LedgerAccount.id)
        .group_by(LedgerAccount.kind, name, LedgerAccount.commodity)
        .order_by(LedgerAccount.commodity, LedgerAccount.kind, name)
    )
    return tuple(AccountSum(*row) for row in rows)


def _figure(row: Row[Any], late: Mapping[tuple[str, str], Decimal]) -> PaymentFigure:
    gross = row.received + row.kept
    fee = row.kept + sum((late.get((ref, row.commodity), ZERO) for ref in row.refs), ZERO)
    return PaymentFigure(
        row.id,
        row.key,
        row.at,
        row.rail,
        tuple(row.refs),
        row.commodity,
        gross,
        fee,
        gross - fee,
    )


def _late_fees(since: datetime) -> dict[tuple[str, str], Decimal]:
    """Return fees told after their payments, by the reference of the payment and currency."""
    rows = db.session.execute(
        select(LedgerPosting.refs, LedgerEntry.commodity, LedgerEntry.amount)
        .join(LedgerEntry, LedgerEntry.posting_id == LedgerPosting.id)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(
            LedgerPosting.kind == "provider_fee",
            LedgerPosting.at >= since,
            LedgerAccount.name == FEES,
        )
    )
    found: dict[tuple[str, str], Decimal] = {}
    for refs, currency, amount in rows:
        for ref in refs:
            if ref.startswith(_PAYMENT_REF):
                found[ref, currency] = found.get((ref, currency), ZERO) + amount
    return found
