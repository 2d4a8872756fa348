"""Bybit's v5 interface over the books: who asks, what is asked, and how it is told."""

import hashlib
import hmac
import json
import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from tests.doubles.bybit.account import Customer
from tests.doubles.bybit.rows import Execution, Position, VenueOrder
from tests.doubles.bybit.venue import UNORDERED, Refusal, Venue

LONGEST_SPAN_MS = 7 * 86_400_000
FUTURE_MS = 1000
HEDGED = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What came over the wire."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """Return the key that asks, if any."""
        return self.headers.get("x-bapi-api-key", "")

    def values(self) -> dict[str, Any]:
        """Return what is asked."""
        if self.method == "POST":
            try:
                values = json.loads(self.body or "{}")
            except ValueError:
                raise Refusal(10001, "params error: no json") from None
            if not isinstance(values, dict):
                raise Refusal(10001, "params error: no object")
            return values
        return dict(parse_qsl(self.query, keep_blank_values=True))


Answer = dict[str, Any]
Handler = Callable[[Venue, Customer, dict[str, Any]], Answer]
PublicHandler = Callable[[Venue, dict[str, Any]], Answer]


def answer(venue: Venue, request: Request) -> Answer:
    """Do what is asked and return the body of the answer."""
    try:
        result = _result(venue, request)
    except Refusal as refusal:
        return refused(venue, refusal.code, refusal.message)
    return _envelope(venue, 0, "OK", result)


def refused(venue: Venue, code: int, message: str) -> Answer:
    """Return the body by which the exchange says no."""
    return _envelope(venue, code, message, {})


def _envelope(venue: Venue, code: int, message: str, result: Answer) -> Answer:
    return {
        "retCode": code,
        "retMsg": message,
        "result": result,
        "retExtInfo": {},
        "time": venue.now(),
    }


def _result(venue: Venue, request: Request) -> Answer:
    public = _PUBLIC.get((request.method, request.path))
    if public is not None:
        return public(venue, request.values())
    private = _PRIVATE.get((request.method, request.path))
    if private is None:
        raise Refusal(10017, "route not found")
    customer = _customer(venue, request)
    with venue.lock:
        return private(venue, customer, request.values())


def _customer(venue: Venue, request: Request) -> Customer:
    headers = request.headers
    customer = venue.customers.get(request.account)
    if customer is None:
        raise Refusal(10003, "API key is invalid.")
    try:
        at = int(headers["x-bapi-timestamp"])
        window = int(headers.get("x-bapi-recv-window", "5000"))
    except (KeyError, ValueError):
        raise Refusal(10001, "timestamp error") from None
    now = venue.now()
    if not now - window <= at < now + FUTURE_MS:
        raise Refusal(
            10002,
            "invalid request, please check your server timestamp or recv_window param."
            f" req_timestamp[{at}],server_timestamp[{now}],recv_window[{window}]",
        )
    told = request.body if request.method == "POST" else request.query
    signed = f"{at}{customer.key}{window}{told}".encode()
    right = hmac.new(customer.secret.encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right, headers.get("x-bapi-sign", "")):
        raise Refusal(10004, "error sign! please check your signature generation algorithm.")
    return customer


# --- for everybody --------------------------------------------------------------------------------


def _time(venue: Venue, asked: dict[str, Any]) -> Answer:
    now = venue.now()
    return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}


def _instruments(venue: Venue, asked: dict[str, Any]) -> Answer:
    category, symbol = asked.get("category", ""), asked.get("symbol")
    pairs = [
        pair.told()
        for pair in venue.instruments.values()
        if pair.listed and pair.category == category and symbol in (None, pair.symbol)
    ]
    if asked.get("status", "Trading") != "Trading":
        pairs = []
    return {"category": category, "list": pairs, "nextPageCursor": ""}


def _tickers(venue: Venue, asked: dict[str, Any]) -> Answer:
    category, symbol = asked.get("category", ""), asked.get("symbol")
    rows = []
    for (kind, name), price in venue.prices.items():
        if kind != category or symbol not in (None, name):
            continue
        step = venue.instruments[kind, name].tick
        rows.append(
            {
                "symbol": name,
                "lastPrice": _text(price),
                "markPrice": _text(price),
                "indexPrice": _text(price),
                "bid1Price": _text(price - step),
                "bid1Size": "10",
                "ask1Price": _text(price + step),
                "ask1Size": "10",
                "prevPrice24h": _text(price),
                "price24hPcnt": "0",
                "highPrice24h": _text(price),
                "lowPrice24h": _text(price),
                "turnover24h": "1000000",
                "volume24h": "1000",
            }
        )
    return {"category": category, "list": rows}


def _book(venue: Venue, asked: dict[str, Any]) -> Answer:
    key = asked.get("category", ""), asked.get("symbol", "")
    price = venue.prices.get(key)
    if price is None:
        raise Refusal(10001, "params error: symbol invalid")
    step, depth = venue.instruments[key].tick, min(int(asked.get("limit") or 25), 200)
    steps = [step * number for number in range(1, depth + 1)]
    return {
        "s": key[1],
        "b": [[_text(price - one), "10"] for one in steps if price > one],
        "a": [[_text(price + one), "10"] for one in steps],
        "ts": venue.now(),
        "u": 1,
        "seq": 1,
        "cts": venue.now(),
    }


def _candles(venue: Venue, asked: dict[str, Any]) -> Answer:
    key = asked.get("category", ""), asked.get("symbol", "")
    price = venue.prices.get(key)
    rows = []
    if price is not None:
        start = venue.now() // 60_000 * 60_000
        rows = [[str(start), *[_text(price)] * 4, "0", "0"]]
    return {"category": key[0], "symbol": key[1], "list": rows}


# --- for a customer -------------------------------------------------------------------------------


def _rights(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    return {
        "id": "1",
        "note": "",
        "apiKey": customer.key,
        "readOnly": 0 if customer.can_trade else 1,
        "permissions": {
            "ContractTrade": ["Order", "Position"] if customer.can_trade else [],
            "Spot": ["SpotTrade"] if customer.can_trade else [],
            "Wallet": ["Withdraw"] if customer.can_withdraw else [],
            "Derivatives": ["DerivativesTrade"],
        },
        "ips": list(customer.addresses) or ["*"],
        "type": 1,
        "deadlineDay": -2,
        "expiredAt": "1970-01-01T00:00:00Z",
        "createdAt": "2025-10-13T03:20:45Z",
        "unified": 0,
        "uta": 1,
        "userID": zlib.crc32(customer.key.encode()),
        "isMaster": True,
    }


def _account_info(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    return {
        "marginMode": customer.margin_mode,
        "updatedTime": "1697078946000",
        "unifiedMarginStatus": 6,
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def _wallet(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    if asked.get("accountType") != "UNIFIED":
        raise Refusal(10001, "accountType only support UNIFIED.")
    coins = [
        {
            "coin": coin,
            "walletBalance": _text(amount),
            "equity": _text(amount),
            "locked": _text(customer.locked(coin, venue.instruments)),
            "availableToWithdraw": "",
            "totalOrderIM": "0",
            "totalPositionIM": "0",
            "unrealisedPnl": "0",
            "borrowAmount": "0",
            "spotBorrow": "0",
            "usdValue": "0",
        }
        for coin, amount in customer.wallet.items()
    ]
    return {"list": [{"accountType": "UNIFIED", "coin": coins, "totalEquity": ""}]}


def _fees(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    category, symbol = asked.get("category", ""), asked.get("symbol")
    rows = [
        {
            "symbol": pair.symbol,
            "makerFeeRate": _text(pair.maker_fee),
            "takerFeeRate": _text(pair.taker_fee),
        }
        for pair in venue.instruments.values()
        if pair.category == category and symbol in (None, pair.symbol)
    ]
    return {"category": category, "list": rows}


def _create(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    if asked.get("category") == "spot" and asked.get("orderType") == "Market":
        by_quote = asked.get("marketUnit", "quoteCoin" if asked.get("side") == "Buy" else "")
        if by_quote == "quoteCoin":
            raise Refusal(170130, "Data sent for parameter marketUnit is not valid.")
    order = venue.create(customer, asked)
    return {"orderId": order.order_id, "orderLinkId": order.link_id}


def _cancel(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    order = customer.find(str(asked.get("orderId") or ""), str(asked.get("orderLinkId") or ""))
    if order is not None and asked.get("orderFilter", order.order_filter) != order.order_filter:
        order = None
    if not customer.can_trade:
        raise Refusal(10005, "Permission denied, please check your API key permissions.")
    order = venue.cancel(customer, order)
    return {"orderId": order.order_id, "orderLinkId": order.link_id}


def _cancel_all(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    rows = []
    for order in _of(asked, customer.open_orders()):
        if asked.get("orderFilter", "Order") == order.order_filter:
            venue.cancel(customer, order)
            rows.append({"orderId": order.order_id, "orderLinkId": order.link_id})
    return {"list": rows, "success": "1"}


def _realtime(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    wanted = customer.open_orders()
    if str(asked.get("openOnly") or "0") == "1":
        wanted = [order for order in customer.orders.values() if not order.is_open][-500:]
    return _orders(venue, asked, wanted)


def _history(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    order_id, link_id = str(asked.get("orderId") or ""), str(asked.get("orderLinkId") or "")
    pool: Iterable[VenueOrder] = customer.orders.values()
    if order_id:
        pool = [customer.orders[order_id]] if order_id in customer.orders else []
    elif link_id:
        pool = customer.by_link.get(link_id, [])
    return _orders(venue, asked, [order for order in pool if not order.is_open])


def _orders(venue: Venue, asked: dict[str, Any], pool: list[VenueOrder]) -> Answer:
    now = venue.now()
    rows = [order for order in _of(asked, pool) if order.shown_from <= now]
    rows.sort(key=lambda order: -order.number)
    page, cursor = _page(rows, asked, 20, 50)
    told = [_order(order) for order in page]
    return {"category": asked.get("category"), "list": told, "nextPageCursor": cursor}


def _of(asked: dict[str, Any], pool: Iterable[VenueOrder]) -> list[VenueOrder]:
    if "category" not in asked:
        raise Refusal(10001, "params error: category is missing")
    order_id, link_id = asked.get("orderId"), asked.get("orderLinkId")
    symbol, kind = asked.get("symbol"), asked.get("orderFilter")
    return [
        order
        for order in pool
        if order.category == asked["category"]
        and symbol in (None, order.symbol)
        and order_id in (None, order.order_id)
        and link_id in (None, order.link_id)
        and kind in (None, order.order_filter)
    ]


def _executions(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    now = venue.now()
    start, end = _span(asked, now)
    symbol, order_id, link_id = (asked.get(n) for n in ("symbol", "orderId", "orderLinkId"))
    kind = asked.get("execType")
    rows: list[Execution] = []
    for row in reversed(customer.executions):
        if row.time < start:
            break
        if (
            row.time <= end
            and row.shown_from <= now
            and row.category == asked.get("category")
            and symbol in (None, row.symbol)
            and order_id in (None, row.order_id)
            and link_id in (None, row.link_id)
            and kind in (None, row.kind)
        ):
            rows.append(row)
    page, cursor = _page(rows, asked, 50, 100)
    told = [_execution(row) for row in page]
    if venue.habits.unordered:
        before = list(told)
        random.Random(now).shuffle(told)
        if told != before:
            venue.count(UNORDERED)
    return {"category": asked.get("category"), "list": told, "nextPageCursor": cursor}


def _span(asked: dict[str, Any], now: int) -> tuple[int, int]:
    start, end = asked.get("startTime"), asked.get("endTime")
    if start is None and end is None:
        if asked.get("orderId") or asked.get("orderLinkId"):
            return 0, now
        return now - LONGEST_SPAN_MS, now
    first = int(start) if start is not None else int(end or 0) - LONGEST_SPAN_MS
    last = int(end) if end is not None else first + LONGEST_SPAN_MS
    if last - first > LONGEST_SPAN_MS or first > last:
        raise Refusal(10001, "The time range between startTime and endTime cannot exceed 7 days.")
    return first, last


def _page(rows: list[Any], asked: dict[str, Any], usual: int, most: int) -> tuple[list[Any], str]:
    """Cut a page out of rows that stand newest first; a cursor names the last row that was told."""
    limit = int(asked.get("limit") or usual)
    if not 1 <= limit <= most:
        raise Refusal(10001, f"limit must be between 1 and {most}")
    after = asked.get("cursor")
    if after:
        try:
            mark = int(after)
        except ValueError:
            raise Refusal(10001, "invalid cursor") from None
        rows = [row for row in rows if row.number < mark]
    page = rows[:limit]
    return page, str(page[-1].number) if len(page) == limit else ""


def _positions(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    symbol = asked.get("symbol")
    if symbol is not None:
        # Asked by name, a contract has rows even without a position.
        found = [venue.position(customer, symbol)]
    else:
        coin = asked.get("settleCoin")
        found = [
            position
            for position in customer.positions.values()
            if position.size and venue.instruments["linear", position.symbol].quote == coin
        ]
    rows = [row for position in found for row in _position(venue, customer, position)]
    return {"category": "linear", "list": rows, "nextPageCursor": ""}


def _position(venue: Venue, customer: Customer, position: Position) -> list[Answer]:
    size, cost = position.size, position.cost
    price = venue.prices.get(("linear", position.symbol), position.entry)
    row = {
        "positionIdx": 0,
        "symbol": position.symbol,
        "side": "" if size == 0 else "Buy" if size > 0 else "Sell",
        "size": _text(abs(size)),
        "avgPrice": _text(position.entry),
        "positionValue": _text(cost),
        "leverage": _text(position.leverage),
        "markPrice": _text(price),
        "unrealisedPnl": _text(size * price - position.signed_cost),
        "positionStatus": "Normal",
        "tradeMode": 1 if customer.margin_mode == "ISOLATED_MARGIN" else 0,
        "liqPrice": "",
        "positionIM": _text(cost / position.leverage),
        "positionMM": "0",
        "createdTime": "1676538056258",
        "updatedTime": str(venue.now()),
        "category": "linear",
    }
    if position.symbol not in customer.hedged:
        return [row]
    flat = {**row, "side": "", "size": "0", "avgPrice": "0", "positionValue": "0"}
    long, short = (row, flat) if size >= 0 else (flat, row)
    return [{**long, "positionIdx": 1}, {**short, "positionIdx": 2}]


def _margin_mode(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    venue.set_margin_mode(customer, str(asked.get("setMarginMode")))
    return {"reasons": []}


def _switch_mode(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    venue.switch_mode(customer, str(asked.get("symbol")), int(asked.get("mode") or 0) == HEDGED)
    return {}


def _leverage(venue: Venue, customer: Customer, asked: dict[str, Any]) -> Answer:
    venue.set_leverage(customer, asked["symbol"], Decimal(asked["buyLeverage"]))
    return {}


def _order(order: VenueOrder) -> Answer:
    average = _text(order.value / order.filled) if order.filled else ""
    return {
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "symbol": order.symbol,
        "side": order.side,
        "orderType": order.kind,
        "price": _text(order.price),
        "qty": _text(order.quantity),
        "orderStatus": order.status,
        "cumExecQty": _text(order.filled),
        "cumExecValue": _text(order.value),
        "cumExecFee": _text(order.fee),
        "avgPrice": average,
        "leavesQty": _text(order.left) if order.is_open else "0",
        "timeInForce": order.time_in_force,
        "marketUnit": "baseCoin" if order.kind == "Market" else "",
        "rejectReason": order.reject_reason,
        "reduceOnly": order.reduce_only,
        "triggerPrice": _text(order.trigger_price) if order.trigger_price else "",
        "triggerDirection": order.trigger_direction,
        "stopOrderType": "Stop" if order.order_filter == "StopOrder" else "",
        "isLeverage": "0",
        "positionIdx": 0,
        "createdTime": str(order.created),
        "updatedTime": str(order.updated),
    }


def _execution(row: Execution) -> Answer:
    told = {
        "execId": row.exec_id,
        "orderId": row.order_id,
        "orderLinkId": row.link_id,
        "symbol": row.symbol,
        "side": row.side,
        "execPrice": _text(row.price),
        "execQty": _text(row.quantity),
        "execValue": _text(row.price * row.quantity),
        "execFee": _text(row.fee),
        "feeRate": "",
        "execType": row.kind,
        "execTime": str(row.time),
        "orderType": row.order_kind if row.kind == "Trade" else "UNKNOWN",
        "isMaker": row.maker,
        "leavesQty": "0",
    }
    if row.category == "spot":
        told["feeCurrency"] = row.fee_currency
    return told


def _text(number: Decimal) -> str:
    return format(number, "f")


_PUBLIC: dict[tuple[str, str], PublicHandler] = {
    ("GET", "/v5/market/time"): _time,
    ("GET", "/v5/market/instruments-info"): _instruments,
    ("GET", "/v5/market/tickers"): _tickers,
    ("GET", "/v5/market/orderbook"): _book,
    ("GET", "/v5/market/kline"): _candles,
}
_PRIVATE: dict[tuple[str, str], Handler] = {
    ("GET", "/v5/user/query-api"): _rights,
    ("GET", "/v5/account/info"): _account_info,
    ("GET", "/v5/account/wallet-balance"): _wallet,
    ("GET", "/v5/account/fee-rate"): _fees,
    ("POST", "/v5/order/create"): _create,
    ("POST", "/v5/order/cancel"): _cancel,
    ("POST", "/v5/order/cancel-all"): _cancel_all,
    ("GET", "/v5/order/realtime"): _realtime,
    ("GET", "/v5/order/history"): _history,
    ("GET", "/v5/execution/list"): _executions,
    ("GET", "/v5/position/list"): _positions,
    ("POST", "/v5/position/set-leverage"): _leverage,
    ("POST", "/v5/position/switch-mode"): _switch_mode,
    ("POST", "/v5/account/set-margin-mode"): _margin_mode,
}
