"""What a subscription consists of: its items with their prices, and the lines of its invoices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.db import db
from app.errors import InvalidInput
from app.formatting.filters import day
from app.money import Money
from app.payments.rules import Line, LineKind
from app.subscriptions import queries
from app.subscriptions.kept import rules
from app.subscriptions.kept.rules import ChangeLine, Item
from app.subscriptions.models import KeptSubscription, Plan, PlanKind, PlanPrice, SubscriptionItem
from app.subscriptions.periods import LIFETIME, Period
from app.subscriptions.rules import FREE_PLAN
from app.subscriptions.terms import Choice, Following
from app.subscriptions.texts import period_words, plan_label


@dataclass(frozen=True, slots=True)
class Basket:
    """Items that are paid for together, for one period."""

    items: tuple[Item, ...]
    period: Period
    currency: str

    @property
    def total(self) -> Money:
        return rules.total_of(self.items, self.currency)

    @property
    def plan(self) -> Item | None:
        return next((item for item in self.items if not item.is_addon), None)

    @property
    def addons(self) -> dict[str, int]:
        """Return the add-ons by code, and how many of each."""
        return {item.plan_code: item.quantity for item in self.items if item.is_addon}

    @property
    def names(self) -> str:
        """Return what it is, in the reader's language."""
        return ", ".join(_name(item) for item in self.items)

    def same_as(self, other: "Basket") -> bool:
        """Tell whether another one is the same to the one who pays."""
        return (self.period, self.currency, rules.as_counts(self.items)) == (
            other.period,
            other.currency,
            rules.as_counts(other.items),
        )

    def is_like(self, other: "Basket") -> bool:
        """Tell whether another one is the same but for its prices."""
        ours, theirs = self.as_dict(), other.as_dict()
        return all(ours[what] == theirs[what] for what in ("plan", "addons", "period"))

    def followed_by(self, other: "Basket", at: datetime) -> Following | None:
        """Return what this becomes at a moment; None where only its price is another one."""
        return None if self.is_like(other) else Following(other.names, other.period, at)

    def as_dict(self) -> dict[str, Any]:
        """Return this as plain values, for the history."""
        plan = self.plan
        return {
            "plan": plan.plan_code if plan else None,
            "addons": self.addons,
            "period": self.period.code,
            "price": str(self.total.amount),
            "currency": self.currency,
        }


def choose(choice: Choice, currency: str, now: datetime, present: Sequence[Item] = ()) -> Basket:
    """Return what a choice means at the prices of a moment; what is had keeps its own price.

    Raises InvalidInput for what is not sold.
    """
    rules.check_choice(choice)
    wanted = [(choice.plan, 1, False)] if choice.plan is not None else []
    wanted += [(code, quantity, True) for code, quantity in sorted(choice.addons.items())]
    items = []
    for code, quantity, is_addon in wanted:
        known = next((item for item in present if item.plan_code == code), None)
        price_id = known.price_id if known else _price_on_sale(code, choice.period, currency, now)
        if price_id is None:
            raise _not_sold(code, is_addon=is_addon)
        item = item_of(price_id, quantity)
        if item.is_addon != is_addon:
            raise InvalidInput("unknown_plan", field="plan")
        items.append(item)
    return Basket(tuple(items), choice.period, currency)


def _price_on_sale(code: str, period: Period, currency: str, now: datetime) -> int | None:
    price = queries.price_on_sale(code, period, currency, now) if "\x00" not in code else None
    return price.id if price is not None and code != FREE_PLAN else None


def _not_sold(code: str, *, is_addon: bool) -> InvalidInput:
    if not is_addon:
        return InvalidInput("not_sold", field="plan")
    known = None if "\x00" in code else db.session.get(Plan, code)
    name = plan_label(known.name if known else code)
    return InvalidInput("addon_not_sold", field="addons", name=name)


def item_of(price_id: int, quantity: int) -> Item:
    """Return so many of a price."""
    price, plan = db.session.execute(
        select(PlanPrice, Plan)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(PlanPrice.id == price_id)
    ).one()
    return Item(
        price_id=price.id,
        plan_code=plan.code,
        name=plan.name,
        is_addon=plan.kind == PlanKind.ADDON,
        quantity=quantity,
        price=Money(price.amount, price.currency),
    )


def present_of(kept: KeptSubscription) -> Basket:
    """Return what a subscription consists of now."""
    items = tuple(item_of(row.price_id, row.quantity) for row in kept.items if row.quantity)
    return Basket(_sorted(items), Period.parse(kept.period), kept.currency)


def next_of(kept: KeptSubscription) -> Basket:
    """Return what the next period is asked for: what is to hold from then on, else the present."""
    if kept.change_at is None:
        return as_follows(kept, present_of(kept))
    rows = [row for row in kept.items if row.next_quantity]
    items = tuple(
        item_of(row.next_price_id or row.price_id, row.next_quantity or 0) for row in rows
    )
    return as_follows(kept, Basket(_sorted(items), _period_of(items), kept.currency))


def as_follows(kept: KeptSubscription, basket: Basket) -> Basket:
    """Return a basket as the next period asks for it: who came back keeps no price of before."""
    return basket if kept.prices_from is None else priced_at(basket, kept.prices_from)


def priced_at(basket: Basket, at: datetime) -> Basket:
    """Return a basket at the prices of a moment."""
    items = tuple(_of_today(item, basket, at) for item in basket.items)
    return Basket(items, basket.period, basket.currency)


