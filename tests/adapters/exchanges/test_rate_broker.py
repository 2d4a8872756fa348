"""Limits shared by threads and processes, fair between accounts, urgent calls first."""

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from app.adapters.exchanges import traffic
from app.adapters.exchanges.clock import Clocks
from app.adapters.exchanges.errors import RateLimitedError
from app.adapters.exchanges.quirks import QUIRKS
from app.adapters.exchanges.quirks.kinds import Lane, Limits, Rate, Scope
from app.adapters.exchanges.rate_broker import Caller, LocalLimits, RateBroker, account_name
from app.trading.ports import Accepted, Unresolved
from tests.adapters.exchanges.canned import ACCEPTED, CLIENT_ID, exchange, order

WIDE = Rate(10_000, 1)


def caller(
    account: str = "one", address: Rate = WIDE, own: Rate = WIDE, code: str = "bybit"
) -> Caller:
    limits = Limits(address=address, account=dict.fromkeys(Lane, own))
    return Caller(replace(QUIRKS[code], limits=limits), "test", account)


@pytest.fixture
def redis(redis_db: Redis) -> Iterator[Redis]:
    redis_db.flushdb()
    yield redis_db
    redis_db.flushdb()


def broker(redis: Redis, patience_s: float = 4.0) -> RateBroker:
    return RateBroker(lambda: redis, patience_s=patience_s)


def test_no_more_calls_than_the_limit_allows_in_any_window(redis: Redis) -> None:
    one, who = broker(redis), caller(own=Rate(20, 1))
    moments = []
    for _ in range(50):
        one.acquire(who, Lane.CANCEL, 1)
        moments.append(time.monotonic())
    # 20 at once, 20 in the next second, 10 after that.
    assert 2 <= moments[-1] - moments[0] < 8
    for start in range(len(moments) - 20):
        assert moments[start + 20] - moments[start] > 0.95


def test_accounts_have_limits_of_their_own(redis: Redis) -> None:
    one = broker(redis, patience_s=0.0)
    first, second = caller("one", own=Rate(3, 60)), caller("two", own=Rate(3, 60))
    for who in (first, second):
        for _ in range(3):
            one.acquire(who, Lane.CANCEL, 1)
        with pytest.raises(RateLimitedError) as error:
            one.acquire(who, Lane.CANCEL, 1)
        assert error.value.values["retry_after_s"] > 10


def test_kinds_of_calls_are_counted_apart_and_some_room_is_left_for_urgent_ones(
    redis: Redis,
) -> None:
    one, who = broker(redis, patience_s=0.0), caller(address=Rate(10, 600))
    for _ in range(8):
        one.acquire(who, Lane.READ, 1)
    with pytest.raises(RateLimitedError):
        one.acquire(who, Lane.READ, 1)
    one.acquire(who, Lane.PLACE, 1)
    with pytest.raises(RateLimitedError):
        one.acquire(who, Lane.PLACE, 1)
    # Whatever happens, there is room to take an order back.
    one.acquire(who, Lane.CANCEL, 1)


def test_weights_count_on_the_address(redis: Redis) -> None:
    one, who = broker(redis, patience_s=0.0), caller(address=Rate(100, 600))
    one.acquire(who, Lane.CANCEL, 80)
    with pytest.raises(RateLimitedError):
        one.acquire(who, Lane.CANCEL, 40)
    one.acquire(who, Lane.CANCEL, 15)


def test_cancel_passes_everything_that_waits(redis: Redis) -> None:
    # Long enough that all of them wait before there is room again.
    who = caller(address=Rate(10, 2))
    done: list[Lane] = []
    lock = threading.Lock()

    def call(lane: Lane, account: str) -> None:
        broker(redis, patience_s=20).acquire(who._replace(account=account), lane, 1)
        with lock:
            done.append(lane)

    for _ in range(10):
        broker(redis).acquire(who, Lane.CANCEL, 1)
    reads = [threading.Thread(target=call, args=(Lane.READ, f"r{n}")) for n in range(8)]
    for thread in reads:
        thread.start()
    time.sleep(0.5)
    cancels = [threading.Thread(target=call, args=(Lane.CANCEL, f"c{n}")) for n in range(4)]
    for thread in cancels:
        thread.start()
    for thread in reads + cancels:
        thread.join(60)
        assert not thread.is_alive()
    # A read or two may have slipped through before the cancels came.
    assert done.index(Lane.CANCEL) <= 2
    assert Counter(done[:7])[Lane.CANCEL] == 4


