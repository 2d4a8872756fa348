"""The first-run set-up: who holds the code from the log makes the first administrator, once."""

import hmac
import secrets
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from app.accounts import audit, limits, queries, service
from app.accounts.models import Installation, User
from app.accounts.service import NewPerson
from app.db import db, utc_now
from app.errors import InvalidInput, NotFound
from app.extensions import redis_client

# Without characters that look alike.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GROUPS, _GROUP_LENGTH = 4, 4
_KEY = "setup:code"


def setup_code() -> str:
    """Return the code of this installation; all processes and the command line show the same."""
    fresh = "-".join(
        "".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS)
    )
    redis_client.client.set(_KEY, fresh, nx=True)
    stored: Any = redis_client.client.get(_KEY)
    return stored.decode() if stored else fresh


def complete(code: str, person: NewPerson, address: str) -> User:
    """Make the first administrator and close the set-up for ever.

    Raises NotFound when it is closed, TooManyTries, and InvalidInput that names the field.
    """
    if not queries.setup_is_open():
        raise NotFound("setup_done")
    limits.spend(limits.SET_UP, "set-up")
    if not hmac.compare_digest(_plain(code), _plain(setup_code())):
        raise InvalidInput("wrong_setup_code", field="code")
    # The single row decides between two who send the form at once: the second waits here.
    mine = db.session.scalar(
        insert(Installation)
        .values(id=1, completed_at=utc_now())
        .on_conflict_do_nothing(index_elements=[Installation.id])
        .returning(Installation.id)
    )
    if mine is None:
        raise NotFound("setup_done")
    user = service.create_admin(person)
    db.session.get_one(Installation, 1).administrator_id = user.id
    audit.record("accounts.set_up", "installation", 1, actor_id=user.id, address=address)
    return user


def _plain(code: str) -> bytes:
    kept = (character for character in code.upper() if character.isalnum())
    return "".join(kept).encode(errors="replace")
