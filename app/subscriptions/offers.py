"""The plans as a person chooses among them: for one period, with what is theirs already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.errors import InvalidInput
from app.money import Money
from app.subscriptions import queries, seats
from app.subscriptions.periods import MONTH, Period
from app.subscriptions.queries import Coming, Offer
from app.subscriptions.rules import FREE_PLAN, Limits, with_addons

# An extra bot more than this is a mistake of typing.
MOST_ADDONS = 100


class Step(StrEnum):
    """What the button of a plan does."""

    BEGIN = "begin"
    ORDER = "order"
    CHANGE = "change"
    HAVE = "have"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at the prices: the plan that holds now, and whether an order of theirs runs."""

    plan: str
    subscribed: bool
    may_try: bool


@dataclass(frozen=True, slots=True)
class Other:
    """What a plan costs for another period, and what that saves."""

    period: Period
    price: Money
    saved: Money | None


@dataclass(frozen=True, slots=True)
class PlanCard:
    """One plan beside the others; `price` is the one of `period`, or there is none."""

    limits: Limits
    period: Period
    price: Money | None
    is_free: bool
    a_month: Money | None
    saved: Money | None
    others: tuple[Other, ...]
    coming: tuple[Coming, ...]
    trial_days: int
    seats_left: int | None
    step: Step

    @property
    def is_for_sale(self) -> bool:
        """Tell whether the button leads to an order."""
        return self.step in {Step.ORDER, Step.CHANGE}


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that is sold, as it stands for a period."""

    period: Period
    periods: tuple[Period, ...]
    savings: Mapping[Period, int]
    cards: tuple[PlanCard, ...]
    addons: tuple[Offer, ...]


def shelf(reader: Reader | None, period_code: str = MONTH.code) -> Shelf:
    """Return what is sold, for the wanted period or the first one that is sold."""
    offers = queries.price_list()
    periods = periods_of(offers)
    period = wanted_period(period_code, periods)
    coming = queries.coming_prices()
    left = seats.left_of_offers()
    return Shelf(
        period=period,
        periods=periods,
        savings={one: largest_saving(offers, one) for one in periods},
        cards=tuple(
            _card(offer, period, reader, coming.get(offer.limits.plan, ()), left)
            for offer in offers
        ),
        addons=queries.addons_on_offer(),
    )


def limits_for(plan: str | None, addons: Mapping[str, int]) -> Limits:
    """Return what a plan, or without one the free plan, allows together with add-ons."""
    own = queries.limits_of_plan(plan or FREE_PLAN)
    return with_addons(own, ((queries.limits_of_plan(code), n) for code, n in addons.items()))


def periods_of(offers: Sequence[Offer]) -> tuple[Period, ...]:
    """Return for which periods anything that costs money is sold, the shortest first."""
    found = {one for offer in offers for one, price in offer.prices.items() if price.amount > 0}
    return tuple(sorted(found, key=_length))


def wanted_period(code: str, sold: Sequence[Period]) -> Period:
    """Return the period that a reader asks for if it is sold, else a month or the first one."""
    try:
        wanted = Period.parse(code)
    except InvalidInput:
        wanted = MONTH
    if wanted in sold or not sold:
        return wanted
    return MONTH if MONTH in sold else sold[0]


def largest_saving(offers: Sequence[Offer], period: Period) -> int:
    """Return how many percent a period costs less than the same time by the month, at best."""
    shares = [
        saved.amount * 100 / (saved.amount + offer.prices[period].amount)
        for offer in offers
        if (saved := saved_by(offer, period)) is not None
    ]
    return int(max(shares)) if shares else 0


def saved_by(offer: Offer, period: Period) -> Money | None:
    """Return what the same time by the month costs more than a longer period."""
    price, month = offer.prices.get(period), offer.month
    if price is None or month is None or not _spans_months(period):
        return None
    saved = (month * period.months).rounded() - price
    return saved if saved.amount > 0 else None


def _card(
    offer: Offer,
    period: Period,
    reader: Reader | None,
    coming: tuple[Coming, ...],
    seats_left: Mapping[tuple[str, Period], int],
) -> PlanCard:
    left = {one: seats_left.get((offer.limits.plan, one)) for one in offer.prices}
    sold = sorted(offer.prices, key=_length)
    shown = period if period in offer.prices or not sold else sold[0]
    price = offer.prices.get(shown)
    may_try = reader is None or reader.may_try
    return PlanCard(
        limits=offer.limits,
        period=shown,
        price=price,
        is_free=offer.is_free,
        a_month=_a_month(price, shown),
        saved=saved_by(offer, shown),
        others=tuple(
            Other(one, offer.prices[one], saved_by(offer, one))
            for one in sold
            if one != shown and left[one] != 0
        ),
        coming=coming,
        trial_days=offer.trial_days if may_try and not shown.is_endless else 0,
        seats_left=left.get(shown),
        step=Step.NONE if price is None or left[shown] == 0 else _step(offer, reader),
    )


def _step(offer: Offer, reader: Reader | None) -> Step:
    if reader is None:
        return Step.BEGIN if offer.is_free else Step.ORDER
    if offer.limits.plan == reader.plan:
        return Step.HAVE
    if offer.is_free:
        return Step.NONE
    return Step.CHANGE if reader.subscribed else Step.ORDER


def _a_month(price: Money | None, period: Period) -> Money | None:
    """Return what a longer period comes to by the month."""
    if price is None or not _spans_months(period):
        return None
    return Money(price.amount / period.months, price.currency).rounded()


def _spans_months(period: Period) -> bool:
    return not period.is_endless and period.months > 1


def _length(period: Period) -> Decimal:
    return period.months
