"""Exchanging the data keys of owners for new ones, while everything goes on.

Every owner is marked first, gets a new key, and what was sealed under the old one is sealed anew,
batch by batch, each a transaction of its own. Whoever seals holds a lock on the key for so long, so
nothing is stored under an old key after the new one is there. The old key still opens until all
readers that may have read an old value are gone. A run that was killed is simply started again: the
marks say what is left.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import ColumnElement, Integer, String, Table, cast, exists, func, select, update
from sqlalchemy.sql.expression import case, literal

from app.accounts.keys import CURRENT, PREVIOUS, key_binding, open_for, seal_for
from app.accounts.models import OwnerKey
from app.accounts.rotation import SEALED_UNDER_MASTER, Rotated
from app.config import current_config
from app.db import Base, db, utc_now
from app.encryption import DecryptionError, new_key
from app.transactions import transaction

BATCH = 200
# No transaction of ours is open for so long: its statements end after 15 s.
GRACE = timedelta(seconds=60)
PREFIX = "sealed_"


@dataclass(slots=True)
class Exchange:
    """One run; `unreadable` values stay as they are, with the old key of their owner."""

    batch: int
    tell: Callable[[int], None]
    done: int = 0
    unreadable: list[str] = field(default_factory=list)

    def note(self, done: int) -> None:
        """Count values that were sealed anew."""
        self.done += done
        self.tell(self.done)


def rotate_data_keys(
    batch: int = BATCH,
    tell: Callable[[int], None] = lambda _: None,
    grace: timedelta = GRACE,
) -> Rotated:
    """Give every owner a new data key, or go on with a run that was broken off.

    Opens transactions of its own: call it outside of any. Waits for `grace` at the end.
    """
    run = Exchange(batch, tell)
    with transaction():
        if not _is_under_way():
            db.session.execute(update(OwnerKey).values(rotation_due=True))
    while _renew_some(batch):
        pass
    for table, column in sealed_columns():
        _seal_column_anew(table, column, run)
    with transaction():
        latest = db.session.scalar(select(func.max(OwnerKey.rotated_at)).where(_HAS_PREVIOUS))
    if latest is not None:
        # An old value read just before it was sealed anew is opened a moment later.
        time.sleep(max(0.0, (latest + grace - utc_now()).total_seconds()))
    _drop_previous(batch)
    return Rotated(run.done, tuple(run.unreadable))


def owners_left() -> int:
    """Count owners whose key is still to be exchanged, or whose old key still opens."""
    return db.session.scalar(select(func.count()).select_from(OwnerKey).where(_IS_OPEN)) or 0


def sealed_columns() -> Iterator[tuple[Table, str]]:
    """Yield every column under data keys: its table has the owner's `user_id` and one key."""
    under_master = {(one.table.name, one.name) for one in SEALED_UNDER_MASTER}
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if column.name.startswith(PREFIX) and (table.name, column.name) not in under_master:
                yield table, column.name


_HAS_PREVIOUS = OwnerKey.sealed_previous.is_not(None)
_IS_OPEN = OwnerKey.rotation_due | _HAS_PREVIOUS


def _is_under_way() -> bool:
    return bool(db.session.scalar(select(exists().where(_IS_OPEN))))


def _renew_some(batch: int) -> int:
    """Give a batch of marked owners new keys; the old ones open on. Return how many."""
    ring = current_config().key_ring
    with transaction():
        rows = db.session.execute(
            select(OwnerKey.user_id, OwnerKey.sealed_key)
            .where(OwnerKey.rotation_due, ~_HAS_PREVIOUS)
            .order_by(OwnerKey.user_id)
            .limit(batch)
            .with_for_update()
        ).all()
        for user_id, sealed in rows:
            values: dict[str, object] = {"rotation_due": False}
            try:
                old = ring.open(sealed, key_binding(user_id, CURRENT))
            except DecryptionError:
                # Its values are named when they don't open; `flask keys status` names the key.
                pass
            else:
                values |= {
                    "generation": OwnerKey.generation + 1,
                    CURRENT: ring.seal(new_key(), key_binding(user_id, CURRENT)),
                    PREVIOUS: ring.seal(old, key_binding(user_id, PREVIOUS)),
                    "rotated_at": utc_now(),
                }
            db.session.execute(update(OwnerKey).where(OwnerKey.user_id == user_id).values(values))
    return len(rows)


def _seal_column_anew(table: Table, column: str, run: Exchange) -> None:
    key, last = _row_key(table), -1
    while True:
        with transaction():
            rows = db.session.execute(
                select(key, table.c.user_id, table.c[column])
                .join(OwnerKey, OwnerKey.user_id == table.c.user_id)
                .where(key > last, _HAS_PREVIOUS, _is_under_old_key(table.c[column]))
                .order_by(key)
                .limit(run.batch)
                .with_for_update(of=table)
            ).all()
            failed = [
                place
                for row, user_id, sealed in rows
                if (place := _seal_anew(table, column, row, user_id, sealed))
            ]
        if not rows:
            return
        last = rows[-1][0]
        run.unreadable += failed
        run.note(len(rows) - len(failed))


def _seal_anew(table: Table, column: str, row: int, user_id: int, sealed: str) -> str | None:
    try:
        plain = open_for(user_id, sealed, table=table.name, column=column, row=row)
    except DecryptionError:
        return f"{table.name}.{column} {row}"
    fresh = seal_for(user_id, plain, table=table.name, column=column, row=row)
    db.session.execute(update(table).where(_row_key(table) == row).values({column: fresh}))
    return None


def _drop_previous(batch: int) -> None:
    """Forget old keys under which nothing stands any more."""
    left = [
        exists().where(table.c.user_id == OwnerKey.user_id, _is_under_old_key(table.c[column]))
        for table, column in sealed_columns()
    ]
    last = -1
    while True:
        with transaction():
            users = db.session.scalars(
                select(OwnerKey.user_id)
                .where(OwnerKey.user_id > last, _HAS_PREVIOUS)
                .order_by(OwnerKey.user_id)
                .limit(batch)
                .with_for_update()
            ).all()
            db.session.execute(
                update(OwnerKey)
                .where(OwnerKey.user_id.in_(users), *(~each for each in left))
                .values(sealed_previous=None)
            )
        if not users:
            return
        last = users[-1]


def _row_key(table: Table) -> ColumnElement[int]:
    (key,) = table.primary_key.columns
    return key


def _is_under_old_key(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Tell whether a value stands under another key than its owner's present one."""
    name = (
        literal("owner-")
        + cast(OwnerKey.user_id, String)
        + case(
            (OwnerKey.generation > 1, literal("-") + cast(OwnerKey.generation, String)), else_=""
        )
    )
    return (column != "") & (func.split_part(column, ":", cast(2, Integer)) != name)
