"""Files of one's own data: asked for one at a time, built by a worker, gone after three days."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.accounts import audit, limits, queries
from app.accounts.models import DataExport
from app.config import current_config
from app.db import db, utc_now
from app.errors import NotFound
from app.notifications.service import send_mail
from app.notifications.stream import hint
from app.queues import QueueName, enqueue_once
from app.transactions import after_commit

BUILD_JOB = "app.accounts.exports.jobs.build_export"
LIFE = timedelta(days=3)
# A worker that has not come back after this is dead; the job's own time-out is shorter.
GIVEN_UP_AFTER = timedelta(minutes=20)
BUILD_SECONDS = 15 * 60
MOST_TRIES = 3
SHOWN = 5
UNFINISHED = ("waiting", "building")
TOPIC = "exports"
# Ends the name of a file that is being written.
PART = ".part"


@dataclass(frozen=True, slots=True)
class ExportView:
    """A file as its owner sees it."""

    id: int
    state: str
    created_at: datetime
    expires_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker needs to build a file."""

    user_id: int
    path: Path


def folder() -> Path:
    """Return where the files lie, closed to other users of the machine."""
    place = current_config().exports_dir
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def ask(user_id: int, address: str) -> int:
    """Ask for a file; return its id. While one is being made, that one is meant.

    Raises TooManyTries for the fourth in a day.
    """
    present = _unfinished(user_id)
    if present is not None:
        return present
    new = insert(DataExport).values(
        user_id=user_id, state="waiting", file_name=_new_name(), bytes=0, tries=0
    )
    made: int | None = db.session.scalar(new.on_conflict_do_nothing().returning(DataExport.id))
    if made is None:
        # Another tab was quicker.
        present = _unfinished(user_id)
        if present is None:
            raise NotFound("unknown_export")
        return present
    audit.record("accounts.export_asked", "user", user_id, actor_id=user_id, address=address)
    limits.spend(limits.DATA_EXPORTS, str(user_id))
    export_id = made
    after_commit(lambda: enqueue(export_id))
    return export_id


def enqueue(export_id: int) -> bool:
    """Let a worker build a file; with Redis away the next tidying asks again."""
    key = f"export-{export_id}"
    return enqueue_once(QueueName.REPORTS, BUILD_JOB, export_id, key=key, timeout=BUILD_SECONDS)


def newest(user_id: int) -> list[ExportView]:
    """Return a person's newest files."""
    rows = db.session.scalars(
        select(DataExport)
        .where(DataExport.user_id == user_id)
        .order_by(DataExport.id.desc())
        .limit(SHOWN)
    )
    return [
        ExportView(row.id, _state_now(row), row.created_at, row.expires_at, row.error)
        for row in rows
    ]


def fresh_file(user_id: int, export_id: int) -> Path:
    """Return a person's own file; raise NotFound when there is none (any more)."""
    known = 0 < export_id <= queries.MAX_ID
    row = db.session.get(DataExport, export_id) if known else None
    if row is None or row.user_id != user_id or _state_now(row) != "ready":
        raise NotFound("unknown_export")
    path = folder() / row.file_name
    if not path.is_file():
        raise NotFound("unknown_export")
    audit.record("accounts.exported", "user", user_id, actor_id=user_id)
    return path


def claim(export_id: int) -> Work | None:
    """Take a file for one try; None when it is made, given up, or in other hands."""
    row = _locked(export_id)
    if row is None or row.state not in UNFINISHED:
        return None
    now = utc_now()
    if row.begun_at is not None and now - row.begun_at < GIVEN_UP_AFTER:
        return None
    if row.tries >= MOST_TRIES:
        fail(export_id, "export_failed")
        return None
    row.state, row.begun_at, row.tries = "building", now, row.tries + 1
    return Work(row.user_id, folder() / row.file_name)


def finish(export_id: int, size: int) -> None:
    """Write down that a file is there, and tell its owner."""
    row = _locked(export_id)
    if row is None or row.state != "building":
        return
    now = utc_now()
    row.state, row.bytes, row.ready_at, row.expires_at = "ready", size, now, now + LIFE
    _tell(row, "export_ready")


def put_back(export_id: int) -> None:
    """Let another worker try at once what failed here."""
    row = _locked(export_id)
    if row is not None and row.state == "building":
        row.state, row.begun_at = "waiting", None


def fail(export_id: int, reason: str) -> None:
    """Give a file up, and tell its owner."""
    row = _locked(export_id)
    if row is not None and row.state in UNFINISHED:
        row.state, row.error = "failed", reason
        _tell(row, "export_failed")


def unfinished() -> list[int]:
    """Return the files that no worker has in hands."""
    late = utc_now() - GIVEN_UP_AFTER
    idle = DataExport.begun_at.is_(None) | (DataExport.begun_at < late)
    query = select(DataExport.id).where(DataExport.state.in_(UNFINISHED), idle)
    return list(db.session.scalars(query.order_by(DataExport.id)))


def expire() -> None:
    """Take the files whose time is over away; also those that nobody knows (any more)."""
    now = utc_now()
    old = db.session.scalars(
        select(DataExport)
        .where(DataExport.state == "ready", DataExport.expires_at <= now)
        .with_for_update(skip_locked=True)
    )
    for row in old:
        _remove(row.file_name)
        row.state = "gone"
    db.session.flush()
    known = set(
        db.session.scalars(
            select(DataExport.file_name).where(DataExport.state.in_((*UNFINISHED, "ready")))
        )
    )
    for path in folder().iterdir():
        name = path.name.removesuffix(PART)
        late = now.timestamp() - path.stat().st_mtime > GIVEN_UP_AFTER.total_seconds()
        if late and (name not in known or path.name.endswith(PART)):
            path.unlink(missing_ok=True)


def forget_files(user_id: int) -> None:
    """Remove all files of a person; their rows may go after it."""
    names = select(DataExport.file_name).where(DataExport.user_id == user_id)
    for name in db.session.scalars(names):
        _remove(name)


def _remove(name: str) -> None:
    for ending in ("", PART):
        (folder() / f"{name}{ending}").unlink(missing_ok=True)


def _tell(row: DataExport, template: str) -> None:
    user_id = row.user_id
    hours = int(LIFE.total_seconds() // 3600)
    send_mail(queries.user_by_id(user_id), template, days=hours // 24)
    after_commit(lambda: hint(user_id, TOPIC))


def _state_now(row: DataExport) -> str:
    is_over = row.expires_at is not None and row.expires_at <= utc_now()
    return "gone" if row.state == "ready" and is_over else row.state


def _unfinished(user_id: int) -> int | None:
    return db.session.scalar(
        select(DataExport.id).where(DataExport.user_id == user_id, DataExport.state.in_(UNFINISHED))
    )


def _locked(export_id: int) -> DataExport | None:
    return db.session.get(DataExport, export_id, with_for_update=True, populate_existing=True)


def _new_name() -> str:
    return f"{secrets.token_hex(32)}.zip"
