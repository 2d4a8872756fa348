"""What the promotion code of a subscription takes off its periods, and off what it is worth."""

from collections.abc import Mapping
from fractions import Fraction

from sqlalchemy import select

from app.db import db
from app.money import Money
from app.payments.models import Invoice
from app.payments.rules import InvoiceState
from app.subscriptions.kept import store
from app.subscriptions.kept.baskets import Basket
from app.subscriptions.kept.rules import InvoiceKind, Reason
from app.subscriptions.models import KeptSubscription
from app.subscriptions.promotions import queries as promotions


def off_next(kept: KeptSubscription, basket: Basket) -> Money | None:
    """Return what is taken off the invoice for the next period, if anything is."""
    plan = basket.plan
    code = plan.plan_code if plan else None
    found = promotions.discount_at(store.source_of(kept), kept.number + 1, code, basket.period.code)
    return found.off(basket.total) if found is not None else None


def next_sum(kept: KeptSubscription, basket: Basket) -> Money:
    """Return what the next period costs."""
    off = off_next(kept, basket)
    return basket.total - off if off is not None else basket.total


def shares_off(kept: KeptSubscription) -> Mapping[int, Fraction]:
    """Return by price which share of it was taken off for the present period.

    What was bought within the period was paid in full: a code lowers invoices of whole periods.
    """
    shares: dict[int, Fraction] = {}
    later: set[int] = set()
    paid = select(Invoice).where(
        Invoice.kept_id == kept.id, Invoice.state == InvoiceState.PAID.value
    )
    for invoice in db.session.scalars(paid):
        reason = Reason.parse(invoice.key)
        if reason is None or reason.number != kept.number:
            continue
        prices = {line.price_id for line in invoice.lines if line.price_id and line.amount > 0}
        if reason.kind is InvoiceKind.CHANGE:
            later |= prices
        elif invoice.discount:
            share = Fraction(invoice.discount) / Fraction(invoice.subtotal)
            shares.update(dict.fromkeys(prices, share))
    return {price: share for price, share in shares.items() if price not in later}
