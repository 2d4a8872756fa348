"""Filters of the desk's lists that fit our columns: UTC times, whole numbers that fit a column."""

from datetime import UTC, datetime
from typing import Any

from flask_admin.contrib.sqla import filters
from flask_admin.model.filters import convert
from flask_babel import lazy_gettext as _l

LARGEST = 2**63 - 1
# What people type and what a date-time field sends.
TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
)


def read_utc(text: str) -> datetime:
    """Read a UTC date with or without time; raise ValueError for anything else."""
    for form in TIME_FORMATS:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError("not a time")


def read_whole(text: str) -> int:
    """Read a whole number that fits a column; raise ValueError for anything else."""
    number = int(text)
    if abs(number) > LARGEST:
        raise ValueError("too large")
    return number


class _Utc:
    def clean(self, value: str) -> datetime:
        return read_utc(value)


class TimeAfter(_Utc, filters.DateTimeGreaterFilter):
    """Later than a moment."""

    def operation(self) -> Any:
        return _l("after (UTC)")


class TimeBefore(_Utc, filters.DateTimeSmallerFilter):
    """Earlier than a moment."""

    def operation(self) -> Any:
        return _l("before (UTC)")


class _Whole:
    def clean(self, value: str) -> int:
        return read_whole(value)


class WholeEqual(_Whole, filters.IntEqualFilter):
    """Exactly this number."""


class WholeGreater(_Whole, filters.IntGreaterFilter):
    """More than this number."""


class WholeSmaller(_Whole, filters.IntSmallerFilter):
    """Less than this number."""


class _Text:
    def clean(self, value: str) -> str:
        # PostgreSQL stores no NUL, so nothing can match one.
        return value.replace("\x00", "")


class TextEqual(_Text, filters.FilterEqual):
    """Exactly this text."""


class TextLike(_Text, filters.FilterLike):
    """Contains this text."""


class Converter(filters.FilterConverter):
    """Chooses the filters by the type of the column."""

    strings = (TextEqual, TextLike, filters.FilterEmpty)
    int_filters = (WholeEqual, WholeGreater, WholeSmaller, filters.FilterEmpty)

    @convert("text", "string")
    def conv_string(self, column: Any, name: str, **kwargs: Any) -> list[Any]:
        return [kind(column, name, **kwargs) for kind in self.strings]

    @convert("utctime")
    def conv_utc(self, column: Any, name: str, **kwargs: Any) -> list[Any]:
        return [
            kind(column, name, **kwargs) for kind in (TimeAfter, TimeBefore, filters.FilterEmpty)
        ]
