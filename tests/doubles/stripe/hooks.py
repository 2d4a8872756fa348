"""Webhook endpoints that are made over the API: each with a secret that is told once."""

from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import needed
from tests.doubles.stripe.values import Json

SECRET_CHARS = 32


def create_endpoint(account: Account, params: Json) -> Json:
    """Answer POST /v1/webhook_endpoints."""
    for name in ("url", "enabled_events"):
        if not params.get(name):
            raise needed(name)
    row = {
        "id": account.id("we"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": account.now,
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": account.settings.livemode,
        "metadata": params.get("metadata") or {},
        "status": "enabled",
        "url": params["url"],
    }
    account.add(row)
    secret = account.id("whsec", SECRET_CHARS)
    for hear in account.new_endpoints:
        hear(row, secret)
    return {**row, "secret": secret}


def delete_endpoint(account: Account, params: Json, name: str) -> Json:
    """Answer DELETE /v1/webhook_endpoints/{endpoint}: nothing more is sent there."""
    return account.remove(account.get("webhook_endpoint", name))
