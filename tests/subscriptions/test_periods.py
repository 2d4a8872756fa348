from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.subscriptions.periods import LIFETIME, MAX_COUNT, MONTH, YEAR, Period, Unit
from app.subscriptions.texts import period_words

ENDING = [unit for unit in Unit if unit is not Unit.LIFETIME]
PERIODS = st.builds(Period, st.integers(1, MAX_COUNT), st.sampled_from(ENDING))
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1)).map(  # noqa: DTZ001 - made aware
    lambda moment: moment.replace(tzinfo=UTC)
)


@given(PERIODS | st.just(LIFETIME))
def test_a_period_is_read_as_it_was_written(period: Period) -> None:
    assert Period.parse(period.code) == period


def test_what_is_had_for_life_never_ends_and_costs_nothing_a_month() -> None:
    assert LIFETIME.is_endless
    assert LIFETIME.code == "lifetime"
    assert Decimal(499) / LIFETIME.months == 0
    assert period_words(LIFETIME) == "a lifetime"
    with pytest.raises(ValueError, match="no end"):
        LIFETIME.after(datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="one life"):
        Period(2, Unit.LIFETIME)


@pytest.mark.parametrize(
    "code", ["", "2-lifetime", "0-month", "37-day", "3-months", "-1-day", "fortnight"]
)
def test_anything_else_is_refused(code: str) -> None:
    with pytest.raises(InvalidInput, match="bad_plan_period"):
        Period.parse(code)


@pytest.mark.parametrize(
    ("period", "times", "expected"),
    [
        (MONTH, 1, datetime(2026, 2, 28, 12, tzinfo=UTC)),
        (MONTH, 2, datetime(2026, 3, 31, 12, tzinfo=UTC)),
        (Period(3, Unit.MONTH), 1, datetime(2026, 4, 30, 12, tzinfo=UTC)),
        (YEAR, 2, datetime(2028, 1, 31, 12, tzinfo=UTC)),
        (Period(2, Unit.WEEK), 1, datetime(2026, 2, 14, 12, tzinfo=UTC)),
        (Period(30, Unit.DAY), 1, datetime(2026, 3, 2, 12, tzinfo=UTC)),
    ],
)
def test_the_end_of_january_is_followed_by_the_end_of_each_month(
    period: Period, times: int, expected: datetime
) -> None:
    assert period.after(datetime(2026, 1, 31, 12, tzinfo=UTC), times) == expected


@given(PERIODS, TIMES)
def test_time_only_goes_on(period: Period, start: datetime) -> None:
    assert start < period.after(start) < period.after(start, 2)


@pytest.mark.parametrize(
    ("period", "months"),
    [
        (MONTH, "1.00"),
        (YEAR, "12.00"),
        (Period(13, Unit.WEEK), "3.00"),
        (Period(4, Unit.DAY), "0.13"),
    ],
)
def test_lengths_are_compared_in_months(period: Period, months: str) -> None:
    assert period.months.quantize(Decimal("0.01")) == Decimal(months)


@pytest.mark.parametrize(
    ("unit", "words"),
    [(Unit.DAY, "days"), (Unit.WEEK, "weeks"), (Unit.MONTH, "months"), (Unit.YEAR, "years")],
)
def test_periods_are_written_in_words(unit: Unit, words: str) -> None:
    assert period_words(Period(3, unit)) == f"3 {words}"
