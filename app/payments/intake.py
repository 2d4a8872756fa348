"""Callbacks of rails as rows: stored before anything is done with them, and once each."""

import json
import time
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import Connection, Table

from app.adapters.payments.port import Incoming
from app.bulk import bulk_insert
from app.config import current_config
from app.payments.models import RailEvent
from app.payments.rules import EventState
from app.queues import QueueName, enqueue_once

DRAIN_JOB = "app.payments.jobs.drain_events"
# The job looks for new rows longer than this before it ends, so that asking more often is needless.
ASK_AGAIN_AFTER_S = 0.25
SLOT_S = 5

# The name of a callback: its rail, and its id there.
Key = tuple[str, str]


class Row(NamedTuple):
    """A callback as it is stored."""

    rail: str
    external_id: str
    type: str
    group_key: str
    refs: str
    body: str
    api_version: str
    livemode: bool
    happened_at: datetime
    state: str
    reason: str | None

    @property
    def key(self) -> Key:
        return self.rail, self.external_id


_INSERT = bulk_insert(
    cast(Table, RailEvent.__table__),
    Row._fields,
    "on conflict (rail, external_id) do nothing returning rail, external_id",
)


class _LastAsked:
    """When this process asked for the job last, by the clock that only goes forward."""

    at = float("-inf")


def row_of(rail: str, incoming: Incoming, raw: bytes) -> Row:
    """Write a callback as a row. One that is not for this installation rests."""
    foreign = current_config().is_production and not incoming.livemode
    return Row(
        rail=rail,
        external_id=incoming.external_id,
        type=incoming.type,
        group_key=incoming.group,
        refs=json.dumps([[ref.kind, ref.id] for ref in incoming.refs]),
        body=raw.decode("utf-8", "replace").replace("\x00", ""),
        api_version=incoming.api_version,
        livemode=incoming.livemode,
        happened_at=incoming.happened_at,
        state=(EventState.IGNORED if foreign else EventState.RECEIVED).value,
        reason="test_mode" if foreign else None,
    )


def insert(connection: Connection, rows: Iterable[Row]) -> set[Key]:
    """Keep callbacks by one statement; return those that are new.

    In one order everywhere: who stores the same ones can't wait for each other in a circle.
    """
    ordered = sorted(rows, key=lambda row: row.key)
    if not ordered:
        return set()
    found = connection.execute(_INSERT.statement, _INSERT.values(ordered))
    return {(rail, external_id) for rail, external_id in found}


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
