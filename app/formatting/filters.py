"""The Jinja filters: the same functions in the reader's language and zone."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from flask import Flask
from flask_babel import get_locale, get_timezone, gettext

from app.formatting import inputs, numbers, times


def register_formatting(app: Flask) -> None:
    """Give templates the filters and helpers of this module."""
    app.jinja_env.filters.update(
        money=money,
        signed_money=signed_money,
        card_money=card_money,
        table_money=table_money,
        price=price,
        full_price=full_price,
        amount=amount,
        percent=percent,
        signed_percent=signed_percent,
        number=number,
        input_number=input_number,
        time=time,
        clock=clock,
        day=day,
        month=month,
        age=age,
        duration=duration,
        iso=iso,
    )
    app.jinja_env.globals.update(
        zone_label=current_zone_label, number_marks=number_marks, now=_now, locale=_locale
    )


def money(value: Decimal, currency: str) -> str:
    """Write money with its code."""
    return numbers.format_money(value, currency, _locale())


def sum_of_money(value: Decimal, currency: str) -> str:
    """Write money where its code stands apart."""
    return numbers.format_sum(value, currency, _locale())


def signed_money(value: Decimal, currency: str) -> str:
    """Write a profit or loss with its sign and code."""
    return numbers.format_signed_money(value, currency, _locale())


def card_money(value: Decimal, currency: str) -> str:
    """Write money for a card: from a million on as 1.23M."""
    return numbers.format_large_money(value, currency, _locale())


def table_money(value: Decimal, currency: str) -> str:
    """Write money for a table: in full up to a thousand million."""
    return numbers.format_large_money(value, currency, _locale(), numbers.TABLE_LARGE_FROM)


def price(value: Decimal, tick: Decimal | None = None) -> str:
    """Write a price with the decimals of its tick, many zeros folded."""
    return numbers.format_price(value, tick, _locale())


def full_price(value: Decimal, tick: Decimal | None = None) -> str:
    """Write a price with the decimals of its tick and every zero."""
    return numbers.full_price(value, tick, _locale())


def amount(
    value: Decimal, currency: str = "", lot: Decimal | None = None, table: bool = False
) -> str:
    """Write an amount of coins with its code."""
    return numbers.format_amount(value, lot, currency, _locale(), table=table)


def percent(ratio: Decimal, decimals: int = numbers.PERCENT_DECIMALS) -> str:
    """Write a ratio as percent."""
    return numbers.format_percent(ratio, _locale(), decimals)


def signed_percent(ratio: Decimal) -> str:
    """Write a gain or loss in percent with its sign."""
    return numbers.format_signed_percent(ratio, _locale())


def number(value: Decimal | int, decimals: int | None = None) -> str:
    """Write a plain number."""
    return numbers.format_plain(Decimal(value), _locale(), decimals)


def input_number(value: Decimal | str | None) -> str:
    """Write a number for an input field; typed text stays as it was typed."""
    if value is None:
        return ""
    return value if isinstance(value, str) else inputs.input_text(value, _locale())


def time(moment: datetime) -> str:
    """Write date and time in the reader's zone."""
    return times.format_time(moment, _locale(), get_timezone())


def clock(moment: datetime) -> str:
    """Write date and time with seconds, for logs."""
    return times.format_time(moment, _locale(), get_timezone(), seconds=True)


def day(moment: datetime) -> str:
    """Write the day in the reader's zone."""
    return times.format_date(moment, _locale(), get_timezone())


def month(moment: datetime) -> str:
    """Write the month of UTC that a moment belongs to."""
    return times.format_month(moment, _locale())


def age(moment: datetime) -> str:
    """Write how long ago a moment was."""
    return times.format_age(_now() - moment, _locale())


def duration(span: timedelta) -> str:
    """Write a run time in its two largest units: 3 d 4 h."""
    texts = {
        # i18n: short units of a run time, as in "3 d 4 h"
        "day": lambda count: gettext("%(count)s d", count=count),
        "hour": lambda count: gettext("%(count)s h", count=count),
        "minute": lambda count: gettext("%(count)s min", count=count),
        "second": lambda count: gettext("%(count)s s", count=count),
    }
    parts = (texts[unit](count) for count, unit in times.split_duration(span))
    return numbers.SPACE.join(part.replace(" ", numbers.SPACE) for part in parts)


def iso(moment: datetime) -> str:
    """Write a moment for machines: ISO 8601, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def current_zone_label() -> str:
    """Name the reader's zone."""
    zone = get_timezone()
    return times.zone_label(zone, str(zone), _now())


def number_marks() -> numbers.Marks:
    """Return the marks of the reader's language, for scripts that read numbers back."""
    return numbers.marks_of(_locale())


def _locale() -> str:
    return str(get_locale() or "en")


def _now() -> datetime:
    return datetime.now(UTC)
