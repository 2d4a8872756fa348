"""What is made of what an exchange tells."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests

from app.adapters.exchanges.ccxt import LOOK_S, CcxtExchange
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.errors import KeyRefusedError
from app.adapters.exchanges.quirks import QUIRKS
from app.errors import Unavailable
from app.trading.market import FeeSide
from app.trading.orders import OrderKind, Side, Status
from app.trading.ports import Balance
from tests.adapters.exchanges.canned import (
    CLIENT_ID,
    KEYS,
    NOW_MS,
    Request,
    connect,
    exchange,
    spot_market,
)

NAMES = sorted(QUIRKS)


def bybit_order(**values: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "orderId": "77", "orderLinkId": CLIENT_ID, "side": "Buy",
        "orderType": "Limit", "price": "60000.1", "qty": "0.002", "cumExecQty": "0",
        "cumExecValue": "0", "leavesQty": "0.002", "orderStatus": "New", "timeInForce": "GTC",
        "createdTime": str(NOW_MS), "updatedTime": str(NOW_MS), "avgPrice": "", "marketUnit": "",
    } | values  # fmt: skip


def bybit(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": rows}}


ORDERS: dict[str, Any] = {
    "bybit": bybit([bybit_order(orderStatus="PartiallyFilled", cumExecQty="0.0005")]),
    "binance": {
        "symbol": "BTCUSDT", "orderId": 77, "clientOrderId": CLIENT_ID, "price": "60000.10",
        "origQty": "0.00200000", "executedQty": "0.00050000", "cummulativeQuoteQty": "30",
        "status": "PARTIALLY_FILLED", "timeInForce": "GTC", "type": "LIMIT", "side": "BUY",
        "time": NOW_MS, "updateTime": NOW_MS,
    },
    "okx": {"code": "0", "data": [{
        "instId": "BTC-USDT", "instType": "SPOT", "ordId": "77", "clOrdId": CLIENT_ID,
        "px": "60000.1", "sz": "0.002", "accFillSz": "0.0005", "avgPx": "60000", "side": "buy",
        "ordType": "limit", "state": "partially_filled", "cTime": str(NOW_MS), "tgtCcy": "",
        "uTime": str(NOW_MS), "fee": "0", "feeCcy": "BTC",
    }]},
    "kucoin": {"code": "200000", "data": {
        "id": "77", "clientOid": CLIENT_ID, "symbol": "BTC-USDT", "type": "limit", "side": "buy",
        "price": "60000.1", "size": "0.002", "dealSize": "0.0005", "dealFunds": "30",
        "active": True, "inOrderBook": True, "fee": "0", "feeCurrency": "USDT",
        "createdAt": NOW_MS, "timeInForce": "GTC",
    }},
    "mexc": {
        "symbol": "BTCUSDT", "orderId": "77", "clientOrderId": CLIENT_ID, "price": "60000.1",
        "origQty": "0.002", "executedQty": "0.0005", "cummulativeQuoteQty": "30",
        "status": "PARTIALLY_FILLED", "timeInForce": "", "type": "LIMIT", "side": "BUY",
        "time": NOW_MS, "updateTime": NOW_MS,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_order_is_found_by_its_client_id_with_exact_numbers(name: str) -> None:
    venue, network = exchange(name, ORDERS[name])
    found = venue.find("BTC/USDT", CLIENT_ID)
    assert found is not None
    assert CLIENT_ID in network.sent[0].url
    assert (found.client_id, found.venue_id, found.symbol) == (CLIENT_ID, "77", "BTC/USDT")
    assert (found.side, found.kind, found.status) == (Side.BUY, OrderKind.LIMIT, Status.PARTIAL)
    assert found.price == Decimal("60000.1")
    assert (found.quantity, found.filled) == (Decimal("0.002"), Decimal("0.0005"))
    assert found.time == datetime.fromtimestamp(NOW_MS / 1000, UTC)


ABSENT: list[tuple[str, int, Any]] = [
    ("bybit", 200, bybit([])),
    ("bybit", 200, {"retCode": 170213, "retMsg": "Order does not exist."}),
    ("binance", 400, {"code": -2013, "msg": "Order does not exist."}),
    ("okx", 200, {"code": "51603", "msg": "Order does not exist", "data": []}),
    ("kucoin", 200, {"code": "400100", "msg": "order not exist"}),
    ("mexc", 400, {"code": -2013, "msg": "Order does not exist."}),
]


@pytest.mark.parametrize(("name", "status", "body"), ABSENT)
def test_absent_order_is_none(name: str, status: int, body: Any) -> None:
    venue, _ = exchange(name, (status, body))
    assert venue.find("BTC/USDT", CLIENT_ID) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "answer",
    [(500, "oops"), requests.ReadTimeout("slow"), (200, "<html>"), (429, "{}"), {}, (200, "")],
)
def test_exchange_that_does_not_tell_never_means_absent(name: str, answer: Any) -> None:
    for read in ("find", "open_orders", "fills_since", "balances"):
        venue, _ = exchange(name, answer)
        arguments = {"find": ("BTC/USDT", CLIENT_ID), "open_orders": ("BTC/USDT",),
                     "fills_since": ("BTC/USDT", str(NOW_MS)), "balances": ()}[read]  # fmt: skip
        with pytest.raises(Unavailable):
            getattr(venue, read)(*arguments)


REFUSED_KEYS: list[tuple[str, int, Any]] = [
    ("bybit", 200, {"retCode": 10003, "retMsg": "API key is invalid."}),
    ("bybit", 200, {"retCode": 33004, "retMsg": "Your api key has expired."}),
    ("bybit", 200, {"retCode": 10010, "retMsg": "Unmatched IP"}),
    ("binance", 401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}),
    ("okx", 401, {"code": "50113", "msg": "Invalid Sign", "data": []}),
    ("kucoin", 400, {"code": "400005", "msg": "Signature error"}),
    ("mexc", 400, {"code": 10072, "msg": "Api key info invalid"}),
    ("mexc", 403, {"code": 700006, "msg": "IP not in the white list"}),
]


@pytest.mark.parametrize(("name", "status", "body"), REFUSED_KEYS)
def test_refused_key_is_told_apart_from_a_venue_that_is_away(
    name: str, status: int, body: Any
) -> None:
    venue, _ = exchange(name, (status, body))
    with pytest.raises(KeyRefusedError):
        venue.balances()


STATUSES = [
    ("New", "0", Status.OPEN),
    ("PartiallyFilled", "0.001", Status.PARTIAL),
    ("Filled", "0.002", Status.FILLED),
    ("Cancelled", "0", Status.CANCELLED),
    ("Cancelled", "0.001", Status.CANCELLED),
    ("Rejected", "0", Status.REJECTED),
    ("PartiallyFilledCanceled", "0.001", Status.CANCELLED),
]


@pytest.mark.parametrize(("told", "filled", "status"), STATUSES)
def test_states_of_an_order(told: str, filled: str, status: Status) -> None:
    venue, _ = exchange("bybit", bybit([bybit_order(orderStatus=told, cumExecQty=filled)]))
    found = venue.find("BTC/USDT", CLIENT_ID)
    assert found is not None
    assert (found.status, found.filled) == (status, Decimal(filled))


def test_open_orders_beyond_the_first_page_are_read_too() -> None:
    rows = [bybit_order(orderId=str(n), orderLinkId=f"by{n}") for n in range(70)]

    def answer(request: Request) -> Any:
        start = int(request.query.get("cursor", "0"))
        page = bybit(rows[start : start + 50])
        page["result"]["nextPageCursor"] = str(start + 50) if start + 50 < 70 else ""
        return page

    venue, _ = exchange("bybit", answer)
    found = venue.open_orders("BTC/USDT")
    assert {one.client_id for one in found} == {f"by{n}" for n in range(70)}
    assert len(found) == 70


def bybit_fill(number: int, at_ms: int) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "orderId": "77", "orderLinkId": CLIENT_ID, "side": "Buy",
        "execId": f"x{number}", "execPrice": "60000.1", "execQty": "0.0001", "execType": "Trade",
        "execFee": "0.0000001", "feeCurrency": "BTC", "execTime": str(at_ms), "isMaker": True,
        "orderType": "Limit", "feeRate": "0.001", "execValue": "6",
    }  # fmt: skip


def bybit_fills(fills: list[dict[str, Any]]) -> Callable[[Request], Any]:
    def answer(request: Request) -> Any:
        since, until = int(request.query["startTime"]), int(request.query["endTime"])
        assert until - since < 7 * 86_400_000
        inside = [one for one in fills if since <= int(one["execTime"]) <= until]
        newest_first = sorted(inside, key=lambda one: -int(one["execTime"]))
        return bybit(newest_first[: int(request.query["limit"])])

    return answer


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 450])
def test_all_fills_come_oldest_first_however_many_pages(count: int) -> None:
    start = NOW_MS - 3_600_000
    fills = [bybit_fill(n, start + n * 7_000) for n in range(count)]
    venue, _ = exchange("bybit", bybit_fills(fills))
    page = venue.fills_since("BTC/USDT", str(start))
    assert [fill.trade_id for fill in page.fills] == [f"x{n}" for n in range(count)]
    assert page.cursor == str(NOW_MS)


class Slow:
    """A clock by which each answer takes a third of a second."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr("app.adapters.exchanges.looking.monotonic", lambda: self.now)

    def answer(self, told: Callable[[Request], Any]) -> Callable[[Request], Any]:
        def answered(request: Request) -> Any:
            self.now += 0.33
            return told(request)

        return answered


