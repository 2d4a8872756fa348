"""What a plan allows, and whether one bot or account more fits; pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from app.errors import Conflict, InvalidInput, LimitReached, TooManyTries
from app.money import Money
from app.payments.rules import check_chargeable

LIVE = "live"
FREE_PLAN = "free"
MAX_COUNT = 10_000
MAX_TIMES = 1_000_000
MAX_PERIOD_S = 3_600
MAX_NAME = 40
MAX_PRICE = Decimal(1_000_000)
MAX_SEATS = 1_000_000
MAX_TRIAL_DAYS = 365
_CURRENCY = re.compile(r"[A-Z]{3}")


class Change(StrEnum):
    """What can happen to somebody's right to a plan."""

    EXTENDED = "given again"
    REPLACED = "another plan given"
    ENDED = "ended by staff"
    EXPIRED = "its end has come"
    SET_ASIDE = "as much or more is paid for"
    BACK = "no more is paid for"


# State -> what happens -> the state that follows. What is missing can't happen: ended rights stay
# as they are, and a new right is a new row.
STATE_TABLE: dict[str, dict[Change, str]] = {
    "active": {
        Change.EXTENDED: "active",
        Change.REPLACED: "replaced",
        Change.ENDED: "ended",
        Change.EXPIRED: "ended",
        Change.SET_ASIDE: "waiting",
    },
    "waiting": {Change.BACK: "active", Change.ENDED: "ended"},
    "ended": {},
    "replaced": {},
}


def next_state(state: str, change: Change) -> str:
    """Return the state that follows; raise Conflict if this can't happen any more."""
    if change not in STATE_TABLE[state]:
        raise Conflict("no_plan_to_end")
    return STATE_TABLE[state][change]


# States of a provider's subscription that give what is paid for; others give nothing.
PAID_STATES = frozenset({"active", "trialing"})
GRACE_STATE = "past_due"


@dataclass(frozen=True, slots=True)
class Access:
    """What a provider's subscription gives: the time of a price, until a moment or without end."""

    price: str
    until: datetime | None


def access_of(
    state: str,
    paid_price: str | None,
    cancel_at: datetime | None,
    grace_end: datetime,
    now: datetime,
    paused_from: datetime | None = None,
) -> Access | None:
    """Say what a provider's subscription gives now, by what is settled and never by promises.

    While a payment is overdue the plan goes on to the end of its grace, then it ends by itself.
    While no money is collected it gives nothing beyond `paused_from`, to which it is paid.
    """
    if paid_price is None or state not in {*PAID_STATES, GRACE_STATE}:
        return None
    ends = [moment for moment in (cancel_at, paused_from) if moment is not None]
    until = min(ends) if ends else None
    if state == GRACE_STATE:
        until = grace_end if until is None else min(until, grace_end)
    return Access(paid_price, until) if until is None or until > now else None


class Allowance(StrEnum):
    """What a plan allows so much of; the number a plan is data that staff edit."""

    PAST_RUNS = "past_runs_a_day"
    API_CALLS = "api_calls_a_minute"
    # How far back trades and curves are shown; nothing is deleted.
    HISTORY_DAYS = "history_days"
    # By how many seconds ticks stand ahead of others while workers are busy.
    JOB_PRIORITY = "job_priority"


# What is counted as it is done; the rest is a measure that is never used up.
COUNTED = (Allowance.PAST_RUNS, Allowance.API_CALLS)

