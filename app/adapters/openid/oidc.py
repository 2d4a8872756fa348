"""OpenID Connect: discovery, the code flow with PKCE, and an ID token that is checked."""

import time
from dataclasses import dataclass
from typing import Any

from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.adapters.openid.http import failures, get_json, log, session_for, trade_code
from app.adapters.openid.person import Errand, Person
from app.config import SignInProvider, is_trusted_url
from app.errors import Forbidden, Unavailable

SCOPE = "openid email profile"
WELL_KNOWN = "/.well-known/openid-configuration"
# Signatures by a key pair only: with a shared secret, or none, anybody could have signed.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
# Clocks differ.
LEEWAY_S = 60
KEPT_S = 600
LONGEST = 255


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider is asked for what."""

    authorization: str
    token: str
    keys: str
    user_info: str
    auth_method: str


_known: dict[str, tuple[float, Endpoints]] = {}


def address_of(provider: SignInProvider, errand: Errand) -> str:
    """Return where the browser logs in there."""
    session = session_for(provider, errand, SCOPE)
    url, _ = session.create_authorization_url(
        _endpoints(provider, session).authorization,
        state=errand.state,
        code_verifier=errand.verifier,
        nonce=errand.nonce,
    )
    return str(url)


def person_of(provider: SignInProvider, errand: Errand, code: str) -> Person:
    """Trade the code for an ID token, check it, and return whom it names."""
    session = session_for(provider, errand, SCOPE)
    endpoints = _endpoints(provider, session)
    session.token_endpoint_auth_method = endpoints.auth_method
    token = trade_code(session, endpoints.token, errand, code)
    keys = get_json(session, endpoints.keys)
    claims = _checked(provider, errand, token, keys)
    if "email" not in claims and endpoints.user_info:
        told = get_json(session, endpoints.user_info, with_token=True)
        # Somebody else's card must not be taken for this one.
        if not isinstance(told, dict) or told.get("sub") != claims["sub"]:
            raise Forbidden("sign_in_refused")
        claims = {**told, **claims}
    return _person(provider, claims)


def _endpoints(provider: SignInProvider, session: OAuth2Session) -> Endpoints:
    kept = _known.get(provider.issuer)
    if kept is not None and time.monotonic() < kept[0]:
        return kept[1]
    url = provider.issuer.rstrip("/") + WELL_KNOWN
    told = get_json(session, url)
    with failures(url):
        if told["issuer"] != provider.issuer:
            raise ValueError("says that it is somebody else")
        methods = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        endpoints = Endpoints(
            authorization=_own_url(provider, told["authorization_endpoint"]),
            token=_own_url(provider, told["token_endpoint"]),
            keys=_own_url(provider, told["jwks_uri"]),
            user_info=_own_url(provider, told["userinfo_endpoint"])
            if told.get("userinfo_endpoint")
            else "",
            auth_method="client_secret_basic"
            if "client_secret_basic" in methods
            else "client_secret_post",
        )
    _known[provider.issuer] = (time.monotonic() + KEPT_S, endpoints)
    return endpoints


def _own_url(provider: SignInProvider, url: object) -> str:
    loopback = provider.issuer.startswith("http://")
    if not isinstance(url, str) or not is_trusted_url(url, loopback=loopback):
        raise ValueError("an address without https")
    # It becomes part of a header of ours.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("an address with letters that no address has")
    return url


def _checked(provider: SignInProvider, errand: Errand, token: Any, keys: Any) -> dict[str, Any]:
    """Return the claims of an ID token whose signature, maker, reader, time and nonce are right."""
    try:
        decoded = jwt.decode(
            str(token["id_token"]), KeySet.import_key_set(keys), algorithms=ALGORITHMS
        )
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": provider.issuer},
                "aud": {"essential": True, "value": provider.client_id},
            },
            params={
                "nonce": errand.nonce,
                "client_id": provider.client_id,
                "access_token": token.get("access_token"),
            },
        )
        claims.validate(leeway=LEEWAY_S)
    except (JoseError, ValueError, TypeError, LookupError, AttributeError) as error:
        log.warning("id_token_refused issuer=%s error=%s", provider.issuer, type(error).__name__)
        raise Forbidden("sign_in_refused") from None
    return dict(claims)


def _person(provider: SignInProvider, claims: dict[str, Any]) -> Person:
    subject, email, name = (claims.get(key) for key in ("sub", "email", "name"))
    verified = claims.get("email_verified")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST or "\0" in subject:
        raise Unavailable("sign_in_provider_down")
    return Person(
        issuer=provider.issuer,
        subject=subject,
        email=email if isinstance(email, str) else "",
        # Some providers write it as text.
        email_verified=verified is True or verified == "true",
        name=name if isinstance(name, str) else "",
    )
