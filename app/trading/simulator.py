"""The pretend venue: one account's balances and open orders, moved by prices one by one.

A resting order fills at its own price, as maker, when the price trades through it by one tick
(strictly beyond it on a market without a tick). Market orders, and limit orders that could trade at
once, fill at the last price as taker. The same prices always give the same fills with the same ids.
"""

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from app.trading.market import BOOK_STEP, ONE, ZERO, Market, PricePoint, booked, exact
from app.trading.orders import Fill, OrderKind, Side, Status, fee_currency, traded_value
from app.trading.ports import Accepted, Balance, Outcome, Refused


@dataclass(frozen=True, slots=True)
class BookOrder:
    """An order as the venue sees it; `rank` decides between orders of the same price."""

    client_id: str
    symbol: str
    side: Side
    kind: OrderKind
    price: Decimal | None
    quantity: Decimal
    placed_at: datetime
    rank: int
    filled: Decimal = ZERO
    status: Status = Status.OPEN
    closed_at: datetime | None = None

    @property
    def remaining(self) -> Decimal:
        """Return what is not filled yet."""
        return self.quantity - self.filled


class LastPrice(NamedTuple):
    """The last price that the book has seen of a symbol, and its number."""

    price: Decimal
    seq: int


@dataclass(frozen=True, slots=True)
class BookRows:
    """A book as plain rows: open orders alone, for closed ones change no more."""

    balances: tuple[tuple[str, Decimal, Decimal], ...]
    orders: tuple[BookOrder, ...]
    last_prices: tuple[tuple[str, Decimal, int], ...] = ()


