"""Calls to providers: short, small, no redirects, and any failure is `Unavailable`."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from requests.adapters import HTTPAdapter

from app.adapters.openid.person import Errand
from app.config import SignInProvider
from app.errors import Forbidden, Unavailable

CONNECT_S = 3
READ_S = 5
# All of one answer, however slowly it drips.
TOTAL_S = 8
LARGEST = 256 * 1024
PIECE = 8192
OK = 200
_JSON = {"Accept": "application/json"}

log = logging.getLogger(__name__)


class ShortAnswers(HTTPAdapter):
    """Reads an answer at once, and gives up when it is too long or too slow."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Send a request and return an answer that is read already."""
        deadline = time.monotonic() + TOTAL_S
        given: dict[str, Any] = {**kwargs, "stream": True, "timeout": (CONNECT_S, READ_S)}
        response = super().send(request, **given)
        body = bytearray()
        while piece := response.raw.read1(PIECE, decode_content=True):
            body += piece
            if len(body) > LARGEST or time.monotonic() > deadline:
                response.close()
                raise requests.ConnectionError("the answer is too long or too slow")
        response._content = bytes(body)
        return response


def session_for(
    provider: SignInProvider, errand: Errand, scope: str, auth_method: str = "client_secret_basic"
) -> OAuth2Session:
    """Return what speaks OAuth 2 with a provider."""
    session = OAuth2Session(
        provider.client_id,
        provider.client_secret,
        token_endpoint_auth_method=auth_method,
        scope=scope,
        redirect_uri=errand.back,
        code_challenge_method="S256",
    )
    session.max_redirects = 0
    for scheme in ("https://", "http://"):
        session.mount(scheme, ShortAnswers())
    return session


def get_json(session: OAuth2Session, url: str, *, with_token: bool = False) -> Any:
    """Fetch a JSON document; raise Unavailable for anything else."""
    with failures(url):
        response = session.get(url, withhold_token=not with_token, headers=_JSON)
        if response.status_code != OK:
            raise ValueError(f"status {response.status_code}")
        return response.json()


def trade_code(session: OAuth2Session, url: str, errand: Errand, code: str) -> Mapping[str, Any]:
    """Trade a code for tokens; raise Forbidden when the provider refuses it."""
    with failures(url):
        try:
            token = session.fetch_token(
                url, grant_type="authorization_code", code=code, code_verifier=errand.verifier
            )
        except OAuthError as error:
            log.warning("sign_in_refused url=%s error=%s", url, type(error).__name__)
            raise Forbidden("sign_in_refused") from None
        if not isinstance(token.get("access_token"), str):
            raise TypeError("no token")
        return dict(token)


# What a call, and an answer made of garbage, may raise here and in the libraries.
_FAILURES = (
    requests.RequestException, AuthlibBaseError, OSError, ValueError, TypeError, LookupError,
    AttributeError,
)  # fmt: skip


@contextmanager
def failures(url: str) -> Iterator[None]:
    """Turn whatever goes wrong with a provider into Unavailable."""
    try:
        yield
    except _FAILURES as error:
        log.warning("sign_in_provider_failed url=%s error=%s", url, type(error).__name__)
        raise Unavailable("sign_in_provider_down") from None
