"""Reading what stands and what was filled: page by page, all pairs at once where allowed."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from app.adapters.exchanges.quirks import Quirks
from app.adapters.exchanges.reading import to_fill, to_order, turn_of
from app.trading.market import MarketKind
from app.trading.orders import Fill, OrderKind
from app.trading.ports import VenueOrder

log = logging.getLogger(__name__)

REMEMBERED_IDS = 5000
Found = dict[str, tuple[VenueOrder, ...]]


class Reader:
    """Reads orders and fills of one account; raises whatever the library raises."""

    def __init__(self, client: Any, quirks: Quirks, partner_prefix: str = "") -> None:
        self.client = client
        self._quirks = quirks
        self._prefix = partner_prefix
        # By pair and id of theirs, for some exchanges count the orders of each pair for itself.
        self._client_ids: OrderedDict[tuple[str, str], str] = OrderedDict()
        # Stop orders have to be cancelled another way at some exchanges.
        self._stops: OrderedDict[str, None] = OrderedDict()

    def sent_id(self, client_id: str) -> str:
        """Return the client id as the exchange gets it."""
        return self._prefix + client_id

    def own_id(self, sent: Any) -> str:
        """Return our client id from what the exchange tells."""
        return str(sent or "").removeprefix(self._prefix)

    def order(self, raw: Mapping[str, Any]) -> VenueOrder:
        """Read one order."""
        order = to_order(raw, self.own_id(raw.get("clientOrderId")), self._quirks)
        if order.kind is OrderKind.STOP:
            self.remember_stop(order.client_id)
        if order.client_id and order.venue_id:
            self.remember(order.symbol, order.venue_id, order.client_id)
        return order

    def remember(self, symbol: str, venue_id: str, client_id: str) -> None:
        """Keep which order of ours has this id of theirs: their fills name only the latter."""
        self._client_ids[symbol, venue_id] = client_id
        if len(self._client_ids) > REMEMBERED_IDS:
            self._client_ids.popitem(last=False)

    def remember_stop(self, client_id: str) -> None:
        """Keep that this order is a stop."""
        self._stops[client_id] = None
        if len(self._stops) > REMEMBERED_IDS:
            self._stops.popitem(last=False)

    def is_stop(self, client_id: str) -> bool:
        """Say whether this order is known to be a stop."""
        return client_id in self._stops

    # --- open orders --------------------------------------------------------------------------

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        """Read what stands in one pair."""
        return [self.order(raw) for raw in self._open_rows(symbol, {})]

    def all_open_orders(self, symbols: Iterable[str]) -> Found:
        """Read what stands in these pairs, and in any other that the same calls tell."""
        if not self._quirks.all_open_orders:
            return {
                symbol: tuple(self.open_orders(symbol)) if self.lists(symbol) else ()
                for symbol in symbols
            }
        found: dict[str, list[VenueOrder]] = {symbol: [] for symbol in symbols}
        for kind in self._kinds(found):
            params = self._quirks.kind_params.get(kind, {})
            for raw in self._open_rows(None, params):
                market = self._market_of(raw["info"], kind)
                order = self.order(self.client.parse_order(raw["info"], market))
                found.setdefault(order.symbol, []).append(order)
        return {symbol: tuple(orders) for symbol, orders in found.items()}

    def _open_rows(self, symbol: str | None, params: Mapping[str, Any]) -> Iterable[Any]:
        quirks = self._quirks
        page = quirks.open_orders_page

        def ask(paging: Mapping[str, Any]) -> list[Any]:
            rows: list[Any] = self.client.fetch_open_orders(
                symbol, None, page, {**params, **paging}
            )
            return rows

        return _paged(ask, page, quirks.page_param, quirks.page_field)

    # --- fills --------------------------------------------------------------------------------

    def fills(self, symbols: Iterable[str], start: int, end: int) -> list[tuple[str, Fill]]:
        """Read all fills of a span in these pairs, oldest first, each with its pair."""
        wanted = set(symbols)
        rows: dict[tuple[str, str], tuple[str, Any]] = {}
        begin = start
        while begin <= end:
            until = min(begin + self._quirks.fills_window_ms - 1, end)
            for symbol, raw in self._window(wanted, begin, until):
                rows[symbol, str(raw["id"])] = (symbol, raw)
            begin = until + 1
        fills = [(symbol, self.fill(symbol, raw)) for symbol, raw in rows.values()]
        return sorted(fills, key=lambda one: turn_of(one[1]))

    def rows_of(
        self, symbol: str, start: int, end: int, params: Mapping[str, Any]
    ) -> Iterable[Any]:
        """Read the raw fills of one pair that these parameters pick out."""
        begin = start
        while begin <= end:
            until = min(begin + self._quirks.fills_window_ms - 1, end)
            yield from self._span(symbol, begin, until, params)
            begin = until + 1

    def fill(self, symbol: str, raw: Mapping[str, Any]) -> Fill:
        """Read one fill, looking its order up if it does not name the client id.

        One by which the exchange closed a position is told as such: nobody ordered it.
        """
        quote = self.client.market(symbol)["quote"]
        return to_fill(raw, self._client_id_of(symbol, raw), quote, self._quirks)

    def _window(self, symbols: set[str], start: int, end: int) -> Iterable[tuple[str, Any]]:
        if not self._quirks.all_fills:
            for symbol in sorted(filter(self.lists, symbols)):
                for raw in self._span(symbol, start, end, {}):
                    yield symbol, raw
            return
        for kind in self._kinds(symbols):
            params = dict(self._quirks.kind_params.get(kind, {}))
            if kind is not MarketKind.SPOT:
                params |= self._quirks.contract_fills_params
            for raw in self._span(None, start, end, params):
                market = self._market_of(raw["info"], kind)
                if market["symbol"] in symbols and self._is_fill(raw["info"]):
                    yield market["symbol"], self.client.parse_trade(raw["info"], market)

    def _span(
        self, symbol: str | None, start: int, end: int, params: Mapping[str, Any]
    ) -> list[Any]:
        """Read all fills of a span; a full page may hide some, so its halves are read again."""
        page = self._quirks.fills_page

        def ask(paging: Mapping[str, Any]) -> list[Any]:
            given = {**params, "until": end, **paging}
            rows = self.client.fetch_my_trades(symbol, start, page, given)
            return [raw for raw in rows if start <= raw["timestamp"] <= end]

        rows = ask({})
        if len(rows) < page:
            return rows
        if start == end:
            # One order may meet more than a page of others in one millisecond.
            mark = self._quirks.fills_mark
            if mark is None:
                log.error("fills_hidden exchange=%s at=%s", self._quirks.code, start)
                return rows
            return _paged(ask, page, *mark)
        middle = (start + end) // 2
        return self._span(symbol, start, middle, params) + self._span(
            symbol, middle + 1, end, params
        )

    def _is_fill(self, info: Mapping[str, Any]) -> bool:
        told, kinds = self._quirks.fill_kinds
        return info.get(told) in {None, *kinds}

    def _client_id_of(self, symbol: str, raw: Mapping[str, Any]) -> str:
        told, kinds = self._quirks.fill_kinds
        forced = kinds.get(raw["info"].get(told))
        if forced:
            return forced
        name = self._quirks.fill_client_id
        if name is not None:
            return self.own_id(raw["info"].get(name))
        venue_id = str(raw["order"])
        known = self._client_ids.get((symbol, venue_id))
        if known is None:
            order = self.client.fetch_order(venue_id, symbol)
            known = self.own_id(order.get("clientOrderId"))
            self.remember(symbol, venue_id, known)
        return known

    # --- pairs --------------------------------------------------------------------------------

    def lists(self, symbol: str) -> bool:
        """Say whether the exchange has this pair; nothing of ours stands in one that it dropped."""
        return symbol in self.client.markets

    def _kinds(self, symbols: Iterable[str]) -> list[MarketKind]:
        """Return the kinds of these pairs; exchanges tell spot and contracts apart."""
        listed = (symbol for symbol in symbols if self.lists(symbol))
        spot = {bool(self.client.market(symbol)["spot"]) for symbol in listed}
        return [MarketKind.SPOT if one else MarketKind.LINEAR for one in sorted(spot, reverse=True)]

    def _market_of(self, row: Mapping[str, Any], kind: MarketKind) -> Any:
        # One id of theirs may stand for the coins and for a contract on them.
        name = str(row[self._quirks.symbol_field])
        wants_spot = kind is MarketKind.SPOT
        for market in self.client.markets_by_id.get(name, ()):
            if bool(market["spot"]) is wants_spot:
                return market
        return self.client.safe_market(name, None, None, "spot" if wants_spot else "swap")


def _paged(
    ask: Callable[[Mapping[str, Any]], list[Any]],
    page: int | None,
    parameter: str,
    mark_field: str | None,
) -> list[Any]:
    """Ask for page after page until one is not full or brings nothing new.

    The next one begins after a mark: what the raw rows hold in a field (of one of them, or the
    lowest number), or without a field the id of the oldest row.
    """
    found: dict[str, Any] = {}
    paging: dict[str, Any] = {}
    while True:
        rows = ask(paging)
        fresh = [raw for raw in rows if str(raw["id"]) not in found]
        found |= {str(raw["id"]): raw for raw in fresh}
        if not (page is not None and len(rows) >= page and fresh):
            return list(found.values())
        if mark_field is None:
            mark = min(fresh, key=lambda raw: raw["timestamp"])["id"]
        else:
            marks = (str(raw["info"].get(mark_field) or "") for raw in rows)
            mark = min((one for one in marks if one), key=lambda one: (len(one), one), default="")
        if not mark:
            return list(found.values())
        paging = {parameter: mark}


def stands_as(found: Found, expected: Mapping[str, Mapping[str, Decimal]], prefix: str) -> bool:
    """Say whether just the expected orders of ours stand, filled just so far."""
    for symbol in {*found, *expected}:
        ours = {
            order.client_id: order.filled
            for order in found.get(symbol, ())
            if order.client_id.startswith(prefix)
        }
        if ours != dict(expected.get(symbol, {})):
            return False
    return True
