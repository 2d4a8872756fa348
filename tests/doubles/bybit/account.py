"""One customer of the stand-in: keys, coins, orders, executions, positions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.doubles.bybit.instruments import Instrument
from tests.doubles.bybit.rows import ZERO, Execution, Position, VenueOrder

Key = tuple[str, str]


@dataclass
class Customer:
    """An account; `wallet` holds whole amounts, what orders lock is worked out from the orders."""

    key: str
    secret: str
    can_trade: bool = True
    can_withdraw: bool = False
    addresses: tuple[str, ...] = ("127.0.0.1",)
    margin_mode: str = "REGULAR_MARGIN"
    # Contracts in which long and short stand side by side.
    hedged: tuple[str, ...] = ()
    wallet: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, VenueOrder] = field(default_factory=dict)
    by_link: dict[str, list[VenueOrder]] = field(default_factory=lambda: defaultdict(list))
    executions: list[Execution] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)
    _open: dict[Key, dict[str, VenueOrder]] = field(default_factory=lambda: defaultdict(dict))

    def to_json(self) -> dict[str, Any]:
        """Return what opens the account again; its books have lines of their own."""
        return {
            "key": self.key,
            "secret": self.secret,
            "can_trade": self.can_trade,
            "can_withdraw": self.can_withdraw,
            "addresses": list(self.addresses),
            "margin_mode": self.margin_mode,
            "hedged": list(self.hedged),
        }

    # --- orders -------------------------------------------------------------------------------

    def keep(self, order: VenueOrder) -> None:
        """Add an order, or note that it changed."""
        if order.order_id not in self.orders:
            self.orders[order.order_id] = order
            if order.link_id:
                self.by_link[order.link_id].append(order)
        book = self._open[order.category, order.symbol]
        if order.is_open:
            book[order.order_id] = order
        else:
            book.pop(order.order_id, None)

    def open_orders(self, key: Key | None = None) -> list[VenueOrder]:
        """Return what stands, of one pair or of all."""
        books: Iterable[dict[str, VenueOrder]] = (
            self._open.values() if key is None else [self._open.get(key, {})]
        )
        return [order for book in books for order in book.values()]

    def standing(self, link_id: str) -> VenueOrder | None:
        """Return the open order under a client's id."""
        found = self.by_link.get(link_id, ()) if link_id else ()
        return next((order for order in found if order.is_open), None)

    def find(self, order_id: str, link_id: str) -> VenueOrder | None:
        """Return an order by either id; of several under a client's id the last."""
        if order_id:
            return self.orders.get(order_id)
        found = self.by_link.get(link_id)
        return found[-1] if found else None

    # --- money --------------------------------------------------------------------------------

    def locked(self, coin: str, instruments: dict[Key, Instrument]) -> Decimal:
        """Return what resting spot orders have set aside of a coin."""
        return sum((amount for name, amount in self._claims(instruments) if name == coin), ZERO)

    def free(self, coin: str, instruments: dict[Key, Instrument]) -> Decimal:
        """Return what may still be spent of a coin on spot."""
        return self.wallet.get(coin, ZERO) - self.locked(coin, instruments)

    def _claims(self, instruments: dict[Key, Instrument]) -> Iterator[tuple[str, Decimal]]:
        for (category, symbol), book in self._open.items():
            if category != "spot":
                continue
            pair = instruments[category, symbol]
            for order in book.values():
                # Orders that wait for a trigger lock nothing.
                if not order.is_resting:
                    continue
                if order.side == "Buy":
                    yield pair.quote, order.left * order.price
                else:
                    yield pair.base, order.left

    def add(self, coin: str, amount: Decimal) -> None:
        """Move a coin's amount."""
        self.wallet[coin] = self.wallet.get(coin, ZERO) + amount
