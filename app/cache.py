"""Answers kept in Redis for some seconds, so that not every page asks the database the same.

Redis may be away or lose everything at any time: then answers are made anew, and no page fails.
Values are JSON, because pickle would let a write to Redis run code. Limits, balances and whatever
else decides about money are never read from here.
"""

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

from redis import Redis
from redis.exceptions import RedisError

from app.extensions import redis_client
from app.transactions import is_open

log = logging.getLogger(__name__)

T = TypeVar("T")
# After a failure nothing is asked for so long: with Redis hanging each question costs a time-out.
PAUSE_S = 5.0
HITS, MISSES = "cache:hits", "cache:misses"
# What a `load` may raise on a value that is not ours.
_GARBAGE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class CacheCount:
    """How often answers of one name were found and how often made, since Redis was emptied."""

    name: str
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class Cache(Generic[T]):
    """Answers of one kind, kept for `seconds`; `dump` makes plain JSON values, `load` reads them.

    What belongs to one person must have that person in its key.
    """

    name: str
    seconds: int
    dump: Callable[[T], Any]
    load: Callable[[Any], T]

    def __post_init__(self) -> None:
        # A colon in a name could make the keys of two caches the same.
        if not self.name.isidentifier():
            raise ValueError(f"not a cache name: {self.name}")

    def get(self, key: str, make: Callable[[], T]) -> T:
        """Return the kept answer, or make and keep it."""
        return self.get_many([key], lambda keys: {key: make()})[key]

    def get_many(
        self, keys: Iterable[str], make: Callable[[list[str]], Mapping[str, T]]
    ) -> dict[str, T]:
        """Return the answers of many keys; `make` gets those that are not kept, all at once."""
        wanted = list(dict.fromkeys(keys))
        # Inside a transaction an answer may hold what will be rolled back: others must not see it.
        if is_open() or not wanted or _Pause.holds():
            return dict(make(wanted)) if wanted else {}
        generation, found = self._read(wanted)
        missing = [key for key in wanted if key not in found]
        made = dict(make(missing)) if missing else {}
        if generation is not None:
            self._keep(generation, made, hits=len(found), misses=len(missing))
        return {**found, **made}

    def drop(self) -> None:
        """Forget every answer; one that is being made from older rows now is not found later."""
        if not redis_client.url:
            return
        try:
            redis_client.client.set(self._generation, secrets.token_hex(8))
        except RedisError as error:
            log.warning("cache_not_dropped name=%s error=%s", self.name, type(error).__name__)

    def _read(self, keys: list[str]) -> tuple[str | None, dict[str, T]]:
        """Return the present generation (None with Redis away) and what is kept of it."""
        try:
            raw: Any = redis_client.client.mget(self._generation, *map(self._key, keys))
        except RedisError as error:
            _Pause.begin(error)
            return None, {}
        generation = (raw[0] or b"").decode("latin-1")
        found: dict[str, T] = {}
        for key, kept in zip(keys, raw[1:], strict=True):
            try:
                content = json.loads(kept) if kept is not None else None
                if content is not None and content["generation"] == generation:
                    found[key] = self.load(content["value"])
            except _GARBAGE:
                log.warning("cache_garbage name=%s", self.name)
        return generation, found

    def _keep(self, generation: str, made: Mapping[str, T], *, hits: int, misses: int) -> None:
        try:
            pipeline = redis_client.client.pipeline(transaction=False)
            for key, value in made.items():
                content = {"generation": generation, "value": self.dump(value)}
                pipeline.set(self._key(key), json.dumps(content), ex=self.seconds)
            for counter, count in ((HITS, hits), (MISSES, misses)):
                if count:
                    pipeline.hincrby(counter, self.name, count)
            pipeline.execute()
        except RedisError as error:
            _Pause.begin(error)

    def _key(self, key: str) -> str:
        return f"cache:{self.name}:{key}"

    @property
    def _generation(self) -> str:
        return f"cache-generation:{self.name}"


def counts() -> list[CacheCount]:
    """Return the hits and misses of every name in use; raise RedisError."""
    hits: Any = redis_client.client.hgetall(HITS)
    misses: Any = redis_client.client.hgetall(MISSES)
    return [
        CacheCount(name.decode(), int(hits.get(name, 0)), int(misses.get(name, 0)))
        for name in sorted({*hits, *misses})
    ]


def read_exact(text: object) -> Decimal:
    """Return the decimal that `str` wrote; raise TypeError, ValueError or ArithmeticError."""
    if not isinstance(text, str):
        raise TypeError("not a text")
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError("not finite")
    return number


class _Pause:
    """Until when this process leaves a Redis alone that did not answer."""

    client: Redis | None = None
    until = 0.0

    @classmethod
    def holds(cls) -> bool:
        if not redis_client.url:
            return True
        return cls.client is redis_client.client and time.monotonic() < cls.until

    @classmethod
    def begin(cls, error: RedisError) -> None:
        log.warning("cache_away error=%s", type(error).__name__)
        cls.client, cls.until = redis_client.client, time.monotonic() + PAUSE_S
