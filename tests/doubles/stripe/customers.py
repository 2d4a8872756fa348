"""Customers and their payment methods."""

import re

from tests.doubles.stripe import cards
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import invalid
from tests.doubles.stripe.values import Json

# What was made just now is not found yet.
SEARCH_LAG = 60
_MARK = re.compile(r"metadata\['(\w+)'\]:'([^']*)'")
COPIED = ("description", "email", "name", "phone", "address", "shipping", "preferred_locales")


def create_customer(account: Account, params: Json) -> Json:
    """Answer POST /v1/customers."""
    settings = params.get("invoice_settings") or {}
    customer = {
        "id": account.id("cus", 14),
        "object": "customer",
        "address": None,
        "balance": int(params.get("balance") or 0),
        "created": account.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": account.id("", 8)[1:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": account.settings.livemode,
        "metadata": params.get("metadata") or {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": params.get("tax_exempt", "none"),
        "test_clock": None,
    }
    customer.update({key: params[key] for key in COPIED if params.get(key) is not None})
    method = params.get("payment_method")
    found = cards.method_for(account, method) if method else None
    if found is not None and not cards.card_of(account, found).saves:
        cards.attach(account, found, customer)  # raises: the card is declined
    account.add(customer, "customer.created")
    if found is not None:
        cards.attach(account, found, customer)
    if default := settings.get("default_payment_method"):
        same = found is not None and default == method
        set_default(account, customer, found["id"] if found and same else default)
    return customer


def search(account: Account, params: Json) -> Json:
    """Answer GET /v1/customers/search: by marks, and only what is a minute old."""
    wanted = dict(_MARK.findall(params.get("query") or ""))
    if not wanted:
        raise invalid("We could not parse the query.", "query")
    rows = [
        row
        for row in reversed(account.every("customer"))
        if row["created"] <= account.now - SEARCH_LAG
        and all(row["metadata"].get(name) == value for name, value in wanted.items())
    ]
    return {
        "object": "search_result",
        "data": rows[: params.get("limit", 10)],
        "has_more": False,
        "next_page": None,
        "url": "/v1/customers/search",
    }


def set_default(account: Account, customer: Json, method: str | None) -> None:
    """Have invoices of a customer paid by this method where nothing else is said."""
    if method is not None:
        account.get("payment_method", method, "invoice_settings[default_payment_method]")
    account.touch(customer)["invoice_settings"]["default_payment_method"] = method


def update_customer(account: Account, params: Json, customer: str) -> Json:
    """Answer POST /v1/customers/{customer}."""
    row = account.get("customer", customer)
    account.touch(row)
    for key in (*COPIED, "tax_exempt"):
        if key in params:
            row[key] = params[key] if params[key] is not None or key != "preferred_locales" else []
    if "balance" in params:
        row["balance"] = int(params["balance"])
    merge_metadata(row, params)
    settings = params.get("invoice_settings") or {}
    if "default_payment_method" in settings:
        set_default(account, row, settings["default_payment_method"])
    return row


def delete_customer(account: Account, params: Json, customer: str) -> Json:
    """Answer DELETE /v1/customers/{customer}: its subscriptions end at once."""
    from tests.doubles.stripe import subscriptions

    row = account.get("customer", customer)
    for subscription in account.every("subscription", customer=customer):
        if subscription["status"] not in subscriptions.ENDED:
            subscriptions.end(account, subscription, None)
    for method in account.every("payment_method", customer=customer):
        cards.detach(account, method)
    account.told(row)
    account.tell("customer.deleted", row)
    return account.remove(row)


def create_setup_intent(account: Account, params: Json) -> Json:
    """Answer POST /v1/setup_intents: a card is saved, with its customer present."""
    customer = account.get("customer", params["customer"], "customer")
    intent = pending_setup(account, customer)
    intent["metadata"] = params.get("metadata") or {}
    if params.get("payment_method"):
        method = cards.method_for(account, params["payment_method"])
        intent["payment_method"] = method["id"]
        intent["status"] = "requires_confirmation"
        if params.get("confirm"):
            cards.attach(account, method, customer)
            cards.set_up(account, method)
            intent["status"] = "succeeded"
            account.tell("setup_intent.succeeded", intent)
    return intent


def pending_setup(account: Account, customer: Json) -> Json:
    """Return a new setup intent that waits for a card."""
    name = account.id("seti")
    intent = {
        "id": name,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{name}_secret_{account.id('', 20)[1:]}",
        "created": account.now,
        "customer": customer["id"],
        "customer_account": None,
        "description": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": account.settings.livemode,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",
    }
    return account.add(intent, "setup_intent.created")


def merge_metadata(row: Json, params: Json) -> None:
    """Change metadata key by key; an empty text takes a key away, an empty whole all of them."""
    if "metadata" not in params:
        return
    given = params["metadata"]
    if not given:
        row["metadata"] = {}
        return
    kept = {**row["metadata"], **given}
    row["metadata"] = {key: value for key, value in kept.items() if value != ""}
