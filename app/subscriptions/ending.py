"""Staff end what somebody pays to us for: now, or with the period that is paid.

What a provider keeps is ended there, so that it takes no money for nothing.
"""

from datetime import datetime

from app.accounts import audit
from app.accounts.reasons import checked_reason
from app.errors import Conflict
from app.subscriptions.kept import service, store


def end_paid(actor_id: int, user_id: int, seen: int, reason: str, *, at_once: bool) -> None:
    """End a subscription that we keep; audited. Again: nothing.

    `seen` is the one that staff saw: one that was begun since stays. Raises Conflict where that is
    over by now, and for what is had for life and is not to end at once.
    """
    reason = checked_reason(reason)
    held = store.hold_live(user_id)
    kept = held.kept
    if kept.id != seen:
        raise Conflict("subscription_moved")
    if kept.cancel_at_period_end and not at_once:
        return
    before = {"subscription": kept.id, "state": kept.state, "ends": _text(kept.access_until)}
    service.cancel(user_id, actor_id=actor_id, cause="staff", at_once=at_once)
    audit.record(
        "subscription.ended",
        "user",
        user_id,
        actor_id=actor_id,
        before=before,
        after={"subscription": kept.id, "state": kept.state, "ends": _text(kept.access_until)},
        reason=reason,
    )


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
