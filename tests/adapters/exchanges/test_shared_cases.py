"""Recorded cases of another project, played through our clients and our adapter."""

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.adapters.exchanges.ccxt import CcxtExchange
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.looking import Reader
from app.adapters.exchanges.quirks import QUIRKS
from app.trading.orders import Order, OrderKey, OrderKind, Purpose, Side, Status
from app.trading.ports import Accepted
from tests.adapters.exchanges.canned import KEYS, NOW_MS, Network, Request, connect

SHARED = Path(os.environ.get("BOTYARD_SHARED") or Path(__file__).parents[4] / "shared").resolve()
CASES = SHARED / "data" / "ccxt"
CAPTURE = SHARED / "data" / "bybit" / "capture"
SNAKE = {
    "createOrder": "create_order",
    "cancelOrder": "cancel_order",
    "fetchOpenOrders": "fetch_open_orders",
    "fetchOHLCV": "fetch_ohlcv",
    "fetchOpenOrder": "fetch_open_order",
    "fetchClosedOrder": "fetch_closed_order",
    "createMarketBuyOrderWithCost": "create_market_buy_order_with_cost",
}
CLIENT_ID = "byreplay"
# What our adapter always adds to what the recorded caller sent.
OURS = {"orderLinkId": CLIENT_ID, "marketUnit": "baseCoin"}

pytestmark = pytest.mark.shared


def cases(kind: str) -> list[Any]:
    """Return every recorded case of a kind: exchange, method, case."""
    found = []
    for file in sorted(CASES.glob(f"*-{kind}.json")):
        content = json.loads(file.read_text())
        for method, each in content["methods"].items():
            for case in each:
                if not case.get("disabled"):
                    name = f"{content['exchange']}-{method}-{case['description']}"
                    skipped = tuple(content.get("skipKeys") or ())
                    found.append(pytest.param(content["exchange"], method, case, skipped, id=name))
    return found


@lru_cache(maxsize=1)
def bybit_markets() -> list[dict[str, Any]]:
    """Return the markets as the library reads the recorded instruments."""

    def answer(request: Request) -> Any:
        category = dict(parse_qsl(urlsplit(request.url).query))["category"]
        file = CAPTURE / f"instruments-info-{category}-16.json"
        content = json.loads(file.read_text())
        rows = next(value for value in content.values() if isinstance(value, list))
        return {"retCode": 0, "retMsg": "OK", "result": {"category": category, "list": rows}}

    client = make_client("bybit")
    connect(client, answer)
    client.load_markets()
    return list(client.markets.values())


def client_of(name: str, *answers: Any) -> tuple[Any, Network]:
    client = make_client(name, KEYS)
    client.set_markets(bybit_markets())
    return client, connect(client, *answers)


def flat(text: str) -> dict[str, str]:
    """Return JSON or a query as plain texts."""
    if text.startswith("{"):
        return {key: str(value) for key, value in json.loads(text).items()}
    return dict(parse_qsl(text))


def without(fields: dict[str, str], names: Iterator[str] | tuple[str, ...]) -> dict[str, str]:
    left = tuple(names)
    return {key: value for key, value in fields.items() if key not in left}


@pytest.mark.parametrize(("name", "method", "case", "skipped"), cases("request"))
def test_call_of_the_client_makes_exactly_this_request(
    name: str, method: str, case: dict[str, Any], skipped: tuple[str, ...]
) -> None:
    client, network = client_of(name, {"retCode": 0, "result": {"list": []}})
    # Recorded by a caller without our options and before a newer version named the unit.
    getattr(client, SNAKE[method])(*case["input"])
    request, expected = network.sent[-1], urlsplit(case["url"])
    assert request.path == expected.path
    assert without(request.query, skipped) == without(dict(parse_qsl(expected.query)), skipped)
    if case.get("output"):
        assert without(flat(request.body), skipped) == without(flat(case["output"]), skipped)


def has_counterpart(method: str, case: dict[str, Any]) -> bool:
    """Say whether our port can express a call: plain orders, without triggers and the like."""
    given = {"createOrder": 5, "fetchOpenOrders": 3, "cancelOrder": 2}.get(method)
    return len(case["input"]) == given


COUNTERPARTS = [one for one in cases("request") if has_counterpart(*one.values[1:3])]


