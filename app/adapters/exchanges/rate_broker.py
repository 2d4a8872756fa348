"""The limits of an exchange, shared by all processes through Redis.

Two buckets stand before every call: what the exchange allows an address, and what it allows an
account, for each kind of call apart. Who does not fit waits in a fair queue: cancels and stops
first, then new orders, then reads; among equals the account that used the least. What an exchange
tells in its answers corrects the buckets, and a limit that it says was exceeded stops everybody
who shares it. Without Redis each process keeps to a small part of the limits by itself.
"""

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from redis import Redis
from redis.exceptions import RedisError

from app.adapters.exchanges.errors import RateLimitedError
from app.adapters.exchanges.quirks.kinds import Lane, Quirks, Rate, Scope

log = logging.getLogger(__name__)

# Longest wait for a turn; who sends has a lease to keep.
PATIENCE_S = 4.0
SHORTEST_NAP_S = 0.005
LONGEST_NAP_S = 0.25
# Without Redis a process takes this part of a limit: nobody knows how many others there are.
LOCAL_SHARE = 0.125
REDIS_PAUSE_S = 5.0
RANK = {Lane.CANCEL: 0, Lane.PLACE: 1, Lane.READ: 2}
# This part of every bucket is left for more urgent kinds.
RESERVE = {Lane.CANCEL: 0.0, Lane.PLACE: 0.1, Lane.READ: 0.2}

# A window is counted in so many parts: exchanges count whole windows, and nobody knows where
# theirs begin, so never more than the limit may lie in any of ours.
SLOTS = 20
# How many calls all processes have made, by exchange and kind.
CALLS = "exchange:calls"

_WINDOW = f"""
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local slots = {SLOTS}
local function window(key, units, seconds)
  local width = seconds * 1000 / slots
  local current = math.floor(now / width)
  local fields = {{}}
  for slot = current - slots, current do
    fields[#fields + 1] = string.format('%.0f', slot)
  end
  local counts, sum = redis.call('HMGET', key, unpack(fields)), 0
  for place, count in ipairs(counts) do
    counts[place] = tonumber(count) or 0
    sum = sum + counts[place]
  end
  local function free_in(missing)
    for place, count in ipairs(counts) do
      missing = missing - count
      if missing <= 0 then
        return math.max(1, math.ceil((current - slots + place + slots) * width - now))
      end
    end
    return math.ceil(seconds * 1000)
  end
  local function take(amount)
    redis.call('HINCRBYFLOAT', key, fields[#fields], tostring(amount))
    if redis.call('HLEN', key) > 3 * slots then
      for _, field in ipairs(redis.call('HKEYS', key)) do
        local slot = tonumber(field)
        if slot and slot < current - slots then redis.call('HDEL', key, field) end
      end
    end
    if redis.call('PTTL', key) < seconds * 2000 then
      redis.call('PEXPIRE', key, math.max(60000, seconds * 2000))
    end
  end
  return units - sum, free_in, take
end
"""

# KEYS: address bucket, account bucket, queue, last seen of those who wait, used of accounts,
# counts of calls.
# ARGV: rank, cost, reserve, ticket, account, address units, seconds, account units, seconds, kind.
# Returns milliseconds to wait, 0 for "go", negative: stopped for so many milliseconds.
_ACQUIRE = (
    _WINDOW
    + """
local rank, cost, reserve = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local ticket, account = ARGV[4], ARGV[5]
local aunits, cunits = tonumber(ARGV[6]), tonumber(ARGV[8])
local stop = math.max(
  tonumber(redis.call('HGET', KEYS[1], 'stop') or '0'),
  tonumber(redis.call('HGET', KEYS[2], 'stop') or '0'))
if stop > now then
  redis.call('ZREM', KEYS[3], ticket)
  redis.call('ZREM', KEYS[4], ticket)
  return -(stop - now)
end
local cleft, cfree_in, ctake = window(KEYS[2], cunits, tonumber(ARGV[9]))
local csize = math.min(1, cunits)
local cneeded = csize + reserve * cunits
if cleft < cneeded and cleft < cunits then
  redis.call('ZREM', KEYS[3], ticket)
  return cfree_in(math.min(cneeded, cunits) - cleft)
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now - 1000)) do
  redis.call('ZREM', KEYS[3], gone)
  redis.call('ZREM', KEYS[4], gone)
end
local base = tonumber(redis.call('HGET', KEYS[5], '') or '0')
local waiting = redis.call('ZSCORE', KEYS[3], ticket)
local score = tonumber(waiting)
if not score then
  score = rank * 1e12 + math.max(base, tonumber(redis.call('HGET', KEYS[5], account) or '0'))
end
local share = score - rank * 1e12
local asize = math.min(cost, aunits)
if not waiting then
  redis.call('HSET', KEYS[5], account, tostring(share + asize))
  redis.call('PEXPIRE', KEYS[5], 60000)
end
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
local mine = (not first[1]) or first[1] == ticket or tonumber(first[2]) > score
local aleft, afree_in, atake = window(KEYS[1], aunits, tonumber(ARGV[7]))
local needed = asize + reserve * aunits
if mine and (aleft >= needed or aleft >= aunits) then
  atake(asize)
  ctake(csize)
  redis.call('ZREM', KEYS[3], ticket)
  redis.call('ZREM', KEYS[4], ticket)
  redis.call('HSET', KEYS[5], '', tostring(math.max(base, share)))
  redis.call('HINCRBY', KEYS[6], ARGV[10], 1)
  return 0
end
redis.call('ZADD', KEYS[3], score, ticket)
redis.call('ZADD', KEYS[4], now, ticket)
redis.call('PEXPIRE', KEYS[3], 60000)
redis.call('PEXPIRE', KEYS[4], 60000)
local ahead = redis.call('ZRANK', KEYS[3], ticket)
local missing = math.min(needed, aunits) - aleft + ahead * asize
if missing <= 0 then return 1 end
return afree_in(missing)
"""
)

