"""A small piece of work for browsers, so that forms are dear for programs: ALTCHA, or reCAPTCHA.

It is friction beside the rate limits, not a lock. A challenge is signed, bound to the form and the
session, and good for ten minutes; its solution is taken once.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from enum import StrEnum
from typing import Any

import altcha

from app.accounts import limits
from app.adapters import recaptcha
from app.config import current_config
from app.errors import InvalidInput
from app.extensions import redis_client
from app.settings import queries as settings
from app.settings.rules import CAPTCHA_COST, CAPTCHA_PROVIDER

LIFE_SECONDS = 600
ALGORITHM = "PBKDF2/SHA-256"
# How many keys a browser derives before it meets the right one.
FEWEST, MOST = 50, 150
LONGEST_ANSWER = 8000


class Provider(StrEnum):
    """Who makes the work."""

    ALTCHA = "altcha"
    RECAPTCHA = "recaptcha"
    OFF = "off"


class Action(StrEnum):
    """The forms that ask for it."""

    REGISTER = "register"
    LOG_IN = "login"
    RESET = "reset"
    SEARCH = "search"


def provider() -> Provider:
    """Return what staff chose; without keys of reCAPTCHA it is ALTCHA."""
    config = current_config()
    chosen = Provider(settings.text_of(CAPTCHA_PROVIDER))
    if not config.captcha or chosen is Provider.OFF:
        return Provider.OFF
    if chosen is Provider.RECAPTCHA and config.recaptcha_site_key and config.recaptcha_secret:
        return Provider.RECAPTCHA
    return Provider.ALTCHA


def challenge(action: Action, session: str) -> dict[str, Any]:
    """Make work for one form of one session."""
    made = altcha.create_challenge(
        ALGORITHM,
        int(settings.text_of(CAPTCHA_COST)),
        counter=FEWEST + secrets.randbelow(MOST - FEWEST + 1),
        expires_at=int(time.time()) + LIFE_SECONDS,
        data={"action": action.value, "sid": _short(session)},
        hmac_secret=_key("challenge"),
        hmac_key_secret=_key("solution"),
    )
    return dict(made.to_dict())


def check(answer: str, action: Action, session: str, address: str) -> None:
    """Take the answer of a form; raise InvalidInput when it is missing, wrong, old or used."""
    match provider():
        case Provider.OFF:
            return
        case Provider.RECAPTCHA:
            secret = current_config().recaptcha_secret or ""
            if not answer or not recaptcha.is_human(answer, secret, address):
                raise InvalidInput("captcha_failed")
        case Provider.ALTCHA:
            _check_work(answer, action, session)


def is_asked_at_log_in(address: str, email: str = "") -> bool:
    """Tell whether wrong passwords from here or for this person make the log-in ask for it."""
    return limits.is_used_up(limits.EASY_LOG_INS, address) or (
        bool(email) and limits.is_used_up(limits.EASY_LOG_INS, email)
    )


def note_failed_log_in(address: str, email: str) -> None:
    """Count a wrong password for the place and for the person."""
    for who in (address, email):
        limits.is_within(limits.EASY_LOG_INS, who)


def _check_work(answer: str, action: Action, session: str) -> None:
    if not answer or len(answer) > LONGEST_ANSWER:
        raise InvalidInput("captcha_failed")
    result = altcha.verify_solution(answer, _key("challenge"), hmac_key_secret=_key("solution"))
    if not result.verified:
        raise InvalidInput("captcha_expired" if result.expired else "captcha_failed")
    parameters = json.loads(base64.b64decode(answer))["challenge"]["parameters"]
    bound = {"action": action.value, "sid": _short(session)}
    if parameters.get("data") != bound:
        raise InvalidInput("captcha_failed")
    # The library would take the same solution again and again.
    seen = f"captcha:{hashlib.sha256(parameters['nonce'].encode()).hexdigest()}"
    if not redis_client.client.set(seen, 1, nx=True, ex=LIFE_SECONDS):
        raise InvalidInput("captcha_expired")


def _key(what: str) -> bytes:
    secret = current_config().secret_key.encode()
    return hmac.new(secret, f"captcha|{what}".encode(), hashlib.sha256).digest()


def _short(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()[:32]
