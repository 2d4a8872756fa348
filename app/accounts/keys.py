"""One data key per owner, sealed under the master key: a leak of one opens nobody else's data.

While an owner's key is exchanged for a new one (`data_keys.py`) both open, and only the new seals.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.accounts.models import ERASED, OwnerKey, User
from app.config import current_config
from app.db import db
from app.encryption import Binding, DecryptionError, key_id, new_key, open_sealed, seal

TABLE = OwnerKey.__tablename__
CURRENT, PREVIOUS = "sealed_key", "sealed_previous"


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is stored of a person's keys."""

    generation: int
    sealed_key: str
    sealed_previous: str | None


def seal_for(user_id: int, plaintext: bytes, *, table: str, column: str, row: int | str) -> str:
    """Seal bytes under a person's data key, bound to one place in the database."""
    binding = Binding(table, column, row, user_id)
    # A key is not exchanged while somebody stores what was sealed under it: see data_keys.py.
    stored = _stored_or_new(user_id, lock=True)
    key = _open_current(user_id, stored)
    return seal(plaintext, key, key_name(user_id, stored.generation), binding)


def open_for(user_id: int, sealed: str, *, table: str, column: str, row: int | str) -> bytes:
    """Open what `seal_for` sealed; raise DecryptionError for any other place or owner."""
    stored = _stored_or_new(user_id, lock=False)
    key = _key_named(user_id, stored, key_id(sealed))
    return open_sealed(sealed, key, Binding(table, column, row, user_id))


def key_name(user_id: int, generation: int) -> str:
    """Return the id under which a person's key of a generation stands in sealed texts."""
    return f"owner-{user_id}" if generation == 1 else f"owner-{user_id}-{generation}"


def key_binding(user_id: int, column: str) -> Binding:
    """Return what a person's key, present or previous, is bound to."""
    return Binding(TABLE, column, user_id, user_id)


def _stored_or_new(user_id: int, *, lock: bool) -> _Stored:
    stored = _read(user_id, lock=lock)
    if stored is None:
        _refuse_leavers(user_id)
        # Two first uses at once: the one that comes second takes the key of the first.
        sealed = current_config().key_ring.seal(new_key(), key_binding(user_id, CURRENT))
        db.session.execute(
            insert(OwnerKey)
            .values(user_id=user_id, sealed_key=sealed)
            .on_conflict_do_nothing(index_elements=[OwnerKey.user_id])
        )
        stored = _read(user_id, lock=lock)
    if stored is None:
        raise RuntimeError("the data key is not there right after it was stored")
    return stored


def _refuse_leavers(user_id: int) -> None:
    """Make no new key for somebody whose key was destroyed: it would open nothing of theirs."""
    if db.session.scalar(select(User.blocked_reason).where(User.id == user_id)) == ERASED:
        raise DecryptionError("its owner has left")


def _read(user_id: int, *, lock: bool) -> _Stored | None:
    query = select(OwnerKey.generation, OwnerKey.sealed_key, OwnerKey.sealed_previous)
    query = query.where(OwnerKey.user_id == user_id)
    row = db.session.execute(query.with_for_update(read=True) if lock else query).one_or_none()
    return None if row is None else _Stored(*row)


def _key_named(user_id: int, stored: _Stored, name: str) -> bytes:
    if name == key_name(user_id, stored.generation):
        return _open_current(user_id, stored)
    if stored.sealed_previous and name == key_name(user_id, stored.generation - 1):
        ring = current_config().key_ring
        return ring.open(stored.sealed_previous, key_binding(user_id, PREVIOUS))
    raise DecryptionError("unknown key id")


def _open_current(user_id: int, stored: _Stored) -> bytes:
    # Fails when the master key that sealed it is gone, or somebody changed the row.
    return current_config().key_ring.open(stored.sealed_key, key_binding(user_id, CURRENT))