# KEYS: bucket. ARGV: what is left, or '' ; milliseconds to stop for, or 0; units; seconds.
_CORRECT = (
    _WINDOW
    + """
local stop_ms = tonumber(ARGV[2])
if ARGV[1] ~= '' then
  local left, _, take = window(KEYS[1], tonumber(ARGV[3]), tonumber(ARGV[4]))
  if left > tonumber(ARGV[1]) then take(left - tonumber(ARGV[1])) end
end
if stop_ms > 0 and now + stop_ms > tonumber(redis.call('HGET', KEYS[1], 'stop') or '0') then
  redis.call('HSET', KEYS[1], 'stop', string.format('%.0f', now + stop_ms))
  redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), stop_ms + 60000))
end
"""
)


class Caller(NamedTuple):
    """Who calls: an exchange, behind which address of ours, for which account ("" for nobody)."""

    quirks: Quirks
    address: str
    account: str


class Broker(Protocol):
    """Gives turns, and learns from answers."""

    def acquire(self, caller: Caller, lane: Lane, cost: float) -> None:
        """Wait for a turn; raise RateLimitedError, having waited for a while at most."""

    def correct(
        self, caller: Caller, scope: Scope, lane: Lane | None, left: float | None, stop_s: float
    ) -> None:
        """Take over what the exchange told: what is left of a limit, and how long to stop."""


class NoBroker:
    """Lets everybody through: for tests, and for what asks an exchange once."""

    def acquire(self, caller: Caller, lane: Lane, cost: float) -> None:
        """Let the call through."""

    def correct(
        self, caller: Caller, scope: Scope, lane: Lane | None, left: float | None, stop_s: float
    ) -> None:
        """Forget it."""


