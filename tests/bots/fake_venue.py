"""A real exchange as far as a tick can tell: an account in memory, with faults on demand."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from app.errors import Unavailable
from app.trading.market import ZERO, FeeSide, Market, PricePoint
from app.trading.orders import Fill, Order, OrderKind, Status
from app.trading.ports import (
    AccountLook,
    Balance,
    FillPage,
    FundingPage,
    Outcome,
    Refused,
    Unresolved,
    VenueOrder,
)
from app.trading.simulator import Book, BookOrder

SYMBOL = "AAA/USDT"
MARKET = Market(
    SYMBOL,
    "AAA",
    "USDT",
    tick=Decimal("0.01"),
    lot=Decimal("0.0001"),
    min_quantity=Decimal("0.0001"),
    min_notional=Decimal(1),
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
    fee_side=FeeSide.RECEIVED_ASSET,
)


class FakeVenue:
    """One account; every switch is a fault."""

    def __init__(self) -> None:
        self.book = Book([MARKET], {"USDT": Decimal(10_000)})
        self.fills: list[Fill] = []
        self.sent: list[str] = []
        self.looked_up: list[str] = []
        self.looks: list[bool] = []
        self.leverages: list[Decimal] = []
        self.seq = 0
        # Faults: the answer is lost after or before the order arrived; all is refused; nobody
        # answers; fills are told late; orders are not remembered.
        self.lose_answers = False
        self.lose_requests = False
        self.refuse: str | None = None
        self.misfits = False
        self.is_away = False
        self.hidden_fills = 0
        self.forgets = False
        self.hidden: set[str] = set()
        # So much of market orders is filled in all: the rest of one is taken back, others refused.
        self.thin: Decimal | None = None
        self._cut: dict[str, Decimal] = {}

    def play(self, price: str, liquidity: Decimal | None = None) -> None:
        """Let a price happen at the venue; with a liquidity so much of orders is filled at most."""
        self.seq += 1
        point = PricePoint(self.seq, datetime.now(UTC), Decimal(price))
        self.fills += self.book.advance(SYMBOL, point, liquidity)

    def take_away(self, client_id: str) -> None:
        """Cancel an order behind the bot's back."""
        self.book.cancel(client_id, datetime.now(UTC))

    # --- the port -----------------------------------------------------------------------------

    def place(self, symbol: str, order: Order) -> Outcome:
        """Take an order, or fail as asked."""
        self.sent.append(order.client_id)
        if self.lose_requests:
            return Unresolved("time-out")
        if self.refuse:
            return Refused(self.refuse, misfits=self.misfits)
        quantity = order.quantity
        if self.thin is not None and order.kind is OrderKind.MARKET:
            if self.thin == 0:
                return Refused("no_liquidity")
            self._cut[order.client_id] = quantity
            quantity = min(quantity, self.thin)
            self.thin -= quantity
        outcome, fills = self.book.place(
            symbol,
            order.client_id,
            order.key.side,
            order.kind,
            order.price,
            quantity,
            datetime.now(UTC),
        )
        self.fills += fills
        return Unresolved("time-out") if self.lose_answers else outcome

    def cancel(self, symbol: str, client_id: str) -> Outcome:
        """Take an order back."""
        self._answer()
        if self.forgets:
            return Refused("unknown_order")
        return self.book.cancel(client_id, datetime.now(UTC))

    def find(self, symbol: str, client_id: str) -> VenueOrder | None:
        """Look an order up."""
        self._answer()
        self.looked_up.append(client_id)
        order = self.book.find(client_id)
        known = order is not None and not self.forgets and client_id not in self.hidden
        shown = _shown(order) if order is not None and known else None
        if shown is not None and shown.filled < self._cut.get(client_id, ZERO):
            return replace(shown, quantity=self._cut[client_id], status=Status.CANCELLED)
        return shown

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        """List open orders."""
        self._answer()
        orders = () if self.forgets else self.book.open_orders(symbol)
        return [_shown(order) for order in orders if order.client_id not in self.hidden]

    def fills_since(self, symbol: str, cursor: str) -> FillPage:
        """Tell all fills, again and again, newest first: a venue owes no order and no once."""
        self._answer()
        told = self.fills[: len(self.fills) - self.hidden_fills]
        return FillPage(tuple(reversed(told)), str(len(told)))

    def look(
        self, expected: Mapping[str, Mapping[str, Decimal]], cursor: str, *, whole: bool = False
    ) -> AccountLook:
        """Tell what stands; fills only if it is not as expected, or all is asked."""
        self._answer()
        self.looks.append(whole)
        standing = self.open_orders(SYMBOL)
        as_expected = {order.client_id: order.filled for order in standing} == expected[SYMBOL]
        page = FillPage((), cursor)
        if whole or not as_expected:
            page = self.fills_since(SYMBOL, cursor)
        fills = tuple((SYMBOL, fill) for fill in page.fills)
        return AccountLook({SYMBOL: tuple(standing)}, fills, page.cursor)

    def order_fills(self, symbol: str, client_id: str) -> tuple[Fill, ...]:
        """Tell all fills of an order that are told at all."""
        self._answer()
        told = self.fills[: len(self.fills) - self.hidden_fills]
        return tuple(fill for fill in told if fill.client_id == client_id)

    def funding_since(self, symbol: str, cursor: str) -> FundingPage:
        """Tell nothing: a pair of coins has no funding."""
        return FundingPage((), cursor)

    def position(self, symbol: str) -> Decimal:
        """Tell nothing: a pair of coins has no position."""
        return Decimal(0)

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Note it."""
        self._answer()
        self.leverages.append(leverage)

    def balances(self) -> Mapping[str, Balance]:
        """Return the money."""
        return self.book.balances()

    def market(self, symbol: str) -> Market:
        """Return the rules."""
        return MARKET

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("exchange_unreachable", exchange="bybit")

    # --- what tests ask -----------------------------------------------------------------------

    def standing(self) -> set[str]:
        """Return the ids of open orders."""
        return {order.client_id for order in self.book.open_orders(SYMBOL)}


def _shown(order: BookOrder) -> VenueOrder:
    return VenueOrder(
        client_id=order.client_id,
        symbol=order.symbol,
        side=order.side,
        kind=order.kind,
        price=order.price,
        quantity=order.quantity,
        filled=order.filled,
        status=order.status,
        venue_id=f"v-{order.client_id}",
        time=order.placed_at,
    )
