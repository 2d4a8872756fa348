import time
from datetime import timedelta
from decimal import Decimal

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from app import health
from app.db import db, utc_now
from app.extensions import redis_client
from app.health import Grade
from app.queues import QueueName, enqueue_once, queue
from tests.factories import make_exchange, make_market


def check(name: str) -> health.Check:
    return next(one for one in health.overview().services if one.name == name)


def state_of(name: QueueName) -> health.QueueState:
    return next(one for one in health.overview().queues if one.name == name.value)


def explode() -> None:
    raise ValueError("as planned")


def test_servers_that_answer_are_ok_and_say_their_version(database: None) -> None:
    for name in ("database", "redis"):
        one = check(name)
        assert one.grade is Grade.OK
        assert one.figures["version"] and one.took_ms is not None and one.seen_at is not None
    assert health.is_serving()


def test_a_database_that_is_away_is_down_and_stops_nothing_else(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import create_engine

    away = create_engine(
        "postgresql+psycopg://nobody@127.0.0.1:9/none", connect_args={"connect_timeout": 1}
    )
    monkeypatch.setattr(type(db), "engine", property(lambda self: away))
    overview = health.overview()
    grades = {one.name: one.grade for one in overview.services}
    assert (grades["database"], grades["redis"]) == (Grade.DOWN, Grade.OK)
    assert overview.exchanges == () and overview.grade is Grade.DOWN
    assert not health.is_serving()


def test_redis_that_is_away_is_down_and_stops_nothing_else(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Redis(port=9, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(redis_client, "_client", away)
    make_exchange("bybit")
    db.session.commit()
    overview = health.overview()
    grades = {one.name: one.grade for one in overview.services}
    assert (grades["database"], grades["redis"]) == (Grade.OK, Grade.DOWN)
    assert grades["feed"] is Grade.UNKNOWN
    assert overview.queues == () and overview.workers == ()
    assert len(overview.exchanges) == 1
    assert not health.is_serving()


def test_no_password_stands_in_the_figures(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import create_engine

    away = create_engine("postgresql+psycopg://app:hunter2@127.0.0.1:9/none")
    monkeypatch.setattr(type(db), "engine", property(lambda self: away))
    assert "hunter2" not in str(health.overview())


def test_a_heartbeat_is_fresh_late_or_missing(database: None, redis_db: Redis) -> None:
    assert check("feed").grade is Grade.DOWN
    health.beat("feed")
    assert check("feed").grade is Grade.OK
    redis_db.set("feed:heartbeat", str(time.time() - 31))
    late = check("feed")
    assert late.grade is Grade.LATE and late.seen_at is not None
    assert timedelta(seconds=30) < utc_now() - late.seen_at < timedelta(seconds=40)


def test_queues_show_what_waits_and_since_when(database: None) -> None:
    assert enqueue_once(QueueName.MESSAGES, explode, key="one")
    assert enqueue_once(QueueName.MESSAGES, explode, key="two")
    state = state_of(QueueName.MESSAGES)
    assert (state.waiting, state.running, state.failed, state.grade) == (2, 0, 0, Grade.OK)
    assert state.oldest_at is not None and utc_now() - state.oldest_at < timedelta(seconds=10)
    assert state_of(QueueName.TICKS).waiting == 0


def test_a_queue_with_an_old_job_is_late(database: None) -> None:
    enqueue_once(QueueName.REPORTS, explode, key="old")
    job = queue(QueueName.REPORTS).get_jobs()[0]
    job.enqueued_at = utc_now() - health.QUEUE_LATE - timedelta(seconds=1)
    job.save()
    assert state_of(QueueName.REPORTS).grade is Grade.LATE


def test_workers_show_their_last_heartbeat_and_what_they_did(
    database: None, redis_url: str
) -> None:
    enqueue_once(QueueName.MESSAGES, explode, key="fails", slot_seconds=60)
    # RQ waits for notices on its connection, which the app's short time-out would break.
    with Redis.from_url(redis_url) as connection:
        worker = SimpleWorker(
            [queue(QueueName.MESSAGES)], connection=connection, serializer=JSONSerializer
        )
        worker.register_birth()  # type: ignore[no-untyped-call]
        taken = worker.dequeue_job_and_maintain_ttl(timeout=1)
        assert taken is not None
        worker.execute_job(*taken)
        try:
            (state,) = health.overview().workers
            assert (state.queues, state.failed, state.grade) == (("messages",), 1, Grade.OK)
            assert state_of(QueueName.MESSAGES).failed == 1
            old = (utc_now() - health.WORKER_LATE - timedelta(seconds=1)).strftime(
                "%Y-%m-%dT%H:%M:%S.%fZ"
            )
            connection.hset(worker.key, "last_heartbeat", old)
            assert health.overview().workers[0].grade is Grade.LATE
        finally:
            worker.register_death()  # type: ignore[no-untyped-call]


def test_an_exchange_without_fresh_prices_is_late(database: None) -> None:
    market = make_market()
    blocked = make_market("ETH/USDT")
    blocked.blocked_reason = "delisted"
    for row in (market, blocked):
        row.last_price, row.last_price_at = Decimal(1), utc_now()
    db.session.commit()
    (state,) = health.overview().exchanges
    assert (state.markets, state.tradable, state.grade) == (2, 1, Grade.OK)
    for row in (market, blocked):
        row.last_price_at = utc_now() - health.PRICES_LATE - timedelta(seconds=1)
    db.session.commit()
    assert health.overview().exchanges[0].grade is Grade.LATE
    make_exchange("bybit").enabled = False
    db.session.commit()
    assert health.overview().exchanges[0].grade is Grade.OK


def test_an_exchange_that_nobody_has_prices_of_is_no_alarm(database: None) -> None:
    make_exchange("okx")
    db.session.commit()
    assert health.overview().exchanges[0].grade is Grade.OK


def test_the_whole_is_as_bad_as_its_worst_part(database: None, redis_db: Redis) -> None:
    for name in ("feed", "scheduler"):
        health.beat(name)
    assert health.overview().grade is Grade.OK
    redis_db.set("scheduler:heartbeat", str(time.time() - 3_600))
    assert health.overview().grade is Grade.LATE
    redis_db.delete("scheduler:heartbeat")
    assert health.overview().grade is Grade.DOWN
