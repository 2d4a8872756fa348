"""Reads: somebody's limits, the plans on offer and their prices at a moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, or_, select

from app.cache import Cache, read_exact
from app.db import db, utc_now
from app.errors import NotFound
from app.money import Money
from app.subscriptions.models import (
    KeptState,
    KeptSubscription,
    Plan,
    PlanKind,
    PlanPrice,
    RailSubscription,
    Subscription,
    SubscriptionItem,
    SubscriptionState,
)
from app.subscriptions.periods import MONTH, YEAR, Period
from app.subscriptions.rules import (
    FREE_LIMITS,
    FREE_PLAN,
    GRACE_STATE,
    LEAST_ALLOWED,
    PAID_STATES,
    Allowance,
    Limits,
    history_ended,
    history_shown,
    with_addons,
)
from app.trades.reach import Reach

ENDS_SOON = timedelta(days=7)
_USUAL = frozenset({MONTH, YEAR})
# The states in which a subscription gives what it is for, while its access lasts.
GIVING = frozenset({KeptState.TRIALING, KeptState.ACTIVE, KeptState.PAST_DUE})


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan or an add-on as it is offered at a moment, with the periods for which it is sold.

    `trial_days` says for how long who has never tried one may try it.
    """

    limits: Limits
    prices: Mapping[Period, Money]
    trial_days: int = 0
    bot_kind: str = ""

    @property
    def month(self) -> Money | None:
        return self.prices.get(MONTH)

    @property
    def year(self) -> Money | None:
        return self.prices.get(YEAR)

    @property
    def others(self) -> tuple[tuple[Period, Money], ...]:
        """The prices of all periods but a month and a year, the shortest first."""
        rest = ((period, price) for period, price in self.prices.items() if period not in _USUAL)
        return tuple(sorted(rest, key=lambda one: one[0].months))

    @property
    def is_free(self) -> bool:
        return self.month is not None and self.month.amount == 0


@dataclass(frozen=True, slots=True)
class Coming:
    """A price that holds from a moment to come."""

    period: Period
    price: Money
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class WaitingGift:
    """A plan that was given and waits; `days` is how much of it is left, None: it has no end."""

    name: str
    days: int | None


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """The plan of one person in a few words."""

    plan: str
    name: str
    until: datetime | None
    ends_soon: bool
    is_free: bool


@dataclass(frozen=True, slots=True)
class Right:
    """A right to a plan; `rail` is by which way it is paid for, empty where staff have given it."""

    plan_code: str
    name: str
    started_at: datetime
    until: datetime | None
    rail: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Price:
    """What a plan costs for a period from a moment on."""

    plan: str
    period: Period
    amount: Decimal
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class _Listed:
    """A visible plan or add-on."""

    limits: Limits
    kind: str
    trial_days: int
    bot_kind: str


@dataclass(frozen=True, slots=True)
class _PriceBook:
    """What is visible and its prices in a currency, past and coming ones too, oldest first.

    With the coming ones a kept book changes a price at its very moment.
    """

    listed: tuple[_Listed, ...]
    prices: tuple[_Price, ...]


def limits_of(user_id: int) -> Limits:
    """Return what a person may do now, add-ons included: the one place that answers this."""
    row = db.session.execute(
        select(Plan, Subscription.ends_at)
        .join(Subscription, Subscription.plan_code == Plan.code)
        .where(Subscription.user_id == user_id, _holds_at(utc_now()))
    ).first()
    if row is not None:
        limits = _limits(row.Plan, row.ends_at)
    else:
        free = db.session.get(Plan, FREE_PLAN)
        limits = _limits(free) if free is not None else FREE_LIMITS
    return with_addons(limits, _addons_of(user_id))


def _addons_of(user_id: int) -> tuple[tuple[Limits, int], ...]:
    """Return the add-ons that hold for a person now, and how many of each."""
    now = utc_now()
    kept, there = KeptSubscription, RailSubscription
    holds = or_(
        and_(
            kept.user_id == user_id,
            kept.state.in_(GIVING),
            or_(kept.access_until.is_(None), kept.access_until > now),
        ),
        and_(
            there.user_id == user_id,
            there.state.in_({*PAID_STATES, GRACE_STATE}),
            or_(there.access_until.is_(None), there.access_until > now),
        ),
    )
    rows = db.session.execute(
        select(Plan, func.sum(SubscriptionItem.quantity))
        .join(PlanPrice, PlanPrice.plan_code == Plan.code)
        .join(SubscriptionItem, SubscriptionItem.price_id == PlanPrice.id)
        .outerjoin(kept, kept.id == SubscriptionItem.kept_id)
        .outerjoin(there, there.id == SubscriptionItem.rail_subscription_id)
        .where(Plan.kind == PlanKind.ADDON.value, holds)
        .group_by(Plan.code)
    )
    return tuple((_limits(plan), int(quantity)) for plan, quantity in rows)


