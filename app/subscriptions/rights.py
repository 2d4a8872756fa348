"""Rights to plans: given and ended by staff, paid for, and what of them holds."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from app.accounts import audit
from app.accounts.locks import lock_person
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.events import publish
from app.subscriptions import history, queries, rules
from app.subscriptions.events import PlanEnded
from app.subscriptions.models import (
    KeptSubscription,
    Plan,
    PlanKind,
    PlanPrice,
    RailSubscription,
    Subscription,
    SubscriptionItem,
    SubscriptionState,
)

# Who keeps a right that staff have given, in the history.
STAFF = "staff"
MIN_REASON = 3
MAX_REASON = 500
_LAST = datetime.max.replace(tzinfo=UTC)


def give_plan(
    actor_id: int | None,
    user_id: int,
    plan_code: str,
    until: datetime | None,
    reason: str,
    *,
    seen: str | None = None,
) -> None:
    """Give a person a plan in place of the present one, until a moment or without end; audited.

    The same plan again only changes its end. `seen` is the mark of what staff saw (`mark_of`).
    Raises Conflict while they pay for as much or more: what they pay for would take its place at
    once; and when somebody else has changed what staff saw.
    """
    reason = _checked_reason(reason)
    if plan_code == rules.FREE_PLAN:
        raise InvalidInput("free_plan_is_not_given", field="plan")
    plan = db.session.get(Plan, plan_code)
    if plan is None or plan.kind != PlanKind.PLAN:
        raise InvalidInput("unknown_plan", field="plan")
    now = utc_now()
    if until is not None and until <= now:
        raise InvalidInput("plan_end_in_past", field="until")
    present = _lock_present(user_id)
    if not _is_as_seen(user_id, seen):
        if _is_as_wanted(present, plan_code, until):
            # The same form again.
            return
        raise Conflict("right_moved")
    paid = _best_paid(user_id)
    if paid is not None and paid.position >= plan.position:
        raise Conflict("larger_plan_is_paid", plan=db.session.get_one(Plan, paid.plan_code).name)
    before = _as_dict(present)
    if present is not None and present.plan_code == plan_code and not _is_over(present, now):
        present.ends_at, present.reason = until, reason
        db.session.flush()
    else:
        if present is not None:
            _close(present, rules.Change.REPLACED, now)
        given = Subscription(
            user_id=user_id, plan_code=plan_code, started_at=now, ends_at=until, reason=reason
        )
        db.session.add(given)
        db.session.flush()
        if present is not None:
            publish(PlanEnded(user_id, present.plan_code))
        present = given
    after = _as_dict(present)
    history.note(user_id, STAFF, "given", before=before, after=after, actor_id=actor_id)
    audit.record(
        "subscription.given",
        "user",
        user_id,
        actor_id=actor_id,
        before=before,
        after=after,
        reason=reason,
    )


def end_plan(actor_id: int | None, user_id: int, reason: str, *, seen: str | None = None) -> None:
    """End a person's plan now; what is paid for or waits, else the free one, holds from here on.

    Audited. `seen` is the mark of what staff saw (`mark_of`): what came in its place stays.
    """
    reason = _checked_reason(reason)
    present = _lock_present(user_id)
    if not _is_as_seen(user_id, seen):
        raise Conflict("right_moved")
    if present is not None and present.rail:
        # Its provider would go on taking money; what was given and waits may end.
        present = _waiting_gift(user_id)
        if present is None:
            raise Conflict("plan_is_paid_for")
    if present is None:
        raise Conflict("no_plan_to_end")
    before = _as_dict(present)
    _close(present, rules.Change.ENDED, utc_now())
    hold_best_paid(user_id)
    publish(PlanEnded(user_id, present.plan_code))
    history.note(user_id, STAFF, "ended", before=before, after=_as_dict(present), actor_id=actor_id)
    audit.record(
        "subscription.ended",
        "user",
        user_id,
        actor_id=actor_id,
        before=before,
        after=_as_dict(present),
        reason=reason,
    )


def mark_of(user_id: int) -> str:
    """Return a mark of a person's rights that is another one as soon as one of them is."""
    live = (SubscriptionState.ACTIVE.value, SubscriptionState.WAITING.value)
    rows = db.session.execute(
        select(Subscription.id, Subscription.state, Subscription.ends_at)
        .where(Subscription.user_id == user_id, Subscription.state.in_(live))
        .order_by(Subscription.id)
    )
    return " ".join(f"{row.id}:{row.state}:{row.ends_at}" for row in rows)


