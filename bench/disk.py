"""How long the disk takes to keep what it was given: what no statement that commits can beat."""

import os
import time
from pathlib import Path

SECONDS = 10
PAGE = b"x" * 8192
PAGES = 2000
# About as often as a busy PostgreSQL asks.
PAUSE_S = 0.004


def report_disk(folder: Path) -> None:
    """Print how long writing 8 kB for good takes in a folder, and the longest of all."""
    took = sorted(_writes(folder / "disk"))
    p50, p99, p999 = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99, 0.999))
    print(
        f"disk, 8 kB for good: {len(took)} times in {SECONDS} s, p50 {p50:.1f} ms,"
        f" p99 {p99:.1f} ms, p99.9 {p999:.0f} ms, longest {took[-1] * 1000:.0f} ms"
    )


def _writes(path: Path) -> list[float]:
    took: list[float] = []
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        # As the log of a database: the file is there, its pages are written over.
        os.write(descriptor, PAGE * PAGES)
        os.fsync(descriptor)
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            os.pwrite(descriptor, PAGE, len(took) % PAGES * len(PAGE))
            began = time.perf_counter()
            os.fdatasync(descriptor)
            took.append(time.perf_counter() - began)
            time.sleep(PAUSE_S)
    finally:
        os.close(descriptor)
        path.unlink()
    return took
