"""Check the recorded candles that MARKET_REPLAY names, before anything starts."""

import sys
import time
from pathlib import Path

from app.cli.trading import open_candles
from app.trading.candles import CandleReport, check_candles

SUFFIXES = (".csv", ".csv.gz")
ROWS_SHOWN = 10


def main(place: Path) -> int:
    """Check a file, or every candle file of a folder; name each bad row; return the exit code."""
    files = find_files(place)
    if not files:
        print(f"{place}: no candle file (.csv or .csv.gz) here.")
        return 1
    return max([check(file) for file in files])


def find_files(place: Path) -> list[Path]:
    """Return the candle files that an operator means."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if path.name.endswith(SUFFIXES))


def check(file: Path) -> int:
    """Check one file and say what was found."""
    started = time.monotonic()
    with open_candles(file) as lines:
        report = check_candles(lines)
    for bad in report.bad[:ROWS_SHOWN]:
        said = " ".join(f"{name}={value}" for name, value in bad.values.items())
        print(f"{file}: row {bad.row} (line {bad.line}): {bad.code} {said}".rstrip())
    if not report.is_good():
        print(f"{file}: not usable: {report.bad_count} bad rows of {report.rows}")
        return 1
    print(f"    {file.name}: {_described(report)} ({time.monotonic() - started:.1f} s)", flush=True)
    return 0


def _described(report: CandleReport) -> str:
    gaps = f", {len(report.gaps)} gaps" if report.gaps else ""
    return f"{report.rows:,} candles{gaps}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
