"""Markets with their rules, candles, single prices, and exact arithmetic over them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import (
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from enum import StrEnum
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

from app.money import ceil_to_step, floor_to_step

P = ParamSpec("P")
R = TypeVar("R")

ZERO = Decimal(0)
ONE = Decimal(1)

# Products of two stored numbers (38 digits at most, 18 of them decimals) stay exact.
EXACT = Context(
    prec=80, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow]
)

# The smallest amount that the books keep; every movement of money is a multiple of it.
BOOK_STEP = Decimal("1e-18")


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function with enough digits that sums and products of stored numbers are exact."""

    @wraps(function)
    def with_digits(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(EXACT):
            return function(*args, **kwargs)

    return with_digits


def booked(amount: Decimal) -> Decimal:
    """Round an amount down to the step of the books; one that fits is returned as it is.

    Always down: the parts of an order then never cost more than the whole had set aside.
    """
    rounded = amount.quantize(BOOK_STEP, ROUND_FLOOR)
    return amount if rounded == amount else rounded


class MarketKind(StrEnum):
    """What is traded: the coins themselves, or a contract settled in the quote currency."""

    SPOT = "spot"
    LINEAR = "linear"


class MarginRule(StrEnum):
    """What stands behind a position in a contract.

    `WALLET`: all money of the bot, by Binance's formula of an isolated wallet. `POSITION`: just the
    position's own margin, its value at entry over the leverage, as in Bybit's isolated mode.
    """

    WALLET = "wallet"
    POSITION = "position"


class FeeSide(StrEnum):
    """In which currency a fee is taken: always in quote, or in what the order receives."""

    QUOTE = "quote"
    RECEIVED_ASSET = "received_asset"


class Tier(NamedTuple):
    """Maintenance margin of positions worth `floor` and more: value · `rate` - `amount`."""

    floor: Decimal
    rate: Decimal
    amount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Market:
    """A pair with its rules as the venue states them; None means that there is no such rule.

    Fees are fractions of the traded value (0.001 = 0.1 %). Quantities, lots and minimums are coins
    on every market; a venue that counts contracts counts `contract_size` coins as one. `tiers` are
    the maintenance margins of a contract, lowest first, and `max_leverage` the most that the venue
    lets a position be worth of its margin; funding is paid every `funding_interval_s` seconds.
    """

    symbol: str
    base: str
    quote: str
    kind: MarketKind = MarketKind.SPOT
    tick: Decimal | None = None
    lot: Decimal | None = None
    min_quantity: Decimal | None = None
    min_notional: Decimal | None = None
    maker_fee: Decimal = ZERO
    taker_fee: Decimal = ZERO
    fee_side: FeeSide = FeeSide.QUOTE
    max_orders: int | None = None
    contract_size: Decimal = ONE
    tiers: tuple[Tier, ...] = ()
    max_leverage: Decimal | None = None
    funding_interval_s: int | None = None
    margin_rule: MarginRule = MarginRule.WALLET

    def price_down(self, price: Decimal) -> Decimal:
        """Round a price down to the tick, as a buy may be."""
        return floor_to_step(price, self.tick)

    def price_up(self, price: Decimal) -> Decimal:
        """Round a price up to the tick, as a sell may be."""
        return ceil_to_step(price, self.tick)

    def quantity_down(self, quantity: Decimal) -> Decimal:
        """Round a quantity down to the lot."""
        return floor_to_step(quantity, self.lot)

    def smallest_quantity(self, price: Decimal) -> Decimal:
        """Return the least quantity that the venue takes at a price, not yet rounded to the lot."""
        by_value = self.min_notional / price if self.min_notional else ZERO
        return max(self.min_quantity or ZERO, by_value)

    def is_tradable(self, quantity: Decimal, price: Decimal) -> bool:
        """Say whether an order of this size at this price passes the venue's minimums."""
        if quantity <= 0 or quantity < (self.min_quantity or ZERO):
            return False
        return quantity * price >= (self.min_notional or ZERO)

    def buy_fee_in_base(self, rate: Decimal) -> Decimal:
        """Return the share of bought coins that the fee takes: the rate, or 0 if paid in quote."""
        return rate if self.fee_side is FeeSide.RECEIVED_ASSET else ZERO

    def buy_fee_in_quote(self, rate: Decimal) -> Decimal:
        """Return the share of a buy's value that is paid on top of it in quote."""
        return rate if self.fee_side is FeeSide.QUOTE else ZERO


class Candle(NamedTuple):
    """Prices of a span of time; `ts_ms` is when it opens, in milliseconds of the epoch (UTC)."""

    ts_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class PricePoint(NamedTuple):
    """One price that was seen; `seq` grows without gaps for each market.

    `funding` is the rate that falls due on contracts at this point, on positions as they stand
    before the point's own fills; None at nearly all of them.
    """

    seq: int
    time: datetime
    price: Decimal
    funding: Decimal | None = None


class Triggers(NamedTuple):
    """Prices at or beyond which somebody wants to be woken; None where nothing waits."""

    below: Decimal | None = None
    above: Decimal | None = None

    def crossed(self, price: Decimal) -> bool:
        """Say whether a price reaches one of them."""
        return (self.below is not None and price <= self.below) or (
            self.above is not None and price >= self.above
        )


def first_of(waiting: Sequence[Triggers]) -> Triggers:
    """Return the triggers of several together: a price reaches them if it reaches any."""
    below = [each.below for each in waiting if each.below is not None]
    above = [each.above for each in waiting if each.above is not None]
    return Triggers(max(below, default=None), min(above, default=None))


def candle_path(candle: Candle) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return the four prices in the order in which they are taken to have happened.

    A candle that rises (or stays) goes open, low, high, close; one that falls open, high, low,
    close.
    """
    if candle.close >= candle.open:
        return candle.open, candle.low, candle.high, candle.close
    return candle.open, candle.high, candle.low, candle.close
