"""How often one account may do something: counters in Redis, shared by all processes."""

import hashlib
from dataclasses import dataclass
from typing import Any

from app.errors import TooManyTries
from app.extensions import redis_client


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` times in a window of `seconds` that begins with the first time."""

    action: str
    count: int
    seconds: int


LOG_IN = Limit("log-in", 10, 15 * 60)
RESEND = Limit("resend", 1, 60)
RESEND_HOURLY = Limit("resend-hourly", 5, 3600)
# Nobody's mailbox is filled by somebody who types its address again and again.
REGISTRATION_MAILS = Limit("registration-mails", 5, 3600)
# The same for the links with which a forgotten password is changed, and for new addresses.
RESET_MAILS = Limit("reset-mails", 5, 3600)
ADDRESS_CHANGES = Limit("address-changes", 5, 3600)
ADDRESS_MAILS = Limit("address-mails", 5, 3600)
# Text messages cost money, and nobody's phone is filled by others.
PHONE_RESEND = Limit("phone-resend", 1, 60)
PHONE_OF_PERSON = Limit("phone-person", 5, 24 * 3600)
PHONE_OF_NUMBER = Limit("phone-number", 5, 24 * 3600)
PHONE_FROM_ADDRESS = Limit("phone-address", 20, 24 * 3600)
PHONE_OF_ALL = Limit("phone-all", 2000, 24 * 3600)
# Files with all of a person's data.
DATA_EXPORTS = Limit("data-exports", 3, 24 * 3600)
PLACE_DAYS = 30
SET_UP = Limit("set-up", 20, 3600)
# Typing the password once more before something that lasts.
PASSWORD_AGAIN = Limit("password-again", 10, 15 * 60)
# After so many wrong passwords a log-in also asks for a captcha.
EASY_LOG_INS = Limit("easy-log-ins", 3, 15 * 60)
SECOND_FACTOR = Limit("second-factor", 10, 15 * 60)
# Wrong tokens from one network address; right ones from there are not held up.
API_REFUSED = Limit("api-refused", 60, 60)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit, and in how many seconds the count begins anew."""

    limit: int
    left: int
    seconds_left: int


def spend(limit: Limit, *who: str) -> Allowance:
    """Count one time; raise TooManyTries beyond the limit."""
    count, seconds_left = _count(limit, who)
    if count > limit.count:
        raise TooManyTries("too_many_tries", retry_after=max(1, seconds_left))
    return Allowance(limit.count, limit.count - count, max(0, seconds_left))


def is_within(limit: Limit, *who: str) -> bool:
    """Count one time and tell whether it was within the limit."""
    return _count(limit, who)[0] <= limit.count


def is_used_up(limit: Limit, *who: str) -> bool:
    """Tell, without counting, whether the limit was reached."""
    return used(limit, *who) >= limit.count


def used(limit: Limit, *who: str) -> int:
    """Return how often it was done in the present window, without counting."""
    raw: Any = redis_client.client.get(_key(limit, who))
    return int(raw or 0)


def forget(limit: Limit, *who: str) -> None:
    """Begin to count anew."""
    redis_client.client.delete(_key(limit, who))


def know_place(email: str, address: str) -> None:
    """Remember that this person logs in from this network address."""
    key = _places(email)
    pipeline = redis_client.client.pipeline()
    pipeline.sadd(key, _digest(address))
    pipeline.expire(key, PLACE_DAYS * 86_400)
    pipeline.execute()


def forget_places(email: str) -> None:
    """Forget from where somebody has logged in."""
    redis_client.client.delete(_places(email))


def place_of(email: str, address: str) -> str:
    """Return whose tries are counted together: one known address, or all strangers.

    So a stranger who guesses uses up the strangers' tries and does not lock the owner out.
    """
    known = redis_client.client.sismember(_places(email), _digest(address))
    return _digest(address) if known else "strangers"


def _count(limit: Limit, who: tuple[str, ...]) -> tuple[int, int]:
    key = _key(limit, who)
    pipeline = redis_client.client.pipeline()
    # Not EXPIRE ... NX: Redis has that only since 7.0.
    pipeline.set(key, 0, ex=limit.seconds, nx=True)
    pipeline.incr(key)
    pipeline.ttl(key)
    answers: list[Any] = pipeline.execute()
    return int(answers[1]), int(answers[2])


def _key(limit: Limit, who: tuple[str, ...]) -> str:
    return f"limit:{limit.action}:{_digest(*who)}"


def _places(email: str) -> str:
    return f"places:{_digest(email)}"


def _digest(*texts: str) -> str:
    # Hashed, so that addresses do not stand in Redis as they are.
    return hashlib.sha256("\n".join(texts).encode(errors="replace")).hexdigest()
