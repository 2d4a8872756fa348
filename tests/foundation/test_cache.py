import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app import cache
from app.cache import Cache, CacheCount
from app.extensions import redis_client
from app.transactions import transaction

PRICES: Cache[Decimal] = Cache("prices", 20, str, cache.read_exact)

GARBAGE: tuple[Any, ...] = (None, 1.1, "", "x", "NaN", "Infinity", [], {}, [["1"]])


class Maker:
    """Makes an answer and counts how often it had to."""

    def __init__(self, value: str = "1.10") -> None:
        self.value = Decimal(value)
        self.times = 0

    def __call__(self) -> Decimal:
        self.times += 1
        return self.value


@pytest.fixture
def make(database: None) -> Maker:
    return Maker()


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a Redis there that nothing answers for."""
    monkeypatch.setattr(redis_client, "_client", Redis(port=9, retry=Retry(NoBackoff(), 0)))


def counted() -> CacheCount:
    (count,) = cache.counts()
    return count


def test_an_answer_is_made_once_and_found_after_that(make: Maker) -> None:
    for _ in range(3):
        found = PRICES.get("a", make)
        assert (found, str(found)) == (Decimal("1.10"), "1.10")
    assert make.times == 1
    assert counted() == CacheCount("prices", hits=2, misses=1)


def test_an_answer_ends_after_its_seconds(make: Maker, redis_db: Redis) -> None:
    PRICES.get("a", make)
    left: Any = redis_db.ttl("cache:prices:a")
    assert 0 < left <= 20
    redis_db.delete("cache:prices:a")
    PRICES.get("a", make)
    assert make.times == 2


def test_nothing_is_an_answer_too(database: None) -> None:
    times: list[int] = []
    nothings: Cache[None] = Cache("nothings", 20, lambda value: None, lambda kept: None)
    for _ in range(2):
        nothings.get("a", lambda: times.append(1))
    assert times == [1]


def test_of_many_keys_only_the_missing_ones_are_made(make: Maker) -> None:
    asked: list[list[str]] = []

    def make_many(keys: list[str]) -> dict[str, Decimal]:
        asked.append(keys)
        return {key: Decimal(key) for key in keys if key != "9"}

    PRICES.get("1", lambda: Decimal(1))
    found = PRICES.get_many(["1", "2", "2", "9"], make_many)
    assert found == {"1": 1, "2": 2}
    assert asked == [["2", "9"]]
    assert PRICES.get_many([], make_many) == {}
    assert len(asked) == 1


def test_two_owners_never_share(database: None) -> None:
    assert PRICES.get("1", Maker("1")) == 1
    assert PRICES.get("12", Maker("12")) == 12
    assert PRICES.get("1:2", Maker("3")) == 3
    other: Cache[Decimal] = Cache("prices_1", 20, str, cache.read_exact)
    assert other.get("2", Maker("4")) == 4
    assert [PRICES.get(key, Maker("0")) for key in ("1", "12", "1:2")] == [1, 12, 3]


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a\n"])
def test_a_name_cannot_reach_into_the_keys_of_another(name: str) -> None:
    with pytest.raises(ValueError, match="not a cache name"):
        Cache(name, 1, str, str)


def test_dropped_answers_are_made_anew(make: Maker) -> None:
    PRICES.get("a", make)
    PRICES.drop()
    make.value = Decimal(2)
    assert PRICES.get("a", make) == 2
    assert PRICES.get("a", make) == 2
    assert make.times == 2


def test_an_answer_from_before_a_drop_is_not_found_after_it(database: None) -> None:
    def read_old_rows_while_somebody_changes_them() -> Decimal:
        PRICES.drop()
        return Decimal(1)

    assert PRICES.get("a", read_old_rows_while_somebody_changes_them) == 1
    assert PRICES.get("a", Maker("2")) == 2


def test_what_may_be_rolled_back_is_not_shown_to_others(make: Maker) -> None:
    with transaction():
        assert PRICES.get("a", Maker("666")) == 666
    assert PRICES.get("a", make) == make.value


@pytest.mark.parametrize(
    "kept",
    [
        b"", b"\xff\xfe", b"null", b"1", b"[]", b"{}", b"[" * 100_000,
        *(json.dumps({"generation": "", "value": value}).encode()
          for value in GARBAGE),
    ],
)  # fmt: skip
def test_garbage_is_made_anew_and_overwritten(make: Maker, redis_db: Redis, kept: bytes) -> None:
    redis_db.set("cache:prices:a", kept)
    assert PRICES.get("a", make) == make.value
    assert PRICES.get("a", make) == make.value
    assert make.times == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda redis: redis.lpush("cache:prices:a", "list"),
        lambda redis: redis.lpush("cache-generation:prices", "list"),
        lambda redis: redis.set(cache.HITS, "text"),
        lambda redis: redis.set(cache.MISSES, "text"),
    ],
)
def test_keys_of_another_kind_break_nothing(
    make: Maker, redis_db: Redis, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Redis], None]
) -> None:
    monkeypatch.setattr(cache, "PAUSE_S", 0)
    spoil(redis_db)
    for _ in range(2):
        assert PRICES.get("a", make) == make.value
    PRICES.drop()
    assert PRICES.get("a", make) == make.value


def test_with_redis_away_every_answer_is_made(make: Maker, away: None) -> None:
    for _ in range(2):
        assert PRICES.get("a", make) == make.value
    assert make.times == 2
    PRICES.drop()


def test_a_redis_that_does_not_answer_is_left_alone_for_a_while(
    make: Maker, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    mget = redis_client.client.mget

    def count_and_ask(*keys: str) -> object:
        asked.append(1)
        return mget(*keys)

    monkeypatch.setattr(redis_client.client, "mget", count_and_ask)
    for _ in range(5):
        PRICES.get("a", make)
    assert (make.times, len(asked)) == (5, 1)


def test_without_an_address_of_redis_every_answer_is_made(make: Maker, app: Flask) -> None:
    url = redis_client.url
    redis_client.configure("")
    try:
        assert PRICES.get("a", make) == make.value
        PRICES.drop()
    finally:
        redis_client.configure(url)


def test_what_make_raises_comes_through(database: None) -> None:
    def fail() -> Decimal:
        raise LookupError("as planned")

    with pytest.raises(LookupError, match="as planned"):
        PRICES.get("a", fail)
