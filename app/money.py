"""Money as Decimal with a currency, and the one place where amounts are rounded."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Self

# Currencies without a smaller unit, and those that count in thousandths.
# https://docs.stripe.com/currencies#zero-decimal
WITHOUT_MINOR = (
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV",
    "XAF", "XOF", "XPF",
)  # fmt: skip
IN_THOUSANDTHS = ("BHD", "JOD", "KWD", "OMR", "TND")
IN_HUNDREDTHS = (
    "AED", "ARS", "AUD", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "DKK", "EGP", "EUR", "GBP",
    "GEL", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "KZT", "MXN", "MYR", "NGN", "NOK", "NZD",
    "PEN", "PHP", "PLN", "RON", "RUB", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD",
    "UZS", "ZAR",
)  # fmt: skip
# Digits behind the point; what is not listed here is a coin.
MINOR_DIGITS = {
    **dict.fromkeys(WITHOUT_MINOR, 0),
    **dict.fromkeys(IN_HUNDREDTHS, 2),
    **dict.fromkeys(IN_THOUSANDTHS, 3),
}
# What banks take: amounts in thousandths end with a nought, and króna have no hundredths any more.
# https://docs.stripe.com/currencies#three-decimal
CHARGED_DIGITS = {**MINOR_DIGITS, **dict.fromkeys(IN_THOUSANDTHS, 2), "ISK": 0}
COIN_DIGITS = 8
CENT = Decimal("0.01")
_WIDE = Context(prec=100)


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in one currency; two currencies never meet in one sum."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise TypeError(f"Money takes a Decimal, not {type(self.amount).__name__}")
        if not self.amount.is_finite():
            raise ValueError("Money takes a finite amount")
        if not self.currency:
            raise ValueError("Money takes a currency")

    def __add__(self, other: "Money") -> "Money":
        self._check_same_currency(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._check_same_currency(other)
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __mul__(self, factor: Decimal | int) -> "Money":
        if isinstance(factor, float):
            raise TypeError("Money is never multiplied by a float")
        return Money(self.amount * factor, self.currency)

    def rounded(self) -> Self:
        """Return the amount rounded half up to the currency's minor unit (8 digits for coins)."""
        return self._to_digits(MINOR_DIGITS)

    def chargeable(self) -> Self:
        """Return the amount rounded half up to what can be asked of somebody, or given back."""
        return self._to_digits(CHARGED_DIGITS)

    def _to_digits(self, digits: Mapping[str, int]) -> Self:
        step = Decimal(1).scaleb(-digits.get(self.currency, COIN_DIGITS))
        return type(self)(self.amount.quantize(step, ROUND_HALF_UP), self.currency)

    def _check_same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} can't be added")


def floor_to_step(value: Decimal, step: Decimal | None) -> Decimal:
    """Round down to a multiple of `step`; without a step the value stays as it is."""
    return _to_step(value, step, ROUND_FLOOR)


def ceil_to_step(value: Decimal, step: Decimal | None) -> Decimal:
    """Round up to a multiple of `step`; without a step the value stays as it is."""
    return _to_step(value, step, ROUND_CEILING)


def ceil_to_cents(value: Decimal) -> Decimal:
    """Round up to two decimals what people must reach at least; less than one stays as it is.

    Rounded as other money, what is shown would be refused when somebody types it.
    """
    return value if abs(value) < 1 else ceil_to_step(value, CENT)


def _to_step(value: Decimal, step: Decimal | None, rounding: str) -> Decimal:
    if step is None or step == 0:
        return value
    # Room for every digit: a quotient that is rounded before could step over the value.
    return _WIDE.multiply(_WIDE.divide(value, step).to_integral_value(rounding), step)


def exact_text(value: Decimal) -> str:
    """Write a Decimal exactly, without exponent and without needless zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def parse_exact(text: str) -> Decimal:
    """Read a finite Decimal from plain text; raise ValueError for anything else."""
    try:
        value = Decimal(text)
    except (InvalidOperation, TypeError) as error:
        raise ValueError(f"not a number: {text!r}") from error
    if not value.is_finite():
        raise ValueError(f"not a finite number: {text!r}")
    return value
