"""Stripe as one of the ways to pay."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import stripe

from app.adapters.payments.port import (
    Created,
    Incoming,
    Order,
    RailPayment,
    RailRefund,
    Ref,
    RefundOrder,
    Snapshot,
)
from app.adapters.payments.stripe import NAME, callbacks, snapshots
from app.adapters.payments.stripe.books import StripeBooks
from app.adapters.payments.stripe.caller import LANGUAGES
from app.adapters.payments.stripe.calls import ask, find, refusal
from app.adapters.payments.stripe.endpoints import StripeEndpoints
from app.adapters.payments.stripe.event_log import StripeEventLog
from app.adapters.payments.stripe.keeping import Keeping
from app.adapters.payments.stripe.promotions import Promotions
from app.adapters.payments.stripe.values import Data, method_ref, minor_units, time_of, word_in
from app.errors import Conflict

PAGES = "https://checkout.stripe.com"
PORTAL = "https://billing.stripe.com"
INVOICES = "https://invoice.stripe.com"
_NEWEST = 100


class StripeRail(Keeping, Promotions):
    """Stripe: money on its pages, and subscriptions that it keeps."""

    name = NAME

    def __init__(
        self,
        client: stripe.StripeClient,
        secrets: tuple[str, ...],
        tag: str,
        stand_in: tuple[str, ...] = (),
    ) -> None:
        super().__init__(client, tag)
        self.hosts: tuple[str, ...] = (PAGES, PORTAL, INVOICES, *stand_in)
        self._secrets = secrets
        self.books = StripeBooks(client)
        self.event_log = StripeEventLog(client)
        self.endpoints = StripeEndpoints(client)

    def create(self, order: Order) -> Created:
        """Make a page of Checkout, and the customer if this is the first one."""
        customer = order.customer_id or self._customer(order.user_id, order.email, order.language)
        marks = self._marks(order.user_id, order.reference)
        payment: dict[str, Any] = {"metadata": marks}
        if order.save_method:
            payment["setup_future_usage"] = "off_session"
        params = {
            "mode": "payment",
            "customer": customer,
            "client_reference_id": order.reference,
            "metadata": marks,
            "payment_intent_data": payment,
            "line_items": [{"quantity": 1, "price_data": _price(order)}],
            "locale": LANGUAGES.get(order.language, "auto"),
            "success_url": order.success_url,
            "cancel_url": order.cancel_url,
        }
        made = ask(lambda: self._v1.checkout.sessions.create(params, self._once(order.key)))
        return Created(made["id"], made["url"], time_of(made["expires_at"]), customer)

    def close(self, external_id: str) -> None:
        """Take a page back; one that was paid or is over stays as it is."""
        try:
            ask(lambda: self._v1.checkout.sessions.expire(external_id))
        except Conflict:
            return

    def charge(self, order: Order) -> RailPayment:
        """Take money by the card that was kept; raise Conflict if there is none.

        Stripe forgets keys after a day: what an order has made before is looked for by our mark.
        """
        before = self._charged_before(order)
        if before is not None:
            return before
        method = self._kept_method(order.customer_id, order.not_by)
        params = {
            "amount": minor_units(order.money),
            "currency": order.money.currency.lower(),
            "customer": order.customer_id,
            "payment_method": method,
            "off_session": True,
            "confirm": True,
            "description": order.description,
            "metadata": self._marks(order.user_id, order.reference),
        }
        try:
            made = self._v1.payment_intents.create(params, self._once(order.key))
        except stripe.CardError as error:
            made = getattr(error.error, "payment_intent", None)
            if made is None:
                raise refusal(error) from None
        except stripe.StripeError as error:
            raise refusal(error) from None
        payment = self._reader.payment(made.id)
        if payment is None:
            raise Conflict("rail_refused")
        return payment

    def refund(self, order: RefundOrder) -> RailRefund:
        """Ask for money to be given back, unless the same order has done that before."""
        kind = "payment_intent" if order.payment_id.startswith("pi_") else "charge"
        before = self._refunded_before(order, kind)
        if before is not None:
            return snapshots.refund(before, self._tag)
        params = {
            kind: order.payment_id,
            "amount": minor_units(order.money),
            "metadata": {"app": self._tag, "key": order.key},
        }
        made = ask(lambda: self._v1.refunds.create(params, self._once(order.key)))
        return snapshots.refund(made, self._tag)

    def fetch(self, ref: Ref) -> Snapshot | None:
        """Return how an object is now."""
        return self._reader.fetch(ref)

    def verify(self, headers: Mapping[str, str], raw: bytes, now: datetime) -> Incoming:
        """Read a callback; raise BadCallback unless Stripe has just signed these bytes."""
        return callbacks.read(headers, raw, self._secrets, now)

    def _charged_before(self, order: Order) -> RailPayment | None:
        if order.customer_id is None:
            return None
        newest = {"customer": order.customer_id, "limit": _NEWEST}
        rows = ask(lambda: self._v1.payment_intents.list(newest))["data"]
        made = _marked(rows, self._tag, "reference", order.reference)
        return self._reader.payment(made) if made else None

    def _refunded_before(self, order: RefundOrder, kind: str) -> Data | None:
        of_payment = {kind: order.payment_id, "limit": _NEWEST}
        rows = ask(lambda: self._v1.refunds.list(of_payment))["data"]
        made = _marked(rows, self._tag, "key", order.key)
        return next((row for row in rows if row["id"] == made), None)

    def _kept_method(self, customer_id: str | None, not_by: frozenset[str]) -> str:
        """Return what is charged where nothing else is said, else the newest that is kept."""
        whole = {"expand": ["invoice_settings.default_payment_method"]}
        person = (
            find(lambda: self._v1.customers.retrieve(customer_id, whole)) if customer_id else None
        )
        if person is None or person.get("deleted"):
            raise Conflict("no_saved_method")
        chosen = (person["invoice_settings"] or {}).get("default_payment_method")
        if chosen and method_ref(chosen) not in not_by:
            return str(chosen["id"])
        newest = {"limit": _NEWEST if not_by else 1}
        kept = ask(lambda: self._v1.customers.payment_methods.list(customer_id, newest))
        for one in kept["data"]:
            if method_ref(one) not in not_by:
                return str(one["id"])
        raise Conflict("no_saved_method")


def _marked(rows: list[Data], tag: str, name: str, word: str) -> str | None:
    """Return the id of the newest object that bears a word of ours."""
    return next(
        (str(row["id"]) for row in rows if word_in(row["metadata"], tag, name) == word), None
    )


def _price(order: Order) -> dict[str, Any]:
    return {
        "currency": order.money.currency.lower(),
        "unit_amount": minor_units(order.money),
        "product_data": {"name": order.description},
    }
