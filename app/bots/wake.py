"""Who has to be ticked soon: prices that wake a bot, and accounts that wait for a worker.

All of it stands in Redis and is a hint only. What is lost (FLUSHALL, Redis away) is found again
by the periodic tick, whose time stands in the bot's row. A lost hint costs a delay, never an order.

Waiting accounts are one sorted set, score = the moment from which an account may be taken. A worker
that takes one pushes its score into the future, beyond the length of a lease; when it is done it
removes the account only if the score is still its own. So:

- a wake that comes while the account is ticked lowers the score and survives the tick;
- a wake whose lease is held by another worker is put back and taken again by whoever comes next;
- an account whose worker died shows up again by itself.

Jobs on the queue carry nothing but "look into the set". One is called for by whoever finds the mark
`called` absent; the job removes the mark before it looks. A unique job id alone would lose the wake
that comes between the job's last look and its end.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from redis.exceptions import RedisError

from app.extensions import redis_client
from app.queues import QueueName, enqueue_once
from app.trading.market import Triggers

log = logging.getLogger(__name__)

DUE = "ticks:due"
CALLED = "ticks:called"
COUNTER = "ticks:calls"
FILED = "wake:filed"
LOOKED = "ticks:looked"
# Account -> by how many seconds it stands ahead of others that wait.
LEADS = "ticks:leads"
LEADS_SECONDS = 600
AWAY = "ticks:away:"
# Longer than the pause after which an account that was put off is tried again.
AWAY_SECONDS = 120
# Longer than a lease: until then the worker that took an account is given the chance to finish.
TAKEN_SECONDS = 25
# No pause is longer.
LONGEST_AHEAD_S = 2 * TAKEN_SECONDS
CALLED_MS = 5000
JOB = "app.bots.jobs.tick_due"
# Scores are binary fractions: look a hair beyond the price rather than miss it.
_HAIR = 1e-12

_TAKE = """
local ids = redis.call('zrange', KEYS[1], '-inf', ARGV[1], 'byscore', 'limit', 0, ARGV[3])
for _, id in ipairs(ids) do redis.call('zadd', KEYS[1], ARGV[2], id) end
return ids
"""
_DONE = """
local left = 0
for i = 2, #ARGV do
  local score = redis.call('zscore', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[1]) then
    redis.call('zrem', KEYS[1], ARGV[i])
  elseif score then
    left = left + 1
  end
end
return left
"""

_CALL_BACK = """
for _, id in ipairs(redis.call('zrange', KEYS[1], '(' .. ARGV[2], '+inf', 'byscore')) do
  redis.call('zadd', KEYS[1], ARGV[1], id)
