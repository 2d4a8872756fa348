"""Logging in by somebody else: OpenID providers, and GitHub, which has a way of its own."""

from app.adapters.openid import github, oidc
from app.adapters.openid.person import Errand, Person
from app.config import SignInProvider


def address_of(provider: SignInProvider, errand: Errand) -> str:
    """Return where the browser is sent; raise Unavailable when the provider can't be asked."""
    if provider.is_github:
        return github.address_of(provider, errand)
    return oidc.address_of(provider, errand)


def person_of(provider: SignInProvider, errand: Errand, code: str) -> Person:
    """Trade the code that the browser brought back for who it is.

    Raises Unavailable for a provider that is down or makes no sense, and Forbidden for an answer
    that is not right.
    """
    if provider.is_github:
        return github.person_of(provider, errand, code)
    return oidc.person_of(provider, errand, code)


__all__ = ["Errand", "Person", "address_of", "person_of"]
