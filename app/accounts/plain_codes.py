"""Codes of 120 bits that people copy or type: recovery codes and invitations."""

import hashlib
import secrets

# Without characters that look alike; 24 of 32 letters are too many to guess.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GROUPS, _GROUP_LENGTH = 4, 6


def new_code() -> str:
    """Make a code in four groups."""
    return "-".join(
        "".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS)
    )


def hash_of(code: str, owner: int | str) -> str:
    """Return what is stored of a code, however it was typed.

    120 random bits can't be guessed, so a fast hash is enough.
    """
    plain = "".join(character for character in code.upper() if character in _ALPHABET)
    return hashlib.sha256(f"{owner}|{plain}".encode()).hexdigest()