# What a plan allows of it that says nothing else.
LEAST_ALLOWED: Mapping[Allowance, int] = {
    Allowance.PAST_RUNS: 30,
    Allowance.API_CALLS: 120,
    Allowance.HISTORY_DAYS: 3_650,
    Allowance.JOB_PRIORITY: 0,
}
# A minute ahead of others lets nobody wait for ever.
MOST_ALLOWED: Mapping[Allowance, int] = {
    **dict.fromkeys(Allowance, MAX_TIMES),
    Allowance.HISTORY_DAYS: 3_650,
    Allowance.JOB_PRIORITY: 60,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What somebody's plan allows now; `until` is None where it does not end by itself."""

    plan: str
    name: str
    max_bots: int
    max_live_bots: int
    max_exchanges: int
    tick_period_s: int
    allowed: Mapping[Allowance, int] = field(default_factory=lambda: LEAST_ALLOWED)
    until: datetime | None = None


def with_addons(limits: Limits, addons: Iterable[tuple[Limits, int]]) -> Limits:
    """Return limits with add-ons, each so many times: counts grow, the tick period stays."""
    for addon, times in addons:
        limits = replace(
            limits,
            max_bots=limits.max_bots + addon.max_bots * times,
            max_live_bots=limits.max_live_bots + addon.max_live_bots * times,
            max_exchanges=limits.max_exchanges + addon.max_exchanges * times,
            allowed={
                what: number + addon.allowed.get(what, 0) * times
                for what, number in limits.allowed.items()
            },
        )
    return limits


@dataclass(frozen=True, slots=True)
class RunningBots:
    """How many bots of a person run now; `total` holds the live ones too."""

    total: int
    live: int


# Holds until the plans have been filled in, so that nothing is ever allowed by accident.
FREE_LIMITS = Limits(
    plan=FREE_PLAN,
    name="Free",
    max_bots=3,
    max_live_bots=0,
    max_exchanges=2,
    tick_period_s=60,
    allowed={**LEAST_ALLOWED, Allowance.HISTORY_DAYS: 90},
)


def check_start(limits: Limits, mode: str, running: RunningBots, larger: Iterable[Limits]) -> None:
    """Raise LimitReached unless one bot more of this mode may run.

    `larger` are the plans that could be offered, smallest first.
    """
    offers = tuple(larger)
    if mode == LIVE and running.live >= limits.max_live_bots:
        better = _first(offers, lambda plan: plan.max_live_bots > running.live)
        code = "live_plan_limit" if limits.max_live_bots else "live_needs_plan"
        allowed = better.max_live_bots if better else 0
        raise _limit_reached(code, limits.max_live_bots, running.live, limits, better, allowed)
    if running.total >= limits.max_bots:
        better = _first(offers, lambda plan: plan.max_bots > running.total)
        allowed = better.max_bots if better else 0
        raise _limit_reached("plan_limit", limits.max_bots, running.total, limits, better, allowed)


def check_connect(limits: Limits, connected: int, larger: Iterable[Limits]) -> None:
    """Raise LimitReached unless one exchange account more may be connected."""
    if connected < limits.max_exchanges:
        return
    better = _first(tuple(larger), lambda plan: plan.max_exchanges > connected)
    allowed = better.max_exchanges if better else 0
    raise _limit_reached("exchange_limit", limits.max_exchanges, connected, limits, better, allowed)


def allowance_spent(
    limits: Limits, what: Allowance, larger: Iterable[Limits], retry_after: int
) -> TooManyTries:
    """Return the refusal of one time more; it names the smallest plan that allows more."""
    limit = limits.allowed[what]
    better = _first(tuple(larger), lambda plan: plan.allowed[what] > limit)
    return TooManyTries(
        f"{what}_spent" if better else f"{what}_spent_highest",
        limit=limit,
        plan=limits.name,
        better_plan=better.name if better else "",
        better_code=better.plan if better else "",
        better_limit=better.allowed[what] if better else 0,
        retry_after=retry_after,
    )


def history_shown(limits: Limits) -> timedelta:
    """Return how far back a plan shows trades and curves; with add-ons never more than the most."""
    what = Allowance.HISTORY_DAYS
    return timedelta(days=min(limits.allowed[what], MOST_ALLOWED[what]))


def history_ended(limits: Limits, larger: Iterable[Limits]) -> LimitReached:
    """Return the sentence for what is older; it names the smallest plan that shows more."""
    what = Allowance.HISTORY_DAYS
    limit = history_shown(limits).days
    better = _first(tuple(larger), lambda plan: plan.allowed[what] > limit)
    allowed = better.allowed[what] if better else 0
    return _limit_reached("history_days_ended", limit, limit, limits, better, allowed)


def _first(plans: Iterable[Limits], allows: Callable[[Limits], bool]) -> Limits | None:
    return next((plan for plan in plans if allows(plan)), None)


def _limit_reached(
    code: str, limit: int, used: int, own: Limits, better: Limits | None, better_limit: int
) -> LimitReached:
    # The sentence differs where no plan allows more, so the code does too.
    return LimitReached(
        code if better else f"{code}_highest",
        limit=limit,
        used=used,
        plan=own.name,
        better_plan=better.name if better else "",
        better_code=better.plan if better else "",
        better_limit=better_limit,
    )


def check_limits(limits: Limits) -> None:
    """Raise InvalidInput naming the first value that a plan may not have."""
    if not 1 <= len(limits.name.strip()) <= MAX_NAME or "\x00" in limits.name:
        raise InvalidInput("bad_plan_name", field="name")
    ranges = {
        "max_bots": (0, MAX_COUNT),
        "max_live_bots": (0, limits.max_bots),
        "max_exchanges": (0, MAX_COUNT),
        "tick_period_s": (1, MAX_PERIOD_S),
    }
    for name, (low, high) in ranges.items():
        if not low <= getattr(limits, name) <= high:
            raise InvalidInput("bad_plan_limit", field=name, minimum=low, maximum=high)
    for what, times in limits.allowed.items():
        most = MOST_ALLOWED[what]
        if not 0 <= times <= most:
            raise InvalidInput("bad_plan_limit", field=what.value, minimum=0, maximum=most)


def check_price(amount: Decimal, currency: str) -> None:
    """Raise InvalidInput unless this is a price that can be charged."""
    if not _CURRENCY.fullmatch(currency):
        raise InvalidInput("bad_plan_currency", field="currency")
    in_range = amount.is_finite() and 0 <= amount <= MAX_PRICE
    if not in_range or Money(amount, currency) != Money(amount, currency).rounded():
        raise InvalidInput("bad_plan_price", field="amount")
    check_chargeable(Money(amount, currency))
