"""Trips of browsers to a provider and back: kept in Redis, each bound to one session, used once."""

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from app.extensions import redis_client

LIFE_SECONDS = 600
NOBODY = 0


class Purpose(StrEnum):
    """What a trip is for."""

    LOG_IN = "log-in"
    CONNECT = "connect"


@dataclass(frozen=True, slots=True)
class Trip:
    """What must be known when the browser is back."""

    purpose: Purpose
    provider: str
    user_id: int
    target: str
    nonce: str
    verifier: str


def begin(
    purpose: Purpose, provider: str, session: str, user_id: int, target: str
) -> tuple[str, Trip]:
    """Begin a trip; return the state that comes back with the browser, and the trip."""
    state = secrets.token_urlsafe(32)
    trip = Trip(
        purpose, provider, user_id, target, secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    )
    redis_client.client.set(_key(state, session), json.dumps(asdict(trip)), ex=LIFE_SECONDS)
    return state, trip


def end(state: str, session: str) -> Trip | None:
    """Take a trip that began in this session; None when it is unknown, over or used."""
    raw: Any = redis_client.client.getdel(_key(state, session))
    if raw is None:
        return None
    kept = json.loads(raw)
    return Trip(**{**kept, "purpose": Purpose(kept["purpose"])})


def _key(state: str, session: str) -> str:
    bound = f"{session}|{state}".encode(errors="replace")
    return f"sign-in:{hashlib.sha256(bound).hexdigest()}"
