"""What a provider tells of a payment that a person has to look into: noted once.

Nothing moves by itself. A warning of fraud often comes before a dispute, so staff may give the
money back or end the plan by the usual verbs. A refund that was made at the provider and is larger
than our books allow stays out of them until a person says how it is booked (`excess.py`). Money
of somebody whose account is erased is in the books, and a person gives it back: then it is over.
So it is with a refund that failed at the provider, often days after its owner was told of it.
"""

import logging
from collections.abc import Collection
from decimal import Decimal

from sqlalchemy import func, select

from app.accounts.models import User
from app.accounts.queries import is_gone
from app.adapters.payments.books import Figures, sum_figures
from app.adapters.payments.port import RailFraudWarning, RailRefund, RailState, Ref
from app.db import db, utc_now
from app.money import Money
from app.payments.models import Dispute, Payment, PaymentAlert, Refund
from app.payments.rules import (
    AlertKind,
    AlertState,
    DisputeState,
    PaymentState,
    RefundTarget,
)
from app.payments.settling import TAKEN, Taken, known_payment, takes
from app.wallet import ledger
from app.wallet.ledger import posting_by_key

log = logging.getLogger(__name__)

EXCESS = "refund_exceeds_payment"
# Ways of a refund that came back to us.
_CAME_BACK = frozenset({RailState.FAILED, RailState.CANCELED})


@takes(RailFraudWarning)
def take_warning(rail: str, seen: RailFraudWarning) -> Taken:
    """Note that the issuer of a card takes a payment for fraud."""
    payment = known_payment(rail, seen.payment_id)
    if payment is None:
        return Taken(False, "unknown_payment")
    money = Money(payment.amount, payment.currency)
    alert = _note(payment, AlertKind.FRAUD_WARNING, seen.id, seen.told, money)
    if not seen.is_open:
        _end(alert)
    return TAKEN


def take_excess(payment: Payment, seen: RailRefund) -> tuple[Taken, PaymentAlert]:
    """Note a refund that our books do not allow; what a person has settled is only followed."""
    told = _word(seen)
    alert = _note(payment, AlertKind.REFUND_EXCESS, seen.id, told, seen.money)
    if seen.state in _CAME_BACK:
        _take_back(alert)
    return Taken(False, EXCESS) if alert.state == AlertState.OPEN else TAKEN, alert


def note_erased_payer(payment_id: int) -> None:
    """Note money that came of somebody whose account is erased: nobody else would hear of it."""
    payment = db.session.get_one(Payment, payment_id)
    if payment.amount and is_gone(payment.user_id):
        _note_of_nobody(payment)


def note_late_payments(user_id: int) -> None:
    """Note what somebody has paid since they were to be erased, before anybody came to do it."""
    query = (
        select(Payment)
        .join(User, User.id == Payment.user_id)
        .where(
            Payment.user_id == user_id,
            Payment.rail != RefundTarget.WALLET.value,
            Payment.state == PaymentState.SUCCEEDED.value,
            Payment.settled_at >= User.leaves_at,
            Payment.amount > Payment.refunded,
        )
    )
    for payment in db.session.scalars(query.with_for_update(of=Payment)):
        _note_of_nobody(payment)


def follow_erased_payer(payment: Payment) -> None:
    """Let money of somebody erased be, once all of it has gone back to them; else it waits again.

    What goes to the wallet stays with us: nobody is left to have it.
    """
    alert = _row(payment.rail, AlertKind.ERASED_PAYER, payment.external_id)
    if alert is None:
        return
    if _gone_back(payment.id) >= payment.amount:
        _end(alert)
    elif alert.state == AlertState.OVER:
        alert.state, alert.closed_at = AlertState.OPEN.value, None


def note_failed_refund(payment: Payment, refund: Refund) -> None:
    """Note a refund that failed: its money is still owed, and nobody else would see that.

    That of somebody erased waits for a person already, until all of it has gone back.
    """
    if _row(payment.rail, AlertKind.ERASED_PAYER, payment.external_id) is not None:
        return
    money = Money(refund.amount, refund.currency)
    _note(payment, AlertKind.REFUND_FAILED, _name_of(refund), refund.state, money)


def follow_failed_refunds(payment: Payment, later: Refund) -> None:
    """Let failed refunds of a payment be that one made later makes good, the oldest first."""
    query = (
        select(PaymentAlert)
        .where(
            PaymentAlert.payment_id == payment.id,
            PaymentAlert.kind == AlertKind.REFUND_FAILED.value,
            PaymentAlert.state == AlertState.OPEN.value,
            PaymentAlert.created_at <= later.created_at,
        )
        .order_by(PaymentAlert.id)
    )
    left = later.amount
    for alert in db.session.scalars(query):
        if alert.amount <= left:
            left -= alert.amount
            _end(alert)


