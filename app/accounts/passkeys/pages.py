"""What several pages need to know about passkeys."""

from flask import request

from app.accounts import second_factor
from app.accounts.passkeys import service
from app.accounts.passkeys.challenges import Purpose
from app.accounts.passkeys.party import party_of
from app.accounts.passkeys.service import Browser
from app.accounts.server_session import session_key
from app.errors import Conflict, Forbidden, InvalidInput
from app.transactions import transaction


def are_possible() -> bool:
    """Tell whether browsers can use passkeys at the address of this request."""
    return party_of(request.host) is not None


def offers(user_id: int) -> bool:
    """Tell whether a page may ask this person for a passkey."""
    return are_possible() and second_factor.has_passkey(user_id)


def browser() -> Browser:
    """Return where this request comes from; raise Conflict where there can be no passkeys."""
    party, key = party_of(request.host), session_key()
    if party is None:
        raise Conflict("passkeys_not_here")
    if key is None:
        raise Forbidden("log_in_again")
    return Browser(key, party, request.remote_addr or "")


def proves(user_id: int, text: str) -> bool:
    """Take a passkey as proof; tell whether it also checked who holds it.

    Raises InvalidInput for one that is not right.
    """
    with transaction():
        proof = service.prove(Purpose.PROVE, user_id, text, browser())
    if proof is None:
        raise InvalidInput("passkey_refused")
    return proof.verified
