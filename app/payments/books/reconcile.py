"""Comparing our books with those of a rail, page by page; what differs is brought in line.

A run is a row: after a crash the next one goes on with the page at which it stopped. Its own
fetches go through `take` as callbacks do, so that nothing is booked twice.
"""

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import delete, func, insert, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_once

from app.adapters.payments import rail_named
from app.adapters.payments.books import Books, Entry, Figures, books_of
from app.adapters.payments.port import Ref
from app.db import db, utc_now
from app.errors import Conflict, DomainError, Unavailable
from app.payments.books.models import (
    Reconciliation,
    ReconciliationAwaited,
    ReconciliationDifference,
)
from app.payments.books.pace import Pace
from app.payments.books.sides import sides
from app.payments.settling import take_ref
from app.transactions import transaction

log = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=90)
AWAITED_AT_ONCE = 50
# What is nobody's here is no difference.
FOREIGN = frozenset({"not_ours", "unknown_payment", "unknown_object", "draft"})
MISSING = ""
WHOLE = "object"


def begin(rail: str, since: datetime) -> int:
    """Begin a run, or return the one that was not ended yet; raise Conflict without books."""
    books = _books(rail)
    running = db.session.scalar(
        select(Reconciliation.id).where(
            Reconciliation.rail == rail, Reconciliation.ended_at.is_(None)
        )
    )
    if running is not None:
        return running
    db.session.execute(
        delete(Reconciliation).where(Reconciliation.started_at < utc_now() - KEPT_FOR)
    )
    run = Reconciliation(rail=rail, since=since, kind=_kinds(books)[0])
    db.session.add(run)
    db.session.flush()
    for kind in _kinds(books):
        awaited = sides()[kind].awaited(rail, since).distinct().subquery()
        rows = select(literal(run.id), literal(kind), *awaited.c)
        names = ["run_id", "kind", "external_id"]
        db.session.execute(insert(ReconciliationAwaited).from_select(names, rows))
    return run.id


def go_on(rail: str, seconds: float) -> bool:
    """Compare for about so many seconds; tell whether nothing is left to do.

    For an edge: each page is a few transactions. One process at a time; another one leaves at once.
    Raises Unavailable if the rail does not answer; the run stays, and goes on with the next call.
    """
    end, pace = time.monotonic() + seconds, Pace()
    with _alone(rail) as is_mine:
        while is_mine:
            with transaction():
                run = _running(rail)
                if run is None:
                    return True
                db.session.expunge(run)
            _Step(run, _books(rail), pace).take()
            if time.monotonic() > end:
                return False
    return True


