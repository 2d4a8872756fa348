"""What happened to subscriptions, in words: what changed from what to what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.formatting.filters import money, time
from app.payments.texts import rail_label
from app.subscriptions.history import Change
from app.subscriptions.periods import Period
from app.subscriptions.retelling import NOTHING, Picture, change_words, contents
from app.subscriptions.rights import STAFF
from app.subscriptions.wording import pay_period, sold_label

FIELD_LABELS: Mapping[str, LazyString] = {
    "plan": _l("Plan"),
    "addons": _l("Add-ons"),
    "period": _l("Period"),
    "price": _l("Price"),
    "state": _l("State"),
    "rail": _l("Way to pay"),
    "ends_at": _l("Ends"),
    "period_end": _l("End of the period"),
    "trial_end": _l("End of the trial"),
    "cancels": _l("Ends with the period"),
    "next": _l("From the next period on"),
    "cancel_at": _l("Cancelled for"),
    "paused": _l("Charges paused"),
    "waits_for_payment": _l("A change waits for its payment"),
}
STATE_LABELS: Mapping[str, LazyString] = {
    "incomplete": _l("Waits for the first payment"),
    "incomplete_expired": _l("Never paid"),
    "trialing": _l("On trial"),
    "active": _l("Active"),
    "past_due": _l("Overdue"),
    "unpaid": _l("Not paid"),
    "paused": _l("Paused"),
    "canceled": _l("Ended"),
    "ended": _l("Ended"),
    "waiting": _l("Waits while more is paid for"),
    "replaced": _l("Replaced by another plan"),
}
# Said with the price.
WITH_PRICE = "currency"


@dataclass(frozen=True, slots=True)
class Moved:
    """One value that changed."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Told:
    """One line of the history."""

    at: datetime
    what: str
    keeper: str
    moved: tuple[Moved, ...]
    actor_id: int | None


def told(change: Change) -> Told:
    """Put a change into words; its sentence, and the values that moved."""
    before, after = change.before or {}, change.after or {}
    names = [
        name
        for name in {**before, **after}
        if name != WITH_PRICE and before.get(name) != after.get(name)
    ]
    return Told(
        at=change.at,
        what=change_words(change),
        keeper=keeper(change.source),
        moved=tuple(
            Moved(
                str(FIELD_LABELS.get(name, name)),
                _value(name, before),
                _value(name, after),
            )
            for name in names
        ),
        actor_id=change.actor_id,
    )


def keeper(source: str) -> str:
    """Say who keeps a subscription: staff, we, or a provider under its own number."""
    rail, _, name = source.partition(":")
    if rail == STAFF:
        return str(gettext("Staff"))
    if rail == "kept":
        return str(gettext("Subscription %(id)s", id=name))
    return f"{rail_label(rail)} {name}"


def _value(name: str, picture: Picture) -> str:
    value = picture.get(name)
    if value is None or value in ("", {}):
        return NOTHING
    write = _WRITERS.get(name)
    if write is not None:
        return write(value, picture)
    if isinstance(value, bool):
        return str(gettext("yes") if value else gettext("no"))
    try:
        return time(datetime.fromisoformat(value))
    except (ValueError, TypeError):
        return str(value)


def _what_follows(value: Any, _picture: Picture) -> str:
    """Name what holds from the next period on, with its period and price."""
    parts = (_value(name, value) for name in ("period", "price") if value.get(name))
    return ", ".join((contents(value), *parts))


_WRITERS: Mapping[str, Callable[[Any, Picture], str]] = {
    "state": lambda value, _picture: str(STATE_LABELS.get(value, value)),
    "plan": lambda value, _picture: sold_label(value),
    "addons": lambda value, _picture: contents({"addons": value}),
    "period": lambda value, _picture: pay_period(Period.parse(value)),
    "price": lambda value, picture: money(Decimal(value), picture["currency"]),
    "rail": lambda value, _picture: rail_label(value),
    "next": _what_follows,
}
