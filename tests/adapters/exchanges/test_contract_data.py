"""What an exchange tells of contracts: rules, maintenance margins, funding, forced closings."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.adapters.exchanges import public
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.quirks import QUIRKS
from app.adapters.exchanges.reading import to_market, to_tiers
from app.errors import DomainError
from app.markets import public_source
from app.markets.sources import MarketState
from app.trading.market import MarginRule, MarketKind, Tier
from app.trading.order_queues import DELEVERAGING, LIQUIDATION
from tests.adapters.exchanges.canned import NOW_MS, Network, Request, connect, spot_market
from tests.adapters.exchanges.test_looking import contract, two_kinds
from tests.adapters.exchanges.test_reading import bybit, bybit_fill
from tests.conftest import shared_folder

D = Decimal
BYBIT = QUIRKS["bybit"]
SYMBOL = "BTC/USDT:USDT"
LINEAR = shared_folder() / "data" / "bybit" / "capture" / "instruments-info-linear-16.json"


def row(number: int, value: str, rate: str, initial: str, most: str, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "symbol": "BTCUSDT", "riskLimitValue": value, "maintenanceMargin": rate,
        "initialMargin": initial, "isLowestRisk": int(number == 1), "maxLeverage": most, **more,
    }  # fmt: skip


FRACTIONS = [
    row(1, "2000000", "0.005", "0.01", "100.00", mmDeduction=""),
    row(2, "2600000", "0.0056", "0.011111", "90.00", mmDeduction="1200"),
    row(3, "3200000", "0.0063", "0.0125", "80.00", mmDeduction="3020"),
]
PERCENT = [
    row(1, "2000000", "0.5", "1", "100.00"),
    row(2, "2600000", "0.56", "1.1111", "90.00"),
    row(3, "3200000", "0.63", "1.25", "80.00"),
]
TIERS = (
    Tier(D(0), D("0.005"), D(0)),
    Tier(D(2_000_000), D("0.0056"), D(1200)),
    Tier(D(2_600_000), D("0.0063"), D(3020)),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the public questions be answered by a function."""

    def set_up(*answers: Any) -> Network:
        client = make_client("bybit")
        client.set_markets([spot_market("bybit"), contract()])
        network = connect(client, *answers)
        monkeypatch.setattr(public._threads, "clients", {"bybit": client}, raising=False)
        return network

    return set_up


@pytest.mark.parametrize("rows", [FRACTIONS, PERCENT], ids=["fractions", "percent"])
def test_maintenance_margins_are_read_however_they_are_told(asked: Any, rows: Any) -> None:
    network = asked(bybit(rows))
    assert public.tiers("bybit", SYMBOL) == TIERS
    assert network.sent[0].path == "/v5/market/risk-limit"
    assert network.sent[0].query == {"category": "linear", "symbol": "BTCUSDT"}


def test_margins_are_continuous_where_a_tier_begins() -> None:
    tiers = to_tiers(
        [
            {"minNotional": value, "maintenanceMarginRate": rate, "maxLeverage": "50", "info": {}}
            for value, rate in (("5000", "0.02"), ("0", "0.01"), ("9000", "0.05"))
        ],
        BYBIT,
    )
    for before, after in zip(tiers, tiers[1:], strict=False):
        value = after.floor
        assert value * before.rate - before.amount == value * after.rate - after.amount


def test_prices_of_coins_and_contracts_are_two_calls_and_funding_comes_along(asked: Any) -> None:
    due = NOW_MS + 3_600_000

    def answer(request: Request) -> Any:
        told = {"symbol": "BTCUSDT", "lastPrice": "60000.5"}
        if request.query["category"] == "linear":
            told |= {
                "lastPrice": "60001", "fundingRate": "-0.00012", "nextFundingTime": str(due),
                "openInterestValue": "1",
            }  # fmt: skip
        return bybit([told])

    network = asked(answer)
    quotes = public.quotes("bybit", ["BTC/USDT", SYMBOL, "NOT/LISTED"])
    assert sorted(request.query["category"] for request in network.sent) == ["linear", "spot"]
    assert quotes == {
        "BTC/USDT": public.Quote(D("60000.5")),
        SYMBOL: public.Quote(D(60001), D("-0.00012"), datetime.fromtimestamp(due / 1000, UTC)),
    }


