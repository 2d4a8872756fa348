"""One look at a whole account."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.adapters.exchanges.ccxt import CcxtExchange
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.looking import WORTH_A_LIST
from app.adapters.exchanges.quirks import QUIRKS
from app.errors import Unavailable
from app.trading.ports import Accepted
from tests.adapters.exchanges.canned import (
    CLIENT_ID,
    KEYS,
    NOW_MS,
    Network,
    Request,
    connect,
    exchange,
    spot_market,
)
from tests.adapters.exchanges.test_reading import ORDERS, bybit, bybit_fill, bybit_order

NAMES = sorted(QUIRKS)
NONE_OPEN: dict[str, Any] = {
    "bybit": bybit([]),
    "binance": [],
    "okx": {"code": "0", "data": []},
    "kucoin": {"code": "200000", "data": []},
    "mexc": [],
}
FILLS_PATHS = ("/execution/list", "/myTrades", "/fills-history", "/fills")


def one_open(name: str) -> Any:
    """Return the list of open orders that holds the order of the reading tests."""
    told = ORDERS[name]
    if name == "kucoin":
        return {"code": "200000", "data": [told["data"]]}
    return told if name in {"bybit", "okx"} else [told]


EXPECTED = {"BTC/USDT": {CLIENT_ID: Decimal("0.0005")}}


@pytest.mark.parametrize("name", NAMES)
def test_account_where_nothing_happened_costs_one_private_call(name: str) -> None:
    venue, network = exchange(name, one_open(name))
    look = venue.look(EXPECTED, str(NOW_MS))
    assert len(network.sent) == 1
    assert look.fills == ()
    assert look.orders is not None
    assert [order.client_id for order in look.orders["BTC/USDT"]] == [CLIENT_ID]
    assert look.cursor == str(NOW_MS)


DIFFERENT: list[dict[str, dict[str, Decimal]]] = [
    {"BTC/USDT": {}},
    {"BTC/USDT": {CLIENT_ID: Decimal(0)}},
    {"BTC/USDT": {CLIENT_ID: Decimal("0.0005"), "byother": Decimal(0)}},
]


@pytest.mark.parametrize("expected", DIFFERENT, ids=["unknown", "filled", "vanished"])
@pytest.mark.parametrize("name", NAMES)
def test_whatever_differs_from_what_was_expected_brings_the_fills(
    name: str, expected: dict[str, dict[str, Decimal]]
) -> None:
    empty = {"kucoin": {"code": "200000", "data": {"items": []}}}

    def answer(request: Request) -> Any:
        if request.path.endswith(FILLS_PATHS):
            return empty.get(name, NONE_OPEN[name])
        return one_open(name)

    venue, network = exchange(name, answer)
    venue.look(expected, str(NOW_MS))
    assert len(network.sent) == 2
    assert network.sent[1].path.endswith(FILLS_PATHS)


def test_whole_look_always_tells_both() -> None:
    fill = bybit_fill(1, NOW_MS - 1000)
    venue, network = exchange(
        "bybit", lambda request: bybit([fill]) if "execution" in request.path else one_open("bybit")
    )
    look = venue.look(EXPECTED, str(NOW_MS), whole=True)
    assert look.orders is not None
    assert [(symbol, fill.trade_id) for symbol, fill in look.fills] == [("BTC/USDT", "x1")]
    assert [request.path for request in network.sent] == [
        "/v5/order/realtime",
        "/v5/execution/list",
    ]


def test_more_orders_than_fit_on_a_page_are_not_read_when_fills_tell_enough() -> None:
    venue, network = exchange("bybit", bybit([]))
    many = {"BTC/USDT": {f"by{number}": Decimal(0) for number in range(60)}}
    look = venue.look(many, str(NOW_MS))
    assert look.orders is None
    assert [request.path for request in network.sent] == ["/v5/execution/list"]


@pytest.mark.parametrize("name", NAMES)
def test_venue_that_does_not_answer_is_unavailable(name: str) -> None:
    venue, _ = exchange(name, (500, "oops"))
    with pytest.raises(Unavailable):
        venue.look(EXPECTED, "")


def contract() -> dict[str, Any]:
    market = spot_market("bybit")
    return {
        **market, "symbol": "BTC/USDT:USDT", "type": "swap", "spot": False, "swap": True,
        "contract": True, "linear": True, "inverse": False, "settle": "USDT", "settleId": "USDT",
        "contractSize": "1",
    }  # fmt: skip


def two_kinds(*answers: Any) -> tuple[CcxtExchange, Network]:
    """Return an account with the coins and a contract of the same name at the exchange."""
    client = make_client("bybit", KEYS)
    client.set_markets([spot_market("bybit"), contract()])
    network = connect(client, *answers)
    return CcxtExchange(client, QUIRKS["bybit"], now_ms=lambda: NOW_MS), network


def test_coins_and_contract_of_one_name_are_told_apart() -> None:
    # Rows of a unified account look alike for both.
    rows = {
        "spot": [bybit_order(orderId="1", orderLinkId="byspot", tpslMode="", category="spot")],
        "linear": [bybit_order(orderId="2", orderLinkId="bylinear", tpslMode="Full")],
    }
    fills = {
        "spot": [{**bybit_fill(1, NOW_MS - 10), "createType": "CreateByUser"}],
        "linear": [{**bybit_fill(2, NOW_MS - 5), "createType": "CreateByUser", "feeCurrency": ""}],
    }

    def answer(request: Request) -> Any:
        category = request.query["category"]
        return bybit((fills if "execution" in request.path else rows)[category])

    venue, network = two_kinds(answer)
    look = venue.look({"BTC/USDT": {}, "BTC/USDT:USDT": {}}, str(NOW_MS))
    assert look.orders is not None
    ids = {symbol: [one.client_id for one in orders] for symbol, orders in look.orders.items()}
    assert ids == {"BTC/USDT": ["byspot"], "BTC/USDT:USDT": ["bylinear"]}
    assert [(symbol, fill.trade_id) for symbol, fill in look.fills] == [
        ("BTC/USDT", "x1"), ("BTC/USDT:USDT", "x2"),
    ]  # fmt: skip
    assert [fill.fee_currency for _, fill in look.fills] == ["BTC", "USDT"]
    assert len(network.sent) == 4


def test_orders_in_pairs_without_bots_are_told_too() -> None:
    client = make_client("bybit", KEYS)
    other = {**spot_market("bybit"), "id": "ETHUSDT", "symbol": "ETH/USDT", "base": "ETH"}
    client.set_markets([spot_market("bybit"), other])
    connect(client, bybit([bybit_order(symbol="ETHUSDT", orderLinkId="bylost")]))
    venue = CcxtExchange(client, QUIRKS["bybit"], now_ms=lambda: NOW_MS)
    look = venue.look({"BTC/USDT": {}}, "", whole=False)
    assert look.orders is not None
    assert [order.client_id for order in look.orders["ETH/USDT"]] == ["bylost"]


def test_cursor_of_several_lines_reaches_back_to_the_oldest() -> None:
    venue, network = exchange("bybit", bybit([]))
    venue.look({"BTC/USDT": {CLIENT_ID: Decimal(0)}}, f"A/USDT={NOW_MS - 9000}\nB/USDT={NOW_MS}")
    assert int(network.sent[-1].query["startTime"]) == NOW_MS - 9000 - 5 * 60 * 1000


@pytest.mark.parametrize("cursor", ["", "garbage", "BTC/USDT="])
def test_cursor_that_says_nothing_reaches_back_a_day(cursor: str) -> None:
    venue, network = exchange("bybit", bybit([]))
    venue.look({"BTC/USDT": {CLIENT_ID: Decimal(0)}}, cursor)
    assert int(network.sent[-1].query["startTime"]) == NOW_MS - 24 * 3600 * 1000


def test_all_fills_of_one_order_are_read_however_old_it_is() -> None:
    created = NOW_MS - 20 * 86_400_000
    order = bybit_order(
        orderStatus="PartiallyFilled", cumExecQty="0.0002", createdTime=str(created)
    )
    fills = [bybit_fill(1, created + 1000), bybit_fill(2, NOW_MS - 86_400_000)]

    def answer(request: Request) -> Any:
        if "execution" not in request.path:
            return bybit([order])
        assert request.query["orderLinkId"] == CLIENT_ID
        since, until = int(request.query["startTime"]), int(request.query["endTime"])
        return bybit([one for one in fills if since <= int(one["execTime"]) <= until])

    venue, _ = exchange("bybit", answer)
    found = venue.order_fills("BTC/USDT", CLIENT_ID)
    assert [fill.trade_id for fill in found] == ["x1", "x2"]


def test_funding_of_a_contract_is_told_apart_from_its_fills() -> None:
    paid = {
        **bybit_fill(7, NOW_MS - 60_000),
        "execType": "Funding",
        "execFee": "0.012",
        "feeCurrency": "",
    }
    received = {**paid, "execId": "x8", "execFee": "-0.0034", "execTime": str(NOW_MS - 30_000)}

    def answer(request: Request) -> Any:
        assert request.query["execType"] == "Funding"
        return bybit([paid, received])

    venue, _ = two_kinds(answer)
    page = venue.funding_since("BTC/USDT:USDT", str(NOW_MS))
    told = [(one.funding_id, one.amount, one.currency, one.symbol) for one in page.rows]
    assert told == [
        ("x7", Decimal("-0.012"), "USDT", "BTC/USDT:USDT"),
        ("x8", Decimal("0.0034"), "USDT", "BTC/USDT:USDT"),
    ]
    assert page.cursor == str(NOW_MS)


def test_spot_exchange_has_no_funding_and_is_not_asked() -> None:
    venue, network = exchange("kucoin", (500, "oops"))
    assert venue.funding_since("BTC/USDT", "").rows == ()
    assert network.sent == []


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_that_the_exchange_has_dropped_does_not_keep_the_others_from_being_seen(
    name: str,
) -> None:
    def answer(request: Request) -> Any:
        fills = {"kucoin": {"code": "200000", "data": {"items": []}}}.get(name, NONE_OPEN[name])
        return fills if request.path.endswith(FILLS_PATHS) else one_open(name)

    venue, network = exchange(name, answer)
    gone = "GONE/USDT"
    look = venue.look({**EXPECTED, gone: {"byofagonepair": Decimal(0)}}, str(NOW_MS), whole=False)
    assert look.orders is not None
    assert [order.client_id for order in look.orders["BTC/USDT"]] == [CLIENT_ID]
    assert look.orders[gone] == ()
    asked = len(network.sent)
    # Orders end with their pair: there is nothing to ask for.
    assert venue.find(gone, "byofagonepair") is None
    assert venue.cancel(gone, "byofagonepair") == Accepted()
    assert venue.position(gone) is None
    assert len(network.sent) == asked


@pytest.mark.parametrize("others", [("BTC/USDT",), ()], ids=["beside another", "alone"])
def test_the_last_fills_of_a_pair_that_was_dropped_or_renamed_are_not_lost(
    others: tuple[str, ...],
) -> None:
    """MATIC became POL: what was filled before is told under the old name."""
    row = {**bybit_fill(7, NOW_MS - 60_000), "symbol": "GONEUSDT", "feeCurrency": "GONE"}

    def answer(request: Request) -> Any:
        return bybit([row] if request.path.endswith("/execution/list") else [])

    venue, _ = exchange("bybit", answer)
    expected = {symbol: {"byother": Decimal(0)} for symbol in (*others, "GONE/USDT")}
    look = venue.look(expected, str(NOW_MS - 120_000))
    ((symbol, fill),) = look.fills
    assert (symbol, fill.client_id, fill.fee_currency) == ("GONE/USDT", CLIENT_ID, "GONE")


# --- orders of other people on the account --------------------------------------------------------

LOOK_ONE_BY_ONE = ["binance", "kucoin", "mexc"]


def trade(name: str, number: int) -> dict[str, Any]:
    """Return a fill of an order that the fill does not name as we do."""
    at = NOW_MS - 60_000 + number * 10
    if name == "kucoin":
        return {
            "id": str(number), "symbol": "BTC-USDT", "orderId": f"o{number}", "side": "buy",
            "liquidity": "taker", "price": "60000", "size": "0.1", "funds": "6000", "fee": "0",
            "feeCurrency": "USDT", "type": "limit", "createdAt": at,
        }  # fmt: skip
    return {
        "symbol": "BTCUSDT", "id": number, "orderId": f"o{number}", "price": "60000", "qty": "0.1",
        "quoteQty": "6000", "commission": "0", "commissionAsset": "USDT", "time": at,
        "isBuyer": True, "isMaker": False,
    }  # fmt: skip


def listed(name: str, number: int) -> dict[str, Any]:
    """Return the order of such a fill: the first is ours, the others have names of their own."""
    told = ORDERS[name]["data"] if name == "kucoin" else ORDERS[name]
    client_id = CLIENT_ID if number == 0 else f"web{number}"
    names = {"id": f"o{number}", "clientOid": client_id, "createdAt": NOW_MS - 70_000 + number}
    if name != "kucoin":
        names = {
            "orderId": f"o{number}", "clientOrderId": client_id, "time": NOW_MS - 70_000 + number,
        }  # fmt: skip
    return {**told, **names}


class Busy:
    """An account on which somebody else trades; of a list at most so many orders are told."""

    def __init__(self, name: str, count: int, most: int = 1000, refuses: bool = False) -> None:
        self.name, self.count, self.most, self.refuses = name, count, most, refuses

    def answer(self, request: Request) -> Any:
        is_kucoin = self.name == "kucoin"
        if request.path.endswith(FILLS_PATHS):
            rows = [trade(self.name, number) for number in range(self.count)]
            return {"code": "200000", "data": {"items": rows}} if is_kucoin else rows
        if request.path.endswith(("/openOrders", "/active")):
            return NONE_OPEN[self.name]
        if request.path.endswith(("/allOrders", "/done")):
            if self.refuses:
                return {"code": "400100", "msg": "no"} if is_kucoin else (400, {"code": -1127})
            span = [int(request.query[key]) for key in ("startTime", "endTime", "startAt", "endAt")
                    if key in request.query]  # fmt: skip
            assert 0 < span[1] - span[0] < 86_400_000
            rows = [listed(self.name, number) for number in range(self.count)]
            at = "createdAt" if is_kucoin else "time"
            rows = [row for row in rows if span[0] <= row[at] <= span[1]]
            # KuCoin tells the newest first.
            page = rows[::-1][: self.most] if is_kucoin else rows[: self.most]
            return {"code": "200000", "data": {"items": page}} if is_kucoin else page
        name = request.query.get("orderId") or request.path.rsplit("/", 1)[1]
        found = listed(self.name, int(name.removeprefix("o")))
        return {"code": "200000", "data": found} if is_kucoin else found


def calls_of_looks(busy: Busy) -> list[int]:
    """Return how many calls each look costs, having seen that each tells all fills as theirs."""
    venue, network = exchange(busy.name, busy.answer)
    calls = []
    for _ in range(2):
        before = len(network.sent)
        look = venue.look({"BTC/USDT": {}}, str(NOW_MS), whole=True)
        names = [fill.client_id for _, fill in look.fills]
        assert names == [CLIENT_ID, *(f"web{number}" for number in range(1, busy.count))]
        calls.append(len(network.sent) - before)
    return calls


@pytest.mark.parametrize("name", LOOK_ONE_BY_ONE)
def test_orders_of_others_are_asked_for_together_and_once(name: str) -> None:
    assert calls_of_looks(Busy(name, 40)) == [3, 2]


@pytest.mark.parametrize("name", LOOK_ONE_BY_ONE)
def test_few_orders_of_others_are_looked_up_one_by_one(name: str) -> None:
    assert calls_of_looks(Busy(name, WORTH_A_LIST - 1)) == [2 + WORTH_A_LIST - 1, 2]


@pytest.mark.parametrize("name", LOOK_ONE_BY_ONE)
def test_a_list_of_orders_that_is_refused_holds_nothing_up(name: str) -> None:
    assert calls_of_looks(Busy(name, 10, refuses=True)) == [13, 2]


@pytest.mark.parametrize("name", LOOK_ONE_BY_ONE)
def test_more_orders_of_others_than_a_list_tells_are_read_page_by_page(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, _, params = QUIRKS[name].orders_list or ("", 0, {})
    paged = replace(QUIRKS[name], orders_list=(method, 20, params))
    monkeypatch.setitem(QUIRKS, name, paged)
    first, second = calls_of_looks(Busy(name, 70, most=20))
    assert (first <= 10, second) == (True, 2)
