"""What a subscription costs next, and when."""

from app.db import db
from app.payments.models import Invoice
from app.payments.receipts import NextCharge
from app.subscriptions import buying
from app.subscriptions.models import RailSubscription
from app.subscriptions.terms import Source, Standing

RUNNING = frozenset({"active", "trialing"})


def next_charge_of(one: Standing) -> NextCharge | None:
    """Return what follows of a subscription that runs on; nothing once it is cancelled."""
    if one.state not in RUNNING or one.cancel_at is not None:
        return None
    if one.next_at is None or one.next_charge is None:
        return None
    return NextCharge(one.next_charge, one.next_at)


def next_charge_after(invoice: Invoice) -> NextCharge | None:
    """Return what follows the period of an invoice, if it is one of a subscription that runs."""
    one = buying.standing(invoice.user_id)
    if one is None or not _is_of(invoice, one):
        return None
    return next_charge_of(one)


def _is_of(invoice: Invoice, one: Standing) -> bool:
    if one.source is Source.KEPT:
        return invoice.kept_id == one.id
    return invoice.subscription_ref == db.session.get_one(RailSubscription, one.id).external_id
