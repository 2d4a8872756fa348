"""How the API writes: exact numbers and UTC times as text, long lists by cursor."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from flask import Response, request

from app.errors import InvalidInput
from app.money import exact_text

T = TypeVar("T")

LARGEST_ID = 2**63 - 1
USUAL_SIZE, LARGEST_SIZE = 50, 200


def answer(body: Mapping[str, Any], status: int = 200, **headers: str) -> Response:
    """Answer with JSON."""
    return raw_answer(json.dumps(body), status, **headers)


def raw_answer(text: str, status: int, **headers: str) -> Response:
    """Answer with JSON that is written already."""
    return Response(text, status, headers=headers, content_type="application/json")


def number(value: Decimal | None) -> str | None:
    """Write a number exactly; None stays None."""
    return None if value is None else exact_text(value)


def moment(value: datetime | None) -> str | None:
    """Write a time in ISO 8601, UTC; None stays None."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_query(known: Collection[str]) -> dict[str, str]:
    """Return the parameters of the address; raise InvalidInput for one that means nothing here."""
    found = {}
    for name, values in request.args.lists():
        if name not in known:
            raise InvalidInput("unknown_parameter", field=name)
        if len(values) > 1:
            raise InvalidInput("duplicate_name", field=name)
        found[name] = values[0]
    return found


def read_choice(query: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """Return a parameter that is one of some words, empty if it is not given."""
    value = query.get(name, "")
    if value and value not in choices:
        raise InvalidInput("not_a_choice", field=name, choices=", ".join(choices))
    return value


def read_number(query: Mapping[str, str], name: str, code: str) -> int | None:
    """Return a parameter that is the number of a row, None if it is not given."""
    text = query.get(name)
    if text is None:
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_ID))
    if not is_number or not 0 < int(text) <= LARGEST_ID:
        raise InvalidInput(code, field=name)
    return int(text)


def read_size(query: Mapping[str, str]) -> int:
    """Return how many entries are wanted at once."""
    text = query.get("limit", str(USUAL_SIZE))
    if not (text.isascii() and text.isdecimal()):
        raise InvalidInput("not_an_integer", field="limit")
    # Longer ones are too large in any case.
    size = int(text[:9])
    if not 1 <= size <= LARGEST_SIZE:
        code = "too_small" if size < 1 else "too_large"
        raise InvalidInput(code, field="limit", minimum=1, maximum=LARGEST_SIZE)
    return size


def listed(
    found: Sequence[T], size: int, write: Callable[[T], Mapping[str, Any]], key: Callable[[T], int]
) -> Response:
    """Answer one piece of a list; `found` holds one entry more than wanted if there is more."""
    shown = found[:size]
    more = len(found) > size
    return answer(
        {"items": [write(each) for each in shown], "next": str(key(shown[-1])) if more else None}
    )
