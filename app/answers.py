"""Answers of workers, kept in Redis for whoever waits: a page may not open the keys they need.

An answer is text under a name. It is kept for a while, so a page can show the last one with its
time instead of waiting.
"""

import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from app.errors import Unavailable
from app.extensions import redis_client
from app.queues import QueueName, enqueue_once

PATIENCE_S = 10.0
# Beyond this nobody waits for the answer any more.
JOB_TIMEOUT_S = 30
LOOK_EVERY_S = 0.05


def request(job: str, *args: int | str | Sequence[int], name: str) -> None:
    """Have a worker find something out, unless one is at it; the job writes it with `put`."""
    enqueue_once(
        QueueName.ACCOUNTS,
        job,
        *args,
        key=name.replace(":", "-"),
        timeout=JOB_TIMEOUT_S,
        wait_at_most=JOB_TIMEOUT_S,
    )


def ask(
    job: str, *args: int | str | Sequence[int], name: str, patience_s: float = PATIENCE_S
) -> str | None:
    """Request an answer and wait for one that comes from now on; None if none comes in time.

    Raise Unavailable when Redis is away.
    """
    try:
        before = _raw(name)
        request(job, *args, name=name)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            found = _raw(name)
            if found is not None and found != before:
                return _text(found)
            time.sleep(LOOK_EVERY_S)
    except RedisError:
        raise Unavailable("nobody_answers") from None
    return None


def last(name: str) -> str | None:
    """Return the last answer, None if there is none or Redis is away."""
    try:
        found = _raw(name)
    except RedisError:
        return None
    return None if found is None else _text(found)


def put(name: str, text: str, seconds: int) -> None:
    """Give an answer, which is kept for so long."""
    # The stamp tells the same answer given twice apart.
    redis_client.client.set(_key(name), f"{time.time_ns()}|{text}", ex=seconds)


def forget(name: str) -> None:
    """Take an answer away."""
    redis_client.client.delete(_key(name))


def _raw(name: str) -> bytes | None:
    found: Any = redis_client.client.get(_key(name))
    return found if isinstance(found, bytes) else None


def _text(raw: bytes) -> str:
    return raw.decode().partition("|")[2]


def _key(name: str) -> str:
    return f"answer:{name}"
