"""The state of the services as plain data, for the staff desk and /healthz.

Every check has its own time-out and none raises: a service that does not answer is DOWN.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from redis.exceptions import RedisError
from rq import Worker
from rq.registry import FailedJobRegistry, StartedJobRegistry
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.exchanges.clock import ALARM_MS
from app.adapters.exchanges.clock import KEYS as CLOCK_KEYS
from app.db import db, utc_now
from app.extensions import redis_client
from app.queues import QueueName, queue

HEARTBEAT_TTL_S = 24 * 3600
FEED_LATE = timedelta(seconds=30)
SCHEDULER_LATE = timedelta(seconds=30)
WORKER_LATE = timedelta(seconds=90)
QUEUE_LATE = timedelta(seconds=60)
PRICES_LATE = timedelta(seconds=60)
CLOCK_LATE = timedelta(minutes=10)
CALLBACK_LATE = timedelta(seconds=60)
# What the probe of our own address found last.
ADDRESS_KEY = "outgoing:address"
# What the daily check of the ledger found last.
LEDGER_KEY = "ledger:verified"
LEDGER_LATE = timedelta(hours=49)
# What a provider sends us of what we need, as it was found last; the check is called by its name.
ENDPOINT_KEYS = "endpoint:"
ENDPOINT_LATE = timedelta(hours=49)
PAYMENT_ALERTS = "payment_alerts"
# The nightly comparison with a provider's books: the check of each is called by its name.
BOOKS = "books:"
BOOKS_LATE = timedelta(hours=49)
_SHORT = text("set local statement_timeout = '2s'")


class Grade(StrEnum):
    """OK works, LATE answers but is behind, DOWN does not answer, UNKNOWN was never seen."""

    OK = "ok"
    LATE = "late"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One service: how it is, since when it was heard of, how long it took, and its figures."""

    name: str
    grade: Grade
    seen_at: datetime | None = None
    took_ms: int | None = None
    figures: Mapping[str, int | str] = field(default_factory=dict)


_UNSEEN = (Check("feed", Grade.UNKNOWN), Check("scheduler", Grade.UNKNOWN))


