"""Callbacks of Stripe: whether they are signed, and at which objects they hint; pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.adapters.payments import signing
from app.adapters.payments.port import NONSENSE, BadCallback, Incoming, Ref
from app.adapters.payments.stripe.values import Data, id_of, time_of

HEADER = "Stripe-Signature"
_LONGEST_WORD = 100
# What Stripe calls an object -> what we call it.
KINDS: Mapping[str, str] = {
    "checkout.session": "checkout",
    "payment_intent": "payment",
    "charge": "payment",
    "refund": "refund",
    "dispute": "dispute",
    "radar.early_fraud_warning": "fraud_warning",
    "invoice": "invoice",
    "subscription": "subscription",
    "customer": "customer",
}


def read(headers: Mapping[str, str], raw: bytes, secrets: Sequence[str], now: datetime) -> Incoming:
    """Read a callback; raise BadCallback unless one of the secrets has just signed these bytes."""
    signing.check(headers.get(HEADER, ""), raw, secrets, now)
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadCallback("unreadable") from None
    return told(event)


def told(event: Any) -> Incoming:
    """Read an event that Stripe itself has told; raise BadCallback if it can't be read."""
    try:
        return _incoming(event)
    except NONSENSE:
        raise BadCallback("unreadable") from None


def refs_of(event: Data) -> tuple[Ref, ...]:
    """Return the objects that an event hints at; how they are is never taken from it.

    What has no id yet (the next invoice) and what we do not keep (prices) is no hint.
    """
    thing = event["data"]["object"]
    kind, found = KINDS.get(str(thing.get("object"))), id_of(thing)
    refs = [Ref(kind, _word(found))] if kind and found else []
    refs += [Ref(name, _word(other)) for name, other in _others(thing) if other]
    return tuple(dict.fromkeys(refs))


def _others(thing: Data) -> list[tuple[str, str | None]]:
    """Return what else may have moved with an object; hints too, each is fetched."""
    match thing.get("object"):
        case "invoice":
            parent = thing.get("parent") or {}
            details = parent.get("subscription_details") or {}
            return [("subscription", id_of(details.get("subscription")))]
        case "invoice_payment":
            return [("invoice", id_of(thing.get("invoice")))]
        case "checkout.session":
            return [
                ("payment", id_of(thing.get("payment_intent"))),
                ("subscription", id_of(thing.get("subscription"))),
            ]
        case "payment_method":
            # Which card is shown is a matter of the customer, who may keep several.
            return [("customer", id_of(thing.get("customer")))]
        case _:
            return []


def _group_of(thing: Data) -> str:
    """Return whose events are applied one after another: a customer's, as far as it is told."""
    own = id_of(thing) if thing.get("object") == "customer" else None
    for found in (own, *(id_of(thing.get(name)) for name in ("customer", "payment_intent"))):
        if found:
            return _word(found)
    return _word(id_of(thing.get("charge")) or id_of(thing) or "unknown")


def _incoming(event: Any) -> Incoming:
    if event["object"] != "event":
        # Thin events name their object elsewhere: an endpoint of another kind sends them.
        raise BadCallback("not_an_event")
    if not isinstance(event["livemode"], bool):
        raise BadCallback("unreadable")
    return Incoming(
        external_id=_word(event["id"]),
        type=_word(event["type"]),
        happened_at=time_of(int(event["created"])),
        livemode=event["livemode"],
        api_version=_word(event.get("api_version") or "unknown"),
        group=_group_of(event["data"]["object"]),
        refs=refs_of(event),
    )


def _word(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_WORD or not value.isprintable():
        raise BadCallback("unreadable")
    return value
