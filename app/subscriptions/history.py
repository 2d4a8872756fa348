"""What happened to subscriptions, whoever keeps them: written beside each change, never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.db import db
from app.subscriptions.models import SubscriptionChange

SHOWN = 100


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened; `actor_id` is None where nobody of us did it."""

    source: str
    what: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    actor_id: int | None
    cause: str
    at: datetime


def note(
    user_id: int,
    source: str,
    what: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    actor_id: int | None = None,
    cause: str = "",
) -> None:
    """Note a change in the transaction that makes it; where nothing differs nothing is noted.

    `source` is `kept:12`, `stripe:sub_x` or `staff`; `cause` is one of our words, never free text:
    what stands here stays.
    """
    if before is not None and before == after:
        return
    db.session.add(
        SubscriptionChange(
            user_id=user_id,
            source=source,
            what=what,
            before=dict(before) if before is not None else None,
            after=dict(after) if after is not None else None,
            actor_id=actor_id,
            cause=cause,
        )
    )
    db.session.flush()


def history_of(user_id: int, limit: int = SHOWN) -> tuple[Change, ...]:
    """Return what happened to a person's subscriptions, the newest first."""
    rows = db.session.scalars(
        select(SubscriptionChange)
        .where(SubscriptionChange.user_id == user_id)
        .order_by(SubscriptionChange.id.desc())
        .limit(limit)
    )
    return tuple(
        Change(row.source, row.what, row.before, row.after, row.actor_id, row.cause, row.at)
        for row in rows
    )
