"""When anything of a subscription that we keep may be due: on all other days nothing happens."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, select

from app.db import db
from app.notifications.models import OutboxMessage
from app.payments.models import Invoice
from app.subscriptions.kept import rules
from app.subscriptions.models import KeptSubscription, RailSubscription, SubscriptionReminder

_SENT = select(func.count()).select_from(OutboxMessage).scalar_subquery()
_NOTED = select(func.count()).select_from(SubscriptionReminder).scalar_subquery()
_KEPT = KeptSubscription
_OURS = (
    select(
        _KEPT.state, _KEPT.number, _KEPT.revision, _KEPT.started_at, _KEPT.period_start,
        _KEPT.period_end, _KEPT.trial_end, _KEPT.change_at, _KEPT.access_until,
        Invoice.id, Invoice.due_at, Invoice.next_attempt_at, Invoice.attempts,
        _SENT.label("sent"), _NOTED.label("noted"),
    )
    .outerjoin(Invoice, and_(Invoice.kept_id == _KEPT.id, Invoice.state == "open"))
    .where(_KEPT.state != "ended")
    .order_by(_KEPT.id)
)  # fmt: skip
_THEIRS = (
    select(RailSubscription.id, RailSubscription.started_at, RailSubscription.trial_end)
    .where(RailSubscription.trial_end.is_not(None))
    .order_by(RailSubscription.id)
)

Page = tuple[list[Row[Any]], list[Row[Any]]]


def page() -> Page:
    """Return all that decides what is due next, of everybody."""
    db.session.rollback()
    return list(db.session.execute(_OURS)), list(db.session.execute(_THEIRS))


def next_moment(written: Page, now: datetime) -> datetime | None:
    """Return when something may be due next."""
    return min((moment for moment in _moments(written) if moment and moment > now), default=None)


def _moments(written: Page) -> Iterator[datetime | None]:
    ours, theirs = written
    for row in ours:
        yield from (row.period_end, row.change_at, row.access_until, row.next_attempt_at)
        yield from _of_trial(row.started_at, row.trial_end)
        if row.period_start and row.period_end:
            yield row.period_end - rules.lead_of(row.period_end - row.period_start)
            yield row.period_end + rules.PATIENCE
        if row.due_at:
            yield from (row.due_at + shift for shift in (*rules.WHEN.values(), *rules.TRIES))
    for row in theirs:
        yield from _of_trial(row.started_at, row.trial_end)


def _of_trial(started_at: datetime, end: datetime | None) -> Iterator[datetime | None]:
    if end is not None:
        yield from (end, end - min(rules.TRIAL_NOTICE, (end - started_at) / 2))
