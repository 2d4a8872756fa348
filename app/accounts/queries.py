"""What is known about people."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, or_, select

from app.accounts import keys
from app.accounts.models import ERASED, Installation, Role, User
from app.db import db
from app.errors import NotFound

MAX_ID = 2**63 - 1
EXPERT = "expert"


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A person's own profile, opened for that person only."""

    email: str
    name: str
    language: str
    timezone: str
    phone: str
    phone_confirmed_at: datetime | None
    contacts: str
    experience: str
    theme: str
    palette: str
    density: str
    created_at: datetime


def find_user(user_id: int) -> User | None:
    """Return the person with this id, None when there is nobody."""
    return db.session.get(User, user_id) if 0 < user_id <= MAX_ID else None


def is_gone(user_id: int) -> bool:
    """Tell whether a person is erased, or about to be: nothing is theirs any more."""
    return bool(db.session.scalar(select(gone()).where(User.id == user_id)))


def gone() -> ColumnElement[bool]:
    """Return the condition for people who are erased, or about to be."""
    return or_(User.erased_at.is_not(None), User.blocked_reason == ERASED)


def user_by_id(user_id: int) -> User:
    """Return the person with this id; raise NotFound when there is nobody."""
    user = find_user(user_id)
    if user is None:
        raise NotFound("unknown_user")
    return user


def user_by_email(email: str) -> User | None:
    """Return the person with this normalised address."""
    return db.session.scalar(select(User).where(User.email == email))


def own_profile(user_id: int) -> ProfileView:
    """Return a person's own profile with phone and contacts opened."""
    user = user_by_id(user_id)
    profile = user.profile
    return ProfileView(
        email=user.email,
        name=profile.name,
        language=profile.language,
        timezone=profile.timezone,
        phone=_open(user_id, profile.sealed_phone, "sealed_phone"),
        phone_confirmed_at=profile.phone_confirmed_at,
        contacts=_open(user_id, profile.sealed_contacts, "sealed_contacts"),
        experience=profile.experience,
        theme=profile.theme,
        palette=profile.palette,
        density=profile.density,
        created_at=user.created_at,
    )


def is_expert(user_id: int) -> bool:
    """Tell whether a person has chosen to see everything."""
    return user_by_id(user_id).profile.experience == EXPERT


def setup_is_open() -> bool:
    """Tell whether the first-run set-up waits: it was never done and nobody administrates."""
    done = select(
        exists().where(Installation.id == 1) | exists().where(User.role == Role.ADMIN.value)
    )
    return not db.session.scalar(done)


def is_fresh() -> bool:
    """Tell whether this is a new installation: the set-up waits and nobody has registered yet."""
    return setup_is_open() and not db.session.scalar(select(exists().where(User.id > 0)))


def _open(user_id: int, sealed: str, column: str) -> str:
    if not sealed:
        return ""
    return keys.open_for(user_id, sealed, table="profiles", column=column, row=user_id).decode()
