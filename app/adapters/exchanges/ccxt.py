"""One account at a real exchange, through the library ccxt, as the core's `Exchange`."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from app.adapters.exchanges.errors import (
    cancel_outcome_of,
    is_absent,
    outcome_of,
    read_error,
)
from app.adapters.exchanges.quirks import Quirks
from app.errors import DomainError, Unavailable
from app.money import exact_text
from app.trading.market import ZERO, FeeSide, Market, MarketKind
from app.trading.orders import Fill, Order, OrderKind, Side, Status
from app.trading.ports import Accepted, Balance, FillPage, Outcome, Unresolved, VenueOrder

T = TypeVar("T")

# Fills may be reported late: each look reaches back so far behind the last one.
OVERLAP_MS = 5 * 60 * 1000
# A new account's first look; our orders can't be older than the account.
FIRST_LOOK_MS = 24 * 3600 * 1000
REMEMBERED_IDS = 5000

_STATUS = {
    "open": Status.OPEN,
    "closed": Status.FILLED,
    "canceled": Status.CANCELLED,
    "canceling": Status.OPEN,
    "expired": Status.CANCELLED,
    "rejected": Status.REJECTED,
}


class CcxtExchange:
    """An account at an exchange; `client` has its markets. One object belongs to one thread."""

    def __init__(
        self,
        client: Any,
        quirks: Quirks,
        *,
        maker_fee: Decimal | None = None,
        taker_fee: Decimal | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._client = client
        self._quirks = quirks
        self._maker_fee = maker_fee
        self._taker_fee = taker_fee
        self._now_ms = now_ms
        self._client_ids: OrderedDict[str, str] = OrderedDict()

    def place(self, symbol: str, order: Order) -> Outcome:
        """Send an order once."""
        params = {"clientOrderId": order.client_id, **self._quirks.order_params}
        if order.kind is OrderKind.MARKET:
            params |= self._quirks.market_order_params
        price = None if order.price is None else exact_text(order.price)

        def send() -> Outcome:
            answer = self._client.create_order(
                symbol,
                order.kind.value,
                order.key.side.value,
                exact_text(order.quantity),
                price,
                params,
            )
            venue_id = answer.get("id")
            if not venue_id:
                return Unresolved("the answer names no order")
            self._remember(str(venue_id), order.client_id)
            return Accepted(str(venue_id))

        return self._sent(send, outcome_of)

    def cancel(self, symbol: str, client_id: str) -> Outcome:
        """Take an order back; Accepted also if it was already gone."""

        def send() -> Outcome:
            params = {self._quirks.cancel_id_param: client_id}
            self._client.cancel_order(None, symbol, params)
            return Accepted()

        return self._sent(send, cancel_outcome_of)

    def find(self, symbol: str, client_id: str) -> VenueOrder | None:
        """Look an order up, open or closed; None only when the venue says that it lacks it."""
        try:
            raw = self._find_raw(symbol, client_id)
            return None if raw is None else self._venue_order(raw)
        except DomainError:
            raise
        except Exception as error:
            if is_absent(error, self._quirks):
                return None
            raise read_error(error, self._quirks) from error

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        """List what stands at the venue."""
        return self._read(lambda: [self._venue_order(raw) for raw in self._open_rows(symbol)])

    def fills_since(self, symbol: str, cursor: str) -> FillPage:
        """List fills after a cursor and some before it; an empty cursor reaches back a day."""
        now = self._now_ms()
        start = int(cursor) - OVERLAP_MS if cursor else now - FIRST_LOOK_MS
        rows: dict[str, Any] = {}
        while start <= now:
            end = min(start + self._quirks.fills_window_ms - 1, now)
            rows |= {str(raw["id"]): raw for raw in self._fills_between(symbol, start, end)}
            start = end + 1
        fills = self._read(lambda: [self._fill(symbol, raw) for raw in rows.values()])
        return FillPage(tuple(sorted(fills, key=lambda fill: (fill.time, fill.trade_id))), str(now))

    def balances(self) -> Mapping[str, Balance]:
        """Return free and locked money by currency, without currencies of which there is none."""
        answer = self._read(self._client.fetch_balance)
        balances = {}
        for currency in answer.get("total") or {}:
            part = answer[currency]
            total, free, used = (_decimal(part.get(name)) for name in ("total", "free", "used"))
            total = total if total is not None else (free or ZERO) + (used or ZERO)
            free = free if free is not None else total - (used or ZERO)
            if total:
                balances[currency] = Balance(free, total - free)
        return balances

    def market(self, symbol: str) -> Market:
        """Return a pair's rules and the account's fees on it."""
        raw = self._read(lambda: self._client.market(symbol))
        market = to_market(raw, self._quirks)
        return replace(
            market,
            maker_fee=market.maker_fee if self._maker_fee is None else self._maker_fee,
            taker_fee=market.taker_fee if self._taker_fee is None else self._taker_fee,
        )

    # --- calls --------------------------------------------------------------------------------

    def _sent(self, send: Callable[[], Outcome], judge: Callable[..., Outcome]) -> Outcome:
        """Run a sending; whatever goes wrong is judged by whether anything may have left us."""
        before = self._client.writes_sent
        try:
            return send()
        except Exception as error:  # noqa: BLE001 - the library raises all kinds
            return judge(error, self._quirks, sent=self._client.writes_sent != before)

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except DomainError:
            raise
        except Exception as error:
            raise read_error(error, self._quirks) from error

    def _find_raw(self, symbol: str, client_id: str) -> Any:
        parameter = self._quirks.find_in_lists_by
        if parameter is None:
            return self._client.fetch_order(None, symbol, {"clientOrderId": client_id})
        for look in (self._client.fetch_open_orders, self._client.fetch_closed_orders,
                     self._client.fetch_canceled_orders):  # fmt: skip
            for raw in look(symbol, None, None, {parameter: client_id}):
                if raw.get("clientOrderId") == client_id:
                    return raw
        return None

    def _open_rows(self, symbol: str) -> Iterable[Any]:
        quirks = self._quirks
        found: dict[str, Any] = {}
        params: dict[str, Any] = {}
        while True:
            rows = self._client.fetch_open_orders(symbol, None, quirks.open_orders_page, params)
            fresh = [raw for raw in rows if str(raw["id"]) not in found]
            found |= {str(raw["id"]): raw for raw in fresh}
            full = quirks.open_orders_page is not None and len(rows) >= quirks.open_orders_page
            if not (full and fresh):
                return found.values()
            if quirks.page_field is None:
                mark = min(fresh, key=lambda raw: raw["timestamp"])["id"]
            else:
                # The library hangs it on one of the rows.
                marks = (raw["info"].get(quirks.page_field) for raw in rows)
                mark = next((one for one in marks if one), None)
            if not mark:
                return found.values()
            params = {quirks.page_param: mark}

    def _fills_between(self, symbol: str, start: int, end: int) -> list[Any]:
        """Read all fills of a span; a full page may hide some, so its halves are read again."""
        page = self._quirks.fills_page
        rows = self._read(lambda: self._client.fetch_my_trades(symbol, start, page, {"until": end}))
        rows = [raw for raw in rows if start <= raw["timestamp"] <= end]
        if len(rows) < page:
            return rows
        if start == end:
            raise Unavailable("exchange_failed", exchange=self._quirks.code)
        middle = (start + end) // 2
        return self._fills_between(symbol, start, middle) + self._fills_between(
            symbol, middle + 1, end
        )

    # --- what the exchange says ---------------------------------------------------------------

    def _venue_order(self, raw: Mapping[str, Any]) -> VenueOrder:
        kind = OrderKind.MARKET if raw.get("type") == "market" else OrderKind.LIMIT
        quantity, filled = _needed(raw.get("amount"), self._quirks), _decimal(raw.get("filled"))
        filled = filled or ZERO
        client_id = raw.get("clientOrderId") or ""
        if not raw.get("id"):
            raise Unavailable("exchange_failed", exchange=self._quirks.code)
        venue_id = str(raw["id"])
        if client_id:
            self._remember(venue_id, client_id)
        return VenueOrder(
            client_id=client_id,
            symbol=raw["symbol"],
            side=Side(raw["side"]),
            kind=kind,
            price=None if kind is OrderKind.MARKET else _decimal(raw.get("price")),
            quantity=quantity,
            filled=filled,
            status=_status(raw.get("status"), quantity, filled),
            venue_id=venue_id,
            time=_time(raw.get("timestamp")),
        )

    def _fill(self, symbol: str, raw: Mapping[str, Any]) -> Fill:
        fee, currency = _fee(raw)
        return Fill(
            trade_id=str(raw["id"]),
            client_id=self._client_id_of(symbol, raw),
            side=Side(raw["side"]),
            price=_needed(raw.get("price"), self._quirks),
            quantity=_needed(raw.get("amount"), self._quirks),
            fee=fee,
            fee_currency=currency or self._client.market(symbol)["quote"],
            time=_at(raw["timestamp"]),
            maker=raw.get("takerOrMaker") == "maker",
        )

    def _client_id_of(self, symbol: str, raw: Mapping[str, Any]) -> str:
        name = self._quirks.fill_client_id
        if name is not None:
            return str(raw["info"].get(name) or "")
        venue_id = str(raw["order"])
        known = self._client_ids.get(venue_id)
        if known is None:
            order = self._read(lambda: self._client.fetch_order(venue_id, symbol))
            known = str(order.get("clientOrderId") or "")
            self._remember(venue_id, known)
        return known

    def _remember(self, venue_id: str, client_id: str) -> None:
        self._client_ids[venue_id] = client_id
        if len(self._client_ids) > REMEMBERED_IDS:
            self._client_ids.popitem(last=False)


def to_market(raw: Mapping[str, Any], quirks: Quirks) -> Market:
    """Turn the library's market into ours; a linear contract counts in its contract size."""
    spot = bool(raw.get("spot"))
    limits = raw.get("limits") or {}
    in_received = spot and quirks.fee_in_received_asset
    return Market(
        symbol=raw["symbol"],
        base=raw["base"],
        quote=raw["quote"],
        kind=MarketKind.SPOT if spot else MarketKind.LINEAR,
        tick=_decimal(raw["precision"].get("price")),
        lot=_decimal(raw["precision"].get("amount")),
        min_quantity=_decimal((limits.get("amount") or {}).get("min")),
        min_notional=_decimal((limits.get("cost") or {}).get("min")),
        maker_fee=_decimal(raw.get("maker")) or ZERO,
        taker_fee=_decimal(raw.get("taker")) or ZERO,
        fee_side=FeeSide.RECEIVED_ASSET if in_received else FeeSide.QUOTE,
    )