def test_more_fills_than_one_look_can_read_are_read_by_several_each_within_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Slow(monkeypatch)
    start = NOW_MS - 20 * 3_600_000
    # In the last minutes too, where each look but these looks back once more.
    fills = [bybit_fill(n, start + n * n * 88) for n in range(900)]
    told = bybit_fills(fills)

    def answer(request: Request) -> Any:
        return told(request) if request.path.endswith("/execution/list") else bybit([])

    venue, _ = exchange("bybit", slow.answer(answer))
    found: dict[str, Any] = {}
    cursor, looks = "", 0
    while True:
        began, before = slow.now, len(found)
        look = venue.look({"BTC/USDT": {}}, cursor, whole=True)
        found |= {fill.trade_id: fill for _, fill in look.fills}
        looks, cursor = looks + 1, look.cursor
        assert slow.now - began < LOOK_S + 4
        if not look.is_partial:
            break
        assert len(found) > before
    assert looks > 2
    assert set(found) == {f"x{n}" for n in range(900)}
    assert cursor == str(NOW_MS)


@pytest.mark.parametrize("count", [100, 101, 250, 300])
def test_one_order_may_meet_more_than_a_page_of_others_in_one_millisecond(count: int) -> None:
    at = NOW_MS - 1000
    fills = [bybit_fill(n, at) for n in range(count)]

    def answer(request: Request) -> Any:
        if not int(request.query["startTime"]) <= at <= int(request.query["endTime"]):
            return bybit([])
        after = int(request.query.get("cursor") or 0)
        page = fills[after : after + int(request.query["limit"])]
        told = bybit(page)
        more = after + len(page) < count
        told["result"]["nextPageCursor"] = str(after + len(page)) if more else ""
        return told

    venue, _ = exchange("bybit", answer)
    page = venue.fills_since("BTC/USDT", str(NOW_MS - 60_000))
    assert {fill.trade_id for fill in page.fills} == {f"x{n}" for n in range(count)}


