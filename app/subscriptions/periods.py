"""How long a price lasts: any number of days, weeks, months or years, or for life; pure."""

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self

from app.errors import InvalidInput

MAX_COUNT = 36
_CODE = re.compile(r"lifetime|(?:(?P<count>[1-9]\d?)-)?(?P<unit>day|week|month|year)")


class Unit(StrEnum):
    """The unit of a period."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    LIFETIME = "lifetime"


# How many of a unit make a month, so that prices of all periods can be compared.
IN_A_MONTH = {
    Unit.DAY: Decimal(365) / 12,
    Unit.WEEK: Decimal(52) / 12,
    Unit.MONTH: Decimal(1),
    Unit.YEAR: Decimal(1) / 12,
}


@dataclass(frozen=True, slots=True)
class Period:
    """A length such as 3 months, written `3-month`; one of a unit is written `month`."""

    count: int
    unit: Unit

    def __post_init__(self) -> None:
        if self.unit is Unit.LIFETIME and self.count != 1:
            raise ValueError("there is one life only")

    @classmethod
    def parse(cls, code: str) -> Self:
        """Read a code; raise InvalidInput for anything else."""
        found = _CODE.fullmatch(code)
        count = int(found["count"] or 1) if found else 0
        if found is None or count > MAX_COUNT:
            raise InvalidInput("bad_plan_period", field="period", maximum=MAX_COUNT)
        return cls(count, Unit(found["unit"] or Unit.LIFETIME))

    @property
    def code(self) -> str:
        """Return how this period is stored."""
        return self.unit.value if self.count == 1 else f"{self.count}-{self.unit}"

    @property
    def is_endless(self) -> bool:
        """Tell whether this is paid once and never ends."""
        return self.unit is Unit.LIFETIME

    @property
    def months(self) -> Decimal:
        """Return the length in months; a week is 12/52 of one, what never ends is infinite."""
        if self.is_endless:
            return Decimal("Infinity")
        return self.count / IN_A_MONTH[self.unit]

    def after(self, start: datetime, times: int = 1) -> datetime:
        """Return the moment so many periods after `start`.

        Counted from the first start, never from the end before: what began on January 31 goes on
        to February 28 and to March 31. Raises ValueError for what never ends.
        """
        if self.is_endless:
            raise ValueError("what is had for life has no end")
        number = self.count * times
        if self.unit is Unit.DAY:
            return start + timedelta(days=number)
        if self.unit is Unit.WEEK:
            return start + timedelta(weeks=number)
        return _add_months(start, number if self.unit is Unit.MONTH else number * 12)


# Months have up to this many days more or less than a twelfth of a year.
_MONTH_VARIES = Decimal(3)


def nearest(days: int) -> Period:
    """Return the period that so many days are: a year or months if they can be, weeks, or days."""
    months = round(days / IN_A_MONTH[Unit.DAY])
    if months and abs(days - months * IN_A_MONTH[Unit.DAY]) <= _MONTH_VARIES:
        years, rest = divmod(months, 12)
        return Period(months, Unit.MONTH) if rest else Period(years, Unit.YEAR)
    weeks, rest = divmod(days, 7)
    return Period(days, Unit.DAY) if rest else Period(weeks, Unit.WEEK)


MONTH = Period(1, Unit.MONTH)
YEAR = Period(1, Unit.YEAR)
LIFETIME = Period(1, Unit.LIFETIME)


def _add_months(start: datetime, number: int) -> datetime:
    years, month = divmod(start.month - 1 + number, 12)
    year = start.year + years
    last_day = calendar.monthrange(year, month + 1)[1]
    return start.replace(year=year, month=month + 1, day=min(start.day, last_day))
