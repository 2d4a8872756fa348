"""Money given back: reserved first, so that it is never more than was paid, then sent and booked.

A refund to the wallet is booked at once. One to the rail waits for what the rail says; it may
still fail after it has succeeded, and is then booked back.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import case, func, select

from app.accounts import audit
from app.accounts.locks import lock_person
from app.adapters.payments.port import RailRefund, RailState, RefundOrder
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.events import publish
from app.money import Money
from app.payments import alerts
from app.payments.events import RefundFailed, RefundSettled
from app.payments.invoices import next_number
from app.payments.models import CreditNote, Dispute, Invoice, Payment, Refund
from app.payments.rules import (
    TAKEN_BY_BANK,
    PaymentState,
    RefundTarget,
    check_chargeable,
    tax_share,
)
from app.payments.settling import TAKEN, Taken, known_payment, references, take_ref, takes
from app.queues import QueueName, enqueue_once
from app.transactions import after_commit
from app.wallet import ledger
from app.wallet import service as wallet
from app.wallet.rules import wallet_of

log = logging.getLogger(__name__)

CREDIT_SERIES = "CN"
SEND_JOB = "app.payments.jobs.send_refund"
# Longer than the slowest call: until then the one that sends it may be under way.
SEND_AGAIN_AFTER = timedelta(minutes=2)
BATCH = 50
ZERO = Decimal(0)
_LIVE = (PaymentState.PENDING.value, PaymentState.SUCCEEDED.value)


def ask(
    key: str,
    payment_id: int,
    amount: Decimal,
    target: RefundTarget,
    actor_id: int | None,
    reason: str,
) -> int:
    """Give back a part of a payment or all of it; the same key again changes nothing.

    Returns the id of the refund. Raises Conflict where more would go back than came.
    """
    payment = _lock_payment(payment_id)
    known = _by_key(key)
    if known is not None:
        return known.id
    _check(payment, amount, target)
    refund = _reserve(payment, key, amount, target, reason, actor_id)
    audit.record(
        "payment.refunded",
        "payment",
        payment.id,
        actor_id=actor_id,
        after={"refund": refund.id, "amount": str(amount), "target": target.value},
        reason=reason,
    )
    if target is RefundTarget.WALLET:
        _settle(payment, refund)
    else:
        _take_from_wallet(payment, refund)
        refund_id = refund.id
        after_commit(lambda: enqueue_sending(refund_id))
    return refund.id


def enqueue_sending(refund_id: int) -> None:
    """Have a refund sent to its rail; with Redis down the sweep does it later."""
    enqueue_once(QueueName.PAYMENTS, SEND_JOB, refund_id, key=f"refund-{refund_id}")


def order_of(refund_id: int) -> tuple[str, RefundOrder] | None:
    """Return the rail and what to ask of it; None if there is nothing to ask any more.

    What the rail has taken on and not settled yet is not asked for again.
    """
    refund = db.session.get(Refund, refund_id)
    if refund is None or refund.state != PaymentState.PENDING or refund.external_id:
        return None
    payment = db.session.get_one(Payment, refund.payment_id)
    order = RefundOrder(
        key=refund.key,
        payment_id=payment.external_id,
        money=Money(refund.amount, refund.currency),
        reason=refund.reason,
    )
    return payment.rail, order


def refuse(refund_id: int, code: str) -> None:
    """Note that the rail will not give the money back, and free what was reserved."""
    refund = db.session.get_one(Refund, refund_id)
    payment = _lock_payment(refund.payment_id)
    db.session.refresh(refund)
    _fail(payment, refund, code)


def unsent(now: datetime) -> list[int]:
    """Return refunds to a rail that nobody has heard of for a while."""
    query = (
        select(Refund.id)
        .where(
            Refund.state == PaymentState.PENDING.value,
            Refund.external_id.is_(None),
            Refund.created_at < now - SEND_AGAIN_AFTER,
        )
        .order_by(Refund.id)
        .limit(BATCH)
    )
    return list(db.session.scalars(query))


@takes(RailRefund)
def take_refund(rail: str, seen: RailRefund) -> Taken:
    """Bring a refund to what the rail says; one that was made at the rail itself gets its row."""
    payment = known_payment(rail, seen.payment_id)
    if payment is None:
        return Taken(False, "unknown_payment")
    refund = None if alerts.is_settled(payment, seen) else _row_of(payment, seen)
    if refund is None:
        return _take_excess(payment, seen)
    alerts.end_excess(payment, seen)
    refund.external_id = seen.id
    if seen.state.value == PaymentState.SUCCEEDED and refund.state == PaymentState.PENDING:
        _settle(payment, refund)
    elif seen.state.value in {PaymentState.FAILED, PaymentState.CANCELED}:
        _fail(payment, refund, seen.failure or seen.state.value)
    return TAKEN


def book_made_there(
    payment: Payment, key: str, amount: Decimal, reason: str, actor_id: int | None
) -> None:
    """Book what was given back at the provider itself and is still owed; the payment is locked."""
    refund = _reserve(payment, key, amount, RefundTarget.RAIL, reason, actor_id)
    _take_what_wallet_has(payment, refund)
    _settle(payment, refund)


def _take_excess(payment: Payment, seen: RailRefund) -> Taken:
    taken, alert = alerts.take_excess(payment, seen)
    part = _by_key(alerts.key_of_part(alert))
    if part is not None and seen.state in {RailState.FAILED, RailState.CANCELED}:
        _fail(payment, part, seen.failure or seen.state.value)
    return taken


def refundable(
    payment: Payment, target: RefundTarget, given_back: Decimal, disputed: Decimal
) -> Decimal:
    """Return how much may still be given back; the wallet has its surplus already.

    `given_back` is what of earlier refunds was no surplus, `disputed` what a bank has taken.
    """
    if payment.state != PaymentState.SUCCEEDED:
        return ZERO
    left = payment.amount - payment.refunded - disputed
    if target is RefundTarget.WALLET:
        left = min(left, payment.amount - payment.surplus - given_back)
    return max(left, ZERO)


def given_back_of(payment_id: int) -> Decimal:
    """Return what was given back of a payment, or is on its way, besides its surplus."""
    total = db.session.scalar(
        select(func.sum(Refund.amount - Refund.from_wallet)).where(
            Refund.payment_id == payment_id, Refund.state.in_(_LIVE)
        )
    )
    return total or ZERO


def disputed_of(payment_id: int) -> Decimal:
    """Return what a bank has taken back of a payment, or holds until it has decided."""
    total = db.session.scalar(
        select(func.sum(Dispute.amount)).where(
            Dispute.payment_id == payment_id, Dispute.state.in_(TAKEN_BY_BANK)
        )
    )
    return total or ZERO


def in_wallet_of(payment: Payment) -> Decimal:
    """Return how much of a payment went into the wallet and was not taken out to go back."""
    to_wallet = case((Refund.target == RefundTarget.WALLET.value, Refund.amount), else_=ZERO)
    total = db.session.scalar(
        select(func.sum(to_wallet - Refund.from_wallet)).where(
            Refund.payment_id == payment.id, Refund.state.in_(_LIVE)
        )
    )
    return payment.surplus + (total or ZERO)


def gone_of(payment: Payment) -> Decimal:
    """Return what is gone of the money that a payment brought to its invoice.

    What a bank takes comes out of what the payment has left in the wallet first, as it is booked.
    """
    taken = disputed_of(payment.id) - in_wallet_of(payment)
    return given_back_of(payment.id) + max(taken, ZERO)


def _check(payment: Payment, amount: Decimal, target: RefundTarget) -> None:
    money = Money(amount, payment.currency)
    if amount <= 0 or money != money.rounded():
        raise InvalidInput("refund_amount", field="amount")
    if target is RefundTarget.RAIL and payment.rail == wallet.WALLET:
        raise Conflict("refund_no_rail")
    most = refundable(payment, target, given_back_of(payment.id), disputed_of(payment.id))
    if amount > most:
        raise Conflict("refund_too_much", field="amount", maximum=most, currency=payment.currency)
    if target is RefundTarget.RAIL and amount != most:
        check_chargeable(money)


def _reserve(
    payment: Payment,
    key: str,
    amount: Decimal,
    target: RefundTarget,
    reason: str,
    actor_id: int | None,
) -> Refund:
    before = given_back_of(payment.id)
    # Of what the wallet could not give back before, more than was owed may be gone already.
    owed = max(min(amount, payment.amount - payment.surplus - before), ZERO)
    refund = Refund(
        key=key,
        payment_id=payment.id,
        target=target.value,
        state=PaymentState.PENDING.value,
        amount=amount,
        currency=payment.currency,
        from_wallet=amount - owed,
        tax=_tax_in(payment, owed, before),
        reason=reason,
        actor_id=actor_id,
    )
    payment.refunded += amount
    db.session.add(refund)
    db.session.flush()
    return refund


def _tax_in(payment: Payment, owed: Decimal, before: Decimal) -> Decimal:
    came = payment.amount - payment.surplus
    if payment.invoice_id is None or not came:
        return ZERO
    invoice = db.session.get_one(Invoice, payment.invoice_id)
    in_all = Money(_tax_of(payment, invoice, came), payment.currency)
    taxed = db.session.scalar(
        select(func.sum(Refund.tax)).where(Refund.payment_id == payment.id, Refund.state.in_(_LIVE))
    )
    return tax_share(in_all, came, owed, before, taxed or ZERO)


def _tax_of(payment: Payment, invoice: Invoice, came: Decimal) -> Decimal:
    """Return the tax that a payment brought: one of several, or beside a credit, has a part."""
    earlier = db.session.scalar(
        select(func.sum(Payment.amount - Payment.surplus)).where(
            Payment.invoice_id == invoice.id,
            Payment.id < payment.id,
            Payment.state == PaymentState.SUCCEEDED.value,
        )
    )
    whole = Money(invoice.tax, invoice.currency)
    return tax_share(whole, invoice.total, came, earlier or ZERO)


def _take_from_wallet(payment: Payment, refund: Refund) -> None:
    if refund.from_wallet:
        wallet.refund_top_up(
            f"refund:{refund.id}:wallet",
            payment.user_id,
            payment.rail,
            Money(refund.from_wallet, refund.currency),
            refs=_refs(payment, refund),
        )


def _settle(payment: Payment, refund: Refund) -> None:
    refund.state = PaymentState.SUCCEEDED.value
    refund.settled_at = refund.mail_due_at = utc_now()
    owed = refund.amount - refund.from_wallet
    if owed:
        _book(payment, refund, Money(owed, refund.currency))
        _write_credit_note(payment, refund, owed)
    db.session.flush()
    alerts.follow_erased_payer(payment)
    alerts.follow_failed_refunds(payment, refund)
    publish(RefundSettled(refund.id, payment.id, payment.user_id, payment.invoice_id))


def _book(payment: Payment, refund: Refund, money: Money) -> None:
    key, refs = f"refund:{refund.id}", _refs(payment, refund)
    if refund.target == RefundTarget.WALLET:
        wallet.refund_to_wallet(key, payment.user_id, money, tax=refund.tax, refs=refs)
    else:
        wallet.refund_to_rail(key, payment.rail, money, tax=refund.tax, refs=refs)


def _write_credit_note(payment: Payment, refund: Refund, amount: Decimal) -> None:
    if payment.invoice_id is None:
        return
    note = CreditNote(
        number=next_number(CREDIT_SERIES),
        invoice_id=payment.invoice_id,
        refund_id=refund.id,
        amount=amount,
        tax=refund.tax,
        currency=refund.currency,
    )
    db.session.add(note)


def _fail(payment: Payment, refund: Refund, code: str) -> None:
    if refund.state not in _LIVE:
        return
    booked = [f"refund:{refund.id}:wallet"] if refund.from_wallet else []
    if refund.state == PaymentState.SUCCEEDED and refund.amount > refund.from_wallet:
        booked.append(f"refund:{refund.id}")
    for key in booked:
        ledger.reverse(f"{key}:failed", key, refs=_refs(payment, refund))
    # Who was told that the money goes back hears that it did not.
    is_told = refund.state == PaymentState.SUCCEEDED and refund.mail_due_at is None
    refund.mail_due_at = utc_now() if is_told else None
    refund.state, refund.failure = PaymentState.FAILED.value, code
    payment.refunded -= refund.amount
    log.warning("refund_failed refund=%s code=%s", refund.id, code)
    db.session.flush()
    publish(RefundFailed(refund.id, payment.id))
    alerts.note_failed_refund(payment, refund)
    alerts.follow_erased_payer(payment)
    # What was made at the provider beside it, and was too much with it, may fit now.
    for ref in alerts.excesses_of(payment.id):
        take_ref(payment.rail, ref)


def _row_of(payment: Payment, seen: RailRefund) -> Refund | None:
    found = db.session.scalar(
        select(Refund).where(Refund.payment_id == payment.id, Refund.external_id == seen.id)
    )
    found = found or (_by_key(seen.key) if seen.key else None)
    if found is not None:
        return found if found.payment_id == payment.id else None
    if seen.money.amount > payment.amount - payment.refunded:
        return None
    refund = _reserve(
        payment,
        f"{payment.rail}:{seen.id}",
        seen.money.amount,
        RefundTarget.RAIL,
        "made at the provider",
        None,
    )
    _take_what_wallet_has(payment, refund)
    return refund


def _take_what_wallet_has(payment: Payment, refund: Refund) -> None:
    """Take back what the payment left in the wallet; what was spent meanwhile is our loss."""
    if refund.from_wallet:
        purse = ledger.account(wallet_of(payment.user_id), refund.currency)
        has = ledger.lock_available(purse.id)
        refund.from_wallet = min(refund.from_wallet, max(has, ZERO))
        _take_from_wallet(payment, refund)


def _by_key(key: str) -> Refund | None:
    return db.session.scalar(select(Refund).where(Refund.key == key))


def _lock_payment(payment_id: int) -> Payment:
    owner = db.session.scalar(select(Payment.user_id).where(Payment.id == payment_id))
    if owner is None:
        raise NotFound("unknown_payment")
    lock_person(owner)
    return db.session.get_one(Payment, payment_id, with_for_update=True, populate_existing=True)


def _refs(payment: Payment, refund: Refund) -> tuple[str, ...]:
    return (*references(payment), f"refund:{refund.id}")