class _Step:
    """One page of a run, or some of what the pages did not have."""

    def __init__(self, run: Reconciliation, books: Books, pace: Pace) -> None:
        self._run = run
        self._books = books
        self._pace = pace
        self._compared = self._others = 0

    def take(self) -> None:
        """Compare, and note where the next step begins."""
        run, kinds = self._run, _kinds(self._books)
        if run.kind is None:
            self._move(None, None)
        elif run.after == WHOLE:
            # The pages are through; what they did not have is looked for by name.
            rest = self._look_for_the_rest(run.kind)
            follows = dict(zip(kinds, kinds[1:], strict=False)).get(run.kind)
            self._move(*((run.kind, WHOLE) if rest else (follows, None)))
        else:
            kind, after = run.kind, run.after
            page = self._pace.ask(lambda: self._books.page(kind, run.since, after))
            self._compare_all(kind, page.entries)
            self._move(kind, page.after or WHOLE)

    def _compare_all(self, kind: str, entries: tuple[Entry, ...]) -> None:
        with transaction():
            ours = sides()[kind].figures(self._run.rail, [one.ref.id for one in entries])
        for entry in entries:
            if ours.get(entry.ref.id) != entry.figures:
                self._bring_in_line(entry, ours.get(entry.ref.id))
        with transaction():
            self._met(kind, [one.ref.id for one in entries])
        self._compared += len(entries)

    def _look_for_the_rest(self, kind: str) -> bool:
        query = (
            select(ReconciliationAwaited.external_id)
            .where(ReconciliationAwaited.run_id == self._run.id, ReconciliationAwaited.kind == kind)
            .order_by(ReconciliationAwaited.external_id)
            .limit(AWAITED_AT_ONCE)
        )
        with transaction():
            names = list(db.session.scalars(query))
            ours = sides()[kind].figures(self._run.rail, names)
        for name in names:
            ref = Ref(kind, name)
            entry = self._pace.ask(partial(self._books.entry, ref))
            here = ours.get(name)
            if entry is None or here != entry.figures:
                self._bring_in_line(entry or Entry(ref, {}), here)
        with transaction():
            self._met(kind, names)
        self._compared += len(names)
        return len(names) == AWAITED_AT_ONCE

    def _bring_in_line(self, entry: Entry, here: Figures | None) -> None:
        """Take an object as its callback would have been taken, and note what differed."""
        reason = self._pace.ask(lambda: self._take(entry.ref))
        if here is None and reason in FOREIGN:
            self._others += 1
            return
        now = self._pace.ask(lambda: self._books.entry(entry.ref)) or Entry(entry.ref, {})
        with transaction():
            ours = sides()[entry.ref.kind].figures(self._run.rail, [entry.ref.id])
            after = ours.get(entry.ref.id)
            left = _differing(after, now.figures)
            for field, (was, there) in (_differing(here, entry.figures) | left).items():
                self._note(entry.ref, field, was, there, field not in left, reason)

    def _take(self, ref: Ref) -> str | None:
        try:
            with transaction():
                return take_ref(self._run.rail, ref).reason
        except Unavailable:
            raise
        except DomainError as error:
            return error.code
        except Exception as error:
            # It is listed, and the other objects go on.
            log.exception("reconciliation_failed kind=%s object=%s", ref.kind, ref.id)
            return type(error).__name__

    def _note(
        self, ref: Ref, field: str, here: str, there: str, is_fixed: bool, reason: str | None
    ) -> None:
        made = insert_once(ReconciliationDifference).values(
            run_id=self._run.id,
            kind=ref.kind,
            external_id=ref.id,
            field=field,
            here=here,
            there=there,
            is_fixed=is_fixed,
            reason=reason,
        )
        db.session.execute(made.on_conflict_do_nothing())
        if not is_fixed:
            log.error(
                "books_differ rail=%s kind=%s object=%s field=%s here=%s there=%s",
                self._run.rail, ref.kind, ref.id, field, here, there,
            )  # fmt: skip

    def _met(self, kind: str, names: list[str]) -> None:
        db.session.execute(
            delete(ReconciliationAwaited).where(
                ReconciliationAwaited.run_id == self._run.id,
                ReconciliationAwaited.kind == kind,
                ReconciliationAwaited.external_id.in_(names),
            )
        )

    def _move(self, kind: str | None, after: str | None) -> None:
        now = utc_now()
        noted = (
            select(func.count())
            .select_from(ReconciliationDifference)
            .where(ReconciliationDifference.run_id == self._run.id)
        )
        with transaction():
            db.session.execute(
                update(Reconciliation)
                .where(Reconciliation.id == self._run.id)
                .values(
                    kind=kind,
                    after=after,
                    compared=Reconciliation.compared + self._compared,
                    others=Reconciliation.others + self._others,
                    moved_at=now,
                    ended_at=now if kind is None else None,
                    fixed=noted.where(ReconciliationDifference.is_fixed).scalar_subquery(),
                    differences=noted.where(~ReconciliationDifference.is_fixed).scalar_subquery(),
                )
            )


def _differing(here: Figures | None, there: Figures) -> dict[str, tuple[str, str]]:
    """Return what is not the same: name, ours, theirs; the whole object if one side lacks it."""
    if here is None or not there:
        return {WHOLE: ((here or {}).get("state", MISSING), there.get("state", MISSING))}
    return {
        name: (here.get(name, MISSING), told)
        for name, told in there.items()
        if here.get(name, MISSING) != told
    }


def _running(rail: str) -> Reconciliation | None:
    return db.session.scalar(
        select(Reconciliation).where(Reconciliation.rail == rail, Reconciliation.ended_at.is_(None))
    )


def _books(rail: str) -> Books:
    books = books_of(rail_named(rail))
    if books is None:
        raise Conflict("rail_shows_no_books")
    return books


def _kinds(books: Books) -> list[str]:
    return [kind for kind in books.kinds if kind in sides()]


@contextmanager
def _alone(rail: str) -> Iterator[bool]:
    """Let one process at a time compare; the lock ends with its connection."""
    digest = hashlib.sha256(f"reconciliation\x1f{rail}".encode()).digest()
    key = {"key": int.from_bytes(digest[:8], "big", signed=True)}
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_mine = bool(connection.scalar(text("select pg_try_advisory_lock(:key)"), key))
        try:
            yield is_mine
        finally:
            # A connection that went back to the pool would keep the lock.
            connection.invalidate()
