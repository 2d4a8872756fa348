"""What happens to people: register, confirm, log in, change the profile, block."""

import logging
from dataclasses import dataclass

from sqlalchemy.dialects.postgresql import insert

from app.accounts import (
    audit,
    codes,
    emails,
    invites,
    keys,
    limits,
    passwords,
    queries,
    second_factor,
    session_store,
)
from app.accounts.models import ERASED, Installation, Profile, Role, User
from app.accounts.openid import links
from app.accounts.permissions import Permission
from app.accounts.reasons import checked_reason
from app.accounts.roles import may, rights_of
from app.accounts.rules import THEMES, ProfileChange, check_profile, known_timezone
from app.db import db, utc_now
from app.errors import Conflict, Forbidden, InvalidInput
from app.i18n import DEFAULT_LANGUAGE, DEFAULT_TIMEZONE, LANGUAGES
from app.notifications.service import send_mail
from app.transactions import after_commit

log = logging.getLogger(__name__)

CODE_MINUTES = int(codes.LIFE.total_seconds() // 60)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A confirmation that waits for its code; without `code_id` no code will ever fit."""

    email: str
    code_id: int | None


@dataclass(frozen=True, slots=True)
class NewPerson:
    """What an account is made of."""

    email: str
    password: str
    language: str = DEFAULT_LANGUAGE
    timezone: str = DEFAULT_TIMEZONE
    name: str = ""
    invite: str = ""


def register(person: NewPerson) -> Attempt:
    """Make an account that waits for its code; a known address gets a mail instead of a row.

    What the caller sees and how long it takes does not tell whether the address was known.
    """
    email = emails.normalise(person.email)
    passwords.check_new_password(person.password, email)
    invite = invites.open_invite(person.invite) if invites.is_needed() else None
    password_hash = passwords.hash_password(person.password)
    may_mail = limits.is_within(limits.REGISTRATION_MAILS, email)
    limits.is_within(limits.RESEND, email)  # counts this mail, so that the next one waits
    user = insert_user(email, password_hash, person, Role.CUSTOMER)
    if user is not None and invite is not None:
        invites.use(invite, user.id)
    if user is None:
        user = queries.user_by_email(email)
    if user is None or not may_mail:
        return Attempt(email, None)
    if user.is_confirmed:
        send_mail(user, "already_registered")
        return Attempt(email, None)
    return Attempt(email, mail_code(user, password_hash))


def confirm(attempt: Attempt, digits: str) -> User | None:
    """Confirm the address with the mailed code; None when the code does not fit (any more).

    The caller commits in both cases: wrong tries are counted.
    """
    if attempt.code_id is None:
        return None
    code = codes.redeem(attempt.code_id, codes.CONFIRM_EMAIL, "".join(digits.split()))
    if code is None:
        return None
    user = db.session.get_one(User, code.user_id, with_for_update=True)
    if not user.is_active:
        return None
    if not user.has_proved_mail:
        if code.password_hash is not None and code.password_hash != user.password_hash:
            # Somebody else had prepared this account with a password (and a phone) of their own.
            user.password_hash = code.password_hash
            user.profile.sealed_phone, user.profile.phone_confirmed_at = "", None
            links.forget_all(user.id)
            user_id = user.id
            after_commit(lambda: session_store.end_all(user_id))
        user.confirmed_at = user.confirmed_at or utc_now()
        user.mail_unproved = False
        audit.record("accounts.confirmed", "user", user.id, actor_id=user.id)
    user.last_login_at = utc_now()
    return user


def send_code(attempt: Attempt) -> Attempt:
    """Mail a new code for a waiting confirmation; raise TooManyTries when asked too often."""
    limits.spend(limits.RESEND, attempt.email)
    limits.spend(limits.RESEND_HOURLY, attempt.email)
    user = queries.user_by_email(attempt.email)
    if user is None or user.has_proved_mail or attempt.code_id is None:
        return attempt
    return Attempt(attempt.email, mail_code(user, codes.waiting_password(attempt.code_id)))


def send_own_code(user_id: int) -> Attempt:
    """Mail a code to a signed-in person whose address is not confirmed yet."""
    user = queries.user_by_id(user_id)
    limits.spend(limits.RESEND, user.email)
    limits.spend(limits.RESEND_HOURLY, user.email)
    if user.has_proved_mail:
        return Attempt(user.email, None)
    return Attempt(user.email, mail_code(user))


def authenticate(email: str, password: str, address: str) -> tuple[User, bool]:
    """Return the person to whom address and password belong, and whether that is enough.

    Where it is not, `finish_log_in` comes next. Raises InvalidInput for a wrong pair (the same for
    an unknown address), TooManyTries after ten wrong ones, and Forbidden for a blocked person who
    gave the right password.
    """
    email = email.strip().lower()[: emails.MAX_LENGTH]
    place = limits.place_of(email, address)
    limits.spend(limits.LOG_IN, email, place)
    dummy = passwords.dummy_hash()
    user = queries.user_by_email(email) if "\0" not in email else None
    if not passwords.matches(user.password_hash if user else dummy, password) or user is None:
        log.info("log_in_refused address=%s", address)
        raise InvalidInput("wrong_credentials", field="password")
    if not user.is_active:
        raise Forbidden("account_blocked")
    limits.forget(limits.LOG_IN, email, place)
    limits.know_place(email, address)
    if passwords.is_outdated(user.password_hash):
        user.password_hash = passwords.hash_password(password)
    is_enough = not second_factor.is_on(user.id)
    if is_enough:
        note_log_in(user, address)
    return user, is_enough


def finish_log_in(user_id: int, began: float, code: str, address: str) -> User:
    """Let a person in who gave the password at `began` (seconds) and now the second factor.

    Raises InvalidInput for a wrong code, TooManyTries, and Forbidden when the password does not
    count any more.
    """
    user = waiting_person(user_id, began)
    second_factor.check(user_id, code, address)
    note_log_in(user, address)
    return user


def waiting_person(user_id: int, began: float) -> User:
    """Return whose log-in began then; raise Forbidden when that does not count any more."""
    user = queries.user_by_id(user_id)
    shut_at = user.sessions_from.timestamp() if user.sessions_from else 0.0
    if not user.is_active or began < shut_at:
        raise Forbidden("account_blocked" if not user.is_active else "log_in_again")
    return user


def note_log_in(user: User, address: str) -> None:
    """Write down that somebody logged in."""
    user.last_login_at = utc_now()
    audit.record("accounts.logged_in", "user", user.id, actor_id=user.id, address=address)


def change_profile(user_id: int, change: ProfileChange) -> None:
    """Store what a person changed in the own profile; raise InvalidInput naming the field."""
    change = check_profile(change, LANGUAGES)
    profile = queries.user_by_id(user_id).profile
    profile.name = change.name
    profile.language = change.language
    profile.timezone = change.timezone
    profile.experience = change.experience
    profile.theme = change.theme
    profile.palette = change.palette
    profile.density = change.density
    profile.sealed_contacts = _seal(user_id, change.contacts, "sealed_contacts")


def set_language(user_id: int, language: str) -> None:
    """Store the language that a person chose by the switch; an unknown one changes nothing."""
    if language in LANGUAGES:
        queries.user_by_id(user_id).profile.language = language


def set_theme(user_id: int, theme: str) -> None:
    """Store light, dark or auto; anything else changes nothing."""
    if theme in THEMES:
        queries.user_by_id(user_id).profile.theme = theme


def create_admin(person: NewPerson) -> User:
    """Make a confirmed administrator; the first-run set-up is closed from then on."""
    email = emails.normalise(person.email)
    passwords.check_new_password(person.password, email)
    user = insert_user(email, passwords.hash_password(person.password), person, Role.ADMIN)
    if user is None:
        raise InvalidInput("email_taken", field="email")
    user.confirmed_at = utc_now()
    mark_installed(user.id)
    after = {"email": emails.masked(email)}
    audit.record("accounts.administrator_created", "user", user.id, after=after)
    return user


def mark_installed(administrator_id: int) -> None:
    """Close the first-run set-up for good; a second call changes nothing."""
    db.session.execute(
        insert(Installation)
        .values(id=1, completed_at=utc_now(), administrator_id=administrator_id)
        .on_conflict_do_nothing(index_elements=[Installation.id])
    )


def block_user(actor_id: int, user_id: int, reason: str) -> None:
    """Shut a person out at once, everywhere; nobody blocks oneself or somebody with more rights."""
    reason = checked_reason(reason)
    if actor_id == user_id:
        raise Conflict("cannot_block_oneself")
    actor, user = _actor_over(actor_id, user_id)
    if user.blocked_at is None:
        user.blocked_at = utc_now()
        user.blocked_reason = reason
        audit.record("accounts.blocked", "user", user_id, actor_id=actor.id, reason=reason)
    after_commit(lambda: session_store.end_all(user_id))


def unblock_user(actor_id: int, user_id: int, reason: str) -> None:
    """Let a blocked person in again."""
    reason = checked_reason(reason)
    actor, user = _actor_over(actor_id, user_id)
    if user.blocked_at is None:
        return
    user.blocked_at = user.blocked_reason = None
    audit.record("accounts.unblocked", "user", user_id, actor_id=actor.id, reason=reason)


def insert_user(email: str, password_hash: str, person: NewPerson, role: Role) -> User | None:
    """Insert user and profile; None when the address is taken (also by a parallel request)."""
    user_id = db.session.scalar(
        insert(User)
        .values(email=email, password_hash=password_hash, role=role.value)
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User.id)
    )
    if user_id is None:
        return None
    db.session.add(
        Profile(
            user_id=user_id,
            name=person.name,
            language=person.language if person.language in LANGUAGES else DEFAULT_LANGUAGE,
            timezone=known_timezone(person.timezone) or DEFAULT_TIMEZONE,
        )
    )
    db.session.flush()
    return queries.user_by_id(user_id)


def mail_code(user: User, password_hash: str | None = None) -> int:
    """Mail the code that proves an address; return the id of its row."""
    code_id, digits = codes.issue(user.id, codes.CONFIRM_EMAIL, password_hash)
    send_mail(user, "confirm_email", code=digits, minutes=CODE_MINUTES)
    return code_id


def _actor_over(actor_id: int, user_id: int) -> tuple[User, User]:
    """Return both people; nobody acts on somebody with rights that they lack themselves."""
    actor, user = queries.user_by_id(actor_id), queries.user_by_id(user_id)
    db.session.refresh(user, with_for_update=True)
    if user.erased_at is not None or user.blocked_reason == ERASED:
        raise Conflict("account_erased")
    if not may(actor.role, Permission.USERS_BLOCK) or not rights_of(user.role) <= rights_of(
        actor.role
    ):
        raise Forbidden("not_your_right")
    return actor, user


def _seal(user_id: int, text: str, column: str) -> str:
    if not text:
        return ""
    return keys.seal_for(user_id, text.encode(), table="profiles", column=column, row=user_id)
