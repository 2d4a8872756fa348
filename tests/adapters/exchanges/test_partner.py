"""The operator's partner id: none unless set, then on every order, and ids stay ours."""

from typing import Any

import pytest

from app.adapters.exchanges.ccxt import CcxtExchange
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.quirks import QUIRKS
from app.settings.rules import PARTNER_IDS
from app.trading.ports import Accepted
from tests.adapters.exchanges.canned import (
    ACCEPTED,
    CLIENT_ID,
    KEYS,
    NOW_MS,
    Network,
    connect,
    order,
    spot_market,
)

NAMES = sorted(QUIRKS)
OTHERS = ("CCXT", "ccxt", "x-TKT5PX2F", "6b9ad766b55dBCDE", "KC-API-PARTNER", "Botyard")
OURS = "OurName"


def account(name: str, partner_id: str, *answers: Any) -> tuple[CcxtExchange, Network]:
    client = make_client(name, KEYS, partner_id=partner_id)
    client.set_markets([spot_market(name)])
    network = connect(client, *answers)
    return CcxtExchange(client, QUIRKS[name], now_ms=lambda: NOW_MS), network


def everything_sent(network: Network) -> str:
    return " ".join(f"{one.url} {one.headers} {one.body}" for one in network.sent)


@pytest.mark.parametrize("price", ["60000.1", None], ids=["limit", "market"])
@pytest.mark.parametrize("name", NAMES)
def test_without_a_setting_nobodys_partner_id_goes_out(name: str, price: str | None) -> None:
    venue, network = account(name, "", ACCEPTED[name])
    venue.place("BTC/USDT", order(price=price))
    venue.cancel("BTC/USDT", CLIENT_ID)
    sent = everything_sent(network)
    for tag in OTHERS:
        assert tag not in sent
    assert len(network.sent) == 2
    for request in network.sent:
        names = {header.lower() for header in request.headers}
        assert not names & {"referer", "source", "kc-api-partner"}


@pytest.mark.parametrize("name", sorted(PARTNER_IDS))
def test_own_partner_id_goes_out_with_every_order(name: str) -> None:
    venue, network = account(name, OURS, ACCEPTED[name])
    assert venue.place("BTC/USDT", order()) == Accepted("77")
    (request,) = network.sent
    quirks = QUIRKS[name]
    if quirks.partner_header:
        assert request.headers[quirks.partner_header] == OURS
    elif quirks.partner_param:
        assert request.fields[quirks.partner_param] == OURS
    else:
        assert request.fields["newClientOrderId"] == f"{quirks.partner_prefix}{OURS}{CLIENT_ID}"
    for tag in OTHERS:
        assert tag not in everything_sent(network)


def test_id_that_begins_with_the_partner_is_ours_again_when_read() -> None:
    told = {
        "symbol": "BTCUSDT", "orderId": 77, "clientOrderId": f"x-{OURS}{CLIENT_ID}",
        "price": "60000.10", "origQty": "0.002", "executedQty": "0", "cummulativeQuoteQty": "0",
        "status": "NEW", "timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "time": NOW_MS,
        "updateTime": NOW_MS,
    }  # fmt: skip
    venue, network = account("binance", OURS, told)
    found = venue.find("BTC/USDT", CLIENT_ID)
    assert found is not None
    assert found.client_id == CLIENT_ID
    assert f"x-{OURS}{CLIENT_ID}" in network.sent[0].url
    venue.cancel("BTC/USDT", CLIENT_ID)
    assert f"x-{OURS}{CLIENT_ID}" in network.sent[1].url


def test_exchange_without_a_way_has_no_setting() -> None:
    able = {
        name
        for name, quirks in QUIRKS.items()
        if quirks.partner_header or quirks.partner_param or quirks.partner_prefix
    }
    assert able == PARTNER_IDS.keys()
