"""Positions in contracts settled in the quote currency: cost, margin, liquidation, funding."""

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal

from app.trading.market import BOOK_STEP, ONE, ZERO, MarginRule, Market, Tier, booked, exact
from app.trading.orders import Side, traded_value

# Where a venue tells nothing of maintenance margins, this much is taken as needed.
ASSUMED_RATE = Decimal("0.01")
RATE_STEP = Decimal("0.000001")
ASSUMED_TIERS = (Tier(ZERO, ASSUMED_RATE),)


def tiers_of(market: Market) -> tuple[Tier, ...]:
    """Return a contract's maintenance margins, assumed where the venue has told none."""
    return tiers_or_assumed(market.tiers, market.max_leverage)


@exact
def tiers_or_assumed(tiers: tuple[Tier, ...], max_leverage: Decimal | None) -> tuple[Tier, ...]:
    """Return maintenance margins as they were told, or else those to be assumed.

    Bybit's lowest tier asks for half of the initial margin at the greatest leverage (BTCUSDT: 0.5 %
    at 100 times, help page "Maintenance Margin (USDT Contract)").
    """
    if tiers:
        return tiers
    if max_leverage is None:
        return ASSUMED_TIERS
    rate = ONE / (2 * max_leverage)
    return (Tier(ZERO, rate.quantize(RATE_STEP, ROUND_CEILING)),)


@dataclass(frozen=True, slots=True)
class Stake:
    """A position: `base` coins (negative: owed), `cost` what they were opened for, without fees."""

    base: Decimal = ZERO
    cost: Decimal = ZERO

    @property
    def sign(self) -> int:
        """Return 1 for a long position, -1 for a short one, 0 without any."""
        return (self.base > 0) - (self.base < 0)

    @property
    @exact
    def entry_price(self) -> Decimal | None:
        """Return the average price at which the position was opened, or None without any."""
        return booked(self.cost / abs(self.base)) if self.base != 0 else None

    @exact
    def after(self, side: Side, price: Decimal, quantity: Decimal) -> "tuple[Stake, Decimal]":
        """Return the position after an execution, and the profit that it realised, before fees.

        What is closed leaves at average cost; what goes beyond the position opens the other way.
        """
        value = traded_value(price, quantity)
        change = quantity if side is Side.BUY else -quantity
        if self.sign * change >= 0:
            return Stake(self.base + change, self.cost + value), ZERO
        size = abs(self.base)
        if quantity <= size:
            left = booked(self.cost * (size - quantity) / size)
            return Stake(self.base + change, left), self.sign * (value - (self.cost - left))
        closing = booked(value * size / quantity)
        opened = Stake(self.base + change, value - closing)
        return opened, self.sign * (closing - self.cost)


@exact
def liquidation_price(
    side: Side,
    quantity: Decimal,
    entry_price: Decimal,
    wallet: Decimal,
    rate: Decimal,
    amount: Decimal = ZERO,
) -> Decimal:
    """Return the price at which an isolated position is liquidated; 0 or less: never.

    Binance: LP = (WB + cum - side·Q·EP) / (Q·MMR - side·Q), with side 1 or -1, WB the wallet
    balance of the position, MMR the maintenance rate and cum the maintenance amount of its tier
    (freqtrade's tests hold Binance's own calculation example). OKX and Gate say the same with the
    taker fee added to the rate.
    """
    sign = ONE if side is Side.BUY else -ONE
    return (wallet + amount - sign * quantity * entry_price) / (quantity * rate - sign * quantity)


@exact
def liquidation_of(stake: Stake, wallet: Decimal, tiers: tuple[Tier, ...]) -> Decimal | None:
    """Return where a position is liquidated with all of `wallet` behind it, or None if nowhere.

    The tier is the one in which the position is worth what it is at that very price.
    """
    if stake.base == 0:
        return None
    quantity, side = abs(stake.base), Side.BUY if stake.base > 0 else Side.SELL
    found = None
    for tier in tiers or ASSUMED_TIERS:
        price = liquidation_price(
            side, quantity, stake.cost / quantity, wallet, tier.rate, tier.amount
        )
        if found is None or price * quantity >= tier.floor:
            found = price
    return found if found is not None and found > 0 else None


@exact
def position_margin(stake: Stake, leverage: Decimal) -> Decimal:
    """Return the margin of an isolated position: its value at entry over the leverage."""
    return stake.cost / leverage


