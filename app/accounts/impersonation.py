"""Staff look at a customer's pages as the customer sees them: to look only, not to act.

The session stays the staff member's own; it remembers whose pages it shows, and until when.
Keys, money, settings and everything that changes something stay closed; staff are never shown.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from flask import abort, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from app.accounts import audit, queries
from app.accounts.models import Role, User
from app.accounts.permissions import Permission
from app.accounts.reasons import checked_reason
from app.accounts.roles import may
from app.errors import Conflict, Forbidden

SECONDS = 15 * 60
_SLOT = "acting"
# All that may be opened meanwhile; whatever is new stays closed until it stands here.
OPEN = frozenset(
    {
        "pages.home", "pages.pricing", "pages.legal", "pages.dashboard", "pages.dashboard_live",
        "pages.events", "pages.healthz", "static", "faq.index", "faq.show",
        "bots.index", "bots.rows", "bots.show", "bots.part", "bots.log", "bots.chart",
        "bots.strategies", "trades.index", "trades.show", "markets.index", "markets.show",
        "subscriptions.index", "payments.index", "payments.show", "acting.end", "accounts.logout",
    }
)  # fmt: skip
MAY_POST = frozenset({"acting.end", "accounts.logout"})


@dataclass(frozen=True, slots=True)
class Acting:
    """Who looks at a customer's pages, and until when."""

    staff_id: int
    staff_email: str
    ends_at: datetime


def now() -> float:
    """Return the seconds since the epoch."""
    return time.time()


def begin(actor_id: int, user_id: int, reason: str) -> None:
    """Let the staff member of this session see the pages of a customer for a quarter of an hour."""
    reason = checked_reason(reason)
    actor, user = queries.user_by_id(actor_id), queries.user_by_id(user_id)
    if not may(actor.role, Permission.USERS_ACT_AS):
        raise Forbidden("not_your_right")
    if user.role != Role.CUSTOMER.value:
        raise Forbidden("never_staff")
    if not user.is_active:
        raise Conflict("account_blocked")
    audit.record("accounts.acting_began", "user", user.id, actor_id=actor.id, reason=reason)
    session[_SLOT] = {"user_id": user.id, "until": now() + SECONDS}


def end() -> None:
    """Give the staff member the own pages back."""
    acting = current()
    slot = session.pop(_SLOT, None)
    if acting is not None and slot is not None:
        audit.record("accounts.acting_ended", "user", slot["user_id"], actor_id=acting.staff_id)


def is_noted() -> bool:
    """Tell whether the session remembers a customer whose pages it shows."""
    return session.get(_SLOT) is not None


def current() -> Acting | None:
    """Return who looks at whose pages in this request."""
    return cast(Acting | None, g.get("acting"))


def shown_person(person: User) -> User:
    """Return whose pages the session shows: the person's own, or those of a customer."""
    slot: dict[str, Any] | None = session.get(_SLOT)
    if slot is None:
        return person
    customer = queries.find_user(int(slot["user_id"]))
    is_over = now() >= float(slot["until"])
    if (
        is_over
        or customer is None
        or customer.role != Role.CUSTOMER.value
        or not may(person.role, Permission.USERS_ACT_AS)
    ):
        session.pop(_SLOT, None)
        return person
    g.acting = Acting(person.id, person.email, datetime.fromtimestamp(slot["until"], UTC))
    audit.acting_staff.set(person.id)
    return customer


def refuse_what_is_closed() -> ResponseReturnValue | None:
    """Refuse, while staff look at a customer's pages, all but these pages."""
    if current() is None or request.endpoint is None:
        return None
    reads = request.method in {"GET", "HEAD", "OPTIONS"}
    if request.endpoint.startswith("admin"):
        # The desk belongs to the staff member, not to the customer.
        return redirect(url_for("pages.dashboard"), 303)
    if request.endpoint not in OPEN or not (reads or request.endpoint in MAY_POST):
        abort(403)
    return None