end
"""


def request_ticks(account_ids: Iterable[int]) -> None:
    """Have these accounts ticked as soon as a worker is free."""
    if _put(_ahead(account_ids, time.time())):
        call_worker()


def remind(account_ids: Iterable[int]) -> None:
    """Let accounts be ticked now unless they wait or are at work already.

    Those that were put back for a while keep their pause. None is that long: a moment further ahead
    was noted before the clock was set back.
    """
    now = time.time()
    _put(_ahead(account_ids, now), only_new=True)
    redis_client.client.eval(_CALL_BACK, 1, DUE, str(now), str(now + LONGEST_AHEAD_S))


def keep_leads(leads: Mapping[int, int]) -> None:
    """Say by how many seconds accounts stand ahead of others; what was said before is forgotten.

    It only decides who comes first of those that wait, so it may be lost or late.
    """
    pipeline = redis_client.client.pipeline(transaction=True)
    pipeline.delete(LEADS)
    if leads:
        pipeline.hset(LEADS, mapping={str(one): seconds for one, seconds in leads.items()})
        pipeline.expire(LEADS, LEADS_SECONDS)
    pipeline.execute()


def put_back(account_ids: Iterable[int], seconds: float = 0) -> None:
    """Let accounts that could not be ticked wait on, calling nobody.

    Whoever holds such an account calls a worker when it is done; else the next sweep does.
    """
    _put(dict.fromkeys(map(str, account_ids), time.time() + seconds))


def call_worker() -> None:
    """Make sure that a job is on its way that looks into the set of waiting accounts."""
    try:
        client = redis_client.client
        if client.set(CALLED, "1", nx=True, px=CALLED_MS):
            enqueue_once(QueueName.TICKS, JOB, key=f"ticks-{client.incr(COUNTER)}")
    except RedisError as error:
        log.warning("wake_lost error=%s", type(error).__name__)


def answer_call() -> None:
    """Say that a worker looks now: whoever adds an account from here on calls again."""
    pipeline = redis_client.client.pipeline(transaction=False)
    pipeline.delete(CALLED)
    pipeline.set(LOOKED, str(time.time()))
    pipeline.execute()


def looked_at() -> datetime | None:
    """Return when a worker last looked for work, None if that is not known."""
    told: Any = redis_client.client.get(LOOKED)
    return None if told is None else datetime.fromtimestamp(float(told), UTC)


def note_away(account_id: int) -> None:
    """Say that the exchange of an account does not answer; forgotten after a while."""
    try:
        redis_client.client.set(f"{AWAY}{account_id}", "1", ex=AWAY_SECONDS)
    except RedisError as error:
        log.warning("away_not_noted error=%s", type(error).__name__)


def away_of(account_ids: Iterable[int]) -> set[int]:
    """Return which of these accounts could not be looked at lately because of their exchange."""
    asked = sorted(account_ids)
    told: Any = redis_client.client.mget([f"{AWAY}{number}" for number in asked]) if asked else []
    return {number for number, mark in zip(asked, told, strict=True) if mark}


def take_due(count: int) -> tuple[list[int], float]:
    """Take up to `count` waiting accounts; the number is the mark under which they are taken."""
    now = time.time()
    mark = round(now + TAKEN_SECONDS, 6)
    taken = redis_client.client.eval(_TAKE, 1, DUE, str(now), repr(mark), str(count))
    return [int(account) for account in taken], mark


def finish(account_ids: Sequence[int], mark: float) -> None:
    """Forget accounts that were ticked, except those that somebody woke meanwhile."""
    if account_ids and redis_client.client.eval(_DONE, 1, DUE, repr(mark), *map(str, account_ids)):
        call_worker()


def count_due() -> int:
    """Return how many accounts wait for a worker now."""
    return int(redis_client.client.zcount(DUE, "-inf", time.time()))


def is_lost() -> bool:
    """Say whether the index of prices was emptied, or never filled."""
    return not redis_client.client.exists(FILED)


def mark_filed() -> None:
    """Say that the index holds all that it should."""
    redis_client.client.set(FILED, "1")


def file_triggers(entries: Iterable[tuple[int, int, int, Triggers]]) -> None:
    """File at which prices a bot wants to be woken: (market, account, bot, triggers) each.

    Without triggers the bot is taken out.
    """
    pipeline = redis_client.client.pipeline(transaction=False)
    for market_id, account_id, bot_id, triggers in entries:
        member = f"{account_id}:{bot_id}"
        for direction, price in (("down", triggers.below), ("up", triggers.above)):
            if price is None:
                pipeline.zrem(_key(market_id, direction), member)
            else:
                pipeline.zadd(_key(market_id, direction), {member: float(price)})
    try:
        pipeline.execute()
    except RedisError as error:
        log.warning("triggers_lost error=%s", type(error).__name__)


def pop_crossed(market_id: int, low: Decimal, high: Decimal) -> set[int]:
    """Take out whose price was reached by a movement between `low` and `high`: their accounts."""
    pipeline = redis_client.client.pipeline(transaction=True)
    lowest, highest = float(low) * (1 - _HAIR), float(high) * (1 + _HAIR)
    for key, least, most in (
        (_key(market_id, "down"), lowest, "+inf"),
        (_key(market_id, "up"), "-inf", highest),
    ):
        pipeline.zrangebyscore(key, least, most)
        pipeline.zremrangebyscore(key, least, most)
    down, _, up, _ = pipeline.execute()
    return {int(member.split(b":")[0]) for member in (*down, *up)}


def _key(market_id: int, direction: str) -> str:
    return f"wake:{market_id}:{direction}"


def _ahead(account_ids: Iterable[int], now: float) -> dict[str, float]:
    """Return from when on accounts wait: who has a lead as if they had come that much earlier."""
    asked = [str(number) for number in account_ids]
    if not asked:
        return {}
    try:
        told: Any = redis_client.client.hmget(LEADS, asked)
    except RedisError:
        told = [None] * len(asked)
    return {one: now - int(lead or 0) for one, lead in zip(asked, told, strict=True)}


def _put(scores: Mapping[str, float], *, only_new: bool = False) -> bool:
    if not scores:
        return False
    try:
        # The earlier moment wins: a wake beats a pause and the mark of a worker at work.
        redis_client.client.zadd(DUE, dict(scores), nx=only_new, lt=not only_new)
    except RedisError as error:
        log.warning("wake_lost error=%s", type(error).__name__)
        return False
    return True
