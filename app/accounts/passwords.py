"""Passwords: argon2id hashes, and the rules for a new one: long enough, not one of the common."""

import string
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import InvalidInput

MIN_LENGTH = 8
MAX_LENGTH = 256
LIST_FILE = Path(__file__).with_name("common_passwords.txt")
# Shorter roots appear inside good passwords by chance.
MIN_ROOT_LENGTH = 4
MIN_DIFFERENT_CHARACTERS = 4
_LEET = str.maketrans("@4301!$57", "aaeolisst")
_ENDINGS = string.digits + string.punctuation + " "

# The library's own profile: argon2id, three passes over 64 MiB, four lanes.
hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """Hash a password; the string names the algorithm and its parameters."""
    return hasher.hash(password)


def matches(password_hash: str, password: str) -> bool:
    """Tell whether the password belongs to the hash."""
    try:
        return hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def is_outdated(password_hash: str) -> bool:
    """Tell whether the hash was made with other parameters than today's."""
    return hasher.check_needs_rehash(password_hash)


@cache
def dummy_hash() -> str:
    """Return a hash that no password opens: unknown addresses cost the same time as known ones."""
    return hasher.hash("\0 nobody knows this one \0")


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
