"""One data key per owner, sealed under the master key: a leak of one opens nobody else's data."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.accounts.models import OwnerKey
from app.config import current_config
from app.db import db
from app.encryption import Binding, new_key, open_sealed, seal


def owner_key(user_id: int) -> bytes:
    """Return a person's data key, made at first use.

    Raises DecryptionError when the master key that sealed it is gone or the row was changed.
    """
    sealed = _stored_key(user_id)
    if sealed is None:
        # Two first uses at once: the one that comes second takes the key of the first.
        db.session.execute(
            insert(OwnerKey)
            .values(
                user_id=user_id,
                sealed_key=current_config().key_ring.seal(new_key(), _key_binding(user_id)),
            )
            .on_conflict_do_nothing(index_elements=[OwnerKey.user_id])
        )
        sealed = _stored_key(user_id)
    if sealed is None:
        raise RuntimeError("the data key is not there right after it was stored")
    return current_config().key_ring.open(sealed, _key_binding(user_id))


def seal_for(user_id: int, plaintext: bytes, *, table: str, column: str, row: int | str) -> str:
    """Seal bytes under a person's data key, bound to one place in the database."""
    binding = Binding(table, column, row, user_id)
    return seal(plaintext, owner_key(user_id), _key_name(user_id), binding)


def open_for(user_id: int, sealed: str, *, table: str, column: str, row: int | str) -> bytes:
    """Open what `seal_for` sealed; raise DecryptionError for any other place or owner."""
    return open_sealed(sealed, owner_key(user_id), Binding(table, column, row, user_id))


def _stored_key(user_id: int) -> str | None:
    return db.session.scalar(select(OwnerKey.sealed_key).where(OwnerKey.user_id == user_id))


def _key_binding(user_id: int) -> Binding:
    return Binding("owner_keys", "sealed_key", user_id, user_id)


def _key_name(user_id: int) -> str:
    return f"owner-{user_id}"
