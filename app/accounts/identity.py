"""Proving once more who one is, before something that lasts."""

from sqlalchemy import select

from app.accounts import limits, passwords
from app.accounts.models import User
from app.db import db
from app.errors import InvalidInput


def check_password(user_id: int, password: str, field: str = "password") -> None:
    """Raise InvalidInput unless it is the password, TooManyTries after ten wrong ones.

    Who has none (`has_password`) is told so.
    """
    limits.spend(limits.PASSWORD_AGAIN, str(user_id))
    stored = db.session.scalar(select(User.password_hash).where(User.id == user_id))
    if stored == passwords.NO_PASSWORD:
        raise InvalidInput("no_password_yet", field=field)
    if stored is None or not passwords.matches(stored, password):
        raise InvalidInput("wrong_password", field=field)
    limits.forget(limits.PASSWORD_AGAIN, str(user_id))


def has_password(user_id: int) -> bool:
    """Tell whether a person has a password; whoever came by another log-in may have none."""
    stored = db.session.scalar(select(User.password_hash).where(User.id == user_id))
    return stored != passwords.NO_PASSWORD
