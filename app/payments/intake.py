"""Callbacks of rails as rows: stored before anything is done with them, and once each."""

import time
from typing import cast

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert

from app.adapters.payments.port import Incoming
from app.config import current_config
from app.db import db
from app.payments.models import RailEvent
from app.payments.rules import EventState
from app.queues import QueueName, enqueue_once

DRAIN_JOB = "app.payments.jobs.drain_events"
# The job looks for new rows longer than this before it ends, so that asking more often is needless.
ASK_AGAIN_AFTER_S = 0.25
SLOT_S = 5

# Put together once and without the mapper: this runs hundreds of times a second.
_rows = cast(Table, RailEvent.__table__)
_STORE = (
    insert(_rows)
    .on_conflict_do_nothing(index_elements=[_rows.c.rail, _rows.c.external_id])
    .returning(_rows.c.id)
)


class _LastAsked:
    """When this process asked for the job last, by the clock that only goes forward."""

    at = float("-inf")


def store(rail: str, incoming: Incoming, raw: bytes) -> bool:
    """Keep a callback; tell whether it is new. One that is not for this installation rests."""
    foreign = current_config().is_production and not incoming.livemode
    values = {
        "rail": rail,
        "external_id": incoming.external_id,
        "type": incoming.type,
        "group_key": incoming.group,
        "refs": [[ref.kind, ref.id] for ref in incoming.refs],
        "body": raw.decode("utf-8", "replace").replace("\x00", ""),
        "api_version": incoming.api_version,
        "livemode": incoming.livemode,
        "happened_at": incoming.happened_at,
        "state": (EventState.IGNORED if foreign else EventState.RECEIVED).value,
        "reason": "test_mode" if foreign else None,
    }
    return db.session.scalar(_STORE, values) is not None


def ask_for_work() -> None:
    """Have a worker apply what waits; with Redis down the sweep does it later.

    In a flood of callbacks only a few of them ask: the job goes on for a while after the last one.
    """
    now = time.monotonic()
    if now - _LastAsked.at < ASK_AGAIN_AFTER_S:
        return
    _LastAsked.at = now
    request_drain()


def request_drain() -> None:
    """Enqueue the job that applies callbacks."""
    enqueue_once(QueueName.PAYMENTS, DRAIN_JOB, key="drain-events", slot_seconds=SLOT_S)
