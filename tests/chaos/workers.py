"""Workers that die, again and again, and are started anew in their places."""

import contextlib
import os
import select
import signal
import time
from collections import Counter
from dataclasses import dataclass
from random import Random

from tests.chaos.crash_points import NEVER, Crash, random_crash
from tests.chaos.fork_server import ForkServer

# From its start, of which a good part goes by before the first tick.
LIFE_S = (0.3, 1.6)
# Whoever has not come to its place to die at by then is killed from outside.
LONGEST_LIFE_S = 4.0
# The scheduler only looks after what nobody has woken: its life is longer.
SCHEDULER_LIFE_S = (2.0, 12.0)


@dataclass
class Place:
    """A worker's place and the process in it now."""

    role: str
    name: str
    pid: int = 0
    handle: int = -1
    crash: Crash = Crash()
    ends_at: float = 0

    @property
    def is_dead(self) -> bool:
        """Say whether nobody is in it."""
        return self.handle < 0 or bool(select.select([self.handle], [], [], 0)[0])


class Workers:
    """Places of workers; `kills` counts how they died."""

    def __init__(self, forks: ForkServer, random: Random) -> None:
        self._forks, self._random = forks, random
        self.places: list[Place] = []
        self.kills: Counter[str] = Counter()

    def open(self, role: str, name: str) -> Place:
        """Start a worker that nobody kills yet."""
        place = Place(role, name)
        self.places.append(place)
        self.fill(place, Crash())
        return place

    def fill(self, place: Place, crash: Crash) -> None:
        """Start a worker in a place."""
        self._forget(place)
        place.pid = self._forks.start(place.role, place.name, crash)
        place.handle = os.pidfd_open(place.pid)
        place.crash = crash
        life = self._random.uniform(*LIFE_S) if crash.place == NEVER else LONGEST_LIFE_S
        if place.role == "scheduler":
            life = self._random.uniform(*SCHEDULER_LIFE_S)
        place.ends_at = time.monotonic() + life

    def reap(self) -> list[Place]:
        """Kill whose time has come; return the places whose worker is dead, still empty."""
        dead = []
        for place in self.places:
            if not place.is_dead and time.monotonic() > place.ends_at:
                self.kill(place)
                place.crash = Crash(NEVER)
            if place.is_dead:
                self.kills[place.crash.place if place.role == "ticks" else place.role] += 1
                dead.append(place)
        return dead

    def revive(self, place: Place, *, armed: bool = True) -> None:
        """Start a worker anew in its place."""
        ticks = place.role == "ticks"
        self.fill(place, random_crash(self._random) if armed and ticks else Crash())

    def disarm(self) -> None:
        """Have workers in all places that live on."""
        for place in self.places:
            if place.is_dead or place.crash.place != NEVER:
                self.kill(place)
                self.fill(place, Crash())
            place.ends_at = float("inf")

    @staticmethod
    def signal(place: Place, number: int) -> None:
        """Send a signal to the worker in a place."""
        os.kill(place.pid, number)

    def kill(self, place: Place) -> None:
        """Kill the worker in a place."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(place.pid, signal.SIGKILL)
        select.select([place.handle], [], [], 10)

    def close(self) -> None:
        """Kill them all."""
        for place in self.places:
            if not place.is_dead:
                self.kill(place)
            self._forget(place)

    @staticmethod
    def _forget(place: Place) -> None:
        if place.handle >= 0:
            os.close(place.handle)
            place.handle = -1