class RateBroker:
    """The shared limits in Redis; with Redis away, limits of this process alone."""

    def __init__(
        self,
        redis: Callable[[], Redis],
        *,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._redis = redis
        self._patience_s = patience_s
        self._sleep = sleep
        self._local = LocalLimits()
        self._away_until = 0.0

    def acquire(self, caller: Caller, lane: Lane, cost: float) -> None:
        """Wait for a turn; raise RateLimitedError, having waited for a while at most."""
        ticket = secrets.token_hex(8)
        ends_at = time.monotonic() + self._patience_s
        while (wait_s := self._ask(caller, lane, cost, ticket)) != 0:
            stopped, wait_s = wait_s < 0, abs(wait_s)
            too_long = stopped and time.monotonic() + wait_s > ends_at
            if too_long or time.monotonic() >= ends_at:
                self._leave(caller, ticket)
                raise _limited(caller, wait_s)
            nap = wait_s if stopped else min(wait_s, LONGEST_NAP_S)
            self._sleep(max(nap, SHORTEST_NAP_S))

    def correct(
        self, caller: Caller, scope: Scope, lane: Lane | None, left: float | None, stop_s: float
    ) -> None:
        """Take over what the exchange told: what is left of a limit, and how long to stop."""
        lanes = [lane] if lane is not None else list(Lane)
        if scope is Scope.ADDRESS:
            lanes = [Lane.READ]
        for one in lanes:
            rate = _rate(caller.quirks, scope, one)
            self._local.stop(_bucket(caller, scope, one), stop_s)
            if self._is_away():
                continue
            try:
                self._redis().eval(
                    _CORRECT, 1, _bucket(caller, scope, one),
                    "" if left is None else str(max(left, 0.0)), str(int(stop_s * 1000)),
                    str(rate.units), str(rate.seconds),
                )  # fmt: skip
            except RedisError as error:
                self._note_away(error)

    def _ask(self, caller: Caller, lane: Lane, cost: float, ticket: str) -> float:
        """Return seconds to wait, 0 for "go", negative when everybody is stopped for so long."""
        quirks = caller.quirks
        address, account = _rate(quirks, Scope.ADDRESS, lane), _rate(quirks, Scope.ACCOUNT, lane)
        if not self._is_away():
            place = _place(caller)
            try:
                told: Any = self._redis().eval(
                    _ACQUIRE, 6,
                    _bucket(caller, Scope.ADDRESS, lane), _bucket(caller, Scope.ACCOUNT, lane),
                    f"{place}:queue", f"{place}:seen", f"{place}:used", CALLS,
                    str(RANK[lane]), str(cost), str(RESERVE[lane]), ticket, caller.account or "-",
                    str(address.units), str(address.seconds),
                    str(account.units), str(account.seconds),
                    f"{quirks.code} {'private' if caller.account else 'public'}",
                )  # fmt: skip
            except RedisError as error:
                self._note_away(error)
            else:
                return float(told) / 1000
        return self._local.ask(
            [
                (_bucket(caller, Scope.ADDRESS, lane), address, cost),
                (_bucket(caller, Scope.ACCOUNT, lane), account, 1.0),
            ]
        )

    def _leave(self, caller: Caller, ticket: str) -> None:
        """Give up a place in the queue, so that nobody waits behind it."""
        if self._is_away():
            return
        place = _place(caller)
        try:
            self._redis().zrem(f"{place}:queue", ticket)
            self._redis().zrem(f"{place}:seen", ticket)
        except RedisError as error:
            self._note_away(error)

    def _is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def _note_away(self, error: RedisError) -> None:
        log.warning("rate_broker_away error=%s", type(error).__name__)
        self._away_until = time.monotonic() + REDIS_PAUSE_S


class LocalLimits:
    """Limits of one process, a small part of the real ones."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}
        self._stops: dict[str, float] = {}

    def ask(self, wanted: list[tuple[str, Rate, float]]) -> float:
        """Take from all of these buckets, or tell how long to wait; negative when stopped."""
        with self._lock:
            now = self._clock()
            stop = max((self._stops.get(name, 0.0) for name, _, _ in wanted), default=0.0)
            if stop > now:
                return now - stop
            levels = [(name, *self._level(name, rate, now), cost) for name, rate, cost in wanted]
            wait = max((min(cost, most) - left) / speed for _, left, most, speed, cost in levels)
            if wait > 0:
                return wait
            for name, left, most, _, cost in levels:
                self._left[name] = (left - min(cost, most), now)
            return 0.0

    def stop(self, name: str, seconds: float) -> None:
        """Let nobody through for so long."""
        if seconds > 0:
            with self._lock:
                until = self._clock() + seconds
                self._stops[name] = max(until, self._stops.get(name, 0.0))

    def _level(self, name: str, rate: Rate, now: float) -> tuple[float, float, float]:
        most = max(1.0, rate.units * LOCAL_SHARE)
        speed = rate.units * LOCAL_SHARE / rate.seconds
        left, at = self._left.get(name, (most, now))
        return min(most, left + (now - at) * speed), most, speed


def exchange_calls(redis: Redis) -> dict[tuple[str, str], int]:
    """Return how many calls all processes have made: (exchange, kind) and count; raise RedisError.

    Kept since Redis was emptied last.
    """
    told: Any = redis.hgetall(CALLS)
    found: dict[tuple[str, str], int] = {}
    for name, count in told.items():
        exchange, _, kind = name.decode().partition(" ")
        found[exchange, kind] = int(count)
    return found


def account_name(key: str) -> str:
    """Return under which name an API key is known to the broker: never the key itself."""
    return hashlib.sha256(key.encode()).hexdigest()[:16] if key else ""


def _rate(quirks: Quirks, scope: Scope, lane: Lane) -> Rate:
    return quirks.limits.address if scope is Scope.ADDRESS else quirks.limits.account[lane]


def _bucket(caller: Caller, scope: Scope, lane: Lane) -> str:
    place = _place(caller)
    if scope is Scope.ADDRESS:
        return place
    return f"{place}:{caller.account or '-'}:{lane.value}"


def _place(caller: Caller) -> str:
    return f"rate:{caller.quirks.code}:{caller.address}"


def _limited(caller: Caller, wait_s: float) -> RateLimitedError:
    return RateLimitedError(
        "exchange_rate_limited", exchange=caller.quirks.code, retry_after_s=round(wait_s, 3)
    )
