"""Prices that are sold so many times and no more: who has a seat, and taking one.

A seat is held by an invoice that was paid or may still be, by what a running subscription consists
of or will from its next period on (a trial too), by the open page of a provider, and by a change
that was ordered there and is not known to be done, or paid.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from sqlalchemy import (
    ColumnElement,
    Integer,
    case,
    cast,
    column,
    func,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased
from sqlalchemy.sql import Select

from app.db import db, utc_now
from app.errors import Conflict
from app.payments.models import Checkout, Invoice, InvoiceLine
from app.payments.rules import CheckoutState, InvoiceState, Purpose
from app.subscriptions import queries
from app.subscriptions.kept.rules import Item, as_counts
from app.subscriptions.models import (
    KeptState,
    KeptSubscription,
    PlanPrice,
    RailPrice,
    RailSubscription,
    SubscriptionItem,
)
from app.subscriptions.periods import Period
from app.subscriptions.provider import store
from app.subscriptions.provider.models import CommandState, RailCommand

# An invoice that may still be paid, or was, has its seat.
_SEATED = frozenset({InvoiceState.OPEN, InvoiceState.UNCOLLECTIBLE, InvoiceState.PAID})

# How holders are called whose subscription a provider keeps.
_THERE = "rail:"
# An order whose answer was lost is heard of within so long, or it has come to nothing.
_ORDER_HOLDS = timedelta(days=1)

# Who has seats, and how many: one row for each reason.
Holders = Select[str, int]


def left(price: PlanPrice, *beside: str) -> int | None:
    """Return how often a price may still be sold; None: as often as somebody asks.

    `beside` are holders (`kept:12`, `page:7`) whose own seats are not counted.
    """
    return max(price.seats - _taken(price, *beside), 0) if price.seats is not None else None


def is_oversold(price: PlanPrice) -> bool:
    """Tell whether more people have a price than there are seats: a provider asks nobody."""
    return price.seats is not None and _taken(price) > price.seats


def _taken(price: PlanPrice, *beside: str) -> int:
    reasons = union_all(
        _by_invoice(price),
        _by_items(price),
        _by_provider(price),
        _by_page(price),
        _by_order(price),
    )
    held = reasons.subquery()
    # One subscription has its seats once, however many reasons name them.
    most = func.max(held.c.quantity).label("quantity")
    each = select(most).where(held.c.holder.not_in(beside)).group_by(held.c.holder).subquery()
    return int(db.session.scalar(select(func.sum(each.c.quantity))) or 0)


def left_of_offer(plan: str, period: Period, currency: str = "USD") -> int | None:
    """Return how many seats are left at the price that holds now; None: without end."""
    price = queries.price_on_sale(plan, period, currency, utc_now())
    return left(price) if price is not None else None


def left_of_offers(currency: str = "USD") -> Mapping[tuple[str, Period], int]:
    """Return how many seats are left of what is sold so many times only, by plan and period."""
    limited = (
        select(PlanPrice.plan_code, PlanPrice.period)
        .where(
            PlanPrice.seats.is_not(None),
            PlanPrice.currency == currency,
            PlanPrice.valid_from <= utc_now(),
        )
        .distinct()
    )
    offers = [(plan, Period.parse(code)) for plan, code in db.session.execute(limited)]
    found = {offer: left_of_offer(*offer, currency) for offer in offers}
    return {offer: number for offer, number in found.items() if number is not None}


def check(items: Iterable[Item], *beside: str, had: Iterable[Item] = ()) -> None:
    """Make sure that all of these could be sold now, as `take` does, but lock nothing."""
    for item in _more_than(had, items):
        _refuse_sold_out(db.session.get_one(PlanPrice, item.price_id), item, *beside)


def take(items: Iterable[Item], *, holder: str = "", had: Iterable[Item] = ()) -> None:
    """Make sure that all of these may be sold; `had` is what the holder has of them already.

    The row of a limited price is locked until the commit, so of two buyers of the last seat the
    second one sees it gone. Raises Conflict.
    """
    for item in _more_than(had, items):
        limited = db.session.scalar(
            select(PlanPrice)
            .where(PlanPrice.id == item.price_id, PlanPrice.seats.is_not(None))
            .with_for_update()
        )
        if limited is not None:
            _refuse_sold_out(limited, item, holder)


def _more_than(had: Iterable[Item], items: Iterable[Item]) -> list[Item]:
    """Return what somebody would have more of, in an order in which rows are locked."""
    known = as_counts(had)
    more = [item for item in items if item.quantity > known.get(item.price_id, 0)]
    return sorted(more, key=lambda one: one.price_id)


def _refuse_sold_out(price: PlanPrice, item: Item, *beside: str) -> None:
    free = left(price, *beside)
    if free is not None and free < item.quantity:
        raise Conflict("sold_out", plan=item.name)


def page_of(user_id: int) -> str:
    """Return the holder of the seats of a person's open page at a provider; there is one page."""
    return f"page:{user_id}"


