"""Kill, spoil, repair, compare: the phases of a chaos run and what they find."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.bots import wake
from tests.chaos.rig import Rig
from tests.doubles.bybit.faults import Fault, every_fault
from tests.doubles.bybit.venue import FORGETTING, LATE, PARTIAL, UNORDERED

LONGEST_FAULT_MS = 250
# A fault has its chance only when it struck so often; workers live on until then, but not for ever.
LEAST_STRUCK = 5
LONGEST_WAIT_S = 60
# The exchange itself dies once in so many kills of workers.
KILLS_TO_RESTART = 20
CALM: dict[str, Any] = {"partial": 0, "late_fills": 0, "forget": 0, "unordered": False}
HABITS: dict[str, dict[str, Any]] = {
    PARTIAL: {"partial": 0.6},
    LATE: {"late_fills": 0.6, "late_ms": LONGEST_FAULT_MS},
    UNORDERED: {"unordered": True},
    FORGETTING: {"forget": 0.4, "forget_ms": LONGEST_FAULT_MS},
}
EVERYTHING = {name: value for habit in HABITS.values() for name, value in habit.items()}


@dataclass(frozen=True)
class Phase:
    """Faults that are on while workers are killed."""

    name: str
    faults: tuple[Fault, ...] = ()
    habits: dict[str, Any] = field(default_factory=dict)
    share: float = 1


def phases() -> list[Phase]:
    """Return kills alone, each fault singly, each habit singly, and all of it mixed."""
    single = [
        Phase(fault.name, (fault,)) for fault in every_fault(0.3, longest_ms=LONGEST_FAULT_MS)
    ]
    habits = [Phase(name, habits=habit) for name, habit in HABITS.items()]
    mixed = tuple(every_fault(0.02, longest_ms=LONGEST_FAULT_MS))
    return [
        Phase("kills alone", share=4),
        *single,
        *habits,
        Phase("all mixed", mixed, {**EVERYTHING, "forget": 0.1, "partial": 0.3}, share=8),
    ]


@dataclass
class Result:
    """What came of a run."""

    kills: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    never_struck: list[str] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    checks: int = 0
    fills: int = 0
    funding: int = 0
    seconds: float = 0

    @property
    def passed(self) -> bool:
        """Say whether nothing was found, each fault had its chance, and bots traded all along."""
        return self.faults_found == 0

    @property
    def faults_found(self) -> int:
        """Return how much is wrong."""
        return sum(map(len, (self.findings, self.missing, self.never_struck, self.idle)))


class Campaign:
    """One run over a rig."""

    def __init__(self, rig: Rig, say: Callable[[str], None]) -> None:
        self.rig, self.result, self._say = rig, Result(), say
        self._hurt: dict[int, tuple[datetime, float]] = {}

    def run(self, kills: int, chosen: Iterable[Phase]) -> Result:
        """Spread the kills over the phases; after each one the books are compared."""
        began = time.monotonic()
        todo = list(chosen)
        shares = sum(phase.share for phase in todo)
        done = 0.0
        for phase in todo:
            done += phase.share
            target = round(kills * done / shares)
            try:
                self._run_phase(phase, target)
            except TimeoutError as stuck:
                self.result.findings.append(f"{phase.name}: {stuck}")
            if not self.result.passed:
                break
        self.result.kills = self.rig.workers.kills
        self.result.fills = self.rig.fills()
        self.result.funding = self.rig.funding()
        self.result.seconds = time.monotonic() - began
        return self.result

    def note_never_struck(self, chosen: Iterable[Phase]) -> None:
        """Name faults and habits that had no chance to show what they do."""
        self.result.never_struck = never_struck(chosen, self.rig.control.do("counts"))

    def note_idle(self) -> None:
        """Say where too little has happened for a verdict."""
        self.result.idle = too_little(self.result, self.rig.ended(), self.rig.contracts)

    def check(self, when: str) -> int:
        """Compare books and ladders; return how much is wrong."""
        found, missing = self.rig.findings(), self.rig.missing()
        self.result.checks += 1
        self.result.findings += [f"{when}: {line}" for line in found]
        self.result.missing += [f"{when}: {line}" for line in missing]
        return len(found) + len(missing)

    def end_alone(self, times: int) -> None:
        """Leave workers' accounts alone so often, then compare once more."""
        try:
            self.leave_alone(times)
            self.rig.audit()
        except TimeoutError as stuck:
            self.result.findings.append(f"left alone: {stuck}")
        else:
            self.check("left alone")

    def leave_alone(self, times: int) -> None:
        """Kill a worker that holds accounts and wait for the product's own clock, waking nobody."""
        for _ in range(times):
            rig = self.rig
            rig.step(4)
            place = rig.workers.places[0]
            held = rig.wait_until_holding(place)
            rig.workers.kill(place)
            rig.workers.kills["left alone"] += 1
            began, died = time.monotonic(), rig.now()
            rig.workers.revive(place, armed=False)
            place.ends_at = float("inf")
            while not held <= rig.ticked_since(died):
                if time.monotonic() > began + LONGEST_WAIT_S:
                    raise TimeoutError(f"nobody ticks {sorted(held)} again")
                time.sleep(0.02)
            self.result.alone.append(time.monotonic() - began)

    def _run_phase(self, phase: Phase, target: int) -> None:
        rig = self.rig
        rig.control.do("habits", **{**CALM, **phase.habits})
        rig.control.fail(*phase.faults)
        for place in rig.workers.places:
            life = rig.random.uniform(0.5, 1.5) if place.role == "ticks" else 12
            place.ends_at = min(place.ends_at, time.monotonic() + life)
        before = self._struck()
        seen, ends_at = -1, 0.0
        while (killed := sum(rig.workers.kills.values())) < target:
            if killed > seen:
                seen, ends_at = killed, time.monotonic() + LONGEST_WAIT_S
            elif time.monotonic() > ends_at:
                raise TimeoutError(f"no worker was killed in {LONGEST_WAIT_S} s, after {killed}")
            self._go_on()
            if killed // KILLS_TO_RESTART > rig.control.restarts:
                rig.control.kill()
            self._reap()
        if (phase.faults or phase.habits) and self._struck() < before + LEAST_STRUCK:
            rig.workers.disarm()
            deadline = time.monotonic() + LONGEST_WAIT_S
            while self._struck() < before + LEAST_STRUCK and time.monotonic() < deadline:
                self._go_on()
        rig.control.fail()
        rig.control.do("habits", **CALM)
        # What the price has passed while orders were filled in part is filled by the next one.
        rig.step(1)
        rig.workers.disarm()
        rig.audit()
        self._note_recovered()
        found = self.check(phase.name)
        killed, fills = sum(rig.workers.kills.values()), rig.fills()
        self._say(f"{killed:>5} kills {fills:>6} fills  {phase.name}: {found or 'nothing'} found")

    def _go_on(self) -> None:
        rig = self.rig
        rig.step(rig.random.randint(1, 5))
        wake.request_ticks(rig.live.accounts())
        time.sleep(rig.random.uniform(0.01, 0.12))

    def _struck(self) -> int:
        counts = self.rig.control.do("counts")
        habits = (int(counts["habits"].get(name, 0)) for name in HABITS)
        return sum(habits) + sum(map(int, counts["faults"].values()))

    def _reap(self) -> None:
        dead = self.rig.workers.reap()
        if dead or self._hurt:
            self._note_recovered()
        for place in dead:
            now, died = time.monotonic(), self.rig.now()
            for number, (_, is_held, holder) in self.rig.leases().items():
                if is_held and holder == place.name:
                    self._hurt[number] = died, now
            self.rig.workers.revive(place)

    def _note_recovered(self) -> None:
        """Take out the accounts that were ticked to the end since their worker died."""
        for number, (moment, died) in list(self._hurt.items()):
            if number in self.rig.ticked_since(moment):
                self.result.recoveries.append(time.monotonic() - died)
                del self._hurt[number]


