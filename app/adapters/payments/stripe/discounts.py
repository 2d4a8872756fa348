"""Discounts of subscriptions and invoices at Stripe, as pictures of our own; pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.adapters.payments.port import RailDiscount
from app.adapters.payments.stripe.values import Data, money_of, optional_time, word_in

# What has to be told in full for the pictures here.
EXPAND = ("discounts.source.coupon", "discounts.promotion_code")
_ONCE = "once"


def picture(found: Data, tag: str) -> tuple[RailDiscount, ...]:
    """Picture what is taken off a subscription."""
    return tuple(_discount(one, coupon, tag) for one, coupon in _told(found))


def names(found: Data, tag: str) -> tuple[str, ...]:
    """Return what the discounts of an invoice are called, each once."""
    return tuple(dict.fromkeys(_name(one, coupon, tag) for one, coupon in _told(found)))


def discount_params(found: Data, without: tuple[str, ...]) -> list[dict[str, str]] | str:
    """Return the discounts that a subscription keeps; an empty word takes all of them away."""
    kept = [
        {"discount": str(one["id"])}
        for one in found["discounts"] or ()
        if one["promotion_code"] not in without
    ]
    return kept or ""


def _told(found: Data) -> list[tuple[Data, Data]]:
    """Return discounts with their coupons; what is told by its name alone says nothing."""
    pairs = []
    for one in found.get("discounts") or ():
        coupon = (one.get("source") or {}).get("coupon") if isinstance(one, Mapping) else None
        if isinstance(coupon, Mapping):
            pairs.append((one, coupon))
    return pairs


def _discount(found: Data, coupon: Data, tag: str) -> RailDiscount:
    percent, amount = coupon["percent_off"], coupon["amount_off"]
    return RailDiscount(
        name=_name(found, coupon, tag),
        percent=Decimal(str(percent)) if percent is not None else None,
        money=money_of(amount, coupon["currency"]) if amount is not None else None,
        until=optional_time(found["end"]),
        is_once=coupon["duration"] == _ONCE,
    )


def _name(found: Data, coupon: Data, tag: str) -> str:
    """Return our code where it is one of ours, else what customers of Stripe read."""
    code: Any = found["promotion_code"]
    typed = code["code"] if isinstance(code, Mapping) else ""
    told = word_in(coupon.get("metadata"), tag, "code") or typed or coupon["name"] or coupon["id"]
    return str(told).replace("\x00", "").strip()