def test_a_contract_has_the_exchanges_fees_leverage_and_margin_rule() -> None:
    raw = {
        **contract(),
        "maker": "0.0001",
        "taker": "0.0006",
        "info": {"fundingInterval": 240},
        "limits": {**contract().get("limits", {}), "leverage": {"min": "1", "max": "75.00"}},
    }
    market = to_market(raw, BYBIT)
    assert (market.maker_fee, market.taker_fee) == (D("0.0002"), D("0.00055"))
    assert (market.max_leverage, market.funding_interval_s) == (D(75), 14_400)
    assert (market.kind, market.margin_rule) == (MarketKind.LINEAR, MarginRule.POSITION)
    coins = to_market(spot_market("bybit"), BYBIT)
    assert (coins.max_leverage, coins.funding_interval_s) == (None, None)
    assert (coins.maker_fee, coins.margin_rule) == (D("0.001"), MarginRule.WALLET)


@pytest.mark.shared
@pytest.mark.skipif(not LINEAR.exists(), reason=f"{LINEAR} is not there")
def test_every_recorded_contract_gives_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    rows = json.loads(LINEAR.read_text())["list"]
    assert rows
    client = make_client("bybit")
    connect(client, bybit(rows))
    found = {raw["id"]: to_market(raw, BYBIT) for raw in client.fetch_future_markets()}
    for told in rows:
        market = found[told["symbol"]]
        assert market.max_leverage == D(told["leverageFilter"]["maxLeverage"])
        assert market.funding_interval_s == told["fundingInterval"] * 60
        assert market.tick == D(told["priceFilter"]["tickSize"])
        assert market.lot == D(told["lotSizeFilter"]["qtyStep"])
        assert market.min_notional == D(told["lotSizeFilter"]["minNotionalValue"])


@pytest.mark.parametrize(("kind", "told"), [("BustTrade", LIQUIDATION), ("AdlTrade", DELEVERAGING)])
def test_a_closing_by_the_exchange_is_told_by_its_kind(kind: str, told: str) -> None:
    forced = {
        **bybit_fill(3, NOW_MS - 1000), "orderLinkId": "", "execType": kind, "feeCurrency": "",
    }  # fmt: skip
    own = {**bybit_fill(4, NOW_MS - 900), "orderLinkId": "byours", "feeCurrency": ""}
    paid = {**bybit_fill(5, NOW_MS - 800), "orderLinkId": "", "execType": "Funding"}
    venue, network = two_kinds(bybit([forced, own, paid]))
    page = venue.fills_since(SYMBOL, str(NOW_MS))
    assert [fill.client_id for fill in page.fills] == [told, "byours"]
    # Left to itself the library asks for ordinary trades alone, and never hears of the others.
    assert "execType" not in network.sent[-1].query


# --- the feed -------------------------------------------------------------------------------------


def state() -> MarketState:
    return MarketState(1, "bybit", SYMBOL, "BTC", D("0.1"), "", 0, 0, None)


def test_a_rate_falls_due_once_when_its_time_has_passed() -> None:
    import queue

    poller = public_source._Poller("bybit", queue.SimpleQueue())
    first, second = (datetime.fromtimestamp(NOW_MS / 1000 + hours * 3600, UTC) for hours in (0, 8))
    told = [("0.0001", first), ("0.0002", first), ("0.0003", second), ("0.0004", second)]
    due = [
        poller._points([state()], {SYMBOL: public.Quote(D(60000), D(rate), at)}).points[1][0]
        for rate, at in told
    ]
    assert [point.funding for point in due] == [None, None, D("0.0002"), None]


def test_rules_bring_margins_and_go_on_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import queue

    poller = public_source._Poller("bybit", queue.SimpleQueue())
    raw = {**contract(), "info": {"fundingInterval": 480}}
    monkeypatch.setattr(public, "markets", lambda name: {SYMBOL: to_market(raw, BYBIT)})
    monkeypatch.setattr(public, "tiers", lambda name, symbol: TIERS)
    rules = poller._read_rules([state()]).rules[1]
    assert rules is not None
    assert (rules.tiers, rules.funding_interval_s) == (TIERS, 28_800)

    def away(name: str, symbol: str) -> Any:
        raise DomainError("exchange_unreachable")

    monkeypatch.setattr(public, "tiers", away)
    again = poller._read_rules([state()]).rules[1]
    assert again is not None
    assert again.tiers == ()


def test_contracts_are_asked_for_only_where_bots_trade_them() -> None:
    source = public_source.PublicSource()
    assert source.covers(state()) == "ccxt:bybit"
    elsewhere = MarketState(2, "binance", SYMBOL, "BTC", None, "", 0, 0, None)
    assert source.covers(elsewhere) is None
