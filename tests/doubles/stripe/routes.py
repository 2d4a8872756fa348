"""Which address does what."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.doubles.stripe import (
    bank,
    cards,
    catalogue,
    checkout,
    customers,
    hooks,
    invoice_calls,
    lists,
    metering,
    payments,
    portal,
    previews,
    schedules,
    subscriptions,
    updates,
)
from tests.doubles.stripe.account import INDEXED, Account, Note
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.errors import Refused, missing, needed
from tests.doubles.stripe.values import Json

Handler = Callable[..., Json]


def _retrieve(kind: str, account: Account, params: Json, name: str) -> Json:
    thing = account.objects.get(name)
    if thing is None or thing["object"] != kind or (thing.get("deleted") and kind != "customer"):
        raise missing(kind, name)
    return thing


def _update(kind: str, keys: tuple[str, ...], account: Account, params: Json, name: str) -> Json:
    row = account.touch(account.get(kind, name))
    row.update({key: params[key] for key in keys if key in params})
    customers.merge_metadata(row, params)
    if kind == "product":
        row["updated"] = account.now
    return row


def _delete(kind: str, event: str, account: Account, params: Json, name: str) -> Json:
    row = account.get(kind, name)
    account.told(row)
    account.tell(event, row)
    return account.remove(row)


def _list(kind: str, url: str, filters: tuple[str, ...], account: Account, params: Json) -> Json:
    rows = _named_by(account, kind, params)
    for key in filters:
        if params.get(key) is not None:
            rows = [row for row in rows if _value(row, key) == params[key]]
    return lists.page(url, lists.within(rows, params.get("created")), params)


def _named_by(account: Account, kind: str, params: Json) -> list[Json]:
    """Return the objects of a kind, newest first; those of one owner where a list names it."""
    key = INDEXED.get(kind)
    match = {key: params[key]} if key and params.get(key) else {}
    return account.every(kind, **match)[::-1]


def _value(row: Json, key: str) -> Any:
    if key == "subscription" and row["object"] == "invoice":
        return ((row["parent"] or {}).get("subscription_details") or {}).get("subscription")
    if key == "coupon":
        return row["promotion"]["coupon"]
    return row.get(key)


def _list_subscriptions(account: Account, params: Json) -> Json:
    status = params.get("status")
    rows = _named_by(account, "subscription", params)
    if status is None:
        rows = [row for row in rows if row["status"] != "canceled"]
    elif status == "ended":
        rows = [row for row in rows if row["status"] in subscriptions.ENDED]
    elif status != "all":
        rows = [row for row in rows if row["status"] == status]
    if params.get("price"):
        rows = [row for row in rows if _sells(row, params["price"])]
    return lists.page("/v1/subscriptions", lists.within(rows, params.get("created")), params)


def _sells(row: Json, price: str) -> bool:
    return any(item["price"]["id"] == price for item in row["items"]["data"])


def _list_prices(account: Account, params: Json) -> Json:
    rows = account.every("price")[::-1]
    keys = params.get("lookup_keys")
    for key in ("active", "product", "currency", "type"):
        if params.get(key) is not None:
            rows = [row for row in rows if row[key] == params[key]]
    if keys:
        rows = [row for row in rows if row["lookup_key"] in keys]
    return lists.page("/v1/prices", lists.within(rows, params.get("created")), params)


def _list_events(account: Account, params: Json) -> Json:
    kinds = params.get("types") or ([params["type"]] if params.get("type") else None)
    rows = []
    oldest = account.now - account.settings.event_days * DAY
    for note in reversed(account.notes):
        if note.created < oldest or not _named(note.type, kinds):
            continue
        wanted = params.get("delivery_success")
        if wanted is None or wanted == note.delivered:
            rows.append(shown(note))
    kept = [note.id for note in reversed(account.notes) if note.created >= oldest]
    return lists.page("/v1/events", lists.within(rows, params.get("created")), params, kept)


def _named(kind: str, kinds: list[str] | None) -> bool:
    if kinds is None:
        return True
    return any(
        kind == each or (each.endswith("*") and kind.startswith(each[:-1])) for each in kinds
    )


def shown(note: Note) -> Json:
    """Return an event as it was made, with what is still to be delivered of it."""
    return {**note.event, "pending_webhooks": 0 if note.delivered else 1}


def _event(account: Account, params: Json, name: str) -> Json:
    oldest = account.now - account.settings.event_days * DAY
    for note in account.notes:
        if note.id == name and note.created >= oldest:
            return shown(note)
    raise missing("event", name)


def _list_invoice_payments(account: Account, params: Json) -> Json:
    rows = _named_by(account, "invoice_payment", params)
    if params.get("status"):
        rows = [row for row in rows if row["status"] == params["status"]]
    asked = params.get("payment") or {}
    for key in ("payment_intent", "charge"):
        if asked.get(key):
            rows = [row for row in rows if row["payment"].get(key) == asked[key]]
    return lists.page("/v1/invoice_payments", rows, params)


def _list_entitlements(account: Account, params: Json) -> Json:
    if not params.get("customer"):
        raise needed("customer")
    account.get("customer", params["customer"], "customer")
    rows = metering.entitlements(account, params["customer"])
    return lists.page("/v1/entitlements/active_entitlements", rows, params)


def _list_methods(account: Account, params: Json, customer: str | None = None) -> Json:
    owner = customer or params.get("customer")
    rows = account.every("payment_method", customer=owner)[::-1] if owner else []
    if params.get("type"):
        rows = [row for row in rows if row["type"] == params["type"]]
    return lists.page(f"/v1/customers/{owner}/payment_methods", rows, params)


def _invoice_lines(account: Account, params: Json, invoice: str) -> Json:
    rows = account.get("invoice", invoice)["lines"]["data"]
    return lists.page(f"/v1/invoices/{invoice}/lines", rows, params)


def _session_lines(account: Account, params: Json, session: str) -> Json:
    rows = checkout.line_items(account, account.get("checkout.session", session))
    return lists.page(f"/v1/checkout/sessions/{session}/line_items", rows, params)


def _items(account: Account, params: Json) -> Json:
    row = account.get("subscription", params.get("subscription"), "subscription")
    return lists.page("/v1/subscription_items", row["items"]["data"], params)


def _attach(account: Account, params: Json, name: str) -> Json:
    customer = account.get("customer", params.get("customer"), "customer")
    return cards.attach(account, cards.method_for(account, name), customer)


def _detach(account: Account, params: Json, name: str) -> Json:
    return cards.detach(account, account.get("payment_method", name))


def _cancel_refund(account: Account, params: Json, name: str) -> Json:
    raise Refused(
        400,
        "invalid_request_error",
        "You can only cancel refunds that require action.",
        code="refund_not_cancelable",
    )


def _features(account: Account, params: Json, product: str) -> Json:
    account.get("product", product)
    rows = [
        row
        for row in account.every("product_feature")
        if account.hidden[row["id"]]["product"] == product
    ]
    return lists.page(f"/v1/products/{product}/features", rows, params)


def _own_account(account: Account, params: Json) -> Json:
    return {"id": "acct_fake", "object": "account", "charges_enabled": True, "country": "US"}


# Kinds that can be read, listed with filters, and whose plain fields can be changed.
READ: dict[str, tuple[str, tuple[str, ...]]] = {
    "customers": ("customer", ("email",)),
    "products": ("product", ("active",)),
    "prices": ("price", ()),
    "coupons": ("coupon", ()),
    "promotion_codes": ("promotion_code", ("active", "code", "coupon", "customer")),
    "subscriptions": ("subscription", ()),
    "invoices": ("invoice", ("customer", "status", "subscription", "collection_method")),
    "invoiceitems": ("invoiceitem", ("customer", "invoice")),
    "payment_intents": ("payment_intent", ("customer",)),
    "setup_intents": ("setup_intent", ("customer",)),
    "payment_methods": ("payment_method", ()),
    "charges": ("charge", ("customer", "payment_intent")),
    "refunds": ("refund", ("charge", "payment_intent")),
    "disputes": ("dispute", ("charge", "payment_intent")),
    "balance_transactions": ("balance_transaction", ("source", "type")),
    "invoice_payments": ("invoice_payment", ()),
    "subscription_items": ("subscription_item", ()),
    "subscription_schedules": ("subscription_schedule", ("customer",)),
    "checkout/sessions": (
        "checkout.session", ("customer", "payment_intent", "status", "subscription"),
    ),
    "billing_portal/configurations": ("billing_portal.configuration", ("active", "is_default")),
    "webhook_endpoints": ("webhook_endpoint", ()),
    "entitlements/features": ("entitlements.feature", ("lookup_key",)),
    "radar/early_fraud_warnings": ("radar.early_fraud_warning", ("charge", "payment_intent")),
}  # fmt: skip
OWN_LISTS: dict[str, Handler] = {
    "subscriptions": _list_subscriptions,
    "prices": _list_prices,
    "invoice_payments": _list_invoice_payments,
    "subscription_items": _items,
    "payment_methods": _list_methods,
}
CHANGED: dict[str, tuple[str, ...]] = {
    "products": ("name", "active", "description", "default_price", "images", "tax_code", "url"),
    "prices": ("active", "nickname", "tax_behavior", "lookup_key"),
    "coupons": ("name",),
    "webhook_endpoints": ("description", "enabled_events", "url"),
    "promotion_codes": ("active",),
    "payment_intents": ("description",),
    "payment_methods": ("billing_details",),
    "charges": ("description",),
    "refunds": (),
}
OWN: list[tuple[str, str, Handler]] = [
    ("POST", "customers", customers.create_customer),
    ("POST", "customers/{}", customers.update_customer),
    ("DELETE", "customers/{}", customers.delete_customer),
    ("GET", "customers/search", customers.search),
    ("GET", "customers/{}/payment_methods", _list_methods),
    ("POST", "setup_intents", customers.create_setup_intent),
    ("POST", "payment_methods", cards.create_method),
    ("POST", "payment_methods/{}/attach", _attach),
    ("POST", "payment_methods/{}/detach", _detach),
    ("POST", "products", catalogue.create_product),
    ("DELETE", "products/{}", partial(_delete, "product", "product.deleted")),
    ("POST", "products/{}/features", catalogue.attach_feature),
    ("GET", "products/{}/features", _features),
    ("POST", "prices", catalogue.create_price),
    ("POST", "coupons", catalogue.create_coupon),
    ("DELETE", "coupons/{}", partial(_delete, "coupon", "coupon.deleted")),
    ("POST", "promotion_codes", catalogue.create_promotion_code),
    ("POST", "entitlements/features", catalogue.create_feature),
    ("GET", "entitlements/active_entitlements", _list_entitlements),
    ("POST", "billing/meter_events", metering.create_meter_event),
    ("POST", "checkout/sessions", checkout.create_session),
    ("POST", "checkout/sessions/{}", checkout.update_session),
    ("POST", "checkout/sessions/{}/expire", checkout.expire_session),
    ("GET", "checkout/sessions/{}/line_items", _session_lines),
    ("POST", "billing_portal/sessions", portal.create_session),
    ("POST", "billing_portal/configurations", portal.create_configuration),
    ("POST", "subscriptions", subscriptions.create_subscription),
    ("POST", "subscriptions/{}", updates.update_subscription),
    ("DELETE", "subscriptions/{}", subscriptions.cancel_subscription),
    ("POST", "subscriptions/{}/resume", subscriptions.resume_subscription),
    ("POST", "subscription_schedules", schedules.create_schedule),
    ("POST", "subscription_schedules/{}", schedules.update_schedule),
    ("POST", "subscription_schedules/{}/release", schedules.release_schedule),
    ("POST", "subscription_items", updates.add_item),
    ("POST", "subscription_items/{}", updates.change_item),
    ("DELETE", "subscription_items/{}", updates.drop_item),
    ("POST", "invoices/create_preview", previews.create_preview),
    ("POST", "invoices", invoice_calls.create_invoice),
    ("POST", "invoices/{}", invoice_calls.update_invoice),
    ("DELETE", "invoices/{}", invoice_calls.delete_invoice),
    ("GET", "invoices/{}/lines", _invoice_lines),
    ("POST", "invoices/{}/finalize", invoice_calls.finalize_invoice),
    ("POST", "invoices/{}/pay", invoice_calls.pay_invoice),
    ("POST", "invoices/{}/void", invoice_calls.void_invoice),
    ("POST", "invoices/{}/mark_uncollectible", invoice_calls.give_up_invoice),
    ("POST", "invoices/{}/send", invoice_calls.send_invoice),
    ("POST", "invoiceitems", invoice_calls.create_item),
    ("DELETE", "invoiceitems/{}", partial(_delete, "invoiceitem", "invoiceitem.deleted")),
    ("POST", "payment_intents", payments.create_intent),
    ("POST", "payment_intents/{}/confirm", payments.confirm_intent),
    ("POST", "payment_intents/{}/cancel", payments.cancel),
    ("POST", "refunds", bank.create_refund),
    ("POST", "refunds/{}/cancel", _cancel_refund),
    ("POST", "disputes/{}", bank.answer_dispute),
    ("POST", "disputes/{}/close", bank.close_dispute),
    ("POST", "webhook_endpoints", hooks.create_endpoint),
    ("DELETE", "webhook_endpoints/{}", hooks.delete_endpoint),
    ("GET", "events", _list_events),
    ("GET", "events/{}", _event),
    ("GET", "account", _own_account),
]


def _table() -> list[tuple[str, re.Pattern[str], Handler]]:
    rows: list[tuple[str, str, Handler]] = list(OWN)
    for path, (kind, filters) in READ.items():
        listing = OWN_LISTS.get(path) or partial(_list, kind, f"/v1/{path}", filters)
        rows.append(("GET", path, listing))
        rows.append(("GET", path + "/{}", partial(_retrieve, kind)))
    for path, keys in CHANGED.items():
        rows.append(("POST", path + "/{}", partial(_update, READ[path][0], keys)))
    return [
        (method, re.compile(f"^/v1/{path.replace('{}', '([^/]+)')}$"), handler)
        for method, path, handler in rows
    ]


TABLE = _table()


def find(method: str, path: str) -> tuple[Handler, tuple[str, ...]]:
    """Return what an address does, and the names in it; refuse an address that does nothing."""
    for verb, pattern, handler in TABLE:
        match = pattern.match(path) if verb == method else None
        if match:
            return handler, match.groups()
    raise Refused(
        404,
        "invalid_request_error",
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we "
        "can help at https://support.stripe.com/.",
    )
