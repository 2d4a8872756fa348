"""The second factor: codes of an authenticator app (TOTP), and recovery codes for its loss."""

import hmac
import time
from dataclasses import dataclass
from datetime import datetime

import pyotp
from sqlalchemy import delete, exists, func, select, update

from app.accounts import audit, keys, limits, queries
from app.accounts.models import RecoveryCode, Role, SecondFactor
from app.accounts.plain_codes import hash_of, new_code
from app.db import db, utc_now
from app.errors import Conflict, Forbidden, InvalidInput
from app.notifications.service import send_mail

ISSUER = "Botyard"
STEP_SECONDS = 30
# A clock may be wrong by one step in either direction.
DRIFT = 1
RECOVERY_CODES = 10


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app needs, until its first right code."""

    secret: str
    uri: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person sees of the own second factor."""

    since: datetime | None
    codes_left: int

    @property
    def is_on(self) -> bool:
        return self.since is not None


def is_on(user_id: int) -> bool:
    """Tell whether a log-in asks this person for a second factor."""
    query = select(
        exists().where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None))
    )
    return bool(db.session.scalar(query))


def standing(user_id: int) -> Standing:
    """Return since when the factor is on, and how many recovery codes are left."""
    row = db.session.get(SecondFactor, user_id)
    left = db.session.scalar(
        select(func.count(RecoveryCode.id)).where(
            RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
        )
    )
    return Standing(row.confirmed_at if row else None, left or 0)


def begin(user_id: int) -> None:
    """Make a secret that waits for its first code.

    Always a new one: somebody else may have seen one that was left waiting.
    """
    if not queries.user_by_id(user_id).has_proved_mail:
        raise Forbidden("factor_for_unconfirmed")
    row = _locked(user_id)
    if row is not None and row.confirmed_at is not None:
        raise Conflict("factor_is_on")
    sealed = _seal(user_id, new_secret())
    if row is None:
        db.session.add(SecondFactor(user_id=user_id, sealed_secret=sealed))
    else:
        row.sealed_secret = sealed


def waiting(user_id: int) -> Enrolment | None:
    """Return the secret that waits for its first code, None when there is none."""
    row = db.session.get(SecondFactor, user_id)
    if row is None or row.confirmed_at is not None:
        return None
    secret = _open(row)
    name = queries.user_by_id(user_id).email
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER))


def confirm(user_id: int, code: str, address: str) -> list[str]:
    """Turn the factor on with the app's first code; return the recovery codes, for this once."""
    limits.spend(limits.SECOND_FACTOR, str(user_id))
    row = _locked(user_id)
    if row is None or row.confirmed_at is not None:
        raise Conflict("factor_not_waiting")
    if not _take_step(row, code):
        raise InvalidInput("wrong_factor_code", field="code")
    limits.forget(limits.SECOND_FACTOR, str(user_id))
    row.confirmed_at = utc_now()
    audit.record("accounts.factor_on", "user", user_id, actor_id=user_id, address=address)
    send_mail(queries.user_by_id(user_id), "second_factor_on")
    return _fresh_recovery_codes(user_id)


def check(user_id: int, code: str, address: str) -> None:
    """Take a code of the app or a recovery code; each works once.

    Raises InvalidInput for a wrong one and TooManyTries after ten of them.
    """
    limits.spend(limits.SECOND_FACTOR, str(user_id))
    row = _locked(user_id)
    if row is None or row.confirmed_at is None:
        raise InvalidInput("wrong_factor_code", field="code")
    if not _take_step(row, code):
        _take_recovery_code(user_id, code, address)
    limits.forget(limits.SECOND_FACTOR, str(user_id))


def turn_off(user_id: int, address: str) -> None:
    """Ask for no second factor any more; raise Forbidden for staff, who need one."""
    user = queries.user_by_id(user_id)
    if user.role != Role.CUSTOMER.value:
        raise Forbidden("staff_need_factor")
    if _forget(user_id):
        audit.record("accounts.factor_off", "user", user_id, actor_id=user_id, address=address)
        send_mail(user, "second_factor_off")


