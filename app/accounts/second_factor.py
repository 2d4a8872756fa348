"""The second factor: codes of an authenticator app (TOTP), and recovery codes for its loss.

Passkeys count too (`passkeys/`): who has an app or a passkey is asked for one of them, or for a
recovery code, whenever a password was given.
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pyotp
from sqlalchemy import delete, exists, func, select, update

from app.accounts import audit, keys, limits, queries
from app.accounts.models import RecoveryCode, Role, SecondFactor, User
from app.accounts.passkeys.models import Passkey
from app.accounts.plain_codes import hash_of, new_code
from app.db import db, utc_now
from app.errors import Conflict, Forbidden, InvalidInput
from app.notifications.service import send_mail

ISSUER = "Botyard"
STEP_SECONDS = 30
# A clock may be wrong by one step in either direction.
DRIFT = 1
RECOVERY_CODES = 10


# Upper subjects say who needs a second factor for what they keep (exchange keys).
_needs: list[Callable[[int], bool]] = []


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app needs, until its first right code."""

    secret: str
    uri: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person sees of the own second factor; `since` is of the app."""

    since: datetime | None
    passkeys: int
    codes_left: int

    @property
    def has_app(self) -> bool:
        return self.since is not None

    @property
    def is_on(self) -> bool:
        return self.has_app or self.passkeys > 0


def need_with(needs: Callable[[int], bool]) -> None:
    """Let an upper subject keep people from removing their last factor."""
    if needs not in _needs:
        _needs.append(needs)


def is_on(user_id: int) -> bool:
    """Tell whether a password alone is not enough for this person's log-in."""
    app = exists().where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None))
    # A locked passkey counts too: a lock must not turn the second factor off.
    passkey = exists().where(Passkey.user_id == user_id)
    return bool(db.session.scalar(select(app | passkey)))


def needed_for(user_id: int) -> str | None:
    """Return the code that says why a person must have a second factor; None for who need not."""
    if queries.user_by_id(user_id).role != Role.CUSTOMER.value:
        return "staff_need_factor"
    return "keys_need_factor" if any(needs(user_id) for needs in _needs) else None


def has_passkey(user_id: int) -> bool:
    """Tell whether a passkey can be asked for."""
    query = exists().where(Passkey.user_id == user_id, Passkey.locked_at.is_(None))
    return bool(db.session.scalar(select(query)))


def standing(user_id: int) -> Standing:
    """Return since when the app is on, how many passkeys there are and recovery codes left."""
    row = db.session.get(SecondFactor, user_id)
    left = db.session.scalar(
        select(func.count(RecoveryCode.id)).where(
            RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
        )
    )
    passkeys = db.session.scalar(select(func.count(Passkey.id)).where(Passkey.user_id == user_id))
    return Standing(row.confirmed_at if row else None, passkeys or 0, left or 0)


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
    """Turn the app on with its first code; return new recovery codes, for this once.

    Whoever has a passkey has recovery codes already, and gets none.
    """
    limits.spend(limits.SECOND_FACTOR, str(user_id))
    row = _locked(user_id)
    if row is None or row.confirmed_at is not None:
        raise Conflict("factor_not_waiting")
    if not _take_step(row, code):
        raise InvalidInput("wrong_factor_code", field="code")
    limits.forget(limits.SECOND_FACTOR, str(user_id))
    codes = first_recovery_codes(user_id)
    row.confirmed_at = utc_now()
    audit.record("accounts.factor_on", "user", user_id, actor_id=user_id, address=address)
    send_mail(queries.user_by_id(user_id), "second_factor_on")
    return codes


def check(user_id: int, code: str, address: str) -> None:
    """Take a code of the app or a recovery code; each works once.

    Raises InvalidInput for a wrong one and TooManyTries after ten of them.
    """
    limits.spend(limits.SECOND_FACTOR, str(user_id))
    row = _locked(user_id)
    has_app = row is not None and row.confirmed_at is not None
    if not (row is not None and has_app and _take_step(row, code)):
        _take_recovery_code(user_id, code, address)
    limits.forget(limits.SECOND_FACTOR, str(user_id))


def turn_off(user_id: int, address: str) -> None:
    """Ask for no codes of the app any more.

    Raises Forbidden for somebody who needs a second factor and has no other one.
    """
    lock_factors(user_id)
    before = standing(user_id)
    if before.has_app:
        refuse_loss_of_last(user_id)
    row = _locked(user_id)
    if row is not None:
        db.session.delete(row)
        db.session.flush()
    drop_idle_codes(user_id)
    if before.has_app:
        audit.record("accounts.factor_off", "user", user_id, actor_id=user_id, address=address)
        send_mail(queries.user_by_id(user_id), "second_factor_off")


def may_turn_off(user_id: int) -> bool:
    """Tell whether a person may do without the app."""
    return needed_for(user_id) is None or standing(user_id).passkeys > 0


def refuse_loss_of_last(user_id: int) -> None:
    """Raise Forbidden before somebody who must have a second factor removes the only one.

    The caller holds the lock of `lock_factors`.
    """
    now = standing(user_id)
    reason = needed_for(user_id) if now.passkeys + now.has_app == 1 else None
    if reason is not None:
        raise Forbidden(reason)


def lock_factors(user_id: int) -> None:
    """Let nobody else change this person's factors before the commit: the last one must stay."""
    query = select(User.id).where(User.id == user_id).with_for_update(of=User)
    db.session.execute(query)


def take_away(user_id: int) -> bool:
    """Remove all factors by the operator's hand; tell whether there were any."""
    lock_factors(user_id)
    had = is_on(user_id)
    for table in (RecoveryCode, SecondFactor, Passkey):
        db.session.execute(delete(table).where(table.user_id == user_id))
    if had:
        audit.record("accounts.factor_taken_away", "user", user_id)
        send_mail(queries.user_by_id(user_id), "second_factor_off")
    return had


def renew_recovery_codes(user_id: int, address: str) -> list[str]:
    """Replace all recovery codes; return the new ones, for this once."""
    lock_factors(user_id)
    if not is_on(user_id):
        raise Conflict("factor_not_waiting")
    audit.record("accounts.recovery_codes", "user", user_id, actor_id=user_id, address=address)
    return _fresh_recovery_codes(user_id)


def first_recovery_codes(user_id: int) -> list[str]:
    """Make recovery codes for somebody who gets a first factor; none where there is one."""
    lock_factors(user_id)
    return [] if is_on(user_id) else _fresh_recovery_codes(user_id)


def drop_idle_codes(user_id: int) -> None:
    """Remove the recovery codes of somebody who has no factor any more."""
    if not is_on(user_id):
        db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


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