def reach_of(user_id: int) -> Reach:
    """Return how far back a person's plan shows trades, and the plan that shows more."""
    limits = limits_of(user_id)
    return Reach(
        since=utc_now() - history_shown(limits), refusal=history_ended(limits, plans_on_offer())
    )


def present_right(user_id: int) -> Right | None:
    """Return the right to a plan that a person has now, None for the free plan."""
    row = db.session.execute(
        select(Subscription, Plan.name)
        .join(Plan, Plan.code == Subscription.plan_code)
        .where(Subscription.user_id == user_id, _holds_at(utc_now()))
    ).first()
    if row is None:
        return None
    found, name = row
    return Right(found.plan_code, name, found.started_at, found.ends_at, found.rail, found.reason)


def waiting_gifts(user_id: int) -> tuple[WaitingGift, ...]:
    """Return what staff have given a person and what waits while as much or more is paid for."""
    rows = db.session.execute(
        select(Subscription, Plan.name)
        .join(Plan, Plan.code == Subscription.plan_code)
        .where(
            Subscription.user_id == user_id, Subscription.state == SubscriptionState.WAITING.value
        )
        .order_by(Plan.position.desc(), Subscription.id)
    )
    return tuple(WaitingGift(name, _days_left(found)) for found, name in rows)


def _days_left(found: Subscription) -> int | None:
    if found.ends_at is None or found.waits_since is None:
        return None
    return max(-((found.waits_since - found.ends_at) // timedelta(days=1)), 0)


def plan_summary(user_id: int) -> PlanSummary:
    """Return a person's plan for a profile or dashboard card."""
    limits = limits_of(user_id)
    return PlanSummary(
        plan=limits.plan,
        name=limits.name,
        until=limits.until,
        ends_soon=limits.until is not None and limits.until - utc_now() < ENDS_SOON,
        is_free=limits.plan == FREE_PLAN,
    )


def plan_by_code(code: str) -> Plan:
    """Return a plan, offered or not; raise NotFound for an unknown code."""
    plan = db.session.get(Plan, code) if "\x00" not in code else None
    if plan is None:
        raise NotFound("unknown_plan")
    return plan


def limits_of_plan(code: str) -> Limits:
    """Return what a plan allows, offered or not; an unknown one no more than the free one."""
    plan = db.session.get(Plan, code)
    return _limits(plan) if plan is not None else FREE_LIMITS


def allowed_by(plan: Plan) -> Mapping[str, int]:
    """Return how often a plan allows what it counts, by name."""
    return {what.value: times for what, times in _allowed(plan).items()}


def plans_on_offer() -> tuple[Limits, ...]:
    """Return the visible plans, smallest first; add-ons are none."""
    return tuple(_limits(plan) for plan in _visible() if plan.kind == PlanKind.PLAN)


def price_list(at: datetime | None = None, currency: str = "USD") -> tuple[Offer, ...]:
    """Return the visible plans with the prices that hold at a moment (now by default)."""
    return _offers(PlanKind.PLAN, at or utc_now(), currency)


def addons_on_offer(at: datetime | None = None, currency: str = "USD") -> tuple[Offer, ...]:
    """Return the visible add-ons with the prices that hold at a moment (now by default)."""
    return _offers(PlanKind.ADDON, at or utc_now(), currency)


def coming_prices(currency: str = "USD") -> Mapping[str, tuple[Coming, ...]]:
    """Return the prices that are announced, by plan or add-on, the earliest first."""
    book, now = _BOOKS.get(currency, lambda: _read_book(currency)), utc_now()
    found: dict[str, list[Coming]] = {}
    for price in book.prices:
        if price.valid_from > now:
            coming = Coming(price.period, Money(price.amount, currency), price.valid_from)
            found.setdefault(price.plan, []).append(coming)
    return {plan: tuple(prices) for plan, prices in found.items()}


def price_on_sale(
    plan: str, period: Period, currency: str, at: datetime, *, with_seats: bool = True
) -> PlanPrice | None:
    """Return the price at which a visible plan or add-on is sold at a moment; None if it is not.

    Without seats: the newest of those that are sold as often as somebody asks.
    """
    return db.session.scalar(
        select(PlanPrice)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(
            Plan.visible,
            PlanPrice.plan_code == plan,
            PlanPrice.period == period.code,
            PlanPrice.currency == currency,
            PlanPrice.valid_from <= at,
            or_(PlanPrice.seats.is_(None), literal(with_seats)),
        )
        .order_by(PlanPrice.valid_from.desc())
        .limit(1)
    )


def has_tried(user_id: int) -> bool:
    """Tell whether a person has had a trial already, whoever kept it."""
    kept = select(KeptSubscription.id).where(
        KeptSubscription.user_id == user_id, KeptSubscription.trial_end.is_not(None)
    )
    there = select(RailSubscription.id).where(
        RailSubscription.user_id == user_id, RailSubscription.trial_end.is_not(None)
    )
    return bool(db.session.scalar(select(or_(kept.exists(), there.exists()))))


def _visible() -> tuple[Plan, ...]:
    return tuple(
        db.session.scalars(select(Plan).where(Plan.visible).order_by(Plan.position, Plan.code))
    )


def _offers(kind: PlanKind, moment: datetime, currency: str) -> tuple[Offer, ...]:
    book = _BOOKS.get(currency, lambda: _read_book(currency))
    # A later price of the same plan and period overwrites the earlier one.
    listed = [one for one in book.listed if one.kind == kind]
    prices: dict[str, dict[Period, Money]] = {one.limits.plan: {} for one in listed}
    for price in book.prices:
        if price.valid_from <= moment and price.plan in prices:
            prices[price.plan][price.period] = Money(price.amount, currency)
    return tuple(
        Offer(one.limits, prices[one.limits.plan], one.trial_days, one.bot_kind) for one in listed
    )


def forget_price_list() -> None:
    """Make every process read plans and prices anew; to be called after the commit."""
    _BOOKS.drop()


def _read_book(currency: str) -> _PriceBook:
    rows = db.session.execute(
        select(PlanPrice.plan_code, PlanPrice.period, PlanPrice.amount, PlanPrice.valid_from)
        .where(PlanPrice.currency == currency)
        .order_by(PlanPrice.valid_from)
    )
    prices = (_Price(plan, Period.parse(code), amount, start) for plan, code, amount, start in rows)
    listed = (
        _Listed(_limits(plan), plan.kind, plan.trial_days, plan.bot_kind) for plan in _visible()
    )
    return _PriceBook(tuple(listed), tuple(prices))


def _dump_book(book: _PriceBook) -> dict[str, Any]:
    return {
        "listed": [
            [_dump_limits(one.limits), one.kind, one.trial_days, one.bot_kind]
            for one in book.listed
        ],
        "prices": [
            [one.plan, one.period.code, str(one.amount), one.valid_from.isoformat()]
            for one in book.prices
        ],
    }


def _dump_limits(limits: Limits) -> list[Any]:
    return [
        limits.plan,
        limits.name,
        limits.max_bots,
        limits.max_live_bots,
        limits.max_exchanges,
        limits.tick_period_s,
        dict(limits.allowed),
    ]


def _load_book(kept: dict[str, Any]) -> _PriceBook:
    return _PriceBook(
        listed=tuple(
            _Listed(_load_limits(limits), str(kind), int(trial_days), str(bot_kind))
            for limits, kind, trial_days, bot_kind in kept["listed"]
        ),
        prices=tuple(
            _Price(
                plan, Period.parse(period), read_exact(amount), datetime.fromisoformat(valid_from)
            )
            for plan, period, amount, valid_from in kept["prices"]
        ),
    )


def _load_limits(kept: list[Any]) -> Limits:
    plan, name, bots, live, exchanges, period, allowed = kept
    times = {Allowance(what): int(number) for what, number in allowed.items()}
    return Limits(plan, name, int(bots), int(live), int(exchanges), int(period), times)


def _allowed(plan: Plan) -> Mapping[Allowance, int]:
    # An add-on that says nothing adds nothing.
    is_addon = plan.kind == PlanKind.ADDON
    return {
        what: int(plan.allowed.get(what, 0 if is_addon else least))
        for what, least in LEAST_ALLOWED.items()
    }


_BOOKS = Cache("price_list", 30, _dump_book, _load_book)


def _holds_at(moment: datetime) -> ColumnElement[bool]:
    return and_(
        Subscription.state == SubscriptionState.ACTIVE,
        or_(Subscription.ends_at.is_(None), Subscription.ends_at > moment),
    )


def _limits(plan: Plan, until: datetime | None = None) -> Limits:
    return Limits(
        plan=plan.code,
        name=plan.name,
        max_bots=plan.max_bots,
        max_live_bots=plan.max_live_bots,
        max_exchanges=plan.max_exchanges,
        tick_period_s=plan.tick_period_s,
        allowed=_allowed(plan),
        until=until,
    )
