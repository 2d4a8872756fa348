"""Sealing anew what stands under an old master key, while everything goes on.

Only data keys and mails are sealed under the master key; what people entrust to us is sealed under
their data keys, so a million secrets need no work (`data_keys.py` exchanges those). Each batch is a
transaction of its own and takes only rows that are not under the present key yet: a run that was
killed is simply started again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Column, Table, select, update

from app.accounts.models import OwnerKey
from app.config import current_config
from app.db import db
from app.encryption import VERSION, Binding, DecryptionError, key_id
from app.notifications.models import OutboxMessage
from app.transactions import transaction

BATCH = 200


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column under the master key, and who owns what stands in a row of it."""

    table: Table
    name: str
    owner: Callable[[int], int | str]

    @property
    def column(self) -> Column[str]:
        return self.table.c[self.name]

    @property
    def key(self) -> Column[int]:
        return next(iter(self.table.primary_key.columns))

    def binding(self, row: int) -> Binding:
        """Return what a value of this column is bound to."""
        return Binding(self.table.name, self.name, row, self.owner(row))


def _table(model: type[OwnerKey] | type[OutboxMessage]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101 - for the type checker
    return table


def _outbox(_row: int) -> str:
    return "outbox"


SEALED_UNDER_MASTER = (
    SealedColumn(_table(OwnerKey), "sealed_key", lambda row: row),
    SealedColumn(_table(OwnerKey), "sealed_previous", lambda row: row),
    SealedColumn(_table(OutboxMessage), "sealed_subject", _outbox),
    SealedColumn(_table(OutboxMessage), "sealed_body", _outbox),
    SealedColumn(_table(OutboxMessage), "sealed_recipient", _outbox),
)


@dataclass(frozen=True, slots=True)
class Rotated:
    """What one run did; `unreadable` rows stay as they are and need a person."""

    done: int
    unreadable: tuple[str, ...]


def rotate(batch: int = BATCH, tell: Callable[[int], None] = lambda _: None) -> Rotated:
    """Seal every value under the current key; `tell` hears the count after each batch.

    Opens transactions of its own: call it outside of any.
    """
    done, unreadable = 0, list[str]()
    for column in SEALED_UNDER_MASTER:
        for count, failed in _rotate_column(column, batch):
            done += count
            unreadable += failed
            tell(done)
    return Rotated(done, tuple(unreadable))


def keys_in_use() -> Mapping[str, int]:
    """Count the values under each master key."""
    counts: Counter[str] = Counter()
    for column in SEALED_UNDER_MASTER:
        query = select(column.column).where(column.column.is_not(None))
        query = query.execution_options(yield_per=5000)
        counts.update(_key_of(sealed) for sealed in db.session.scalars(query))
    return dict(sorted(counts.items()))


def _rotate_column(column: SealedColumn, batch: int) -> Iterator[tuple[int, list[str]]]:
    current = f"{VERSION}:{current_config().key_ring.current}:"
    last = -1
    while True:
        with transaction():
            rows = db.session.execute(
                select(column.key, column.column)
                .where(
                    column.key > last,
                    ~column.column.startswith(current, autoescape=True),
                )
                .order_by(column.key)
                .limit(batch)
                .with_for_update()
            ).all()
            outcome = [_seal_anew(column, row, sealed) for row, sealed in rows]
        if not rows:
            return
        last = rows[-1][0]
        failed = [name for name in outcome if name is not None]
        yield len(rows) - len(failed), failed


def _seal_anew(column: SealedColumn, row: int, sealed: str) -> str | None:
    """Seal one value under the current key; return its place when it does not open."""
    ring, binding = current_config().key_ring, column.binding(row)
    try:
        fresh = ring.seal(ring.open(sealed, binding), binding)
    except DecryptionError:
        return f"{column.table.name}.{column.name} {row}"
    db.session.execute(update(column.table).where(column.key == row).values({column.column: fresh}))
    return None


def _key_of(sealed: str) -> str:
    try:
        return key_id(sealed)
    except DecryptionError:
        return "?"
