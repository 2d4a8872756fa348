"""What is sent for an order, and what a failure proves about it."""

import time
from typing import Any

import pytest
import requests
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from app.adapters.exchanges import client as clients
from app.adapters.exchanges.errors import RateLimitedError
from app.adapters.exchanges.quirks import QUIRKS
from app.trading.orders import Side
from app.trading.ports import Accepted, Refused, Unresolved
from tests.adapters.exchanges.canned import ACCEPTED, CLIENT_ID, KEYS, TIMES, exchange, order

NAMES = sorted(QUIRKS)
CLIENT_ID_FIELD = {
    "bybit": "orderLinkId",
    "binance": "newClientOrderId",
    "okx": "clOrdId",
    "kucoin": "clientOid",
    "mexc": "newClientOrderId",
}
QUANTITY_FIELD = {"bybit": "qty", "okx": "sz", "kucoin": "size"}
PRICE_FIELD = {"okx": "px"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", list(Side))
def test_limit_order_is_sent_once_with_its_client_id_and_exact_numbers(
    name: str, side: Side
) -> None:
    venue, network = exchange(name, ACCEPTED[name])
    assert venue.place("BTC/USDT", order(side=side)) == Accepted("77")
    (request,) = network.sent
    assert request.method == "POST"
    assert request.fields[CLIENT_ID_FIELD[name]] == CLIENT_ID
    assert request.fields[QUANTITY_FIELD.get(name, "quantity")] == "0.001234"
    assert request.fields[PRICE_FIELD.get(name, "price")] == "60000.1"
    assert request.fields["side"].lower() == side.value


@pytest.mark.parametrize("name", NAMES)
def test_market_order_is_sized_in_base_currency(name: str) -> None:
    venue, network = exchange(name, ACCEPTED[name])
    assert venue.place("BTC/USDT", order(price=None)) == Accepted("77")
    (request,) = network.sent
    fields = request.fields
    assert fields[QUANTITY_FIELD.get(name, "quantity")] == "0.001234"
    assert "quoteOrderQty" not in fields
    assert "price" not in fields
    assert fields.get("marketUnit", "baseCoin") == "baseCoin"
    assert fields.get("tgtCcy", "base_ccy") == "base_ccy"
    if name == "bybit":
        assert fields["marketUnit"] == "baseCoin"
    if name == "okx":
        assert fields["tgtCcy"] == "base_ccy"


@pytest.mark.parametrize("name", NAMES)
def test_nobody_elses_partner_tag_is_sent(name: str) -> None:
    venue, network = exchange(name, ACCEPTED[name])
    venue.place("BTC/USDT", order())
    (request,) = network.sent
    sent = f"{request.headers} {request.body} {request.query}"
    for tag in ("CCXT", "ccxt", "x-TKT5PX2F", "6b9ad766b55dBCDE", "KC-API-PARTNER"):
        assert tag not in sent


@pytest.mark.parametrize("name", NAMES)
def test_cancel_is_by_client_id(name: str) -> None:
    venue, network = exchange(name, ACCEPTED[name])
    assert isinstance(venue.cancel("BTC/USDT", CLIENT_ID), Accepted)
    (request,) = network.sent
    assert CLIENT_ID in f"{request.path} {request.fields}"


@pytest.mark.parametrize("name", [name for name in NAMES if QUIRKS[name].has_testnet])
def test_testnet_account_never_reaches_the_real_site(name: str) -> None:
    venue, network = exchange(name, ACCEPTED[name], testnet=True)
    venue.place("BTC/USDT", order())
    (request,) = network.sent
    host_or_header = f"{request.url} {request.headers}"
    assert "testnet" in host_or_header or "x-simulated-trading" in host_or_header.lower()


MONEY = "insufficient_balance"
NO_MONEY = "Account has insufficient balance for requested action."
REFUSED: list[tuple[str, int, Any, str]] = [
    ("bybit", 200, {"retCode": 170131, "retMsg": "Insufficient balance."}, MONEY),
    ("bybit", 200, {"retCode": 110007, "retMsg": "ab not enough"}, MONEY),
    ("bybit", 200, {"retCode": 170140, "retMsg": "Order value below"}, "exchange_170140"),
    ("bybit", 200, {"retCode": 170193, "retMsg": "Buy order price"}, "exchange_170193"),
    ("bybit", 200, {"retCode": 10003, "retMsg": "API key is invalid."}, "key_refused"),
    ("binance", 400, {"code": -1013, "msg": "Filter failure: NOTIONAL"}, "exchange_-1013"),
    ("binance", 400, {"code": -2010, "msg": NO_MONEY}, MONEY),
    ("binance", 401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions."}, "key_refused"),
    ("okx", 200, {"code": "1", "data": [{"sCode": "51008", "sMsg": "Insufficient"}]}, MONEY),
    ("okx", 200, {"code": "1", "data": [{"sCode": "51020", "sMsg": "Minimum"}]}, "exchange_51020"),
    ("okx", 401, {"code": "50111", "msg": "Invalid OK-ACCESS-KEY", "data": []}, "key_refused"),
    ("kucoin", 200, {"code": "200004", "msg": "Balance insufficient!"}, MONEY),
    ("kucoin", 400, {"code": "400003", "msg": "KC-API-KEY not exists"}, "key_refused"),
    ("mexc", 400, {"code": 30004, "msg": "Insufficient position"}, MONEY),
    ("mexc", 400, {"code": 30002, "msg": "The minimum transaction volume"}, "exchange_30002"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "status", "body", "code"), REFUSED, ids=[f"{row[0]}-{row[3]}" for row in REFUSED]
)
def test_code_that_proves_a_refusal_refuses(name: str, status: int, body: Any, code: str) -> None:
    venue, network = exchange(name, (status, body))
    outcome = venue.place("BTC/USDT", order())
    assert isinstance(outcome, Refused)
    assert outcome.code == code
    assert len(network.sent) == 1


UNKNOWN: list[tuple[str, int, Any]] = [
    *[
        ("bybit", 200, {"retCode": code, "retMsg": "server"})
        for code in (
            10000, 10006, 10016, 10018, 10019, 10429, 170001, 170005, 170007, 170032, 170146,
            170149, 999999,
        )
    ],
    ("bybit", 429, ""),
    ("bybit", 403, {"retCode": 403, "retMsg": "ip"}),
    ("binance", 503, {"code": -1000, "msg": "Unknown error, please check your request."}),
    ("binance", 200, {"code": -1006, "msg": "An unexpected response was received"}),
    ("binance", 408, {"code": -1007, "msg": "Timeout waiting for response from backend server."}),
    ("binance", 418, {"code": -1003, "msg": "Way too many requests"}),
    ("okx", 200, {"code": "50004", "msg": "Endpoint request timeout", "data": []}),
    ("okx", 200, {"code": "1", "data": [{"sCode": "50026", "sMsg": "System error"}]}),
    ("kucoin", 500, {"code": "500000", "msg": "Internal Server Error"}),
    ("kucoin", 429, {"code": "429000", "msg": "Too Many Requests"}),
    ("mexc", 500, {"code": 500, "msg": "internal"}),
    ("mexc", 429, {"code": 429, "msg": "Too Many Requests"}),
    *[(name, 200, "<html>busy</html>") for name in NAMES],
    *[(name, 502, "<html>bad gateway</html>") for name in NAMES],
    *[(name, 200, "") for name in NAMES],
    *[(name, 200, "{}") for name in NAMES],
    *[(name, 200, '{"retCode": 0, "code": "0"') for name in NAMES],
]  # fmt: skip


DUPLICATES: list[tuple[str, int, Any]] = [
    ("bybit", 200, {"retCode": 110072, "retMsg": "OrderLinkedID is duplicate"}),
    ("bybit", 200, {"retCode": 110030, "retMsg": "Order id exists"}),
    ("bybit", 200, {"retCode": 170141, "retMsg": "Duplicate clientOrderId"}),
    ("binance", 400, {"code": -2010, "msg": "Duplicate order sent."}),
    ("okx", 200, {"code": "1", "data": [{"sCode": "51016", "sMsg": "Client order ID exists"}]}),
    ("mexc", 400, {"code": 30029, "msg": "duplicate clientOrderId"}),
]


@pytest.mark.parametrize(("name", "status", "body"), DUPLICATES)
def test_known_client_id_says_that_the_exchange_has_the_order(
    name: str, status: int, body: Any
) -> None:
    venue, _ = exchange(name, (status, body))
    outcome = venue.place("BTC/USDT", order())
    assert isinstance(outcome, Refused)
    # The caller looks it up and adopts it.
    assert outcome.code == "duplicate_client_id"


CLOCK_REFUSALS: list[tuple[str, int, Any]] = [
    ("bybit", 200, {"retCode": 10002, "retMsg": "invalid request, please check your timestamp"}),
    ("binance", 400, {"code": -1021, "msg": "Timestamp outside of the recvWindow."}),
    ("okx", 401, {"code": "50102", "msg": "Timestamp request expired", "data": []}),
    ("kucoin", 400, {"code": "400002", "msg": "KC-API-TIMESTAMP Invalid"}),
    ("mexc", 400, {"code": 700003, "msg": "Timestamp for this request is outside"}),
]


@pytest.mark.parametrize(("name", "status", "body"), CLOCK_REFUSALS)
def test_order_refused_for_the_clock_is_not_there_and_goes_out_again_only_when_asked(
    name: str, status: int, body: Any
) -> None:
    venue, network = exchange(name, (status, body), TIMES[name], ACCEPTED[name])
    with pytest.raises(RateLimitedError):
        venue.place("BTC/USDT", order())
    # The clock was measured; whether the account is still ours is for the caller to find out.
    assert [request.method for request in network.sent] == ["POST", "GET"]
    assert venue.place("BTC/USDT", order()) == Accepted("77")
    first, second = network.sent[0].fields, network.sent[2].fields
    assert first[CLIENT_ID_FIELD[name]] == second[CLIENT_ID_FIELD[name]] == CLIENT_ID


@pytest.mark.parametrize(("name", "status", "body"), CLOCK_REFUSALS)
def test_order_refused_for_the_clock_stays_refused_when_no_time_is_told(
    name: str, status: int, body: Any
) -> None:
    venue, network = exchange(name, (status, body), (500, "oops"))
    outcome = venue.place("BTC/USDT", order())
    assert isinstance(outcome, Refused)
    assert outcome.code == "clock_differs"
    assert [request.method for request in network.sent] == ["POST", "GET"]


@pytest.mark.parametrize("name", NAMES)
def test_order_of_a_process_that_stood_still_is_not_sent(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue, network = exchange(name, ACCEPTED[name])

    def stand_still(**_: Any) -> None:
        monkeypatch.setattr(clients, "time", Frozen(time.monotonic() + 25))

    monkeypatch.setattr(venue._client.traffic, "enter", stand_still)
    with pytest.raises(RateLimitedError):
        venue.place("BTC/USDT", order())
    assert network.sent == []


class Frozen:
    """A clock that stands."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("name", NAMES)
def test_order_is_signed_with_the_moment_before_the_last_check(name: str) -> None:
    venue, network = exchange(name, ACCEPTED[name])
    client = venue._client
    sign = client.sign

    def late(*arguments: Any, **named: Any) -> Any:
        # Standing still here makes the request old, and the exchange refuses it.
        client.milliseconds = lambda: 9_999_999_999_999
        return sign(*arguments, **named)

    client.sign = late
    assert venue.place("BTC/USDT", order()) == Accepted("77")
    (request,) = network.sent
    assert "9999999999999" not in f"{request.headers} {request.url} {request.body}"
    assert "2286-11-20" not in str(request.headers)


@pytest.mark.parametrize("name", NAMES)
def test_order_without_answer_is_never_sent_again_because_the_clock_was_measured(name: str) -> None:
    venue, network = exchange(name, requests.ReadTimeout("read timed out"))
    assert isinstance(venue.place("BTC/USDT", order()), Unresolved)
    assert len(network.sent) == 1


@pytest.mark.parametrize(
    ("name", "status", "body"),
    UNKNOWN,
    ids=[f"{row[0]}-{row[1]}-{number}" for number, row in enumerate(UNKNOWN)],
)
def test_everything_else_leaves_the_order_unresolved(name: str, status: int, body: Any) -> None:
    venue, network = exchange(name, (status, body))
    assert isinstance(venue.place("BTC/USDT", order()), Unresolved)
    # Never sent again by itself: the outcome of the first is unknown.
    assert len(network.sent) == 1


def _no_connection() -> requests.ConnectionError:
    pool = HTTPSConnectionPool("api.example")
    reason = NewConnectionError(HTTPSConnection("api.example"), "Name or service not known")
    return requests.ConnectionError(MaxRetryError(pool, "/", reason))


def _slow_connection() -> requests.ConnectTimeout:
    pool = HTTPSConnectionPool("api.example")
    return requests.ConnectTimeout(MaxRetryError(pool, "/", ConnectTimeoutError("timed out")))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [_no_connection(), _slow_connection()], ids=["refused", "slow"])
def test_connection_that_never_stood_proves_that_nothing_was_placed(
    name: str, error: Exception
) -> None:
    venue, _ = exchange(name, error)
    outcome = venue.place("BTC/USDT", order())
    assert isinstance(outcome, Refused)
    assert outcome.code == "not_connected"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "error",
    [
        requests.ReadTimeout("read timed out"),
        requests.ConnectionError("Connection aborted.", ConnectionResetError(104, "reset")),
        requests.exceptions.ChunkedEncodingError("cut short"),
        requests.exceptions.SSLError("bad record"),
        RuntimeError("anything"),
    ],
    ids=["timeout", "reset", "cut", "tls", "other"],
)
def test_lost_answer_leaves_the_order_unresolved(name: str, error: Exception) -> None:
    venue, network = exchange(name, error)
    assert isinstance(venue.place("BTC/USDT", order()), Unresolved)
    assert len(network.sent) == 1


@pytest.mark.parametrize("name", NAMES)
def test_our_own_refusal_sends_nothing_and_says_so(name: str) -> None:
    venue, network = exchange(name, ACCEPTED[name])
    outcome = venue.place("BTC/USDT", order(quantity="0.0000001"))
    assert isinstance(outcome, Refused)
    assert outcome.code == "not_sent"
    outcome = venue.place("ETH/USDT", order())
    assert isinstance(outcome, Refused)
    assert network.sent == []


GONE: list[tuple[str, int, Any]] = [
    ("bybit", 200, {"retCode": 170213, "retMsg": "Order does not exist."}),
    ("bybit", 200, {"retCode": 170142, "retMsg": "Order has been canceled"}),
    ("bybit", 200, {"retCode": 110001, "retMsg": "order not exists or too late to cancel"}),
    ("binance", 400, {"code": -2011, "msg": "Unknown order sent."}),
    ("okx", 200, {"code": "1", "data": [{"sCode": "51400", "sMsg": "Cancellation failed"}]}),
    ("kucoin", 200, {"code": "400100", "msg": "order_not_exist_or_not_allow_to_cancel"}),
    ("mexc", 400, {"code": -2011, "msg": "Unknown order sent."}),
]


@pytest.mark.parametrize(("name", "status", "body"), GONE)
def test_cancelling_what_is_gone_is_as_wanted(name: str, status: int, body: Any) -> None:
    venue, _ = exchange(name, (status, body))
    assert isinstance(venue.cancel("BTC/USDT", CLIENT_ID), Accepted)


@pytest.mark.parametrize("name", NAMES)
def test_cancellation_without_answer_is_unresolved(name: str) -> None:
    venue, _ = exchange(name, requests.ReadTimeout("read timed out"))
    assert isinstance(venue.cancel("BTC/USDT", CLIENT_ID), Unresolved)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("answer", [(500, "oops"), requests.ReadTimeout("slow"), (200, "<html>")])
def test_no_outcome_shows_a_key_a_secret_or_a_signature(name: str, answer: Any) -> None:
    venue, network = exchange(name, answer)
    outcomes = [venue.place("BTC/USDT", order()), venue.cancel("BTC/USDT", CLIENT_ID)]
    text = repr(outcomes)
    for request in network.sent:
        for field in ("signature", "sign", "timestamp"):
            assert request.query.get(field, "-") not in text or request.query.get(field) is None
    assert KEYS.key not in text
    assert KEYS.secret not in text
    assert repr(KEYS) == "ApiKeys()"


@pytest.mark.parametrize(("name", "status", "body"), CLOCK_REFUSALS)
def test_cancellation_refused_for_the_clock_is_put_off_too(
    name: str, status: int, body: Any
) -> None:
    venue, network = exchange(name, (status, body), TIMES[name], ACCEPTED[name])
    with pytest.raises(RateLimitedError):
        venue.cancel("BTC/USDT", CLIENT_ID)
    assert isinstance(venue.cancel("BTC/USDT", CLIENT_ID), Accepted)
    assert len(network.sent) == 3