def never_struck(chosen: Iterable[Phase], counts: dict[str, Any]) -> list[str]:
    """Return the names of faults and habits of these phases that were not seen once."""
    phases_run = list(chosen)
    faults = {fault.name for phase in phases_run for fault in phase.faults}
    on = {setting for phase in phases_run for setting in phase.habits}
    habits = {name for name, habit in HABITS.items() if on >= set(habit)}
    return sorted(faults - set(counts["by_name"])) + sorted(habits - set(counts["habits"]))


def too_little(result: Result, ended: Iterable[str], contracts: int) -> list[str]:
    """Return why a run proves nothing: bots that do not trade any more, few fills, no funding."""
    found = list(ended)
    least = sum(result.kills.values()) // 2
    if result.fills < least:
        found.append(f"only {result.fills} fills, at least {least} are wanted")
    if contracts and not result.funding:
        found.append(f"{contracts} bots trade contracts and no funding was paid")
    return found


def table(result: Result, faults: dict[str, Any], restarts: int) -> str:
    """Return the figures as text."""
    struck = faults["faults"] | {
        f"{name}: never": 0 for name in result.never_struck if name not in HABITS
    }
    habits = dict.fromkeys(HABITS, 0) | faults["habits"]
    lines = ["", f"{'killed':<34}{'times':>8}"]
    lines += [f"  {name:<32}{times:>8}" for name, times in sorted(result.kills.items())]
    lines += [f"  {'the exchange itself':<32}{restarts:>8}"]
    lines += [f"{'went wrong at the exchange':<34}{'times':>8}"]
    lines += [f"  {name:<32}{times:>8}" for name, times in sorted(struck.items())]
    lines += [f"{'by itself':<34}"]
    lines += [f"  {name:<32}{times:>8}" for name, times in sorted(habits.items())]
    lines += [
        f"{'accounts recovered':<34}{len(result.recoveries):>8}   {_spread(result.recoveries)}",
        f"{'... by the sweep alone':<34}{len(result.alone):>8}   {_spread(result.alone)}",
        f"{'fills booked':<34}{result.fills:>8}",
        f"{'funding payments booked':<34}{result.funding:>8}",
        f"{'comparisons of books and ladders':<34}{result.checks:>8}",
        f"{'  differences in the books':<34}{len(result.findings):>8}",
        f"{'  orders missing from ladders':<34}{len(result.missing):>8}",
        f"{'bots ended, fills or funding short':<34}{len(result.idle):>8}",
        f"{'seconds':<34}{result.seconds:>8.0f}",
        "",
    ]
    return "\n".join(lines)


def _spread(times: list[float]) -> str:
    if len(times) < 2:
        return f"{times[0]:.2f} s" if times else ""
    parts = statistics.quantiles(times, n=100, method="inclusive")
    return f"p50 {parts[49]:.2f} s, p99 {parts[98]:.2f} s, worst {max(times):.2f} s"
