"""Orders of the pretend venue: those at rest in the order in which they fill, and as rows."""

from bisect import insort
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from app.trading.market import ZERO, Market
from app.trading.orders import OrderKind, Side, Status

# Under these client ids it is told that the venue closed (part of) a position: nobody ordered it.
# The second is for the sake of others: profitable positions close the losses of the other side.
LIQUIDATION = "liquidation"
DELEVERAGING = "deleveraging"


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


class Payment(NamedTuple):
    """A funding payment of a position: positive when it was received."""

    symbol: str
    seq: int
    time: datetime
    rate: Decimal
    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class BookRows:
    """A book as plain rows: open orders alone, for closed ones change no more."""

    balances: tuple[tuple[str, Decimal, Decimal], ...]
    orders: tuple[BookOrder, ...]
    last_prices: tuple[tuple[str, Decimal, int], ...] = ()
    stakes: tuple[tuple[str, Decimal, Decimal, Decimal], ...] = ()


@dataclass(slots=True)
class Queues:
    """Open orders of one symbol; the best of each side is the last of its list.

    `bid_edge` and `ask_edge` are the prices at which the best order fills, so that a price that
    fills nothing costs two comparisons. `stops` are the orders that wait for their trigger.
    Only a special market has any, or may liquidate.
    """

    market: Market
    bids: list[tuple[Decimal, int, str]]
    asks: list[tuple[Decimal, int, str]]
    bid_edge: Decimal | None = None
    ask_edge: Decimal | None = None
    stops: tuple[BookOrder, ...] = ()
    is_contract: bool = False
    is_special: bool = False
    touch: bool = False

    def __len__(self) -> int:
        """Return how many limit orders rest."""
        return len(self.bids) + len(self.asks)

    def rest(self, order: BookOrder) -> None:
        """Take an order in; of two at one price the older one is served first."""
        if order.kind is OrderKind.STOP:
            self.stops, self.is_special = (*self.stops, order), True
            return
        # The best stands last, so the older one must sort behind.
        entry = (order.price or ZERO, -order.rank, order.client_id)
        if order.side is Side.BUY:
            insort(self.bids, entry)
        else:
            insort(self.asks, entry, key=_ask_order)
        self._set_edges()

    def unrest(self, order: BookOrder) -> None:
        """Take an order out."""
        if order.kind is OrderKind.STOP:
            self.stops = tuple(each for each in self.stops if each.client_id != order.client_id)
            return
        queue = self.bids if order.side is Side.BUY else self.asks
        queue.remove((order.price or ZERO, -order.rank, order.client_id))
        self._set_edges()

    def _set_edges(self) -> None:
        step = ZERO if self.touch else self.market.tick or ZERO
        self.bid_edge = self.bids[-1][0] - step if self.bids else None
        self.ask_edge = self.asks[-1][0] + step if self.asks else None

    def reaches_bid(self, price: Decimal) -> bool:
        """Say whether a price fills the best buy."""
        edge = self.bid_edge
        if edge is None or price > edge:
            return False
        return price < edge or self.touch or self.market.tick is not None

    def reaches_ask(self, price: Decimal) -> bool:
        """Say whether a price fills the best sell."""
        edge = self.ask_edge
        if edge is None or price < edge:
            return False
        return price > edge or self.touch or self.market.tick is not None

    def reached_stops(self, price: Decimal) -> list[BookOrder]:
        """Return the stops that a price sets off, in the order of their placing."""
        return [
            order
            for order in self.stops
            if order.price is not None
            and (price <= order.price if order.side is Side.SELL else price >= order.price)
        ]


def _ask_order(entry: tuple[Decimal, int, str]) -> tuple[Decimal, int]:
    return -entry[0], entry[1]
