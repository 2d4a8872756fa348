"""Periods of time that figures are asked for: from a first day to a last one, in UTC; pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from app.errors import InvalidInput

EARLIEST = date(2000, 1, 1)
MOST_MONTHS = 36


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, its end not in it; `now` lies at or after the end."""

    start: datetime
    end: datetime
    now: datetime

    @property
    def bounds(self) -> tuple[datetime, ...]:
        """Return the start, every first of a month in between, and the end."""
        found, month = [self.start], next_month(self.start)
        while month < self.end:
            found.append(month)
            month = next_month(month)
        return (*found, self.end)

    @property
    def months(self) -> tuple[tuple[datetime, datetime], ...]:
        """Return the start and end of every month, the first and last as far as they belong."""
        bounds = self.bounds
        return tuple(zip(bounds, bounds[1:], strict=False))

    @property
    def last_day(self) -> date:
        """Return the last day that belongs to it, wholly or in part."""
        return (self.end - timedelta(microseconds=1)).date()


def this_month(now: datetime) -> Span:
    """Return the month so far."""
    return Span(first_of_month(now), now, now)


def last_month(now: datetime) -> Span:
    """Return the month before this one."""
    end = first_of_month(now)
    return Span(first_of_month(end - timedelta(days=1)), end, now)


def last_months(count: int, now: datetime) -> Span:
    """Return this month so far and the ones before it, so many in all."""
    start = first_of_month(now)
    for _ in range(count - 1):
        start = first_of_month(start - timedelta(days=1))
    return Span(start, now, now)


def days(first: date, last: date, now: datetime) -> Span:
    """Return the time from one day to another; raise InvalidInput for what can't be counted."""
    if not EARLIEST <= first <= last <= now.date():
        raise InvalidInput("bad_span", field="first")
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    span = Span(start, min(end, now), now)
    if len(span.bounds) > MOST_MONTHS + 2:
        raise InvalidInput("span_too_long", field="first", maximum=MOST_MONTHS)
    return span


def first_of_month(moment: datetime) -> datetime:
    """Return the first moment of a month."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(moment: datetime) -> datetime:
    """Return the first moment of the month after this one."""
    return first_of_month(first_of_month(moment) + timedelta(days=32))