def _name_of(refund: Refund) -> str:
    # One that the provider refused at once has no name there.
    return refund.external_id or f"refund:{refund.id}"


def _note_of_nobody(payment: Payment) -> None:
    money = Money(payment.amount, payment.currency)
    _note(payment, AlertKind.ERASED_PAYER, payment.external_id, payment.state, money)


def _gone_back(payment_id: int) -> Decimal:
    """Return what of a payment its payer has again, by refunds and by what a bank took for good."""
    given = select(func.sum(Refund.amount)).where(
        Refund.payment_id == payment_id,
        Refund.target == RefundTarget.RAIL.value,
        Refund.state == PaymentState.SUCCEEDED.value,
    )
    lost = select(func.sum(Dispute.amount)).where(
        Dispute.payment_id == payment_id, Dispute.state == DisputeState.LOST.value
    )
    return sum((db.session.scalar(one) or Decimal(0) for one in (given, lost)), Decimal(0))


def is_settled(payment: Payment, seen: RailRefund) -> bool:
    """Tell whether a person has said how a refund is booked, so that it is not booked again."""
    found = _row(payment.rail, AlertKind.REFUND_EXCESS, seen.id)
    return found is not None and found.state == AlertState.SETTLED


def excesses_of(payment_id: int) -> list[Ref]:
    """Return the refunds of a payment that our books did not allow, and nobody has settled."""
    query = select(PaymentAlert.external_id).where(
        PaymentAlert.payment_id == payment_id,
        PaymentAlert.kind == AlertKind.REFUND_EXCESS.value,
        PaymentAlert.state == AlertState.OPEN.value,
    )
    return [Ref("refund", external_id) for external_id in db.session.scalars(query)]


def end_excess(payment: Payment, seen: RailRefund) -> None:
    """Let a refund be, that our books allow by now."""
    found = _row(payment.rail, AlertKind.REFUND_EXCESS, seen.id)
    if found is not None:
        _end(found)


def known_refunds(rail: str, ids: Collection[str]) -> dict[str, Figures]:
    """Return how refunds stand that nobody has to look into any more, though none is booked."""
    query = select(PaymentAlert).where(
        PaymentAlert.rail == rail,
        PaymentAlert.kind == AlertKind.REFUND_EXCESS.value,
        PaymentAlert.external_id.in_(ids),
        PaymentAlert.state != AlertState.OPEN.value,
    )
    return {
        row.external_id: {"state": row.told, **sum_figures(Money(row.amount, row.currency))}
        for row in db.session.scalars(query)
    }


def key_of(alert: PaymentAlert) -> str:
    """Return the key under which it is booked what a refund was too large by."""
    return f"alert:{alert.id}"


def key_of_part(alert: PaymentAlert) -> str:
    """Return the key of the refund that was owed of one that was too large."""
    return f"{key_of(alert)}:owed"


def _note(
    payment: Payment, kind: AlertKind, external_id: str, told: str, money: Money
) -> PaymentAlert:
    """Return the row of an alert; its payment is locked, so nobody else makes it now."""
    alert = _row(payment.rail, kind, external_id)
    if alert is not None:
        alert.told = told
        return alert
    alert = PaymentAlert(
        payment_id=payment.id,
        kind=kind.value,
        rail=payment.rail,
        external_id=external_id,
        told=told,
        amount=money.amount,
        currency=money.currency,
        state=AlertState.OPEN.value,
    )
    db.session.add(alert)
    db.session.flush()
    log.error(
        "payment_needs_a_person payment=%s kind=%s object=%s told=%s",
        payment.id,
        alert.kind,
        external_id,
        told,
    )
    return alert


def _row(rail: str, kind: AlertKind, external_id: str) -> PaymentAlert | None:
    return db.session.scalar(
        select(PaymentAlert)
        .where(
            PaymentAlert.rail == rail,
            PaymentAlert.kind == kind.value,
            PaymentAlert.external_id == external_id,
        )
        .execution_options(populate_existing=True)
    )


def _end(alert: PaymentAlert) -> None:
    if alert.state == AlertState.OPEN:
        alert.state, alert.closed_at = AlertState.OVER.value, utc_now()


def _take_back(alert: PaymentAlert) -> None:
    """Undo what was booked of a refund whose money came back to us."""
    _end(alert)
    key = key_of(alert)
    if posting_by_key(key) is not None:
        ledger.reverse(f"{key}:failed", key)
        log.warning("settled_refund_failed alert=%s", alert.id)


def _word(seen: RailRefund) -> str:
    # In our books one that was called off has failed.
    came_back = seen.state in _CAME_BACK
    return (RailState.FAILED if came_back else seen.state).value
