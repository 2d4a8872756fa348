"""Figures of the running system in the text format that Prometheus reads.

Counts only: no names of people, bots or worker processes, and nothing that opens anything.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app import cache, health
from app.adapters.exchanges.rate_broker import exchange_calls
from app.bots import statistics
from app.cache import CacheCount
from app.db import db
from app.extensions import redis_client
from app.health import Grade, Health
from app.payments import queries as payments
from app.queues import QueueName

Sample = tuple[dict[str, str], int | float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its samples, each of labels and a value."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


def collect() -> list[Metric]:
    """Look at everything; what does not answer has no samples, and `botyard_up` says so."""
    seen = health.overview()
    return [
        *_of_services(seen),
        *_of_queues(seen),
        _bots(seen),
        *_of_callbacks(seen),
        *_of_alerts(seen),
        *_of_books(seen),
        *_of_cache(),
        _of_exchange_calls(),
    ]


def render(metrics: Iterable[Metric]) -> str:
    """Write metrics as text, each with its help and type."""
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for labels, value in metric.samples:
        pairs = ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items())
        yield f"{metric.name}{{{pairs}}} {value}" if pairs else f"{metric.name} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _gauge(name: str, help_text: str, samples: Iterable[Sample]) -> Metric:
    return Metric(f"botyard_{name}", "gauge", help_text, tuple(samples))


def _of_services(seen: Health) -> Iterator[Metric]:
    yield _gauge(
        "up",
        "Whether a service answers and is not late.",
        (({"service": one.name}, int(one.grade is Grade.OK)) for one in seen.services),
    )
    yield _gauge(
        "exchange_price_age_seconds",
        "Age of the newest price of an exchange.",
        (
            ({"exchange": one.code}, (seen.at - one.newest_price_at).total_seconds())
            for one in seen.exchanges
            if one.enabled and one.newest_price_at is not None
        ),
    )


def _of_queues(seen: Health) -> Iterator[Metric]:
    for name, help_text in (
        ("waiting", "Jobs that wait."),
        ("running", "Jobs that run."),
        ("failed", "Jobs that gave up and are kept."),
    ):
        samples = (({"queue": one.name}, getattr(one, name)) for one in seen.queues)
        yield _gauge(f"queue_{name}", help_text, samples)
    yield _gauge(
        "queue_oldest_seconds",
        "How long the oldest waiting job has waited; 0 with none.",
        (
            (
                {"queue": one.name},
                (seen.at - one.oldest_at).total_seconds() if one.oldest_at else 0,
            )
            for one in seen.queues
        ),
    )
    # By queue, not by worker: a worker that is gone would take its own line away with it.
    fresh = {
        name.value: sum(name.value in one.queues and one.grade is Grade.OK for one in seen.workers)
        for name in QueueName
        if seen.queues
    }
    yield _gauge(
        "worker_up",
        "Whether a worker with a fresh heartbeat serves the queue.",
        (({"queue": name}, int(count > 0)) for name, count in fresh.items()),
    )
    yield _gauge(
        "workers",
        "Workers with a fresh heartbeat that serve the queue.",
        (({"queue": name}, count) for name, count in fresh.items()),
    )


def _bots(seen: Health) -> Metric:
    samples = _bot_samples() if _has_database(seen) else ()
    return _gauge("bots", "Bots that are not deleted.", samples)


def _bot_samples() -> list[Sample]:
    try:
        return [
            ({"state": one.state, "mode": one.mode}, one.bots) for one in statistics.bots_by_state()
        ]
    except SQLAlchemyError:
        db.session.rollback()
        return []


def _of_callbacks(seen: Health) -> Iterator[Metric]:
    samples, oldest = _callback_samples() if _has_database(seen) else ((), None)
    yield _gauge("rail_events", "Callbacks of payment providers by what became of them.", samples)
    waits = (seen.at - oldest).total_seconds() if oldest else 0
    yield _gauge(
        "rail_event_oldest_seconds",
        "How long the oldest callback has waited to be applied; 0 with none.",
        (({}, waits),),
    )


def _of_alerts(seen: Health) -> Iterator[Metric]:
    waiting = [one for one in seen.services if one.name == health.PAYMENT_ALERTS]
    yield _gauge(
        "payment_alerts",
        "Payments that a person has to look into.",
        (({}, int(waiting[0].figures["open"]) if waiting else 0),),
    )


def _of_books(seen: Health) -> Iterator[Metric]:
    compared = [one for one in seen.services if one.name.startswith(health.BOOKS)]
    for name, help_text in (
        ("differences", "What differed from a provider's books and could not be brought in line."),
        ("fixed", "What differed from a provider's books and was brought in line."),
    ):
        samples = (({"rail": str(one.figures["rail"])}, int(one.figures[name])) for one in compared)
        yield _gauge(f"books_{name}", help_text, samples)


def _callback_samples() -> tuple[tuple[Sample, ...], datetime | None]:
    try:
        counts = payments.event_counts()
        oldest = payments.oldest_waiting()
    except SQLAlchemyError:
        db.session.rollback()
        return (), None
    return tuple(({"rail": one.rail, "state": one.state}, one.count) for one in counts), oldest


def _has_database(seen: Health) -> bool:
    return any(one.name == "database" and one.grade is Grade.OK for one in seen.services)


def _of_cache() -> Iterator[Metric]:
    counts = _cache_counts()
    for name, help_text in (
        ("hits", "Answers found in the cache."),
        ("misses", "Answers that had to be made."),
    ):
        samples = tuple(({"name": one.name}, getattr(one, name)) for one in counts)
        yield Metric(f"botyard_cache_{name}_total", "counter", help_text, samples)


def _of_exchange_calls() -> Metric:
    try:
        counts = exchange_calls(redis_client.client)
    except RedisError:
        counts = {}
    samples = (
        ({"exchange": name, "kind": kind}, count) for (name, kind), count in sorted(counts.items())
    )
    help_text = "Calls made to an exchange, with a key (private) or without (public)."
    return Metric("botyard_exchange_calls_total", "counter", help_text, tuple(samples))


def _cache_counts() -> list[CacheCount]:
    try:
        return cache.counts()
    except RedisError:
        return []