def test_account_with_many_callers_does_not_starve_the_others(redis: Redis) -> None:
    who = caller(address=Rate(20, 1))
    served: Counter[str] = Counter()
    lock = threading.Lock()
    ends_at = time.monotonic() + 3

    def call(account: str) -> None:
        one = broker(redis, patience_s=30)
        while time.monotonic() < ends_at:
            one.acquire(who._replace(account=account), Lane.CANCEL, 1)
            with lock:
                served[account] += 1

    greedy = [threading.Thread(target=call, args=("greedy",)) for _ in range(6)]
    modest = [threading.Thread(target=call, args=(f"modest{n}",)) for n in range(2)]
    for thread in greedy + modest:
        thread.start()
    for thread in greedy + modest:
        thread.join(60)
        assert not thread.is_alive()
    fewest = min(served["modest0"], served["modest1"])
    # A third each; six callers against two would leave an eighth each.
    assert fewest >= sum(served.values()) * 0.19, served


def _hammer(url: str, seconds: float, results: Any) -> None:
    with Redis.from_url(url) as connection:
        one = RateBroker(lambda: connection, patience_s=30)
        who = caller(address=Rate(100, 1))
        made, ends_at = 0, time.monotonic() + seconds
        while time.monotonic() < ends_at:
            one.acquire(
                who._replace(account=multiprocessing.current_process().name), Lane.CANCEL, 1
            )
            made += 1
        results.put(made)


@pytest.mark.long
def test_several_processes_together_keep_to_one_limit(redis: Redis, redis_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_hammer, args=(redis_url, 3, results)) for _ in range(2)]
    began = time.monotonic()
    for process in processes:
        process.start()
    made = [results.get(timeout=60) for _ in processes]
    took = time.monotonic() - began
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sum(made) <= 100 + 100 * took
    assert min(made) > 0
    # And the limit is used, not wasted.
    assert sum(made) >= 150


def test_exceeded_limit_of_an_address_stops_all_who_share_it(redis: Redis) -> None:
    first, second = caller("one"), caller("two")
    broker(redis).correct(first, Scope.ADDRESS, None, None, 30)
    for who in (first, second):
        with pytest.raises(RateLimitedError) as error:
            broker(redis).acquire(who, Lane.CANCEL, 1)
        assert 25 < error.value.values["retry_after_s"] <= 30


def test_exceeded_limit_of_an_account_stops_nobody_else(redis: Redis) -> None:
    broker(redis).correct(caller("one"), Scope.ACCOUNT, Lane.PLACE, None, 30)
    with pytest.raises(RateLimitedError):
        broker(redis).acquire(caller("one"), Lane.PLACE, 1)
    broker(redis).acquire(caller("one"), Lane.CANCEL, 1)
    broker(redis).acquire(caller("two"), Lane.PLACE, 1)


def test_short_stop_is_waited_for(redis: Redis) -> None:
    broker(redis).correct(caller(), Scope.ADDRESS, None, None, 0.3)
    began = time.monotonic()
    broker(redis).acquire(caller(), Lane.READ, 1)
    assert 0.2 < time.monotonic() - began < 2


def test_what_an_exchange_says_is_left_is_believed_when_it_is_less(redis: Redis) -> None:
    who = caller(own=Rate(100, 600))
    broker(redis).correct(who, Scope.ACCOUNT, Lane.CANCEL, 2, 0)
    one = broker(redis, patience_s=0.0)
    for _ in range(2):
        one.acquire(who, Lane.CANCEL, 1)
    with pytest.raises(RateLimitedError):
        one.acquire(who, Lane.CANCEL, 1)
    # Never more than we know of ourselves.
    broker(redis).correct(who, Scope.ACCOUNT, Lane.CANCEL, 90, 0)
    with pytest.raises(RateLimitedError):
        one.acquire(who, Lane.CANCEL, 1)


