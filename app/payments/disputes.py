"""Payments that a bank takes back: frozen while it decides, then returned or lost.

An inquiry comes before some disputes: the bank asks and takes nothing, so nothing is booked until
it becomes one. Staff see both, and may give the money of an inquiry back.
"""

from collections.abc import Iterable
from decimal import Decimal

from sqlalchemy import select

from app.adapters.payments.port import RailDispute
from app.db import db, utc_now
from app.events import publish
from app.money import Money, exact_text
from app.payments import alerts, refunds
from app.payments.events import DisputeMoved
from app.payments.models import Dispute, Payment, Refund
from app.payments.rules import TAKEN_BY_BANK, UNDECIDED, DisputeState
from app.payments.settling import TAKEN, Taken, known_payment, references, takes
from app.wallet import disputes as wallet
from app.wallet.service import give_fee_back, record_fee

ZERO = Decimal(0)
_NOTHING_TAKEN = frozenset({DisputeState.INQUIRY, DisputeState.CLOSED})


@takes(RailDispute)
def take_dispute(rail: str, seen: RailDispute) -> Taken:
    """Bring a dispute to what the rail says; its end may be the first that we hear of it."""
    payment = known_payment(rail, seen.payment_id)
    if payment is None:
        return Taken(False, "unknown_payment")
    dispute, told = _row_of(payment, seen), DisputeState(seen.state.value)
    before = dispute.state if dispute else None
    if dispute is None:
        dispute = _note(payment, seen)
    dispute.answer_by = seen.answer_by
    if dispute.state in _NOTHING_TAKEN and told not in _NOTHING_TAKEN:
        _open(payment, dispute, seen)
    _follow_fee(payment, dispute, seen)
    if _is_decided(dispute, told):
        _decide(dispute, told)
    elif told is DisputeState.CLOSED and dispute.state == DisputeState.INQUIRY:
        _end(dispute, told)
    if dispute.state != before:
        db.session.flush()
        alerts.follow_erased_payer(payment)
        _announce(payment, dispute)
    return TAKEN


def _note(payment: Payment, seen: RailDispute) -> Dispute:
    dispute = Dispute(
        payment_id=payment.id,
        rail=payment.rail,
        external_id=seen.id,
        state=DisputeState.INQUIRY.value,
        amount=seen.money.amount,
        currency=seen.money.currency,
        fee=ZERO,
    )
    db.session.add(dispute)
    db.session.flush()
    return dispute


def _open(payment: Payment, dispute: Dispute, seen: RailDispute) -> None:
    """Book that the bank has taken the money."""
    dispute.state, dispute.closed_at = DisputeState.OPEN.value, None
    dispute.amount = seen.money.amount
    word = _word(dispute)
    others = [one for one in _taken_by_bank(payment) if one.id != dispute.id]
    part = min(_unclaimed(payment, others), seen.money.amount)
    wallet.open_dispute(
        word, payment.user_id, payment.rail, seen.money, wallet_part=part, refs=references(payment)
    )


def follow_failed_refund(refund_id: int) -> None:
    """Freeze what a refund that failed has brought back into the wallet, as far as a bank has it.

    Else its owner had that money twice. What a lost dispute would have taken goes at once.
    """
    payment = db.session.get_one(
        Payment, db.session.get_one(Refund, refund_id).payment_id, with_for_update=True
    )
    disputes = _taken_by_bank(payment)
    for dispute in disputes:
        left = dispute.amount - wallet.claimed_by(_word(dispute))
        part = min(_unclaimed(payment, disputes), left)
        if part > 0:
            wallet.freeze_more(_word(dispute), f"refund-{refund_id}", part)


def _taken_by_bank(payment: Payment) -> list[Dispute]:
    query = select(Dispute).where(
        Dispute.payment_id == payment.id, Dispute.state.in_(TAKEN_BY_BANK)
    )
    return list(db.session.scalars(query.order_by(Dispute.id)))


def _unclaimed(payment: Payment, disputes: Iterable[Dispute]) -> Decimal:
    """Return what a payment has left in the wallet and none of these disputes stands for."""
    claimed = sum((wallet.claimed_by(_word(one)) for one in disputes), ZERO)
    return max(refunds.in_wallet_of(payment) - claimed, ZERO)


def _follow_fee(payment: Payment, dispute: Dispute, seen: RailDispute) -> None:
    """Book what the provider keeps for a dispute; some give it back with one that was won."""
    fee, before = seen.fee.amount if seen.fee else ZERO, dispute.fee
    word, refs = _word(dispute), references(payment)
    if fee > before:
        key = f"{word}:fee:{exact_text(fee)}" if before else f"{word}:fee"
        record_fee(key, payment.rail, Money(fee - before, dispute.currency), refs=refs)
    elif fee < before:
        back = Money(before - fee, dispute.currency)
        give_fee_back(f"{word}:fee-back", payment.rail, back, refs=refs)
    dispute.fee = fee


def _is_decided(dispute: Dispute, told: DisputeState) -> bool:
    """Tell whether a bank has decided; it may still turn what was lost into a success, later."""
    if dispute.state == DisputeState.LOST:
        return told is DisputeState.WON
    return dispute.state == DisputeState.OPEN and told not in UNDECIDED


def _decide(dispute: Dispute, told: DisputeState) -> None:
    if told is DisputeState.LOST:
        wallet.lose_dispute(_word(dispute))
    else:
        wallet.win_dispute(_word(dispute))
    _end(dispute, told)


def _end(dispute: Dispute, told: DisputeState) -> None:
    if dispute.state != told:
        dispute.state, dispute.closed_at = told.value, utc_now()


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
