"""A test's hand on a stand-in that runs in a process of its own."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.doubles.bybit.faults import Fault

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 20


class Control:
    """Calls of /control."""

    def __init__(self, url: str) -> None:
        self.url = url

    def do(self, name: str, **values: Any) -> Any:
        """Do one thing by its name."""
        data = json.dumps(values).encode()
        request = urllib.request.Request(f"{self.url}/control/{name}", data, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def push(self, *prices: Decimal | str, symbol: str = "AAAUSDT", category: str = "spot") -> int:
        """Let prices happen; return how many fills they made."""
        told = [format(Decimal(price), "f") for price in prices]
        return int(self.do("push", symbol=symbol, category=category, prices=told)["fills"])

    def fail(self, *faults: Fault, keep: bool = False) -> None:
        """Have these faults."""
        self.do("fail", faults=[asdict(fault) for fault in faults], keep=keep)

    def books(self, key: str) -> dict[str, Any]:
        """Return all that an account has."""
        books: dict[str, Any] = self.do("books", key=key)
        return books


class Double(Control):
    """The process itself: killed, it opens again at its address with the books that it kept.

    What it had not answered is lost; so are its faults, habits and counts, which are put back.
    """

    def __init__(self, journal: Path, seed: int = 0) -> None:
        self._journal, self._seed = journal, seed
        self._process, control = start_double(journal, seed)
        super().__init__(control.url)
        self.restarts = 0
        self._faults: list[dict[str, Any]] = []
        self._habits: dict[str, Any] = {}
        self._before: dict[str, Counter[str]] = {}

    def do(self, name: str, **values: Any) -> Any:
        """Do one thing by its name, and remember what a restart must not change."""
        if name == "fail":
            kept = self._faults if values.get("keep") else []
            self._faults = [*kept, *values["faults"]]
        elif name == "habits":
            self._habits |= values
        told = super().do(name, **values)
        return self._with_former(told) if name == "counts" else told

    def kill(self) -> None:
        """End the process in the middle of whatever it does, and start it again."""
        self._before = {name: Counter(counts) for name, counts in self.do("counts").items()}
        self._process.kill()
        self._process.wait()
        self.restarts += 1
        port = int(self.url.rpartition(":")[2])
        self._process, _ = start_double(self._journal, self._seed, port)
        super().do("habits", **self._habits)
        super().do("fail", faults=self._faults)

    def close(self) -> None:
        """End the process for good."""
        self._process.kill()
        self._process.wait()

    def _with_former(self, told: dict[str, Any]) -> dict[str, Any]:
        return {
            name: dict(Counter(counts) + self._before.get(name, Counter()))
            for name, counts in told.items()
        }


@contextmanager
def running_double(journal: Path, seed: int = 0) -> Iterator[Double]:
    """Run the stand-in in a process of its own."""
    double = Double(journal, seed)
    try:
        yield double
    finally:
        double.close()


def start_double(
    journal: Path, seed: int = 0, port: int = 0
) -> tuple[subprocess.Popen[bytes], Control]:
    """Start the process and wait until it listens."""
    ready = journal.with_suffix(".port")
    ready.unlink(missing_ok=True)
    command: Iterable[str] = (
        sys.executable, "-m", "tests.doubles.bybit", "--journal", str(journal), "--seed",
        str(seed), "--port", str(port), "--ready", str(ready),
    )  # fmt: skip
    process = subprocess.Popen(list(command), cwd=ROOT, env={**os.environ})
    deadline = time.monotonic() + PATIENCE_S
    while not (ready.exists() and ready.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError("the stand-in does not start")
        time.sleep(0.02)
    return process, Control(ready.read_text())
