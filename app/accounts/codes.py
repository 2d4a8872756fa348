"""Mailed codes: ten minutes, one use, and only a hash is stored.

Six digits are bound to the browser that asked for them and take five tries; the long ones of
links work in any browser, and nobody guesses them.
"""

import hashlib
import hmac
import re
import secrets
from datetime import timedelta

from sqlalchemy import select, update

from app.accounts.models import OneTimeCode
from app.config import current_config
from app.db import db, utc_now

LIFE = timedelta(minutes=10)
MAX_TRIES = 5
DIGITS = 6
CONFIRM_EMAIL = "confirm-email"
CHANGE_EMAIL = "change-email"
CONFIRM_PHONE = "confirm-phone"
RESET_PASSWORD = "reset-password"  # noqa: S105 - the name of a purpose
# The row's id and 256 random bits.
_LINK_CODE = re.compile(r"([0-9]{1,18})-([A-Za-z0-9_-]{43})", re.ASCII)


def issue(
    user_id: int, purpose: str, password_hash: str | None = None, new_email: str | None = None
) -> tuple[int, str]:
    """Make a code; return the id of its row and the digits, which stand nowhere else."""
    digits = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    code = _add(user_id, purpose, digits, password_hash, new_email)
    return code.id, digits


def issue_for_link(user_id: int, purpose: str) -> str:
    """Make a code that is long enough to work in any browser; return it."""
    secret = secrets.token_urlsafe(32)
    return f"{_add(user_id, purpose, secret).id}-{secret}"


def redeem(code_id: int, purpose: str, digits: str) -> OneTimeCode | None:
    """Use a code up and return its row; None when it is wrong, old, used or tried too often.

    A wrong try is counted, so the caller has to commit in both cases.
    """
    code = _living(code_id, purpose)
    if code is None or code.tries >= MAX_TRIES:
        return None
    code.tries += 1
    if not hmac.compare_digest(code.code_hash, _hash(code, digits)):
        return None
    code.used_at = utc_now()
    return code


def redeem_link(text: str, purpose: str) -> OneTimeCode | None:
    """Use the code of a link up and return its row; None when it is wrong, old or used."""
    parts = _LINK_CODE.fullmatch(text.strip())
    code = _living(int(parts[1]), purpose) if parts else None
    # Wrong tries are not counted: a stranger could use up somebody's link by them.
    if (
        code is None
        or parts is None
        or not hmac.compare_digest(code.code_hash, _hash(code, parts[2]))
    ):
        return None
    code.used_at = utc_now()
    return code


def void(user_id: int, *purposes: str) -> None:
    """Let no waiting code of these purposes work any more."""
    db.session.execute(
        update(OneTimeCode)
        .where(
            OneTimeCode.user_id == user_id,
            OneTimeCode.purpose.in_(purposes),
            OneTimeCode.used_at.is_(None),
        )
        .values(used_at=utc_now())
    )


def waiting_password(code_id: int) -> str | None:
    """Return the password hash that waits with a code, so that its successor keeps it."""
    return db.session.scalar(select(OneTimeCode.password_hash).where(OneTimeCode.id == code_id))


def _add(
    user_id: int,
    purpose: str,
    secret: str,
    password_hash: str | None = None,
    new_email: str | None = None,
) -> OneTimeCode:
    code = OneTimeCode(
        user_id=user_id,
        purpose=purpose,
        code_hash="",
        password_hash=password_hash,
        new_email=new_email,
        expires_at=utc_now() + LIFE,
    )
    db.session.add(code)
    db.session.flush()
    code.code_hash = _hash(code, secret)
    return code


def _living(code_id: int, purpose: str) -> OneTimeCode | None:
    """Return a code that can still be used, locked: of two who use it at once one waits here."""
    code = db.session.scalar(
        select(OneTimeCode)
        .where(OneTimeCode.id == code_id, OneTimeCode.purpose == purpose)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if code is None or code.used_at is not None or code.expires_at <= utc_now():
        return None
    return code


def _hash(code: OneTimeCode, digits: str) -> str:
    # Six digits are tried in a second, so the hash needs a key that is not in the database.
    message = f"{code.id}|{code.user_id}|{code.purpose}|{digits}".encode(errors="replace")
    return hmac.new(current_config().secret_key.encode(), message, hashlib.sha256).hexdigest()
