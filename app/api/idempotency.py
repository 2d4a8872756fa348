"""A request that comes twice with one Idempotency-Key acts once and is answered alike."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from app.api.models import KeptAnswer
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput

KEPT_FOR = timedelta(hours=24)
_KEY = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)


def check_key(key: str | None) -> str | None:
    """Return the key of a request, None without one; raise InvalidInput for an odd one."""
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidInput("bad_idempotency_key", field="Idempotency-Key")
    return key


def fingerprint(body: Mapping[str, object]) -> str:
    """Return what tells one body from another; the order of its fields does not count."""
    written = json.dumps(body, sort_keys=True, default=_text)
    return hashlib.sha256(written.encode()).hexdigest()


def recall(user_id: int, key: str, found: str) -> str | None:
    """Return the answer kept under a key; None if the request is new, and the key is taken now.

    Inside the transaction that acts: a second request waits here until the first has committed,
    and takes its place if it failed. Raise Conflict if the key came with another body.
    """
    now = utc_now()
    db.session.execute(
        delete(KeptAnswer).where(
            KeptAnswer.user_id == user_id, KeptAnswer.created_at < now - KEPT_FOR
        )
    )
    taken = db.session.scalar(
        insert(KeptAnswer)
        .values(user_id=user_id, key=key, fingerprint=found, created_at=now)
        .on_conflict_do_nothing(index_elements=[KeptAnswer.user_id, KeptAnswer.key])
        .returning(KeptAnswer.id)
    )
    if taken is not None:
        return None
    kept = _row(user_id, key)
    if kept.fingerprint != found:
        raise Conflict("idempotency_key_reused", field="Idempotency-Key")
    return kept.body


def keep(user_id: int, key: str, body: str) -> None:
    """Keep the answer under the key that `recall` took."""
    _row(user_id, key).body = body


def _row(user_id: int, key: str) -> KeptAnswer:
    query = select(KeptAnswer).where(KeptAnswer.user_id == user_id, KeptAnswer.key == key)
    return db.session.scalars(query).one()


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"no such value comes out of a body: {type(value).__name__}")
