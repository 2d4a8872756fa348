"""What an account may be called, and what a key and a paper balance look like."""

import hashlib
import re
from decimal import Decimal

from app.errors import InvalidInput
from app.names import is_visible

MAX_LABEL_LENGTH = 60
MAX_KEY_LENGTH = 512
MIN_KEY_LENGTH = 8
SMALLEST_BALANCE = Decimal(10)
LARGEST_BALANCE = Decimal(100_000_000)
BALANCE_PLACES = 8
LAST_CHARACTERS = 4

_KEY = re.compile(r"[!-~]+")


def clean_label(label: str) -> str:
    """Return a label without needless blanks; raise InvalidInput if it can't be one."""
    cleaned = " ".join(label.split())
    if not cleaned:
        raise InvalidInput("label_missing", field="label")
    if len(cleaned) > MAX_LABEL_LENGTH:
        raise InvalidInput("label_too_long", field="label", maximum=MAX_LABEL_LENGTH)
    if not is_visible(cleaned):
        raise InvalidInput("label_not_text", field="label")
    return cleaned


def clean_key(key: str, field: str) -> str:
    """Return what was copied from the exchange without outer blanks; raise InvalidInput."""
    cleaned = key.strip()
    if not cleaned:
        raise InvalidInput("key_missing", field=field)
    if not MIN_KEY_LENGTH <= len(cleaned) <= MAX_KEY_LENGTH and field != "passphrase":
        raise InvalidInput("key_wrong_length", field=field)
    if len(cleaned) > MAX_KEY_LENGTH or not _KEY.fullmatch(cleaned):
        raise InvalidInput("key_not_plain", field=field)
    return cleaned


def check_balance(amount: Decimal) -> Decimal:
    """Return the money that a paper account begins with; raise InvalidInput."""
    if not amount.is_finite() or not SMALLEST_BALANCE <= amount <= LARGEST_BALANCE:
        raise InvalidInput(
            "paper_balance_out_of_range",
            field="balance",
            minimum=SMALLEST_BALANCE,
            maximum=LARGEST_BALANCE,
        )
    if amount != round(amount, BALANCE_PLACES):
        raise InvalidInput("paper_balance_too_fine", field="balance", places=BALANCE_PLACES)
    return amount


def fingerprint(exchange: str, testnet: bool, key: str) -> str:
    """Return by what the same key is known again, without keeping the key."""
    site = "testnet" if testnet else "live"
    return hashlib.sha256(f"{exchange}|{site}|{key}".encode()).hexdigest()


def account_fingerprint(exchange: str, testnet: bool, account: str | None) -> str | None:
    """Return by what an account at an exchange is known again; None if the exchange is silent."""
    return None if account is None else fingerprint(exchange, testnet, f"account {account}")


def last_four(key: str) -> str:
    """Return the end of a key that its owner may see again."""
    return key[-LAST_CHARACTERS:]
