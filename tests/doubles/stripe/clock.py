"""The clock of the account: it stands still until it is moved, or runs on from there."""

import calendar
import time
from datetime import UTC, datetime

DAY = 86_400
HOUR = 3_600
UNITS = {"day": DAY, "week": 7 * DAY}


class Clock:
    """Epoch seconds. A live clock runs with the real one, ahead of it by what it was moved."""

    def __init__(self, start: int | None = None, *, live: bool = False) -> None:
        self.live = live
        self._at = int(time.time()) if start is None else start
        self._since = int(time.time())

    @property
    def now(self) -> int:
        """Return the present second."""
        return self._at + (int(time.time()) - self._since if self.live else 0)

    def set(self, epoch: int) -> None:
        """Move to a later second."""
        if epoch < self.now:
            raise ValueError("the clock only goes forward")
        self._at, self._since = epoch, int(time.time())


def add_interval(anchor: int, interval: str, count: int, times: int = 1) -> int:
    """Return the anchor moved by `times` intervals; months keep its day where they have it."""
    if interval in UNITS:
        return anchor + UNITS[interval] * count * times
    months = count * times * (12 if interval == "year" else 1)
    start = datetime.fromtimestamp(anchor, UTC)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def period_end(anchor: int, start: int, interval: str, count: int) -> int:
    """Return the first boundary of the anchor's grid after a start."""
    times = 0
    if interval in UNITS:
        times = max(0, (start - anchor) // (UNITS[interval] * count))
    while (end := add_interval(anchor, interval, count, times)) <= start:
        times += 1
    return end
