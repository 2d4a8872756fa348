"""A new password or address: proved, told by mail, and every other session ends."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.accounts import audit, codes, emails, identity, limits, passwords, queries, session_store
from app.accounts.models import User
from app.accounts.openid import links
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput
from app.notifications.service import send_mail
from app.queues import QueueName, enqueue_once
from app.transactions import after_commit

MAIL_RESET_JOB = "app.accounts.jobs.mail_reset_link"
NOBODY = 0
CODE_MINUTES = int(codes.LIFE.total_seconds() // 60)


@dataclass(frozen=True, slots=True)
class Addressee:
    """A person at an address that is not (any more) the account's own."""

    id: int
    email: str
    language: str


@dataclass(frozen=True, slots=True)
class AddressChange:
    """A new address that waits for its code; without `code_id` no code will ever fit."""

    email: str
    code_id: int | None


def ask_reset(email: str) -> None:
    """Let a link go out with which a forgotten password is changed, if the address is known.

    A worker writes the mail, so that a known address takes no longer than an unknown one.
    """
    email = emails.normalise(email)
    if not limits.is_within(limits.RESET_MAILS, email):
        return
    user = queries.user_by_email(email)
    user_id = user.id if user is not None and user.is_active else NOBODY
    key = f"reset-{hashlib.sha256(email.encode()).hexdigest()[:32]}"
    after_commit(lambda: enqueue_once(QueueName.MESSAGES, MAIL_RESET_JOB, user_id, key=key))


def mail_reset_link(user_id: int) -> None:
    """Mail the link; for NOBODY nothing happens."""
    user = queries.find_user(user_id)
    if user is not None and user.is_active:
        code = codes.issue_for_link(user.id, codes.RESET_PASSWORD)
        send_mail(user, "reset_password", code=code, minutes=CODE_MINUTES)


def reset_password(code: str, password: str, address: str) -> None:
    """Give an account a new password by the code of a mailed link, and end all its sessions.

    Raises InvalidInput that names the field; a code with a bad password can be used again.
    """
    used = codes.redeem_link(code, codes.RESET_PASSWORD)
    user = _locked(used.user_id) if used is not None else None
    if user is None or not user.is_active:
        raise InvalidInput("bad_reset_code", field="code")
    passwords.check_new_password(password, user.email)
    if not user.has_proved_mail:
        # The link came to the address, which proves it as well as the code would.
        user.confirmed_at = user.confirmed_at or utc_now()
        user.mail_unproved = False
        links.forget_all(user.id)
    _set_password(user, password)
    # Whoever guessed before does not hold the owner up.
    limits.know_place(user.email, address)
    audit.record("accounts.password_reset", "user", user.id, actor_id=user.id, address=address)


def change_password(user_id: int, current: str, password: str, address: str) -> User:
    """Replace the password after the current one was given; all sessions end, also this one."""
    identity.check_password(user_id, current, field="current")
    user = _locked(user_id)
    passwords.check_new_password(password, user.email)
    _set_password(user, password)
    audit.record("accounts.password_changed", "user", user.id, actor_id=user.id, address=address)
    return user


def ask_new_email(user_id: int, email: str, password: str) -> AddressChange:
    """Mail a code to the new address and a notice to the old one.

    An address that belongs to somebody gets a mail that says so, and the same answer here.
    """
    identity.check_password(user_id, password)
    email = emails.normalise(email)
    user = queries.user_by_id(user_id)
    if email == user.email:
        raise InvalidInput("email_unchanged", field="email")
    limits.spend(limits.ADDRESS_CHANGES, str(user_id))
    may_mail = limits.is_within(limits.ADDRESS_MAILS, email)
    send_mail(user, "email_change_asked", new_email=email)
    owner = queries.user_by_email(email)
    if not may_mail:
        return AddressChange(email, None)
    if owner is not None:
        send_mail(owner, "address_in_use")
        return AddressChange(email, None)
    code_id, digits = codes.issue(user_id, codes.CHANGE_EMAIL, new_email=email)
    send_mail(
        Addressee(user_id, email, user.language),
        "confirm_new_email",
        code=digits,
        minutes=CODE_MINUTES,
    )
    return AddressChange(email, code_id)


def confirm_new_email(
    user_id: int, change: AddressChange, digits: str, address: str
) -> User | None:
    """Take the new address over with the code that was mailed to it; None when it does not fit.

    The caller commits in both cases: wrong tries are counted. All sessions end, also this one.
    """
    code_id = change.code_id if change.code_id is not None else -1
    code = codes.redeem(code_id, codes.CHANGE_EMAIL, "".join(digits.split()))
    if code is None or code.user_id != user_id or code.new_email is None:
        return None
    user = _locked(user_id)
    old = user.email
    _take_address(user, code.new_email)
    user.confirmed_at, user.mail_unproved = utc_now(), False
    codes.void(user_id, codes.CONFIRM_EMAIL, codes.CHANGE_EMAIL, codes.RESET_PASSWORD)
    end_sessions(user)
    limits.know_place(user.email, address)
    audit.record(
        "accounts.email_changed",
        "user",
        user.id,
        actor_id=user.id,
        address=address,
        before={"email": emails.masked(old)},
        after={"email": emails.masked(user.email)},
    )
    send_mail(Addressee(user.id, old, user.language), "email_changed", new_email=user.email)
    send_mail(user, "email_changed", new_email=user.email)
    return user


def end_sessions(user: User) -> None:
    """End all sessions of a person at the commit, also those that Redis would not hear of."""
    user.sessions_from = utc_now()
    user_id = user.id
    after_commit(lambda: session_store.end_all(user_id))


def _set_password(user: User, password: str) -> None:
    user.password_hash = passwords.hash_password(password)
    codes.void(user.id, codes.RESET_PASSWORD, codes.CONFIRM_EMAIL)
    end_sessions(user)
    send_mail(user, "password_changed")


def _take_address(user: User, email: str) -> None:
    try:
        with db.session.begin_nested():
            user.email = email
    except IntegrityError:
        # Somebody has registered with it since the code was sent.
        raise Conflict("email_taken", field="code") from None


def _locked(user_id: int) -> User:
    return db.session.scalars(
        select(User)
        .where(User.id == user_id)
        .with_for_update(of=User)
        .execution_options(populate_existing=True)
    ).one()
