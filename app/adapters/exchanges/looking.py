"""Reading what stands and what was filled: page by page, all pairs at once where allowed."""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from time import monotonic
from typing import Any

import ccxt

from app.adapters.exchanges.quirks import Quirks
from app.adapters.exchanges.reading import Held, to_fill, to_order, to_position, turn_of
from app.trading.market import MarketKind
from app.trading.orders import Fill, OrderKind
from app.trading.ports import VenueOrder

log = logging.getLogger(__name__)

REMEMBERED_IDS = 5000
# A list of orders weighs as much as some look-ups of one: so many of them at least it replaces.
WORTH_A_LIST = 6
# Lists are told for a day; orders may have stood a while before they were filled.
LISTED_MS = 24 * 3_600_000 - 1
STOOD_MS = 10 * 60_000
# So many rows of positions the library asks for.
POSITIONS_PAGE = 200
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

    def fills(
        self, symbols: Iterable[str], start: int, end: int, seconds: int | None = None
    ) -> tuple[list[tuple[str, Fill]], int]:
        """Read fills of a span in these pairs, oldest first, each with its pair.

        Return up to which moment they are all: the end of the span, or an earlier one where there
        are more than can be read in `seconds`. At least a part is always read.
        """
        deadline = None if seconds is None else monotonic() + seconds
        found: dict[tuple[str, str], tuple[str, Fill]] = {}
        until = start - 1
        for rows, last in self._spans(set(symbols), start, end):
            self._learn_orders(rows)
            for symbol, raw in sorted(rows, key=_moment):
                if _is_over(deadline) and raw["timestamp"] - 1 > max(until, start):
                    return _in_turn(found), raw["timestamp"] - 1
                found[symbol, str(raw["id"])] = symbol, self.fill(symbol, raw)
            until = last
            if _is_over(deadline):
                break
        return _in_turn(found), until

    def _spans(
        self, symbols: set[str], start: int, end: int
    ) -> Iterator[tuple[list[tuple[str, Any]], int]]:
        """Read raw fills in parts of the span, oldest part first; each with its last moment."""
        length = self._quirks.fills_window_ms
        waiting = [
            (begin, min(begin + length - 1, end)) for begin in range(start, end + 1, length)
        ][::-1]
        known: _Known = {}
        while waiting:
            begin, until = waiting.pop()
            rows = self._window(symbols, begin, until, known)
            if rows is None:
                middle = (begin + until) // 2
                waiting += [(middle + 1, until), (begin, middle)]
            else:
                yield rows, until

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
        quote = symbol.partition("/")[2].partition(":")[0]
        return to_fill(raw, self._client_id_of(symbol, raw), quote, self._quirks)

    def _learn_orders(self, rows: Iterable[tuple[str, Any]]) -> None:
        """Ask for the orders of many fills together that would be looked up one by one."""
        unknown: dict[str, dict[str, int]] = defaultdict(dict)
        for symbol, raw in rows:
            if self._quirks.orders_list and (symbol, str(raw["order"])) not in self._client_ids:
                unknown[symbol][str(raw["order"])] = raw["timestamp"]
        for symbol, orders in unknown.items():
            if len(orders) >= WORTH_A_LIST and self.lists(symbol):
                self._learn_listed(symbol, orders)

    def _learn_listed(self, symbol: str, unknown: dict[str, int]) -> None:
        end = max(unknown.values())
        waiting = [(max(min(unknown.values()) - STOOD_MS, end - LISTED_MS), end)]
        while waiting and len(unknown) >= WORTH_A_LIST:
            begin, end = waiting.pop()
            listed, is_full = self._listed(symbol, begin, end)
            found = [raw for raw in listed if unknown.pop(str(raw["id"]), None) is not None]
            for raw in found:
                self.remember(symbol, str(raw["id"]), self.own_id(raw.get("clientOrderId")))
            if found and is_full:
                # Some exchanges tell the oldest first, others the newest.
                times = [raw["timestamp"] for raw in listed]
                halves = ((begin, min(times)), (max(times), end))
                waiting += [(since, until) for since, until in halves if since < until]

    def _listed(self, symbol: str, begin: int, end: int) -> tuple[list[Any], bool]:
        """Read a page of a pair's orders; whoever refuses the list is asked for each of them."""
        method, page, params = self._quirks.orders_list or ("", 0, {})
        try:
            rows = getattr(self.client, method)(symbol, begin, page, {**params, "until": end})
        except ccxt.ExchangeError as error:
            log.warning("orders_not_listed exchange=%s error=%s", self._quirks.code, error)
            return [], False
        return rows, len(rows) >= page

    def _window(
        self, symbols: set[str], start: int, end: int, known: "_Known"
    ) -> list[tuple[str, Any]] | None:
        """Read all fills of a span, or return None where a full page may hide some."""
        found: list[tuple[str, Any]] = []
        if not self._quirks.all_fills:
            for symbol in sorted(filter(self.lists, symbols)):
                rows = self._known_page(symbol, start, end, {}, known)
                if rows is None:
                    return None
                found += [(symbol, raw) for raw in rows]
            return found
        for kind in self._kinds(symbols, dropped=True):
            params = dict(self._quirks.kind_params.get(kind, {}))
            if kind is not MarketKind.SPOT:
                params |= self._quirks.contract_fills_params
            rows = self._known_page(None, start, end, params, known, kind)
            if rows is None:
                return None
            for raw in rows:
                market = self._market_of(raw["info"], kind, symbols)
                if market["symbol"] in symbols and self._is_fill(raw["info"]):
                    found.append((market["symbol"], self.client.parse_trade(raw["info"], market)))
        return found

    def _known_page(
        self,
        symbol: str | None,
        start: int,
        end: int,
        params: Mapping[str, Any],
        known: "_Known",
        kind: MarketKind | None = None,
    ) -> list[Any] | None:
        # What is whole for a longer span is not asked for again when another pair splits it.
        until, rows = known.get((symbol, kind), (start - 1, []))
        if until < end:
            page = self._page(symbol, start, end, params)
            if page is None:
                return None
            until, rows = known[symbol, kind] = end, page
        return [raw for raw in rows if start <= raw["timestamp"] <= end]

    def _span(
        self, symbol: str | None, start: int, end: int, params: Mapping[str, Any]
    ) -> list[Any]:
        """Read all fills of a span; a full page may hide some, so its halves are read again."""
        rows = self._page(symbol, start, end, params)
        if rows is not None:
            return rows
        middle = (start + end) // 2
        return self._span(symbol, start, middle, params) + self._span(
            symbol, middle + 1, end, params
        )

    def _page(
        self, symbol: str | None, start: int, end: int, params: Mapping[str, Any]
    ) -> list[Any] | None:
        """Read a page of fills; None where it is full, unless it is of one moment."""
        page = self._quirks.fills_page

        def ask(paging: Mapping[str, Any]) -> list[Any]:
            given = {**params, "until": end, **paging}
            rows = self.client.fetch_my_trades(symbol, start, page, given)
            return [raw for raw in rows if start <= raw["timestamp"] <= end]

        rows = ask({})
        if len(rows) < page:
            return rows
        if start < end:
            return None
        # One order may meet more than a page of others in one millisecond.
        mark = self._quirks.fills_mark
        if mark is None:
            log.error("fills_hidden exchange=%s at=%s", self._quirks.code, start)
            return rows
        return _paged(ask, page, *mark)

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

    # --- positions ----------------------------------------------------------------------------

    def positions(self) -> list[Held]:
        """Read the contracts that the account holds, whatever they are settled in."""
        found: list[Held] = []
        for coin in self._quirks.settle_coins:
            params = {**self._quirks.positions_params, "settleCoin": coin}
            while True:
                rows = self.client.fetch_positions(None, params)
                found += [to_position(raw, self._quirks) for raw in rows]
                cursor = rows[0]["info"].get(self._quirks.page_field) if rows else None
                if len(rows) < POSITIONS_PAGE or not cursor:
                    break
                params = {**params, self._quirks.page_param: cursor}
        return found

    def positions_in(self, symbol: str) -> tuple[Held, ...]:
        """Read the rows of one contract, empty ones too."""
        rows = self.client.fetch_positions([symbol])
        return tuple(to_position(raw, self._quirks) for raw in rows)

    # --- pairs --------------------------------------------------------------------------------

    def lists(self, symbol: str) -> bool:
        """Say whether the exchange has this pair; nothing of ours stands in one that it dropped."""
        return symbol in self.client.markets

    def _kinds(self, symbols: Iterable[str], *, dropped: bool = False) -> list[MarketKind]:
        """Return the kinds of these pairs; exchanges tell spot and contracts apart.

        Pairs that were `dropped` (or renamed) count if so wanted: their last fills are told still.
        """
        spot = {":" not in symbol for symbol in symbols if dropped or self.lists(symbol)}
        return [MarketKind.SPOT if one else MarketKind.LINEAR for one in sorted(spot, reverse=True)]

    def _market_of(
        self, row: Mapping[str, Any], kind: MarketKind, symbols: Iterable[str] = ()
    ) -> Any:
        # One id of theirs may stand for the coins and for a contract on them.
        name = str(row[self._quirks.symbol_field])
        wants_spot = kind is MarketKind.SPOT
        for market in self.client.markets_by_id.get(name, ()):
            if bool(market["spot"]) is wants_spot:
                return market
        for symbol in symbols:
            is_kind = (":" not in symbol) is wants_spot and not self.lists(symbol)
            if is_kind and _letters(symbol.partition(":")[0]) == _letters(name):
                return self._dropped_market(symbol, name)
        return self.client.safe_market(name, None, None, "spot" if wants_spot else "swap")

    def _dropped_market(self, symbol: str, name: str) -> Any:
        # As much as a fill is read by.
        pair, _, settle = symbol.partition(":")
        base, _, quote = pair.partition("/")
        return self.client.safe_market_structure(
            {
                "id": name, "symbol": symbol, "base": base, "quote": quote,
                "settle": settle or None, "type": "swap" if settle else "spot",
                "spot": not settle, "swap": bool(settle), "contract": bool(settle),
                "linear": bool(settle), "inverse": False,
            }
        )  # fmt: skip


# Rows by pair, or by kind of market, and up to which moment they are all.
_Known = dict[tuple[str | None, MarketKind | None], tuple[int, list[Any]]]


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).upper()


def _moment(row: tuple[str, Any]) -> int:
    return int(row[1]["timestamp"])


def _is_over(deadline: float | None) -> bool:  # time
    return deadline is not None and monotonic() > deadline


def _in_turn(found: Mapping[Any, tuple[str, Fill]]) -> list[tuple[str, Fill]]:
    return sorted(found.values(), key=lambda one: turn_of(one[1]))


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
