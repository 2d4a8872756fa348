"""How far the exchanges' clocks are from ours, measured by one process for all of them."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

ALARM_MS = 500
# Where Redis keeps them: the offset in ms and the second in which it was measured.
KEYS = "clock:"
# An offset that was not measured anew for so long is no longer used.
KEPT_FOR_S = 1800
# A process asks Redis again after so long.
READ_EVERY_S = 10.0
LONGEST_TRIP_MS = 4000
TRIES = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """How far their clock is ahead of ours, give or take half of the trip."""

    offset_ms: int
    trip_ms: int

    @property
    def is_alarming(self) -> bool:
        """Say whether orders may soon be refused for it."""
        return abs(self.offset_ms) > ALARM_MS + self.trip_ms // 2


def measure(
    ask: Callable[[], Any],
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    tries: int = TRIES,
) -> Reading:
    """Ask for their time and believe the quickest answer; raise what the asking raises."""
    best: Reading | None = None
    for _ in range(tries):
        before = now_ms()
        theirs = int(ask())
        after = now_ms()
        # Half of the way there and back lies before their clock was read.
        reading = Reading(theirs - (before + after) // 2, after - before)
        if best is None or reading.trip_ms < best.trip_ms:
            best = reading
    if best is None or best.trip_ms > LONGEST_TRIP_MS:
        raise TimeoutError("the answer took too long to tell a time by")
    return best


class Clocks:
    """The offsets in Redis; without it, those that this process has measured itself."""

    def __init__(
        self, redis: Callable[[], Redis] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._known: dict[str, tuple[int, float]] = {}

    def offset_ms(self, name: str) -> int:
        """Return how far an exchange's clock is ahead; 0 while nobody has measured it."""
        known = self._known.get(name)
        if known is not None and self._clock() - known[1] < READ_EVERY_S:
            return known[0]
        told = self._read(name)
        offset = told if told is not None else known[0] if known else 0
        self._known[name] = (offset, self._clock())
        return offset

    def keep(self, name: str, reading: Reading) -> None:
        """Let every process know what was measured; an alarming difference is logged."""
        if reading.is_alarming:
            log.error("clock_differs exchange=%s offset_ms=%s", name, reading.offset_ms)
        self._known[name] = (reading.offset_ms, self._clock())
        if self._redis is None:
            return
        try:
            kept = f"{reading.offset_ms} {int(time.time())}"
            self._redis().set(f"{KEYS}{name}", kept, ex=KEPT_FOR_S)
        except RedisError as error:
            log.warning("clock_not_kept error=%s", type(error).__name__)

    def _read(self, name: str) -> int | None:
        if self._redis is None:
            return None
        try:
            raw: Any = self._redis().get(f"{KEYS}{name}")
            return int(raw.split()[0]) if raw else None
        except (RedisError, ValueError) as error:
            log.warning("clock_not_read error=%s", type(error).__name__)
            return None
