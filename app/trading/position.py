"""What a bot holds, summed from its fills."""

from dataclasses import dataclass, replace
from decimal import Decimal

from app.trading.contracts import Stake
from app.trading.market import ZERO, Market, MarketKind, booked, exact
from app.trading.orders import Fill, Side, fee_in_quote, traded_value


@dataclass(frozen=True, slots=True)
class Holdings:
    """Coins and cash of one bot; the cash starts as the money put in.

    On a contract `base` is the position, negative when short, and the cash is money put in less
    what was bought for, so it may be negative. `cost` is what the coins or the position cost.
    """

    base: Decimal
    quote: Decimal
    cost: Decimal = ZERO

    @property
    def wallet(self) -> Decimal:
        """Return the wallet behind a contract: all money but the unrealised profit."""
        return self.quote + (self.cost if self.base > 0 else -self.cost)


@dataclass(frozen=True, slots=True)
class Position:
    """Running sums over all fills of a bot; they can be kept in a row and continued.

    `quote` is cash (money put in, less what was spent), `base` coins held, `base_cost` what those
    coins cost with fees (average cost), `fees` all fees at the price of their time. On a contract
    `base` is negative for a short position and `base_cost` leaves fees out, as venues do.
    """

    quote: Decimal = ZERO
    base: Decimal = ZERO
    base_cost: Decimal = ZERO
    fees: Decimal = ZERO
    fills: int = 0

    @property
    def holdings(self) -> Holdings:
        """Return coins and cash alone."""
        return Holdings(self.base, self.quote, self.base_cost)

    @exact
    def after(self, fill: Fill, market: Market, fee_rate: Decimal | None = None) -> "Position":
        """Return the sums with one more fill.

        A fee in a third currency is taken from the cash at `fee_rate`, its price in quote.
        """
        value = traded_value(fill.price, fill.quantity)
        fee = fee_in_quote(fill, market, fee_rate)
        fee_base = fill.fee if fill.fee_currency == market.base else ZERO
        fee_quote = ZERO if fill.fee_currency == market.base else fee
        bought = fill.side is Side.BUY
        base = self.base + (fill.quantity if bought else -fill.quantity) - fee_base
        if market.kind is MarketKind.LINEAR:
            stake, _ = Stake(self.base, self.base_cost).after(fill.side, fill.price, fill.quantity)
            cost = stake.cost
        else:
            cost = self._cost_after(bought, value + fee_quote, base)
        return replace(
            self,
            quote=self.quote + (-value if bought else value) - fee_quote,
            base=base,
            base_cost=cost,
            fees=self.fees + fee,
            fills=self.fills + 1,
        )

    def _cost_after(self, bought: bool, paid: Decimal, base: Decimal) -> Decimal:
        if base <= 0:
            return ZERO
        if bought:
            return self.base_cost + paid
        return booked(self.base_cost * base / self.base) if self.base > 0 else ZERO

    @exact
    def equity(self, price: Decimal) -> Decimal:
        """Return cash plus coins at a price, in quote."""
        return self.quote + traded_value(price, self.base)

    @exact
    def with_funding(self, amount: Decimal) -> "Position":
        """Return the sums after a funding payment: received if positive, else paid."""
        return replace(self, quote=self.quote + amount)

    @property
    def average_entry(self) -> Decimal | None:
        """Return the average cost of a coin held (or owed), or None without any.

        Fees are in on spot; a contract's entry price leaves them out.
        """
        return self._average() if self.base != 0 else None

    @exact
    def _average(self) -> Decimal:
        return booked(self.base_cost / abs(self.base))
