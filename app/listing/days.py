"""Days in filters: from the midnight of one to the end of another, in the reader's zone."""

from datetime import UTC, date, datetime, time, timedelta

from flask_babel import get_timezone

FIRST_DAY, LAST_DAY = date(2009, 1, 1), date(2100, 1, 1)


def start_of(text: str | None) -> datetime | None:
    """Return when a typed day begins; nothing for what is no day."""
    return _midnight(_day(text))


def end_of(text: str | None) -> datetime | None:
    """Return when a typed day is over; nothing for what is no day."""
    day = _day(text)
    return _midnight(day + timedelta(days=1)) if day else None


def _day(text: str | None) -> date | None:
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    return min(max(day, FIRST_DAY), LAST_DAY)


def _midnight(day: date | None) -> datetime | None:
    if day is None:
        return None
    return datetime.combine(day, time(), tzinfo=get_timezone()).astimezone(UTC)
