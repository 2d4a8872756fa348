"""What the promotion code of a subscription takes off its periods, and off what it is worth."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from sqlalchemy import select

from app.db import db
from app.money import Money
from app.payments.models import Invoice
from app.payments.rules import InvoiceState
from app.subscriptions.kept import baskets, store
from app.subscriptions.kept.baskets import Basket
from app.subscriptions.kept.rules import InvoiceKind, Reason
from app.subscriptions.models import KeptState, KeptSubscription
from app.subscriptions.promotions import queries as promotions
from app.subscriptions.terms import Lowered


def of_next(kept: KeptSubscription, basket: Basket) -> tuple[Money | None, str]:
    """Return what is taken off the invoice for the next period, if anything is, and its name."""
    plan = basket.plan
    code = plan.plan_code if plan else None
    found = promotions.discount_at(store.source_of(kept), kept.number + 1, code, basket.period.code)
    return (found.off(basket.total), found.code) if found is not None else (None, "")


def lowered(kept: KeptSubscription) -> tuple[Lowered, ...]:
    """Return the code that lowers the present period or a coming one, and until when it does.

    Of what is not paid yet the invoice tells.
    """
    if kept.state == KeptState.INCOMPLETE:
        return ()
    basket, number = baskets.present_of(kept), max(kept.number, 1)
    plan = basket.plan.plan_code if basket.plan else None
    found = promotions.discount_at(store.source_of(kept), number, plan, basket.period.code)
    if found is None:
        return ()
    until = None
    if found.periods is not None and kept.anchor is not None:
        until = store.course_of(kept).end(max(found.periods, number))
    is_once = found.periods == 1 and not kept.number
    return (Lowered(found.code, found.percent, found.amount, until, is_once),)


def next_sum(kept: KeptSubscription, basket: Basket) -> Money:
    """Return what the next period costs."""
    off, _name = of_next(kept, basket)
    return basket.total - off if off is not None else basket.total


def shares_off(
    kept: KeptSubscription, rests: Sequence[tuple[int, Fraction]]
) -> Mapping[int, Fraction]:
    """Return by price which share of it was taken off, over what is left of the paid periods.

    What was bought within a period was paid in full: a code lowers invoices of whole periods.
    """
    taken = _taken_off(kept)
    left = sum(rest for _number, rest in rests)
    shares: dict[int, Fraction] = {}
    for number, rest in rests:
        for price, share in taken.get(number, {}).items():
            shares[price] = shares.get(price, Fraction(0)) + share * rest / left
    return shares


def _taken_off(kept: KeptSubscription) -> Mapping[int, Mapping[int, Fraction]]:
    """Return by number of the period, then by price, which share of it a code took off."""
    taken: dict[int, dict[int, Fraction]] = {}
    bought: dict[int, int] = {}
    paid = select(Invoice).where(
        Invoice.kept_id == kept.id, Invoice.state == InvoiceState.PAID.value
    )
    for invoice in db.session.scalars(paid):
        reason = Reason.parse(invoice.key)
        if reason is None:
            continue
        prices = {line.price_id for line in invoice.lines if line.price_id and line.amount > 0}
        if reason.kind is InvoiceKind.CHANGE:
            bought.update({price: max(reason.number, bought.get(price, 0)) for price in prices})
        elif invoice.discount:
            share = Fraction(invoice.discount) / Fraction(invoice.subtotal)
            taken[reason.number] = dict.fromkeys(prices, share)
    return {
        number: {price: off for price, off in shares.items() if bought.get(price, 0) < number}
        for number, shares in taken.items()
    }
