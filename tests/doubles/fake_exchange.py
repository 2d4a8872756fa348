"""The hostile exchange without HTTP: the core's `Exchange` straight over the stand-in's books.

The same faults strike, so that a property test can try thousands of mishaps: what a client would
learn from a broken answer is told as the border of errors tells it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.errors import Unavailable
from app.trading.market import FeeSide, Market, MarketKind
from app.trading.orders import Fill, Order, OrderKind, Side, Status
from app.trading.ports import (
    Accepted,
    AccountLook,
    Balance,
    FillPage,
    Funding,
    FundingPage,
    Outcome,
    Refused,
    Unresolved,
    VenueOrder,
)
from tests.doubles.bybit import faults as wrong
from tests.doubles.bybit import rows
from tests.doubles.bybit.faults import Faults, Struck
from tests.doubles.bybit.venue import Refusal, Venue

# So many of the last executions are told again at every look.
OVERLAP = 200
DUPLICATE = frozenset({110072, 170141})
GONE = frozenset({170213, 170139, 170142, 110001})
_STATUS = {
    "New": Status.OPEN,
    "Untriggered": Status.OPEN,
    "PartiallyFilled": Status.PARTIAL,
    "Filled": Status.FILLED,
    "Cancelled": Status.CANCELLED,
    "PartiallyFilledCanceled": Status.CANCELLED,
    "Rejected": Status.REJECTED,
}


class FakeExchange:
    """One account; `symbols` maps our names of pairs to (category, symbol) of the stand-in."""

    def __init__(
        self, venue: Venue, key: str, symbols: Mapping[str, tuple[str, str]], faults: Faults
    ) -> None:
        self.venue, self.faults = venue, faults
        self._customer = venue.customers[key]
        self._pairs = dict(symbols)
        self._names = {pair: name for name, pair in symbols.items()}
        self.calls = 0

    # --- sending ------------------------------------------------------------------------------

    def place(self, symbol: str, order: Order) -> Outcome:
        """Send an order once."""
        category, name = self._pairs[symbol]
        asked: dict[str, Any] = {
            "category": category,
            "symbol": name,
            "side": order.key.side.value.capitalize(),
            "orderType": order.kind.value.capitalize(),
            "qty": format(order.quantity, "f"),
            "orderLinkId": order.client_id,
        }
        if order.price is not None:
            asked["price"] = format(order.price, "f")
        return self._sent("/v5/order/create", lambda: self._create(asked))

    def cancel(self, symbol: str, client_id: str) -> Outcome:
        """Take an order back; Accepted also if it was already gone."""
        return self._sent("/v5/order/cancel", lambda: self._cancel(client_id))

    def _create(self, asked: dict[str, Any]) -> Outcome:
        try:
            return Accepted(self.venue.create(self._customer, asked).order_id)
        except Refusal as refusal:
            if refusal.code in DUPLICATE:
                return Refused("duplicate_client_id", refusal.message)
            return Refused(f"exchange_{refusal.code}", refusal.message)

    def _cancel(self, client_id: str) -> Outcome:
        try:
            self.venue.cancel(self._customer, self._customer.find("", client_id))
        except Refusal as refusal:
            if refusal.code not in GONE:
                raise
        return Accepted()

    def _sent(self, path: str, act: Any) -> Outcome:
        self.calls += 1
        struck = self.faults.choose(path, self._customer.key)
        if struck is None:
            outcome: Outcome = act()
            return outcome
        return self._spoilt(struck, act)

    def _spoilt(self, struck: Struck, act: Any) -> Outcome:
        fault = struck.fault
        if fault.kind == wrong.FORGET:
            with self.venue.hiding_orders(fault.ms):
                outcome: Outcome = act()
            return outcome
        if fault.kind in {wrong.DELAY, wrong.ANSWER_TWICE}:
            outcome = act()
            return outcome
        if not struck.acts:
            refused = fault.kind == wrong.CODE and fault.code in wrong.REFUSING
            return Refused(f"exchange_{fault.code}") if refused else Unresolved(fault.name)
        outcome = act()
        if fault.kind == wrong.TWICE:
            return Refused("duplicate_client_id") if isinstance(outcome, Accepted) else outcome
        return Unresolved(fault.name)

    # --- reading ------------------------------------------------------------------------------

    def find(self, symbol: str, client_id: str) -> VenueOrder | None:
        """Look an order up, open or closed."""
        self._answer("/v5/order/realtime")
        order = self._customer.find("", client_id)
        if order is None or order.shown_from > self.venue.now():
            return None
        return self._order(order)

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        """List what stands."""
        self._answer("/v5/order/realtime")
        return self._standing(symbol)

    def look(
        self, expected: Mapping[str, Mapping[str, Decimal]], cursor: str, *, whole: bool = False
    ) -> AccountLook:
        """Tell what stands; fills only if it is not as expected, or all is asked."""
        self._answer("/v5/order/realtime")
        standing = {symbol: tuple(self._standing(symbol)) for symbol in expected}
        seen = {
            symbol: {order.client_id: order.filled for order in orders}
            for symbol, orders in standing.items()
        }
        if not whole and seen == {symbol: dict(orders) for symbol, orders in expected.items()}:
            return AccountLook(standing, (), cursor)
        self._answer("/v5/execution/list")
        told = self._told(cursor)
        last = self._customer.executions[-1].number if self._customer.executions else 0
        fills = tuple((self._names[row.category, row.symbol], _fill(row)) for row in told)
        return AccountLook(standing, fills, str(last))

    def order_fills(self, symbol: str, client_id: str) -> tuple[Fill, ...]:
        """List all fills of one order that are told by now."""
        self._answer("/v5/execution/list")
        return tuple(_fill(row) for row in self._told("") if row.link_id == client_id)

    def fills_since(self, symbol: str, cursor: str) -> FillPage:
        """List fills of one pair."""
        self._answer("/v5/execution/list")
        pair = self._pairs[symbol]
        told = [row for row in self._told(cursor) if (row.category, row.symbol) == pair]
        last = self._customer.executions[-1].number if self._customer.executions else 0
        return FillPage(tuple(_fill(row) for row in told), str(last))

    def funding_since(self, symbol: str, cursor: str) -> FundingPage:
        """List funding payments of a contract."""
        self._answer("/v5/execution/list")
        pair = self._pairs[symbol]
        after = int(cursor or 0)
        rows_ = [
            row
            for row in self._customer.executions
            if row.kind == "Funding" and (row.category, row.symbol) == pair and row.number > after
        ]
        paid = tuple(
            Funding(row.exec_id, symbol, -row.fee, row.fee_currency, _time(row.time))
            for row in rows_
        )
        return FundingPage(paid, str(rows_[-1].number) if rows_ else cursor)

    def balances(self) -> Mapping[str, Balance]:
        """Return the money."""
        self._answer("/v5/account/wallet-balance")
        found = {}
        for coin, amount in self._customer.wallet.items():
            locked = self._customer.locked(coin, self.venue.instruments)
            found[coin] = Balance(amount - locked, locked)
        return found

    def position(self, symbol: str) -> Decimal:
        """Return how much of a contract is held, negative when owed."""
        self._answer("/v5/position/list")
        return self.venue.position(self._customer, self._pairs[symbol][1]).size

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Let a contract be traded with this leverage; said again, it changes nothing."""
        category, name = self._pairs[symbol]
        if category == "spot":
            return
        self._answer("/v5/position/set-leverage")
        if self.venue.position(self._customer, name).leverage != leverage:
            self.venue.set_leverage(self._customer, name, leverage)

    def market(self, symbol: str) -> Market:
        """Return a pair's rules."""
        pair = self.venue.instruments[self._pairs[symbol]]
        return Market(
            symbol,
            pair.base,
            pair.quote,
            kind=MarketKind.SPOT if pair.is_spot else MarketKind.LINEAR,
            tick=pair.tick,
            lot=pair.lot,
            min_quantity=pair.min_quantity,
            min_notional=pair.min_amount,
            maker_fee=pair.maker_fee,
            taker_fee=pair.taker_fee,
            fee_side=FeeSide.RECEIVED_ASSET if pair.is_spot else FeeSide.QUOTE,
        )

    def close(self) -> None:
        """Let go of nothing: there are no connections."""

    def _answer(self, path: str) -> None:
        self.calls += 1
        struck = self.faults.choose(path, self._customer.key)
        if struck is not None and struck.fault.kind not in {
            wrong.DELAY,
            wrong.TWICE,
            wrong.ANSWER_TWICE,
            wrong.FORGET,
        }:
            raise Unavailable("exchange_unreachable", exchange="bybit")

    def _standing(self, symbol: str) -> list[VenueOrder]:
        now = self.venue.now()
        return [
            self._order(order)
            for order in self._customer.open_orders(self._pairs[symbol])
            if order.shown_from <= now
        ]

    def _told(self, cursor: str) -> list[rows.Execution]:
        now, after = self.venue.now(), int(cursor or 0) - OVERLAP
        told = [
            row
            for row in self._customer.executions
            if row.kind == "Trade" and row.shown_from <= now and row.number > after
        ]
        if self.venue.habits.unordered:
            self.venue.random.shuffle(told)
        return told

    def _order(self, order: rows.VenueOrder) -> VenueOrder:
        return VenueOrder(
            client_id=order.link_id,
            symbol=self._names[order.category, order.symbol],
            side=Side(order.side.lower()),
            kind=OrderKind(order.kind.lower()),
            price=order.price or None,
            quantity=order.quantity,
            filled=order.filled,
            status=_STATUS[order.status],
            venue_id=order.order_id,
            time=_time(order.created),
        )


def _fill(row: rows.Execution) -> Fill:
    return Fill(
        trade_id=row.exec_id,
        client_id=row.link_id,
        side=Side(row.side.lower()),
        price=row.price,
        quantity=row.quantity,
        fee=row.fee,
        fee_currency=row.fee_currency,
        time=_time(row.time),
        maker=row.maker,
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
