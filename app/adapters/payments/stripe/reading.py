"""Fetching objects of Stripe: what each of our pictures takes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import stripe

from app.adapters.payments.port import RailInvoice, RailPayment, RailSubscription, Ref, Snapshot
from app.adapters.payments.stripe import discounts, snapshots, subscriptions
from app.adapters.payments.stripe.calls import ask, find
from app.adapters.payments.stripe.values import Data, id_of

# More lines than this are told as one sum.
MOST_LINES = 90
_PAID_INVOICES = 10
_PAID = "paid"


class Reader:
    """Reads how objects are now; every answer is a picture, None means that there is none."""

    def __init__(self, client: stripe.StripeClient, tag: str) -> None:
        self._v1: Any = client.v1
        self._tag = tag
        self._kinds: Mapping[str, Callable[[str], Snapshot | None]] = {
            "checkout": self._checkout,
            "payment": self.payment,
            "refund": self._refund,
            "dispute": self._dispute,
            "fraud_warning": self._fraud_warning,
            "customer": self._customer,
            "invoice": self._invoice,
            "subscription": self._subscription,
        }

    def fetch(self, ref: Ref) -> Snapshot | None:
        """Return how an object is now."""
        read = self._kinds.get(ref.kind)
        return read(ref.id) if read else None

    def payment(self, payment_id: str) -> RailPayment | None:
        """Return a payment by the id of its intent, or of its charge where there is no intent."""
        found = self._money(payment_id)
        return self._of_invoice(found) if found else None

    def _money(self, payment_id: str) -> RailPayment | None:
        if not payment_id.startswith("pi_"):
            return self._charge(payment_id)
        expand = {"expand": ["latest_charge"]}
        found = find(lambda: self._v1.payment_intents.retrieve(payment_id, expand))
        if found is None:
            return None
        charge = self._with_fee(found["latest_charge"]) if found["latest_charge"] else None
        return snapshots.intent_payment({**found, "latest_charge": charge}, self._tag)

    def _charge(self, charge_id: str) -> RailPayment | None:
        found = find(lambda: self._v1.charges.retrieve(charge_id))
        if found is None:
            return None
        intent = id_of(found["payment_intent"])
        if intent:
            return self._money(intent)
        return snapshots.charge_payment(self._with_fee(found), self._tag)

    def _with_fee(self, charge: Data) -> Data:
        booked = id_of(charge["balance_transaction"])
        told = find(lambda: self._v1.balance_transactions.retrieve(booked)) if booked else None
        return {**charge, "balance_transaction": told}

    def _of_invoice(self, payment: RailPayment) -> RailPayment:
        """Say which invoice of Stripe a payment is for, unless it is for something of ours."""
        if payment.reference:
            return payment
        kind = "charge" if payment.intent_id is None else "payment_intent"
        told = {"payment": {"type": kind, kind: payment.id}, "limit": 1}
        rows = ask(lambda: self._v1.invoice_payments.list(told))["data"]
        return _with_invoice(payment, id_of(rows[0]["invoice"])) if rows else payment

    def _checkout(self, session_id: str) -> Snapshot | None:
        found = find(lambda: self._v1.checkout.sessions.retrieve(session_id))
        return snapshots.checkout(found, self._tag) if found else None

    def _refund(self, refund_id: str) -> Snapshot | None:
        found = find(lambda: self._v1.refunds.retrieve(refund_id))
        return snapshots.refund(found, self._tag) if found else None

    def _dispute(self, dispute_id: str) -> Snapshot | None:
        found = find(lambda: self._v1.disputes.retrieve(dispute_id))
        return snapshots.dispute(found) if found else None

    def _fraud_warning(self, warning_id: str) -> Snapshot | None:
        found = find(lambda: self._v1.radar.early_fraud_warnings.retrieve(warning_id))
        return snapshots.fraud_warning(found) if found else None

    def _customer(self, customer_id: str) -> Snapshot | None:
        expand = {"expand": ["invoice_settings.default_payment_method"]}
        found = find(lambda: self._v1.customers.retrieve(customer_id, expand))
        return snapshots.customer(found, self._tag) if found else None

    def _invoice(self, invoice_id: str) -> RailInvoice | None:
        expand = {"expand": ["payments", *discounts.EXPAND]}
        found = find(lambda: self._v1.invoices.retrieve(invoice_id, expand))
        if found is None:
            return None
        rows = (found.get("payments") or {}).get("data") or []
        paid = (self._payment_of(row, invoice_id) for row in rows if row["status"] == _PAID)
        payments = tuple(one for one in paid if one is not None)
        return snapshots.invoice(found, self._lines(found), payments, self._tag)

    def _lines(self, found: Data) -> list[Data]:
        lines: list[Data] = list(found["lines"]["data"])
        if not found["lines"]["has_more"]:
            return lines
        params = {"limit": MOST_LINES}
        told = ask(lambda: self._v1.invoices.line_items.list(found["id"], params))
        return list(told["data"])

    def _payment_of(self, row: Data, invoice_id: str) -> RailPayment | None:
        """Return the money behind a row of an invoice; None where it came another way."""
        told = row["payment"]
        source = id_of(told.get("payment_intent")) or id_of(told.get("charge"))
        payment = self._money(source) if source else None
        return _with_invoice(payment, invoice_id) if payment else None

    def _subscription(self, subscription_id: str) -> RailSubscription | None:
        whole = ("latest_invoice", "schedule", "default_payment_method", *discounts.EXPAND)
        expand = {"expand": list(whole)}
        found = find(lambda: self._v1.subscriptions.retrieve(subscription_id, expand))
        if found is None:
            return None
        newest = found["latest_invoice"]
        is_settled = newest is None or newest["status"] == _PAID
        paid = () if is_settled else self._paid_invoices(subscription_id)
        return subscriptions.picture(found, newest, paid, self._tag)

    def _paid_invoices(self, subscription_id: str) -> list[Data]:
        params = {"subscription": subscription_id, "status": _PAID, "limit": _PAID_INVOICES}
        return list(ask(lambda: self._v1.invoices.list(params))["data"])


def _with_invoice(payment: RailPayment, invoice_id: str | None) -> RailPayment:
    return replace(payment, invoice_id=invoice_id)
