"""Clients: exact numbers, shared markets, one try."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.adapters.exchanges import client as client_module
from app.adapters.exchanges import open_exchange, public
from app.adapters.exchanges.client import forget_markets, make_client, share_markets
from app.adapters.exchanges.quirks import QUIRKS
from app.errors import Unavailable
from tests.adapters.exchanges import canned
from tests.adapters.exchanges.canned import KEYS, connect, spot_market

NAMES = sorted(QUIRKS)


@pytest.fixture(autouse=True)
def _no_shared_markets() -> Iterator[None]:
    forget_markets()
    yield
    forget_markets()


def load(client: Any) -> None:
    client.set_markets([spot_market(client.id)])


@pytest.mark.parametrize("name", NAMES)
def test_markets_are_loaded_once_and_shared_by_reference(name: str) -> None:
    loaded = []

    def count(client: Any) -> None:
        loaded.append(client)
        load(client)

    first, second = make_client(name, KEYS), make_client(name)
    share_markets(first, name, load=count)
    share_markets(second, name, load=count)
    assert first.markets is second.markets
    assert len(loaded) == 1
    # The shared markets came without anybody's key.
    assert loaded[0].apiKey in (None, "")


def test_testnet_has_markets_of_its_own() -> None:
    first, second = make_client("bybit"), make_client("bybit", testnet=True)
    share_markets(first, "bybit", load=load)
    share_markets(second, "bybit", testnet=True, load=load)
    assert first.markets is not second.markets


@pytest.mark.parametrize("name", NAMES)
def test_client_has_a_time_out_and_tries_once(name: str) -> None:
    client = make_client(name, KEYS)
    assert client.timeout <= 10_000
    assert client.options.get("maxRetriesOnFailure", 0) == 0


def test_numbers_of_an_answer_never_pass_through_a_float() -> None:
    client = make_client("mexc")
    connect(client, '{"serverTime": 1, "value": 0.100000000000000005551}')
    answer = client.fetch("https://api.mexc.com/api/v3/time")
    assert Decimal(answer["value"]) == Decimal("0.100000000000000005551")


def test_exchange_without_answer_can_not_be_opened() -> None:
    with pytest.raises(Unavailable):
        open_exchange("bybit", KEYS)


def test_prices_rules_and_candles_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client("binance")
    load(client)
    rows = [[canned.NOW_MS, "1.5", "2", "1", "1.75", "9.25"]]
    connect(
        client,
        lambda request: (
            rows
            if "klines" in request.path
            else [{"symbol": "BTCUSDT", "lastPrice": "60000.10", "closeTime": canned.NOW_MS}]
        ),
    )
    monkeypatch.setattr(public._threads, "clients", {"binance": client}, raising=False)
    quotes = public.quotes("binance", ["BTC/USDT", "NOT/LISTED"])
    assert quotes == {"BTC/USDT": public.Quote(Decimal("60000.1"))}
    monkeypatch.setattr(client_module, "reload_markets", lambda name: client)
    assert public.markets("binance")["BTC/USDT"].tick == Decimal("0.1")
    since = datetime.fromtimestamp(canned.NOW_MS / 1000, UTC)
    (candle,) = public.candles("binance", "BTC/USDT", "1h", since)
    assert (candle.ts_ms, candle.close, candle.volume) == (
        canned.NOW_MS, Decimal("1.75"), Decimal("9.25"),
    )  # fmt: skip


def test_prices_of_an_exchange_that_is_away_are_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = make_client("binance")
    load(client)
    connect(client, (503, "maintenance"))
    monkeypatch.setattr(public._threads, "clients", {"binance": client}, raising=False)
    with pytest.raises(Unavailable):
        public.quotes("binance", ["BTC/USDT"])
