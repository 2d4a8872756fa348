"""Errors as problem documents (RFC 9457): a code for programs, a sentence for people."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, g
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from app.accounts.tokens import TokenRefused
from app.bots.wording import say
from app.errors import (
    Conflict,
    DomainError,
    Forbidden,
    InvalidInput,
    LimitReached,
    NotFound,
    TooManyTries,
    Unavailable,
)
from app.i18n import describe_code, has_text, use_header_language
from app.money import exact_text
from app.trading.strategy import InvalidParams, Problem

MEDIA_TYPE = "application/problem+json"
UNAUTHORIZED, NOT_FOUND, UNPROCESSABLE, TOO_MANY = 401, 404, 422, 429
FIRST_ERROR = 400
MOST_ERRORS = 50
STATUS_BY_ERROR: Mapping[type[DomainError], int] = {
    InvalidInput: UNPROCESSABLE,
    InvalidParams: UNPROCESSABLE,
    TokenRefused: UNAUTHORIZED,
    Forbidden: 403,
    NotFound: NOT_FOUND,
    Conflict: 409,
    LimitReached: 409,
    TooManyTries: TOO_MANY,
    Unavailable: 503,
}
# Fields that have another name in the services.
PUBLIC_NAMES = {"account_id": "account", "market_id": "symbol", "how": "then"}


class BadBody(DomainError):
    """What was sent can't be read at all."""


def answer_errors_of(blueprint: Blueprint) -> None:
    """Answer what is refused in the routes of a blueprint with a problem document."""
    blueprint.register_error_handler(DomainError, domain_problem)
    blueprint.register_error_handler(HTTPException, http_problem)


def domain_problem(error: DomainError) -> Response:
    """Say what the rules refuse."""
    status = STATUS_BY_ERROR.get(type(error), FIRST_ERROR)
    if status == NOT_FOUND and error.field:
        # The address was right; what the body names does not exist, or not for this person.
        status = UNPROCESSABLE
    found = [_entry(each) for each in getattr(error, "problems", ())[:MOST_ERRORS]]
    response = _problem(
        status,
        error.code,
        _say(error),
        field=_public_field(error),
        values=_plain(error.values),
        errors=found,
    )
    if status == TOO_MANY:
        response.headers["Retry-After"] = str(error.values.get("retry_after", 60))
    if status == UNAUTHORIZED:
        known = error.code != "token_missing"
        response.headers["WWW-Authenticate"] = _challenge(error="invalid_token" if known else "")
    if error.code == "scope_missing":
        response.headers["WWW-Authenticate"] = _challenge(
            error="insufficient_scope", scope=str(error.values["scope"])
        )
    return response


def http_problem(error: HTTPException) -> ResponseReturnValue:
    """Say what is wrong with the request itself: address, method, size, type."""
    if error.response is not None or error.code is None or error.code < FIRST_ERROR:
        return error
    _choose_language()
    code = f"http_{error.code}"
    response = _problem(error.code, code, describe_code(code if has_text(code) else "http_400", {}))
    allow = dict(error.get_headers()).get("Allow")
    if allow:
        response.headers["Allow"] = allow
    return response


def own_problem(status: int, code: str) -> Response:
    """Say that something on our side fails."""
    _choose_language()
    return _problem(status, code, describe_code(code, {}))


def _problem(status: int, code: str, title: str, **more: Any) -> Response:
    body = {
        "status": status,
        "code": code,
        "title": title,
        **{name: value for name, value in more.items() if value},
        "request_id": g.get("request_id", "-"),
    }
    return Response(json.dumps(body), status, content_type=MEDIA_TYPE)


def _say(line: DomainError | Problem) -> str:
    _choose_language()
    return say(line)


def _choose_language() -> None:
    # What fails before the gate has not been asked for its language yet.
    if "header_language" not in g:
        use_header_language()


def _entry(found: Problem) -> dict[str, Any]:
    return {
        "field": found.field,
        "code": found.code,
        "title": _say(found),
        "values": _plain(found.values),
    }


def _public_field(error: DomainError) -> str | None:
    # These two repeat names that the client has sent.
    if isinstance(error, InvalidParams) or error.code == "unknown_body_field":
        return error.field
    return PUBLIC_NAMES.get(error.field, error.field) if error.field else None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    return exact_text(value) if isinstance(value, Decimal) and value.is_finite() else str(value)


def _challenge(**parts: str) -> str:
    told = [f'{name}="{value}"' for name, value in parts.items() if value]
    return ", ".join(['Bearer realm="botyard"', *told])
