"""A test's hand on a stand-in that runs in a process of its own."""

import json
import os
import subprocess
import sys
import time
import urllib.request
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


@contextmanager
def running_double(journal: Path, seed: int = 0) -> Iterator[Control]:
    """Run the stand-in in a process of its own."""
    double = start_double(journal, seed)
    try:
        yield double[1]
    finally:
        double[0].kill()
        double[0].wait()


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
