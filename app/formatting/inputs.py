"""Numbers as people type them: comma and point, and the question when both are possible.

A locale parser is never used here: in Portuguese it reads 0.5 as 5 and 1.234 as 1234.
"""

import re
from decimal import Decimal
from typing import NoReturn

from app.errors import InvalidInput
from app.formatting.numbers import MINUS, format_plain, marks_of
from app.money import exact_text

MAX_LENGTH = 60
MAX_DIGITS = 38
GROUP_SIZE = 3
_SPACES = re.compile(r"[\u0020\u00a0\u2009\u202f]")
_CHARACTERS = re.compile(r"[+-]?[0-9.,]+")
_EXAMPLE = Decimal("1234.5")
_PLAIN = re.compile(r"([+-]?)(?=[0-9.])([0-9]*)(?:\.([0-9]*))?")


class _UnreadableError(ValueError):
    """No reading of the typed text is a number."""


def parse_decimal(text: str, locale: str, *, field: str | None = None) -> Decimal:
    """Read a typed number exactly.

    The language's own decimal mark always means decimals; the other mark does too, unless it is
    the language's grouping mark and exactly three digits follow it. Raises InvalidInput with the
    code `not_a_number` or, with both readings as values, `ambiguous_number`; `field` says where it
    was typed.
    """
    try:
        return _read(_tidy(text), locale)
    except _UnreadableError:
        example = format_plain(_EXAMPLE, locale)
        raise InvalidInput("not_a_number", field=field, example=example) from None
    except InvalidInput as error:
        error.field = field
        raise


def parse_optional_decimal(text: str | None, locale: str) -> Decimal | None:
    """Read a typed number; nothing typed is None."""
    if text is None or not text.strip():
        return None
    return parse_decimal(text, locale)


def input_text(value: Decimal, locale: str) -> str:
    """Write a number for an input field: all digits, no grouping, the language's decimal mark."""
    return exact_text(value).replace(".", marks_of(locale).decimal)


def _read(written: str, locale: str) -> Decimal:
    marks = marks_of(locale)
    own = marks.decimal
    other = "," if own == "." else "."
    if other not in written:
        return _exact(written.replace(own, "."))
    if own in written:
        return _exact(_without_groups(written, own, other).replace(own, "."))
    if written.count(other) > 1:
        return _exact(_without_groups(written, own, other))
    if other == marks.group and _may_be_group(written, other):
        _ask_which(written, other, locale)
    return _exact(written.replace(other, "."))


def _tidy(text: str) -> str:
    """Drop outer blanks and well-placed spaces between groups of three."""
    stripped = text.strip().replace(MINUS, "-")
    if len(stripped) > MAX_LENGTH:
        raise _UnreadableError
    groups = _SPACES.split(stripped)
    if len(groups) > 1:
        first, *rest = groups
        whole, mark, fraction = _split_decimals(rest[-1])
        middles = [*rest[:-1], whole]
        if not re.fullmatch(r"[+-]?[0-9]{1,3}", first) or any(
            len(group) != GROUP_SIZE or not group.isascii() or not group.isdecimal()
            for group in middles
        ):
            raise _UnreadableError
        stripped = first + "".join(middles) + mark + fraction
    if not _CHARACTERS.fullmatch(stripped):
        raise _UnreadableError
    return stripped


def _split_decimals(group: str) -> tuple[str, str, str]:
    """Split the last group at its mark, whichever it is."""
    match = re.fullmatch(r"([0-9]*)([.,])([0-9]*)", group)
    return (match[1], match[2], match[3]) if match else (group, "", "")


def _may_be_group(written: str, mark: str) -> bool:
    whole, _, after = written.partition(mark)
    # A grouped number never begins with zero, so 0,125 can only mean decimals.
    return len(after) == GROUP_SIZE and whole.lstrip("+-") not in {"", "0"}


def _without_groups(written: str, own: str, group: str) -> str:
    whole, mark, fraction = written.partition(own)
    head, *rest = whole.lstrip("+-").split(group)
    well_formed = (
        group not in fraction
        and 1 <= len(head) <= GROUP_SIZE
        and not head.startswith("0")
        and all(len(part) == GROUP_SIZE for part in rest)
    )
    if not well_formed:
        raise _UnreadableError
    sign = whole[0] if whole[0] in "+-" else ""
    return sign + head + "".join(rest) + mark + fraction


def _exact(written: str) -> Decimal:
    match = _PLAIN.fullmatch(written)
    if match is None or not (match[2] or match[3]):
        raise _UnreadableError
    if len(match[2]) + len(match[3] or "") > MAX_DIGITS:
        raise InvalidInput("too_many_digits", maximum=MAX_DIGITS)
    fraction = f".{match[3]}" if match[3] else ""
    return Decimal(f"{match[1]}{match[2] or '0'}{fraction}")


def _ask_which(written: str, mark: str, locale: str) -> NoReturn:
    grouped = Decimal(written.replace(mark, ""))
    decimals = Decimal(written.replace(mark, "."))
    raise InvalidInput(
        "ambiguous_number",
        first=format_plain(grouped, locale),
        second=format_plain(decimals, locale, GROUP_SIZE),
    )
