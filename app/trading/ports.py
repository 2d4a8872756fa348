"""What the core expects of a trading venue, for one account."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from app.trading.market import ZERO, Market
from app.trading.orders import Fill, Order, OrderKind, Side, Status


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue has the order."""

    venue_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue certainly does not have the order; `code` says why."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Nobody knows whether the venue has the order: look it up before anything else."""

    detail: str = ""


Outcome = Accepted | Refused | Unresolved


class Balance(NamedTuple):
    """Money of one currency: free to use, and locked in open orders."""

    free: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Return both parts together."""
        return self.free + self.locked


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue shows it; `client_id` is empty for orders that are not ours."""

    client_id: str
    symbol: str
    side: Side
    kind: OrderKind
    price: Decimal | None
    quantity: Decimal
    filled: Decimal
    status: Status
    venue_id: str | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class FillPage:
    """Fills after a cursor, oldest first, and the cursor to ask with next time."""

    fills: tuple[Fill, ...]
    cursor: str


class Exchange(Protocol):
    """One account at a venue; every call has a time-out and never repeats a sending by itself."""

    def place(self, symbol: str, order: Order) -> Outcome:
        """Send an order once."""

    def cancel(self, symbol: str, client_id: str) -> Outcome:
        """Take an order back; Accepted also if it was already gone."""

    def find(self, symbol: str, client_id: str) -> VenueOrder | None:
        """Look an order up, open or closed; None only when the venue certainly lacks it."""

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        """List what stands at the venue."""

    def fills_since(self, symbol: str, cursor: str) -> FillPage:
        """List fills after a cursor; an empty cursor starts at the beginning."""

    def balances(self) -> Mapping[str, Balance]:
        """Return free and locked money by currency."""

    def market(self, symbol: str) -> Market:
        """Return a pair's rules and the account's fees on it."""
