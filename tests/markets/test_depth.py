"""The best bids and asks: as the exchange tells them, or made up and said so."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.models import User
from app.adapters.exchanges import public
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.quirks import QUIRKS
from app.db import db, utc_now
from app.errors import Unavailable
from app.markets import depth
from app.markets.models import MarketRow
from app.transactions import transaction
from tests.adapters.exchanges.canned import NOW_MS, connect, spot_market
from tests.client import Client
from tests.factories import make_market, make_user

Login = Callable[[User], Client]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(
    price=st.decimals("0.00001", "200000", places=5),
    tick=st.sampled_from(["0.00001", "0.0001", "0.01", "0.1", "5"]),
    seed=st.integers(0, 10**9),
)
def test_made_levels_lie_on_steps_around_the_price_and_never_cross(
    price: Decimal, tick: str, seed: int
) -> None:
    step = Decimal(tick)
    found = depth.simulated(price, step, seed, NOW)
    assert found.is_simulated
    assert len(found.asks) == 10
    bids, asks = [one.price for one in found.bids], [one.price for one in found.asks]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    for one in (*found.bids, *found.asks):
        assert one.price > 0
        assert one.price % step == 0
        assert one.quantity > 0
    if bids:
        assert bids[0] < price
        assert bids[0] < asks[0]
    assert asks[0] >= price
    assert found == depth.simulated(price, step, seed, NOW)


BOOKS: dict[str, Any] = {
    "bybit": {"retCode": 0, "result": {
        "s": "BTCUSDT", "ts": NOW_MS, "b": [["60000.1", "0.5"], ["60000", "1.25"]],
        "a": [["60000.2", "0.75"]]}},
    "binance": {"lastUpdateId": 1, "bids": [["60000.1", "0.5"], ["60000", "1.25"]],
                "asks": [["60000.2", "0.75"]]},
    "okx": {"code": "0", "data": [{"ts": str(NOW_MS), "asks": [["60000.2", "0.75", "0", "1"]],
            "bids": [["60000.1", "0.5", "0", "1"], ["60000", "1.25", "0", "2"]]}]},
    "kucoin": {"code": "200000", "data": {"time": NOW_MS, "sequence": "1",
               "bids": [["60000.1", "0.5"], ["60000", "1.25"]], "asks": [["60000.2", "0.75"]]}},
    "mexc": {"lastUpdateId": 1, "timestamp": NOW_MS, "asks": [["60000.2", "0.75"]],
             "bids": [["60000.1", "0.5"], ["60000", "1.25"]]},
}  # fmt: skip


def canned(monkeypatch: pytest.MonkeyPatch, name: str, answer: Any) -> Any:
    client = make_client(name)
    client.set_markets([spot_market(name)])
    network = connect(client, answer)
    monkeypatch.setattr(public._threads, "clients", {name: client}, raising=False)
    return network


@pytest.mark.parametrize("name", sorted(QUIRKS))
def test_book_of_an_exchange_is_read_exactly(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    canned(monkeypatch, name, BOOKS[name])
    book = public.order_book(name, "BTC/USDT", 10)
    assert book.bids == (
        (Decimal("60000.1"), Decimal("0.5")), (Decimal(60000), Decimal("1.25")),
    )  # fmt: skip
    assert book.asks == ((Decimal("60000.2"), Decimal("0.75")),)


@pytest.mark.parametrize("ask", ["60000.1", "59999.9"], ids=["locked", "crossed"])
def test_a_book_whose_bids_reach_its_asks_is_refused_and_said_on_the_page(
    customer: Client, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    spoilt = {"s": "BTCUSDT", "ts": NOW_MS, "b": [["60000.1", "1"]], "a": [[ask, "1"]]}
    canned(monkeypatch, "bybit", {"retCode": 0, "result": spoilt})
    with pytest.raises(Unavailable) as refused:
        public.order_book("bybit", "BTC/USDT", 10)
    assert refused.value.code == "exchange_book_crossed"
    row = pair("ccxt:bybit", symbol="BTC/USDT")
    answer = customer.get(f"/markets/{row.id}/depth")
    assert answer.status_code == 200
    assert "shows bids above asks" in answer.text
    # What bots go by is there all the same.
    assert "100.5" in answer.text


def test_levels_of_no_price_no_size_or_out_of_order_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [["0", "1"], ["-5", "1"], ["60000", "0"], ["59990", "2"], ["60000.1", "1"], ["", "1"]]
    told = {"s": "BTCUSDT", "ts": NOW_MS, "b": rows, "a": [["0", "3"], ["60000.2", "1"]]}
    canned(monkeypatch, "bybit", {"retCode": 0, "result": told})
    book = public.order_book("bybit", "BTC/USDT", 10)
    assert [str(price) for price, _ in book.bids] == ["60000.1", "59990.0"]
    assert [str(price) for price, _ in book.asks] == ["60000.2"]


@pytest.mark.parametrize("price", ["0", "-1", "0.0", "NaN", "Infinity", ""])
def test_a_price_of_zero_or_no_number_is_no_price(
    monkeypatch: pytest.MonkeyPatch, price: str
) -> None:
    told = {"category": "spot", "list": [{"symbol": "BTCUSDT", "lastPrice": price}]}
    canned(monkeypatch, "bybit", {"retCode": 0, "result": told})
    assert public.quotes("bybit", ["BTC/USDT"]) == {}


@pytest.mark.parametrize("symbol", ["BTC/USDT", "NOT/LISTED"])
def test_exchange_that_is_away_or_lacks_the_pair_is_unavailable(
    symbol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    canned(monkeypatch, "bybit", (503, "maintenance"))
    with pytest.raises(Unavailable):
        public.order_book("bybit", symbol, 10)


@pytest.fixture
def customer(database: None, login_as: Login) -> Client:
    with transaction():
        return login_as(make_user())


def pair(source: str, **values: Any) -> MarketRow:
    with transaction():
        row = make_market(**values)
        row.source = source
        row.last_price, row.last_price_at, row.last_seq = Decimal("100.5"), utc_now(), 7
        db.session.flush()
        return row


def test_page_of_a_pair_shows_price_and_a_simulated_book_honestly(customer: Client) -> None:
    row = pair("synthetic")
    page = customer.get(f"/markets/{row.id}").text
    assert row.symbol in page
    block = customer.get(f"/markets/{row.id}/depth").text
    assert "A simulated book" in block
    assert block.count("<tr>") >= 20
    assert "100.5" in block


def test_book_of_an_exchange_is_asked_once_for_all_who_look(
    customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = pair("ccxt:bybit")
    asked = []

    def fetch(exchange: str, symbol: str, levels: int) -> public.OrderBook:
        asked.append((exchange, symbol, levels))
        return public.OrderBook(
            ((Decimal("100.4"), Decimal(2)),), ((Decimal("100.6"), Decimal(3)),), None
        )

    monkeypatch.setattr(public, "order_book", fetch)
    for _ in range(3):
        block = customer.get(f"/markets/{row.id}/depth").text
        assert "100.4" in block
        assert "simulated" not in block
    assert asked == [(row.exchange, row.symbol, 10)]


def test_exchange_that_does_not_answer_is_named(
    customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = pair("ccxt:bybit")

    def fetch(exchange: str, symbol: str, levels: int) -> public.OrderBook:
        raise Unavailable("exchange_unreachable", exchange=exchange)

    monkeypatch.setattr(public, "order_book", fetch)
    answer = customer.get(f"/markets/{row.id}/depth")
    assert answer.status_code == 200
    assert "does not answer now" in answer.text


def test_pair_without_a_price_says_so(customer: Client) -> None:
    with transaction():
        row = make_market()
        row.last_price = row.last_price_at = None
    assert "no price of this pair yet" in customer.get(f"/markets/{row.id}/depth").text


@pytest.mark.parametrize("words", ["", "BTC", "zzz", "🚀" * 100, "%", "<script>"])
def test_pairs_are_searched(customer: Client, words: str) -> None:
    pair("synthetic")
    answer = customer.get("/markets", query_string={"q": words})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize("number", [0, 10**30, 999_999])
def test_unknown_pair_is_not_found(customer: Client, number: int) -> None:
    for path in (f"/markets/{number}", f"/markets/{number}/depth"):
        assert customer.get(path).status_code == 404
