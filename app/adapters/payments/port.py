"""What every way to pay offers, and what its objects look like to us.

The core never sees an object of a provider: only these frozen pictures of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from app.money import Money


class RailState(StrEnum):
    """How a payment or a refund stands at its provider."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class CheckoutState(StrEnum):
    """A page of the provider where somebody pays; EXPIRED can't be paid any more."""

    OPEN = "open"
    COMPLETED = "completed"
    EXPIRED = "expired"


class DisputeState(StrEnum):
    """A payment that the payer's bank takes back, until it decides.

    An INQUIRY only asks about it, and no money has moved; CLOSED is one that came to nothing.
    """

    INQUIRY = "inquiry"
    CLOSED = "closed"
    OPEN = "open"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ref:
    """One object at a provider: what kind, and its id there."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Order:
    """A page to pay on. `reference` is our own word, kept by the provider and told back.

    `key` makes the order once, however often it is sent. With `save_method` the provider keeps
    what it was paid with for later payments. What is `not_by` is not charged without a page.
    """

    key: str
    reference: str
    user_id: int
    email: str
    money: Money
    description: str
    language: str
    success_url: str
    cancel_url: str
    customer_id: str | None = None
    save_method: bool = False
    not_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Created:
    """A page that was made: where it is and until when it works."""

    external_id: str
    url: str
    expires_at: datetime
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Money to be given back of a payment; `key` makes it once."""

    key: str
    payment_id: str
    money: Money
    reason: str


@dataclass(frozen=True, slots=True)
class RailCheckout:
    """A page to pay on, and the payments that were tried there."""

    id: str
    state: CheckoutState
    reference: str
    customer_id: str | None = None
    payment_ids: tuple[str, ...] = ()
    subscription_id: str | None = None
    invoice_id: str | None = None

    @property
    def refs(self) -> tuple[Ref, ...]:
        """Return what has come of it."""
        begun = (("subscription", self.subscription_id), ("invoice", self.invoice_id))
        paid = (Ref("payment", name) for name in self.payment_ids)
        return (*paid, *(Ref(kind, name) for kind, name in begun if name))


@dataclass(frozen=True, slots=True)
class RailPayment:
    """One try to pay; `money` is what was received, or is asked for while it is not."""

    id: str
    state: RailState
    money: Money
    reference: str
    at: datetime
    fee: Money | None = None
    method: str = ""
    # The provider's own name of the card or account, which two with the same words do not share.
    method_ref: str = ""
    failure: str | None = None
    customer_id: str | None = None
    intent_id: str | None = None
    charge_id: str | None = None
    # The provider's own invoice that it pays, where there is one.
    invoice_id: str | None = None


@dataclass(frozen=True, slots=True)
class RailRefund:
    """Money given back; `key` is ours if we asked for it."""

    id: str
    payment_id: str
    state: RailState
    money: Money
    at: datetime
    key: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class RailDispute:
    """A payment taken back by the payer's bank; `fee` is what the provider asks for it.

    `answer_by` is until when the bank takes an answer.
    """

    id: str
    payment_id: str
    state: DisputeState
    money: Money
    at: datetime
    fee: Money | None = None
    answer_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class RailFraudWarning:
    """The issuer of a card takes a payment for fraud; `told` is its word for why.

    It is not `is_open` any more once the payment was disputed or given back in full.
    """

    id: str
    payment_id: str
    told: str
    is_open: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class RailCustomer:
    """A person as a provider knows them; `owner` is who they are here, by our own mark there."""

    id: str
    owner: int | None
    is_deleted: bool = False
    # What is charged where nothing else is said; None where that is not told.
    method: str | None = None
    method_ref: str = ""


class RailInvoiceState(StrEnum):
    """How a provider's own invoice stands; what a DRAFT comes to may still change."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


@dataclass(frozen=True, slots=True)
class RailLine:
    """A line of a provider's invoice: `price_id` is what was sold; a credit is negative."""

    description: str
    money: Money
    quantity: int
    price_id: str | None
    is_proration: bool
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True)
class RailDiscount:
    """What a provider takes off the invoices of a subscription: a share in percent, or an amount.

    `until` is when that ends; without it, it does not, or with the next payment if `is_once`.
    """

    name: str
    percent: Decimal | None
    money: Money | None
    until: datetime | None
    is_once: bool


