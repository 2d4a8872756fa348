"""Callbacks that we did not take: fetched from the provider, and stored as if they had come.

From there on they go the usual way. Any number of times, and after a stop on from the last page:
what is known already stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app.adapters.payments import rail_named
from app.adapters.payments.books import EventLog, Missed, event_log_of
from app.db import db, utc_now
from app.errors import Conflict
from app.payments import intake
from app.payments.books.models import RailBackfill
from app.payments.books.pace import Pace
from app.payments.models import RailEvent
from app.transactions import transaction

# What providers keep.
KEPT_FOR = timedelta(days=30)
# Two callbacks made at nearly the same time may appear in either order.
SETTLED_AFTER = timedelta(minutes=5)
# After so long without any callback it is asked whether that is true, and now and then anyway.
QUIET_FOR = timedelta(minutes=15)
LOOK_AFTER = timedelta(hours=1)


@dataclass(slots=True)
class Found:
    """What came of a look: callbacks listed, new to us, known, and about nothing we keep."""

    listed: int = 0
    stored: int = 0
    known: int = 0
    skipped: int = 0


def run(rail: str, since: datetime | None = None, types: Sequence[str] = ()) -> Found:
    """Fetch and store what was missed; for an edge: each page is a transaction of its own.

    Goes on behind the last callback of the look before, unless `since` or `types` ask otherwise.
    Raises Conflict for a rail that keeps no callbacks, Unavailable if it does not answer.
    """
    log = event_log_of(rail_named(rail))
    if log is None:
        raise Conflict("rail_keeps_no_callbacks")
    began = utc_now()
    is_usual = since is None and not types
    after = _last_id(rail, began) if is_usual else None
    found, pace = Found(), Pace()
    start = max(since or began - KEPT_FOR, began - KEPT_FOR)
    missed = _first(log, pace, start, after, types)
    while missed.last is not None:
        _store(rail, missed, found, began if is_usual else None)
        if not missed.has_more:
            break
        missed = pace.ask(partial(log.missed, start, missed.last, types))
    if is_usual:
        with transaction():
            _note(rail, None, began)
    if found.stored:
        intake.request_drain()
    return found


def is_due(rail: str, now: datetime) -> bool:
    """Tell whether a rail is to be asked: it has been silent, or was not asked for long."""
    if event_log_of(rail_named(rail)) is None:
        return False
    looked_at = db.session.scalar(select(RailBackfill.looked_at).where(RailBackfill.rail == rail))
    if looked_at is None or looked_at < now - LOOK_AFTER:
        return True
    if looked_at > now - QUIET_FOR:
        return False
    newest = db.session.scalar(select(func.max(RailEvent.id)).where(RailEvent.rail == rail))
    event = db.session.get(RailEvent, newest) if newest is not None else None
    return event is None or event.received_at < now - QUIET_FOR


def _first(
    log: EventLog, pace: Pace, since: datetime, after: str | None, types: Sequence[str]
) -> Missed:
    try:
        return pace.ask(partial(log.missed, since, after, types))
    except Conflict:
        if after is None:
            raise
        # The provider has forgotten where we were: from the start, then.
        return pace.ask(partial(log.missed, since, None, types))


def _store(rail: str, missed: Missed, found: Found, began: datetime | None) -> None:
    kept = [told for told in missed.events if told.incoming.refs]
    rows = [intake.row_of(rail, told.incoming, told.raw) for told in kept]
    settled = [
        told.incoming.external_id
        for told in missed.events
        if began and told.incoming.happened_at <= began - SETTLED_AFTER
    ]
    with transaction():
        new = intake.insert(db.session.connection(), rows)
        if began and settled:
            _note(rail, settled[-1], began)
    found.listed += len(missed.events)
    found.skipped += len(missed.events) - len(kept)
    found.stored += len(new)
    found.known += len(kept) - len(new)


def _last_id(rail: str, now: datetime) -> str | None:
    with transaction():
        row = db.session.get(RailBackfill, rail)
        # Older ones are forgotten by the provider too.
        return row.last_id if row and row.looked_at > now - KEPT_FOR + LOOK_AFTER else None


def _note(rail: str, last_id: str | None, at: datetime) -> None:
    statement = insert(RailBackfill).values(rail=rail, last_id=last_id, looked_at=at)
    kept = func.coalesce(statement.excluded.last_id, RailBackfill.last_id)
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=[RailBackfill.rail], set_={"last_id": kept, "looked_at": at}
        )
    )
