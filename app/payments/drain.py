"""Applying stored callbacks: by groups, each in one transaction, from what the rail says now.

A callback is only a hint at objects. The rows of one group (a customer) are taken together: their
objects are fetched once each, whatever order and how often the callbacks came, and the rows are
marked in the transaction of their effects. A worker that dies in between leaves everything as it
was.
"""

import hashlib
import logging
import traceback
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import defer

from app.accounts import audit
from app.accounts.reasons import checked_reason
from app.adapters.payments import rails
from app.adapters.payments.port import Ref
from app.db import db, utc_now
from app.errors import Conflict, DomainError, NotFound
from app.logs import mask_secrets
from app.payments import intake
from app.payments.models import RailEvent
from app.payments.rules import EventState
from app.payments.settling import Taken, one_look, take_ref
from app.transactions import after_commit, transaction

log = logging.getLogger(__name__)

GROUPS = 50
ROWS_OF_A_GROUP = 200
MOST_TRIES = 12
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=1)
# Stripe keeps its events for thirty days and sends them again for three.
KEPT_FOR = timedelta(days=90)
TOLD_AGAIN_FOR = timedelta(days=30)
PRUNED_AT_ONCE = 5000
LONGEST_REST_S = 1.0
WAITING = (EventState.RECEIVED.value, EventState.FAILED.value)
TURNS = (
    "customer",
    "checkout",
    "payment",
    "invoice",
    "refund",
    "dispute",
    "fraud_warning",
    "subscription",
)
_LONGEST_ERROR = 4000
_LOCK_SPACE = "rail_events"

Group = tuple[str, str]


def due_groups() -> list[Group]:
    """Return groups (rail, key) with callbacks whose time has come, the oldest first."""
    query = (
        select(RailEvent.rail, RailEvent.group_key)
        .where(RailEvent.state.in_(WAITING), RailEvent.due_at <= func.now())
        .group_by(RailEvent.rail, RailEvent.group_key)
        .order_by(func.min(RailEvent.due_at))
        .limit(GROUPS)
    )
    return [(rail, key) for rail, key in db.session.execute(query)]


def apply_group(group: Group) -> int:
    """Apply what waits of a group; return how many callbacks are done with.

    If they fail together each is tried alone, so that a bad one does not hold the others up. A
    group that another worker has in hand is left to it.
    """
    ids: list[int] = []
    try:
        with transaction():
            ids = _apply(group)
        return len(ids)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the other groups
        db.session.rollback()
        failed = error
    with transaction():
        ids = _due_ids(group)
    if len(ids) == 1:
        _note_failure(ids, failed)
        return 0
    return sum(_apply_alone(group, event_id) for event_id in ids)


def replay(event_id: int, actor_id: int, reason: str) -> None:
    """Let a callback that failed, died or was ignored be applied again; audited."""
    event = db.session.get(RailEvent, event_id, with_for_update=True)
    if event is None:
        raise NotFound("unknown_rail_event")
    if event.state == EventState.RECEIVED:
        raise Conflict("rail_event_waits")
    before = {"state": event.state, "reason": event.reason}
    event.state, event.attempts, event.due_at = EventState.RECEIVED.value, 0, utc_now()
    event.reason = event.error = event.processed_at = None
    audit.record(
        "rail_event.replayed",
        "rail_event",
        event_id,
        actor_id=actor_id,
        before=before,
        reason=checked_reason(reason),
    )
    after_commit(intake.request_drain)


def try_dead_again(now: datetime) -> int:
    """Give callbacks that were given up one more try, which is their last again; return how many.

    What they failed by may be repaired by now. What is older than providers keep themselves is left
    to a person.
    """
    revived = (
        update(RailEvent)
        .where(
            RailEvent.state == EventState.DEAD.value, RailEvent.received_at > now - TOLD_AGAIN_FOR
        )
        .values(state=EventState.FAILED.value, attempts=MOST_TRIES - 1, due_at=now)
        .returning(RailEvent.id)
    )
    count = len(db.session.scalars(revived).all())
    if count:
        log.info("dead_rail_events_tried_again count=%s", count)
        after_commit(intake.request_drain)
    return count


def prune(now: datetime) -> int:
    """Delete callbacks that were done with long ago; providers send none of them again."""
    old = (
        select(RailEvent.id)
        .where(
            RailEvent.state.in_((EventState.PROCESSED.value, EventState.IGNORED.value)),
            RailEvent.processed_at < now - KEPT_FOR,
        )
        .limit(PRUNED_AT_ONCE)
    )
    gone = db.session.scalars(
        delete(RailEvent).where(RailEvent.id.in_(old)).returning(RailEvent.id)
    )
    return len(gone.all())


