"""The stand-in speaks v5 as the real library expects, and obeys the rules of the real exchange."""

import hashlib
import hmac
import json
import time
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from app.adapters.exchanges.bases import use_bases
from app.adapters.exchanges.client import forget_markets, make_client, share_markets
from app.adapters.exchanges.clock import Clocks
from app.adapters.exchanges.keys import ApiKeys
from app.adapters.exchanges.rate_broker import NoBroker
from app.adapters.exchanges.traffic import network, use_network
from tests.doubles.bybit.control import running_double
from tests.doubles.bybit.faults import Fault
from tests.doubles.bybit.rows import to_json
from tests.doubles.bybit.server import DoubleServer, serve
from tests.doubles.bybit.venue import FORGETTING, LATE, PARTIAL, UNORDERED, Venue

KEY, SECRET = "customer-one", "the-secret-of-customer-one"
SPOT, SWAP = "AAA/USDT", "AAA/USDT:USDT"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DoubleServer]:
    """Run the stand-in with one customer and a price of 100."""
    server = serve(Venue(journal=tmp_path / "journal"))
    server.operator.customer(KEY, SECRET, {"USDT": "10000"})
    server.operator.push("AAAUSDT", ["100"])
    server.operator.push("AAAUSDT", ["100"], "linear")
    use_bases({"bybit": server.url})
    forget_markets()
    before = network()
    use_network(NoBroker(), Clocks(None))
    yield server
    use_network(*before)
    use_bases({})
    forget_markets()
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(server: DoubleServer) -> Any:
    """Return the library's own class with the customer's keys."""
    return opened(SECRET)


def opened(secret: str, key: str = KEY) -> Any:
    client = make_client("bybit", ApiKeys(key, secret))
    share_markets(client, "bybit")
    return client


def limit(client: Any, link_id: str, side: str, price: str, amount: str = "1", **more: Any) -> Any:
    params = {"clientOrderId": link_id, **more}
    return client.create_order(SPOT, "limit", side, amount, price, params)


# --- who asks -------------------------------------------------------------------------------------


def test_a_wrong_signature_or_key_is_refused(server: DoubleServer) -> None:
    with pytest.raises(ccxt.AuthenticationError, match="10004"):
        opened("another-secret").fetch_balance()
    with pytest.raises(ccxt.AuthenticationError, match="10003"):
        opened(SECRET, "nobody").fetch_balance()


