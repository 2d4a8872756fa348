"""What programs send, read strictly: one flat JSON object, exact numbers, no name twice."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.api.problems import BadBody
from app.errors import InvalidInput

MAX_BYTES = 65_536
# Longer numbers mean nothing to the product, and reading them costs more than linear time.
MAX_NUMBER = 60
MAX_TEXT = 1000
LARGEST_ID = 2**63 - 1

Body = Mapping[str, object]


def read_body(*, may_be_empty: bool = False) -> dict[str, object]:
    """Return the sent object: texts, whole numbers, Decimals, flags and null by name.

    Raise BadBody for what is no such JSON, InvalidInput naming a field that holds more than that.
    """
    # One more than allowed: a body in chunks is cut at the limit, not refused, by the framework.
    request.max_content_length = MAX_BYTES + 1
    raw = request.get_data(cache=False)
    if len(raw) > MAX_BYTES:
        raise RequestEntityTooLarge
    if may_be_empty and not raw:
        return {}
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    body = _parse(raw)
    if not isinstance(body, dict):
        raise BadBody("body_not_object")
    for name, value in body.items():
        _check_value(name, value)
    return body


def take_text(body: dict[str, object], name: str) -> str | None:
    """Take a text out of the body; None if it is not there or null."""
    value = body.pop(name, None)
    if value is not None and not isinstance(value, str):
        raise InvalidInput("not_text", field=name)
    return value


def take_id(body: dict[str, object], name: str) -> int:
    """Take the number of a row out of the body."""
    value = body.pop(name, None)
    if value is None:
        raise InvalidInput("missing", field=name)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_ID:
        raise InvalidInput("not_whole_id", field=name)
    return value


def refuse_rest(body: Body) -> None:
    """Raise InvalidInput for a field that nobody has taken."""
    for name in body:
        raise InvalidInput("unknown_body_field", field=name)


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(
            raw.decode("utf-8"),
            parse_float=_decimal,
            parse_int=_whole,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        # From None: the text of the error repeats what was sent.
        raise BadBody("not_json") from None


def _decimal(text: str) -> Decimal:
    if len(text) > MAX_NUMBER:
        raise BadBody("number_out_of_range")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise BadBody("number_out_of_range") from None


def _whole(text: str) -> int:
    if len(text) > MAX_NUMBER:
        raise BadBody("number_out_of_range")
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise BadBody("not_json")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadBody("duplicate_name", field=name)
        found[name] = value
    return found


def _check_value(name: str, value: object) -> None:
    if isinstance(value, list | dict):
        raise InvalidInput("not_plain_value", field=name)
    if not isinstance(value, str):
        return
    if len(value) > MAX_TEXT:
        raise InvalidInput("text_too_long", field=name, maximum=MAX_TEXT)
    # PostgreSQL stores neither, and no value of ours holds one.
    if "\0" in value or any("\ud800" <= mark <= "\udfff" for mark in value):
        raise InvalidInput("control_characters", field=name)