def _of_today(item: Item, basket: Basket, at: datetime) -> Item:
    """Return an item at the price of a moment, unless its own is newer or nothing else is sold."""
    # A price with seats is an offer for those who order it: nobody is led to it by coming back.
    price = queries.price_on_sale(
        item.plan_code, basket.period, basket.currency, at, with_seats=False
    )
    own = db.session.get_one(PlanPrice, item.price_id)
    if price is None or price.valid_from <= own.valid_from:
        return item
    return item_of(price.id, item.quantity)


def price_anew(kept: KeptSubscription, now: datetime) -> None:
    """Let the next period cost what is asked at a moment; the present one is paid as it is."""
    kept.prices_from = now
    if next_of(kept).same_as(present_of(kept)):
        kept.prices_from = None


def fix_next(kept: KeptSubscription) -> None:
    """Write down at which prices the next period was paid, where they are not the present ones."""
    at = kept.change_at or kept.period_end
    if kept.prices_from is not None and at is not None:
        put_next(kept, next_of(kept), at)
        kept.prices_from = None


def put(kept: KeptSubscription, basket: Basket) -> None:
    """Make a subscription consist of this from now on; nothing waits for its next period then."""
    kept.items = [
        SubscriptionItem(price_id=item.price_id, quantity=item.quantity) for item in basket.items
    ]
    kept.period, kept.change_at = basket.period.code, None
    if basket.period.is_endless:
        kept.prices_from = None
    db.session.flush()


def put_next(kept: KeptSubscription, basket: Basket, at: datetime) -> None:
    """Let a subscription consist of this from a moment on."""
    kept.items = [row for row in kept.items if row.quantity]
    rows = {item_of(row.price_id, 1).plan_code: row for row in kept.items}
    for row in kept.items:
        row.next_price_id, row.next_quantity = None, 0
    for item in basket.items:
        if item.plan_code not in rows:
            rows[item.plan_code] = SubscriptionItem(price_id=item.price_id, quantity=0)
            kept.items.append(rows[item.plan_code])
        row = rows[item.plan_code]
        row.next_price_id, row.next_quantity = item.price_id, item.quantity
    kept.change_at = at
    db.session.flush()


def next_is_paid(kept: KeptSubscription) -> bool:
    """Tell whether the period from which something else is to hold is paid for already."""
    return (
        kept.change_at is not None
        and kept.period_end is not None
        and kept.period_end > kept.change_at
    )


def forget_next(kept: KeptSubscription) -> None:
    """Let the next period be as the present one, unless it is paid for as something else."""
    if next_is_paid(kept):
        return
    kept.items = [row for row in kept.items if row.quantity]
    for row in kept.items:
        row.next_price_id = row.next_quantity = None
    kept.change_at = None
    db.session.flush()


def begin_next(kept: KeptSubscription) -> None:
    """Make what waited for the next period the present."""
    put(kept, next_of(kept))
    kept.prices_from = None


def _period_of(items: Iterable[Item]) -> Period:
    ids = [item.price_id for item in items]
    codes = db.session.scalars(select(PlanPrice.period).where(PlanPrice.id.in_(ids)).distinct())
    return Period.parse(codes.one())


def _sorted(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: (item.is_addon, item.plan_code)))


def period_lines(basket: Basket, start: datetime, end: datetime | None) -> tuple[Line, ...]:
    """Return the lines of an invoice for one period, in the reader's language."""
    return tuple(
        Line(
            kind=LineKind.BOT if item.is_addon else LineKind.PLAN,
            description=words_of_period(item.name, item.quantity, basket.period),
            amount=item.total,
            quantity=item.quantity,
            subject=_subject(item),
            period_start=start,
            period_end=end,
            price_id=item.price_id,
        )
        for item in basket.items
    )


def lines_of_change(
    lines: Iterable[ChangeLine], start: datetime, end: datetime | None
) -> tuple[Line, ...]:
    """Return the lines of an invoice for a change within a period, in the reader's language."""
    return tuple(_line_of_change(line, start, end) for line in lines)


def _line_of_change(line: ChangeLine, start: datetime, end: datetime | None) -> Line:
    item = line.item
    if line.is_credit or end is not None:
        text = words_of_rest(item.name, item.quantity, end, is_credit=line.is_credit)
    else:
        text = words_of_period(item.name, item.quantity, LIFETIME)
    return Line(
        kind=LineKind.BOT if line.item.is_addon else LineKind.PRORATION,
        description=text,
        amount=line.money,
        quantity=line.item.quantity,
        subject=_subject(line.item),
        period_start=start,
        period_end=end,
        price_id=line.item.price_id,
    )


def words_of_period(name: str, quantity: int, period: Period) -> str:
    """Say what is sold for a whole period, in the reader's language."""
    what = _counted(name, quantity)
    return str(_("%(what)s, %(period)s", what=what, period=period_words(period)))


def words_of_rest(name: str, quantity: int, end: datetime | None, *, is_credit: bool) -> str:
    """Say what is charged for the rest of a period, or given back, in the reader's language."""
    what = _counted(name, quantity)
    if is_credit or end is None:
        return str(_("Unused part of %(what)s", what=what))
    return str(_("%(what)s until %(day)s", what=what, day=day(end)))


def _name(item: Item) -> str:
    return _counted(item.name, item.quantity)


def _counted(name: str, quantity: int) -> str:
    label = plan_label(name)
    return f"{label} × {quantity}" if quantity > 1 else label


def _subject(item: Item) -> str:
    return f"{PlanKind.ADDON if item.is_addon else PlanKind.PLAN}:{item.plan_code}"
