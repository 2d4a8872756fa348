"""The plans of a fresh installation; staff change them later, and seeding never undoes that."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from app.subscriptions.rules import FREE_LIMITS, Limits

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
    ),
    replace(
        FREE_LIMITS,
        plan="premium",
        name="Premium",
        max_bots=100,
        max_live_bots=50,
        max_exchanges=10,
        tick_period_s=5,
    ),
)

# Plan to (a month, a year); a year costs ten months.
PRICES: Mapping[str, tuple[Decimal, Decimal]] = {
    "free": (Decimal("0.00"), Decimal("0.00")),
    "pro": (Decimal("29.00"), Decimal("290.00")),
    "premium": (Decimal("79.00"), Decimal("790.00")),
}
