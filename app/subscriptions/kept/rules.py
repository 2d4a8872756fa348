"""Subscriptions that we keep: their states, periods, sums, tries and reminders; pure."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, Self

from app.errors import Conflict, InvalidInput
from app.money import Money
from app.subscriptions.periods import Period
from app.subscriptions.terms import Choice

# So long before a period its invoice is opened, and never before half of the one before is over.
LEAD = timedelta(days=7)
# A first invoice, or that of a change, waits so long for its money.
PATIENCE = timedelta(days=1)
# So long before its end somebody is told that a trial ends, or when half of it is over.
TRIAL_NOTICE = timedelta(days=3)
# When the money of an overdue invoice is asked for, counted from the day on which it is due.
TRIES = tuple(timedelta(days=days) for days in (0, 1, 3, 7))
# What was shown to somebody may be agreed to for so long.
PREVIEW_LIFE = timedelta(minutes=15)
# What is left of a period so shortly before its end costs next to nothing, and waits for the next.
# Longer than a preview holds, so that none is agreed to after the end.
LAST_MOMENTS = timedelta(hours=1)
MAX_ADDONS = 100
_SECOND = timedelta(seconds=1)
_WIDE = Context(prec=60)
# Digits of a moment in seconds.
_STAMP = 10


class Event(StrEnum):
    """What can happen to a subscription that we keep."""

    PAID = "paid"
    UNPAID = "its time is over and nothing came"
    GIVEN_UP = "nobody pays"
    OVER = "its last period is over"
    CANCELED = "ended at once"
    REVIVED = "paid after its end"


# State -> what happens -> the state that follows. What is missing can't happen.
STATE_TABLE: Mapping[str, Mapping[Event, str]] = {
    "incomplete": {Event.PAID: "active", Event.GIVEN_UP: "ended", Event.CANCELED: "ended"},
    "trialing": {
        Event.PAID: "active",
        Event.UNPAID: "past_due",
        Event.GIVEN_UP: "ended",
        Event.OVER: "ended",
        Event.CANCELED: "ended",
    },
    "active": {
        Event.PAID: "active",
        Event.UNPAID: "past_due",
        Event.OVER: "ended",
        Event.CANCELED: "ended",
    },
    "past_due": {Event.PAID: "active", Event.GIVEN_UP: "ended", Event.CANCELED: "ended"},
    "ended": {Event.REVIVED: "active"},
}


def next_state(state: str, event: Event) -> str:
    """Return the state that follows; raise Conflict if this can't happen."""
    if event not in STATE_TABLE[state]:
        raise Conflict("subscription_moved")
    return STATE_TABLE[state][event]


class InvoiceKind(StrEnum):
    """What an invoice of a subscription is for: one of its periods, or a change within one."""

    PERIOD = "period"
    CHANGE = "change"


