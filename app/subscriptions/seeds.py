"""The plans of a fresh installation; staff change them later, and seeding never undoes that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from app.subscriptions.periods import MONTH, YEAR, Period
from app.subscriptions.rules import FREE_LIMITS, Allowance, Limits

CURRENCY = "USD"

PLANS: tuple[Limits, ...] = (
    FREE_LIMITS,
    replace(
        FREE_LIMITS,
        plan="pro",
        name="Pro",
        max_bots=20,
        max_live_bots=10,
        max_exchanges=5,
        tick_period_s=15,
        allowed={
            Allowance.PAST_RUNS: 300,
            Allowance.API_CALLS: 300,
            Allowance.HISTORY_DAYS: 730,
            Allowance.JOB_PRIORITY: 5,
        },
    ),
    replace(
        FREE_LIMITS,
        plan="premium",
        name="Premium",
        max_bots=100,
        max_live_bots=50,
        max_exchanges=10,
        tick_period_s=5,
        allowed={
            Allowance.PAST_RUNS: 2_000,
            Allowance.API_CALLS: 1_200,
            Allowance.HISTORY_DAYS: 3_650,
            Allowance.JOB_PRIORITY: 15,
        },
    ),
)


@dataclass(frozen=True, slots=True)
class Addon:
    """An add-on: each unit adds its limits to those of the plan."""

    limits: Limits
    bot_kind: str


# A single bot to rent, beside any plan or without one.
ADDONS: tuple[Addon, ...] = (
    Addon(
        Limits(
            plan="extra_bot",
            name="Extra bot",
            max_bots=1,
            max_live_bots=1,
            max_exchanges=0,
            tick_period_s=60,
            allowed={},
        ),
        bot_kind="grid",
    ),
)

# A year costs ten months.
PRICES: Mapping[str, Mapping[Period, Decimal]] = {
    "free": {MONTH: Decimal("0.00"), YEAR: Decimal("0.00")},
    "pro": {MONTH: Decimal("29.00"), YEAR: Decimal("290.00")},
    "premium": {MONTH: Decimal("79.00"), YEAR: Decimal("790.00")},
    "extra_bot": {MONTH: Decimal("5.00"), YEAR: Decimal("50.00")},
}
