"""Envelope encryption of secrets at rest: AES-256-GCM, a key id, and bound data.

Sealed text is `v1:kid:nonce:ciphertext` (the last two in URL-safe base64). The bound data (AAD)
names table, column, row and owner, so that a value moved to another row or owner does not open.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12


class DecryptionError(Exception):
    """Damaged, moved, or sealed under an unknown key: don't use the row, alert staff."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a sealed value belongs to; it opens only with the very same binding."""

    table: str
    column: str
    row: int | str
    owner: int | str

    def as_bytes(self) -> bytes:
        return f"{self.table}|{self.column}|{self.row}|{self.owner}".encode()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by id; new values are sealed under `current`, old ones open under their own id."""

    keys: Mapping[str, bytes] = field(repr=False)
    current: str

    def seal(self, plaintext: bytes, binding: Binding) -> str:
        """Seal bytes under the current key."""
        return seal(plaintext, self.keys[self.current], self.current, binding)

    def open(self, sealed: str, binding: Binding) -> bytes:
        """Open a sealed text; raise DecryptionError when it is not what was sealed here."""
        key = self.keys.get(key_id(sealed))
        if key is None:
            raise DecryptionError("unknown key id")
        return open_sealed(sealed, key, binding)


def parse_key_ring(text: str) -> KeyRing:
    """Read `kid:base64key[,kid:base64key…]`; the first one is current.

    Raises ValueError without repeating any key material.
    """
    keys: dict[str, bytes] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        kid, separator, encoded = part.partition(":")
        try:
            key = base64.urlsafe_b64decode(encoded)
        except (binascii.Error, ValueError):
            raise ValueError(f"key {kid!r} is not base64") from None
        if not separator or not kid or len(key) != KEY_BYTES:
            raise ValueError("write kid:base64 of 32 bytes, several separated by commas")
        keys[kid] = key
    if not keys:
        raise ValueError("no key given")
    return KeyRing(keys, next(iter(keys)))


def new_key() -> bytes:
    """Make a random 256-bit key."""
    return os.urandom(KEY_BYTES)


def seal(plaintext: bytes, key: bytes, kid: str, binding: Binding) -> str:
    """Seal bytes under one key."""
    nonce = os.urandom(NONCE_BYTES)
    ciphertext = AESGCM(key).encrypt(nonce, plaintext, binding.as_bytes())
    return ":".join((VERSION, kid, _encode(nonce), _encode(ciphertext)))


def open_sealed(sealed: str, key: bytes, binding: Binding) -> bytes:
    """Open a sealed text with one key; raise DecryptionError when it does not fit."""
    try:
        version, _, nonce, ciphertext = sealed.split(":")
        if version != VERSION:
            raise DecryptionError("unknown format")
        return AESGCM(key).decrypt(_decode(nonce), _decode(ciphertext), binding.as_bytes())
    except (ValueError, InvalidTag) as error:
        raise DecryptionError("does not open") from error


def key_id(sealed: str) -> str:
    """Return the id of the key that a sealed text was sealed under."""
    parts = sealed.split(":")
    if len(parts) != 4:  # noqa: PLR2004 - version, key id, nonce, ciphertext
        raise DecryptionError("unknown format")
    return parts[1]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text)
