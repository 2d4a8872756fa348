"""What people do with passkeys: add, name, remove, and sign in, prove or answer by one."""

import hashlib
import hmac
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from webauthn.helpers import bytes_to_base64url

from app.accounts import audit, identity, limits, queries, second_factor, service
from app.accounts.models import Role, User
from app.accounts.openid import links
from app.accounts.passkeys import ceremony, challenges
from app.accounts.passkeys.challenges import NOBODY, Purpose
from app.accounts.passkeys.models import Passkey
from app.accounts.passkeys.party import Party
from app.config import current_config
from app.db import db, utc_now
from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.names import is_visible
from app.notifications.service import send_mail

log = logging.getLogger(__name__)

MOST = 20
MAX_NAME = 60
MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Browser:
    """Where an answer comes from: its session, and what passkeys are bound to there."""

    session: str
    party: Party
    address: str


@dataclass(frozen=True, slots=True)
class PasskeyView:
    """A passkey as its owner sees it."""

    id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None
    backed_up: bool
    is_locked: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """Whose passkey signed; `verified`: the device also checked who holds it."""

    user: User
    verified: bool


def own_passkeys(user_id: int) -> list[PasskeyView]:
    """Return a person's passkeys, the oldest first."""
    query = select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.id)
    return [_view(row) for row in db.session.scalars(query)]


def own_passkey(user_id: int, passkey_id: int) -> PasskeyView:
    """Return one passkey of a person; raise NotFound for any other."""
    return _view(_own(user_id, passkey_id))


# Adding -----------------------------------------------------------------------------------------


def options_to_add(user_id: int, browser: Browser) -> dict[str, Any]:
    """Return what a browser needs to make a passkey; raise Forbidden or Conflict."""
    user = _may_add(user_id)
    return ceremony.creation_options(
        browser.party,
        user.email,
        _handle_of(user_id),
        _ids(user_id, browser.party),
        challenges.issue(Purpose.ADD, browser.session, user_id),
        verify=_is_staff(user),
    )


def add(user_id: int, name: str, text: str, browser: Browser) -> list[str]:
    """Keep a passkey that a browser has made; return recovery codes if it is the first factor.

    Raises InvalidInput for an answer that is not right, and Conflict for a passkey known already.
    """
    name = _checked_name(name)
    second_factor.lock_factors(user_id)
    user = _may_add(user_id)
    answer = ceremony.read_new(text)
    if answer is None or not challenges.take(
        answer.challenge, Purpose.ADD, browser.session, user_id
    ):
        raise InvalidInput("passkey_refused")
    made = ceremony.verify_new(answer, browser.party, verify=_is_staff(user))
    if made is None:
        raise InvalidInput("passkey_refused")
    codes = second_factor.first_recovery_codes(user_id)
    row = {
        "user_id": user_id, "name": name, "rp_id": browser.party.id,
        "user_handle": _handle_of(user_id), "credential_id": made.credential_id,
        "public_key": made.public_key, "sign_count": made.sign_count, "backed_up": made.backed_up,
    }  # fmt: skip
    passkey_id = db.session.scalar(
        insert(Passkey)
        .values(row)
        .on_conflict_do_nothing(index_elements=[Passkey.credential_id])
        .returning(Passkey.id)
    )
    if passkey_id is None:
        raise Conflict("passkey_known")
    _note("accounts.passkey_added", passkey_id, user_id, browser.address)
    send_mail(user, "passkey_added", name=name)
    return codes


def rename(user_id: int, passkey_id: int, name: str) -> None:
    """Give a passkey another name; raise InvalidInput for one that can't be read."""
    _own(user_id, passkey_id).name = _checked_name(name)


def remove(user_id: int, passkey_id: int, address: str) -> None:
    """Let a passkey open nothing any more.

    Raises Forbidden when it is the last factor of somebody who needs one.
    """
    second_factor.lock_factors(user_id)
    row = _own(user_id, passkey_id)
    second_factor.refuse_loss_of_last(user_id)
    links.refuse_last_way_in(user_id)
    name = row.name
    db.session.delete(row)
    db.session.flush()
    second_factor.drop_idle_codes(user_id)
    _note("accounts.passkey_removed", passkey_id, user_id, address)
    send_mail(queries.user_by_id(user_id), "passkey_removed", name=name)


# Using ------------------------------------------------------------------------------------------


def options_to_log_in(browser: Browser) -> dict[str, Any]:
    """Return what a browser needs so that its device offers whichever passkey it has."""
    challenge = challenges.issue(Purpose.LOG_IN, browser.session)
    return ceremony.request_options(browser.party, (), challenge, verify=False)


def options_for(purpose: Purpose, user_id: int, browser: Browser) -> dict[str, Any]:
    """Return what a browser needs to use a passkey of this person."""
    return ceremony.request_options(
        browser.party,
        _ids(user_id, browser.party),
        challenges.issue(purpose, browser.session, user_id),
        verify=_is_staff(queries.user_by_id(user_id)),
    )


def log_in(text: str, browser: Browser) -> Proof | None:
    """Let somebody in by a passkey alone if its device checked who holds it.

    If not, `finish_log_in` asks for the password too. The caller commits in every case. None for
    whatever is not right; raises Forbidden for a blocked person.
    """
    proof = _use(Purpose.LOG_IN, NOBODY, text, browser)
    if proof is None:
        log.info("log_in_refused address=%s", browser.address)
        return None
    if not proof.user.is_active:
        raise Forbidden("account_blocked")
    if proof.verified:
        _note_log_in(proof.user, browser)
    return proof


