"""Which callbacks Stripe sends to an address: its settings there are made by hand."""

from collections.abc import Mapping
from typing import Any

import stripe

from app.adapters.payments.books import Endpoint
from app.adapters.payments.stripe.calls import VERSION, ask

# What we have to hear of, by what it is about. More does no harm.
_HEARD: Mapping[str, str] = {
    "checkout.session": "completed async_payment_succeeded async_payment_failed expired",
    "customer": "updated deleted",
    "customer.subscription": (
        "created updated deleted paused resumed trial_will_end pending_update_applied "
        "pending_update_expired"
    ),
    "invoice": (
        "created finalized paid payment_failed payment_action_required voided "
        "marked_uncollectible updated finalization_failed overpaid"
    ),
    "invoice_payment": "paid",
    "payment_intent": "succeeded payment_failed canceled",
    "charge": "refunded updated",
    "refund": "created updated failed",
    "charge.dispute": "created updated closed funds_withdrawn funds_reinstated",
    "radar.early_fraud_warning": "created updated",
    "payment_method": "attached detached updated automatically_updated",
}
EVENTS = tuple(f"{about}.{word}" for about, words in _HEARD.items() for word in words.split())
ALL = "*"
# An account has sixteen endpoints at most.
_WHOLE = {"limit": 100}


class StripeEndpoints:
    """Reads the endpoints that are set up there."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._v1: Any = client.v1

    def endpoint(self, url: str) -> Endpoint:
        """Return what is sent to an address; several endpoints for it count together."""
        found = ask(lambda: self._v1.webhook_endpoints.list(_WHOLE))["data"]
        rows = [row for row in found if row["url"] == url and row["status"] == "enabled"]
        sent = {event for row in rows for event in row["enabled_events"]}
        versions = {str(row["api_version"] or "") for row in rows}
        return Endpoint(
            is_on=bool(rows),
            missing=() if ALL in sent else tuple(one for one in EVENTS if one not in sent),
            other_versions=tuple(sorted(versions - {VERSION})),
        )
