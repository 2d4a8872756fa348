"""What stands in objects of Stripe, read as our own values; pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.money import MINOR_DIGITS, Money

Data = Mapping[str, Any]

_LONGEST_USER_ID = 18


def money_of(amount: int, currency: str) -> Money:
    """Return an amount that Stripe counts in the smallest unit."""
    code = currency.upper()
    return Money(Decimal(amount).scaleb(-_digits(code)), code)


def minor_units(money: Money) -> int:
    """Return an amount as Stripe counts it; a finer one than its unit is a fault of ours."""
    units = money.amount.scaleb(_digits(money.currency))
    if units != units.to_integral_value():
        raise ValueError("the amount is finer than the currency")
    return int(units)


def time_of(seconds: int) -> datetime:
    """Return a moment."""
    return datetime.fromtimestamp(seconds, UTC)


def optional_time(seconds: int | None) -> datetime | None:
    """Return a moment that may be missing."""
    return None if seconds is None else time_of(seconds)


def id_of(thing: Any) -> str | None:
    """Return the id of an object that is told in full or by its id alone."""
    found = thing.get("id") if isinstance(thing, Mapping) else thing
    return found if isinstance(found, str) and found else None


def owner_in(metadata: Any, tag: str) -> int | None:
    """Return whose an object is by our mark on it; None for another app's."""
    if not isinstance(metadata, Mapping) or metadata.get("app") != tag:
        return None
    text = metadata.get("user_id", "")
    is_number = isinstance(text, str) and text.isascii() and text.isdecimal()
    return int(text) if is_number and len(text) <= _LONGEST_USER_ID else None


def word_in(metadata: Any, tag: str, name: str) -> str:
    """Return a word of ours on an object; nothing on another app's."""
    if not isinstance(metadata, Mapping) or metadata.get("app") != tag:
        return ""
    return str(metadata.get(name, ""))


def price_of(line: Data) -> str | None:
    """Return the price that a line of an invoice has sold."""
    pricing = line["pricing"] or {}
    return id_of((pricing.get("price_details") or {}).get("price"))


def quantity_of(item: Data) -> int:
    """Return how many of a price an item is; what is not counted is one."""
    quantity = item.get("quantity")
    return 1 if quantity is None else int(quantity)


def method_words(found: Any) -> str:
    """Return what money is taken by, in words such as "Visa 4242"; nothing if it is not told."""
    if not isinstance(found, Mapping):
        return ""
    card = found.get("card") or {}
    if card.get("last4"):
        return f"{str(card['brand']).title()} {card['last4']}"
    return str(found.get("type") or "").replace("_", " ").title()


def method_ref(found: Any) -> str:
    """Return Stripe's name of the card itself, else of the way to pay that was kept."""
    if not isinstance(found, Mapping):
        return ""
    return str((found.get("card") or {}).get("fingerprint") or found.get("id") or "")


def _digits(code: str) -> int:
    """Return how many digits a currency has; those that we don't list have two at Stripe."""
    return MINOR_DIGITS.get(code, 2)