def _status(name: str | None, quantity: Decimal, filled: Decimal) -> Status:
    status = _STATUS.get(name or "", Status.OPEN)
    if status is Status.OPEN and filled > 0:
        return Status.PARTIAL
    if status is Status.FILLED and filled < quantity:
        # Ended with a part unfilled: nothing more is expected of it.
        return Status.CANCELLED
    if status is Status.CANCELLED and quantity and filled >= quantity:
        return Status.FILLED
    return status


def _fee(raw: Mapping[str, Any]) -> tuple[Decimal, str]:
    fees: Iterable[Mapping[str, Any]] = [raw["fee"]] if raw.get("fee") else raw.get("fees") or []
    for fee in fees:
        cost = _decimal(fee.get("cost"))
        if cost is not None and fee.get("currency"):
            return cost, str(fee["currency"])
    return ZERO, ""


def _needed(value: Any, quirks: Quirks) -> Decimal:
    found = _decimal(value)
    if found is None:
        raise Unavailable("exchange_failed", exchange=quirks.code)
    return found


def _decimal(value: Any) -> Decimal | None:
    if value is None or value == "":
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _time(value: Any) -> datetime | None:
    return None if value is None else _at(value)


def _at(value: Any) -> datetime:
    return datetime.fromtimestamp(int(value) / 1000, UTC)
