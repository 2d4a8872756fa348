"""Where somebody goes on who has paid for a plan."""

from flask import url_for

from app.payments import queries as payments
from app.payments.queries import CheckoutView
from app.payments.rules import Purpose
from app.subscriptions import buying

HOLDS = frozenset({"active", "trialing"})


def way_from_checkout(user_id: int, checkout: CheckoutView) -> str | None:
    """Return the page of the plan once it holds; being led back here proves nothing."""
    if checkout.purpose == Purpose.SUBSCRIPTION:
        one = buying.standing(user_id)
        arrived = one is not None and one.rail == checkout.rail and one.state in HOLDS
    else:
        arrived = checkout.paid and _is_for_plan(user_id, checkout.invoice_id)
    return url_for("subscriptions.index", paid=checkout.id) if arrived else None


def _is_for_plan(user_id: int, invoice_id: int | None) -> bool:
    if invoice_id is None:
        return False
    lines = payments.own_invoice(user_id, invoice_id).lines
    return any(line.price_id is not None for line in lines)
