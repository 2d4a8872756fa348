"""What goes to a provider, and what comes back."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Errand:
    """One trip of a browser to a provider and back; state, nonce and verifier are for it alone."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    # The secret half of PKCE: a stolen code is worth nothing without it.
    verifier: str = field(repr=False)
    back: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is for a provider. Only issuer and subject name a person for good."""

    issuer: str
    subject: str
    # Empty when the provider tells none.
    email: str
    email_verified: bool
    name: str