def take_away(user_id: int) -> bool:
    """Remove a lost factor by the operator's hand; tell whether there was one."""
    had = _forget(user_id)
    if had:
        audit.record("accounts.factor_taken_away", "user", user_id)
        send_mail(queries.user_by_id(user_id), "second_factor_off")
    return had


def renew_recovery_codes(user_id: int, address: str) -> list[str]:
    """Replace all recovery codes; return the new ones, for this once."""
    row = _locked(user_id)
    if row is None or row.confirmed_at is None:
        raise Conflict("factor_not_waiting")
    audit.record("accounts.recovery_codes", "user", user_id, actor_id=user_id, address=address)
    return _fresh_recovery_codes(user_id)


def new_secret() -> str:
    """Make a secret of 160 bits, as authenticator apps take it."""
    return pyotp.random_base32()


def put_confirmed(user_id: int, secret: str) -> None:
    """Give a person a factor that is on already; for the demo's people."""
    sealed = _seal(user_id, secret)
    db.session.merge(
        SecondFactor(user_id=user_id, sealed_secret=sealed, confirmed_at=utc_now(), last_step=0)
    )
    db.session.flush()


def next_code(user_id: int) -> str | None:
    """Return the code that works now, None when it was just used; for the demo's people."""
    row = db.session.get(SecondFactor, user_id)
    if row is None:
        return None
    now = int(time.time()) // STEP_SECONDS
    step = max(now, row.last_step + 1)
    return pyotp.TOTP(_open(row)).generate_otp(step) if step <= now + DRIFT else None


def _take_step(row: SecondFactor, code: str) -> bool:
    """Use up the half minute to which a code belongs; the row must be locked."""
    digits = "".join(code.split())
    totp = pyotp.TOTP(_open(row))
    now = int(time.time()) // STEP_SECONDS
    for step in range(now - DRIFT, now + DRIFT + 1):
        expected = totp.generate_otp(step)
        fits = hmac.compare_digest(expected.encode(), digits.encode(errors="replace"))
        if fits and step > row.last_step:
            row.last_step = step
            return True
    return False


def _take_recovery_code(user_id: int, code: str, address: str) -> None:
    used = db.session.scalar(
        update(RecoveryCode)
        .where(
            RecoveryCode.user_id == user_id,
            RecoveryCode.code_hash == hash_of(code, user_id),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=utc_now())
        .returning(RecoveryCode.id)
    )
    if used is None:
        raise InvalidInput("wrong_factor_code", field="code")
    audit.record("accounts.recovery_code_used", "user", user_id, actor_id=user_id, address=address)
    left = standing(user_id).codes_left
    send_mail(queries.user_by_id(user_id), "recovery_code_used", left=left)


def _fresh_recovery_codes(user_id: int) -> list[str]:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    fresh = [new_code() for _ in range(RECOVERY_CODES)]
    db.session.add_all(
        RecoveryCode(user_id=user_id, code_hash=hash_of(code, user_id)) for code in fresh
    )
    return fresh


def _forget(user_id: int) -> bool:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    row = _locked(user_id)
    if row is not None:
        db.session.delete(row)
        db.session.flush()
    return row is not None and row.confirmed_at is not None


def _locked(user_id: int) -> SecondFactor | None:
    return db.session.get(SecondFactor, user_id, with_for_update=True, populate_existing=True)


def _seal(user_id: int, secret: str) -> str:
    return keys.seal_for(
        user_id, secret.encode(), table="second_factors", column="sealed_secret", row=user_id
    )


def _open(row: SecondFactor) -> str:
    return keys.open_for(
        row.user_id,
        row.sealed_secret,
        table="second_factors",
        column="sealed_secret",
        row=row.user_id,
    ).decode()