@pytest.mark.parametrize(
    ("told", "fee"),
    [
        ("", "0.0000001"),
        ([], "0.0000001"),
        ([{"feeCoin": "BTC", "feeType": "GST", "fee": "0.000000018"}], "0.000000118"),
        ('[{"feeCoin": "BTC", "feeType": "VAT", "fee": "0.000000005"}]', "0.000000105"),
        ([{"feeCoin": "USDT", "fee": "0.600001"}], "0.0000101"),
        ([{"feeCoin": "MNT", "fee": "3"}], "0.0000001"),
    ],
)
def test_taxes_that_some_customers_of_bybit_pay_beside_the_fee_count_as_fee(
    told: Any, fee: str
) -> None:
    when = NOW_MS - 60_000
    venue, _ = exchange("bybit", bybit_fills([{**bybit_fill(1, when), "extraFees": told}]))
    (fill,) = venue.fills_since("BTC/USDT", str(when - 1)).fills
    assert (fill.fee, fill.fee_currency) == (Decimal(fee), "BTC")


@pytest.mark.parametrize(
    ("side", "maker", "prices"),
    [
        ("Sell", True, ["98", "100", "102"]),
        ("Buy", True, ["102", "100", "98"]),
        ("Buy", False, ["98", "100", "102"]),
        ("Sell", False, ["102", "100", "98"]),
    ],
)
def test_fills_of_one_millisecond_come_as_the_price_went(
    side: str, maker: bool, prices: list[str]
) -> None:
    when = NOW_MS - 60_000
    fills = [
        {**bybit_fill(number, when), "execPrice": price, "side": side, "isMaker": maker}
        for number, price in enumerate(("100", "102", "98"))
    ]
    venue, _ = exchange("bybit", bybit_fills(fills))
    page = venue.fills_since("BTC/USDT", str(when - 1))
    assert [fill.price for fill in page.fills] == [Decimal(price) for price in prices]


