"""Where the fake, and the API version that the product pins, leave the stored specification.

The specification kept beside the checkout is 2026-08-26.dahlia; the product pins
2026-10-28.endive, which the library of that version describes. Each departure has a name and says
why it stands.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Departure:
    """One difference: which object, which field (or '*'), and why."""

    name: str
    schema: str
    field: str
    why: str


DEPARTURES = (
    Departure(
        "upcoming-without-id",
        "invoice",
        "id",
        "invoice.upcoming tells of an invoice that does not exist yet: Stripe sends no id, while "
        "the specification calls it required.",
    ),
    Departure(
        "entitlement-summary",
        "entitlements.active_entitlement_summary",
        "*",
        "The specification lists the event but not the shape of its object; it follows the pages "
        "of Stripe's documentation.",
    ),
    Departure(
        "account-of-the-key",
        "account",
        "*",
        "GET /v1/account answers the few fields that a connection test reads.",
    ),
)


@dataclass(frozen=True)
class Asked:
    """A parameter of an address that is new, or that is gone, since the specification."""

    name: str
    operation: str
    param: str
    taken: bool
    why: str


RESUME, SESSION = "PostSubscriptionsSubscriptionResume", "PostCheckoutSessions"
ENDIVE = "Endive: the library that is pinned to it has it so."
ASKED = (
    Asked("resume-anchor-is-an-object", RESUME, "billing_cycle_anchor", True, ENDIVE),
    Asked(
        "update-anchor-is-an-object",
        "PostSubscriptionsSubscriptionExposedId",
        "billing_cycle_anchor",
        True,
        ENDIVE,
    ),
    Asked("resume-payment-behaviour", RESUME, "payment_behavior", True, ENDIVE),
    Asked("session-allows-methods", SESSION, "allowed_payment_method_types", True, ENDIVE),
    Asked("session-names-no-methods", SESSION, "payment_method_types", False, ENDIVE),
    Asked(
        "session-update-payment-data",
        "PostCheckoutSessionsSession",
        "payment_intent_data",
        True,
        ENDIVE,
    ),
    Asked("intent-names-no-methods", "PostPaymentIntents", "payment_method_types", False, ENDIVE),
    Asked(
        "intent-update-names-no-methods",
        "PostPaymentIntentsIntent",
        "payment_method_types",
        False,
        ENDIVE,
    ),
    Asked("portal-after-expiration", "PostBillingPortalSessions", "after_expiration", True, ENDIVE),
)
# Fields of answers that are newer than the specification.
NEWER = (
    Departure("paused-since", "subscription", "status_details", ENDIVE),
    Departure("uncollectible-because", "invoice", "status_details", ENDIVE),
    Departure("methods-allowed", "checkout.session", "allowed_payment_method_types", ENDIVE),
    Departure(
        "recorded-prorate",
        "subscriptions_resource_pending_update",
        "prorate",
        "A recorded sequence carries this field of older versions.",
    ),
)
LACKING = {(row.schema, row.field) for row in DEPARTURES}
UNCHECKED = {row.schema for row in DEPARTURES if row.field == "*"}
