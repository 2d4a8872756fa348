"""Reads of comparisons with the books of rails."""

from datetime import datetime

from sqlalchemy import select

from app.db import db
from app.payments.books.models import Reconciliation, ReconciliationDifference


def lost_runs(before: datetime) -> list[str]:
    """Return rails whose comparison has not ended and has not moved since a moment."""
    query = select(Reconciliation.rail).where(
        Reconciliation.ended_at.is_(None), Reconciliation.moved_at < before
    )
    return list(db.session.scalars(query))


def run_of(run_id: int) -> Reconciliation:
    """Return a comparison."""
    return db.session.get_one(Reconciliation, run_id, populate_existing=True)


def differences_of(run_id: int) -> list[ReconciliationDifference]:
    """Return what differed in a comparison, what still does first."""
    query = (
        select(ReconciliationDifference)
        .where(ReconciliationDifference.run_id == run_id)
        .order_by(ReconciliationDifference.is_fixed, ReconciliationDifference.id)
    )
    return list(db.session.scalars(query))