def test_fills_of_a_long_absence_are_read_window_by_window() -> None:
    start = NOW_MS - 30 * 86_400_000
    fills = [bybit_fill(n, start + n * 86_400_000) for n in range(30)]
    venue, network = exchange("bybit", bybit_fills(fills))
    page = venue.fills_since("BTC/USDT", str(start))
    assert len(page.fills) == 30
    assert len(network.sent) == 5


def test_fill_that_was_reported_late_is_still_seen() -> None:
    late = bybit_fill(1, NOW_MS - 60_000)
    venue, _ = exchange("bybit", bybit_fills([late]))
    assert [fill.trade_id for fill in venue.fills_since("BTC/USDT", str(NOW_MS)).fills] == ["x1"]


def test_fill_has_price_quantity_fee_and_role_exactly() -> None:
    venue, _ = exchange("bybit", bybit_fills([bybit_fill(1, NOW_MS - 1000)]))
    (fill,) = venue.fills_since("BTC/USDT", "").fills
    assert (fill.client_id, fill.side, fill.maker) == (CLIENT_ID, Side.BUY, True)
    assert (fill.price, fill.quantity) == (Decimal("60000.1"), Decimal("0.0001"))
    assert (fill.fee, fill.fee_currency) == (Decimal("0.0000001"), "BTC")


@pytest.mark.parametrize(
    ("side", "fee", "told", "currency"),
    [
        ("Buy", "0.02", "MNT", "MNT"),
        ("Sell", "0.02", "MNT", "MNT"),
        ("Sell", "0.0000001", "BTC", "BTC"),
        ("Buy", "-0.0006", "USDT", "USDT"),
        # What is not told is guessed by the side.
        ("Sell", "0.006", "", "USDT"),
    ],
)
def test_fee_counts_in_the_currency_that_the_exchange_names(
    side: str, fee: str, told: str, currency: str
) -> None:
    row = {**bybit_fill(1, NOW_MS - 1000), "side": side, "execFee": fee, "feeCurrency": told}
    venue, _ = exchange("bybit", bybit_fills([row]))
    (fill,) = venue.fills_since("BTC/USDT", "").fills
    assert (fill.fee, fill.fee_currency) == (Decimal(fee), currency)


def binance_fill(number: int, order_id: int, at_ms: int) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "id": number, "orderId": order_id, "price": "60000.10",
        "qty": "0.00010000", "quoteQty": "6", "commission": "0.00000750", "commissionAsset": "BNB",
        "time": at_ms, "isBuyer": False, "isMaker": False, "isBestMatch": True,
    }  # fmt: skip


def test_fill_without_client_id_is_joined_to_its_order_by_one_look_up() -> None:
    def answer(request: Request) -> Any:
        if request.path.endswith("/myTrades"):
            return [binance_fill(n, 77, NOW_MS - 1000 + n) for n in range(3)]
        assert request.query["orderId"] == "77"
        return ORDERS["binance"]

    venue, network = exchange("binance", answer)
    fills = venue.fills_since("BTC/USDT", str(NOW_MS)).fills
    assert [fill.client_id for fill in fills] == [CLIENT_ID] * 3
    assert (fills[0].fee, fills[0].fee_currency, fills[0].side) == (
        Decimal("0.0000075"), "BNB", Side.SELL,
    )  # fmt: skip
    assert len(network.sent) == 2
    venue.fills_since("BTC/USDT", str(NOW_MS))
    assert len(network.sent) == 3


