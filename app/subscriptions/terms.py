"""The words that all ways to keep a subscription share: a choice, what it costs, how one stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from app.money import Money
from app.subscriptions.periods import Period

HUNDRED = Decimal(100)


class Source(StrEnum):
    """Who keeps a subscription: we, or the provider that takes the money."""

    KEPT = "kept"
    PROVIDER = "provider"


class Verb(StrEnum):
    """What somebody may do with a subscription as it stands."""

    CHANGE = "change"
    CANCEL = "cancel"
    UNDO = "undo"
    PAUSE = "pause"
    RESUME = "resume"
    PORTAL = "portal"
    PAY = "pay"


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody chooses: a plan or none, add-ons by code and how many, for which period."""

    plan: str | None
    period: Period
    addons: Mapping[str, int] = field(default_factory=dict)
    promo: str = ""


@dataclass(frozen=True, slots=True)
class Discount:
    """What a code takes off an invoice: a share in percent, or an amount.

    `periods` says off how many periods, counted from the first; None: off all of them.
    """

    code: str
    percent: Decimal | None = None
    amount: Money | None = None
    periods: int | None = 1

    def holds(self, number: int) -> bool:
        """Tell whether a period is among those that cost less; the first one is number 1."""
        return self.periods is None or number <= self.periods

    def off(self, total: Money) -> Money:
        """Return how much this takes off a total, never more than there is."""
        if self.percent is not None:
            off = (total * (self.percent / HUNDRED)).chargeable()
        elif self.amount is not None and self.amount.currency == total.currency:
            off = self.amount
        else:
            off = Money(Decimal(0), total.currency)
        return min(off, total, key=lambda one: one.amount)


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """One line of what a choice costs; a credit is negative."""

    description: str
    money: Money


@dataclass(frozen=True, slots=True)
class Preview:
    """What a choice means before somebody agrees.

    `token` stands for all that was shown: to agree is refused once it does not hold any more.
    """

    lines: tuple[PreviewLine, ...]
    due_now: Money
    next_charge: Money | None
    next_at: datetime | None
    takes_effect: datetime
    token: str


@dataclass(frozen=True, slots=True)
class Lowered:
    """What lowers the charges of a subscription now: its name, and a share or an amount.

    It holds until a moment, or for one more payment if it `is_once`, else without an end.
    """

    name: str
    percent: Decimal | None
    amount: Money | None
    until: datetime | None
    is_once: bool = False

    def off(self, total: Money, at: datetime) -> Money:
        """Return how much this takes off what is charged at a moment."""
        if self.until is not None and self.until <= at:
            return Money(Decimal(0), total.currency)
        return Discount(self.name, percent=self.percent, amount=self.amount).off(total)


@dataclass(frozen=True, slots=True)
class Following:
    """What a subscription becomes by itself, and when: a smaller plan, say, or fewer bots."""

    names: str
    period: Period
    at: datetime


@dataclass(frozen=True, slots=True)
class IfKept:
    """What a cancelled subscription goes on as if its owner thinks better of it."""

    names: str
    period: Period
    charge: Money
    is_other: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody's subscription stands, whoever keeps it.

    `is_asked`: no charge comes by itself, because nothing is kept that may be charged.
    """

    source: Source
    id: int
    rail: str
    state: str
    plan_code: str | None
    plan_name: str
    addons: Mapping[str, int]
    period: Period
    period_end: datetime | None
    next_charge: Money | None
    next_at: datetime | None
    trial_end: datetime | None
    cancel_at: datetime | None
    is_past_due: bool
    unpaid_since: datetime | None
    failure: str | None
    next_attempt_at: datetime | None
    pay_invoice_id: int | None
    pay_url: str | None
    has_portal: bool
    may: frozenset[Verb]
    lowered: tuple[Lowered, ...] = ()
    is_asked: bool = False
    following: Following | None = None
    if_kept: IfKept | None = None
