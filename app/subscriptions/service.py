"""Verbs: check a limit, give and end a plan, change plans and prices."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ColumnElement, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute

from app.accounts import audit
from app.accounts import limits as times
from app.accounts.deletion import service as deletion
from app.accounts.limits import Allowance as Allowed
from app.accounts.limits import Limit
from app.accounts.locks import lock_person
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound, TooManyTries
from app.events import publish
from app.subscriptions import history, queries, rules, usage
from app.subscriptions.events import PlanEnded
from app.subscriptions.models import (
    KeptSubscription,
    Plan,
    PlanKind,
    PlanPrice,
    RailPrice,
    RailSubscription,
    Subscription,
    SubscriptionItem,
    SubscriptionState,
)
from app.subscriptions.periods import MONTH, Period
from app.subscriptions.seeds import ADDONS, CURRENCY, PLANS, PRICES
from app.transactions import after_commit

# Who keeps a right that staff have given, in the history.
STAFF = "staff"
MIN_REASON = 3
MAX_REASON = 500
# First of the two keys of PostgreSQL's advisory locks: "use of a plan by a person".
_USE_LOCK = 7101


def seed_plans() -> None:
    """Add the plans that are missing, each with its first prices; what stands is left alone."""
    now = utc_now()
    kinds = {addon.limits.plan: addon.bot_kind for addon in ADDONS}
    limits = (*PLANS, *(addon.limits for addon in ADDONS))
    plans = [
        {
            "code": plan.plan,
            "name": plan.name,
            "position": position,
            "max_bots": plan.max_bots,
            "max_live_bots": plan.max_live_bots,
            "max_exchanges": plan.max_exchanges,
            "tick_period_s": plan.tick_period_s,
            "allowed": dict(plan.allowed),
            "visible": True,
            "kind": (PlanKind.ADDON if plan.plan in kinds else PlanKind.PLAN).value,
            "bot_kind": kinds.get(plan.plan, ""),
        }
        for position, plan in enumerate(limits)
    ]
    statement = insert(Plan).values(plans).on_conflict_do_nothing().returning(Plan.code)
    added = set(db.session.scalars(statement))
    prices = [
        {
            "plan_code": plan.plan,
            "amount": amount,
            "currency": CURRENCY,
            "period": period.code,
            "valid_from": now,
        }
        for plan in limits
        if plan.plan in added
        for period, amount in PRICES[plan.plan].items()
    ]
    if prices:
        db.session.execute(insert(PlanPrice), prices)
    after_commit(queries.forget_price_list)


def check_may_start(user_id: int, mode: str) -> None:
    """Raise LimitReached unless the person's plan allows one running bot more of this mode.

    Two starts at once cannot share the last place: the second waits here for the first's commit.
    """
    _lock_use(user_id)
    _refuse_leavers(user_id)
    rules.check_start(
        queries.limits_of(user_id), mode, usage.running_bots(user_id), queries.plans_on_offer()
    )


def check_may_connect(user_id: int) -> None:
    """Raise LimitReached unless the person's plan allows one exchange account more."""
    _lock_use(user_id)
    _refuse_leavers(user_id)
    rules.check_connect(
        queries.limits_of(user_id), usage.connected_accounts(user_id), queries.plans_on_offer()
    )


def spend(user_id: int, what: rules.Allowance, seconds: int) -> Allowed:
    """Count one time of what a plan allows so often in so many seconds.

    Raise TooManyTries beyond it, naming the plan that allows more.
    """
    own = queries.limits_of(user_id)
    limit = Limit(what.value, own.allowed[what], seconds)
    try:
        return times.spend(limit, str(user_id))
    except TooManyTries as error:
        wait = error.values["retry_after"]
        raise rules.allowance_spent(own, what, queries.plans_on_offer(), wait) from None


def give_plan(
    actor_id: int | None, user_id: int, plan_code: str, until: datetime | None, reason: str
) -> None:
    """Give a person a plan in place of the present one, until a moment or without end; audited.

    The same plan again only changes its end. Raises Conflict while they pay for as much or more:
    what they pay for would take its place at once.
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


def end_plan(actor_id: int | None, user_id: int, reason: str) -> None:
    """End a person's plan now; the free plan holds from here on. Audited."""
    reason = _checked_reason(reason)
    present = _lock_present(user_id)
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
    last = datetime.max.replace(tzinfo=UTC)
    return max(paid, key=lambda one: (one.position, one.until or last), default=None)


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
        gift.ends_at += now - gift.waits_since
    gift.waits_since = None
    db.session.flush()
    history.note(gift.user_id, STAFF, "back", before=before, after=_as_dict(gift))


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


