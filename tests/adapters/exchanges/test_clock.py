"""The exchanges' clocks: measured, shared, alarming from half a second on."""

import logging
from datetime import UTC, datetime

import pytest
import requests
from redis import Redis

from app.adapters.exchanges import traffic
from app.adapters.exchanges.clock import ALARM_MS, Clocks, Reading, measure
from app.adapters.exchanges.errors import RateLimitedError
from app.adapters.exchanges.quirks import QUIRKS
from app.adapters.exchanges.rate_broker import NoBroker
from app.trading.ports import Accepted
from tests.adapters.exchanges.canned import ACCEPTED, exchange, order

NAMES = sorted(QUIRKS)


class Moments:
    """Our clock: each reading is the next one given."""

    def __init__(self, *moments: int) -> None:
        self.moments = list(moments)

    def __call__(self) -> int:
        return self.moments.pop(0)


def test_their_clock_was_read_half_way() -> None:
    reading = measure(lambda: 10_700, Moments(10_000, 10_400), tries=1)
    assert reading == Reading(500, 400)


def test_quickest_answer_is_believed() -> None:
    theirs = iter([10_000, 20_030, 31_000])
    reading = measure(
        lambda: next(theirs), Moments(10_000, 12_000, 20_000, 20_040, 30_000, 31_000), tries=3
    )
    assert reading == Reading(10, 40)


def test_slow_answers_tell_no_time() -> None:
    with pytest.raises(TimeoutError):
        measure(lambda: 0, Moments(0, 9000), tries=1)


@pytest.mark.parametrize(
    ("offset", "trip", "alarming"),
    [(500, 0, False), (501, 0, True), (-501, 0, True), (600, 400, False), (701, 400, True)],
)
def test_alarm_rings_at_half_a_second_beyond_what_the_trip_explains(
    offset: int, trip: int, alarming: bool
) -> None:
    assert Reading(offset, trip).is_alarming is alarming


def test_one_process_measures_for_all(redis_db: Redis) -> None:
    Clocks(lambda: redis_db).keep("bybit", Reading(-230, 20))
    other = Clocks(lambda: redis_db)
    assert other.offset_ms("bybit") == -230
    assert other.offset_ms("bybit:test") == 0


def test_new_measurement_is_seen_after_some_seconds(redis_db: Redis) -> None:
    now = [0.0]
    other = Clocks(lambda: redis_db, lambda: now[0])
    assert other.offset_ms("okx") == 0
    Clocks(lambda: redis_db).keep("okx", Reading(90, 10))
    assert other.offset_ms("okx") == 0
    now[0] = 11.0
    assert other.offset_ms("okx") == 90


def test_without_redis_the_last_known_offset_stays() -> None:
    away = Redis.from_url("redis://localhost:1/0", socket_connect_timeout=0.2)
    now = [0.0]
    clocks = Clocks(lambda: away, lambda: now[0])
    assert clocks.offset_ms("mexc") == 0
    clocks.keep("mexc", Reading(70, 10))
    now[0] = 60.0
    assert clocks.offset_ms("mexc") == 70


def test_alarming_difference_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        Clocks(None).keep("bybit", Reading(ALARM_MS + 1, 0))
        Clocks(None).keep("okx", Reading(20, 0))
    assert [record.getMessage() for record in caplog.records] == [
        "clock_differs exchange=bybit offset_ms=501"
    ]


def sent_time(name: str, headers: dict[str, str], fields: dict[str, str]) -> int:
    """Return the moment with which a request was signed."""
    if name == "bybit":
        return int(headers["X-BAPI-TIMESTAMP"])
    if name == "kucoin":
        return int(headers["KC-API-TIMESTAMP"])
    if name == "okx":
        moment = datetime.fromisoformat(headers["OK-ACCESS-TIMESTAMP"])
        return int(moment.timestamp() * 1000)
    return int(fields["timestamp"])


@pytest.mark.parametrize("offset", [-2500, 0, 1700])
@pytest.mark.parametrize("name", NAMES)
def test_requests_are_signed_by_the_exchanges_clock(name: str, offset: int) -> None:
    clocks = Clocks(None)
    clocks.keep(name, Reading(offset, 10))
    traffic.use_network(NoBroker(), clocks)
    venue, network = exchange(name, ACCEPTED[name])
    ours = int(datetime.now(UTC).timestamp() * 1000)
    assert venue.place("BTC/USDT", order()) == Accepted("77")
    (request,) = network.sent
    difference = sent_time(name, dict(request.headers), request.fields) - ours
    assert offset - 50 <= difference <= offset + 3000


def test_refusal_for_the_clock_sets_it_for_everybody() -> None:
    clocks = Clocks(None)
    traffic.use_network(NoBroker(), clocks)
    ahead = int(datetime.now(UTC).timestamp() * 1000) + 60_000
    refused = {"retCode": 10002, "retMsg": "check your timestamp"}
    time = {"retCode": 0, "result": {}, "time": ahead}
    venue, network = exchange("bybit", refused, time, ACCEPTED["bybit"])
    with pytest.raises(RateLimitedError):
        venue.place("BTC/USDT", order())
    assert venue.place("BTC/USDT", order()) == Accepted("77")
    assert 59_000 <= clocks.offset_ms("bybit") <= 60_100
    first, second = (int(network.sent[n].headers["X-BAPI-TIMESTAMP"]) for n in (0, 2))
    assert second - first > 55_000


def test_clock_that_can_not_be_read_leaves_the_order_refused() -> None:
    refused = {"retCode": 10002, "retMsg": "check your timestamp"}
    venue, network = exchange("bybit", refused, requests.ReadTimeout("slow"))
    outcome = venue.place("BTC/USDT", order())
    assert outcome.code == "clock_differs"  # type: ignore[union-attr]
    assert len(network.sent) == 2