@pytest.mark.parametrize(("name", "method", "case", "skipped"), COUNTERPARTS)
def test_order_through_our_adapter_makes_the_recorded_request(
    name: str, method: str, case: dict[str, Any], skipped: tuple[str, ...]
) -> None:
    accepted = {"retCode": 0, "result": {"orderId": "1", "orderLinkId": CLIENT_ID, "list": []}}
    client, network = client_of(name, accepted)
    venue = CcxtExchange(client, QUIRKS[name])
    if method == "createOrder":
        symbol, kind, side, quantity, price = case["input"]
        order = Order(
            CLIENT_ID,
            OrderKey(Purpose.GRID, 0, Side(side)),
            0,
            OrderKind(kind),
            Decimal(str(price)) if kind == "limit" else None,
            Decimal(str(quantity)),
            Status.INTENDED,
        )
        assert venue.place(symbol, order) == Accepted("1")
        # The recorded market order was sized by its cost; ours is always sized in base currency.
        ignored = {"qty"} if kind == "market" else set()
        added = {"orderLinkId"} | ({"marketUnit"} if kind == "market" else set())
    elif method == "fetchOpenOrders":
        venue.open_orders(case["input"][0])
        ignored, added = set(), {"limit"}
    else:
        venue.cancel(case["input"][1], CLIENT_ID)
        # Ours are known by the client id.
        ignored, added = {"orderId"}, {"orderLinkId"}
    request, expected = network.sent[-1], urlsplit(case["url"])
    assert request.path == expected.path
    sent = {**request.query, **flat(request.body or "{}")}
    wanted = {**dict(parse_qsl(expected.query)), **flat(case.get("output") or "{}")}
    names = (*skipped, *ignored, *added)
    assert without(sent, names) == without(wanted, names)
    assert added <= sent.keys()
    for field in added & OURS.keys():
        assert sent[field] == OURS[field]


@pytest.mark.parametrize(("name", "method", "case", "skipped"), cases("response"))
def test_answer_is_read_as_the_recorded_one(
    name: str, method: str, case: dict[str, Any], skipped: tuple[str, ...]
) -> None:
    client, _ = client_of(name, case["httpResponse"])
    parsed = case["parsedResponse"]
    if method == "createMarketBuyOrderWithCost":
        raw = client.create_market_buy_order_with_cost(*case["input"])
        assert (raw["id"], raw["clientOrderId"]) == (parsed["id"], parsed["clientOrderId"])
        return
    venue = CcxtExchange(client, QUIRKS[name], now_ms=lambda: NOW_MS)
    symbol = case["input"][1]
    info = case["httpResponse"]["result"]["list"][0]
    found = Reader(client, QUIRKS[name]).order(getattr(client, SNAKE[method])(*case["input"]))
    assert found.symbol == symbol
    assert found.client_id == info["orderLinkId"]
    assert found.venue_id == info["orderId"]
    assert found.side.value == parsed["side"]
    assert found.quantity == Decimal(str(parsed["amount"]))
    assert found.filled == Decimal(str(parsed["filled"]))
    statuses = {"open": Status.OPEN, "closed": Status.FILLED}
    assert found.status is statuses[parsed["status"]]
    if parsed.get("type", "market") == "limit":
        assert found.price == Decimal(str(parsed["price"]))
    else:
        assert found.price is None
    if parsed.get("timestamp"):
        assert found.time is not None
        assert int(found.time.timestamp() * 1000) == parsed["timestamp"]
    by_client_id = venue.find(symbol, found.client_id) if found.client_id else None
    assert by_client_id is None or by_client_id == found


def test_rules_of_recorded_pairs_are_those_of_our_catalogue() -> None:
    from app.markets.catalogue import known_pairs

    client, _ = client_of("bybit")
    venue = CcxtExchange(client, QUIRKS["bybit"])
    compared = 0
    for pair in known_pairs():
        if pair.exchange == "bybit" and pair.symbol in client.markets:
            market = venue.market(pair.symbol)
            assert (market.tick, market.lot) == (pair.rules.tick, pair.rules.lot), pair.symbol
            assert market.min_notional == pair.rules.min_notional
            compared += 1
    assert compared >= 9