@dataclass(slots=True)
class _Side:
    """Open orders of one symbol; the best of each side is the last of its list.

    `bid_edge` and `ask_edge` are the prices at which the best order fills, so that a price that
    fills nothing costs two comparisons.
    """

    market: Market
    bids: list[tuple[Decimal, int, str]]
    asks: list[tuple[Decimal, int, str]]
    bid_edge: Decimal | None = None
    ask_edge: Decimal | None = None


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
        self._touch = touch
        self._sides = {market.symbol: _Side(market, [], []) for market in markets}
        self._balances: dict[str, Balance] = {}
        for currency, amount in (balances or {}).items():
            self._balances[currency] = amount if isinstance(amount, Balance) else Balance(amount)
        self._orders: dict[str, BookOrder] = {}
        self._changed: dict[str, BookOrder] = {}
        self._last: dict[str, LastPrice] = {}
        self._rank = 0

    # --- reading ------------------------------------------------------------------------------

    def balances(self) -> dict[str, Balance]:
        """Return free and locked money by currency."""
        return dict(self._balances)

    def balance(self, currency: str) -> Balance:
        """Return free and locked money of one currency."""
        return self._balances.get(currency, Balance())

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
        return self._reaches_bid(side, price) or self._reaches_ask(side, price)

    # --- storing ------------------------------------------------------------------------------

    def rows(self) -> BookRows:
        """Return the book as plain rows."""
        return BookRows(
            tuple((name, each.free, each.locked) for name, each in self._balances.items()),
            tuple(self.open_orders()),
            tuple((symbol, last.price, last.seq) for symbol, last in self._last.items()),
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
            book._rest(order)
            book._rank = max(book._rank, order.rank + 1)
        return book

    def take_changes(self) -> list[BookOrder]:
        """Return the orders that changed since the last call, as they are now, and forget them."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed

    # --- acting -------------------------------------------------------------------------------

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
    ) -> tuple[Outcome, list[Fill]]:
        """Take an order in; return the answer and the fills that happened at once.

        A second order under the same client id is refused, as a real venue does.
        """
        wrong = self._refusal(symbol, client_id, kind, price, quantity)
        if wrong is not None:
            return Refused(wrong), []
        order = BookOrder(client_id, symbol, side, kind, price, quantity, time, self._rank)
        self._rank += 1
        market = self._sides[symbol].market
        if kind is OrderKind.MARKET or self._is_marketable(order):
            if not self._can_pay(
                market, side, self._last[symbol].price, quantity, market.taker_fee
            ):
                return Refused("insufficient_balance"), []
            return Accepted(client_id), [self._fill_now(order, market, time)]
        if not self._can_pay(market, side, price or ZERO, quantity, market.maker_fee):
            return Refused("insufficient_balance"), []
        self._lock(order, market, quantity)
        self._store(order)
        self._rest(order)
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
            self._unrest(order)
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
        if not (self._reaches_bid(side, price) or self._reaches_ask(side, price)):
            return []
        return self._fill_resting(side, point, liquidity)

    # --- inside -------------------------------------------------------------------------------

    @exact
    def _fill_resting(
        self, side: _Side, point: PricePoint, liquidity: Decimal | None
    ) -> list[Fill]:
        fills: list[Fill] = []
        for reaches, queue in (
            (self._reaches_bid, side.bids),
            (self._reaches_ask, side.asks),
        ):
            while queue and reaches(side, point.price) and (liquidity is None or liquidity > 0):
                order = self._orders[queue[-1][2]]
                quantity = order.remaining
                if liquidity is not None:
                    quantity = min(quantity, liquidity)
                    liquidity -= quantity
                fills.append(self._fill_maker(order, side, quantity, point.time))
        return fills

    def _fill_maker(self, order: BookOrder, side: _Side, quantity: Decimal, time: datetime) -> Fill:
        market = side.market
        self._lock(order, market, order.remaining - quantity)
        price = order.price or ZERO
        if quantity == order.remaining:
            self._unrest(order)
        return self._settle(order, market, price, quantity, market.maker_fee, time, maker=True)

    def _fill_now(self, order: BookOrder, market: Market, time: datetime) -> Fill:
        price = self._last[order.symbol].price
        return self._settle(
            order, market, price, order.quantity, market.taker_fee, time, maker=False
        )

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
        sign = 1 if order.side is Side.BUY else -1
        self._move(market.base, sign * quantity, ZERO)
        self._move(market.quote, -sign * value, ZERO)
        self._move(currency, -fee, ZERO)
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
        if price is None or price <= 0:
            return "bad_price"
        if self._sides[symbol].market.price_down(price) != price:
            return "price_off_tick"
        return self._bad_size(symbol, price, quantity)

    def _bad_size(self, symbol: str, price: Decimal, quantity: Decimal) -> str | None:
        market = self._sides[symbol].market
        if quantity <= 0 or market.quantity_down(quantity) != quantity:
            return "quantity_off_lot"
        if not market.is_tradable(quantity, price):
            return "below_minimum_order"
        standing = len(self._sides[symbol].bids) + len(self._sides[symbol].asks)
        if market.max_orders is not None and standing >= market.max_orders:
            return "too_many_open_orders"
        return None

    def _is_marketable(self, order: BookOrder) -> bool:
        last = self._last.get(order.symbol)
        if last is None or order.price is None:
            return False
        if order.side is Side.BUY:
            return order.price >= last.price
        return order.price <= last.price

    def _can_pay(
        self, market: Market, side: Side, price: Decimal, quantity: Decimal, rate: Decimal
    ) -> bool:
        if side is Side.SELL:
            return self.balance(market.base).free >= quantity
        return self.balance(market.quote).free >= _claim(market, price, quantity, rate)

    def _lock(self, order: BookOrder, market: Market, remaining: Decimal) -> None:
        # Change what an order has locked to what `remaining` needs; a fill's own money is freed
        # first and then spent, so both steps always balance.
        stored = order.client_id in self._orders
        before = order.remaining if stored else ZERO
        if order.side is Side.SELL:
            change, currency = remaining - before, market.base
        else:
            price, rate = order.price or ZERO, market.maker_fee
            change = _claim(market, price, remaining, rate) - _claim(market, price, before, rate)
            currency = market.quote
        self._move(currency, -change, change)

    def _move(self, currency: str, free: Decimal, locked: Decimal) -> None:
        old = self._balances.get(currency, Balance())
        self._balances[currency] = Balance(old.free + free, old.locked + locked)

    def _store(self, order: BookOrder) -> None:
        self._orders[order.client_id] = order
        self._changed[order.client_id] = order

    def _rest(self, order: BookOrder) -> None:
        side = self._sides[order.symbol]
        price = order.price or ZERO
        # Of two orders at one price the older one is served first, so it must sort behind.
        entry = (price, -order.rank, order.client_id)
        if order.side is Side.BUY:
            insort(side.bids, entry)
        else:
            insort(side.asks, entry, key=_ask_order)
        self._set_edges(side)

    def _unrest(self, order: BookOrder) -> None:
        side = self._sides[order.symbol]
        queue = side.bids if order.side is Side.BUY else side.asks
        queue.remove((order.price or ZERO, -order.rank, order.client_id))
        self._set_edges(side)

    def _set_edges(self, side: _Side) -> None:
        step = ZERO if self._touch else side.market.tick or ZERO
        side.bid_edge = side.bids[-1][0] - step if side.bids else None
        side.ask_edge = side.asks[-1][0] + step if side.asks else None

    def _reaches_bid(self, side: _Side, price: Decimal) -> bool:
        edge = side.bid_edge
        if edge is None or price > edge:
            return False
        return price < edge or self._touch or side.market.tick is not None

    def _reaches_ask(self, side: _Side, price: Decimal) -> bool:
        edge = side.ask_edge
        if edge is None or price < edge:
            return False
        return price > edge or self._touch or side.market.tick is not None


def _ask_order(entry: tuple[Decimal, int, str]) -> tuple[Decimal, int]:
    return -entry[0], entry[1]


def _claim(market: Market, price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
    """Return the quote money that a buy needs, its fee included, rounded up to the book's step."""
    share = ONE + max(ZERO, market.buy_fee_in_quote(rate))
    return (price * quantity * share).quantize(BOOK_STEP, ROUND_CEILING)


def _number_of_fill(order: BookOrder, filled: Decimal) -> str:
    """Return what numbers a fill within its order: how much was filled by then, as digits.

    It needs no counter, so a book read back from rows gives the same ids.
    """
    return format(filled.normalize(), "f") if filled != order.quantity else "end"
