"""Reads: somebody's limits, the plans on offer and their prices at a moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select

from app.cache import Cache, read_exact
from app.db import db, utc_now
from app.errors import NotFound
from app.money import Money
from app.subscriptions.models import Plan, PlanPrice, Subscription, SubscriptionState
from app.subscriptions.periods import MONTH, YEAR, Period
from app.subscriptions.rules import FREE_LIMITS, FREE_PLAN, LEAST_ALLOWED, Allowance, Limits

ENDS_SOON = timedelta(days=7)
_USUAL = frozenset({MONTH, YEAR})


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan as it is offered at a moment, with the periods for which it is sold."""

    limits: Limits
    prices: Mapping[Period, Money]

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

    @property
    def saved_a_year(self) -> Money | None:
        """What twelve months cost more than the year."""
        if self.month is None or self.year is None or self.month.currency != self.year.currency:
            return None
        saved = self.month * 12 - self.year
        return saved if saved.amount > 0 else None


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """The plan of one person in a few words."""

    plan: str
    name: str
    until: datetime | None
    ends_soon: bool
    is_free: bool


@dataclass(frozen=True, slots=True)
class _Price:
    """What a plan costs for a period from a moment on."""

    plan: str
    period: Period
    amount: Decimal
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class _PriceBook:
    """The visible plans and their prices in a currency, past and coming ones too, oldest first.

    With the coming ones a kept book changes a price at its very moment.
    """

    plans: tuple[Limits, ...]
    prices: tuple[_Price, ...]


def limits_of(user_id: int) -> Limits:
    """Return what a person may do now: the one place that answers this."""
    row = db.session.execute(
        select(Plan, Subscription.ends_at)
        .join(Subscription, Subscription.plan_code == Plan.code)
        .where(Subscription.user_id == user_id, _holds_at(utc_now()))
    ).first()
    if row is not None:
        return _limits(row.Plan, row.ends_at)
    free = db.session.get(Plan, FREE_PLAN)
    return _limits(free) if free is not None else FREE_LIMITS


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


def allowed_by(plan: Plan) -> Mapping[str, int]:
    """Return how often a plan allows what it counts, by name."""
    return {what.value: times for what, times in _allowed(plan.allowed).items()}


def plans_on_offer() -> tuple[Limits, ...]:
    """Return the visible plans, smallest first."""
    plans = db.session.scalars(select(Plan).where(Plan.visible).order_by(Plan.position, Plan.code))
    return tuple(_limits(plan) for plan in plans)


def price_list(at: datetime | None = None, currency: str = "USD") -> tuple[Offer, ...]:
    """Return the visible plans with the prices that hold at a moment (now by default)."""
    moment = at or utc_now()
    book = _BOOKS.get(currency, lambda: _read_book(currency))
    # A later price of the same plan and period overwrites the earlier one.
    prices: dict[str, dict[Period, Money]] = {limits.plan: {} for limits in book.plans}
    for price in book.prices:
        if price.valid_from <= moment and price.plan in prices:
            prices[price.plan][price.period] = Money(price.amount, currency)
    return tuple(Offer(limits, prices[limits.plan]) for limits in book.plans)


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
    return _PriceBook(plans_on_offer(), tuple(prices))


def _dump_book(book: _PriceBook) -> dict[str, Any]:
    return {
        "plans": [
            [
                one.plan,
                one.name,
                one.max_bots,
                one.max_live_bots,
                one.max_exchanges,
                one.tick_period_s,
                dict(one.allowed),
            ]
            for one in book.plans
        ],
        "prices": [
            [one.plan, one.period.code, str(one.amount), one.valid_from.isoformat()]
            for one in book.prices
        ],
    }


def _load_book(kept: dict[str, Any]) -> _PriceBook:
    return _PriceBook(
        plans=tuple(
            Limits(plan, name, int(bots), int(live), int(exchanges), int(period), _allowed(allowed))
            for plan, name, bots, live, exchanges, period, allowed in kept["plans"]
        ),
        prices=tuple(
            _Price(
                plan, Period.parse(period), read_exact(amount), datetime.fromisoformat(valid_from)
            )
            for plan, period, amount, valid_from in kept["prices"]
        ),
    )


def _allowed(kept: Mapping[str, Any]) -> Mapping[Allowance, int]:
    return {what: int(kept.get(what, least)) for what, least in LEAST_ALLOWED.items()}


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
        allowed=_allowed(plan.allowed),
        until=until,
    )