BALANCES: dict[str, Any] = {
    "bybit": {"retCode": 0, "result": {"list": [{"accountType": "UNIFIED", "coin": [
        {"coin": "USDT", "walletBalance": "100.123456789012345678", "locked": "40",
         "availableToWithdraw": "", "totalOrderIM": "0", "totalPositionIM": "0"},
        {"coin": "BTC", "walletBalance": "0", "locked": "0", "availableToWithdraw": ""},
    ]}]}},
    "binance": {"balances": [{"asset": "USDT", "free": "60.123456789012345678", "locked": "40"},
                             {"asset": "BTC", "free": "0", "locked": "0"}]},
    "okx": {"code": "0", "data": [{"details": [
        {"ccy": "USDT", "eq": "100.123456789012345678", "availEq": "60.123456789012345678",
         "availBal": "60.123456789012345678", "frozenBal": "40", "cashBal": "100"}]}]},
    "kucoin": {"code": "200000", "data": [{"currency": "USDT", "type": "trade_hf",
        "balance": "100.123456789012345678", "available": "60.123456789012345678",
        "holds": "40"}]},
    "mexc": {"balances": [{"asset": "USDT", "free": "60.123456789012345678", "locked": "40"}]},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_balances_are_exact_and_without_empty_currencies(name: str) -> None:
    venue, _ = exchange(name, BALANCES[name])
    assert venue.balances() == {"USDT": Balance(Decimal("60.123456789012345678"), Decimal(40))}


@pytest.mark.parametrize("name", NAMES)
def test_market_has_rules_of_the_pair_and_fees_of_the_account(name: str) -> None:
    venue, network = exchange(name, "", maker_fee=Decimal("0.0002"))
    market = venue.market("BTC/USDT")
    assert (market.tick, market.lot) == (Decimal("0.1"), Decimal("0.000001"))
    assert (market.min_quantity, market.min_notional) == (Decimal("0.00001"), Decimal(5))
    assert (market.maker_fee, market.taker_fee) == (Decimal("0.0002"), Decimal("0.001"))
    in_base = name in {"bybit", "binance", "okx"}
    assert market.fee_side is (FeeSide.RECEIVED_ASSET if in_base else FeeSide.QUOTE)
    assert network.sent == []


def test_positions_are_told_with_their_leverage_and_empty_ones_left_out() -> None:
    rows = [
        {"symbol": "BTCUSDT", "side": "Buy", "size": "0.5", "avgPrice": "50000", "leverage": "10",
         "liqPrice": "45500.5", "positionIdx": 0, "tradeMode": 0, "positionValue": "25000"},
        {"symbol": "BTCUSDT", "side": "", "size": "0", "avgPrice": "0", "leverage": "3",
         "liqPrice": "", "positionIdx": 0, "tradeMode": 0, "positionValue": ""},
    ]  # fmt: skip
    venue, network = exchange("bybit", bybit(rows), bybit([]))
    (held,) = venue.positions()
    assert (held.side, held.quantity, held.leverage) == ("long", Decimal("0.5"), Decimal(10))
    assert (held.entry_price, held.liquidation_price) == (Decimal(50000), Decimal("45500.5"))
    assert network.sent[0].query["category"] == "linear"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bybit"])
def test_exchange_of_coins_only_holds_no_positions_and_is_not_asked(name: str) -> None:
    venue, network = exchange(name, (500, "oops"))
    assert venue.positions() == ()
    assert network.sent == []


def test_orders_of_two_pairs_may_have_one_number() -> None:
    def answer(request: Request) -> Any:
        symbol = request.query["symbol"]
        if request.path.endswith("/myTrades"):
            return [{**binance_fill(1, 77, NOW_MS - 1000), "symbol": symbol}]
        return {**ORDERS["binance"], "symbol": symbol, "clientOrderId": f"by{symbol.lower()}"}

    client = make_client("binance", KEYS)
    coins = spot_market("binance")
    other = {**coins, "id": "ETHUSDT", "symbol": "ETH/USDT", "base": "ETH", "baseId": "ETH"}
    client.set_markets([coins, other])
    connect(client, answer)
    venue = CcxtExchange(client, QUIRKS["binance"], now_ms=lambda: NOW_MS)
    told = [venue.fills_since(symbol, str(NOW_MS)).fills[0] for symbol in ("BTC/USDT", "ETH/USDT")]
    assert [fill.client_id for fill in told] == ["bybtcusdt", "byethusdt"]
