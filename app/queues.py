"""Queue names and the only way to enqueue a job."""

import logging
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.serializers import JSONSerializer

from app.extensions import redis_client

log = logging.getLogger(__name__)

JOB_TIMEOUT_S = 60
FAILURE_TTL_S = 24 * 3600


class QueueName(StrEnum):
    """Queues by what waits on them."""

    TICKS = "ticks"
    PAYMENTS = "payments"
    MESSAGES = "messages"
    SHOPS = "shops"
    REPORTS = "reports"


def queue(name: QueueName) -> Queue:
    """Return the RQ queue; JSON, because pickle would let a write to Redis run code."""
    return Queue(name.value, connection=redis_client.client, serializer=JSONSerializer)


def enqueue_once(
    name: QueueName,
    job: Callable[..., Any],
    *args: int | str | Sequence[int],
    key: str,
    slot_seconds: int = 0,
    timeout: int = JOB_TIMEOUT_S,
) -> bool:
    """Enqueue a job unless the same key waits or runs already; tell whether it was taken.

    `key` holds letters, digits, `_` and `-` only. With `slot_seconds` the same key is taken once
    for each slot of that length. With Redis down nothing is raised: the rows are the record, and
    the next sweep or audit enqueues again.
    """
    job_id = f"{key}-{int(time.time()) // slot_seconds}" if slot_seconds else key
    try:
        queue(name).enqueue(
            job,
            args=args,
            job_id=job_id,
            unique=True,
            job_timeout=timeout,
            result_ttl=0,
            failure_ttl=slot_seconds or 60,
        )
    except DuplicateJobError:
        return False
    except RedisError as error:
        log.warning("enqueue_failed queue=%s key=%s error=%s", name, key, type(error).__name__)
        return False
    return True
