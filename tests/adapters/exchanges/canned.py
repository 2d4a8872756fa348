"""Clients of the library whose network is a list of answers; their own handling runs as it is."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from app.adapters.exchanges.ccxt import CcxtExchange
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.keys import ApiKeys
from app.adapters.exchanges.quirks import QUIRKS
from app.trading.orders import Order, OrderKey, OrderKind, Purpose, Side, Status

KEYS = ApiKeys("k-public-0123456789", "s-hidden-0123456789", "p-hidden")
NOW_MS = 1_700_000_000_000
CLIENT_ID = "byabcdefghijklmnop"
_IDS = {"okx": "BTC-USDT", "kucoin": "BTC-USDT"}

Answer = Any


@dataclass
class Request:
    """What the library sent."""

    method: str
    url: str
    body: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query))

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    @property
    def fields(self) -> dict[str, str]:
        """Return what was sent, wherever this exchange wants it."""
        body = self.json if self.body.startswith(("{", "[")) else dict(parse_qsl(self.body))
        return {**self.query, **(body[0] if isinstance(body, list) else body)}


@dataclass
class Network:
    """Answers in turn; the last one is given again. An exception is raised instead."""

    answers: list[Answer]
    sent: list[Request] = field(default_factory=list)

    def request(
        self, method: str, url: str, data: bytes | None = None, headers: Any = None, **_: Any
    ) -> requests.Response:
        self.sent.append(Request(method, url, (data or b"").decode(), headers))
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if callable(answer):
            answer = answer(self.sent[-1])
        if isinstance(answer, Exception):
            raise answer
        return _response(answer, url)


def _response(answer: Answer, url: str) -> requests.Response:
    status, body, headers = (*answer, {})[:3] if isinstance(answer, tuple) else (200, answer, {})
    response = requests.Response()
    response.status_code = status
    response.url = url
    response.reason = "Canned"
    text = body if isinstance(body, str) else json.dumps(body)
    response._content = text.encode()
    response.headers["Content-Type"] = "application/json"
    response.headers.update(headers)
    return response


def connect(client: Any, *answers: Answer) -> Network:
    """Give a client canned answers instead of the network."""
    network = Network(list(answers))
    client.session.request = network.request
    client.enableRateLimit = False
    return network


def spot_market(name: str) -> dict[str, Any]:
    """Return BTC/USDT as the library describes a spot pair."""
    return {
        "id": _IDS.get(name, "BTCUSDT"), "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT",
        "baseId": "BTC", "quoteId": "USDT", "type": "spot", "spot": True, "margin": False,
        "swap": False, "future": False, "option": False, "contract": False, "active": True,
        "linear": None, "inverse": None, "maker": "0.001", "taker": "0.001",
        "precision": {"price": "0.1", "amount": "0.000001"},
        "limits": {"amount": {"min": "0.00001"}, "cost": {"min": "5"}, "price": {}},
        "info": {"orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"]},
    }  # fmt: skip


def exchange(
    name: str, *answers: Answer, testnet: bool = False, **options: Any
) -> tuple[CcxtExchange, Network]:
    """Return an account at an exchange and its network."""
    client = make_client(name, KEYS, testnet=testnet)
    client.set_markets([spot_market(name)])
    network = connect(client, *answers)
    clock: Callable[[], int] = lambda: NOW_MS  # noqa: E731
    return CcxtExchange(client, QUIRKS[name], now_ms=clock, **options), network


def order(
    price: str | None = "60000.1", quantity: str = "0.001234", side: Side = Side.BUY
) -> Order:
    """Return an order to be placed."""
    kind = OrderKind.MARKET if price is None else OrderKind.LIMIT
    return Order(
        CLIENT_ID,
        OrderKey(Purpose.GRID, 1, side),
        0,
        kind,
        None if price is None else Decimal(price),
        Decimal(quantity),
        Status.INTENDED,
    )


ACCEPTED: Mapping[str, Answer] = {
    "bybit": {"retCode": 0, "retMsg": "OK", "result": {"orderId": "77", "orderLinkId": CLIENT_ID}},
    "binance": {"symbol": "BTCUSDT", "orderId": 77, "clientOrderId": CLIENT_ID, "status": "NEW"},
    "okx": {"code": "0", "data": [{"ordId": "77", "clOrdId": CLIENT_ID, "sCode": "0", "sMsg": ""}]},
    "kucoin": {"code": "200000", "data": {"orderId": "77", "clientOid": CLIENT_ID}},
    "mexc": {"symbol": "BTCUSDT", "orderId": "77"},
}

TIMES: dict[str, Any] = {
    "bybit": {"retCode": 0, "result": {"timeSecond": str(NOW_MS // 1000)}, "time": NOW_MS},
    "binance": {"serverTime": NOW_MS},
    "okx": {"code": "0", "data": [{"ts": str(NOW_MS)}]},
    "kucoin": {"code": "200000", "data": NOW_MS},
    "mexc": {"serverTime": NOW_MS},
}
