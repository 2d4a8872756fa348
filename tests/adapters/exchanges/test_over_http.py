"""The real library through our adapter against a stand-in that listens on a socket."""

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from redis import Redis

from app.adapters.exchanges import open_exchange, traffic
from app.adapters.exchanges.bases import use_bases
from app.adapters.exchanges.ccxt import CcxtExchange
from app.adapters.exchanges.check import check_keys
from app.adapters.exchanges.client import forget_markets
from app.adapters.exchanges.clock import Clocks
from app.adapters.exchanges.keys import ApiKeys
from app.adapters.exchanges.rate_broker import RateBroker
from app.trading.orders import Order, OrderKey, OrderKind, Purpose, Side, Status
from app.trading.ports import Accepted, Refused
from tests.doubles.bybit.server import DoubleServer, Hand, serve
from tests.doubles.bybit.venue import Venue

SECRET = "the-secret-of-a-customer-of-the-stand-in"
KEY = "customer-of-the-adapter"
PAIR = "AAA/USDT"


@pytest.fixture
def server() -> Iterator[DoubleServer]:
    server = serve(Venue())
    use_bases({"bybit": server.url})
    forget_markets()
    yield server
    use_bases({})
    forget_markets()
    server.shutdown()
    server.server_close()


@pytest.fixture
def hand(server: DoubleServer) -> Hand:
    hand = server.operator_hand()
    hand.do("customer", key=KEY, secret=SECRET, money={"USDT": "1000", "AAA": "10"})
    hand.do("push", symbol="AAAUSDT", prices=["100"])
    return hand


@pytest.fixture
def venue(hand: Hand) -> CcxtExchange:
    return open_exchange("bybit", ApiKeys(KEY, SECRET))


def buy(number: int, price: str | None = "99", quantity: str = "0.1") -> Order:
    return Order(
        f"by{number:024d}",
        OrderKey(Purpose.GRID, number, Side.BUY),
        0,
        OrderKind.LIMIT if price else OrderKind.MARKET,
        Decimal(price) if price else None,
        Decimal(quantity),
        Status.INTENDED,
    )


def private_calls() -> int:
    return traffic.calls.totals().get(("bybit", "private"), 0)


def test_life_of_an_order(venue: CcxtExchange, hand: Hand) -> None:
    order = buy(1)
    assert isinstance(venue.place(PAIR, order), Accepted)
    twin = venue.place(PAIR, order)
    assert isinstance(twin, Refused)
    assert twin.code == "duplicate_client_id"
    found = venue.find(PAIR, order.client_id)
    assert found is not None
    assert (found.status, found.price, found.quantity) == (
        Status.OPEN, Decimal(99), Decimal("0.1"),
    )  # fmt: skip
    hand.do("push", symbol="AAAUSDT", prices=["98"])
    look = venue.look({PAIR: {order.client_id: Decimal(0)}}, "")
    (fill,) = (fill for _, fill in look.fills)
    assert (fill.client_id, fill.price, fill.quantity) == (
        order.client_id, Decimal(99), Decimal("0.1"),
    )  # fmt: skip
    assert fill.fee_currency == "AAA"
    again = venue.find(PAIR, order.client_id)
    assert again is not None
    assert again.status is Status.FILLED
    assert venue.order_fills(PAIR, order.client_id) == (fill,)
    assert venue.balances()["USDT"].total == Decimal("1000") - Decimal("9.9")


def test_account_where_nothing_happens_costs_one_private_call_a_look(venue: CcxtExchange) -> None:
    orders = [buy(number, str(90 - number)) for number in range(5)]
    for order in orders:
        venue.place(PAIR, order)
    expected = {PAIR: {order.client_id: Decimal(0) for order in orders}}
    cursor, before = "", private_calls()
    for _ in range(10):
        look = venue.look(expected, cursor)
        assert look.fills == ()
        cursor = look.cursor
    assert private_calls() - before == 10


def test_cancelled_order_is_gone_and_cancelling_it_again_is_as_wanted(
    venue: CcxtExchange,
) -> None:
    order = buy(2)
    venue.place(PAIR, order)
    for _ in range(2):
        assert isinstance(venue.cancel(PAIR, order.client_id), Accepted)
    found = venue.find(PAIR, order.client_id)
    assert found is not None
    assert found.status is Status.CANCELLED
    assert venue.find(PAIR, "bynobody") is None


def test_too_little_money_refuses(venue: CcxtExchange) -> None:
    outcome = venue.place(PAIR, buy(3, "99", "1000"))
    assert isinstance(outcome, Refused)
    assert outcome.code == "insufficient_balance"


def test_key_check_passes_step_by_step(hand: Hand) -> None:
    assert check_keys("bybit", ApiKeys(KEY, SECRET)).passed
    wrong = check_keys("bybit", ApiKeys(KEY, "not-the-secret-of-this-customer"))
    assert wrong.failure is not None
    assert wrong.failure.code == "key_refused"


def test_limit_of_the_exchange_is_never_exceeded_through_the_broker(
    hand: Hand, redis_db: Redis
) -> None:
    traffic.use_network(RateBroker(lambda: redis_db), Clocks(lambda: redis_db))
    hand.do("limit", per_second={"order/create": 10})
    venue = open_exchange("bybit", ApiKeys(KEY, SECRET))
    began = time.monotonic()
    outcomes = [venue.place(PAIR, buy(number, "50", "0.1")) for number in range(30)]
    assert all(isinstance(one, Accepted) for one in outcomes), outcomes
    assert time.monotonic() - began > 1.9


def test_connection_is_kept_from_call_to_call(venue: CcxtExchange) -> None:
    for _ in range(20):
        venue.balances()
    # The one that asked for balances; pools are kept by address.
    manager = venue._client.session.get_adapter("http://").poolmanager
    (key,) = manager.pools.keys()
    pool = manager.pools.get(key)
    assert pool.num_requests >= 20
    assert pool.num_connections == 1
