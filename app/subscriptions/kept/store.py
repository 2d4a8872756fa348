"""Reading subscriptions under their locks, and writing down what became of them.

The order of locks is: the person, the open invoice, the subscription.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import ColumnElement, Interval, and_, bindparam, literal, select
from sqlalchemy.orm import InstrumentedAttribute

from app.accounts.locks import lock_person
from app.accounts.models import User
from app.db import UtcTime, db, utc_now
from app.errors import Conflict, NotFound
from app.events import publish
from app.notifications.stream import hint
from app.payments import invoices
from app.payments.models import Invoice
from app.payments.rules import InvoiceState
from app.subscriptions import history, rights
from app.subscriptions.events import PlanEnded
from app.subscriptions.grace import grace_of
from app.subscriptions.kept import baskets, rules
from app.subscriptions.kept.rules import Course, Event, InvoiceKind, Reason, next_state
from app.subscriptions.models import KeptState, KeptSubscription, RailSubscription
from app.subscriptions.periods import Period
from app.subscriptions.promotions import service as promotions
from app.transactions import after_commit

# States of a provider's subscription beside which nobody begins another one.
_TAKEN_THERE = ("incomplete", "trialing", "active", "past_due", "unpaid", "paused")

# The moment to which a query that is put together once compares; told when it is asked.
NOW = bindparam("now", type_=UtcTime)


@dataclass(frozen=True, slots=True)
class Held:
    """A subscription and its open invoice, both under their locks."""

    kept: KeptSubscription
    invoice: Invoice | None


def live_id(user_id: int) -> int | None:
    """Return a person's subscription that is not over; there is at most one."""
    return db.session.scalar(
        select(KeptSubscription.id).where(
            KeptSubscription.user_id == user_id, KeptSubscription.state != KeptState.ENDED.value
        )
    )


def live(user_id: int) -> KeptSubscription | None:
    """Return a person's subscription that is not over, to look at it."""
    kept_id = live_id(user_id)
    return db.session.get(KeptSubscription, kept_id) if kept_id is not None else None


def is_near(
    end: InstrumentedAttribute[datetime | None],
    start: InstrumentedAttribute[datetime | None] | InstrumentedAttribute[datetime],
    notice: timedelta,
) -> ColumnElement[bool]:
    """Return the condition that an end is this near to NOW, and half of the time to it is over."""
    return and_(end <= NOW + literal(notice, Interval), end - NOW <= NOW - start)


def hold_live(user_id: int) -> Held:
    """Return a person's subscription under its locks; raise NotFound if there is none."""
    kept_id = live_id(user_id)
    held = hold(kept_id) if kept_id is not None else None
    if held is None or held.kept.state == KeptState.ENDED:
        raise NotFound("no_subscription")
    return held


def hold(kept_id: int) -> Held:
    """Return a subscription under its locks; raise Conflict if it moves just now."""
    _lock_owner(kept_id)
    invoice_id = open_invoice_id(kept_id)
    invoice = invoices.lock(invoice_id) if invoice_id is not None else None
    kept = lock(kept_id)
    if open_invoice_id(kept_id) != invoice_id:
        raise Conflict("subscription_moved")
    return Held(kept, invoice)


def lock(kept_id: int) -> KeptSubscription:
    """Return a subscription under its row's lock, and its owner's."""
    _lock_owner(kept_id)
    kept = db.session.get_one(
        KeptSubscription, kept_id, with_for_update=True, populate_existing=True
    )
    db.session.expire(kept, ["items"])
    return kept


def _lock_owner(kept_id: int) -> None:
    query = select(KeptSubscription.user_id).where(KeptSubscription.id == kept_id)
    lock_person(db.session.scalars(query).one())


def open_invoice_id(kept_id: int) -> int | None:
    """Return the invoice of a subscription that waits for its money."""
    return db.session.scalar(
        select(Invoice.id).where(
            Invoice.kept_id == kept_id, Invoice.state == InvoiceState.OPEN.value
        )
    )


def is_charged() -> ColumnElement[bool]:
    """Return the condition that a person is asked for money: no leaver, and nobody kept out."""
    return and_(User.leaves_at.is_(None), User.blocked_at.is_(None))


def may_charge(user_id: int) -> bool:
    """Tell whether a person is asked for money."""
    return db.session.scalar(select(User.id).where(User.id == user_id, is_charged())) is not None


def lives_at_provider(user_id: int) -> bool:
    """Tell whether a provider keeps a subscription of a person that is not over."""
    there = select(RailSubscription.id).where(
        RailSubscription.user_id == user_id, RailSubscription.state.in_(_TAKEN_THERE)
    )
    return db.session.scalar(there.limit(1)) is not None


def course_of(kept: KeptSubscription) -> Course:
    """Return how the periods of a subscription lie, once it has any."""
    if kept.anchor is None:
        raise Conflict("subscription_moved")
    return Course(Period.parse(kept.period), kept.anchor, kept.anchor_number)


