"""Times as people read them: their zone, a 24-hour clock, ages and run times."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from babel.dates import format_date as babel_date
from babel.dates import format_skeleton, format_timedelta

from app.formatting.numbers import MINUS, SPACE

# The usual form ends with a word that is cut short by a point: a sentence would end with two.
_DAYS = {"ru": "d MMM y"}
_DIGIT_LETTER = re.compile(r"(?<=\d)(?=[^\W\d])")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def format_time(moment: datetime, locale: str, zone: tzinfo, *, seconds: bool = False) -> str:
    """Write date and time in a zone, 24-hour clock."""
    local = _local(moment, zone)
    clock = local.strftime("%H:%M:%S" if seconds else "%H:%M")
    return f"{format_date(moment, locale, zone)}, {clock}"


def format_date(moment: datetime, locale: str, zone: tzinfo) -> str:
    """Write the day of a moment in a zone."""
    style = _DAYS.get(locale.partition("_")[0], "medium")
    return str(babel_date(_local(moment, zone), style, locale=locale))


def _local(moment: datetime, zone: tzinfo) -> datetime:
    """Return a moment in a zone; the ends of the calendar, which no zone goes beyond, in UTC.

    Somebody types the last day that there is where something is never to end.
    """
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment.astimezone(UTC)


def format_month(month: datetime, locale: str) -> str:
    """Write a month that begins at a moment of UTC: Jan 2026."""
    return str(format_skeleton("yMMM", month.astimezone(UTC), locale=locale))


def format_age(age: timedelta, locale: str) -> str:
    """Write how long ago something was, in one unit: 4 s ago."""
    # Only English has a narrow form that reads as a sentence.
    width: Literal["narrow", "short"] = "narrow" if locale.startswith("en") else "short"
    age = max(age, timedelta(seconds=1))
    text = format_timedelta(-age, threshold=1, add_direction=True, format=width, locale=locale)
    return _spaced(text)


def split_duration(span: timedelta) -> list[tuple[int, str]]:
    """Split a run time into its two largest neighbouring units: 3 days, 4 hours."""
    rest = max(0, int(span.total_seconds()))
    for place, (unit, size) in enumerate(_UNITS):
        if rest >= size:
            count, rest = divmod(rest, size)
            parts = [(count, unit)]
            if unit != "second":
                next_unit, next_size = _UNITS[place + 1]
                parts.append((rest // next_size, next_unit))
            return [part for part in parts if part[0]]
    return [(0, "second")]


def zone_label(zone: tzinfo, name: str, at: datetime) -> str:
    """Name a zone with its distance from UTC: Europe/Moscow, UTC+3."""
    if name == "UTC":
        return name
    minutes = int((at.astimezone(zone).utcoffset() or timedelta()).total_seconds()) // 60
    sign = MINUS if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    return f"{name}, UTC{sign}{hours}" + (f":{rest:02d}" if rest else "")


def _spaced(text: str) -> str:
    return _DIGIT_LETTER.sub(SPACE, text).replace(" ", SPACE)
