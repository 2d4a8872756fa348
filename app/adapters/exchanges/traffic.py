"""The calls of one client: asked for beforehand, counted, their answers read for limits."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app.adapters.exchanges.quirks.kinds import Lane, Quirks


class Traffic:
    """Stands between a client and the network."""

    def __init__(self, quirks: Quirks, key: str, *, testnet: bool) -> None:
        self._quirks = quirks
        self._key = key
        self._testnet = testnet
        self._lane = Lane.READ

    @contextmanager
    def lane(self, lane: Lane) -> Iterator[None]:
        """Make the calls inside as calls of this kind."""
        before, self._lane = self._lane, lane
        try:
            yield
        finally:
            self._lane = before

    def enter(self, method: str, *, is_private: bool, cost: float) -> None:
        """Wait until the call may be made."""

    def clock_offset_ms(self) -> int:
        """Return how far the exchange's clock is ahead of ours."""
        return 0

    def set_clock(self, ask: Callable[[], Any]) -> None:
        """Measure the exchange's clock anew."""
        ask()

    def heard(self, status: int, headers: Mapping[str, str], body: str) -> None:
        """Learn from an answer."""