@dataclass(frozen=True, slots=True)
class QueueState:
    """How much waits on a queue and for how long the oldest job has."""

    name: str
    waiting: int
    running: int
    failed: int
    oldest_at: datetime | None
    grade: Grade


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker process as it reported itself last."""

    name: str
    queues: tuple[str, ...]
    state: str
    heartbeat_at: datetime | None
    done: int
    failed: int
    grade: Grade


@dataclass(frozen=True, slots=True)
class ExchangeState:
    """The prices of one exchange: pairs, pairs that can be traded, and the newest price."""

    code: str
    name: str
    enabled: bool
    markets: int
    tradable: int
    newest_price_at: datetime | None
    grade: Grade


@dataclass(frozen=True, slots=True)
class Health:
    """Everything at one moment."""

    at: datetime
    services: tuple[Check, ...]
    queues: tuple[QueueState, ...]
    workers: tuple[WorkerState, ...]
    exchanges: tuple[ExchangeState, ...]

    @property
    def grade(self) -> Grade:
        """Return the worst of all grades; what was never seen counts as late."""
        groups = (self.services, self.queues, self.workers, self.exchanges)
        grades = {part.grade for group in groups for part in group}
        if Grade.DOWN in grades:
            return Grade.DOWN
        return Grade.LATE if grades & {Grade.LATE, Grade.UNKNOWN} else Grade.OK


def beat(name: str) -> None:
    """Say that a process without RQ worker (the feed) is alive; never raises."""
    try:
        redis_client.client.set(_heartbeat_key(name), str(time.time()), ex=HEARTBEAT_TTL_S)
    except RedisError:
        return


def is_serving() -> bool:
    """Tell whether pages can be answered: the database and Redis do."""
    return check_redis().grade is Grade.OK and check_database().grade is Grade.OK


def overview() -> Health:
    """Look at everything; a few milliseconds when all is well."""
    database, exchanges = check_database(), tuple[ExchangeState, ...]()
    callbacks = tuple[Check, ...]()
    if database.grade is Grade.OK:
        try:
            exchanges = tuple(_exchanges())
            callbacks = (*_callbacks(), *_payment_alerts(), *_books())
        except SQLAlchemyError as error:
            database = _down("database", error)
    redis, heartbeats = check_redis(), tuple[Check, ...](_UNSEEN)
    queues, workers = tuple[QueueState, ...](), tuple[WorkerState, ...]()
    if redis.grade is Grade.OK:
        try:
            heartbeats = (_heartbeat("feed", FEED_LATE), _heartbeat("scheduler", SCHEDULER_LATE))
            heartbeats = (*heartbeats, *_clocks(), *_address(), *_ledger(), *_endpoints())
            queues, workers = tuple(_queues()), tuple(_workers())
        except RedisError as error:
            redis = _down("redis", error)
    services = (database, redis, *heartbeats, *callbacks)
    return Health(utc_now(), services, queues, workers, exchanges)


def check_database() -> Check:
    """Ask the database for its version and size, on a connection of its own."""

    def ask() -> Mapping[str, int | str]:
        with db.engine.connect() as connection:
            connection.execute(_SHORT)
            row = connection.execute(
                text(
                    "select current_setting('server_version') as version,"
                    " (select count(*) from pg_stat_activity"
                    "  where datname = current_database()) as connections"
                )
            ).one()
        return {"version": row.version, "connections": row.connections}

    return _timed("database", ask, SQLAlchemyError)


def check_redis() -> Check:
    """Ask Redis for its version and memory."""

    def ask() -> Mapping[str, int | str]:
        info = redis_client.client.info()
        version = info.get("valkey_version") or info["redis_version"]
        return {"version": version, "memory_bytes": info["used_memory"]}

    return _timed("redis", ask, RedisError)


def _timed(
    name: str,
    ask: Callable[[], Mapping[str, int | str]],
    failure: type[Exception],
) -> Check:
    started = time.monotonic()
    try:
        figures = ask()
    except failure as error:
        return _down(name, error)
    took = round((time.monotonic() - started) * 1000)
    return Check(name, Grade.OK, seen_at=utc_now(), took_ms=took, figures=figures)


def _down(name: str, error: Exception) -> Check:
    return Check(name, Grade.DOWN, figures={"error": type(error).__name__})


def _heartbeat_key(name: str) -> str:
    return f"{name}:heartbeat"


def _heartbeat(name: str, late: timedelta) -> Check:
    raw = redis_client.client.get(_heartbeat_key(name))
    if raw is None:
        return Check(name, Grade.DOWN)
    seen_at = datetime.fromtimestamp(float(raw), UTC)
    grade = Grade.OK if utc_now() - seen_at <= late else Grade.LATE
    return Check(name, grade, seen_at=seen_at)


def _clocks() -> Iterator[Check]:
    """Tell how far the clocks of exchanges with live accounts are from ours."""
    client = redis_client.client
    for key in sorted(client.scan_iter(f"{CLOCK_KEYS}*", count=1000)):
        told = client.get(key)
        if not told:
            continue
        offset, at = (int(part) for part in told.split())
        seen_at = datetime.fromtimestamp(at, UTC)
        is_late = abs(offset) > ALARM_MS or utc_now() - seen_at > CLOCK_LATE
        yield Check(
            key.decode(),
            Grade.LATE if is_late else Grade.OK,
            seen_at,
            figures={"offset_ms": offset},
        )


def _address() -> Iterator[Check]:
    """Tell whether exchanges see us under one of our listed addresses, if that is probed."""
    told: Any = redis_client.client.hgetall(ADDRESS_KEY)
    if told:
        yield Check(
            "address",
            Grade.OK if told[b"listed"] == b"1" else Grade.DOWN,
            datetime.fromtimestamp(float(told[b"at"]), UTC),
            figures={"address": told[b"address"].decode()},
        )


def _ledger() -> Iterator[Check]:
    """Tell whether the books agreed when they were added up last; silent before the first time."""
    told: Any = redis_client.client.hgetall(LEDGER_KEY)
    if told:
        seen_at = datetime.fromtimestamp(float(told[b"at"]), UTC)
        differences = int(told[b"differences"])
        grade = Grade.LATE if utc_now() - seen_at > LEDGER_LATE else Grade.OK
        yield Check(
            "ledger",
            Grade.DOWN if differences else grade,
            seen_at,
            figures={"postings": int(told[b"postings"]), "differences": differences},
        )


def _endpoints() -> Iterator[Check]:
    """Tell for each rail whether it sends all callbacks that we need; silent while unknown."""
    client = redis_client.client
    for key in sorted(client.scan_iter(f"{ENDPOINT_KEYS}*", count=1000)):
        told: Any = client.hgetall(key)
        if not told:
            continue
        seen_at = datetime.fromtimestamp(float(told[b"at"]), UTC)
        is_on, missing = told[b"is_on"] == b"1", told[b"missing"].decode()
        is_late = bool(missing) or utc_now() - seen_at > ENDPOINT_LATE
        grade = Grade.LATE if is_late else Grade.OK
        name = key.decode()
        yield Check(
            name,
            grade if is_on else Grade.DOWN,
            seen_at,
            figures={
                "rail": name.removeprefix(ENDPOINT_KEYS),
                "missing": missing.replace(" ", ", "),
                "is_on": int(is_on),
            },
        )


def _queues() -> Iterator[QueueState]:
    for name in QueueName:
        one = queue(name)
        oldest_at = one.get_jobs(0, 1)[0].enqueued_at if len(one) else None
        oldest_at = _aware(oldest_at)
        late = oldest_at is not None and utc_now() - oldest_at > QUEUE_LATE
        yield QueueState(
            name=name.value,
            waiting=len(one),
            running=len(StartedJobRegistry(queue=one)),
            failed=len(FailedJobRegistry(queue=one)),
            oldest_at=oldest_at,
            grade=Grade.LATE if late else Grade.OK,
        )


def _workers() -> Iterator[WorkerState]:
    for worker in Worker.all(connection=redis_client.client):
        heartbeat_at = _aware(worker.last_heartbeat)
        late = heartbeat_at is None or utc_now() - heartbeat_at > WORKER_LATE
        yield WorkerState(
            name=worker.name,
            queues=tuple(worker.queue_names()),
            state=str(worker.get_state()),
            heartbeat_at=heartbeat_at,
            done=worker.successful_job_count,
            failed=worker.failed_job_count,
            grade=Grade.LATE if late else Grade.OK,
        )


def _callbacks() -> Iterator[Check]:
    """Tell whether callbacks of payment providers wait for long; silent if none waits."""
    with db.engine.connect() as connection:
        connection.execute(_SHORT)
        row = connection.execute(
            text(
                "select count(*) filter (where state <> 'dead') as waiting,"
                " count(*) filter (where state = 'dead') as dead,"
                " min(received_at) filter (where state <> 'dead') as oldest"
                " from rail_events where state in ('received', 'failed', 'dead')"
            )
        ).one()
    if not row.waiting and not row.dead:
        return
    late = row.oldest is not None and utc_now() - row.oldest > CALLBACK_LATE
    yield Check(
        "callbacks",
        Grade.LATE if late or row.dead else Grade.OK,
        row.oldest,
        figures={"waiting": row.waiting, "dead": row.dead},
    )


def _payment_alerts() -> Iterator[Check]:
    """Tell how many payments wait for a person to look into them; silent if none does."""
    with db.engine.connect() as connection:
        connection.execute(_SHORT)
        row = connection.execute(
            text(
                "select count(*) as open, min(created_at) as oldest"
                " from payment_alerts where state = 'open'"
            )
        ).one()
    if row.open:
        yield Check(PAYMENT_ALERTS, Grade.LATE, row.oldest, figures={"open": row.open})


def _books() -> Iterator[Check]:
    """Tell for each rail whether its books agreed with ours when they were compared last."""
    with db.engine.connect() as connection:
        connection.execute(_SHORT)
        rows = connection.execute(
            text(
                "select distinct on (rail) rail, ended_at, compared, fixed, differences"
                " from reconciliations where ended_at is not null order by rail, id desc"
            )
        ).all()
    for row in rows:
        grade = Grade.LATE if utc_now() - row.ended_at > BOOKS_LATE else Grade.OK
        yield Check(
            f"{BOOKS}{row.rail}",
            Grade.DOWN if row.differences else grade,
            row.ended_at,
            figures={
                "rail": row.rail,
                "compared": row.compared,
                "fixed": row.fixed,
                "differences": row.differences,
            },
        )


def _exchanges() -> Iterator[ExchangeState]:
    # Plain SQL: this module stands below the subjects that own the tables.
    with db.engine.connect() as connection:
        connection.execute(_SHORT)
        rows = connection.execute(
            text(
                "select e.code, e.name, e.enabled, count(m.id) as markets,"
                " count(m.id) filter (where m.blocked_reason = '') as tradable,"
                " max(m.last_price_at) as newest"
                " from exchanges e left join markets m on m.exchange = e.code"
                " group by e.code, e.name, e.enabled order by e.name"
            )
        ).all()
    for row in rows:
        yield ExchangeState(
            code=row.code,
            name=row.name,
            enabled=row.enabled,
            markets=row.markets,
            tradable=row.tradable,
            newest_price_at=row.newest,
            grade=_exchange_grade(row.enabled, row.newest),
        )


def _exchange_grade(enabled: bool, newest: datetime | None) -> Grade:
    # Without a price yet nothing is wrong: nobody trades there.
    if not enabled or newest is None:
        return Grade.OK
    return Grade.OK if utc_now() - newest <= PRICES_LATE else Grade.LATE


def _aware(moment: datetime | None) -> datetime | None:
    # RQ gives some of its times without zone; they are UTC.
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)