@exact
def isolated_liquidation(
    stake: Stake, leverage: Decimal, tiers: tuple[Tier, ...]
) -> Decimal | None:
    """Return where a position with nothing but its own margin is liquidated, or None if nowhere.

    Bybit, isolated mode of a unified account (help pages "Liquidation Price Calculation under
    Isolated Mode" and "Maintenance Margin (USDT Contract)"): LP = EP -/+ (IM - MM)/Q for long and
    short, with IM = Q·EP/leverage and MM = Q·EP·MMR less the deduction of the tier in which Q·EP
    lies; so EP·(1 -/+ 1/leverage +/- MMR) in the lowest tier. Newer texts of the same page count MM
    at the mark price, which differs by about MMR/leverage of the price. The fee for closing is left
    out, as there.
    """
    if stake.base == 0:
        return None
    tier = [each for each in tiers or ASSUMED_TIERS if stake.cost >= each.floor][-1]
    maintenance = stake.cost * tier.rate - tier.amount
    distance = (position_margin(stake, leverage) - maintenance) / abs(stake.base)
    price = stake.cost / abs(stake.base) - stake.sign * distance
    return price if price > 0 else None


def forced_close(
    stake: Stake, wallet: Decimal, leverage: Decimal, market: Market
) -> Decimal | None:
    """Return where a venue closes a position by force, by the margin rule of its market."""
    if market.margin_rule is MarginRule.POSITION:
        return isolated_liquidation(stake, leverage, tiers_of(market))
    return liquidation_of(stake, wallet, tiers_of(market))


def taken_over_at(stake: Stake, wallet: Decimal, leverage: Decimal, market: Market) -> Decimal:
    """Return the price at which a liquidated position is settled: all behind it is gone then."""
    if market.margin_rule is MarginRule.POSITION:
        return bankruptcy_price(stake, position_margin(stake, leverage))
    return bankruptcy_price(stake, wallet)


@exact
def bankruptcy_price(stake: Stake, wallet: Decimal) -> Decimal:
    """Return the price at which nothing of the wallet is left; never below 0."""
    return max(ZERO, booked((stake.cost - stake.sign * wallet) / abs(stake.base)))


@exact
def funding_payment(base: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    """Return what a position receives (negative: pays) at a funding time.

    Every venue: position value at the mark price · rate, from longs to shorts if positive.
    """
    return -booked(traded_value(price, base) * rate)


@dataclass(frozen=True, slots=True)
class OrderSums:
    """What open orders of one market would trade."""

    buys: Decimal = ZERO
    buys_value: Decimal = ZERO
    sells: Decimal = ZERO
    sells_value: Decimal = ZERO

    def plus(self, side: Side, quantity: Decimal, value: Decimal) -> "OrderSums":
        """Add (or, negative, take off) an order."""
        if side is Side.BUY:
            return replace(self, buys=self.buys + quantity, buys_value=self.buys_value + value)
        return replace(self, sells=self.sells + quantity, sells_value=self.sells_value + value)


def only_closes(stake: Stake, side: Side, orders: OrderSums) -> bool:
    """Say whether all orders of a side together close no more than the position."""
    if side is Side.BUY:
        return orders.buys <= -stake.base
    return orders.sells <= stake.base


@exact
def exposure(stake: Stake, orders: OrderSums) -> Decimal:
    """Return the greatest value that position and orders may come to: the dearer of both ways.

    Margin is this over the leverage (Bybit: the order margin of one-way positions is that of the
    dearer side).
    """
    return max(exposures(stake, orders).values())


@exact
def exposures(stake: Stake, orders: OrderSums) -> dict[Side, Decimal]:
    """Return the value that position and orders may come to each way, long (buy) and short.

    Orders count as far as they go beyond closing the position.
    """
    long = _opening(orders.buys, orders.buys_value, max(ZERO, -stake.base))
    short = _opening(orders.sells, orders.sells_value, max(ZERO, stake.base))
    if stake.base > 0:
        return {Side.BUY: stake.cost + long, Side.SELL: short}
    return {Side.BUY: long, Side.SELL: stake.cost + short}


def _opening(quantity: Decimal, value: Decimal, closes: Decimal) -> Decimal:
    if quantity <= closes:
        return ZERO
    return value * (quantity - closes) / quantity


@exact
def margin(stake: Stake, orders: OrderSums, leverage: Decimal) -> Decimal:
    """Return the money that position and orders bind, rounded up to the step of the books."""
    return (exposure(stake, orders) / leverage).quantize(BOOK_STEP, ROUND_CEILING)
