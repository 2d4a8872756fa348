"""Orders and fills, the table of allowed changes, and ids that make a twin impossible."""

from base64 import b32encode
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b

from app.errors import DomainError
from app.trading.market import ZERO, FeeSide, Market, booked, exact


class Side(StrEnum):
    """Which way an order goes."""

    BUY = "buy"
    SELL = "sell"


class OrderKind(StrEnum):
    """How an order is priced; a stop is a market order that waits until the price reaches it."""

    LIMIT = "limit"
    MARKET = "market"
    STOP = "stop"


def trades_at_once(side: Side, price: Decimal, now: Decimal) -> bool:
    """Say whether an order with this limit would trade at the market's price of now."""
    return price >= now if side is Side.BUY else price <= now


class Purpose(StrEnum):
    """What an order is for; only grid orders stand on a level."""

    GRID = "grid"
    ENTRY = "entry"
    CLOSE = "close"
    STOP = "stop"
    PROTECT = "protect"


class Status(StrEnum):
    """Where an order stands in our own book."""

    INTENDED = "INTENDED"
    OPEN = "OPEN"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    DENIED = "DENIED"
    UNRESOLVED = "UNRESOLVED"

    @property
    def is_final(self) -> bool:
        """Say whether nothing more is expected of the order."""
        return self in FINAL

    @property
    def is_live(self) -> bool:
        """Say whether the order stands, may stand, or is about to stand at the venue."""
        return self not in FINAL


FINAL = frozenset({Status.FILLED, Status.CANCELLED, Status.REJECTED, Status.DENIED})

CHANGES: dict[Status, frozenset[Status]] = {
    Status.INTENDED: frozenset(Status) - {Status.INTENDED},
    # A venue may accept an order and refuse it a moment later.
    Status.OPEN: frozenset(
        {Status.PARTIAL, Status.FILLED, Status.CANCELLED, Status.REJECTED, Status.UNRESOLVED}
    ),
    Status.PARTIAL: frozenset({Status.FILLED, Status.CANCELLED, Status.UNRESOLVED}),
    Status.UNRESOLVED: frozenset(
        {Status.OPEN, Status.PARTIAL, Status.FILLED, Status.CANCELLED, Status.REJECTED}
    ),
    # The fill was on its way while the cancellation was confirmed.
    Status.CANCELLED: frozenset({Status.FILLED}),
    # Taken as absent after a lost reply, then it turned up: venues forget and remember.
    Status.REJECTED: frozenset({Status.OPEN, Status.PARTIAL, Status.FILLED, Status.CANCELLED}),
    Status.FILLED: frozenset(),
    Status.DENIED: frozenset(),
}


class ImpossibleChange(DomainError):
    """An order can't go from the one state to the other: somebody's books are wrong."""


def check_change(old: Status, new: Status) -> None:
    """Raise ImpossibleChange unless an order may go from `old` to `new`; staying is allowed."""
    if old is not new and new not in CHANGES[old]:
        raise ImpossibleChange("impossible_order_change", old=old.value, new=new.value)


@dataclass(frozen=True, slots=True)
class OrderKey:
    """What makes an order the same logical order within one start of a bot.

    `level` counts from 0 at the lower price and is None for orders that stand on no level;
    `cycle` counts the round trips of the level.
    """

    purpose: Purpose
    level: int | None
    side: Side
    cycle: int = 0


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution as the venue reports it; a rebate is a negative fee."""

    trade_id: str
    client_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    time: datetime
    maker: bool


@dataclass(frozen=True, slots=True)
class Order:
    """An order of ours with the sums of its fills.

    `price` is None for market orders and the trigger of a stop. `value` is the sum of price ×
    quantity over its fills; `fee_base` and `fee_quote` are what the fills cost in each currency.
    An `excused` one ended without anybody having refused it: nobody had ever seen it.
    """

    client_id: str
    key: OrderKey
    attempt: int
    kind: OrderKind
    price: Decimal | None
    quantity: Decimal
    status: Status
    filled: Decimal = ZERO
    value: Decimal = ZERO
    fee_base: Decimal = ZERO
    fee_quote: Decimal = ZERO
    excused: bool = False

    @property
    def remaining(self) -> Decimal:
        """Return what may still be filled."""
        return self.quantity - self.filled

    @exact
    def with_fill(self, fill: Fill, market: Market, fee_rate: Decimal | None = None) -> "Order":
        """Return the order with one more fill counted.

        It becomes PARTIAL or FILLED; an order that is already CANCELLED and not wholly filled stays
        CANCELLED. `fee_rate` is the price of a third fee currency in quote.
        """
        filled = self.filled + fill.quantity
        in_base = fill.fee_currency == market.base
        return replace(
            self,
            filled=filled,
            value=self.value + traded_value(fill.price, fill.quantity),
            fee_base=self.fee_base + (fill.fee if in_base else ZERO),
            fee_quote=self.fee_quote + (ZERO if in_base else fee_in_quote(fill, market, fee_rate)),
            status=_status_after_fill(self.status, filled >= self.quantity),
        )

    def with_status(self, status: Status) -> "Order":
        """Return the order in another state; raise ImpossibleChange if the table forbids it."""
        check_change(self.status, status)
        return replace(self, status=status)


def _status_after_fill(status: Status, complete: bool) -> Status:
    if complete:
        check_change(status, Status.FILLED)
        return Status.FILLED
    if status is Status.CANCELLED:
        return status
    check_change(status, Status.PARTIAL)
    return Status.PARTIAL


@exact
def traded_value(price: Decimal, quantity: Decimal) -> Decimal:
    """Return price × quantity as the books keep it."""
    return booked(price * quantity)


@exact
def fee_in_quote(fill: Fill, market: Market, fee_rate: Decimal | None = None) -> Decimal:
    """Return a fill's fee at the price of its time, in the quote currency.

    A fee in a third currency needs that currency's price in quote (`fee_rate`).
    """
    if fill.fee_currency == market.quote or fill.fee == 0:
        return fill.fee
    if fill.fee_currency == market.base:
        return booked(fill.fee * fill.price)
    if fee_rate is None:
        raise DomainError("fee_rate_missing", currency=fill.fee_currency, symbol=market.symbol)
    return booked(fill.fee * fee_rate)


def fee_currency(market: Market, side: Side) -> str:
    """Return the currency in which the venue takes the fee of an order of this side."""
    pays_base = side is Side.BUY and market.fee_side is FeeSide.RECEIVED_ASSET
    return market.base if pays_base else market.quote


# 24 characters of digest behind it make 32.
LONGEST_PREFIX = 8


def client_order_id(prefix: str, bot_id: int, epoch: int, key: OrderKey, attempt: int) -> str:
    """Return the id under which this logical order is always sent: letters and digits, at most 32.

    The same order has the same id in every process, so the venue itself refuses a twin. `attempt`
    rises only when it is certain that the attempt before does not exist.
    """
    if not (prefix.isascii() and prefix.isalnum() and 1 <= len(prefix) <= LONGEST_PREFIX):
        raise ValueError("a prefix has 1 to 8 letters or digits")
    level = "" if key.level is None else key.level
    parts = (prefix, bot_id, epoch, key.purpose.value, level, key.side.value, key.cycle, attempt)
    digest = blake2b("|".join(map(str, parts)).encode(), digest_size=15).digest()
    return (prefix + b32encode(digest).decode()).lower()
