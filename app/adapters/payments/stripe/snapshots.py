"""Fetched objects of Stripe as pictures of our own; pure.

Sums are copied as Stripe tells them and never counted again.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from app.adapters.payments.port import (
    CheckoutState,
    DisputeState,
    RailCheckout,
    RailCustomer,
    RailDispute,
    RailFraudWarning,
    RailInvoice,
    RailInvoiceState,
    RailLine,
    RailPayment,
    RailRefund,
    RailState,
)
from app.adapters.payments.stripe import discounts
from app.adapters.payments.stripe.values import (
    Data,
    id_of,
    method_ref,
    method_words,
    money_of,
    optional_time,
    owner_in,
    price_of,
    time_of,
    word_in,
)
from app.money import Money

_CHECKOUTS = {
    "open": CheckoutState.OPEN,
    "complete": CheckoutState.COMPLETED,
    "expired": CheckoutState.EXPIRED,
}
_CHARGES = {
    "succeeded": RailState.SUCCEEDED,
    "pending": RailState.PENDING,
    "failed": RailState.FAILED,
}
_REFUNDS = {
    "succeeded": RailState.SUCCEEDED,
    "failed": RailState.FAILED,
    "canceled": RailState.CANCELED,
}
# What is called a warning here is an inquiry: the bank asks, and has taken nothing.
_DISPUTES = {
    "warning_needs_response": DisputeState.INQUIRY,
    "warning_under_review": DisputeState.INQUIRY,
    "warning_closed": DisputeState.CLOSED,
    "won": DisputeState.WON,
    "prevented": DisputeState.WON,
    "lost": DisputeState.LOST,
}


def checkout(found: Data, tag: str) -> RailCheckout:
    """Picture a Checkout Session."""
    payment = id_of(found["payment_intent"])
    return RailCheckout(
        id=found["id"],
        state=_CHECKOUTS[found["status"]],
        reference=word_in(found["metadata"], tag, "reference"),
        customer_id=id_of(found["customer"]),
        payment_ids=(payment,) if payment else (),
        subscription_id=id_of(found["subscription"]),
        invoice_id=id_of(found["invoice"]),
    )


def intent_payment(found: Data, tag: str) -> RailPayment:
    """Picture a payment intent, whose newest charge is told in full."""
    charge = found["latest_charge"] if isinstance(found["latest_charge"], dict) else None
    error = found["last_payment_error"] or {}
    state = _intent_state(found)
    received = found["amount_received"] if state is RailState.SUCCEEDED else found["amount"]
    return RailPayment(
        id=found["id"],
        state=state,
        money=money_of(received, found["currency"]),
        reference=word_in(found["metadata"], tag, "reference"),
        at=time_of(found["created"]),
        fee=_fee(charge, found["currency"]) if charge else None,
        method=_method(charge),
        method_ref=_method_ref(charge),
        failure=error.get("decline_code") or error.get("code"),
        customer_id=id_of(found["customer"]),
        intent_id=found["id"],
        charge_id=id_of(found["latest_charge"]),
    )


def charge_payment(found: Data, tag: str) -> RailPayment:
    """Picture a charge that no payment intent has made."""
    return RailPayment(
        id=found["id"],
        state=_CHARGES[found["status"]],
        money=money_of(found["amount_captured"] or found["amount"], found["currency"]),
        reference=word_in(found["metadata"], tag, "reference"),
        at=time_of(found["created"]),
        fee=_fee(found, found["currency"]),
        method=_method(found),
        method_ref=_method_ref(found),
        failure=found["failure_code"],
        customer_id=id_of(found["customer"]),
        charge_id=found["id"],
    )


def refund(found: Data, tag: str) -> RailRefund:
    """Picture a refund; one whose customer has to act is on its way."""
    return RailRefund(
        id=found["id"],
        payment_id=_paid_by(found),
        state=_REFUNDS.get(found["status"], RailState.PENDING),
        money=money_of(found["amount"], found["currency"]),
        at=time_of(found["created"]),
        key=word_in(found["metadata"], tag, "key") or None,
        failure=found.get("failure_reason"),
    )


def dispute(found: Data) -> RailDispute:
    """Picture a dispute; its fee is what Stripe keeps of what it took from us."""
    rows = found.get("balance_transactions") or []
    currency = found["currency"]
    fee = sum(row["fee"] for row in rows if row["currency"] == currency)
    return RailDispute(
        id=found["id"],
        payment_id=_paid_by(found),
        state=_DISPUTES.get(found["status"], DisputeState.OPEN),
        money=money_of(found["amount"], currency),
        at=time_of(found["created"]),
        fee=money_of(fee, currency) if fee > 0 else None,
        answer_by=optional_time((found.get("evidence_details") or {}).get("due_by")),
    )


def fraud_warning(found: Data) -> RailFraudWarning:
    """Picture an early warning of fraud."""
    return RailFraudWarning(
        id=found["id"],
        payment_id=id_of(found.get("payment_intent")) or id_of(found["charge"]) or "",
        told=str(found["fraud_type"]),
        is_open=bool(found["actionable"]),
        at=time_of(found["created"]),
    )


def customer(found: Data, tag: str) -> RailCustomer:
    """Picture a customer; of a deleted one nothing but the id is left."""
    return RailCustomer(
        id=found["id"],
        owner=owner_in(found.get("metadata"), tag),
        is_deleted=bool(found.get("deleted")),
        method=method_words(_default_method(found)) or None,
        method_ref=method_ref(_default_method(found)),
    )


def invoice(
    found: Data, lines: Sequence[Data], payments: tuple[RailPayment, ...], tag: str
) -> RailInvoice:
    """Picture an invoice with its lines and the money that paid it."""
    currency = found["currency"]
    details = (found["parent"] or {}).get("subscription_details") or {}
    total = money_of(found["total"], currency)
    owner = owner_in(details.get("metadata"), tag)
    return RailInvoice(
        id=found["id"],
        state=RailInvoiceState(found["status"]),
        lines=tuple(map(line, lines)),
        discount=_sum(found["total_discount_amounts"], currency),
        tax=_sum(found["total_taxes"], currency),
        total=total,
        attempts=found["attempt_count"],
        at=time_of(found["created"]),
        customer_id=id_of(found["customer"]),
        owner=owner_in(found["metadata"], tag) if owner is None else owner,
        subscription_id=id_of(details.get("subscription")),
        due_at=optional_time(found["due_date"]),
        next_attempt_at=optional_time(found["next_payment_attempt"]),
        pay_url=found["hosted_invoice_url"],
        payments=payments,
        discount_names=discounts.names(found, tag),
    )


def line(found: Any) -> RailLine:
    """Picture a line of an invoice, or of a preview of one."""
    parent = found["parent"] or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return RailLine(
        description=found["description"] or "",
        money=money_of(found["amount"], found["currency"]),
        quantity=max(int(Decimal(found["quantity"] or 1)), 1),
        price_id=price_of(found),
        is_proration=bool(details.get("proration")),
        period_start=time_of(found["period"]["start"]),
        period_end=time_of(found["period"]["end"]),
    )


def _default_method(found: Data) -> Any:
    return (found.get("invoice_settings") or {}).get("default_payment_method")


def _intent_state(found: Data) -> RailState:
    if found["status"] == "succeeded":
        return RailState.SUCCEEDED
    if found["status"] == "canceled":
        return RailState.CANCELED
    declined = found["status"] == "requires_payment_method" and found["last_payment_error"]
    return RailState.FAILED if declined else RailState.PENDING


def _paid_by(found: Data) -> str:
    payment = id_of(found["payment_intent"]) or id_of(found["charge"])
    return payment or ""


def _fee(charge: Data, currency: str) -> Money | None:
    booked = charge.get("balance_transaction")
    if not isinstance(booked, dict) or booked["currency"] != currency:
        # Told in the currency of our bank account, it can't be set against this one.
        return None
    return money_of(booked["fee"], currency)


def _method(charge: Data | None) -> str:
    return method_words((charge or {}).get("payment_method_details"))


def _method_ref(charge: Data | None) -> str:
    told = (charge or {}).get("payment_method_details") or {}
    return method_ref({**told, "id": id_of((charge or {}).get("payment_method"))})


def _sum(rows: Iterable[Data] | None, currency: str) -> Money:
    return money_of(sum(row["amount"] for row in rows or ()), currency)
