"""Candles that cross many levels: made here, so that a stranger's clone has a journey too."""

import math
from pathlib import Path

FIRST_MS = 1_700_000_100_000
STEP_MS = 300_000
COUNT = 20_000


def lively_candles(path: Path) -> Path:
    """Write 5-minute candles that swing by two percent around 60,000."""
    lines = ["ts_ms,open,high,low,close,volume"]
    before = 60_000.0
    for number in range(COUNT):
        after = 60_000 * (1 + 0.02 * math.sin(number / 12) + 0.004 * math.sin(number / 1.7))
        high, low = max(before, after) * 1.0008, min(before, after) * 0.9992
        values = ",".join(f"{value:.1f}" for value in (before, high, low, after))
        lines.append(f"{FIRST_MS + number * STEP_MS},{values},10")
        before = round(after, 1)
    path.write_text("\n".join(lines) + "\n")
    return path
