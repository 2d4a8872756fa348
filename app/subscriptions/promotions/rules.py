"""What a promotion code may be, and for whom it holds; pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app.errors import Conflict, InvalidInput
from app.money import Money
from app.subscriptions.periods import Period, Unit
from app.subscriptions.terms import HUNDRED, Choice, Discount

MAX_CODE = 40
MAX_PERIODS = 120
MAX_REDEMPTIONS = 1_000_000
MAX_AMOUNT = Decimal(1_000_000)
_CODE = re.compile(r"[A-Z0-9][A-Z0-9_-]{2,39}")
_CENTS = -2
# In days.
SHORTEST_MONTH = 28


@dataclass(frozen=True, slots=True)
class Terms:
    """What a code gives: its discount, for which plans (none: all), until when, how often."""

    discount: Discount
    plans: Sequence[str] = ()
    expires_at: datetime | None = None
    max_redemptions: int | None = None
    active: bool = True


def normal(code: str) -> str:
    """Return a code as it is kept: large and small letters are the same."""
    return code.strip().upper()


def is_code(code: str) -> bool:
    """Tell whether this can be a code at all."""
    return _CODE.fullmatch(code) is not None


def check_new(terms: Terms, now: datetime) -> None:
    """Raise InvalidInput unless a code of these terms may be made."""
    discount = terms.discount
    if not is_code(discount.code):
        raise InvalidInput("bad_promo_code", field="code")
    if (discount.percent is None) == (discount.amount is None):
        raise InvalidInput("bad_promo_value", field="percent")
    if discount.percent is not None and not _is_value(discount.percent, HUNDRED):
        raise InvalidInput("bad_promo_percent", field="percent")
    if discount.amount is not None and not _is_value(discount.amount.amount, MAX_AMOUNT):
        raise InvalidInput("bad_promo_amount", field="amount")
    if not _is_count(discount.periods, MAX_PERIODS):
        raise InvalidInput("bad_promo_periods", field="periods", maximum=MAX_PERIODS)
    if not _is_count(terms.max_redemptions, MAX_REDEMPTIONS):
        raise InvalidInput("bad_promo_count", field="max_redemptions", maximum=MAX_REDEMPTIONS)
    if terms.expires_at is not None and terms.expires_at <= now:
        raise InvalidInput("bad_promo_end", field="expires_at")


def check_usable(terms: Terms, choice: Choice, currency: str, now: datetime) -> None:
    """Raise InvalidInput or Conflict with the reason why a code does not hold for a choice."""
    if not is_live(terms, now):
        raise Conflict("promo_ended", field="promo")
    if not is_for(terms, choice.plan):
        raise InvalidInput("promo_not_for_plan", field="promo")
    amount = terms.discount.amount
    if amount is not None and amount.currency != currency:
        raise InvalidInput("promo_not_for_plan", field="promo")


def is_live(terms: Terms, now: datetime) -> bool:
    """Tell whether a code is switched on and has not ended."""
    return terms.active and (terms.expires_at is None or terms.expires_at > now)


def is_for(terms: Terms, plan: str | None) -> bool:
    """Tell whether a code holds for a plan, or for add-ons alone."""
    return not terms.plans or plan in terms.plans


def at(terms: Terms, number: int, plan: str | None, *, same_period: bool) -> Discount | None:
    """Return what a taken code takes off a period of its purchase; the first one is number 1.

    That a code has ended since changes nothing. Once paid, periods of another length have none.
    """
    holds = terms.discount.holds(number) and is_for(terms, plan)
    return terms.discount if holds and (same_period or number == 1) else None


def months_there(discount: Discount, period: Period, trial_days: int) -> int | None:
    """Return for how many months a code holds where time is counted in months instead of periods.

    0: as often as it says itself, once or for ever. None: it can't be said in months. Whether free
    days use up what holds once is not told by providers, so months say that too.
    """
    if discount.periods is None or (discount.periods == 1 and not trial_days):
        return 0
    if period.unit not in {Unit.MONTH, Unit.YEAR}:
        return None
    months = int(period.months)
    # The first payment comes after the free days, within the first of the periods.
    return months * discount.periods if trial_days < months * SHORTEST_MONTH else None


def name_there(code: str, months: int) -> str:
    """Return how a code is called where it is typed in letters, digits and hyphens only."""
    name = code.replace("_", "-")
    return f"{name}-{months}M" if months else name


def discount_of(
    code: str,
    percent: Decimal | None,
    amount: Decimal | None,
    currency: str | None,
    periods: int | None,
) -> Discount:
    """Return a discount from its single values."""
    off = Money(amount, currency) if amount is not None and currency is not None else None
    return Discount(code, percent=percent, amount=off, periods=periods)


def _is_value(value: Decimal, most: Decimal) -> bool:
    if not value.is_finite() or not 0 < value <= most:
        return False
    exponent = value.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= _CENTS


def _is_count(count: int | None, most: int) -> bool:
    return count is None or 1 <= count <= most
