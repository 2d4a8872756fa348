"""Read parameters by their declaration: every bad field is named, nothing is guessed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from app.money import exact_text
from app.trading.strategy import Field, FieldKind, Problem, problem

# What a stored number can hold: 20 digits before the point, 18 after it.
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,18})?", re.ASCII)
LARGEST_POWER = 19
SMALLEST_POWER = -18

Value = Decimal | int | str | bool | None


class BadValue(ValueError):
    """A value does not fit its declaration; `code` and `values` say how."""

    def __init__(self, code: str, **values: Decimal | int | str | None) -> None:
        super().__init__(code)
        self.code = code
        self.values_said = values


def read_fields(
    fields: Sequence[Field], values: Mapping[str, object]
) -> tuple[dict[str, Value], list[Problem]]:
    """Read every declared field; return the good values and what is wrong with the others.

    Absent and empty fields take their default. Names that nobody declared are problems too.
    """
    read: dict[str, Value] = {}
    problems: list[Problem] = []
    known = set()
    for field in fields:
        known.add(field.name)
        try:
            read[field.name] = read_field(field, values.get(field.name))
        except BadValue as bad:
            problems.append(problem(field.name, bad.code, **bad.values_said))
    problems = [found for found in problems if not _is_excused(fields, values, found)]
    problems += [problem(name, "unknown_field") for name in values if name not in known]
    return read, problems


def _is_excused(fields: Sequence[Field], values: Mapping[str, object], found: Problem) -> bool:
    # Required, but made needless by another field that is given.
    if found.code != "missing":
        return False
    names = {field.name: field.required_unless for field in fields}
    other = names[found.field]
    return other is not None and _is_given(values.get(other))


def _is_given(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in {"", "false", "0", "off"}
    return value is not None and value is not False


def read_field(field: Field, value: object) -> Value:
    """Read one value; raise BadValue with the code of what is wrong."""
    if value is None or (isinstance(value, str) and not value.strip()):
        if field.required:
            raise BadValue("missing")
        return field.default
    if field.kind is FieldKind.CHOICE:
        return _read_choice(field, value)
    if field.kind is FieldKind.FLAG:
        return _read_flag(value)
    number = read_decimal(value)
    _check_bounds(field, number)
    if field.kind is FieldKind.INTEGER:
        if number != number.to_integral_value():
            raise BadValue("not_an_integer", value=number)
        return int(number)
    return number


def read_decimal(value: object) -> Decimal:
    """Read a finite number from text, an integer or a Decimal; a float is refused.

    Text is plain digits with a point; no exponent, no separators.
    """
    if isinstance(value, bool | float):
        raise BadValue("float_refused" if isinstance(value, float) else "not_a_number")
    if isinstance(value, str):
        text = value.strip()
        if not PLAIN_NUMBER.fullmatch(text):
            raise BadValue("not_a_number", value=text[:40])
        return Decimal(text)
    if isinstance(value, int):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise BadValue("not_a_number", value=str(value)[:40])
    if not value:
        # A zero may carry an exponent that no text can spell out.
        return Decimal(0)
    if not _fits(value):
        raise BadValue("too_many_digits")
    return value


def _fits(value: Decimal) -> bool:
    """Tell whether a stored number can hold it; no arithmetic, which overflows or rounds."""
    _, digits, exponent = value.as_tuple()
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return value.adjusted() <= LARGEST_POWER and int(exponent) + zeros >= SMALLEST_POWER


def _check_bounds(field: Field, number: Decimal) -> None:
    low, high = field.minimum, field.maximum
    too_low = low is not None and (number <= low if field.open_minimum else number < low)
    too_high = high is not None and (number >= high if field.open_maximum else number > high)
    if not (too_low or too_high):
        return
    code = "too_small" if too_low else "too_large"
    is_open = field.open_minimum if too_low else field.open_maximum
    raise BadValue(code, value=number, minimum=low, maximum=high, open=is_open)


def _read_choice(field: Field, value: object) -> str:
    if not isinstance(value, str) or value not in field.choices:
        raise BadValue("not_a_choice", value=str(value)[:40], choices=", ".join(field.choices))
    return value


def _read_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    flags = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
    if isinstance(value, str) and value.lower() in flags:
        return flags[value.lower()]
    raise BadValue("not_a_flag", value=str(value)[:40])


def write_fields(fields: Iterable[Field], params: object) -> dict[str, str | int | bool | None]:
    """Write the declared fields of a parameter object; decimals become exact text."""
    written: dict[str, str | int | bool | None] = {}
    for field in fields:
        value = getattr(params, field.name)
        written[field.name] = exact_text(value) if isinstance(value, Decimal) else value
    return written
