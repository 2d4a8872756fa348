"""What processes use of the processors, on Linux."""

import os
import time
from contextlib import suppress
from pathlib import Path


class Processors:
    """Who uses the processors meanwhile: seconds of each of our processes and its children."""

    def __init__(self, **roots: int) -> None:
        self._roots = roots
        self._before = self._read()

    def report(self, callbacks: int) -> None:
        """Print what a callback has cost each of them since the start."""
        now = self._read()
        each = (
            f"{name} {(now[name] - before) * 1000 / callbacks:.2f}"
            for name, before in self._before.items()
        )
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        print(f"  processor ms a callback: {', '.join(each)} (load of the machine: {load})")

    def _read(self) -> dict[str, float]:
        ticks, parents = {}, {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                number = int(path.parent.name)
                parents[number] = int(fields[1])
                # Its own, and those of children that have ended.
                ticks[number] = sum(map(int, fields[11:15]))
        own = time.process_time()
        return {
            **{name: _of_family(root, ticks, parents) for name, root in self._roots.items()},
            "sender": own,
        }


def _of_family(root: int, ticks: dict[int, int], parents: dict[int, int]) -> float:
    family = added = {root}
    while added:
        added = {child for child, parent in parents.items() if parent in family} - family
        family |= added
    return sum(ticks.get(each, 0) for each in family) / os.sysconf("SC_CLK_TCK")
