"""Confirming a number by a code, and with it the account: as good as the address, never a log-in.

A number that is confirmed only proves that somebody has that phone. Whoever proves the address
owns the account: until then there is no second factor and no access token.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from app.accounts import audit, codes, keys, limits, queries
from app.accounts.models import OneTimeCode, Profile, User
from app.accounts.phone.rules import checked, checked_for_texts
from app.config import current_config
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput
from app.notifications.service import masked_number, send_mail, send_text, texts_can_leave

# Both in the profile and in the code that waits.
COLUMN = "sealed_phone"


@dataclass(frozen=True, slots=True)
class PhoneAttempt:
    """A number that waits for its code; the number itself is nowhere but sealed."""

    code_id: int
    hint: str


@dataclass(frozen=True, slots=True)
class PhoneView:
    """A person's own number, and whether codes can be sent at all."""

    number: str
    confirmed_at: datetime | None
    is_offered: bool


def own_phone(user_id: int) -> PhoneView:
    """Return a person's own number, opened for that person only."""
    own = queries.own_profile(user_id)
    return PhoneView(own.phone, own.phone_confirmed_at, texts_can_leave())


def ask(user_id: int, text: str, address: str) -> PhoneAttempt:
    """Send a code to a number, which becomes the person's own when the code comes back.

    Raises InvalidInput for what is no such number, and TooManyTries over the caps of the person,
    the number, the network address, and all together.
    """
    number = checked_for_texts(text)
    user = _locked(user_id)
    own = queries.own_profile(user_id)
    if number == own.phone and own.phone_confirmed_at is not None:
        raise InvalidInput("phone_unchanged", field="phone")
    _spend(user_id, number, address)
    codes.void(user_id, codes.CONFIRM_PHONE)
    code_id, digits = codes.issue(user_id, codes.CONFIRM_PHONE)
    code = db.session.get_one(OneTimeCode, code_id)
    code.sealed_phone = _seal(user_id, number, "one_time_codes", code_id)
    send_text(user, number, "confirm_phone", code=digits)
    audit.record("accounts.phone_asked", "user", user_id, actor_id=user_id, address=address)
    return PhoneAttempt(code_id, masked_number(number))


def confirm(user_id: int, attempt: PhoneAttempt, digits: str, address: str) -> bool:
    """Take the number over with the code that was sent to it; tell whether it fits.

    The caller commits in both cases: wrong tries are counted.
    """
    code = codes.redeem(attempt.code_id, codes.CONFIRM_PHONE, "".join(digits.split()))
    if code is None or code.user_id != user_id or code.sealed_phone is None:
        return False
    number = keys.open_for(
        user_id, code.sealed_phone, table="one_time_codes", column=COLUMN, row=code.id
    ).decode()
    code.sealed_phone = None
    user = _locked(user_id)
    _store(user.profile, number, utc_now())
    if not user.is_confirmed:
        user.confirmed_at, user.mail_unproved = utc_now(), True
    audit.record("accounts.phone_confirmed", "user", user_id, actor_id=user_id, address=address)
    send_mail(user, "phone_changed")
    return True


def keep_unconfirmed(user_id: int, text: str, address: str) -> None:
    """Store a number as a contact where no codes can be sent."""
    number = checked(text)
    user = _locked(user_id)
    if number == queries.own_profile(user_id).phone:
        return
    _refuse_if_needed(user)
    _store(user.profile, number, None)
    audit.record("accounts.phone_changed", "user", user_id, actor_id=user_id, address=address)
    send_mail(user, "phone_changed")


def remove(user_id: int, address: str) -> None:
    """Forget a person's number; a second time changes nothing."""
    user = _locked(user_id)
    if not user.profile.sealed_phone:
        return
    _refuse_if_needed(user)
    user.profile.sealed_phone, user.profile.phone_confirmed_at = "", None
    audit.record("accounts.phone_removed", "user", user_id, actor_id=user_id, address=address)
    send_mail(user, "phone_changed")


def _refuse_if_needed(user: User) -> None:
    if user.mail_unproved:
        raise Conflict("phone_confirms_account")


def _spend(user_id: int, number: str, address: str) -> None:
    limits.spend(limits.PHONE_RESEND, str(user_id))
    limits.spend(limits.PHONE_OF_PERSON, str(user_id))
    limits.spend(limits.PHONE_OF_NUMBER, _unguessable(number))
    limits.spend(limits.PHONE_FROM_ADDRESS, address)
    limits.spend(limits.PHONE_OF_ALL, "all")


def _unguessable(number: str) -> str:
    # There are few enough numbers to try them all against a plain hash.
    key = current_config().secret_key.encode()
    return hmac.new(key, f"phone|{number}".encode(), hashlib.sha256).hexdigest()


def _store(profile: Profile, number: str, confirmed_at: datetime | None) -> None:
    user_id = profile.user_id
    profile.sealed_phone = _seal(user_id, number, "profiles", user_id)
    profile.phone_confirmed_at = confirmed_at


def _seal(user_id: int, number: str, table: str, row: int) -> str:
    return keys.seal_for(user_id, number.encode(), table=table, column=COLUMN, row=row)


def _locked(user_id: int) -> User:
    user = queries.user_by_id(user_id)
    db.session.refresh(user, with_for_update=True)
    return user
