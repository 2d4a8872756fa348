"""The end of an account whose wait is over, in steps that may be repeated.

First the door is shut: nothing runs, nobody is signed in. A quiet minute later, when no request of
before can be under way any more, everything goes, table by table, and the name last. Killed between
any two lines the next run begins anew, finds the door shut and the first tables empty, and goes on.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, ColumnElement, delete, func, or_, select, text, true, tuple_, update

from app import events
from app.accounts import audit, limits, roles, session_store
from app.accounts.deletion.events import PersonErasing, PersonLeaving
from app.accounts.deletion.service import is_last_administrator
from app.accounts.deletion.unfinished import unfinished
from app.accounts.exports import orders
from app.accounts.models import ERASED, Role, User
from app.accounts.personal_data import HOLDINGS, NOW, Fate, Holding
from app.db import db, utc_now
from app.notifications.service import send_mail
from app.transactions import after_commit, transaction

log = logging.getLogger(__name__)

QUIET = timedelta(minutes=1)
BATCH = 5000
DUE_AT_ONCE = 50
# Nobody can have an address there.
NOBODYS_DOMAIN = "erased.invalid"


class Outcome(StrEnum):
    """What a run came to."""

    NOT_DUE = "not due"
    WAITS = "waits"
    SHUT = "shut"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Leaver:
    """Where the last mail goes; by then nobody has this number."""

    email: str
    language: str
    id: int | None = None


def due_people() -> list[int]:
    """Return whose wait is over."""
    query = select(User.id).where(User.leaves_at <= utc_now(), User.erased_at.is_(None))
    return list(db.session.scalars(query.order_by(User.leaves_at).limit(DUE_AT_ONCE)))


def erase(user_id: int) -> Outcome:
    """Go as far with a person's end as is possible now.

    Opens transactions of its own: call it outside of any.
    """
    with transaction():
        outcome = _shut_door(user_id)
    if outcome is not Outcome.SHUT or not _is_quiet(user_id):
        return outcome
    for holding in HOLDINGS:
        if holding.fate is not Fate.KEPT:
            _work_off(holding, user_id)
    with transaction():
        _take_name(user_id)
    return Outcome.DONE


def _shut_door(user_id: int) -> Outcome:
    """Let nobody in any more, as soon as nothing runs; until then stop what does."""
    roles.lock()
    user = _locked(user_id)
    if user is None or not _is_due(user):
        return Outcome.NOT_DUE
    if user.blocked_reason == ERASED:
        return Outcome.SHUT
    if is_last_administrator(user):
        log.error("deletion_waits user=%s reason=last_administrator", user_id)
        return Outcome.WAITS
    running = unfinished(user_id)
    if running:
        log.error("deletion_waits user=%s unfinished=%s", user_id, len(running))
        events.publish(PersonLeaving(user_id))
        return Outcome.WAITS
    now = utc_now()
    user.blocked_at, user.blocked_reason, user.sessions_from = now, ERASED, now
    events.publish(PersonErasing(user_id))
    after_commit(lambda: session_store.end_all(user_id))
    return Outcome.SHUT


def _is_quiet(user_id: int) -> bool:
    since = db.session.scalar(select(User.blocked_at).where(User.id == user_id))
    db.session.rollback()
    return since is not None and utc_now() - since >= QUIET


def _work_off(holding: Holding, user_id: int) -> None:
    """Delete or empty a person's rows of one table, some thousands at a time."""
    if holding.table == "data_exports":
        with transaction():
            orders.forget_files(user_id)
    while True:
        with transaction():
            db.session.execute(text("set local statement_timeout = '5min'"))
            changed = _some(holding, user_id)
        if changed < BATCH:
            return


def _some(holding: Holding, user_id: int) -> int:
    """Work some of the rows off that still wait for it; return how many."""
    rows, key = holding.rows, list(holding.rows.primary_key.columns)
    waiting: ColumnElement[bool] = true()
    if holding.fate is Fate.EMPTIED:
        waiting = or_(*(_differs(rows.c[name], to) for name, to in holding.emptied.items()))
    some = select(*key).where(holding.belongs_to(user_id), waiting).limit(BATCH)
    chosen = tuple_(*key).in_(some)
    if holding.fate is Fate.DELETED:
        result: Any = db.session.execute(delete(rows).where(chosen))
    else:
        values = {name: _value(rows.c[name], to) for name, to in holding.emptied.items()}
        result = db.session.execute(update(rows).where(chosen).values(values))
    return int(result.rowcount)


def _differs(column: Column[Any], value: Any) -> ColumnElement[bool]:
    return column.is_(None) if value is NOW else column.is_distinct_from(value)


def _value(column: Column[Any], value: Any) -> Any:
    return func.coalesce(column, utc_now()) if value is NOW else value


def _take_name(user_id: int) -> None:
    """Let the row that stays say nothing about anybody, and send the last mail."""
    user = _locked(user_id)
    if user is None or user.erased_at is not None:
        return
    leaver = Leaver(user.email, user.language)
    user.email = f"erased-{user_id}@{NOBODYS_DOMAIN}"
    user.password_hash = "!"  # noqa: S105 - opens nothing
    user.role = Role.CUSTOMER.value
    user.confirmed_at = user.last_login_at = None
    user.erased_at = utc_now()
    audit.record("accounts.erased", "user", user_id)
    send_mail(leaver, "account_erased")
    after_commit(lambda: limits.forget_places(leaver.email))


def _is_due(user: User) -> bool:
    return user.leaves_at is not None and user.leaves_at <= utc_now() and user.erased_at is None


def _locked(user_id: int) -> User | None:
    return db.session.scalar(
        select(User)
        .where(User.id == user_id)
        .with_for_update(of=User)
        .execution_options(populate_existing=True)
    )
