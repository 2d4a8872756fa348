"""A subscription that begins at a provider beside one that we keep: it ends, its money comes back.

Nobody may pay for two plans. The page on which it began is taken back as soon as something begins
here, but money may be on its way already; then what came second ends at once, gives nothing, and
what was paid for it is in the wallet.
"""

import logging

from sqlalchemy import select

from app.accounts.queries import is_gone
from app.adapters.payments.keeping import Verb
from app.db import db
from app.payments import refunds
from app.payments.models import Invoice, Payment
from app.payments.rules import PaymentState, RefundTarget
from app.subscriptions.models import KeptSubscription, RailSubscription
from app.subscriptions.provider import commands, store
from app.subscriptions.provider.models import CommandState, RailCommand
from app.subscriptions.queries import GIVING

log = logging.getLogger(__name__)


def refuse_second(row: RailSubscription) -> None:
    """Order the end of a subscription that has just begun, if we keep one that gives something.

    Under the lock of its owner, which whatever begins here takes too.
    """
    query = select(KeptSubscription.id).where(
        KeptSubscription.user_id == row.user_id, KeptSubscription.state.in_(GIVING)
    )
    if row.state in store.OVER or db.session.scalar(query.limit(1)) is None:
        return
    log.warning("second_subscription_ends user=%s rail=%s", row.user_id, row.rail)
    commands.owe(row.user_id, row.rail, row.external_id, Verb.END_NOW)


def is_refused(user_id: int, rail: str, subscription_ref: str) -> bool:
    """Tell whether a subscription was ended because it came second."""
    if is_gone(user_id):
        return False
    ended = select(RailCommand.id).where(
        RailCommand.rail == rail,
        RailCommand.subscription_ref == subscription_ref,
        RailCommand.verb == Verb.END_NOW.value,
        RailCommand.owed,
        RailCommand.state.in_([CommandState.WAITING.value, CommandState.DONE.value]),
    )
    return db.session.scalar(ended.limit(1)) is not None


def give_back(rail: str, subscription_ref: str) -> None:
    """Credit the wallet with what was paid for a subscription that came second, each sum once."""
    query = (
        select(Payment)
        .join(Invoice, Invoice.id == Payment.invoice_id)
        .where(
            Invoice.rail == rail,
            Invoice.subscription_ref == subscription_ref,
            Payment.state == PaymentState.SUCCEEDED.value,
        )
        .order_by(Payment.id)
    )
    for payment in db.session.scalars(query).all():
        back, disputed = refunds.given_back_of(payment.id), refunds.disputed_of(payment.id)
        left = refunds.refundable(payment, RefundTarget.WALLET, back, disputed)
        key = f"second:{payment.id}"
        if left > 0:
            refunds.ask(
                key, payment.id, left, RefundTarget.WALLET, None, "subscription_beside_another"
            )


def give_back_late(payment_id: int) -> None:
    """Do the same for money that is booked after its subscription was refused."""
    payment = db.session.get_one(Payment, payment_id)
    invoice = db.session.get_one(Invoice, payment.invoice_id)
    ref = invoice.subscription_ref
    if ref is not None and is_refused(payment.user_id, payment.rail, ref):
        give_back(payment.rail, ref)
