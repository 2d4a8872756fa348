"""Queue names and the only way to enqueue a job."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from app.extensions import redis_client
from app.logs import mask_secrets

log = logging.getLogger(__name__)

JOB_TIMEOUT_S = 60
FAILURE_TTL_S = 24 * 3600


class QueueName(StrEnum):
    """Queues by what waits on them."""

    TICKS = "ticks"
    # Questions to exchanges of somebody who waits for the answer.
    ACCOUNTS = "accounts"
    PAYMENTS = "payments"
    MESSAGES = "messages"
    SHOPS = "shops"
    REPORTS = "reports"


def queue(name: QueueName) -> Queue:
    """Return the RQ queue; JSON, because pickle would let a write to Redis run code."""
    return Queue(name.value, connection=redis_client.client, serializer=JSONSerializer)


def enqueue_once(
    name: QueueName,
    job: Callable[..., Any] | str,
    *args: int | str | Sequence[int],
    key: str,
    slot_seconds: int = 0,
    timeout: int = JOB_TIMEOUT_S,
    wait_at_most: int | None = None,
) -> bool:
    """Enqueue a job unless the same key waits or runs already; tell whether it was taken.

    `key` holds letters, digits, `_` and `-` only. With `slot_seconds` the same key is taken once
    for each slot of that length. A service that may not import its jobs names the job by its
    dotted path. A job that waited longer than `wait_at_most` seconds is dropped. With Redis down
    nothing is raised: the rows are the record, and the next sweep or audit enqueues again.
    """
    job_id = f"{key}-{int(time.time()) // slot_seconds}" if slot_seconds else key
    try:
        queue(name).enqueue(  # type: ignore[type-var]
            job,
            args=args,
            job_id=job_id,
            unique=True,
            job_timeout=timeout,
            ttl=wait_at_most,
            result_ttl=0,
            failure_ttl=slot_seconds or 60,
        )
    except DuplicateJobError:
        return False
    except RedisError as error:
        log.warning("enqueue_failed queue=%s key=%s error=%s", name, key, type(error).__name__)
        return False
    return True


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that gave up: what it was, when, and the last line of its error."""

    id: str
    queue: str
    function: str
    arguments: str
    ended_at: datetime | None
    error: str


def failed_jobs(limit: int = 100) -> list[FailedJob]:
    """List failed jobs of every queue, newest first; secrets in their texts are masked."""
    jobs: list[FailedJob] = []
    for name in QueueName:
        one = queue(name)
        registry = FailedJobRegistry(queue=one)
        ids = registry.get_job_ids(0, limit - 1, desc=True)
        found = Job.fetch_many(ids, connection=redis_client.client, serializer=JSONSerializer)
        jobs += [_describe_failed(job, name) for job in found if job is not None]
    epoch = datetime.fromtimestamp(0, UTC)
    return sorted(jobs, key=lambda job: job.ended_at or epoch, reverse=True)[:limit]


def requeue(job_id: str) -> bool:
    """Put a failed job back into its queue; tell whether it was among the failed ones."""
    for name in QueueName:
        registry = FailedJobRegistry(queue=queue(name))
        if job_id in registry.get_job_ids():
            registry.requeue(job_id)
            return True
    return False


def _describe_failed(job: Job, name: QueueName) -> FailedJob:
    result = job.latest_result()
    lines = ((result.exc_string if result else "") or "").strip().splitlines()
    ended_at = job.ended_at
    if ended_at is not None and ended_at.tzinfo is None:
        ended_at = ended_at.replace(tzinfo=UTC)
    return FailedJob(
        id=job.id,
        queue=name.value,
        function=job.func_name or "",
        arguments=mask_secrets(", ".join(map(str, job.args)))[:200],
        ended_at=ended_at,
        error=mask_secrets(lines[-1])[:300] if lines else "",
    )