@dataclass(frozen=True, slots=True)
class RailInvoice:
    """An invoice that the provider keeps; all sums are its own and never counted again.

    `payments` is the money that came through the provider: nothing, if it was paid elsewhere.
    """

    id: str
    state: RailInvoiceState
    lines: tuple[RailLine, ...]
    discount: Money
    tax: Money
    total: Money
    attempts: int
    at: datetime
    customer_id: str | None = None
    owner: int | None = None
    subscription_id: str | None = None
    due_at: datetime | None = None
    next_attempt_at: datetime | None = None
    # The provider's page for it; who has the address may pay.
    pay_url: str | None = field(default=None, repr=False)
    payments: tuple[RailPayment, ...] = ()
    # What the discount is called, as far as it is told.
    discount_names: tuple[str, ...] = ()


class RailSubscriptionState(StrEnum):
    """How a subscription stands at its provider."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Piece:
    """So many of a price of a provider."""

    price: str
    quantity: int


@dataclass(frozen=True, slots=True)
class RailSubscription:
    """A subscription that the provider keeps.

    `price_id` is what is subscribed to first; `paid_price_id` what the newest settled invoice was
    for, None while none is settled, and `paid_until` to when. `unpaid_since` is since when money is
    missing, and `open_invoice_id` the newest invoice that waits for it. `pieces` is all that is
    subscribed to, `next_pieces` what follows at the end of the period. `settled` is what paid
    invoices were for, the newest first and the dearest first in each: all pieces, if nothing waits.
    `is_unpaid` says that the present period is not paid and will not be: it passed in a pause.
    """

    id: str
    state: RailSubscriptionState
    price_id: str
    quantity: int
    started_at: datetime
    period_end: datetime
    customer_id: str | None = None
    owner: int | None = None
    paid_price_id: str | None = None
    unpaid_since: datetime | None = None
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    is_collection_paused: bool = False
    has_pending_update: bool = False
    pieces: tuple[Piece, ...] = ()
    settled: tuple[tuple[Piece, ...], ...] = ()
    next_pieces: tuple[Piece, ...] = ()
    paid_until: datetime | None = None
    is_unpaid: bool = False
    open_invoice_id: str | None = None
    method: str = ""
    method_ref: str = ""
    # Our own word for the page on which it began.
    reference: str = ""
    discounts: tuple[RailDiscount, ...] = ()


Snapshot = (
    RailCheckout
    | RailPayment
    | RailRefund
    | RailDispute
    | RailFraudWarning
    | RailCustomer
    | RailInvoice
    | RailSubscription
)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A callback whose signature is right: which objects it is about, never how they are.

    Callbacks of one `group` (a customer) are applied one after another.
    """

    external_id: str
    type: str
    happened_at: datetime
    livemode: bool
    api_version: str
    group: str
    refs: tuple[Ref, ...]


# What reading a body may raise that is signed and makes no sense all the same.
NONSENSE = (
    ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError,
)  # fmt: skip


class BadCallback(Exception):
    """A callback that is not the provider's, not fresh or not readable; `reason` is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Rail(Protocol):
    """A way to pay. Every call has a time-out; Unavailable means: the same again later."""

    @property
    def name(self) -> str:
        """Return the short word by which rows and addresses name this rail."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the origins to which a form of ours may lead, beside our own."""

    def create(self, order: Order) -> Created:
        """Make a page to pay on."""

    def close(self, external_id: str) -> None:
        """Take a page back, if it is not paid yet."""

    def charge(self, order: Order) -> RailPayment:
        """Take money by what was kept of a customer; raise Conflict if nothing was."""

    def refund(self, order: RefundOrder) -> RailRefund:
        """Ask for money to be given back."""

    def fetch(self, ref: Ref) -> Snapshot | None:
        """Return how an object is now; None if the provider knows no such thing."""

    def verify(self, headers: Mapping[str, str], raw: bytes, now: datetime) -> Incoming:
        """Read a callback; raise BadCallback unless the provider has just signed these bytes."""


class LabelledRail(Rail, Protocol):
    """A rail that is added from outside: it says itself how it is called."""

    @property
    def label(self) -> str:
        """Return its name for people, the same in all languages."""
