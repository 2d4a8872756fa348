"""Calls to Stripe: the pinned client, and its errors as our own."""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import stripe

from app.errors import Conflict, DomainError, Unavailable

# What the library is made for; objects come in this shape whatever the account is set to.
VERSION = "2026-10-28.endive"
CONNECT_S, READ_S = 5, 20
# The same call is under way, or there were too many.
BUSY = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})

log = logging.getLogger(__name__)

Asked = Callable[[], Any]


def client(
    api_key: str, base: str | None = None, http_client: stripe.HTTPClient | None = None
) -> stripe.StripeClient:
    """Return a client that never tries again by itself: what is sent again has a key of ours."""
    return stripe.StripeClient(
        api_key,
        stripe_version=VERSION,
        base_addresses={"api": base} if base else {},
        max_network_retries=0,
        http_client=http_client or stripe.RequestsClient(timeout=(CONNECT_S, READ_S)),
    )


def ask(call: Asked) -> Mapping[str, Any]:
    """Return an answer as plain data; raise Unavailable, or Conflict for what Stripe refuses."""
    try:
        answer: dict[str, Any] = call().to_dict()
    except stripe.StripeError as error:
        raise refusal(error) from None
    return answer


def find(call: Asked) -> Mapping[str, Any] | None:
    """Return an answer as plain data; None where there is no such object."""
    try:
        answer: dict[str, Any] = call().to_dict()
    except stripe.InvalidRequestError as error:
        if error.http_status == HTTPStatus.NOT_FOUND:
            return None
        raise refusal(error) from None
    except stripe.StripeError as error:
        raise refusal(error) from None
    return answer


def refusal(error: stripe.StripeError) -> DomainError:
    """Return an error of the library as ours.

    A wrong key of ours is no answer about money: it may be put right, so it is tried again.
    `is_kept` says that Stripe would answer the same call with the same fault for a day.
    """
    status = error.http_status
    kept = (stripe.APIConnectionError, stripe.AuthenticationError, stripe.PermissionError)
    is_theirs = status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in BUSY
    if isinstance(error, kept) or is_theirs:
        log.warning("stripe_unavailable kind=%s status=%s", type(error).__name__, status)
        is_kept = status is not None and status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return Unavailable("rail_unavailable", is_kept=is_kept)
    if isinstance(error, stripe.CardError):
        return Conflict("card_refused", reason=error.code or "")
    log.error("stripe_refused kind=%s code=%s", type(error).__name__, error.code)
    return Conflict("rail_refused")
