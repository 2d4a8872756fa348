"""Who may come in: HTTPS, a live token of this audience, its pace, its scope."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from flask import Blueprint, Response, g, request

from app.accounts import limits, tokens
from app.accounts.access import GUARD
from app.accounts.permissions import Permission
from app.accounts.roles import may
from app.accounts.session_cookies import COOKIELESS
from app.accounts.tokens import Audience, Caller, Scope, TokenRefused
from app.api import problems
from app.config import current_config
from app.errors import DomainError, Forbidden
from app.i18n import use_header_language
from app.subscriptions import quotas
from app.subscriptions.rules import Allowance
from app.transactions import transaction

P = ParamSpec("P")
R = TypeVar("R")

PREFIX = COOKIELESS
VERSION = "1"
SCHEME = "Bearer"
# What the role of the owner has to allow; staff rights are no scope.
PERMISSIONS = dict.fromkeys(Scope, Permission.BOTS_OWN)

blueprint = Blueprint("api", __name__, url_prefix=f"{PREFIX}v{VERSION}")
problems.answer_errors_of(blueprint)


class PlainHttp(DomainError):
    """The request came without encryption, where anybody may have read the token."""


def is_own(path: str) -> bool:
    """Say whether an address belongs to the API, known or not."""
    return path.startswith(PREFIX)


def caller() -> Caller:
    """Return for whom the program of this request calls."""
    return cast(Caller, g.caller)


def needs(scope: Scope) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let tokens with the scope pass; others get 403 with its name."""

    def guard(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            found = caller()
            if scope not in found.scopes or not may(found.role, PERMISSIONS[scope]):
                raise Forbidden("scope_missing", scope=scope.value)
            return view(*args, **kwargs)

        setattr(guarded, GUARD, PERMISSIONS[scope])
        return guarded

    return guard


@blueprint.before_request
def _let_in() -> None:
    use_header_language()
    if current_config().is_production and not request.is_secure:
        raise PlainHttp("https_required")
    found = _authenticate()
    use_header_language(found.language)
    g.caller = found
    g.allowance = quotas.spend(found.user_id, Allowance.API_CALLS, 60)


def _authenticate() -> Caller:
    try:
        with transaction():
            return tokens.authenticate(_given_token(), Audience.API)
    except TokenRefused:
        # Whoever only guesses is slowed down; right tokens from the same address are not.
        limits.spend(limits.API_REFUSED, request.remote_addr or "")
        raise


def _given_token() -> str:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != SCHEME.lower() or not secret.strip():
        raise TokenRefused("token_missing")
    return secret.strip()


@blueprint.after_app_request
def _add_headers(response: Response) -> Response:
    if not is_own(request.path):
        return response
    response.headers["API-Version"] = VERSION
    response.vary.update(("Authorization", "Accept-Language"))
    allowance: limits.Allowance | None = g.get("allowance")
    if allowance is not None:
        response.headers["RateLimit-Limit"] = str(allowance.limit)
        response.headers["RateLimit-Remaining"] = str(allowance.left)
        response.headers["RateLimit-Reset"] = str(allowance.seconds_left)
    return response
