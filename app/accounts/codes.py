"""Mailed six-digit codes: ten minutes, five tries, one use, and only a hash is stored."""

import hashlib
import hmac
import secrets
from datetime import timedelta

from sqlalchemy import select

from app.accounts.models import OneTimeCode
from app.config import current_config
from app.db import db, utc_now

LIFE = timedelta(minutes=10)
MAX_TRIES = 5
DIGITS = 6
CONFIRM_EMAIL = "confirm-email"


def issue(user_id: int, purpose: str, password_hash: str | None = None) -> tuple[int, str]:
    """Make a code; return the id of its row and the digits, which stand nowhere else."""
    digits = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    code = OneTimeCode(
        user_id=user_id,
        purpose=purpose,
        code_hash="",
        password_hash=password_hash,
        expires_at=utc_now() + LIFE,
    )
    db.session.add(code)
    db.session.flush()
    code.code_hash = _hash(code, digits)
    return code.id, digits


def redeem(code_id: int, purpose: str, digits: str) -> OneTimeCode | None:
    """Use a code up and return its row; None when it is wrong, old, used or tried too often.

    A wrong try is counted, so the caller has to commit in both cases.
    """
    code = db.session.scalar(
        select(OneTimeCode)
        .where(OneTimeCode.id == code_id, OneTimeCode.purpose == purpose)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if code is None or code.used_at is not None or code.expires_at <= utc_now():
        return None
    if code.tries >= MAX_TRIES:
        return None
    code.tries += 1
    if not hmac.compare_digest(code.code_hash, _hash(code, digits)):
        return None
    code.used_at = utc_now()
    return code


def waiting_password(code_id: int) -> str | None:
    """Return the password hash that waits with a code, so that its successor keeps it."""
    return db.session.scalar(select(OneTimeCode.password_hash).where(OneTimeCode.id == code_id))


def _hash(code: OneTimeCode, digits: str) -> str:
    # Six digits are tried in a second, so the hash needs a key that is not in the database.
    message = f"{code.id}|{code.user_id}|{code.purpose}|{digits}".encode(errors="replace")
    return hmac.new(current_config().secret_key.encode(), message, hashlib.sha256).hexdigest()
