"""What can go wrong between the exchange and whoever asks: by chance, or for the next call."""

import random
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# How a call goes wrong. `acted` says whether the exchange did what was asked before it went wrong;
# None leaves it to chance where both can happen.
DELAY = "delay"
LOST = "lost"
TWICE = "twice"
ANSWER_TWICE = "answer_twice"
FORGET = "forget"
CODE = "code"
HTTP = "http"
HTML = "html"
GARBAGE = "garbage"
TRUNCATED = "truncated"
DROPPED = "dropped"
KINDS = frozenset(
    {DELAY, LOST, TWICE, ANSWER_TWICE, FORGET, CODE, HTTP, HTML, GARBAGE, TRUNCATED, DROPPED}
)
# How much rather a fault of sendings strikes than one of any call.
SENDS_RATHER = 2
# Codes by which the exchange certainly says no; with the others it may have acted all the same.
REFUSING = frozenset({10002, 10003, 10004, 10005, 110007, 170131})


@dataclass
class Fault:
    """One way in which calls go wrong.

    `path` is a part of the addresses concerned, `link_id` or `account` narrow it down. It strikes
    by `chance`, and at most `times` times if that is not None. `ms` is how long a delay or a
    forgetting lasts.
    """

    kind: str
    path: str = ""
    chance: float = 1.0
    times: int | None = None
    acted: bool | None = None
    code: int = 0
    status: int = 503
    ms: int = 0
    account: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind}")

    @property
    def name(self) -> str:
        """Name it for the table of what was injected."""
        detail = {CODE: str(self.code), HTTP: str(self.status)}.get(self.kind, "")
        when = {True: "after acting", False: "before acting", None: ""}[self.acted]
        return " ".join(part for part in (self.kind, detail, when) if part)


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that strikes one call; whether the exchange acts is settled now."""

    fault: Fault
    acts: bool


class Faults:
    """The faults that are on, and how often each struck."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._on: list[Fault] = []
        self.struck: Counter[str] = Counter()
        # The same by the name of the fault, whether the exchange acted or not.
        self.by_name: Counter[str] = Counter()

    def set(self, faults: Iterable[Fault]) -> None:
        """Have these faults and no others."""
        with self._lock:
            self._on = list(faults)

    def add(self, fault: Fault) -> None:
        """Have one more."""
        with self._lock:
            self._on.append(fault)

    def choose(self, path: str, account: str) -> Struck | None:
        """Return what strikes this call, if anything does."""
        with self._lock:
            for fault in self._on:
                if fault.times == 0 or fault.path not in path:
                    continue
                if fault.account and fault.account != account:
                    continue
                if self._random.random() >= fault.chance:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return self._strike(fault)
        return None

    def _strike(self, fault: Fault) -> Struck:
        acts = fault.acted
        if acts is None:
            acts = self._random.random() < 0.5
        if fault.kind == CODE and fault.code in REFUSING:
            acts = False
        if fault.kind in {DELAY, TWICE, ANSWER_TWICE, FORGET}:
            acts = True
        side = "acted" if acts else "did not act"
        name = fault.name if fault.kind in {DELAY, TWICE, ANSWER_TWICE, FORGET} else (
            f"{fault.kind} {fault.code or ''}{fault.status if fault.kind == HTTP else ''}".strip()
            + f", {side}"
        )  # fmt: skip
        self.struck[name] += 1
        self.by_name[fault.name] += 1
        return Struck(fault, acts)


def from_json(rows: Iterable[dict[str, Any]]) -> list[Fault]:
    """Read faults from plain values."""
    return [Fault(**row) for row in rows]


def every_fault(chance: float, *, longest_ms: int = 300) -> list[Fault]:
    """Return each fault once, each striking with this chance."""
    sends = "order/create"
    kinds = [
        Fault(DELAY, ms=longest_ms // 4),
        Fault(LOST, acted=True),
        Fault(LOST, acted=False),
        Fault(TWICE, sends),
        Fault(ANSWER_TWICE),
        Fault(FORGET, sends, ms=longest_ms),
        Fault(HTML),
        Fault(GARBAGE),
        Fault(TRUNCATED),
        Fault(DROPPED),
        *(Fault(CODE, code=code) for code in (10002, 10006, 10000, 10016)),
        Fault(CODE, sends, code=110007),
        Fault(CODE, sends, code=170007),
        *(Fault(HTTP, status=status) for status in (429, 500, 502, 503, 504)),
    ]
    for fault in kinds:
        # Orders are sent far less often than questions are asked.
        fault.chance = min(1.0, chance * SENDS_RATHER) if fault.path == sends else chance
    return kinds