def rests_of(kept: KeptSubscription, now: datetime) -> tuple[tuple[int, Fraction], ...]:
    """Return which periods are paid for and what of each is not used up, in whole periods.

    One that days given have made longer lies before the course, and may count more than once.
    """
    if not kept.number or kept.anchor is None:
        return ()
    rests = course_of(kept).rests(kept.number, now)
    if kept.anchor_number and now < kept.anchor:
        length = Period.parse(kept.period).after(now) - now
        return ((kept.anchor_number, rules.part_of(kept.anchor - now, length)), *rests)
    return rests


def source_of(kept: KeptSubscription) -> str:
    """Return the word for a subscription in histories and reminders."""
    return source_of_id(kept.id)


def source_of_id(kept_id: int) -> str:
    """Return the same for the number of a subscription."""
    return f"kept:{kept_id}"


def reason_of_next(kept: KeptSubscription) -> Reason:
    """Return the reason of the invoice for the next period."""
    return Reason(kept.id, InvoiceKind.PERIOD, kept.number + 1, kept.revision)


def grace_end(kept: KeptSubscription) -> datetime | None:
    """Return until when a subscription goes on if its next period is not paid; None: for life."""
    if kept.period_end is None:
        return None
    return kept.period_end + grace_of(kept.user_id, Period.parse(kept.period), kept.period_end)


def next_end(kept: KeptSubscription) -> datetime | None:
    """Return when the period after the paid ones ends; None: never, or nothing is paid yet."""
    following = baskets.next_of(kept).period
    if kept.period_end is None or following.is_endless:
        return None
    if following.code == kept.period:
        return course_of(kept).end(kept.number + 1)
    return following.after(kept.period_end)


def is_missed(kept: KeptSubscription, now: datetime) -> bool:
    """Tell whether nobody has asked for the next period while it could be had.

    It is over, or its days of grace are: only we can have been away so long, because who was
    asked and did not pay is past due.
    """
    running = kept.state in {KeptState.TRIALING, KeptState.ACTIVE}
    lasts = grace_end(kept)
    if not running or kept.period_end is None or lasts is None or kept.cancel_at_period_end:
        return False
    ends = next_end(kept)
    # Where there is no grace, a run on the very day is not late.
    is_late = now >= max(lasts, kept.period_end + rules.PATIENCE)
    return is_late or (ends is not None and now >= ends)


def is_given_up(kept: KeptSubscription, now: datetime) -> bool:
    """Tell whether the days of grace of an unpaid subscription are over."""
    is_late = kept.state == KeptState.PAST_DUE and kept.access_until is not None
    return is_late and kept.access_until is not None and kept.access_until <= now


def move(kept: KeptSubscription, event: Event, now: datetime) -> None:
    """Lead a subscription to the state that follows."""
    kept.state = next_state(kept.state, event)
    if kept.state == KeptState.ENDED:
        kept.ended_at, kept.pending = now, None
        if not kept.number:
            # Nothing was ever paid: the place of its code is free again.
            promotions.release(source_of(kept))


@dataclass(slots=True)
class _Before:
    picture: dict[str, Any] | None
    addons: dict[str, int] = field(default_factory=dict)


@contextmanager
def writing(
    kept: KeptSubscription, what: str, *, cause: str, actor_id: int | None = None
) -> Iterator[None]:
    """Note what the block makes of a subscription, and let the rights follow."""
    before = _Before(_picture(kept), _given(kept))
    yield
    now = utc_now()
    kept.access_until, kept.updated_at = _access_until(kept), now
    db.session.flush()
    history.note(
        kept.user_id,
        source_of(kept),
        what,
        before=before.picture,
        after=_picture(kept),
        actor_id=actor_id,
        cause=cause,
    )
    rights.hold_best_paid(kept.user_id)
    given = _given(kept)
    for code, quantity in before.addons.items():
        if given.get(code, 0) < quantity:
            publish(PlanEnded(kept.user_id, code))
    user_id = kept.user_id
    after_commit(lambda: hint(user_id, "dashboard"))


def _access_until(kept: KeptSubscription) -> datetime | None:
    """Return when what a subscription gives ends by itself; None: not by itself."""
    if kept.state == KeptState.PAST_DUE:
        return grace_end(kept)
    if kept.state == KeptState.ENDED:
        return kept.ended_at
    return kept.period_end if kept.cancel_at_period_end else None


def _given(kept: KeptSubscription) -> dict[str, int]:
    gives = kept.state not in {KeptState.INCOMPLETE, KeptState.ENDED}
    return baskets.present_of(kept).addons if gives else {}


def _picture(kept: KeptSubscription) -> dict[str, Any]:
    is_other = kept.change_at is not None or kept.prices_from is not None
    following = baskets.next_of(kept).as_dict() if is_other else None
    return {
        **baskets.present_of(kept).as_dict(),
        "state": kept.state,
        "rail": kept.rail,
        "period_end": _stamp(kept.period_end),
        "trial_end": _stamp(kept.trial_end),
        "cancels": kept.cancel_at_period_end,
        "next": following,
    }


def _stamp(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
