"""Asking for the end of an account, and changing one's mind while it waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from app import events
from app.accounts import audit, queries, roles
from app.accounts.deletion.events import PersonLeaving
from app.accounts.deletion.unfinished import Money, money_left, unfinished
from app.accounts.models import Role, User
from app.accounts.permissions import Permission
from app.accounts.reasons import checked_reason
from app.db import db, utc_now
from app.errors import Conflict, Forbidden, InvalidInput
from app.notifications.service import send_mail
from app.settings import queries as settings
from app.settings.rules import DELETION_DAYS

KEEP, SELL = "keep", "sell"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a person stands with leaving: since when it waits, and what still runs."""

    leaves_at: datetime | None
    days: int
    running: tuple[str, ...]
    money: tuple[Money, ...]

    @property
    def is_waiting(self) -> bool:
        return self.leaves_at is not None


def standing(user_id: int) -> Standing:
    """Return where a person stands with leaving."""
    user = queries.user_by_id(user_id)
    return Standing(user.leaves_at, days_to_wait(), unfinished(user_id), money_left(user_id))


def days_to_wait() -> int:
    """Return for how many days an account waits for its end."""
    return int(settings.text_of(DELETION_DAYS))


def is_leaving(user_id: int) -> bool:
    """Tell whether somebody's account waits for its end, so that nothing new may begin."""
    query = select(User.leaves_at).where(User.id == user_id)
    return db.session.scalar(query) is not None


def ask(user_id: int, coins: str, address: str) -> datetime:
    """Let one's own account end after the waiting time; return when.

    `coins` says what becomes of them if bots run: keep or sell. Asked again nothing changes.
    Raises InvalidInput when bots run and nothing was chosen, Conflict for the last administrator.
    """
    # Before the person, as whoever changes a role does: else the two could wait for each other.
    roles.lock()
    user = _locked(user_id)
    if user.leaves_at is not None:
        return user.leaves_at
    if unfinished(user_id) and coins not in {KEEP, SELL}:
        raise InvalidInput("choose_for_coins", field="coins")
    leaves_at = _begin(user, sells=coins == SELL)
    audit.record(
        "accounts.deletion_asked",
        "user",
        user_id,
        actor_id=user_id,
        after={"leaves_at": leaves_at.isoformat()},
        address=address,
    )
    return leaves_at


def ask_for(actor_id: int, user_id: int, reason: str) -> datetime:
    """Let somebody else's account end, as its owner could: with the same wait, mail and way back.

    Bots are stopped and keep their coins. Raises Forbidden without the right, or for somebody with
    more rights; Conflict for oneself and for the last administrator.
    """
    reason = checked_reason(reason)
    if actor_id == user_id:
        raise Conflict("leave_by_own_page")
    _check_right(actor_id, user_id)
    roles.lock()
    user = _locked(user_id)
    if user.leaves_at is not None:
        return user.leaves_at
    leaves_at = _begin(user, sells=False)
    audit.record(
        "accounts.deletion_asked",
        "user",
        user_id,
        actor_id=actor_id,
        after={"leaves_at": leaves_at.isoformat()},
        reason=reason,
    )
    return leaves_at


def undo(user_id: int, address: str) -> bool:
    """Keep one's account after all; tell whether it was still waiting."""
    return _keep(_locked(user_id), user_id, address=address)


def undo_for(actor_id: int, user_id: int, reason: str) -> bool:
    """Keep somebody else's account after all, for those who may delete it."""
    reason = checked_reason(reason)
    _check_right(actor_id, user_id)
    return _keep(_locked(user_id), actor_id, reason=reason)


def is_last_administrator(user: User) -> bool:
    """Tell whether nobody else who stays administrates; call it under `roles.lock()`."""
    others = select(func.count()).where(
        User.role == Role.ADMIN.value,
        User.blocked_at.is_(None),
        User.leaves_at.is_(None),
        User.id != user.id,
    )
    return user.role == Role.ADMIN.value and not db.session.scalar(others)


def _begin(user: User, *, sells: bool) -> datetime:
    if is_last_administrator(user):
        raise Conflict("last_administrator")
    days = days_to_wait()
    user.leaves_at = utc_now() + timedelta(days=days)
    events.publish(PersonLeaving(user.id, sells))
    send_mail(user, "deletion_asked", days=days)
    return user.leaves_at


def _keep(user: User, actor_id: int, *, address: str = "", reason: str | None = None) -> bool:
    if user.leaves_at is None:
        return False
    # From this moment on the worker may have begun to erase.
    if user.leaves_at <= utc_now() or user.erased_at is not None:
        raise Conflict("too_late_to_stay")
    user.leaves_at = None
    audit.record(
        "accounts.deletion_undone",
        "user",
        user.id,
        actor_id=actor_id,
        reason=reason,
        address=address or None,
    )
    send_mail(user, "deletion_undone")
    return True


def _check_right(actor_id: int, user_id: int) -> None:
    actor, user = queries.user_by_id(actor_id), queries.user_by_id(user_id)
    own = roles.rights_of(actor.role)
    if Permission.USERS_DELETE not in own or not roles.rights_of(user.role) <= own:
        raise Forbidden("not_your_right")


def _locked(user_id: int) -> User:
    """Return a person, locked; raise Conflict when nothing is left of them."""
    queries.user_by_id(user_id)
    user = db.session.scalars(
        select(User)
        .where(User.id == user_id)
        .with_for_update(of=User)
        .execution_options(populate_existing=True)
    ).one()
    if user.erased_at is not None:
        raise Conflict("account_erased")
    return user
