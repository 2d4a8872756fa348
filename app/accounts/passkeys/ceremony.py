"""What browsers are asked to do with passkeys, and whether their answers are right (WebAuthn)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import webauthn
from cbor2 import CBORError
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    options_to_json_dict,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.accounts.passkeys.challenges import LIFE_SECONDS
from app.accounts.passkeys.party import Party

SITE = "Botyard"
LONGEST_ANSWER = 16_000
# What the library may meet in bytes that somebody made up.
_GARBAGE = (
    WebAuthnException, CBORError, InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError,
    LookupError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What a browser sent, not proved yet: which challenge, and for a use which passkey."""

    text: str
    challenge: bytes
    credential_id: str
    user_handle: str


@dataclass(frozen=True, slots=True)
class Made:
    """A new passkey whose making was proved."""

    credential_id: str
    public_key: str
    sign_count: int
    backed_up: bool


@dataclass(frozen=True, slots=True)
class Used:
    """A signature that is right; `verified` says whether the device checked who holds it."""

    sign_count: int
    backed_up: bool
    verified: bool


def creation_options(
    party: Party, name: str, handle: str, known: Sequence[str], challenge: bytes, *, verify: bool
) -> dict[str, Any]:
    """Return what `navigator.credentials.create` needs; devices with a `known` one are left out."""
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=SITE,
        user_name=name,
        user_id=base64url_to_bytes(handle),
        challenge=challenge,
        timeout=LIFE_SECONDS * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_wish(verify)
        ),
        exclude_credentials=_descriptors(known),
    )
    return options_to_json_dict(options)


def request_options(
    party: Party, allowed: Sequence[str], challenge: bytes, *, verify: bool
) -> dict[str, Any]:
    """Return what `navigator.credentials.get` needs; without `allowed` the device chooses."""
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        timeout=LIFE_SECONDS * 1000,
        allow_credentials=_descriptors(allowed),
        user_verification=_wish(verify),
    )
    return options_to_json_dict(options)


def read_new(text: str) -> Answer | None:
    """Read the answer to `creation_options`; None when it is none."""
    try:
        _check_length(text)
        credential = parse_registration_credential_json(text)
        client = parse_client_data_json(credential.response.client_data_json)
    except _GARBAGE:
        return None
    return Answer(text, client.challenge, credential.id, "")


def read_use(text: str) -> Answer | None:
    """Read the answer to `request_options`; None when it is none."""
    try:
        _check_length(text)
        credential = parse_authentication_credential_json(text)
        client = parse_client_data_json(credential.response.client_data_json)
    except _GARBAGE:
        return None
    handle = bytes_to_base64url(credential.response.user_handle or b"")
    return Answer(text, client.challenge, bytes_to_base64url(credential.raw_id), handle)


def verify_new(answer: Answer, party: Party, *, verify: bool) -> Made | None:
    """Check the making of a passkey; None when anything is wrong."""
    try:
        made = webauthn.verify_registration_response(
            credential=answer.text,
            expected_challenge=answer.challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=verify,
        )
    except _GARBAGE:
        return None
    return Made(
        bytes_to_base64url(made.credential_id),
        bytes_to_base64url(made.credential_public_key),
        made.sign_count,
        made.credential_backed_up,
    )


def verify_use(answer: Answer, party: Party, public_key: str) -> Used | None:
    """Check a signature; None when anything is wrong. The caller compares the counts."""
    try:
        used = webauthn.verify_authentication_response(
            credential=answer.text,
            expected_challenge=answer.challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=base64url_to_bytes(public_key),
            credential_current_sign_count=0,
        )
    except _GARBAGE:
        return None
    return Used(used.new_sign_count, used.credential_backed_up, used.user_verified)


def _check_length(text: str) -> None:
    if len(text) > LONGEST_ANSWER:
        raise ValueError("too long")


def _wish(verify: bool) -> UserVerificationRequirement:
    return UserVerificationRequirement.REQUIRED if verify else UserVerificationRequirement.PREFERRED


def _descriptors(ids: Sequence[str]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(one)) for one in ids]
