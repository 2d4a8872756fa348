"""What happened at the stand-in, line by line in a file that survives the process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file of JSON lines; without a path nothing is kept.

    What belongs together is one line, so that a kill leaves all of it or nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is not None and path.exists():
            _cut_torn_line(path)
        # Each line is handed to the system at once, so that a kill loses none.
        self._file = path.open("a", buffering=1) if path else None
        self._depth = 0
        self._waiting: list[dict[str, Any]] = []

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what happens within as one line, at the end."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0 and self._waiting:
                waiting, self._waiting = self._waiting, []
                self._put(waiting)

    def write(self, event: str, **values: Any) -> None:
        """Add an event."""
        if self._file is None:
            return
        told = {"event": event, **values}
        if self._depth:
            self._waiting.append(told)
        else:
            self._put([told])

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _put(self, events: list[dict[str, Any]]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(events) + "\n")


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Read the events; a line that a kill cut in half at the end is left out."""
    if not path.exists():
        return
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield from json.loads(line)


def _cut_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
