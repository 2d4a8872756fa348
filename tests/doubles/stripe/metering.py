"""Entitlements that follow from subscriptions, and the events of metered use."""

from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.errors import invalid, needed
from tests.doubles.stripe.values import Json

ENTITLED = frozenset({"active", "trialing", "past_due"})
OLDEST_DAYS = 35
AHEAD_SECONDS = 300


def entitlements(account: Account, customer: str) -> list[Json]:
    """Return what a customer is entitled to by the features of what is subscribed."""
    products = {
        item["price"]["product"]
        for row in account.every("subscription", customer=customer)
        if row["status"] in ENTITLED
        for item in row["items"]["data"]
    }
    features: dict[str, Json] = {}
    for link in account.every("product_feature"):
        if account.hidden[link["id"]]["product"] in products:
            feature = link["entitlement_feature"]
            features[feature["id"]] = feature
    return [
        {
            "id": f"ent_{customer[4:]}{name[5:17]}",
            "object": "entitlements.active_entitlement",
            "feature": name,
            "livemode": account.settings.livemode,
            "lookup_key": feature["lookup_key"],
        }
        for name, feature in sorted(features.items())
    ]


class EntitlementWatch:
    """Tells when what a customer is entitled to has changed."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._known: dict[str, list[str]] = {}

    def look(self) -> None:
        """Tell of every customer whose entitlements are not what they were."""
        account = self._account
        if not account.every("product_feature"):
            return
        for customer in account.every("customer"):
            rows = entitlements(account, customer["id"])
            keys = [row["lookup_key"] for row in rows]
            if keys == self._known.get(customer["id"], []):
                continue
            self._known[customer["id"]] = keys
            summary = {
                "object": "entitlements.active_entitlement_summary",
                "customer": customer["id"],
                "entitlements": {
                    "object": "list",
                    "data": rows,
                    "has_more": False,
                    "url": f"/v1/customer/{customer['id']}/entitlements",
                },
                "livemode": account.settings.livemode,
            }
            account.tell("entitlements.active_entitlement_summary.updated", summary, {})


def create_meter_event(account: Account, params: Json) -> Json:
    """Answer POST /v1/billing/meter_events."""
    if not params.get("event_name"):
        raise needed("event_name")
    payload = params.get("payload") or {}
    account.get("customer", payload.get("stripe_customer_id"), "payload[stripe_customer_id]")
    at = params.get("timestamp", account.now)
    if at < account.now - OLDEST_DAYS * DAY:
        raise invalid(
            "Events cannot be older than 35 days.", "timestamp", "timestamp_too_far_in_past"
        )
    if at > account.now + AHEAD_SECONDS:
        raise invalid(
            "Events cannot be more than 5 minutes ahead.", "timestamp", "timestamp_in_future"
        )
    identifier = params.get("identifier") or account.id("", 32)[1:]
    known = account.hidden.setdefault("meter events", {})
    if identifier in known and known[identifier] > account.now - DAY:
        raise invalid(
            f"An event already exists with identifier {identifier}.", "identifier",
            "resource_already_exists",
        )  # fmt: skip
    known[identifier] = account.now
    row = {
        "object": "billing.meter_event",
        "created": account.now,
        "event_name": params["event_name"],
        "identifier": identifier,
        "livemode": account.settings.livemode,
        "payload": payload,
        "timestamp": at,
    }
    account.add({**row, "id": f"mtrevt_{identifier}"})
    return row
