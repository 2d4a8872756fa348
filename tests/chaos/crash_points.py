"""Where a worker kills itself: at a line of the engine, at a commit, at a call of the exchange.

Only tests load this. The process dies by SIGKILL, so nothing of it cleans up.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# A tick runs through these; every line of them is a place to die at.
ENGINE = (
    "app/bots/live/",
    "app/bots/jobs.py",
    "app/bots/wake.py",
    "app/bots/metrics.py",
    "app/trades/service.py",
    "app/exchanges/leases.py",
    "app/exchanges/venues.py",
    "app/adapters/exchanges/",
    "app/transactions.py",
)
LINE, BEFORE_COMMIT, AFTER_COMMIT = "line", "before commit", "after commit"
BEFORE_CALL, AFTER_CALL = "before call", "after call"
NEVER = "at a random time"
MOST_LINES = 12_000


@dataclass(frozen=True, slots=True)
class Crash:
    """Die at the n-th time that this place is reached; NEVER leaves it to somebody outside."""

    place: str = NEVER
    number: int = 0

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def random_crash(random: Random) -> Crash:
    """Choose a place to die at."""
    place = random.choice((NEVER, LINE, LINE, BEFORE_COMMIT, AFTER_COMMIT, BEFORE_CALL, AFTER_CALL))
    if place == LINE:
        # As likely among the first lines of a tick as later on.
        return Crash(place, int(MOST_LINES ** random.uniform(0.2, 1)))
    return Crash(place, random.randint(1, 12))


def arm(crash: Crash) -> None:
    """Have this process die at that place."""
    if crash.place == LINE:
        _die_at_line(crash.number)
    elif crash.place in {BEFORE_COMMIT, AFTER_COMMIT}:
        from sqlalchemy.orm import Session

        _die_around(Session, "commit", crash.number, after=crash.place == AFTER_COMMIT)
    elif crash.place in {BEFORE_CALL, AFTER_CALL}:
        from requests import Session as Connection

        _die_around(Connection, "request", crash.number, after=crash.place == AFTER_CALL)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_around(owner: type[Any], name: str, number: int, *, after: bool) -> None:
    real: Callable[..., Any] = getattr(owner, name)
    left = [number]

    def counted(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not after:
            _die()
        answer = real(*args, **kwargs)
        if left[0] == 0:
            _die()
        return answer

    setattr(owner, name, counted)


def _die_at_line(number: int) -> None:
    places = tuple(str(ROOT / place) for place in ENGINE)
    left = [number]

    def at_line(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            left[0] -= 1
            if left[0] <= 0:
                _die()
        return at_line

    def at_call(frame: FrameType, event: str, argument: Any) -> Any:
        return at_line if frame.f_code.co_filename.startswith(places) else None

    sys.settrace(at_call)
