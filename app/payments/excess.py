"""How a person settles what a provider tells of a payment, and how a refund too large is booked.

What of such a refund was still owed is a refund like any other, with its credit note. Only the
rest is more than came: the wallet gives of it what it has, if a person says so, and we lose what is
left.
"""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select

from app.accounts import audit
from app.accounts.locks import lock_person
from app.accounts.reasons import checked_reason
from app.adapters.payments.port import RailState
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.money import Money
from app.payments import alerts, refunds
from app.payments.models import Payment, PaymentAlert
from app.payments.rules import AlertKind, AlertState, Settlement
from app.payments.settling import references
from app.wallet import queries as wallets
from app.wallet import service as wallet

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Excess:
    """By how much a refund is larger than our books allow, and what the wallet has of that."""

    owed: Decimal
    too_much: Decimal
    in_wallet: Decimal
    currency: str

    @property
    def lost(self) -> Decimal:
        """Return what the wallet could not give back."""
        return self.too_much - self.in_wallet


def excess_of(alert: PaymentAlert) -> Excess | None:
    """Return what is to be booked of an alert; None where nothing is, or nobody waits any more."""
    if alert.kind != AlertKind.REFUND_EXCESS or alert.state != AlertState.OPEN:
        return None
    payment = db.session.get_one(Payment, alert.payment_id)
    owed = _owed(payment, alert)
    too_much = alert.amount - owed
    has = max(wallets.available(payment.user_id, alert.currency), ZERO)
    return Excess(owed, too_much, min(has, too_much), alert.currency)


def settle(actor_id: int, alert_id: int, how: Settlement, reason: str) -> None:
    """Note that a person has looked into a payment, and book what they say; audited.

    What a refund was too large by is our loss, or taken from the wallet as far as that has it.
    Again: nothing.
    """
    reason = checked_reason(reason)
    query = select(Payment.id, Payment.user_id).join(
        PaymentAlert, PaymentAlert.payment_id == Payment.id
    )
    found = db.session.execute(query.where(PaymentAlert.id == alert_id)).one_or_none()
    if found is None:
        raise NotFound("unknown_payment_alert")
    lock_person(found.user_id)
    payment = db.session.get_one(Payment, found.id, with_for_update=True, populate_existing=True)
    alert = db.session.get_one(PaymentAlert, alert_id, with_for_update=True, populate_existing=True)
    if alert.state == AlertState.SETTLED:
        return
    if alert.state == AlertState.OVER:
        raise Conflict("payment_alert_over")
    booked = {} if how is Settlement.NOTED else _book(payment, alert, how, actor_id, reason)
    alert.state, alert.settlement = AlertState.SETTLED.value, how.value
    alert.actor_id, alert.closed_at = actor_id, utc_now()
    audit.record(
        "payment.alert_settled",
        "payment",
        payment.id,
        actor_id=actor_id,
        after={"alert": alert.id, "kind": alert.kind, "settlement": how.value, **booked},
        reason=reason,
    )


def _book(
    payment: Payment, alert: PaymentAlert, how: Settlement, actor_id: int, reason: str
) -> dict[str, str]:
    """Book a refund that our books did not allow; return the sums for the audit log."""
    if alert.kind != AlertKind.REFUND_EXCESS:
        raise InvalidInput("payment_alert_moves_nothing", field="how")
    if alert.told != RailState.SUCCEEDED:
        raise Conflict("payment_alert_pending")
    owed = _owed(payment, alert)
    too_much = alert.amount - owed
    if owed:
        refunds.book_made_there(payment, alerts.key_of_part(alert), owed, reason, actor_id)
    if too_much:
        wallet.lose_refund(
            alerts.key_of(alert),
            payment.user_id,
            payment.rail,
            Money(too_much, alert.currency),
            from_wallet=how is Settlement.WALLET,
            refs=references(payment),
        )
    return {"refund": str(owed), "too_much": str(too_much), "currency": alert.currency}


def _owed(payment: Payment, alert: PaymentAlert) -> Decimal:
    """Return what of a refund our books still allow."""
    return min(alert.amount, max(payment.amount - payment.refunded, ZERO))
