"""Payments that a bank takes back: frozen while it decides, then returned or lost."""

from decimal import Decimal

from sqlalchemy import select

from app.adapters.payments.port import RailDispute
from app.db import db, utc_now
from app.events import publish
from app.money import Money
from app.payments import refunds
from app.payments.events import DisputeMoved
from app.payments.models import Dispute, Payment
from app.payments.rules import DisputeState
from app.payments.settling import TAKEN, Taken, known_payment, references, takes
from app.wallet import disputes as wallet
from app.wallet.service import record_fee

ZERO = Decimal(0)


@takes(RailDispute)
def take_dispute(rail: str, seen: RailDispute) -> Taken:
    """Bring a dispute to what the rail says; its end may be the first that we hear of it."""
    payment = known_payment(rail, seen.payment_id)
    if payment is None:
        return Taken(False, "unknown_payment")
    dispute = _row_of(payment, seen)
    if dispute is None:
        dispute = _open(payment, seen)
        _announce(payment, dispute)
    if dispute.state == DisputeState.OPEN and seen.state.value != DisputeState.OPEN:
        _decide(dispute, seen)
        _announce(payment, dispute)
    return TAKEN


def _open(payment: Payment, seen: RailDispute) -> Dispute:
    fee = seen.fee.amount if seen.fee else ZERO
    dispute = Dispute(
        payment_id=payment.id,
        rail=payment.rail,
        external_id=seen.id,
        state=DisputeState.OPEN.value,
        amount=seen.money.amount,
        currency=seen.money.currency,
        fee=fee,
    )
    db.session.add(dispute)
    db.session.flush()
    word = _word(dispute)
    part = min(max(refunds.in_wallet_of(payment), ZERO), seen.money.amount)
    wallet.open_dispute(
        word, payment.user_id, payment.rail, seen.money, wallet_part=part, refs=references(payment)
    )
    if fee:
        money = Money(fee, seen.money.currency)
        record_fee(f"{word}:fee", payment.rail, money, refs=references(payment))
    return dispute


def _decide(dispute: Dispute, seen: RailDispute) -> None:
    if seen.state.value == DisputeState.WON:
        wallet.win_dispute(_word(dispute))
    else:
        wallet.lose_dispute(_word(dispute))
    dispute.state, dispute.closed_at = seen.state.value, utc_now()


def _announce(payment: Payment, dispute: Dispute) -> None:
    publish(
        DisputeMoved(dispute.id, payment.id, payment.user_id, payment.invoice_id, dispute.state)
    )


def _row_of(payment: Payment, seen: RailDispute) -> Dispute | None:
    return db.session.scalar(
        select(Dispute).where(Dispute.rail == payment.rail, Dispute.external_id == seen.id)
    )


def _word(dispute: Dispute) -> str:
    return f"{dispute.rail}:{dispute.external_id}"
