"""Open accounts kept from tick to tick: connections, limits learnt and ids seen stay with them."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

MOST_KEPT = 300
# After so long an account is opened anew, so that changed rules of its pairs are seen.
KEPT_FOR_S = 3600.0


class Closable(Protocol):
    """What holds connections."""

    def close(self) -> None:
        """Let go of the connections."""


@dataclass(slots=True)
class _Kept:
    state: Hashable
    opened_at: float
    thing: Closable


class Pool:
    """Keeps the most recently used accounts of one thread; an account whose keys changed is new."""

    def __init__(self, most: int = MOST_KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[int, _Kept] = OrderedDict()

    def get(self, number: int, state: Hashable, make: Callable[[], Closable]) -> Closable:
        """Return the open account, or open it; `state` is all that it was opened with."""
        kept = self._kept.get(number)
        if kept is not None and kept.state == state and self._clock() - kept.opened_at < KEPT_FOR_S:
            self._kept.move_to_end(number)
            return kept.thing
        thing = make()
        if kept is not None:
            kept.thing.close()
        self._kept[number] = _Kept(state, self._clock(), thing)
        self._kept.move_to_end(number)
        while len(self._kept) > self._most:
            _, oldest = self._kept.popitem(last=False)
            oldest.thing.close()
        return thing

    def drop(self, number: int) -> None:
        """Let go of an account that may not be used any more."""
        kept = self._kept.pop(number, None)
        if kept is not None:
            kept.thing.close()

    def close(self) -> None:
        """Let go of all of them."""
        for number in list(self._kept):
            self.drop(number)

    def __len__(self) -> int:
        return len(self._kept)
