"""Which log-ins elsewhere open which account, and which ways in a person has."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from app.accounts import passwords
from app.accounts.models import User
from app.accounts.openid.models import SignInLink
from app.accounts.passkeys.models import Passkey
from app.config import current_config
from app.db import db
from app.errors import Forbidden, NotFound

MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class LinkView:
    """A log-in elsewhere as its owner sees it."""

    id: int
    label: str
    email: str
    created_at: datetime
    last_used_at: datetime | None


def own_links(user_id: int) -> list[LinkView]:
    """Return a person's log-ins elsewhere, the oldest first."""
    query = select(SignInLink).where(SignInLink.user_id == user_id).order_by(SignInLink.id)
    return [_view(row) for row in db.session.scalars(query)]


def own_link(user_id: int, link_id: int) -> LinkView:
    """Return one of a person's log-ins elsewhere; raise NotFound for any other."""
    return _view(row_of(user_id, link_id))


def row_of(user_id: int, link_id: int) -> SignInLink:
    """Return the row of a person's log-in elsewhere; raise NotFound for any other."""
    row = db.session.get(SignInLink, link_id) if 0 < link_id <= MAX_ID else None
    if row is None or row.user_id != user_id:
        raise NotFound("unknown_sign_in")
    return row


def label_of(row: SignInLink) -> str:
    """Return what a provider is called; one that is not configured any more, by its address."""
    labels = {one.issuer: one.label for one in current_config().sign_in_providers}
    return labels.get(row.issuer, row.issuer)


def owner_of(issuer: str, subject: str) -> SignInLink | None:
    """Return whose account this log-in opens, locked; None when it opens none."""
    return db.session.scalar(
        select(SignInLink)
        .where(SignInLink.issuer == issuer, SignInLink.subject == subject)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def insert_link(user_id: int, issuer: str, subject: str, email: str) -> int | None:
    """Let a log-in elsewhere open an account; None when it opens one already."""
    return db.session.scalar(
        insert(SignInLink)
        .values(user_id=user_id, issuer=issuer, subject=subject, email=email)
        .on_conflict_do_nothing(index_elements=[SignInLink.issuer, SignInLink.subject])
        .returning(SignInLink.id)
    )


def forget_all(user_id: int) -> None:
    """Let no log-in elsewhere open this account any more.

    For an account whose address is proved only now: whoever prepared it may be somebody else.
    """
    db.session.execute(delete(SignInLink).where(SignInLink.user_id == user_id))


def refuse_last_way_in(user_id: int) -> None:
    """Raise Forbidden before the only way into an account is removed.

    The caller holds the lock of `second_factor.lock_factors`.
    """
    has_password = exists().where(User.id == user_id, User.password_hash != passwords.NO_PASSWORD)
    if db.session.scalar(select(has_password)):
        return
    links = select(func.count(SignInLink.id)).where(SignInLink.user_id == user_id)
    keys = select(func.count(Passkey.id)).where(
        Passkey.user_id == user_id, Passkey.locked_at.is_(None)
    )
    if (db.session.scalar(links) or 0) + (db.session.scalar(keys) or 0) <= 1:
        raise Forbidden("last_way_in")


def _view(row: SignInLink) -> LinkView:
    return LinkView(row.id, label_of(row), row.email, row.created_at, row.last_used_at)
