"""Decimals as text: exact digits, the language's marks, U+2212 for minus.

Pure functions; `locale` is a language code such as `pt_BR`. Only the marks come from Babel: its
currency and number formatters round to the pattern and would turn 0.00000001 into 0.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

from babel import Locale
from babel.numbers import get_decimal_symbol, get_group_symbol

from app.money import MINOR_DIGITS

MINUS = "\u2212"
SPACE = "\u00a0"
MONEY_DECIMALS = 2
PERCENT_DECIMALS = 2
# From this share on (1,000 %) percent has no decimals.
WHOLE_PERCENT_FROM = Decimal(10)
CARD_LARGE_FROM = Decimal(1_000_000)
TABLE_LARGE_FROM = Decimal(1_000_000_000)
# This many zeros after the point are written as 0.0₅123.
FOLDED_ZEROS = 5
NO_TICK_SIGNIFICANT_DIGITS = 8
MAGNITUDES = (10**12, 10**9, 10**6)

_EXACT = Context(prec=200, rounding=ROUND_HALF_UP)
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True, slots=True)
class Marks:
    """How a language writes numbers."""

    decimal: str
    group: str
    percent_prefix: str
    percent_suffix: str


@lru_cache(maxsize=32)
def marks_of(locale: str) -> Marks:
    """Return the marks of a language."""
    parsed = Locale.parse(locale)
    percent = parsed.percent_formats[None]
    return Marks(
        decimal=get_decimal_symbol(parsed),
        group=get_group_symbol(parsed),
        percent_prefix=percent.prefix[0],
        percent_suffix=percent.suffix[0],
    )


def format_plain(value: Decimal, locale: str, decimals: int | None = None) -> str:
    """Write a number; without `decimals` exactly as it is, trailing zeros cut."""
    shown = _trim(value) if decimals is None else _round(value, decimals)
    return _write(shown, locale)


def format_count(value: int, locale: str) -> str:
    """Write a whole number."""
    return _write(Decimal(value), locale)


def format_sum(value: Decimal, currency: str, locale: str) -> str:
    """Write money where its code stands apart; what is not zero never shows as zero.

    Coins have two decimals as most currencies have; others as many as they count in.
    """
    decimals = MINOR_DIGITS.get(currency, MONEY_DECIMALS)
    return _write(_visible(value, decimals), locale)


def format_money(value: Decimal, currency: str, locale: str) -> str:
    """Write money with its code."""
    return _with_code(format_sum(value, currency, locale), currency)


def format_signed_money(value: Decimal, currency: str, locale: str) -> str:
    """Write a profit or loss: always with its sign, zero without."""
    return _sign(value) + format_money(abs(value), currency, locale)


def format_large_money(
    value: Decimal, currency: str, locale: str, large_from: Decimal = CARD_LARGE_FROM
) -> str:
    """Write money for a card: from `large_from` on as 1.23M."""
    if abs(value) < large_from:
        return format_money(value, currency, locale)
    return _with_code(_compact(value, locale), currency)


def format_price(value: Decimal, tick: Decimal | None, locale: str) -> str:
    """Write a price with the decimals of its tick; many zeros fold to 0.0₅123.

    For reading only: inputs, dialogs and CSV take `full_price` or the Decimal itself.
    """
    rounded = _to_tick(value, tick)
    return _fold(rounded, locale) or _write(rounded, locale)


def full_price(value: Decimal, tick: Decimal | None, locale: str) -> str:
    """Write a price with the decimals of its tick and every zero."""
    return _write(_to_tick(value, tick), locale)


def format_amount(
    value: Decimal, lot: Decimal | None, currency: str, locale: str, *, table: bool = False
) -> str:
    """Write an amount of coins with the decimals of its lot; zeros at the end stay in tables."""
    rounded = _trim(value) if lot is None else _visible(value, step_decimals(lot))
    text = _write(rounded if table else _trim(rounded), locale)
    return _with_code(text, currency)


def format_percent(ratio: Decimal, locale: str, decimals: int = PERCENT_DECIMALS) -> str:
    """Write a ratio as percent: 0.0123 is 1.23%."""
    marks = marks_of(locale)
    percent = _EXACT.multiply(ratio, Decimal(100))
    if abs(ratio) >= WHOLE_PERCENT_FROM:
        percent = _round(percent, 0)
    else:
        percent = _visible(percent, decimals)
    sign = MINUS if percent < 0 else ""
    number = _write(abs(percent), locale)
    return f"{sign}{marks.percent_prefix}{number}{marks.percent_suffix}"


def format_signed_percent(ratio: Decimal, locale: str) -> str:
    """Write a gain or loss in percent: always with its sign, zero without."""
    return _sign(ratio) + format_percent(abs(ratio), locale)


def step_decimals(step: Decimal) -> int:
    """Return how many decimals a tick or lot has: 0.0100 has two, 10 has none."""
    exponent = _trim(step).as_tuple().exponent
    return max(0, -int(exponent))


def _to_tick(value: Decimal, tick: Decimal | None) -> Decimal:
    if tick is not None and tick > 0:
        return _visible(value, step_decimals(tick))
    if value == 0:
        return Decimal(0)
    return _trim(_round(value, NO_TICK_SIGNIFICANT_DIGITS - 1 - value.adjusted()))


def _visible(value: Decimal, decimals: int) -> Decimal:
    """Round, but keep the first significant digit of what would show as zero."""
    rounded = _round(value, decimals)
    if rounded or not value:
        return rounded
    return _trim(_round(value, -value.adjusted()))


def _round(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-max(decimals, 0)), context=_EXACT)


def _trim(value: Decimal) -> Decimal:
    if not value:
        return Decimal(0)
    trimmed = value.normalize(_EXACT)
    return trimmed if int(trimmed.as_tuple().exponent) <= 0 else _round(trimmed, 0)


def _sign(value: Decimal) -> str:
    if not value:
        return ""
    return "+" if value > 0 else MINUS


def _with_code(number: str, currency: str) -> str:
    return f"{number}{SPACE}{currency}" if currency else number


def _write(value: Decimal, locale: str) -> str:
    if not value.is_finite():
        raise ValueError("only finite numbers are shown")
    marks = marks_of(locale)
    sign = MINUS if value < 0 else ""
    whole, _, fraction = format(abs(value), "f").partition(".")
    grouped = f"{int(whole):,}".replace(",", marks.group)
    return f"{sign}{grouped}{marks.decimal}{fraction}" if fraction else f"{sign}{grouped}"


def _fold(value: Decimal, locale: str) -> str | None:
    """Write 0.00000123 as 0.0₅123, or return None where that does not apply."""
    if not value or abs(value) >= 1:
        return None
    fraction = format(abs(value), "f").partition(".")[2]
    digits = fraction.lstrip("0")
    zeros = len(fraction) - len(digits)
    if zeros < FOLDED_ZEROS:
        return None
    sign = MINUS if value < 0 else ""
    mark = marks_of(locale).decimal
    return f"{sign}0{mark}0{str(zeros).translate(_SUBSCRIPTS)}{digits}"


def _compact(value: Decimal, locale: str) -> str:
    for magnitude in MAGNITUDES:
        scaled = _round(_EXACT.divide(value, Decimal(magnitude)), 2)
        if abs(scaled) >= 1:
            return _write(scaled, locale) + _magnitude_suffix(locale, magnitude)
    return _write(_round(value, MONEY_DECIMALS), locale)


@lru_cache(maxsize=32)
def _magnitude_suffix(locale: str, magnitude: int) -> str:
    patterns = Locale.parse(locale).compact_decimal_formats["short"]["other"]
    return str(patterns[str(magnitude)].suffix[0])
