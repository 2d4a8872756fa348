"""What a rail offers that keeps subscriptions by itself, and how they look to us.

Such a rail charges, renews and asks again; we order changes and copy what it says.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, runtime_checkable

from app.adapters.payments.port import Created, Piece, Rail, RailLine, RailSubscription
from app.money import Money


@dataclass(frozen=True, slots=True)
class PriceOrder:
    """A price of ours that a rail shall know; `key` and `marks` tell it apart from all others."""

    key: str
    product_key: str
    product_name: str
    money: Money
    unit: str
    count: int
    marks: dict[str, str]


@dataclass(frozen=True, slots=True)
class PromoOrder:
    """A promotion code of ours that a rail shall know; `key` makes it once.

    `name` is how it is called there. It takes something off for so many `months`; without them off
    one payment, or off all of them if it `is_endless`.
    """

    key: str
    code: str
    name: str
    percent: Decimal | None
    amount: Money | None
    months: int
    is_endless: bool


class WithoutCard(StrEnum):
    """What becomes of a trial that ends while no card is known."""

    CANCEL = "cancel"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class SubscribeOrder:
    """A page on which somebody begins a subscription.

    With `trial_days` nothing is paid at first; `without_card` lets the trial begin without one.
    """

    key: str
    reference: str
    user_id: int
    email: str
    language: str
    pieces: tuple[Piece, ...]
    success_url: str
    cancel_url: str
    customer_id: str | None = None
    trial_days: int = 0
    without_card: WithoutCard | None = None
    # The rail's word for the promotion code that lowers it.
    promo: str | None = None


class Verb(StrEnum):
    """What is ordered of a subscription; each one sets a state, so that twice is as once."""

    END_NOW = "end_now"
    END_LATER = "end_later"
    GO_ON = "go_on"
    PAUSE = "pause"
    RESUME = "resume"
    CHANGE = "change"
    CHANGE_LATER = "change_later"


@dataclass(frozen=True, slots=True)
class ChangeOrder:
    """What a subscription shall consist of, and from when prorations are counted.

    `without` names the promotion codes that do not go on with it.
    """

    subscription_id: str
    pieces: tuple[Piece, ...]
    at: datetime
    is_later: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandOrder:
    """One order; `key` makes it once, however often it is sent."""

    key: str
    verb: Verb
    subscription_id: str
    change: ChangeOrder | None = None


@dataclass(frozen=True, slots=True)
class RailPreview:
    """What a change costs at once, and with the next renewal; `discount` is off the lines."""

    lines: tuple[RailLine, ...]
    due_now: Money
    next_charge: Money | None
    next_at: datetime | None
    discount: Money


@dataclass(frozen=True, slots=True)
class CardOrder:
    """Whose card is to be kept for later payments, and where its owner goes on."""

    user_id: int
    email: str
    customer_id: str | None
    back_url: str


@dataclass(frozen=True, slots=True)
class CardPage:
    """A page on which a card is kept, and who its owner is at the rail."""

    url: str
    customer_id: str


@runtime_checkable
class CardRail(Rail, Protocol):
    """A rail that keeps another card without a payment."""

    def card_page(self, order: CardOrder) -> CardPage:
        """Make a page on which a customer says what to pay with; it opens for anybody."""


@runtime_checkable
class SubscriptionRail(Rail, Protocol):
    """A rail that keeps subscriptions. Every call has a time-out."""

    def make_price(self, order: PriceOrder) -> str:
        """Make a price known at the rail; return its word for it."""

    def make_promo(self, order: PromoOrder) -> str:
        """Make a promotion code known at the rail, or usable again; return its word for it."""

    def end_promo(self, promo: str, key: str) -> None:
        """Let nobody begin with a promotion code any more; who has it keeps it."""

    def subscribe(self, order: SubscribeOrder) -> Created:
        """Make a page on which a subscription begins."""

    def portal(self, customer_id: str, back: str, language: str) -> str:
        """Return the address where a customer keeps cards and invoices; it opens for anybody."""

    def preview(self, order: ChangeOrder) -> RailPreview:
        """Say what a change would cost."""

    def carry_out(self, order: CommandOrder) -> RailSubscription | None:
        """Change a subscription; return how it is then, None if the rail knows no such thing."""
