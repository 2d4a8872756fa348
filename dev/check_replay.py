"""Check the recorded candles that MARKET_REPLAY names, before anything starts."""

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from app.errors import ConfigError
from app.markets.recordings import (
    BadRecordingError,
    Choice,
    Recording,
    choose_recordings,
    scan,
)


def main(place: Path) -> int:
    """Check every file that would be played; name what is wrong; return the exit code."""
    try:
        choice = choose_recordings(place)
    except ConfigError as error:
        print(f"{place}: {_said(error)}", flush=True)
        if place.is_file():
            # Its name says nothing we know; its rows may be wrong as well.
            flask = [sys.executable, "-m", "flask", "candles", "check", str(place)]
            subprocess.run(flask, check=False)
        return 1
    _say_skipped(choice)
    with ProcessPoolExecutor(max_workers=min(len(choice.chosen), os.cpu_count() or 1)) as pool:
        return max(pool.map(check, choice.chosen))


def check(recording: Recording) -> int:
    """Check every row of one file and say what was found; return its exit code."""
    try:
        report = scan(recording).report
    except BadRecordingError as error:
        print(f"{recording.path}: {_said(error)}", flush=True)
        print(f"    All of it: .venv/bin/flask candles check {recording.path}", flush=True)
        return 1
    gaps = f", {len(report.gaps)} gaps" if report.gaps else ""
    print(f"    {recording.path.name}: {report.rows:,} candles{gaps}", flush=True)
    return 0


def _say_skipped(choice: Choice) -> None:
    for name, reason in choice.skipped.items():
        print(f"    {name}: not played ({reason.replace('_', ' ')})")


def _said(error: ConfigError | BadRecordingError) -> str:
    values = " ".join(f"{name}={value}" for name, value in error.values.items())
    return f"{error.code.replace('_', ' ')} ({values})"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
