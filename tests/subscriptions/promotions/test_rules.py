"""What a promotion code may be, and for whom it holds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.errors import DomainError, InvalidInput
from app.money import Money
from app.subscriptions.periods import MONTH, Period
from app.subscriptions.promotions import rules
from app.subscriptions.promotions.rules import Terms
from app.subscriptions.terms import Choice, Discount

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def percent(value: str = "20", code: str = "SPRING", periods: int | None = 1) -> Discount:
    return Discount(code, percent=Decimal(value), periods=periods)


def amount(value: str, currency: str = "USD") -> Discount:
    return Discount("SPRING", amount=Money(Decimal(value), currency))


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        (Terms(percent(code="AB")), "bad_promo_code"),
        (Terms(percent(code="-AB")), "bad_promo_code"),
        (Terms(percent(code="A" * 41)), "bad_promo_code"),
        (Terms(percent(code="spring")), "bad_promo_code"),
        (Terms(percent(code="ÜBER")), "bad_promo_code"),
        (Terms(percent(code="AB\x00C")), "bad_promo_code"),
        (Terms(percent(code="SPRING\n")), "bad_promo_code"),
        (Terms(Discount("SPRING")), "bad_promo_value"),
        (
            Terms(Discount("SPRING", Decimal(1), Money(Decimal(1), "USD"))),
            "bad_promo_value",
        ),
        (Terms(percent("0")), "bad_promo_percent"),
        (Terms(percent("-5")), "bad_promo_percent"),
        (Terms(percent("100.01")), "bad_promo_percent"),
        (Terms(percent("12.345")), "bad_promo_percent"),
        (Terms(percent("NaN")), "bad_promo_percent"),
        (Terms(amount("0")), "bad_promo_amount"),
        (Terms(amount("1000000.01")), "bad_promo_amount"),
        (Terms(percent(periods=0)), "bad_promo_periods"),
        (Terms(percent(periods=121)), "bad_promo_periods"),
        (Terms(percent(), max_redemptions=0), "bad_promo_count"),
        (Terms(percent(), max_redemptions=10**30), "bad_promo_count"),
        (Terms(percent(), expires_at=NOW), "bad_promo_end"),
    ],
)
def test_a_code_that_makes_no_sense_is_refused(terms: Terms, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rules.check_new(terms, NOW)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "terms",
    [
        Terms(percent("100", periods=None)),
        Terms(percent("12.5", periods=12), max_redemptions=1),
        Terms(amount("5.55"), ("pro",), NOW + timedelta(seconds=1)),
    ],
)
def test_a_code_that_makes_sense_may_be_made(terms: Terms) -> None:
    rules.check_new(terms, NOW)


def _code_of(act: Callable[[], object]) -> str:
    try:
        act()
    except DomainError as error:
        return error.code
    return ""


@pytest.mark.parametrize(
    ("terms", "plan", "code"),
    [
        (Terms(percent()), "pro", ""),
        (Terms(percent()), None, ""),
        (Terms(percent(), ("pro",)), "pro", ""),
        (Terms(percent(), ("pro",)), "premium", "promo_not_for_plan"),
        (Terms(percent(), ("pro",)), None, "promo_not_for_plan"),
        (Terms(amount("5", "EUR")), "pro", "promo_not_for_plan"),
        (Terms(percent(), active=False), "pro", "promo_ended"),
        (Terms(percent(), expires_at=NOW), "pro", "promo_ended"),
        (Terms(percent(), expires_at=NOW + timedelta(seconds=1)), "pro", ""),
    ],
)
def test_a_code_holds_for_what_it_says(terms: Terms, plan: str | None, code: str) -> None:
    choice = Choice(plan, MONTH)
    assert _code_of(lambda: rules.check_usable(terms, choice, "USD", NOW)) == code


@pytest.mark.parametrize(
    ("periods", "number", "same", "holds"),
    [
        (1, 1, True, True),
        (1, 2, True, False),
        (3, 3, True, True),
        (3, 4, True, False),
        (None, 500, True, True),
        (3, 2, False, False),
        (None, 2, False, False),
        # Who tries a plan may still choose another period before the first payment.
        (1, 1, False, True),
    ],
)
def test_it_lowers_the_first_periods_of_the_length_that_was_bought(
    periods: int | None, number: int, same: bool, holds: bool
) -> None:
    terms = Terms(percent(periods=periods))
    assert (rules.at(terms, number, "pro", same_period=same) is not None) == holds


def test_it_lowers_no_plan_that_it_is_not_for_and_holds_on_after_its_end() -> None:
    terms = Terms(percent(periods=None), ("pro",), NOW, active=False)
    assert rules.at(terms, 2, "pro", same_period=True) == terms.discount
    assert rules.at(terms, 2, "premium", same_period=True) is None


def test_large_and_small_letters_are_the_same() -> None:
    assert rules.normal(" sPring_26 ") == "SPRING_26"


@pytest.mark.parametrize(
    ("periods", "period", "trial_days", "months"),
    [
        (None, "day", 400, 0),
        (1, "day", 0, 0),
        (1, "year", 0, 0),
        (3, "month", 0, 3),
        (3, "3-month", 0, 9),
        (3, "year", 0, 36),
        (2, "2-year", 0, 48),
        (2, "day", 0, None),
        (2, "3-week", 0, None),
        # Free days: one payment is said in months too, and they end within the first period.
        (1, "month", 27, 1),
        (1, "month", 28, None),
        (1, "3-month", 83, 3),
        (1, "3-month", 84, None),
        (1, "week", 1, None),
        (3, "year", 30, 36),
    ],
)
def test_periods_are_said_in_months_where_months_are_counted(
    periods: int | None, period: str, trial_days: int, months: int | None
) -> None:
    found = rules.months_there(percent(periods=periods), Period.parse(period), trial_days)
    assert found == months


def test_a_name_has_letters_digits_and_hyphens_only_and_tells_the_months() -> None:
    assert rules.name_there("A_B-1", 0) == "A-B-1"
    assert rules.name_there("SPRING", 36) == "SPRING-36M"
