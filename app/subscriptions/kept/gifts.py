"""Days of a running period that staff give: the next charge moves, and nothing else does."""

from datetime import datetime

from app.accounts import audit
from app.accounts.reasons import checked_reason
from app.errors import Conflict
from app.subscriptions.kept import baskets, reminders, service, store
from app.subscriptions.kept.store import hold_live, writing
from app.subscriptions.models import KeptState, KeptSubscription

_RUNNING = frozenset({KeptState.TRIALING, KeptState.ACTIVE})


def give_days(actor_id: int, user_id: int, end: datetime, seen_end: datetime, reason: str) -> None:
    """Let what is paid for, or tried, last until `end`; audited. Again: nothing.

    `seen_end` is when it was to end as staff saw it. Raises Conflict where it has moved since,
    where money is owed, and while a change waits for its payment.
    """
    reason = checked_reason(reason)
    held = hold_live(user_id)
    kept = held.kept
    if kept.period_end == end:
        return
    _check(kept, seen_end)
    # An open invoice is for a period that begins later now; another one is written then.
    service.take_back(held, "days_given")
    before = kept.period_end
    with writing(kept, "days_given", cause="asked", actor_id=actor_id):
        _move(kept, end)
    audit.record(
        "subscription.days_given",
        "user",
        user_id,
        actor_id=actor_id,
        before={"period_end": before.isoformat() if before else None},
        after={"period_end": end.isoformat(), "subscription": kept.id},
        reason=reason,
    )


def _check(kept: KeptSubscription, seen_end: datetime) -> None:
    if kept.state not in _RUNNING:
        raise Conflict("days_pay_first")
    if kept.period_end is None:
        raise Conflict("right_has_no_end")
    if kept.period_end != seen_end:
        raise Conflict("right_moved")
    if kept.pending is not None:
        raise Conflict("days_change_waits")


def _move(kept: KeptSubscription, end: datetime) -> None:
    """Let the next period begin later; those behind it are counted from there."""
    if kept.change_at is not None and not baskets.next_is_paid(kept):
        kept.change_at = end
    if kept.state == KeptState.TRIALING:
        kept.trial_end = end
        reminders.forget_trial(store.source_of(kept))
    kept.period_end = kept.anchor = end
    kept.anchor_number = kept.number
