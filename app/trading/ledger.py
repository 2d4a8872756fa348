"""The money of the pretend venue: what is free, what orders and positions bind, what fills move."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from app.trading.contracts import OrderSums, Stake, forced_close, margin, only_closes, taken_over_at
from app.trading.market import BOOK_STEP, ONE, ZERO, Market, MarketKind
from app.trading.orders import Side
from app.trading.ports import Balance


@dataclass(slots=True)
class Contract:
    """A position with the orders around it, and the margin that both bind."""

    stake: Stake = Stake()
    orders: OrderSums = OrderSums()
    leverage: Decimal = ONE
    bound: Decimal = ZERO
    liquidation: Decimal | None = None


class Ledger:
    """Balances by currency; on contracts one position per market with the wallet behind it."""

    def __init__(self, markets: Iterable[Market], balances: dict[str, Decimal | Balance]) -> None:
        """Open the ledger with free money, or with balances as they were."""
        self.balances = {
            currency: amount if isinstance(amount, Balance) else Balance(amount)
            for currency, amount in balances.items()
        }
        self.contracts = {
            market.symbol: Contract() for market in markets if market.kind is MarketKind.LINEAR
        }

    def balance(self, currency: str) -> Balance:
        """Return free and locked money of one currency."""
        return self.balances.get(currency, Balance())

    def can_pay(
        self, market: Market, side: Side, price: Decimal, quantity: Decimal, rate: Decimal
    ) -> bool:
        """Say whether an order of this size can be paid, its fee included."""
        contract = self.contracts.get(market.symbol)
        if contract is not None:
            value = price * quantity
            orders = contract.orders.plus(side, quantity, value)
            if only_closes(contract.stake, side, orders):
                # It frees margin; its fee is paid from that.
                return True
            needed = margin(contract.stake, orders, contract.leverage) - contract.bound
            return needed + value * max(ZERO, rate) <= self.balance(market.quote).free
        if side is Side.SELL:
            return self.balance(market.base).free >= quantity
        return self.balance(market.quote).free >= claim(market, price, quantity, rate)

    def lock(
        self, market: Market, side: Side, price: Decimal, before: Decimal, after: Decimal
    ) -> None:
        """Change what an order has locked from what `before` needs to what `after` needs."""
        contract = self.contracts.get(market.symbol)
        if contract is not None:
            change = after - before
            contract.orders = contract.orders.plus(side, change, price * change)
            self.bind(market, contract)
            return
        if side is Side.SELL:
            change, currency = after - before, market.base
        else:
            rate = market.maker_fee
            change = claim(market, price, after, rate) - claim(market, price, before, rate)
            currency = market.quote
        self.move(currency, -change, change)

    def settle(
        self,
        market: Market,
        side: Side,
        price: Decimal,
        quantity: Decimal,
        value: Decimal,
        fee: Decimal,
        fee_currency: str,
    ) -> None:
        """Book an execution: coins against money, or a change of the position."""
        contract = self.contracts.get(market.symbol)
        if contract is not None:
            contract.stake, profit = contract.stake.after(side, price, quantity)
            self.move(market.quote, profit - fee, ZERO)
            self.bind(market, contract)
            return
        sign = 1 if side is Side.BUY else -1
        self.move(market.base, sign * quantity, ZERO)
        self.move(market.quote, -sign * value, ZERO)
        self.move(fee_currency, -fee, ZERO)

    def bind(self, market: Market, contract: Contract) -> None:
        """Bind the margin that a position and its orders need now; find its liquidation."""
        bound = margin(contract.stake, contract.orders, contract.leverage)
        self.move(market.quote, contract.bound - bound, bound - contract.bound)
        contract.bound = bound
        wallet = self.balance(market.quote).total
        contract.liquidation = forced_close(contract.stake, wallet, contract.leverage, market)

    def is_liquidated(self, market: Market, price: Decimal) -> bool:
        """Say whether a price ends the position of a market."""
        contract = self.contracts.get(market.symbol)
        if contract is None or contract.liquidation is None:
            return False
        if contract.stake.base > 0:
            return price <= contract.liquidation
        return price >= contract.liquidation

    def closing_price(self, market: Market) -> Decimal:
        """Return the price at which a liquidated position is taken over: its margin is gone."""
        contract, wallet = self.contracts[market.symbol], self.balance(market.quote).total
        return taken_over_at(contract.stake, wallet, contract.leverage, market)

    def move(self, currency: str, free: Decimal, locked: Decimal) -> None:
        """Change what is free and what is locked."""
        old = self.balances.get(currency, Balance())
        self.balances[currency] = Balance(old.free + free, old.locked + locked)


def claim(market: Market, price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
    """Return the quote money that a buy needs, its fee included, rounded up to the book's step."""
    share = ONE + max(ZERO, market.buy_fee_in_quote(rate))
    return (price * quantity * share).quantize(BOOK_STEP, ROUND_CEILING)
