"""Challenges: random bytes that a passkey signs, each for one session, one purpose, one time.

Redis keeps only a hash over all that a challenge is bound to, so that there is nothing to compare:
one for another session, purpose or person is not found.
"""

import hashlib
import secrets
from enum import StrEnum

from app.extensions import redis_client

LIFE_SECONDS = 300
BYTES = 32
NOBODY = 0


class Purpose(StrEnum):
    """What a signature may be used for."""

    ADD = "add"
    LOG_IN = "log-in"
    SECOND_FACTOR = "second-factor"
    PROVE = "prove"


def issue(purpose: Purpose, session: str, user_id: int = NOBODY) -> bytes:
    """Make a challenge; NOBODY while it is not known who comes."""
    challenge = secrets.token_bytes(BYTES)
    redis_client.client.set(_key(challenge, purpose, session, user_id), 1, ex=LIFE_SECONDS)
    return challenge


def take(challenge: bytes, purpose: Purpose, session: str, user_id: int = NOBODY) -> bool:
    """Use a challenge up; tell whether it was made for just this and not used before."""
    return bool(redis_client.client.delete(_key(challenge, purpose, session, user_id)))


def _key(challenge: bytes, purpose: Purpose, session: str, user_id: int) -> str:
    bound = f"{purpose}|{session}|{user_id}|".encode() + challenge
    return f"passkey:{hashlib.sha256(bound).hexdigest()}"
