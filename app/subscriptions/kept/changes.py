"""What another choice means for a subscription: when it holds, and what it costs at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from app.errors import Conflict
from app.money import Money
from app.subscriptions.kept import baskets, discounts, rules, store
from app.subscriptions.kept.baskets import Basket
from app.subscriptions.kept.rules import ChangeLine
from app.subscriptions.kept.worth import share_paid
from app.subscriptions.models import KeptState, KeptSubscription
from app.subscriptions.periods import Period
from app.subscriptions.terms import Choice


class ChangeKind(StrEnum):
    """NOW is paid for and holds then; LATER waits for the next period; BACK drops what waited."""

    NOW = "now"
    LATER = "later"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Change:
    """What a choice means."""

    kind: ChangeKind
    basket: Basket
    lines: tuple[ChangeLine, ...]
    due: Money
    takes_effect: datetime


def plan_change(kept: KeptSubscription, choice: Choice, at: datetime) -> Change:
    """Say what a choice means at a moment; raise Conflict where nothing can be changed.

    Dearer for the same period, or for life: at once, for what is left of the period. All else
    waits for the next period, and nothing is paid out; so does what is left too little of to cost
    anything, which would begin the larger plan, and its days of grace, for nothing.
    """
    _check(kept, at)
    present = baskets.present_of(kept)
    known = present.items if choice.period == present.period else ()
    # Moments of previews are whole seconds: a price of this very second counts.
    wanted = baskets.choose(choice, kept.currency, at + timedelta(seconds=1), known)
    nothing = Money(Decimal(0), kept.currency)
    if baskets.as_follows(kept, wanted).same_as(baskets.next_of(kept)):
        raise Conflict("nothing_changes")
    if wanted.same_as(present):
        return Change(ChangeKind.BACK, wanted, (), nothing, at)
    if not _is_at_once(kept, present, wanted, at):
        return _later(kept, wanted)
    rests = store.rests_of(kept, at)
    part = sum((rest for _number, rest in rests), Fraction(0))
    shares = discounts.shares_off(kept, rests)
    for_life = wanted.period.is_endless
    worth = sum((rules.unused_of(item, part, shares) for item in present.items), Fraction(0))
    lines = rules.change_lines(
        present.items,
        wanted.items,
        part,
        shares,
        paid=share_paid(kept, worth, at),
        for_life=for_life,
    )
    due = sum((line.money for line in lines), nothing)
    if not due.amount and not for_life:
        return _later(kept, wanted)
    return Change(ChangeKind.NOW, wanted, lines, due, at)


def _later(kept: KeptSubscription, wanted: Basket) -> Change:
    if kept.period_end is None:
        raise Conflict("subscription_for_life")
    nothing = Money(Decimal(0), kept.currency)
    return Change(ChangeKind.LATER, wanted, (), nothing, kept.period_end)


def _check(kept: KeptSubscription, at: datetime) -> None:
    is_over = kept.period_end is not None and kept.period_end <= at
    if kept.state in {KeptState.INCOMPLETE, KeptState.PAST_DUE} or is_over:
        raise Conflict("pay_first")
    if kept.cancel_at_period_end:
        raise Conflict("subscription_ends")
    if Period.parse(kept.period).is_endless:
        raise Conflict("subscription_for_life")
    if baskets.next_is_paid(kept):
        raise Conflict("change_waits")


def _is_at_once(kept: KeptSubscription, present: Basket, wanted: Basket, at: datetime) -> bool:
    if wanted.period.is_endless:
        return True
    if kept.period_end is not None and kept.period_end - at < rules.LAST_MOMENTS:
        return False
    is_trial = kept.state == KeptState.TRIALING
    dearer = wanted.total.amount > present.total.amount
    return dearer and wanted.period == present.period and not is_trial