def test_without_redis_a_process_keeps_to_a_small_part_by_itself() -> None:
    away = Redis.from_url("redis://localhost:1/0", socket_connect_timeout=0.2)
    one = RateBroker(lambda: away, patience_s=0.0)
    made = 0
    with pytest.raises(RateLimitedError):
        for _ in range(200):
            one.acquire(caller(own=Rate(80, 600)), Lane.CANCEL, 1)
            made += 1
    assert made == 10
    one.correct(caller("other"), Scope.ADDRESS, None, None, 5)
    with pytest.raises(RateLimitedError):
        one.acquire(caller("other"), Lane.CANCEL, 1)


def test_local_limits_fill_up_again() -> None:
    now = [0.0]
    limits = LocalLimits(lambda: now[0])
    wanted = [("bucket", Rate(16, 1), 1.0)]
    assert [limits.ask(wanted) for _ in range(2)] == [0, 0]
    assert limits.ask(wanted) == pytest.approx(0.5)
    now[0] = 0.5
    assert limits.ask(wanted) == 0


def test_redis_holds_no_key(redis: Redis) -> None:
    secret = "k-public-0123456789"
    broker(redis).acquire(caller(account_name(secret)), Lane.READ, 1)
    names = str(redis.keys("*"))
    assert "rate:bybit" in names
    assert secret not in names


# --- answers of exchanges ---------------------------------------------------------------------


