"""Passwords: argon2id hashes, and the rules for a new one: long enough, not one of the common."""

import os
import string
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from app.adapters import breached
from app.errors import InvalidInput
from app.settings import queries as settings
from app.settings.rules import PASSWORD_LOOK_UP

MIN_LENGTH = 8
MAX_LENGTH = 256
LIST_FILE = Path(__file__).with_name("common_passwords.txt")
# Shorter roots appear inside good passwords by chance.
MIN_ROOT_LENGTH = 4
MIN_DIFFERENT_CHARACTERS = 4
_LEET = str.maketrans("@4301!$57", "aaeolisst")
_ENDINGS = string.digits + string.punctuation + " "

# argon2id, three passes over 32 MiB: ASVS appendix C asks for 12 MiB. One lane, because people log
# in side by side: more lanes only share the same work among processors that others wait for.
hasher = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
# A flood of log-ins waits for its turn instead of taking this memory for each of its threads.
_turn = BoundedSemaphore(max(2, os.cpu_count() or 2))


# In place of a hash, for people who signed in by somebody else's log-in and have no password.
NO_PASSWORD = "!"  # noqa: S105


def hash_password(password: str) -> str:
    """Hash a password; the string names the algorithm and its parameters."""
    with _turn:
        return hasher.hash(password)


def matches(password_hash: str, password: str) -> bool:
    """Tell whether the password belongs to the hash; none belongs to NO_PASSWORD.

    That takes as long as a wrong one: the time must not tell who has a password.
    """
    if password_hash == NO_PASSWORD:
        matches(dummy_hash(), password)
        return False
    try:
        with _turn:
            return hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def is_outdated(password_hash: str) -> bool:
    """Tell whether the hash is weaker than one made today; a stronger one stays."""
    try:
        found = extract_parameters(password_hash)
    except InvalidHashError:
        return True
    work = found.time_cost * found.memory_cost
    is_weaker = work < hasher.time_cost * hasher.memory_cost
    return found.type is not Type.ID or is_weaker


@cache
def dummy_hash() -> str:
    """Return a hash that no password opens: unknown addresses cost the same time as known ones."""
    return hash_password("\0 nobody knows this one \0")


def check_new_password(password: str, email: str, field: str = "password") -> None:
    """Raise InvalidInput for a password that is too short, too long or easily guessed."""
    if len(password) < MIN_LENGTH:
        raise InvalidInput("password_too_short", field=field, minimum=MIN_LENGTH)
    if len(password) > MAX_LENGTH:
        raise InvalidInput("password_too_long", field=field, maximum=MAX_LENGTH)
    if any("\ud800" <= character <= "\udfff" for character in password):
        raise InvalidInput("password_not_text", field=field)
    if is_common(password) or _is_own_name(password, email):
        raise InvalidInput("password_common", field=field)


def check_breaches(password: str) -> None:
    """Raise InvalidInput for a password known from a breach, if staff want that looked up.

    Call it outside any transaction: somebody else's server is asked.
    """
    if password and settings.is_on(PASSWORD_LOOK_UP) and breached.is_known(password):
        raise InvalidInput("password_breached")


def is_common(password: str) -> bool:
    """Tell whether a password is among those that guessers try first."""
    lowered = password.lower()
    if len(set(lowered)) < MIN_DIFFERENT_CHARACTERS or _is_run(lowered):
        return True
    return any(form in _common() for form in _forms(lowered))


def _forms(lowered: str) -> set[str]:
    """Return what a password becomes without the usual disguises."""
    root = lowered.rstrip(_ENDINGS)
    plain = root.translate(_LEET)
    core = plain.strip(_ENDINGS)
    forms = {lowered, lowered.translate(_LEET)}
    half = core[: len(core) // 2]
    if core and core == half * 2:
        forms.add(half)
    return forms | {form for form in (root, plain, core) if len(form) >= MIN_ROOT_LENGTH}


def _is_run(text: str) -> bool:
    """Tell whether each character follows the one before in the alphabet or the digits."""
    steps = {ord(second) - ord(first) for first, second in zip(text, text[1:], strict=False)}
    return steps in ({1}, {-1})


def _is_own_name(password: str, email: str) -> bool:
    lowered, name = password.lower(), email.split("@", 1)[0]
    return lowered in {email, name} or (
        len(name) >= MIN_ROOT_LENGTH and lowered.rstrip(_ENDINGS) == name
    )


@cache
def _common() -> frozenset[str]:
    lines = LIST_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
