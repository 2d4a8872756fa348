"""Signatures of callbacks as Stripe writes them: `t=<seconds>,v1=<hex HMAC-SHA256 of t.body>`.

Made over the raw bytes: the same JSON written anew has another one. Several secrets may hold at
once while one replaces the other.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from app.adapters.payments.port import BadCallback

TOLERANCE_S = 300
SCHEME = "v1"
_LONGEST_HEADER = 4096


def sign(secret: str, stamp: int, raw: bytes) -> str:
    """Return the header for a body."""
    return f"t={stamp},{SCHEME}={_digest(secret, stamp, raw)}"


def check(header: str, raw: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Raise BadCallback unless one of the secrets has signed these bytes just now.

    A stamp from the future is refused as an old one is: it would stay good for too long.
    """
    stamp, given = _read(header)
    if not any(
        hmac.compare_digest(_digest(secret, stamp, raw), one)
        for secret in secrets
        if secret
        for one in given
    ):
        raise BadCallback("bad_signature")
    if abs(int(now.timestamp()) - stamp) > TOLERANCE_S:
        raise BadCallback("stamp_out_of_range")


def _read(header: str) -> tuple[int, list[str]]:
    parts = [part.strip().partition("=") for part in header[:_LONGEST_HEADER].split(",")]
    stamps = [value for name, _, value in parts if name == "t"]
    given = [value for name, _, value in parts if name == SCHEME and value.isascii()]
    plain = stamps[0] if len(stamps) == 1 else ""
    if not given or not plain.isascii() or not plain.isdecimal() or len(plain) > len("9" * 12):
        raise BadCallback("no_signature")
    return int(plain), given


def _digest(secret: str, stamp: int, raw: bytes) -> str:
    return hmac.new(secret.encode(), b"%d." % stamp + raw, hashlib.sha256).hexdigest()