def _is_as_seen(user_id: int, seen: str | None) -> bool:
    return seen is None or seen == mark_of(user_id)


def _is_as_wanted(present: Subscription | None, plan_code: str, until: datetime | None) -> bool:
    if present is None or present.rail:
        return False
    return (present.plan_code, present.ends_at) == (plan_code, until)


def hold_best_paid(user_id: int) -> None:
    """Make the largest plan that a person pays for, to us or at a provider, the one they have.

    What staff have given holds as long as it is a larger one. Otherwise it waits: what was left of
    it is had once no more is paid for than that.
    """
    present, now = _lock_present(user_id), utc_now()
    best, is_gift = _best_paid(user_id), _is_gift(present, now)
    if present is not None and is_gift and (best is None or _is_larger(present, best)):
        return
    gift = None if is_gift else _waiting_gift(user_id)
    if gift is not None and (best is None or _is_larger(gift, best)):
        _step_back(present, now)
        _bring_back(gift, now)
    elif best is None:
        if present is None or not present.rail:
            return
        _close(present, rules.Change.ENDED, now)
    elif present is not None and _is_paid_by(present, best, now):
        present.rail, present.ends_at = best.rail, best.until
        db.session.flush()
        return
    else:
        _step_back(present, now)
        _begin(user_id, best, now)
    if present is not None:
        publish(PlanEnded(user_id, present.plan_code))


class _Paid(NamedTuple):
    """A plan that is paid for, until a moment or without end."""

    plan_code: str
    rail: str
    until: datetime | None
    position: int


def _best_paid(user_id: int) -> _Paid | None:
    """Return the largest plan that is paid for; of the same plan the one that holds longest."""
    there, kept, now = RailSubscription, KeptSubscription, utc_now()
    at_provider = (
        select(Plan.code, there.rail, there.access_until, Plan.position)
        .join(Plan, Plan.code == there.plan_code)
        .where(there.user_id == user_id, _lasts(there.access_until, now))
    )
    kept_by_us = (
        select(Plan.code, kept.rail, kept.access_until, Plan.position)
        .join(SubscriptionItem, SubscriptionItem.kept_id == kept.id)
        .join(PlanPrice, PlanPrice.id == SubscriptionItem.price_id)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(
            kept.user_id == user_id,
            kept.state.in_(queries.GIVING),
            _lasts(kept.access_until, now),
            SubscriptionItem.quantity > 0,
            Plan.kind == PlanKind.PLAN.value,
        )
    )
    paid = [_Paid(*row) for query in (at_provider, kept_by_us) for row in db.session.execute(query)]
    return max(paid, key=lambda one: (one.position, one.until or _LAST), default=None)


def _is_gift(right: Subscription | None, now: datetime) -> bool:
    return right is not None and not right.rail and not _is_over(right, now)


def _is_paid_by(right: Subscription, paid: _Paid, now: datetime) -> bool:
    is_same = bool(right.rail) and right.plan_code == paid.plan_code
    return is_same and not _is_over(right, now)


def _step_back(right: Subscription | None, now: datetime) -> None:
    """Let a right make room for another one; what staff have given waits."""
    if _is_gift(right, now) and right is not None:
        _set_aside(right, now)
    elif right is not None:
        _close(right, rules.Change.REPLACED, now)


def _begin(user_id: int, paid: _Paid, now: datetime) -> None:
    right = Subscription(
        user_id=user_id,
        plan_code=paid.plan_code,
        started_at=now,
        ends_at=paid.until,
        rail=paid.rail,
    )
    db.session.add(right)
    db.session.flush()


def _lasts(until: InstrumentedAttribute[datetime | None], now: datetime) -> ColumnElement[bool]:
    return or_(until.is_(None), until > now)


def _is_larger(given: Subscription, paid: _Paid) -> bool:
    return db.session.get_one(Plan, given.plan_code).position > paid.position