def pause_after(attempts: int) -> timedelta:
    """Return how long to wait after so many tries: twice as long each time, up to an hour."""
    doubled: int = 2 ** min(attempts - 1, 20)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def rest_after(seconds: float, groups: int, callbacks: int) -> float:
    """Return for how many seconds to let callbacks gather after a round that took so long.

    A group costs the same whether one of its callbacks waits or a hundred. So the rest is the part
    of the round that gathering has saved: none where each callback was about another customer, and
    in a flood about few of them half the time, which those who answer at the door can use.
    """
    gathered = 1 - groups / callbacks if callbacks > groups else 0.0
    return min(seconds * gathered, LONGEST_REST_S)


def _apply_alone(group: Group, event_id: int) -> int:
    try:
        with transaction():
            return len(_apply(group, event_id))
    except Exception as error:  # noqa: BLE001 - it is noted on the row
        db.session.rollback()
        _note_failure([event_id], error)
        return 0


def _apply(group: Group, only: int | None = None) -> list[int]:
    rail, key = group
    if not db.session.scalar(select(func.pg_try_advisory_xact_lock(_lock_number(group)))):
        return []
    query = (
        select(RailEvent)
        .where(
            RailEvent.rail == rail,
            RailEvent.group_key == key,
            RailEvent.state.in_(WAITING),
            RailEvent.due_at <= func.now(),
        )
        .order_by(RailEvent.id)
        .limit(ROWS_OF_A_GROUP)
        .with_for_update()
        # It is kept for people only.
        .options(defer(RailEvent.body, raiseload=True))
    )
    if only is not None:
        query = query.where(RailEvent.id == only)
    events = list(db.session.scalars(query))
    if rail not in rails():
        _put_off(events)
        return []
    refs = sorted({Ref(*pair) for event in events for pair in event.refs}, key=_turn)
    with one_look():
        taken = {ref: take_ref(rail, ref) for ref in refs}
    _mark(events, taken, "no_object")
    return [event.id for event in events]


def _turn(ref: Ref) -> tuple[int, str, str]:
    """Return when an object is taken: people first, and last what follows from all the others."""
    turn = TURNS.index(ref.kind) if ref.kind in TURNS else len(TURNS)
    return turn, ref.kind, ref.id


def _put_off(events: Iterable[RailEvent]) -> None:
    """Let callbacks wait for a rail that has no keys here now: what they tell of is not lost."""
    for event in events:
        event.state, event.reason = EventState.FAILED.value, "rail_switched_off"
        event.due_at = utc_now() + LONGEST_PAUSE
        log.warning("rail_switched_off event=%s rail=%s", event.id, event.rail)


def _mark(events: Iterable[RailEvent], taken: dict[Ref, Taken], otherwise: str) -> None:
    now = utc_now()
    for event in events:
        results = [taken[ref] for ref in (Ref(*pair) for pair in event.refs) if ref in taken]
        applied = any(result.applied for result in results)
        reasons = [result.reason for result in results if result.reason]
        event.state = (EventState.PROCESSED if applied else EventState.IGNORED).value
        event.reason = None if applied else (reasons[0] if reasons else otherwise)
        event.error, event.processed_at = None, now
        event.attempts += 1


def _note_failure(ids: list[int], error: Exception) -> None:
    text = mask_secrets("".join(traceback.format_exception(error)))[-_LONGEST_ERROR:]
    reason = error.code if isinstance(error, DomainError) else type(error).__name__
    with transaction():
        query = select(RailEvent).where(
            RailEvent.id.in_(ids), RailEvent.state.in_(WAITING), RailEvent.due_at <= func.now()
        )
        for event in db.session.scalars(query.with_for_update()):
            event.attempts += 1
            dead = event.attempts >= MOST_TRIES
            event.state = (EventState.DEAD if dead else EventState.FAILED).value
            event.due_at = utc_now() + pause_after(event.attempts)
            event.reason, event.error = reason, text
            level = logging.ERROR if dead else logging.WARNING
            log.log(
                level,
                "rail_event_failed event=%s tries=%s reason=%s dead=%s",
                event.id,
                event.attempts,
                reason,
                dead,
            )


def _due_ids(group: Group) -> list[int]:
    rail, key = group
    query = (
        select(RailEvent.id)
        .where(
            RailEvent.rail == rail,
            RailEvent.group_key == key,
            RailEvent.state.in_(WAITING),
            RailEvent.due_at <= func.now(),
        )
        .order_by(RailEvent.id)
        .limit(ROWS_OF_A_GROUP)
    )
    return list(db.session.scalars(query))


def _lock_number(group: Group) -> int:
    digest = hashlib.sha256("\x1f".join((_LOCK_SPACE, *group)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
