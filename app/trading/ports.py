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
    """The venue certainly does not have the order; `code` says why.

    One that `misfits` the pair's rules as the venue has them: read them anew.
    """

    code: str
    detail: str = ""
    misfits: bool = False


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
class Funding:
    """A funding payment of a contract: positive when it was received; the id counts once."""

    funding_id: str
    symbol: str
    amount: Decimal
    currency: str
    time: datetime


@dataclass(frozen=True, slots=True)
class AccountLook:
    """What one look at a whole account tells.

    `orders` is what stands at the venue, by symbol, for every symbol that was asked about; None if
    the venue was not asked for it. `fills` are those after the cursor with their symbol, oldest
    first, perhaps with some that were told before. `cursor` is given back at the next look.
    Where it is partial there are later fills, more than one look can read: ask for them at once.
    """

    orders: Mapping[str, tuple[VenueOrder, ...]] | None
    fills: tuple[tuple[str, Fill], ...]
    cursor: str
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class FillPage:
    """Fills after a cursor, oldest first, and the cursor to ask with next time."""

    fills: tuple[Fill, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class FundingPage:
    """Funding payments after a cursor, oldest first, and the cursor to ask with next time."""

    rows: tuple[Funding, ...]
    cursor: str


class Exchange(Protocol):
    """One account at a venue; every call has a time-out and never repeats a sending by itself."""

    def place(self, symbol: str, order: Order) -> Outcome:
        """Send an order once."""

    def cancel(self, symbol: str, client_id: str) -> Outcome:
        """Take an order back; Accepted also if it was already gone."""

    def find(self, symbol: str, client_id: str) -> VenueOrder | None:
        """Look an order up, open or closed; None only when the venue certainly lacks it."""

    def look(
        self, expected: Mapping[str, Mapping[str, Decimal]], cursor: str, *, whole: bool = False
    ) -> AccountLook:
        """Look at the whole account, with one call where the venue allows it.

        `expected` names each symbol with the client ids that may stand there and how much of each
        is filled. What stands is read first: if it is just as expected, nothing can have been
        filled and fills are not asked. A `whole` look always tells both.
        """

    def order_fills(self, symbol: str, client_id: str) -> tuple[Fill, ...]:
        """List all fills of one order, however long ago."""

    def funding_since(self, symbol: str, cursor: str) -> FundingPage:
        """List funding payments of a contract after a cursor."""

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        """List what stands at the venue."""

    def fills_since(self, symbol: str, cursor: str) -> FillPage:
        """List fills after a cursor; an empty cursor starts at the beginning."""

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Let a contract be traded with this leverage, with isolated margin and one position.

        Said again, it changes nothing; on spot there is nothing to do. Raise Unavailable if the
        account can't be traded so.
        """

    def position(self, symbol: str) -> Decimal | None:
        """Return how many coins of a contract are held, negative when owed; None if unknown."""

    def balances(self) -> Mapping[str, Balance]:
        """Return free and locked money by currency."""

    def market(self, symbol: str) -> Market:
        """Return a pair's rules and the account's fees on it."""