def kept_there(external_id: str) -> str:
    """Return the holder of the seats of a subscription that a provider keeps."""
    return f"{_THERE}{external_id}"


def _by_invoice(price: PlanPrice) -> Holders:
    key = case(
        (Invoice.kept_id.is_not(None), func.concat("kept:", Invoice.kept_id)),
        (Invoice.subscription_ref.is_not(None), func.concat(_THERE, Invoice.subscription_ref)),
        else_=func.concat("invoice:", Invoice.id),
    )
    return (
        select(key.label("holder"), InvoiceLine.quantity.label("quantity"))
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(
            InvoiceLine.price_id == price.id,
            InvoiceLine.amount >= 0,
            Invoice.state.in_(_SEATED),
        )
    )


def _by_items(price: PlanPrice) -> Holders:
    item, kept = SubscriptionItem, KeptSubscription
    return (
        select(func.concat("kept:", kept.id), _most(price))
        .join(kept, kept.id == item.kept_id)
        .where(kept.state != KeptState.ENDED.value, _is_for(price))
    )


def _by_provider(price: PlanPrice) -> Holders:
    item, there = SubscriptionItem, RailSubscription
    return (
        select(func.concat(_THERE, there.external_id), _most(price))
        .join(there, there.id == item.rail_subscription_id)
        .where(there.state.not_in(store.OVER), _is_for(price))
    )


def _by_page(price: PlanPrice) -> Holders:
    """Return the open pages of providers: pieces are pairs of a price's name and how often."""
    piece = func.jsonb_array_elements(Checkout.content["pieces"]).table_valued(
        column("value", JSONB), name="piece"
    )
    name = piece.c.value[0].astext
    return (
        select(func.concat("page:", Checkout.user_id), cast(piece.c.value[1].astext, Integer))
        .select_from(Checkout)
        .join(piece, true())
        .join(RailPrice, (RailPrice.rail == Checkout.rail) & (RailPrice.external_id == name))
        .where(
            Checkout.purpose == Purpose.SUBSCRIPTION.value,
            Checkout.state == CheckoutState.OPEN.value,
            RailPrice.price_id == price.id,
        )
    )


def _by_order(price: PlanPrice) -> Holders:
    """Return changes that wait to be carried out by a provider, and those that wait for money."""
    order, there = RailCommand, RailSubscription
    piece = func.jsonb_array_elements(order.params["pieces"]).table_valued(
        column("value", JSONB), name="piece"
    )
    name = piece.c.value[0].astext
    later = aliased(order)
    newest = select(func.max(later.id)).where(
        later.rail == order.rail, later.subscription_ref == order.subscription_ref
    )
    return (
        select(func.concat(_THERE, order.subscription_ref), cast(piece.c.value[1].astext, Integer))
        .select_from(order)
        .join(
            there,
            (there.rail == order.rail) & (there.external_id == order.subscription_ref),
        )
        .join(piece, true())
        .join(RailPrice, (RailPrice.rail == order.rail) & (RailPrice.external_id == name))
        .where(
            RailPrice.price_id == price.id,
            order.id == newest.scalar_subquery(),
            or_(
                (order.state == CommandState.WAITING.value)
                & (order.created_at > utc_now() - _ORDER_HOLDS),
                (order.state == CommandState.DONE.value) & there.has_pending_update,
            ),
        )
    )


def _is_for(price: PlanPrice) -> ColumnElement[bool]:
    item = SubscriptionItem
    return or_(item.price_id == price.id, item.next_price_id == price.id)


def _most(price: PlanPrice) -> ColumnElement[int]:
    """Return how many of a price an item is, or is to be from the next period on."""
    item = SubscriptionItem
    follows = func.coalesce(item.next_price_id, item.price_id) == price.id
    return func.greatest(
        case((item.price_id == price.id, item.quantity), else_=0),
        case((follows, func.coalesce(item.next_quantity, 0)), else_=0),
    )
