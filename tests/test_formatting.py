"""Numbers and times are shown and read by the rules of the product, in each language."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.formatting import (
    format_age,
    format_amount,
    format_date,
    format_large_money,
    format_money,
    format_percent,
    format_plain,
    format_price,
    format_signed_money,
    format_signed_percent,
    format_time,
    full_price,
    input_text,
    parse_decimal,
    parse_optional_decimal,
    split_duration,
    zone_label,
)
from app.formatting.numbers import TABLE_LARGE_FROM

NB = "\u00a0"
MINUS = "\u2212"
LOCALES = ["en", "ru", "pt_BR"]
SATOSHI = D("0.00000001")


@pytest.mark.parametrize(
    ("locale", "expected"),
    [("en", "1,234.50"), ("ru", f"1{NB}234,50"), ("pt_BR", "1.234,50")],
)
def test_money_has_two_decimals_and_its_code_after_a_no_break_space(
    locale: str, expected: str
) -> None:
    assert format_money(D("1234.5"), "USDT", locale) == f"{expected}{NB}USDT"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("-0.004", f"{MINUS}0.004"),
        ("0.0049", "0.005"),
        ("0.005", "0.01"),
        ("0.00000001", "0.00000001"),
        ("0.00096", "0.001"),
        ("0", "0.00"),
        ("-0", "0.00"),
        ("1e-18", "0.000000000000000001"),
        ("12345678901234567890.123456789012345678", "12,345,678,901,234,567,890.12"),
    ],
)
def test_money_that_is_not_zero_never_shows_as_zero(value: str, expected: str) -> None:
    assert format_money(D(value), "USDT", "en") == f"{expected}{NB}USDT"


@pytest.mark.parametrize(
    ("currency", "expected"),
    [("JPY", "4,351"), ("KWD", "4,350.678"), ("EUR", "4,350.68"), ("BTC", "4,350.68")],
)
def test_money_has_the_digits_in_which_its_currency_is_counted(
    currency: str, expected: str
) -> None:
    assert format_money(D("4350.678"), currency, "en") == f"{expected}{NB}{currency}"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**18)))
def test_no_amount_of_money_loses_its_sign_or_its_existence(value: D) -> None:
    text = format_money(value, "", "en").replace(",", "").replace(MINUS, "-")
    assert (D(text) == 0) == (value == 0)
    assert not value or (D(text) > 0) == (value > 0)


def test_a_profit_carries_its_sign_and_zero_carries_none() -> None:
    assert format_signed_money(D("3"), "USDT", "en") == f"+3.00{NB}USDT"
    assert format_signed_money(D("-3"), "USDT", "en") == f"{MINUS}3.00{NB}USDT"
    assert format_signed_money(D("-0.0000"), "USDT", "en") == f"0.00{NB}USDT"
    assert format_signed_percent(D("0.0123"), "pt_BR") == "+1,23%"
    assert format_signed_percent(D("-0.0123"), "ru") == f"{MINUS}1,23{NB}%"
    assert format_signed_percent(D(0), "en") == "0.00%"


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        ("0.5", "50.00%"),
        ("9.9999", "999.99%"),
        ("10", "1,000%"),
        ("-123.456", f"{MINUS}12,346%"),
        ("0.000004", "0.0004%"),
    ],
)
def test_percent_has_two_decimals_and_none_from_a_thousand(ratio: str, expected: str) -> None:
    assert format_percent(D(ratio), "en") == expected


@pytest.mark.parametrize(
    ("value", "locale", "expected"),
    [
        ("999999.99", "en", "999,999.99"),
        ("1234567", "en", "1.23M"),
        ("1234567", "ru", f"1,23{NB}млн"),
        ("1234567", "pt_BR", f"1,23{NB}mi"),
        ("1000000", "en", "1.00M"),
        ("999999999999", "en", "1.00T"),
        ("-2345678901", "en", f"{MINUS}2.35B"),
        ("1000000000000", "ru", f"1,00{NB}трлн"),
    ],
)
def test_cards_shorten_from_a_million_on(value: str, locale: str, expected: str) -> None:
    assert format_large_money(D(value), "USDT", locale) == f"{expected}{NB}USDT"


def test_tables_stay_full_up_to_a_thousand_million() -> None:
    full = format_large_money(D("999999999.99"), "USDT", "en", TABLE_LARGE_FROM)
    assert full == f"999,999,999.99{NB}USDT"
    assert format_large_money(D("1e9"), "USDT", "en", TABLE_LARGE_FROM) == f"1.00B{NB}USDT"


@pytest.mark.parametrize(
    ("value", "tick", "expected"),
    [
        ("95000", "0.1", "95,000.0"),
        ("95000.10", "0.01000", "95,000.10"),
        ("12345", "10", "12,345"),
        ("0.00000123", "0.00000001", "0.0₅123"),
        ("0.00000120", "0.00000001", "0.0₅120"),
        ("0.00001230", "0.00000001", "0.00001230"),
        ("0.000000000000000001", "0.000000000000000001", "0.0₁₇1"),
        ("0.004", "0.01", "0.004"),
        ("0", "0.01", "0.00"),
    ],
)
def test_a_price_has_the_decimals_of_its_tick(value: str, tick: str, expected: str) -> None:
    assert format_price(D(value), D(tick), "en") == expected


def test_a_folded_price_can_be_written_with_every_zero() -> None:
    assert full_price(D("0.00000123"), SATOSHI, "ru") == "0,00000123"
    assert format_price(D("0.00000123"), SATOSHI, "ru") == "0,0₅123"


def test_a_price_without_a_tick_keeps_its_significant_digits() -> None:
    assert format_price(D("12.3400"), None, "en") == "12.34"
    assert format_price(D("1") / D("3"), None, "en") == "0.33333333"


def test_amounts_cut_zeros_in_text_and_keep_them_in_tables() -> None:
    lot = D("0.0001")
    assert format_amount(D("1.5"), lot, "BTC", "en") == f"1.5{NB}BTC"
    assert format_amount(D("1.5"), lot, "BTC", "en", table=True) == f"1.5000{NB}BTC"
    assert format_amount(D("1200"), D("1"), "PEPE", "pt_BR") == f"1.200{NB}PEPE"
    assert format_amount(D("0.00000002"), lot, "BTC", "en") == f"0.00000002{NB}BTC"


def test_plain_numbers_keep_every_digit() -> None:
    assert format_plain(SATOSHI, "en") == "0.00000001"
    assert format_plain(D("1e12"), "pt_BR") == "1.000.000.000.000"
    assert format_plain(D("2.5000"), "ru") == "2,5"
    assert format_plain(D("2.5"), "en", 2) == "2.50"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_refused(value: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        format_plain(D(value), "en")


@pytest.mark.parametrize(
    ("locale", "text", "expected"),
    [
        ("en", "1234.5", "1234.5"),
        ("en", "1.234", "1.234"),
        ("en", "1,23", "1.23"),
        ("en", "1,2345", "1.2345"),
        ("en", "0,125", "0.125"),
        ("en", "1,234.5", "1234.5"),
        ("en", "1,234,567", "1234567"),
        ("en", ".5", "0.5"),
        ("en", "5.", "5"),
        ("en", f" {MINUS}1 000.25 ", "-1000.25"),
        ("en", "+7", "7"),
        ("ru", "1,234", "1.234"),
        ("ru", "1.234", "1.234"),
        ("ru", f"1{NB}234,50", "1234.50"),
        ("ru", "1 234.50", "1234.50"),
        ("ru", "1\u202f234\u202f567", "1234567"),
        ("pt_BR", "0.5", "0.5"),
        ("pt_BR", "0,5", "0.5"),
        ("pt_BR", "1,234", "1.234"),
        ("pt_BR", "1.234,5", "1234.5"),
        ("pt_BR", "1.234.567,8", "1234567.8"),
        ("pt_BR", "0.00000001", "0.00000001"),
    ],
)
def test_comma_and_point_are_read_by_the_language(locale: str, text: str, expected: str) -> None:
    assert parse_decimal(text, locale) == D(expected)


@pytest.mark.parametrize(
    ("locale", "text", "first", "second"),
    [
        ("en", "1,234", "1,234", "1.234"),
        ("en", "-1,234", f"{MINUS}1,234", f"{MINUS}1.234"),
        ("en", "12345,678", "12,345,678", "12,345.678"),
        ("en", "1 234,567", "1,234,567", "1,234.567"),
        ("pt_BR", "1.234", "1.234", "1,234"),
        ("pt_BR", "1.000", "1.000", "1,000"),
    ],
)
def test_the_grouping_mark_before_three_digits_is_asked_about(
    locale: str, text: str, first: str, second: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_decimal(text, locale)
    assert caught.value.code == "ambiguous_number"
    assert caught.value.values == {"first": first, "second": second}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(
    "text",
    ["", " ", "-", ".", ",", "abc", "1e5", "NaN", "inf", "0x10", "1_000", "12 34", "1..2"]
    + ["1 2345", "٣", "½", "\x00", "1\x00", "🚀", "--1", "1-", "$5", "5 USDT", "9" * 5000],
)
def test_what_is_no_number_is_refused(locale: str, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_decimal(text, locale)
    assert caught.value.code == "not_a_number"


def test_wrong_groups_are_refused() -> None:
    for locale, text in [("en", "12,34.5"), ("en", "1.234,5"), ("pt_BR", "12.34.567,8")]:
        with pytest.raises(InvalidInput):
            parse_decimal(text, locale)


def test_too_many_digits_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_decimal("9" * 39, "en")
    assert caught.value.code == "too_many_digits"


def test_nothing_typed_is_none() -> None:
    assert parse_optional_decimal("  ", "en") is None
    assert parse_optional_decimal(None, "en") is None
    assert parse_optional_decimal("2", "en") == 2


@pytest.mark.parametrize("locale", LOCALES)
@given(value=st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**15)))
def test_what_stands_in_a_field_is_read_back_as_itself(locale: str, value: D) -> None:
    if len(str(value.copy_abs()).replace(".", "")) > 38:
        return
    assert parse_decimal(input_text(value, locale), locale) == value


@pytest.mark.parametrize("locale", LOCALES)
@given(
    value=st.decimals(
        allow_nan=False, allow_infinity=False, places=2, min_value=-(10**15), max_value=10**15
    )
)
def test_shown_money_is_read_back_as_itself(locale: str, value: D) -> None:
    assert parse_decimal(format_plain(value, locale, 2), locale) == value


MOMENT = datetime(2026, 11, 21, 21, 5, 9, tzinfo=UTC)


def test_times_are_in_the_zone_of_the_reader_on_a_24_hour_clock() -> None:
    moscow = ZoneInfo("Europe/Moscow")
    assert format_time(MOMENT, "en", moscow) == "Nov 22, 2026, 00:05"
    assert format_time(MOMENT, "ru", moscow, seconds=True).endswith(", 00:05:09")
    assert format_time(MOMENT, "pt_BR", UTC) == "21 de nov. de 2026, 21:05"


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "Asia/Tokyo", "Dec 31, 9999, 23:59"),
        (datetime(1, 1, 1, tzinfo=UTC), "America/Lima", "Jan 1, 1, 00:00"),
    ],
)
def test_the_ends_of_the_calendar_are_written_in_every_zone(
    moment: datetime, zone: str, expected: str
) -> None:
    assert format_time(moment, "en", ZoneInfo(zone)) == expected
    assert format_date(moment, "en", ZoneInfo(zone)) == expected.rpartition(",")[0]


def test_the_zone_is_named_with_its_distance() -> None:
    assert zone_label(ZoneInfo("Europe/Moscow"), "Europe/Moscow", MOMENT) == "Europe/Moscow, UTC+3"
    kolkata = zone_label(ZoneInfo("Asia/Kolkata"), "Asia/Kolkata", MOMENT)
    assert kolkata == "Asia/Kolkata, UTC+5:30"
    new_york = ZoneInfo("America/New_York")
    assert zone_label(new_york, "America/New_York", MOMENT) == f"America/New_York, UTC{MINUS}5"
    assert zone_label(UTC, "UTC", MOMENT) == "UTC"


def test_ages_read_as_words_of_the_language() -> None:
    assert format_age(timedelta(seconds=4), "en") == f"4{NB}s{NB}ago"
    assert format_age(timedelta(0), "en") == f"1{NB}s{NB}ago"
    assert format_age(timedelta(hours=5), "ru") == f"5{NB}ч{NB}назад"
    assert format_age(timedelta(seconds=25), "pt_BR") == f"há{NB}25{NB}seg."


@pytest.mark.parametrize(
    ("span", "parts"),
    [
        (timedelta(days=3, hours=4, minutes=59), [(3, "day"), (4, "hour")]),
        (timedelta(days=3, minutes=59), [(3, "day")]),
        (timedelta(seconds=61), [(1, "minute"), (1, "second")]),
        (timedelta(seconds=4.9), [(4, "second")]),
        (timedelta(0), [(0, "second")]),
        (timedelta(seconds=-5), [(0, "second")]),
    ],
)
def test_run_times_name_two_units(span: timedelta, parts: list[tuple[int, str]]) -> None:
    assert split_duration(span) == parts