def finish_log_in(user_id: int, began: float, password: str, address: str) -> User:
    """Let somebody in whose passkey checked nobody and who now gives the password.

    Raises InvalidInput for a wrong one, TooManyTries, and Forbidden when the passkey does not
    count any more.
    """
    user = service.waiting_person(user_id, began)
    identity.check_password(user_id, password)
    service.note_log_in(user, address)
    return user


def second_step(user_id: int, began: float, text: str, browser: Browser) -> User | None:
    """Let somebody in who gave the password at `began` (seconds) and now uses a passkey.

    The caller commits in every case. Raises Forbidden when the password does not count any more.
    """
    user = service.waiting_person(user_id, began)
    if prove(Purpose.SECOND_FACTOR, user_id, text, browser) is None:
        log.info("log_in_refused address=%s", browser.address)
        return None
    _note_log_in(user, browser)
    return user


def prove(purpose: Purpose, user_id: int, text: str, browser: Browser) -> Proof | None:
    """Take a passkey of this person; None when anything is wrong. The caller commits always."""
    return _use(purpose, user_id, text, browser)


def _use(purpose: Purpose, user_id: int, text: str, browser: Browser) -> Proof | None:
    answer = ceremony.read_use(text)
    if answer is None or not challenges.take(answer.challenge, purpose, browser.session, user_id):
        return None
    row = _row_of(answer.credential_id, browser.party)
    if row is None or row.locked_at is not None or user_id not in (NOBODY, row.user_id):
        return None
    # Without a name before it, the device says whose passkey it is.
    handle_may_be_missing = user_id != NOBODY and not answer.user_handle
    if answer.user_handle != row.user_handle and not handle_may_be_missing:
        return None
    used = ceremony.verify_use(answer, browser.party, row.public_key)
    if used is None or (_went_back(row, used.sign_count) and _lock(row, browser.address)):
        return None
    user = queries.user_by_id(row.user_id)
    if _is_staff(user) and not used.verified:
        return None
    row.sign_count, row.backed_up, row.last_used_at = used.sign_count, used.backed_up, utc_now()
    return Proof(user, used.verified)


def _row_of(credential_id: str, party: Party) -> Passkey | None:
    """Return a passkey, locked: two uses of one are counted one after the other."""
    return db.session.scalar(
        select(Passkey)
        .where(Passkey.credential_id == credential_id, Passkey.rp_id == party.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _went_back(row: Passkey, sign_count: int) -> bool:
    return (sign_count > 0 or row.sign_count > 0) and sign_count <= row.sign_count


def _lock(row: Passkey, address: str) -> bool:
    # Which of the two is the copy can't be told: neither works from now on.
    row.locked_at = utc_now()
    _note("accounts.passkey_copied", row.id, None, address)
    send_mail(queries.user_by_id(row.user_id), "passkey_copied", name=row.name)
    return True


def _note_log_in(user: User, browser: Browser) -> None:
    limits.know_place(user.email, browser.address)
    service.note_log_in(user, browser.address)


def _note(action: str, passkey_id: int, actor_id: int | None, address: str) -> None:
    # Not its name: what people write themselves stays out of what can't be erased.
    audit.record(action, "passkey", passkey_id, actor_id=actor_id, address=address)


def _may_add(user_id: int) -> User:
    user = queries.user_by_id(user_id)
    if not user.has_proved_mail:
        raise Forbidden("factor_for_unconfirmed")
    count = db.session.scalar(select(func.count(Passkey.id)).where(Passkey.user_id == user_id))
    if (count or 0) >= MOST:
        raise Conflict("too_many_passkeys", maximum=MOST)
    return user


def _handle_of(user_id: int) -> str:
    """Return what devices know a person by: it tells them nothing, and stays as it is."""
    query = select(Passkey.user_handle).where(Passkey.user_id == user_id).limit(1)
    key = current_config().secret_key.encode()
    fresh = hmac.new(key, f"passkeys|{user_id}".encode(), hashlib.sha256).digest()
    return db.session.scalar(query) or bytes_to_base64url(fresh)


def _ids(user_id: int, party: Party) -> list[str]:
    query = select(Passkey.credential_id).where(
        Passkey.user_id == user_id, Passkey.rp_id == party.id, Passkey.locked_at.is_(None)
    )
    return list(db.session.scalars(query))


def _own(user_id: int, passkey_id: int) -> Passkey:
    row = db.session.get(Passkey, passkey_id) if 0 < passkey_id <= MAX_ID else None
    if row is None or row.user_id != user_id:
        raise NotFound("unknown_passkey")
    return row


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise InvalidInput("passkey_without_name", field="name")
    if len(name) > MAX_NAME:
        raise InvalidInput("text_too_long", field="name", maximum=MAX_NAME)
    if not is_visible(name):
        raise InvalidInput("control_characters", field="name")
    return name


def _is_staff(user: User) -> bool:
    return user.role != Role.CUSTOMER.value


def _view(row: Passkey) -> PasskeyView:
    return PasskeyView(
        row.id,
        row.name,
        row.created_at,
        row.last_used_at,
        row.backed_up,
        row.locked_at is not None,
    )
