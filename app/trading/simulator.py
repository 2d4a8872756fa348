"""The pretend venue: one account's balances and open orders, moved by prices one by one.

A resting order fills at its own price, as maker, when the price trades through it by one tick
(strictly beyond it on a market without a tick). Market orders, and limit orders that could trade at
once, fill at the last price as taker. A stop rests until a price reaches it and then fills at that
price as taker. On contracts funding is paid at the points that carry a rate, before anything is
filled there. The same prices always give the same fills with the same ids.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from app.trading.contracts import Stake, funding_payment, margin
from app.trading.ledger import Ledger
from app.trading.market import ONE, ZERO, Market, PricePoint, booked, exact
from app.trading.order_queues import (
    LIQUIDATION,
    BookOrder,
    BookRows,
    LastPrice,
    Payment,
    Queues,
)
from app.trading.orders import (
    Fill,
    OrderKind,
    Side,
    Status,
    fee_currency,
    traded_value,
    trades_at_once,
)
from app.trading.ports import Accepted, Balance, Outcome, Refused

__all__ = ["LIQUIDATION", "Book", "BookOrder", "BookRows", "LastPrice", "Payment"]


class Book:
    """One paper account: balances by currency and open orders on any number of markets."""

    def __init__(
        self,
        markets: Iterable[Market],
        balances: dict[str, Decimal | Balance] | None = None,
        *,
        touch: bool = False,
    ) -> None:
        """Open a book; with `touch` an order fills as soon as the price reaches it."""
        self._sides = {market.symbol: Queues(market, [], [], touch=touch) for market in markets}
        self._ledger = Ledger((side.market for side in self._sides.values()), balances or {})
        for symbol in self._ledger.contracts:
            self._sides[symbol].is_contract = self._sides[symbol].is_special = True
        self._orders: dict[str, BookOrder] = {}
        self._changed: dict[str, BookOrder] = {}
        self._last: dict[str, LastPrice] = {}
        self._rank = 0
        self._payments: list[Payment] = []

    # --- reading ------------------------------------------------------------------------------

    def balances(self) -> dict[str, Balance]:
        """Return free and locked money by currency."""
        return dict(self._ledger.balances)

    def balance(self, currency: str) -> Balance:
        """Return free and locked money of one currency."""
        return self._ledger.balance(currency)

    def stake(self, symbol: str) -> Stake:
        """Return the position in a contract; on spot there is never one."""
        contract = self._ledger.contracts.get(symbol)
        return Stake() if contract is None else contract.stake

    def find(self, client_id: str) -> BookOrder | None:
        """Return an order that this book has seen, open or closed."""
        return self._orders.get(client_id)

    def open_orders(self, symbol: str | None = None) -> list[BookOrder]:
        """Return open orders in the order of their placing."""
        return [
            order
            for order in self._orders.values()
            if order.status.is_live and symbol in (None, order.symbol)
        ]

    def last_price(self, symbol: str) -> LastPrice | None:
        """Return the last price seen of a symbol."""
        return self._last.get(symbol)

    def would_fill(self, symbol: str, price: Decimal) -> bool:
        """Say whether a price would fill at least one open order."""
        side = self._sides[symbol]
        # Asked for every price of a back-test: as a rule two comparisons are all.
        bid, ask = side.bid_edge, side.ask_edge
        if bid is not None and price <= bid and side.reaches_bid(price):
            return True
        if ask is not None and price >= ask and side.reaches_ask(price):
            return True
        return side.is_special and self._is_special_at(side, price)

    def _is_special_at(self, side: Queues, price: Decimal) -> bool:
        if side.stops and side.reached_stops(price):
            return True
        return side.is_contract and self._ledger.is_liquidated(side.market, price)

    # --- storing ------------------------------------------------------------------------------

    def rows(self) -> BookRows:
        """Return the book as plain rows."""
        return BookRows(
            tuple((name, each.free, each.locked) for name, each in self.balances().items()),
            tuple(self.open_orders()),
            tuple((symbol, last.price, last.seq) for symbol, last in self._last.items()),
            tuple(
                (symbol, each.stake.base, each.stake.cost, each.leverage)
                for symbol, each in self._ledger.contracts.items()
            ),
        )

    @classmethod
    @exact
    def from_rows(cls, markets: Iterable[Market], rows: BookRows, *, touch: bool = False) -> "Book":
        """Open a book from plain rows; it goes on exactly as the one that wrote them."""
        book = cls(
            markets,
            {name: Balance(free, locked) for name, free, locked in rows.balances},
            touch=touch,
        )
        for symbol, price, seq in rows.last_prices:
            book._last[symbol] = LastPrice(price, seq)
        for order in rows.orders:
            book._orders[order.client_id] = order
            book._sides[order.symbol].rest(order)
            book._rank = max(book._rank, order.rank + 1)
        stakes = {symbol: (Stake(base, cost), each) for symbol, base, cost, each in rows.stakes}
        for symbol in book._ledger.contracts:
            book._restore_stake(symbol, *stakes.get(symbol, (Stake(), ONE)))
        return book

    def take_changes(self) -> list[BookOrder]:
        """Return the orders that changed since the last call, as they are now, and forget them."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed

    def take_payments(self) -> list[Payment]:
        """Return the funding payments since the last call, and forget them."""
        payments, self._payments = self._payments, []
        return payments

    # --- acting -------------------------------------------------------------------------------

    @exact
    def set_leverage(self, symbol: str, leverage: Decimal) -> bool:
        """Set how many times its margin a position in this contract may be worth.

        Return False, and leave it, where the money for a greater margin is not there; venues do so.
        """
        contract, market = self._ledger.contracts[symbol], self._sides[symbol].market
        more = margin(contract.stake, contract.orders, leverage) - contract.bound
        if more > max(ZERO, self._ledger.balance(market.quote).free):
            return False
        contract.leverage = leverage
        self._ledger.bind(market, contract)
        return True

    @exact
    def fund(self, symbol: str, rate: Decimal, price: Decimal) -> Decimal:
        """Let a funding time happen; return what the position received (negative: paid)."""
        market = self._sides[symbol].market
        contract = self._ledger.contracts[symbol]
        amount = funding_payment(contract.stake.base, price, rate)
        self._ledger.move(market.quote, amount, ZERO)
        self._ledger.bind(market, contract)
        return amount

    @exact
    def place(
        self,
        symbol: str,
        client_id: str,
        side: Side,
        kind: OrderKind,
        price: Decimal | None,
        quantity: Decimal,
        time: datetime,
        *,
        closes: bool = False,
    ) -> tuple[Outcome, list[Fill]]:
        """Take an order in; return the answer and the fills that happened at once.

        A second order under the same client id is refused, as a real venue does. On a contract a
        market order that `closes` fills no more than the position and is cancelled beyond it.
        """
        wrong = self._refusal(symbol, client_id, side, kind, price, quantity)
        if wrong is not None:
            return Refused(wrong), []
        order = BookOrder(client_id, symbol, side, kind, price, quantity, time, self._rank)
        self._rank += 1
        market, ledger = self._sides[symbol].market, self._ledger
        if closes and kind is OrderKind.MARKET and self._sides[symbol].is_contract:
            return self._close(order, time)
        if kind is OrderKind.MARKET or self._is_marketable(order):
            if not ledger.can_pay(
                market, side, self._last[symbol].price, quantity, market.taker_fee
            ):
                return Refused("insufficient_balance"), []
            return Accepted(client_id), [self._fill_now(order, market, time)]
        if not (
            self._binds_nothing(order)
            or ledger.can_pay(market, side, price or ZERO, quantity, market.maker_fee)
        ):
            return Refused("insufficient_balance"), []
        self._lock(order, market, quantity)
        self._store(order)
        self._sides[order.symbol].rest(order)
        return Accepted(client_id), []

    @exact
    def cancel(self, client_id: str, time: datetime) -> Outcome:
        """Take an order back and free its money; Accepted too if it was already closed."""
        order = self._orders.get(client_id)
        if order is None:
            return Refused("unknown_order")
        if order.status.is_live:
            market = self._sides[order.symbol].market
            self._lock(order, market, ZERO)
            self._sides[order.symbol].unrest(order)
            self._store(replace(order, status=Status.CANCELLED, closed_at=time))
        return Accepted(client_id)

    def advance(
        self, symbol: str, point: PricePoint, liquidity: Decimal | None = None
    ) -> list[Fill]:
        """Let one price happen and return the fills it makes, best price first.

        `liquidity` is the most that the price can fill in all; None means enough for everybody.
        """
        side = self._sides[symbol]
        price = point.price
        self._last[symbol] = LastPrice(price, point.seq)
        if point.funding is not None and side.is_contract:
            self._pay_funding(symbol, point, point.funding)
        fills = []
        if side.reaches_bid(price) or side.reaches_ask(price):
            fills = self._fill_resting(side, point, liquidity)
        if side.stops:
            fills += self._fill_stops(side, point)
        if side.is_contract and self._ledger.is_liquidated(side.market, price):
            fills.append(self._liquidate(side, point))
        return fills

    # --- inside -------------------------------------------------------------------------------

    def _close(self, order: BookOrder, time: datetime) -> tuple[Outcome, list[Fill]]:
        side = self._sides[order.symbol]
        quantity = self._fillable(order, side, self._last[order.symbol].price)
        if quantity == 0:
            return Refused("nothing_to_close"), []
        fill = self._fill_now(order, side.market, time, quantity)
        self._cancel_rest(order, quantity, time)
        return Accepted(order.client_id), [fill]

    def _cancel_rest(self, order: BookOrder, filled: Decimal, time: datetime) -> None:
        if filled < order.quantity:
            left = replace(self._orders[order.client_id], status=Status.CANCELLED)
            self._store(replace(left, closed_at=time))

    def _pay_funding(self, symbol: str, point: PricePoint, rate: Decimal) -> None:
        if self.stake(symbol).base == 0:
            return
        amount = self.fund(symbol, rate, point.price)
        self._payments.append(Payment(symbol, point.seq, point.time, rate, point.price, amount))

    @exact
    def _fill_resting(
        self, side: Queues, point: PricePoint, liquidity: Decimal | None
    ) -> list[Fill]:
        fills: list[Fill] = []
        for reaches, queue in (
            (side.reaches_bid, side.bids),
            (side.reaches_ask, side.asks),
        ):
            while queue and reaches(point.price) and (liquidity is None or liquidity > 0):
                order = self._orders[queue[-1][2]]
                quantity = order.remaining
                if liquidity is not None:
                    quantity = min(quantity, liquidity)
                    liquidity -= quantity
                fills.append(self._fill_maker(order, side, quantity, point.time))
        return fills

    @exact
    def _fill_stops(self, side: Queues, point: PricePoint) -> list[Fill]:
        fills = []
        for order in side.reached_stops(point.price):
            quantity = self._fillable(order, side, point.price)
            self._lock(order, side.market, ZERO)
            self._sides[order.symbol].unrest(order)
            if quantity > 0:
                fills.append(self._fill_now(order, side.market, point.time, quantity))
            self._cancel_rest(order, quantity, point.time)
        return fills

    def _fillable(self, order: BookOrder, side: Queues, price: Decimal) -> Decimal:
        # On contracts a stop only closes what there is; on spot a buy may have become too dear.
        if side.is_contract:
            base = self.stake(order.symbol).base
            owed = base if order.side is Side.SELL else -base
            return max(ZERO, min(order.quantity, owed))
        if order.side is Side.SELL:
            return order.quantity
        self._lock(order, side.market, ZERO)
        rate, quantity = side.market.taker_fee, order.quantity
        affordable = self._ledger.can_pay(side.market, order.side, price, quantity, rate)
        self._lock(order, side.market, quantity, ZERO)
        return quantity if affordable else ZERO

    @exact
    def _liquidate(self, side: Queues, point: PricePoint) -> Fill:
        symbol, stake = side.market.symbol, self.stake(side.market.symbol)
        for order in self.open_orders(symbol):
            self.cancel(order.client_id, point.time)
        price, quantity = self._ledger.closing_price(side.market), abs(stake.base)
        way = Side.SELL if stake.base > 0 else Side.BUY
        value = traded_value(price, quantity)
        currency = side.market.quote
        self._ledger.settle(side.market, way, price, quantity, value, ZERO, currency)
        name = f"{LIQUIDATION}-{symbol}-{point.seq}"
        return Fill(
            name, LIQUIDATION, way, price, quantity, ZERO, currency, point.time, maker=False
        )

    def _restore_stake(self, symbol: str, stake: Stake, leverage: Decimal) -> None:
        # Balances are told with the margin already locked: bind anew without moving money twice.
        contract, market = self._ledger.contracts[symbol], self._sides[symbol].market
        for order in self.open_orders(symbol):
            if not self._binds_nothing(order):
                value = (order.price or ZERO) * order.remaining
                contract.orders = contract.orders.plus(order.side, order.remaining, value)
        contract.stake, contract.leverage = stake, leverage
        contract.bound = margin(stake, contract.orders, leverage)
        self._ledger.bind(market, contract)

    def _binds_nothing(self, order: BookOrder) -> bool:
        # A stop on a contract only closes.
        return order.kind is OrderKind.STOP and self._sides[order.symbol].is_contract

    def _fill_maker(
        self, order: BookOrder, side: Queues, quantity: Decimal, time: datetime
    ) -> Fill:
        market = side.market
        self._lock(order, market, order.remaining - quantity)
        price = order.price or ZERO
        if quantity == order.remaining:
            self._sides[order.symbol].unrest(order)
        return self._settle(order, market, price, quantity, market.maker_fee, time, maker=True)

    def _fill_now(
        self, order: BookOrder, market: Market, time: datetime, quantity: Decimal | None = None
    ) -> Fill:
        price = self._last[order.symbol].price
        filled = order.quantity if quantity is None else quantity
        return self._settle(order, market, price, filled, market.taker_fee, time, maker=False)

    def _settle(
        self,
        order: BookOrder,
        market: Market,
        price: Decimal,
        quantity: Decimal,
        rate: Decimal,
        time: datetime,
        *,
        maker: bool,
    ) -> Fill:
        value = traded_value(price, quantity)
        currency = fee_currency(market, order.side)
        fee = booked((quantity if currency == market.base else value) * rate)
        self._ledger.settle(market, order.side, price, quantity, value, fee, currency)
        filled = order.filled + quantity
        done = filled == order.quantity
        status = Status.FILLED if done else Status.PARTIAL
        self._store(replace(order, filled=filled, status=status, closed_at=time if done else None))
        return Fill(
            trade_id=f"{order.client_id}-{_number_of_fill(order, filled)}",
            client_id=order.client_id,
            side=order.side,
            price=price,
            quantity=quantity,
            fee=fee,
            fee_currency=currency,
            time=time,
            maker=maker,
        )

    def _refusal(
        self,
        symbol: str,
        client_id: str,
        side: Side,
        kind: OrderKind,
        price: Decimal | None,
        quantity: Decimal,
    ) -> str | None:
        if symbol not in self._sides:
            return "unknown_symbol"
        if client_id in self._orders:
            return "duplicate_client_id"
        if kind is OrderKind.MARKET:
            last = self._last.get(symbol)
            return "no_price" if last is None else self._bad_size(symbol, last.price, quantity)
        bad = self._bad_price(symbol, side, kind, price)
        return bad or self._bad_size(symbol, price or ZERO, quantity)

    def _bad_price(
        self, symbol: str, side: Side, kind: OrderKind, price: Decimal | None
    ) -> str | None:
        if price is None or price <= 0:
            return "bad_price"
        if self._sides[symbol].market.price_down(price) != price:
            return "price_off_tick"
        if kind is OrderKind.STOP and self._triggers_now(symbol, side, price):
            return "would_trigger_now"
        return None

    def _bad_size(self, symbol: str, price: Decimal, quantity: Decimal) -> str | None:
        market = self._sides[symbol].market
        if quantity <= 0 or market.quantity_down(quantity) != quantity:
            return "quantity_off_lot"
        if not market.is_tradable(quantity, price):
            return "below_minimum_order"
        standing = len(self._sides[symbol])
        if market.max_orders is not None and standing >= market.max_orders:
            return "too_many_open_orders"
        return None

    def _triggers_now(self, symbol: str, side: Side, price: Decimal) -> bool:
        last = self._last.get(symbol)
        if last is None:
            return False
        return last.price <= price if side is Side.SELL else last.price >= price

    def _is_marketable(self, order: BookOrder) -> bool:
        last = self._last.get(order.symbol)
        if last is None or order.price is None or order.kind is OrderKind.STOP:
            return False
        return trades_at_once(order.side, order.price, last.price)

    def _lock(
        self, order: BookOrder, market: Market, remaining: Decimal, before: Decimal | None = None
    ) -> None:
        # Change what an order has locked to what `remaining` needs; a fill's own money is freed
        # first and then spent, so both steps always balance.
        if self._binds_nothing(order):
            return
        if before is None:
            before = order.remaining if order.client_id in self._orders else ZERO
        self._ledger.lock(market, order.side, order.price or ZERO, before, remaining)

    def _store(self, order: BookOrder) -> None:
        self._orders[order.client_id] = order
        self._changed[order.client_id] = order


def _number_of_fill(order: BookOrder, filled: Decimal) -> str:
    """Return what numbers a fill within its order: how much was filled by then, as digits.

    It needs no counter, so a book read back from rows gives the same ids.
    """
    return format(filled.normalize(), "f") if filled != order.quantity else "end"