def _waiting_gift(user_id: int) -> Subscription | None:
    """Return the largest of what staff have given and what waits, locked; of those the longest."""
    return db.session.scalar(
        select(Subscription)
        .join(Plan, Plan.code == Subscription.plan_code)
        .where(
            Subscription.user_id == user_id, Subscription.state == SubscriptionState.WAITING.value
        )
        .order_by(Plan.position.desc(), Subscription.ends_at.desc().nulls_first(), Subscription.id)
        .limit(1)
        .with_for_update(of=Subscription)
        .execution_options(populate_existing=True)
    )


def _set_aside(gift: Subscription, now: datetime) -> None:
    before = _as_dict(gift)
    gift.state, gift.waits_since = rules.next_state(gift.state, rules.Change.SET_ASIDE), now
    db.session.flush()
    history.note(gift.user_id, STAFF, "set_aside", before=before, after=_as_dict(gift))


def _bring_back(gift: Subscription, now: datetime) -> None:
    """Let a gift go on with what was left of it."""
    before = _as_dict(gift)
    gift.state = rules.next_state(gift.state, rules.Change.BACK)
    if gift.ends_at is not None and gift.waits_since is not None:
        gift.ends_at = _later(gift.ends_at, now - gift.waits_since)
    gift.waits_since = None
    db.session.flush()
    history.note(gift.user_id, STAFF, "back", before=before, after=_as_dict(gift))


def _later(end: datetime, waited: timedelta) -> datetime:
    """Return an end put off; the end of the calendar, which staff may give, is never passed."""
    return end + min(waited, _LAST - end)


def with_expired() -> list[int]:
    """Return the people whose plan is to be closed because its end has come."""
    query = select(Subscription.user_id).where(
        Subscription.state == SubscriptionState.ACTIVE, Subscription.ends_at <= utc_now()
    )
    return list(db.session.scalars(query.order_by(Subscription.ends_at, Subscription.id)))


def end_expired(user_id: int) -> None:
    """Close a person's plan if its end has come, and announce it; again: nothing."""
    present, now = _lock_present(user_id), utc_now()
    if present is None or not _is_over(present, now):
        return
    _close(present, rules.Change.EXPIRED, now)
    hold_best_paid(user_id)
    publish(PlanEnded(user_id, present.plan_code))


def end_for_leaver(user_id: int) -> None:
    """Close the plan of somebody who has left; without one nothing happens."""
    db.session.execute(
        update(RailSubscription)
        .where(RailSubscription.user_id == user_id)
        .values(plan_code=None, price_id=None, access_until=None)
    )
    present, now = _lock_present(user_id), utc_now()
    while (gift := _waiting_gift(user_id)) is not None:
        _close(gift, rules.Change.ENDED, now)
    if present is not None:
        _close(present, rules.Change.ENDED, now)
        publish(PlanEnded(user_id, present.plan_code))


def _lock_present(user_id: int) -> Subscription | None:
    """Return the person's plan, locked; the person's row keeps two staff members apart."""
    if not lock_person(user_id):
        raise NotFound("unknown_user")
    return db.session.scalar(
        select(Subscription)
        .where(
            Subscription.user_id == user_id, Subscription.state == SubscriptionState.ACTIVE.value
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _close(subscription: Subscription, change: rules.Change, now: datetime) -> None:
    subscription.state = rules.next_state(subscription.state, change)
    # A plan that had run out already keeps its own end.
    if not _is_over(subscription, now) or subscription.waits_since is not None:
        subscription.ends_at = now
    subscription.waits_since = None
    db.session.flush()


def _is_over(subscription: Subscription, now: datetime) -> bool:
    return subscription.ends_at is not None and subscription.ends_at <= now


def _checked_reason(reason: str) -> str:
    reason = reason.replace("\x00", "").strip()
    if not MIN_REASON <= len(reason) <= MAX_REASON:
        raise InvalidInput("plan_reason_missing", field="reason")
    return reason


def _as_dict(subscription: Subscription | None) -> dict[str, str | None] | None:
    if subscription is None:
        return None
    ends_at = subscription.ends_at.isoformat() if subscription.ends_at else None
    return {"plan": subscription.plan_code, "state": subscription.state, "ends_at": ends_at}
