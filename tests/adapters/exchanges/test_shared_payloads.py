"""Answers recorded by others, read by our adapter: right, or refused as garbled, nothing else."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.adapters.exchanges.ccxt import CcxtExchange
from app.adapters.exchanges.check import _READERS
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.errors import ExchangeError
from app.adapters.exchanges.looking import Reader
from app.adapters.exchanges.quirks import QUIRKS
from app.adapters.exchanges.reading import to_balances, to_market
from app.trading.orders import Fill, Status
from app.trading.ports import Accepted, Unresolved, VenueOrder
from tests.adapters.exchanges.canned import (
    CLIENT_ID,
    KEYS,
    NOW_MS,
    connect,
    exchange,
    order,
    spot_market,
)
from tests.conftest import shared_folder

pytestmark = pytest.mark.shared

DATA = shared_folder() / "data"
NAMES = sorted(QUIRKS)


def contract(base: str, market_id: str) -> dict[str, Any]:
    return {
        **spot_market("bybit"), "id": market_id, "symbol": f"{base}/USDT:USDT", "base": base,
        "type": "swap", "spot": False, "swap": True, "contract": True, "linear": True,
        "inverse": False, "settle": "USDT", "settleId": "USDT", "contractSize": "1",
    }  # fmt: skip


def client_of(name: str, *answers: Any) -> Any:
    client = make_client(name, KEYS)
    markets = [spot_market(name)]
    if name == "bybit":
        markets += [contract(base, f"{base}USDT") for base in ("BTC", "ETH", "LTC", "TSLA")]
    client.set_markets(markets)
    connect(client, *answers)
    return client


# --- whole answers of Bybit --------------------------------------------------------------------

BYBIT = DATA / "bybit" / "payloads"


def read_orders(body: Any) -> None:
    client = client_of("bybit", body)
    reader = Reader(client, QUIRKS["bybit"])
    rows = body["result"]["list"]
    for row in rows:
        market = client.market(f"{row['symbol'].removesuffix('USDT')}/USDT:USDT")
        found = reader.order(client.parse_order(row, market))
        assert found.client_id == (row["orderLinkId"] or "")
        assert found.venue_id == row["orderId"]
        assert found.quantity == Decimal(row["qty"])
        assert found.filled == Decimal(row["cumExecQty"] or 0)
        assert found.side.value == row["side"].lower()
        assert found.status.is_final is (row["orderStatus"] in {"Cancelled", "Filled", "Rejected"})


def read_executions(body: Any) -> None:
    client = client_of("bybit", body)
    reader = Reader(client, QUIRKS["bybit"])
    for row in body["result"]["list"]:
        fill = reader.fill("BTC/USDT:USDT", client.parse_trade(row, client.market("BTC/USDT:USDT")))
        assert (fill.trade_id, fill.client_id) == (row["execId"], row["orderLinkId"])
        assert (fill.price, fill.quantity) == (Decimal(row["execPrice"]), Decimal(row["execQty"]))
        assert fill.fee == Decimal(row["execFee"])
        assert fill.fee_currency == "USDT"
        assert fill.maker is row["isMaker"]


def read_wallet(body: Any) -> None:
    found = to_balances(client_of("bybit", body).fetch_balance())
    coins = {row["coin"]: row for row in body["result"]["list"][0]["coin"]}
    assert found.keys() == {coin for coin, row in coins.items() if Decimal(row["walletBalance"])}
    for coin, balance in found.items():
        assert balance.total == Decimal(coins[coin]["walletBalance"])


def read_instruments(body: Any) -> None:
    client = client_of("bybit")
    rows = body["result"]["list"]
    spot = "contractType" not in rows[0]

    def answer(request: Any) -> Any:
        wanted = "spot" if spot else "linear"
        content = rows if request.query["category"] == wanted else []
        return {**body, "result": {**body["result"], "category": wanted, "list": content}}

    client = make_client("bybit")
    connect(client, answer)
    client.load_markets()
    by_id = {raw["id"]: raw for raw in client.markets.values()}
    for row in rows:
        market = to_market(by_id[row["symbol"]], QUIRKS["bybit"])
        assert market.tick == Decimal(row["priceFilter"]["tickSize"])
        lot = row["lotSizeFilter"]
        assert market.lot == Decimal(lot["basePrecision"] if spot else lot["qtyStep"])
        assert market.min_quantity == Decimal(lot["minOrderQty"])


def read_key(body: Any) -> None:
    rights = _READERS["bybit"](client_of("bybit", body))
    told = body["result"]
    assert rights.trade is (told["readOnly"] == 0 and bool(told["permissions"]["Spot"]))
    assert rights.withdraw is False


def read_book(body: Any) -> None:
    book = client_of("bybit", body).fetch_order_book("BTC/USDT:USDT")
    for ours, theirs in (("bids", "b"), ("asks", "a")):
        told = [[Decimal(one) for one in row] for row in body["result"][theirs]]
        assert [[Decimal(str(one)) for one in row[:2]] for row in book[ours]] == told


def read_positions(body: Any) -> None:
    # What is settled in USDC is asked for apart.
    none = {**body, "result": {"list": []}}
    found = CcxtExchange(client_of("bybit", body, none), QUIRKS["bybit"]).positions()
    rows = [row for row in body["result"]["list"] if Decimal(row["size"])]
    assert len(found) == len(rows)
    for held, row in zip(found, rows, strict=True):
        assert held.quantity == Decimal(row["size"])
        assert held.leverage == Decimal(row["leverage"])
        assert held.entry_price == Decimal(row["avgPrice"])
        assert held.side == {"Buy": "long", "Sell": "short"}[row["side"]]


READ: dict[str, Callable[[Any], None]] = {
    r"http_get_orders_\w+": read_orders,
    r"http_get_executions": read_executions,
    r"http_get_wallet_balance\w*": read_wallet,
    r"http_get_instruments_\w+": read_instruments,
    r"http_get_user_query_api": read_key,
    r"http_get_orderbook": read_book,
    r"http_get_positions\w*": read_positions,
}
NOT_READ = {
    r"ws_\w+": "we read no streams",
    r"http_get_(account_info|fee_rate|funding_history|trades_recent|klines_linear)":
        "not asked by the adapter",
    r"test_\w+\.payloads": "read below",
}  # fmt: skip


@pytest.mark.parametrize("file", sorted(BYBIT.glob("*.json")), ids=lambda file: file.stem)
def test_recorded_answer_of_bybit(file: Path) -> None:
    for pattern, reason in NOT_READ.items():
        if re.fullmatch(pattern, file.stem):
            pytest.skip(reason)
    (read,) = [read for pattern, read in READ.items() if re.fullmatch(pattern, file.stem)]
    read(json.loads(file.read_text()))


# --- answers that another bot was tested with --------------------------------------------------

VALUES = {
    "symbol": "BTCUSDT", "instId": "BTC-USDT", "clientOrderId": CLIENT_ID, "clOrdId": CLIENT_ID,
    "clientOid": CLIENT_ID, "orderLinkId": CLIENT_ID, "origClientOrderId": CLIENT_ID,
    "orderId": "77", "ordId": "77", "id": "77", "execId": "78", "tradeId": "78", "price": "60000.1",
    "px": "60000.1", "fillPx": "60000.1", "origQty": "0.002", "qty": "0.0005", "sz": "0.002",
    "size": "0.002", "executedQty": "0.0005", "accFillSz": "0.0005", "fillSz": "0.0005",
    "commission": "0.01", "commissionAsset": "USDT", "fee": "-0.01", "feeCcy": "USDT",
    "quoteQty": "30", "cummulativeQuoteQty": "30", "avgPx": "60000", "asset": "BTC",
    "cumExecQty": "0.0005", "side": "BUY", "type": "LIMIT", "dealSize": "0.0005",
    "dealFunds": "30", "coin": "BTC",
}  # fmt: skip


def filled_in(payload: Any, field: str = "") -> Any:
    """Return a payload whose expressions are replaced by plausible values."""
    if isinstance(payload, dict):
        return {key: filled_in(value, key) for key, value in payload.items()}
    if isinstance(payload, list):
        return [filled_in(value, field) for value in payload]
    if isinstance(payload, str) and payload.startswith("<expr>"):
        return VALUES.get(field, "1")
    return payload


def recorded(pattern: str) -> list[Any]:
    """Return recorded answers of every exchange whose name fits."""
    files = [*sorted((DATA / "exchanges").glob("test_*_exchange.payloads.json")),
             BYBIT / "test_bybit_exchange.payloads.json"]  # fmt: skip
    found = []
    for file in files:
        name = file.name.split("_")[1]
        if not file.is_file():
            continue
        for function, entries in json.loads(file.read_text())["functions"].items():
            if re.search(pattern, function):
                found += [
                    pytest.param(name, filled_in(entry["payload"]), id=f"{name}-{function}-{n}")
                    for n, entry in enumerate(entries)
                    if isinstance(entry["payload"], dict | list) and entry["payload"]
                    and entry["target"] in {"return", "response", "creation_response", "resp",
                                            "place_order_resp", "order_status", "mock_response"}
                ]  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("name", "body"),
    recorded(
        r"order_creation_request_successful|test_create_(limit|market|limit_maker)_order_succ"
    ),
)
def test_recorded_acceptance_of_an_order(name: str, body: Any) -> None:
    venue, _ = exchange(name, body)
    outcome = venue.place("BTC/USDT", order())
    if isinstance(outcome, Unresolved):
        # Their stand-ins leave the id away now and then; then nothing is believed.
        assert not (body.get("result") or {}).get("orderId")
        return
    assert isinstance(outcome, Accepted)
    assert outcome.venue_id


@pytest.mark.parametrize(("name", "body"), recorded(r"order_not_found_error_order_status"))
def test_recorded_absence_is_none(name: str, body: Any) -> None:
    venue, _ = exchange(name, (400, body))
    assert venue.find("BTC/USDT", CLIENT_ID) is None


@pytest.mark.parametrize(("name", "body"), recorded(r"order_not_found_error_cancelation"))
def test_recorded_cancellation_of_what_is_gone_is_as_wanted(name: str, body: Any) -> None:
    venue, _ = exchange(name, (400, body))
    assert isinstance(venue.cancel("BTC/USDT", CLIENT_ID), Accepted)


@pytest.mark.parametrize(("name", "body"), recorded(r"server_overloaded_error"))
def test_recorded_overload_leaves_the_order_unresolved(name: str, body: Any) -> None:
    venue, network = exchange(name, (503, body))
    assert isinstance(venue.place("BTC/USDT", order()), Unresolved)
    assert len(network.sent) == 1


STATES = {
    "completely_filled": Status.FILLED,
    "canceled": Status.CANCELLED,
    "open": Status.OPEN,
    "partially_filled": Status.PARTIAL,
}


@pytest.mark.parametrize("state", sorted(STATES))
@pytest.mark.parametrize("name", ["binance", "mexc", "okx"])
def test_recorded_states_of_an_order(name: str, state: str) -> None:
    (found,) = [
        one.values[1] for one in recorded(rf"_order_status_request_{state}_mock")
        if one.values[0] == name
    ]  # fmt: skip
    whole = {"completely_filled": "0.002", "partially_filled": "0.0005"}.get(state, "0")
    for row in [found, *(found.get("data") or [])]:
        row.update({key: whole for key in ("executedQty", "accFillSz", "fillSz") if key in row})
        if name == "okx" and "side" in row:
            row["side"] = "buy"
    told = exchange(name, found)[0].find("BTC/USDT", CLIENT_ID)
    assert told is not None
    assert told.status is STATES[state]
    assert told.client_id == CLIENT_ID


@pytest.mark.parametrize(("name", "body"), recorded(r"balance_request_mock_response"))
def test_recorded_balances(name: str, body: Any) -> None:
    venue, _ = exchange(name, body)
    found = venue.balances()
    assert found
    assert all(balance.total == balance.free + balance.locked for balance in found.values())


# --- single rows, as the authors of the library keep them --------------------------------------


def samples(*functions: str) -> list[Any]:
    """Return sample rows of every exchange for these functions of the library."""
    found = []
    for name in NAMES:
        file = DATA / "exchanges" / "samples" / f"{name}.json"
        if file.is_file():
            found += [
                pytest.param(name, one["sample"], id=f"{name}-{one['function']}-{one['line']}")
                for one in json.loads(file.read_text())["samples"]
                if one["function"] in functions
            ]
    return found


def rows_in(sample: Any) -> list[dict[str, Any]]:
    """Return what may be single rows in a sample."""
    if isinstance(sample, list):
        return [row for part in sample for row in rows_in(part)]
    if not isinstance(sample, dict):
        return []
    inner = [row for key in ("data", "result", "list", "items") for row in rows_in(sample.get(key))]
    return inner or [sample]


QUANTITY = {"bybit": "qty", "binance": "origQty", "okx": "sz", "kucoin": "size", "mexc": "origQty"}


@pytest.mark.parametrize(("name", "sample"), samples("parse_order", "fetch_order"))
def test_sample_of_an_order_is_read_exactly_or_refused(name: str, sample: Any) -> None:
    client = client_of(name)
    reader = Reader(client, QUIRKS[name])
    for row in rows_in(sample):
        try:
            found = reader.order(client.parse_order(row, client.market("BTC/USDT")))
        except (ExchangeError, KeyError, ValueError):
            continue
        assert isinstance(found, VenueOrder)
        raw = row.get(QUANTITY[name])
        if raw not in (None, "", "0") and found.price is not None:
            assert found.quantity == Decimal(str(raw))
        assert found.filled <= found.quantity or found.status.is_final


@pytest.mark.parametrize(("name", "sample"), samples("parse_trade", "fetch_my_trades"))
def test_sample_of_a_fill_is_read_exactly_or_refused(name: str, sample: Any) -> None:
    client = client_of(name)
    reader = Reader(client, QUIRKS[name])
    reader.remember("BTC/USDT", "", "")
    for row in rows_in(sample):
        raw = client.parse_trade(row, client.market("BTC/USDT"))
        reader.remember("BTC/USDT", str(raw.get("order")), CLIENT_ID)
        try:
            fill = reader.fill("BTC/USDT", raw)
        except (ExchangeError, KeyError, ValueError, TypeError):
            continue
        assert isinstance(fill, Fill)
        assert fill.price.is_finite()
        assert fill.time.timestamp() * 1000 < NOW_MS * 2
