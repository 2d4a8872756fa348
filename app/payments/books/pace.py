"""Asking a provider many things, not faster than it likes, and again when it is busy."""

import time
from collections.abc import Callable
from typing import TypeVar

from app.errors import Unavailable

# A quarter of what Stripe allows a test account, a tenth of what it allows a live one.
CALLS_A_SECOND = 10
PAUSES_S = (1, 2, 4, 8)
T = TypeVar("T")


class Pace:
    """Keeps calls apart, and makes one again after a pause if the provider does not answer."""

    def __init__(self) -> None:
        self._gap = 1 / CALLS_A_SECOND
        self._next = 0.0

    def ask(self, call: Callable[[], T]) -> T:
        """Return what a call answers; raise Unavailable if it still does not after the pauses."""
        for pause in PAUSES_S:
            self._wait()
            try:
                return call()
            except Unavailable:
                time.sleep(pause)
        self._wait()
        return call()

    def _wait(self) -> None:
        now = time.monotonic()
        if self._next > now:
            time.sleep(self._next - now)
        self._next = max(now, self._next) + self._gap
