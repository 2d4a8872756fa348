"""What happened at the stand-in, line by line in a file that survives the process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file of JSON lines; without a path nothing is kept."""

    def __init__(self, path: Path | None = None) -> None:
        # Each line is handed to the system at once, so that a kill loses none.
        self._file = path.open("a", buffering=1) if path else None

    def write(self, event: str, **values: Any) -> None:
        """Add a line."""
        if self._file is not None:
            self._file.write(json.dumps({"event": event, **values}) + "\n")

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Read the lines; one that a kill cut in half at the end is left out."""
    if not path.exists():
        return
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