_KEY = re.compile(r"kept:(\d+):(period|change):(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an invoice was made: the period, and which of several tries to ask for it."""

    kept_id: int
    kind: InvoiceKind
    number: int
    revision: int

    @property
    def key(self) -> str:
        """Return the key of the invoice: the same reason never makes a second one."""
        return f"kept:{self.kept_id}:{self.kind}:{self.number}.{self.revision}"

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Read the key of an invoice; None for one that has another reason."""
        found = _KEY.fullmatch(key)
        if found is None:
            return None
        kept_id, kind, number, revision = found.groups()
        return cls(int(kept_id), InvoiceKind(kind), int(number), int(revision))


@dataclass(frozen=True, slots=True)
class Item:
    """A price and how often it is had: `price` is for one of them and a whole period."""

    price_id: int
    plan_code: str
    name: str
    is_addon: bool
    quantity: int
    price: Money

    @property
    def total(self) -> Money:
        return self.price * self.quantity


def total_of(items: Iterable[Item], currency: str) -> Money:
    """Return what a whole period costs."""
    return sum((item.total for item in items), Money(Decimal(0), currency))


def as_counts(items: Iterable[Item]) -> dict[int, int]:
    """Return how often each price is had, to compare two baskets."""
    return {item.price_id: item.quantity for item in items if item.quantity}


def check_choice(choice: Choice) -> None:
    """Raise InvalidInput unless something is chosen, and of nothing too much."""
    if choice.plan is None and not choice.addons:
        raise InvalidInput("nothing_chosen", field="plan")
    for count in choice.addons.values():
        if not 1 <= count <= MAX_ADDONS:
            raise InvalidInput("bad_addon_count", field="addons", maximum=MAX_ADDONS)


@dataclass(frozen=True, slots=True)
class Course:
    """How the periods of a subscription lie: the one after `anchor_number` begins at `anchor`."""

    period: Period
    anchor: datetime
    anchor_number: int

    def start(self, number: int) -> datetime:
        """Return when a period begins."""
        if self.period.is_endless:
            return self.anchor
        return self.period.after(self.anchor, number - self.anchor_number - 1)

    def end(self, number: int) -> datetime | None:
        """Return when a period ends; None: never."""
        if self.period.is_endless:
            return None
        return self.period.after(self.anchor, number - self.anchor_number)

    def rests(self, paid: int, now: datetime) -> tuple[tuple[int, Fraction], ...]:
        """Return which periods are paid for and what share of each is not used up, by the second.

        `paid` is the number of the last paid one; the one before may run still.
        """
        if paid <= self.anchor_number or self.period.is_endless:
            return ()
        for number in range(self.anchor_number + 1, paid + 1):
            start, end = self.start(number), self.start(number + 1)
            if now < end:
                rest = part_of(end - max(now, start), end - start)
                whole = ((later, Fraction(1)) for later in range(number + 1, paid + 1))
                return ((number, rest), *whole)
        return ()


def part_of(span: timedelta, whole: timedelta) -> Fraction:
    """Return what part of a time another one is, by the second."""
    return Fraction(span // _SECOND, whole // _SECOND)


def share(price: Money, part: Fraction) -> Money:
    """Return a part of a price, rounded once: the only place where prices are cut."""
    exact = Fraction(price.amount) * part
    quotient = _WIDE.divide(Decimal(exact.numerator), Decimal(exact.denominator))
    return Money(quotient, price.currency).chargeable()


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """A line of a change: what is left of an item, as a charge or, of an old one, as a credit."""

    item: Item
    money: Money
    is_credit: bool


def unused_of(item: Item, part: Fraction, taken_off: Mapping[int, Fraction]) -> Fraction:
    """Return what the unused part of an item is worth, less what a code took off it."""
    return Fraction(item.total.amount) * part * (1 - taken_off.get(item.price_id, Fraction(0)))


def change_lines(
    old: Sequence[Item],
    new: Sequence[Item],
    part: Fraction,
    taken_off: Mapping[int, Fraction] | None = None,
    *,
    paid: Fraction = Fraction(1),
    for_life: bool = False,
) -> tuple[ChangeLine, ...]:
    """Return what a change costs: the unused part of the old against that of the new.

    What stays as it is makes no line, except `for_life`, where all that is new is paid in full.
    Credits never come to more than the charges: nothing is paid out. `taken_off` says by price
    which share of it a code took off, which nobody has paid and nobody gets back; `paid` is the
    share of the rest that was paid and not given back. What is gone for nothing makes a line too:
    it tells that it holds no longer.
    """
    spared = taken_off or {}
    same = set() if for_life else as_counts(old).items() & as_counts(new).items()
    charges = tuple(
        ChangeLine(item, share(item.total, Fraction(1) if for_life else part), False)
        for item in new
        if (item.price_id, item.quantity) not in same
    )
    left = sum(line.money.amount for line in charges)
    credits = []
    for item in old:
        unused = share(item.total, part * (1 - spared.get(item.price_id, Fraction(0))) * paid)
        if (item.price_id, item.quantity) not in same and part:
            taken = Money(min(unused.amount, Decimal(left)), unused.currency)
            credits.append(ChangeLine(item, -taken, True))
            left -= taken.amount
    return (*credits, *charges)


def lead_of(length: timedelta) -> timedelta:
    """Return how long before the end of a period of this length the next one is asked for."""
    return min(LEAD, length / 2)


def next_try(due_at: datetime, now: datetime, ends: datetime | None) -> datetime | None:
    """Return when the money of an invoice is asked for again; None: not any more.

    What is unpaid ends at a moment (`ends`): nobody asks for it then.
    """
    tries = (due_at + pause for pause in TRIES)
    return next((at for at in tries if at > now and (ends is None or at < ends)), None)


class Reminder(StrEnum):
    """A mail about an invoice that is due, and when it is sent."""

    WEEK = "before_7"
    DAYS = "before_3"
    DAY = "before_1"
    DUE = "due"
    OVERDUE = "after_3"


WHEN: Mapping[Reminder, timedelta] = {
    Reminder.WEEK: timedelta(days=-7),
    Reminder.DAYS: timedelta(days=-3),
    Reminder.DAY: timedelta(days=-1),
    Reminder.DUE: timedelta(0),
    Reminder.OVERDUE: timedelta(days=3),
}


def reminders_passed(due_at: datetime, now: datetime) -> tuple[Reminder, ...]:
    """Return the reminders whose time has come, the newest last: older ones need no mail now."""
    return tuple(kind for kind, shift in WHEN.items() if now >= due_at + shift)


def is_wanted(kind: Reminder, lead: timedelta, grace: timedelta) -> bool:
    """Tell whether a reminder makes sense of what is asked for so long before it is due.

    It goes on for the grace after that day.
    """
    return -lead <= WHEN[kind] < max(grace, timedelta.resolution)


def token_of(at: datetime, shown: Mapping[str, Any]) -> str:
    """Return what stands for a preview that was made at a moment (whole seconds)."""
    text = json.dumps(shown, sort_keys=True, default=str)
    return f"{int(at.timestamp())}.{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def moment_of(token: str, now: datetime) -> datetime:
    """Return when a preview was made; raise Conflict for one that is too old or none of ours."""
    stamp = token.partition(".")[0]
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= _STAMP):
        raise Conflict("preview_changed")
    at = datetime.fromtimestamp(int(stamp), UTC)
    if not at <= now <= at + PREVIEW_LIFE:
        raise Conflict("preview_changed")
    return at