@pytest.mark.parametrize(("ahead_ms", "accepted"), [(0, True), (4000, True), (6000, False)])
def test_a_request_is_as_old_as_its_window_at_most(
    server: DoubleServer, ahead_ms: int, accepted: bool
) -> None:
    assert signed(server, time.time_ns() // 1_000_000 - ahead_ms) == (0 if accepted else 10002)


def test_a_request_from_the_future_is_refused(server: DoubleServer) -> None:
    assert signed(server, time.time_ns() // 1_000_000 + 500) == 0
    assert signed(server, time.time_ns() // 1_000_000 + 3000) == 10002


def signed(server: DoubleServer, at: int) -> int:
    query = "accountType=UNIFIED"
    sign = hmac.new(SECRET.encode(), f"{at}{KEY}5000{query}".encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"{server.url}/v5/account/wallet-balance?{query}",
        headers={
            "X-BAPI-API-KEY": KEY,
            "X-BAPI-TIMESTAMP": str(at),
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": sign,
        },
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return int(json.loads(answer.read())["retCode"])


def test_a_key_without_the_right_to_trade_reads_only(server: DoubleServer) -> None:
    server.operator.customer("reader", SECRET, {"USDT": "10"}, can_trade=False)
    reader = opened(SECRET, "reader")
    assert reader.fetch_balance()["USDT"]["total"] == "10"
    with pytest.raises(ccxt.PermissionDenied, match="10005"):
        limit(reader, "a", "buy", "90", "0.1")


# --- orders ---------------------------------------------------------------------------------------


def test_an_id_is_taken_while_its_order_rests_and_free_again_when_it_is_filled(
    client: Any, server: DoubleServer
) -> None:
    limit(client, "by1", "buy", "98")
    with pytest.raises(ccxt.InvalidOrder, match="110072"):
        limit(client, "by1", "buy", "98")
    server.operator.push("AAAUSDT", ["97.99"])
    limit(client, "by1", "buy", "90")
    assert len(server.venue.customers[KEY].by_link["by1"]) == 2


@pytest.mark.parametrize(
    ("price", "amount", "code"),
    [("98.001", "1", 170134), ("98", "0.00001", 170137), ("98", "0.0100", 170140)],
)
def test_orders_against_the_rules_are_refused(
    server: DoubleServer, price: str, amount: str, code: int
) -> None:
    answer = server.operator.venue
    with pytest.raises(Exception, match=str(code)):
        answer.create(
            answer.customers[KEY],
            {"category": "spot", "symbol": "AAAUSDT", "side": "Buy", "orderType": "Limit",
             "price": price, "qty": amount},
        )  # fmt: skip


def test_what_a_customer_lacks_is_refused(client: Any) -> None:
    with pytest.raises(ccxt.InsufficientFunds, match="170131"):
        limit(client, "a", "buy", "98", "103")
    with pytest.raises(ccxt.InsufficientFunds, match="170131"):
        limit(client, "b", "sell", "102", "1")
    # What an order has set aside is not free for another.
    limit(client, "c", "buy", "98", "60")
    with pytest.raises(ccxt.InsufficientFunds):
        limit(client, "d", "buy", "98", "60")


def test_a_price_has_to_trade_through_an_order_by_one_tick(
    client: Any, server: DoubleServer
) -> None:
    limit(client, "by1", "buy", "98")
    assert server.operator.push("AAAUSDT", ["98"]) == {"fills": 0}
    assert server.operator.push("AAAUSDT", ["97.99"]) == {"fills": 1}
    (fill,) = client.fetch_my_trades(SPOT)
    assert (fill["price"], fill["amount"], fill["takerOrMaker"]) == ("98", "1", "maker")
    # A buy pays its fee in what it receives.
    assert (fill["fee"]["cost"], fill["fee"]["currency"]) == ("0.001", "AAA")
    assert client.fetch_balance()["AAA"]["total"] == "0.999"


def test_what_could_trade_at_once_pays_the_last_price_as_taker(client: Any) -> None:
    limit(client, "by1", "buy", "101")
    client.create_order(SPOT, "market", "sell", "0.5", None, {"clientOrderId": "by2"})
    sell, buy = sorted(client.fetch_my_trades(SPOT), key=lambda fill: fill["side"], reverse=True)
    assert (buy["price"], buy["takerOrMaker"]) == ("100", "taker")
    assert (sell["fee"]["cost"], sell["fee"]["currency"]) == ("0.0500", "USDT")


def test_a_post_only_order_never_takes(client: Any) -> None:
    with pytest.raises(ccxt.InvalidOrder, match="170218"):
        limit(client, "by1", "buy", "101", postOnly=True)
    limit(client, "by1", "buy", "99", postOnly=True)


def test_an_order_is_found_open_then_in_the_history_and_cancelled_once(client: Any) -> None:
    limit(client, "by1", "buy", "98")
    (order,) = client.fetch_open_orders(SPOT, None, None, {"orderLinkId": "by1"})
    assert (order["status"], order["price"], order["remaining"]) == ("open", "98", "1")
    client.cancel_order(None, SPOT, {"orderLinkId": "by1"})
    assert client.fetch_open_orders(SPOT) == []
    (order,) = client.fetch_canceled_orders(SPOT, None, None, {"orderLinkId": "by1"})
    assert order["status"] == "canceled"
    with pytest.raises(ccxt.InvalidOrder, match="170142"):
        client.cancel_order(None, SPOT, {"orderLinkId": "by1"})
    with pytest.raises(ccxt.OrderNotFound, match="170213"):
        client.cancel_order(None, SPOT, {"orderLinkId": "never"})


def test_all_orders_are_cancelled_at_once(client: Any) -> None:
    for number in range(3):
        limit(client, f"by{number}", "buy", "98")
    assert len(client.cancel_all_orders(SPOT)) == 3
    assert client.fetch_open_orders(SPOT) == []


def test_long_lists_come_in_pages(client: Any, server: DoubleServer) -> None:
    venue, customer = server.venue, server.venue.customers[KEY]
    for number in range(120):
        venue.create(
            customer,
            {"category": "spot", "symbol": "AAAUSDT", "side": "Buy", "orderType": "Limit",
             "price": "98", "qty": "0.1", "orderLinkId": f"by{number}"},
        )  # fmt: skip
    pages, cursor = [], ""
    while True:
        rows = client.fetch_open_orders(SPOT, None, 50, {"cursor": cursor} if cursor else {})
        if not rows:
            break
        pages.append(len(rows))
        cursor = next(
            (r["info"]["nextPageCursor"] for r in rows if r["info"].get("nextPageCursor")), ""
        )
        if not cursor:
            break
    assert pages == [50, 50, 20]
    server.operator.push("AAAUSDT", ["97"])
    answer = client.privateGetV5ExecutionList({"category": "spot", "limit": 100})["result"]
    rest = client.privateGetV5ExecutionList(
        {"category": "spot", "limit": 100, "cursor": answer["nextPageCursor"]}
    )["result"]
    ids = {row["execId"] for row in (*answer["list"], *rest["list"])}
    assert (len(answer["list"]), len(rest["list"]), len(ids)) == (100, 20, 120)


def test_executions_are_asked_for_seven_days_at_most(client: Any) -> None:
    week = 7 * 86_400_000
    with pytest.raises(ccxt.BadRequest, match="10001"):
        client.fetch_my_trades(SPOT, 1_000, 50, {"until": 1_001 + week})


def test_a_conditional_order_waits_for_its_price_and_locks_nothing(
    client: Any, server: DoubleServer
) -> None:
    limit(client, "by1", "buy", "101")
    client.create_order(
        SPOT, "market", "sell", "0.9", None, {"clientOrderId": "stop", "triggerPrice": "95"}
    )
    assert (
        client.fetch_open_orders(SPOT, None, None, {"trigger": True})[0]["clientOrderId"] == "stop"
    )
    limit(client, "by2", "sell", "120", "0.5")
    assert server.operator.push("AAAUSDT", ["95.01"]) == {"fills": 0}
    # It triggers, and then the coins that another order holds are lacking.
    server.operator.push("AAAUSDT", ["95"])
    (order,) = server.venue.customers[KEY].by_link["stop"]
    assert order.status == "Rejected"
    client.create_order(
        SPOT, "market", "sell", "0.4", None, {"clientOrderId": "stop2", "triggerPrice": "94"}
    )
    server.operator.push("AAAUSDT", ["93.5"])
    (order,) = server.venue.customers[KEY].by_link["stop2"]
    assert (order.status, order.value) == ("Filled", Decimal("37.40"))


# --- contracts ------------------------------------------------------------------------------------


def contract(client: Any, link_id: str, side: str, amount: str, price: str | None = None) -> Any:
    kind = "market" if price is None else "limit"
    return client.create_order(SWAP, kind, side, amount, price, {"clientOrderId": link_id})


def position_of(client: Any) -> tuple[str, str, str]:
    (found,) = client.fetch_positions([SWAP])
    return found["side"], found["contracts"], found["entryPrice"]


def test_a_position_grows_shrinks_and_turns(client: Any, server: DoubleServer) -> None:
    contract(client, "a", "buy", "2")
    server.operator.push("AAAUSDT", ["110"], "linear")
    contract(client, "b", "buy", "2")
    assert position_of(client) == ("long", "4", "105")
    contract(client, "c", "sell", "5")
    (position,) = client.fetch_positions([SWAP])
    assert (position["side"], position["contracts"], position["entryPrice"]) == (
        "short",
        "1",
        "110",
    )
    # 4 closed at 110 from 105, less the fees of 200 + 220 + 550.
    wallet = server.venue.customers[KEY].wallet["USDT"]
    assert wallet == Decimal(10_000) + 20 - Decimal("0.97")


def test_a_contract_needs_margin_by_its_leverage(client: Any) -> None:
    with pytest.raises(ccxt.InsufficientFunds, match="110007"):
        contract(client, "a", "buy", "200")
    client.set_leverage(5, SWAP)
    contract(client, "b", "buy", "200")


def test_reduce_only_never_opens(client: Any, server: DoubleServer) -> None:
    params = {"clientOrderId": "r", "reduceOnly": True}
    with pytest.raises(ccxt.InvalidOrder, match="110017"):
        client.create_order(SWAP, "market", "sell", "1", None, params)
    contract(client, "a", "buy", "1")
    client.create_order(SWAP, "market", "sell", "3", None, params)
    assert server.venue.customers[KEY].positions["AAAUSDT"].size == 0


def test_a_protective_stop_closes_the_position_when_the_price_falls(
    client: Any, server: DoubleServer
) -> None:
    contract(client, "a", "buy", "1")
    params = {
        "clientOrderId": "stop",
        "reduceOnly": True,
        "triggerPrice": "95",
        "triggerDirection": "descending",
    }
    client.create_order(SWAP, "market", "sell", "1", None, params)
    server.operator.push("AAAUSDT", ["96"], "linear")
    assert server.venue.customers[KEY].positions["AAAUSDT"].size == 1
    server.operator.push("AAAUSDT", ["94"], "linear")
    assert server.venue.customers[KEY].positions["AAAUSDT"].size == 0


def test_funding_is_paid_and_stands_among_the_executions(client: Any, server: DoubleServer) -> None:
    contract(client, "a", "buy", "2")
    before = server.venue.customers[KEY].wallet["USDT"]
    server.operator.fund("AAAUSDT", "0.0001")
    assert before - server.venue.customers[KEY].wallet["USDT"] == Decimal("0.02")
    rows = client.privateGetV5ExecutionList({"category": "linear"})["result"]["list"]
    assert [row["execType"] for row in rows] == ["Funding", "Trade"]
    assert len(client.fetch_my_trades(SWAP)) == 1


# --- limits and faults ----------------------------------------------------------------------------


def test_limits_are_told_and_kept(client: Any, server: DoubleServer) -> None:
    server.operator.limit({"order/create": 2})
    limit(client, "a", "buy", "98")
    headers = {name.lower(): value for name, value in client.last_response_headers.items()}
    assert headers["x-bapi-limit"] == "2"
    assert headers["x-bapi-limit-status"] == "1"
    assert int(headers["x-bapi-limit-reset-timestamp"]) > time.time() * 1000
    limit(client, "b", "buy", "98")
    with pytest.raises(ccxt.RateLimitExceeded, match="10006"):
        limit(client, "c", "buy", "98")
    assert len(client.fetch_open_orders(SPOT)) == 2


@pytest.mark.parametrize("acted", [True, False])
@pytest.mark.parametrize("kind", ["lost", "http", "html", "garbage", "truncated", "dropped"])
def test_an_answer_goes_wrong_after_or_before_the_exchange_acted(
    client: Any, server: DoubleServer, kind: str, acted: bool
) -> None:
    server.faults.add(Fault(kind, "order/create", times=1, acted=acted))
    with pytest.raises(Exception):  # noqa: B017 - the library raises all kinds
        limit(client, "by1", "buy", "98")
    assert len(server.venue.customers[KEY].open_orders()) == acted
    assert sum(server.faults.struck.values()) == 1
    # The connection, or a new one, is of use again.
    limit(client, "by2", "buy", "98")


def test_a_request_that_arrives_twice_is_refused_the_second_time(
    client: Any, server: DoubleServer
) -> None:
    server.faults.add(Fault("twice", "order/create", times=1))
    with pytest.raises(ccxt.InvalidOrder, match="110072"):
        limit(client, "by1", "buy", "98")
    assert len(server.venue.customers[KEY].open_orders()) == 1


def test_an_answer_that_comes_twice_spoils_no_later_one(client: Any, server: DoubleServer) -> None:
    server.faults.add(Fault("answer_twice", times=3))
    limit(client, "by1", "buy", "98")
    assert client.fetch_balance()["USDT"]["used"] == "98"
    assert len(client.fetch_open_orders(SPOT)) == 1
    assert client.fetch_my_trades(SPOT) == []


def test_a_forgotten_order_rests_unseen_for_a_while(client: Any, server: DoubleServer) -> None:
    server.faults.add(Fault("forget", "order/create", times=1, ms=300))
    limit(client, "by1", "buy", "98")
    assert client.fetch_open_orders(SPOT) == []
    with pytest.raises(ccxt.InvalidOrder, match="110072"):
        limit(client, "by1", "buy", "98")
    time.sleep(0.35)
    assert len(client.fetch_open_orders(SPOT)) == 1


def test_fills_are_told_late_and_in_parts(client: Any, server: DoubleServer) -> None:
    server.operator.habits(partial=1.0, late_fills=1.0, late_ms=1)
    limit(client, "by1", "buy", "98")
    server.operator.push("AAAUSDT", ["97"])
    (order,) = client.fetch_open_orders(SPOT)
    assert 0 < Decimal(order["filled"]) < 1
    server.operator.habits(partial=0.0, late_ms=400)
    server.operator.push("AAAUSDT", ["96"])
    assert client.fetch_open_orders(SPOT) == []
    told = len(client.fetch_my_trades(SPOT))
    time.sleep(0.45)
    fills = client.fetch_my_trades(SPOT)
    assert told < len(fills)
    assert sum(Decimal(fill["amount"]) for fill in fills) == 1


def test_each_habit_is_counted_when_it_strikes_and_only_then(
    client: Any, server: DoubleServer
) -> None:
    def habits() -> dict[str, int]:
        counts = server.operator.counts()["habits"]
        return {name: counts.get(name, 0) for name in (PARTIAL, LATE, UNORDERED, FORGETTING)}

    server.faults.add(Fault("forget", "order/create", times=1, ms=1))
    for number, price in enumerate(("98", "97", "96", "95"), 1):
        limit(client, f"by{number}", "buy", price)
    server.operator.push("AAAUSDT", ["94"])
    assert len(client.fetch_my_trades(SPOT)) == 4
    # What a fault hides is not the habit's doing.
    assert set(habits().values()) == {0}
    server.operator.habits(partial=1.0, late_fills=1.0, late_ms=1, forget=1.0, forget_ms=1)
    limit(client, "by5", "buy", "93")
    server.operator.push("AAAUSDT", ["92"])
    assert habits() == {PARTIAL: 1, LATE: 1, UNORDERED: 0, FORGETTING: 1}
    server.operator.habits(unordered=True)
    for _ in range(20):
        client.fetch_my_trades(SPOT)
    assert 0 < habits()[UNORDERED] <= 20


# --- its own memory -------------------------------------------------------------------------------


def test_the_books_survive_the_process(client: Any, server: DoubleServer, tmp_path: Path) -> None:
    limit(client, "by1", "buy", "98")
    limit(client, "by2", "buy", "97")
    contract(client, "a", "sell", "1")
    server.operator.push("AAAUSDT", ["97.5"])
    before = server.venue
    after = Venue(journal=tmp_path / "journal")
    old, new = before.customers[KEY], after.customers[KEY]
    assert old.wallet == new.wallet
    assert [to_json(order) for order in old.orders.values()] == [
        to_json(order) for order in new.orders.values()
    ]
    assert [to_json(row) for row in old.executions] == [to_json(row) for row in new.executions]
    assert old.positions == new.positions
    assert [order.link_id for order in new.open_orders()] == ["by2"]
    assert after.prices == before.prices
    assert after.create(new, {**_ASKED, "orderLinkId": "by3"}).order_id not in old.orders
    after.journal.close()


_ASKED = {
    "category": "spot", "symbol": "AAAUSDT", "side": "Buy", "orderType": "Limit",
    "price": "90", "qty": "1",
}  # fmt: skip


def test_it_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    with running_double(tmp_path / "journal") as control:
        control.do("customer", key=KEY, secret=SECRET, money={"USDT": "500"})
        assert control.push("100", "101") == 0
        control.fail(Fault("delay", ms=1))
        assert control.books(KEY)["wallet"] == {"USDT": "500"}
        with pytest.raises(OSError):
            control.do("no_such_thing")