class Spy:
    """A broker that remembers what it was told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Lane, float]] = []
        self.told: list[tuple[Scope, Lane | None, float | None, float]] = []

    def acquire(self, caller: Caller, lane: Lane, cost: float) -> None:
        self.asked.append((caller.account, lane, cost))

    def correct(
        self, caller: Caller, scope: Scope, lane: Lane | None, left: float | None, stop_s: float
    ) -> None:
        self.told.append((scope, lane, left, stop_s))


@pytest.fixture
def spy() -> Spy:
    spy = Spy()
    traffic.use_network(spy, Clocks(None))
    return spy


@pytest.mark.parametrize("name", sorted(QUIRKS))
def test_every_call_asks_for_its_turn_by_kind(name: str, spy: Spy) -> None:
    venue, network = exchange(name, ACCEPTED[name])
    assert venue.place("BTC/USDT", order()) == Accepted("77")
    venue.cancel("BTC/USDT", CLIENT_ID)
    assert [lane for _, lane, _ in spy.asked] == [Lane.PLACE, Lane.CANCEL]
    assert len(network.sent) == 2
    accounts = {account for account, _, _ in spy.asked}
    assert len(accounts) == 1
    assert "" not in accounts


EXCEEDED = [
    ("bybit", 200, {"retCode": 10006, "retMsg": "Too many visits!"}, {}, Scope.ACCOUNT, 1),
    ("bybit", 200, {"retCode": 10018, "retMsg": "ip"}, {}, Scope.ADDRESS, 10),
    ("bybit", 403, "<html>Forbidden</html>", {}, Scope.ADDRESS, 600),
    ("bybit", 429, "", {"Retry-After": "7"}, Scope.ADDRESS, 7),
    ("binance", 429, {"code": -1003, "msg": "Too many"}, {"Retry-After": "3"}, Scope.ADDRESS, 3),
    ("binance", 418, {"code": -1003, "msg": "banned"}, {}, Scope.ADDRESS, 60),
    ("binance", 400, {"code": -1015, "msg": "Too many new orders"}, {}, Scope.ACCOUNT, 10),
    ("okx", 429, {"code": "50011", "msg": "Too Many Requests"}, {}, Scope.ACCOUNT, 2),
    ("kucoin", 429, {"code": "429000", "msg": "Too Many Requests"},
     {"gw-ratelimit-reset": "1500"}, Scope.ACCOUNT, 1.5),
    ("mexc", 429, {"code": 429, "msg": "Too Many Requests"}, {}, Scope.ADDRESS, 10),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "body", "headers", "scope", "seconds"), EXCEEDED)
def test_exceeded_limit_backs_off_all_who_share_it_and_leaves_the_order_unresolved(
    name: str, status: int, body: Any, headers: dict[str, str], scope: Scope, seconds: float,
    spy: Spy,
) -> None:  # fmt: skip
    venue, network = exchange(name, (status, body, headers))
    assert isinstance(venue.place("BTC/USDT", order()), Unresolved)
    assert len(network.sent) == 1
    stops = [(told, stop) for told, _, _, stop in spy.told if stop]
    assert stops == [(scope, seconds)]


def test_moment_of_reset_is_taken_from_the_answer(spy: Spy) -> None:
    reset = str(int((time.time() + 3) * 1000))
    headers = {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": reset}
    venue, _ = exchange("bybit", (200, {"retCode": 10006, "retMsg": "Too many visits!"}, headers))
    venue.place("BTC/USDT", order())
    ((scope, lane, _, seconds),) = [told for told in spy.told if told[3]]
    assert (scope, lane) == (Scope.ACCOUNT, Lane.PLACE)
    assert 2.5 < seconds <= 3


LEFT = [
    ("bybit", {"X-Bapi-Limit-Status": "3"}, Scope.ACCOUNT, 3),
    ("binance", {"x-mbx-used-weight-1m": "4990"}, Scope.ADDRESS, 10),
    ("binance", {"x-mbx-order-count-10s": "38"}, Scope.ACCOUNT, 2),
    ("kucoin", {"gw-ratelimit-remaining": "17"}, Scope.ACCOUNT, 17),
]


@pytest.mark.parametrize(("name", "headers", "scope", "left"), LEFT)
def test_what_is_left_is_read_from_every_answer(
    name: str, headers: dict[str, str], scope: Scope, left: float, spy: Spy
) -> None:
    venue, _ = exchange(name, (200, ACCEPTED[name], headers))
    venue.place("BTC/USDT", order())
    assert spy.told == [(scope, Lane.PLACE, left, 0.0)]


@pytest.mark.parametrize("value", ["", "many", "-5", "NaN", "inf", "1e400"])
def test_header_that_is_no_number_is_left_aside(value: str, spy: Spy) -> None:
    venue, _ = exchange("bybit", (200, ACCEPTED["bybit"], {"X-Bapi-Limit-Status": value}))
    assert venue.place("BTC/USDT", order()) == Accepted("77")
    assert spy.told == []


def test_refused_key_with_the_status_of_a_ban_stops_nobody(spy: Spy) -> None:
    venue, _ = exchange("mexc", (403, {"code": 700006, "msg": "IP not in the white list"}))
    venue.place("BTC/USDT", order())
    assert spy.told == []


class Full:
    """A broker that gives nobody a turn."""

    def acquire(self, caller: Caller, lane: Lane, cost: float) -> None:
        raise RateLimitedError("exchange_rate_limited", exchange="bybit", retry_after_s=3)

    def correct(self, *_: Any) -> None:
        raise AssertionError("nothing was heard")


def test_order_without_a_turn_is_not_sent_and_says_so() -> None:
    traffic.use_network(Full(), Clocks(None))
    venue, network = exchange("bybit", ACCEPTED["bybit"])
    with pytest.raises(RateLimitedError):
        venue.place("BTC/USDT", order())
    with pytest.raises(RateLimitedError):
        venue.cancel("BTC/USDT", CLIENT_ID)
    assert network.sent == []


def test_calls_are_counted_by_kind() -> None:
    before = traffic.calls.totals()
    venue, _ = exchange("bybit", ACCEPTED["bybit"])
    venue.place("BTC/USDT", order())
    venue._client.fetch = lambda *_, **__: {"retCode": 0, "result": {}, "time": 1}
    venue._client.fetch_time()
    after = traffic.calls.totals()
    made = {kind: after[kind] - before.get(kind, 0) for kind in after}
    assert {kind: count for kind, count in made.items() if count} == {
        ("bybit", "private"): 1, ("bybit", "public"): 1,
    }  # fmt: skip
