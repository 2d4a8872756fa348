"""Stop orders that rest at the exchange."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.adapters.exchanges.ccxt import CcxtExchange
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.quirks import QUIRKS
from app.trading.orders import Order, OrderKind, Side, Status
from app.trading.ports import Accepted, Refused
from tests.adapters.exchanges.canned import (
    ACCEPTED,
    CLIENT_ID,
    KEYS,
    NOW_MS,
    Network,
    connect,
    exchange,
    order,
    spot_market,
)
from tests.adapters.exchanges.test_looking import contract
from tests.adapters.exchanges.test_reading import bybit, bybit_order

NAMES = sorted(QUIRKS)


def stop(side: Side = Side.SELL) -> Order:
    return replace(order(price="55000.1", side=side), kind=OrderKind.STOP)


def account(*answers: Any) -> tuple[CcxtExchange, Network]:
    client = make_client("bybit", KEYS)
    client.set_markets([spot_market("bybit"), contract()])
    network = connect(client, *answers)
    return CcxtExchange(client, QUIRKS["bybit"], now_ms=lambda: NOW_MS), network


def test_stop_on_coins_waits_at_its_trigger_and_is_sized_in_coins() -> None:
    venue, network = account(ACCEPTED["bybit"])
    assert venue.place("BTC/USDT", stop()) == Accepted("77")
    fields = network.sent[0].fields
    assert (fields["triggerPrice"], fields["qty"]) == ("55000.1", "0.001234")
    assert (fields["orderType"], fields["orderFilter"]) == ("Market", "StopOrder")
    assert (fields["marketUnit"], fields["orderLinkId"]) == ("baseCoin", CLIENT_ID)
    assert "price" not in fields
    assert "triggerDirection" not in fields


@pytest.mark.parametrize(("side", "direction"), [(Side.SELL, 2), (Side.BUY, 1)])
def test_stop_on_a_contract_only_reduces_and_waits_on_the_losing_side(
    side: Side, direction: int
) -> None:
    venue, network = account(ACCEPTED["bybit"])
    assert venue.place("BTC/USDT:USDT", stop(side)) == Accepted("77")
    sent: Any = network.sent[0].fields
    assert (sent["reduceOnly"], sent["triggerDirection"]) == (True, direction)
    assert (sent["category"], sent["triggerPrice"]) == ("linear", "55000.1")


def test_stop_is_cancelled_among_the_stops() -> None:
    venue, network = account(ACCEPTED["bybit"])
    venue.place("BTC/USDT", stop())
    assert isinstance(venue.cancel("BTC/USDT", CLIENT_ID), Accepted)
    assert isinstance(venue.cancel("BTC/USDT", "byanother"), Accepted)
    assert [request.fields["orderFilter"] for request in network.sent[1:]] == ["StopOrder", "Order"]


WAITING = bybit_order(
    orderType="Market", price="0", triggerPrice="55000.1", orderStatus="Untriggered", side="Sell"
)


def test_stop_is_told_with_its_trigger_also_after_a_restart() -> None:
    venue, network = account(bybit([WAITING]), bybit([WAITING]), ACCEPTED["bybit"])
    look = venue.look({"BTC/USDT": {CLIENT_ID: Decimal(0)}}, str(NOW_MS))
    assert look.orders is not None
    (told,) = look.orders["BTC/USDT"]
    assert (told.kind, told.price, told.status) == (
        OrderKind.STOP, Decimal("55000.1"), Status.OPEN,
    )  # fmt: skip
    assert venue.find("BTC/USDT", CLIENT_ID) == told
    venue.cancel("BTC/USDT", CLIENT_ID)
    assert network.sent[-1].fields["orderFilter"] == "StopOrder"


@pytest.mark.parametrize(
    ("state", "status"), [("Deactivated", Status.CANCELLED), ("Triggered", Status.OPEN)]
)
def test_stop_that_ended_or_was_triggered(state: str, status: Status) -> None:
    venue, _ = account(bybit([{**WAITING, "orderStatus": state}]))
    found = venue.find("BTC/USDT", CLIENT_ID)
    assert found is not None
    assert found.status is status


@pytest.mark.parametrize("name", [name for name in NAMES if not QUIRKS[name].has_stops])
def test_exchange_without_stops_refuses_them_here(name: str) -> None:
    venue, network = exchange(name, ACCEPTED[name])
    assert venue.place("BTC/USDT", stop()) == Refused("stop_not_supported")
    assert network.sent == []


def test_binance_takes_a_stop_where_the_pair_allows_it() -> None:
    client = make_client("binance", KEYS)
    market = spot_market("binance")
    client.set_markets([{**market, "info": {"orderTypes": ["LIMIT", "STOP_LOSS"]}}])
    network = connect(client, ACCEPTED["binance"])
    venue = CcxtExchange(client, QUIRKS["binance"], now_ms=lambda: NOW_MS)
    assert venue.place("BTC/USDT", stop()) == Accepted("77")
    fields = network.sent[0].fields
    assert (fields["type"], fields["stopPrice"]) == ("STOP_LOSS", "55000.1")
    assert fields["newClientOrderId"] == CLIENT_ID
