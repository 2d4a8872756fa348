"""GitHub: OAuth 2 with its own API in place of an ID token. Only a verified primary address counts.

The issuer is its address, also of a GitHub Enterprise server.
"""

from typing import Any

from app.adapters.openid.http import failures, get_json, session_for, trade_code
from app.adapters.openid.person import Errand, Person
from app.config import SignInProvider

SCOPE = "read:user user:email"
PUBLIC = "https://github.com"
PUBLIC_API = "https://api.github.com"


def address_of(provider: SignInProvider, errand: Errand) -> str:
    """Return where the browser logs in there."""
    session = session_for(provider, errand, SCOPE)
    url, _ = session.create_authorization_url(
        f"{_base(provider)}/login/oauth/authorize",
        state=errand.state,
        code_verifier=errand.verifier,
    )
    return str(url)


def person_of(provider: SignInProvider, errand: Errand, code: str) -> Person:
    """Trade the code for a token and ask whose it is."""
    session = session_for(provider, errand, SCOPE, "client_secret_post")
    trade_code(session, f"{_base(provider)}/login/oauth/access_token", errand, code)
    api = PUBLIC_API if _base(provider) == PUBLIC else f"{_base(provider)}/api/v3"
    user = get_json(session, f"{api}/user", with_token=True)
    emails = get_json(session, f"{api}/user/emails", with_token=True)
    with failures(api):
        number = user["id"]
        # The login can be given up and taken by somebody else; the number can't.
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError("not a number")
        return Person(
            issuer=provider.issuer,
            subject=str(number),
            email=_primary(emails),
            email_verified=True,
            name=str(user.get("name") or ""),
        )


def _primary(emails: Any) -> str:
    for one in emails:
        if one.get("primary") is True and one.get("verified") is True:
            return str(one["email"])
    return ""


def _base(provider: SignInProvider) -> str:
    return provider.issuer.rstrip("/")