def add_price(
    actor_id: int | None,
    plan_code: str,
    amount: Decimal,
    *,
    currency: str = CURRENCY,
    period: Period = MONTH,
    valid_from: datetime | None = None,
    seats: int | None = None,
) -> int:
    """Add a price that holds from now or a later moment; earlier prices stay as they were.

    With `seats` it is sold so many times and no more.
    """
    now = utc_now()
    if db.session.get(Plan, plan_code) is None:
        raise InvalidInput("unknown_plan", field="plan")
    rules.check_price(amount, currency)
    if seats is not None and not 1 <= seats <= rules.MAX_SEATS:
        raise InvalidInput("bad_plan_seats", field="seats", maximum=rules.MAX_SEATS)
    if valid_from is not None and valid_from < now:
        raise InvalidInput("plan_price_in_past", field="valid_from")
    start = valid_from or now
    values = {"plan_code": plan_code, "currency": currency, "period": period.code}
    statement = insert(PlanPrice).values(**values, amount=amount, valid_from=start, seats=seats)
    added = db.session.scalar(statement.on_conflict_do_nothing().returning(PlanPrice.id))
    if added is None:
        raise Conflict("plan_price_twice", field="valid_from")
    after = {**values, "amount": str(amount), "valid_from": start.isoformat(), "seats": seats}
    audit.record("plan.price_added", "plan", plan_code, actor_id=actor_id, after=after)
    after_commit(queries.forget_price_list)
    return int(added)


def name_price(rail: str, external_id: str, plan_code: str, period: Period) -> None:
    """Say what a provider calls the newest price of a plan for a period; again: the newest one."""
    price = db.session.scalar(
        select(PlanPrice.id)
        .where(PlanPrice.plan_code == plan_code, PlanPrice.period == period.code)
        .order_by(PlanPrice.valid_from.desc())
        .limit(1)
    )
    if price is None:
        raise NotFound("unknown_plan")
    statement = insert(RailPrice).values(rail=rail, external_id=external_id, price_id=price)
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=[RailPrice.rail, RailPrice.external_id],
            set_={"price_id": statement.excluded.price_id},
        )
    )
    audit.record(
        "plan.price_named",
        "plan",
        plan_code,
        actor_id=None,
        after={"rail": rail, "name": external_id, "period": period.code},
    )


def change_plan(
    actor_id: int | None,
    plan_code: str,
    limits: rules.Limits,
    *,
    visible: bool,
    trial_days: int | None = None,
) -> None:
    """Change what a plan allows and whether it is offered; audited with old and new values.

    `trial_days` says for how long it may be tried; None leaves that as it is.
    """
    rules.check_limits(limits)
    if trial_days is not None and not 0 <= trial_days <= rules.MAX_TRIAL_DAYS:
        raise InvalidInput(
            "bad_plan_limit", field="trial_days", minimum=0, maximum=rules.MAX_TRIAL_DAYS
        )
    plan = db.session.scalar(select(Plan).where(Plan.code == plan_code).with_for_update())
    if plan is None:
        raise NotFound("unknown_plan")
    before = _plan_values(plan)
    plan.name = limits.name.strip()
    plan.max_bots = limits.max_bots
    plan.max_live_bots = limits.max_live_bots
    plan.max_exchanges = limits.max_exchanges
    plan.tick_period_s = limits.tick_period_s
    plan.allowed = {what.value: times for what, times in limits.allowed.items()}
    plan.visible = visible
    if trial_days is not None:
        plan.trial_days = trial_days
    db.session.flush()
    audit.record(
        "plan.changed",
        "plan",
        plan_code,
        actor_id=actor_id,
        before=before,
        after=_plan_values(plan),
    )
    after_commit(queries.forget_price_list)


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


def _refuse_leavers(user_id: int) -> None:
    if deletion.is_leaving(user_id):
        raise Conflict("account_is_leaving")


def _lock_use(user_id: int) -> None:
    db.session.execute(
        text("select pg_advisory_xact_lock(:kind, cast(:user_id % 2147483647 as int))"),
        {"kind": _USE_LOCK, "user_id": user_id},
    )


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


def _plan_values(plan: Plan) -> dict[str, str | int | bool]:
    return {
        **plan.allowed,
        "name": plan.name,
        "max_bots": plan.max_bots,
        "max_live_bots": plan.max_live_bots,
        "max_exchanges": plan.max_exchanges,
        "tick_period_s": plan.tick_period_s,
        "visible": plan.visible,
        "trial_days": plan.trial_days,
    }
