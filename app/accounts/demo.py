"""The demo people; their passwords are known to everybody, so never in production."""

from dataclasses import dataclass

from app.accounts import passwords, queries, second_factor
from app.accounts.models import Profile, Role, User
from app.accounts.service import mark_installed
from app.config import current_config
from app.db import db, utc_now
from app.errors import Forbidden


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """A demo person's log-in."""

    email: str
    password: str
    name: str
    role: Role


CUSTOMER = DemoLogin("demo@botyard.local", "paper-money-only", "Demo", Role.CUSTOMER)
ADMINISTRATOR = DemoLogin("admin@botyard.local", "desk-of-the-demo", "Desk", Role.ADMIN)
LOGINS = (CUSTOMER, ADMINISTRATOR)


def seed_people() -> None:
    """Make the demo people unless they exist; raise Forbidden in production or without DEMO."""
    config = current_config()
    if config.is_production or not config.demo:
        raise Forbidden("demo_people_refused")
    for login in LOGINS:
        user = queries.user_by_email(login.email) or _make(login)
        if login.role is Role.ADMIN:
            mark_installed(user.id)
            if not second_factor.is_on(user.id):
                second_factor.put_confirmed(user.id, second_factor.new_secret())


def administrators_code() -> str | None:
    """Return the code with which the demo's administrator logs in now.

    None in production, without that person, and for the half minute after its use.
    """
    if current_config().is_production:
        return None
    user = queries.user_by_email(ADMINISTRATOR.email)
    return second_factor.next_code(user.id) if user is not None else None


def _make(login: DemoLogin) -> User:
    user = User(
        email=login.email,
        password_hash=passwords.hash_password(login.password),
        role=login.role.value,
        confirmed_at=utc_now(),
        profile=Profile(name=login.name),
    )
    db.session.add(user)
    db.session.flush()
    return user


def existing_logins() -> list[DemoLogin]:
    """Return the demo log-ins that work here; none in production."""
    if current_config().is_production:
        return []
    found = ((login, queries.user_by_email(login.email)) for login in LOGINS)
    return [
        login
        for login, user in found
        if user is not None and passwords.matches(user.password_hash, login.password)
    ]
