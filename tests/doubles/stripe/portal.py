"""The billing portal, the hosted invoice, and what a customer does there."""

from tests.doubles.stripe import cards, customers, invoices, payments, subscriptions, updates
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import CardDeclined, Refused, invalid
from tests.doubles.stripe.values import Json


def create_configuration(account: Account, params: Json) -> Json:
    """Answer POST /v1/billing_portal/configurations."""
    features = params.get("features") or {}

    def on(name: str) -> bool:
        given = (features.get(name) or {}).get("enabled", True)
        return given not in {False, "false"}

    profile = params.get("business_profile") or {}
    row = {
        "id": account.id("bpc"),
        "object": "billing_portal.configuration",
        "active": True,
        "application": None,
        "business_profile": {
            "headline": profile.get("headline"),
            "privacy_policy_url": profile.get("privacy_policy_url"),
            "terms_of_service_url": profile.get("terms_of_service_url"),
        },
        "created": account.now,
        "default_return_url": params.get("default_return_url"),
        "features": {
            "customer_update": {"allowed_updates": ["email"], "enabled": on("customer_update")},
            "invoice_history": {"enabled": on("invoice_history")},
            "payment_method_update": {
                "enabled": on("payment_method_update"),
                "payment_method_configuration": None,
            },
            "subscription_cancel": {
                "cancellation_reason": {"enabled": False, "options": ["too_expensive", "other"]},
                "enabled": on("subscription_cancel"),
                "mode": "at_period_end",
                "proration_behavior": "none",
            },
            "subscription_update": {
                "billing_cycle_anchor": None,
                "default_allowed_updates": ["price"],
                "enabled": on("subscription_update"),
                "proration_behavior": "always_invoice",
                "schedule_at_period_end": {"conditions": []},
                "trial_update_behavior": "end_trial",
            },
        },
        "is_default": not account.every("billing_portal.configuration"),
        "livemode": account.settings.livemode,
        "login_page": {"enabled": False, "url": None},
        "metadata": params.get("metadata") or {},
        "name": None,
        "updated": account.now,
    }
    return account.add(row, "billing_portal.configuration.created")


def create_session(account: Account, params: Json) -> Json:
    """Answer POST /v1/billing_portal/sessions."""
    customer = account.get("customer", params.get("customer"), "customer")
    configuration = params.get("configuration")
    if configuration:
        account.get("billing_portal.configuration", configuration, "configuration")
    else:
        known = account.every("billing_portal.configuration")
        configuration = (known[0] if known else create_configuration(account, {}))["id"]
    name = account.id("bps")
    pages = account.settings.pages or "https://billing.stripe.com"
    session = {
        "id": name,
        "object": "billing_portal.session",
        "configuration": configuration,
        "created": account.now,
        "customer": customer["id"],
        "customer_account": None,
        "flow": _flow(params.get("flow_data")),
        "livemode": account.settings.livemode,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": params.get("return_url"),
        "url": f"{pages}/p/session/{name}",
    }
    return account.add(session, "billing_portal.session.created")


def _flow(given: Json | None) -> Json | None:
    if not given:
        return None
    kind = given["type"]
    flow: Json = {
        "after_completion": {
            "hosted_confirmation": None,
            "redirect": None,
            "type": "portal_homepage",
        },
        "customer_update": None,
        "subscription_cancel": None,
        "subscription_update": None,
        "subscription_update_confirm": None,
        "type": kind,
    }
    asked = given.get(kind)
    if kind == "subscription_cancel" and asked:
        flow[kind] = {"retention": None, "subscription": asked["subscription"]}
    elif kind == "subscription_update" and asked:
        flow[kind] = {"subscription": asked["subscription"]}
    elif kind == "subscription_update_confirm" and asked:
        flow[kind] = {
            "discounts": asked.get("discounts"),
            "items": [
                {"id": None, "price": None, **item, "quantity": int(item.get("quantity", 1))}
                for item in asked["items"]
            ],
            "subscription": asked["subscription"],
        }
    return flow


def sells(account: Account, session: Json) -> bool:
    """Tell whether plans are changed in a session."""
    settings = account.get("billing_portal.configuration", session["configuration"])
    return bool(settings["features"]["subscription_update"]["enabled"])


def cancel(
    account: Account, name: str, *, at_period_end: bool, by: str, feedback: str | None
) -> Json:
    """Cancel in the portal."""
    details = {"feedback": feedback} if feedback else {}
    if not at_period_end:
        return subscriptions.cancel_subscription(account, {"cancellation_details": details}, name)
    how: Json = {"cancel_at_period_end": True}
    if by == "cancel_at":
        how = {"cancel_at": "min_period_end"}
    return updates.update_subscription(account, {**how, "cancellation_details": details}, name)


def undo_cancel(account: Account, name: str) -> Json:
    """Take a cancellation back in the portal."""
    row = account.get("subscription", name)
    if row["cancel_at"] is None:
        raise invalid("This subscription is not cancelled.")
    how: Json = {"cancel_at_period_end": False} if row["cancel_at_period_end"] else {}
    return updates.update_subscription(account, how or {"cancel_at": None}, name)


def change_plan(account: Account, name: str, price: str) -> Json:
    """Change to another price in the portal: charged at once, refused if the card is."""
    row = account.get("subscription", name)
    item = row["items"]["data"][0]
    params = {
        "items": [{"id": item["id"], "price": price}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "pending_if_incomplete",
    }
    return updates.update_subscription(account, params, name)


def new_card(account: Account, customer: str, card: str) -> Json:
    """Save another card in the portal: it becomes the one all is paid by."""
    row = account.get("customer", customer)
    method = cards.make_method(account, card)
    try:
        cards.attach(account, method, row)
    except Refused as no:
        raise CardDeclined(no.details["code"], no.details.get("decline_code"), str(no)) from no
    cards.set_up(account, method)
    customers.set_default(account, row, method["id"])
    for subscription in account.every("subscription", customer=customer):
        if subscription["status"] not in subscriptions.ENDED:
            account.touch(subscription)["default_payment_method"] = method["id"]
    return method


def pay_invoice(
    account: Account, name: str, card: str | None, *, authenticate: bool | None
) -> Json:
    """Pay on the hosted page of an invoice, with a new card or the one that is saved."""
    invoice = account.get("invoice", name)
    if invoice["status"] not in {"open", "uncollectible"}:
        raise invalid(f"This invoice is {invoice['status']}.")
    customer = account.get("customer", invoice["customer"])
    method = cards.make_method(account, card) if card else invoices.method_of(account, invoice)
    if method is None:
        raise CardDeclined("incomplete_number", None, "Your card number is incomplete.")
    done = invoices.collect(
        account,
        invoice,
        method=method,
        off_session=False,
        authenticated=authenticate is True,
        manual=True,
    )
    if done == payments.ASKS and authenticate is False:
        payments.fail_authentication(account, invoices.intent_of(account, invoice))
    if done == payments.SUCCEEDED and card:
        cards.attach(account, method, customer)
        row = invoices.subscription_of(account, invoice)
        if row is not None and row["status"] not in subscriptions.ENDED:
            account.touch(row)["default_payment_method"] = method["id"]
    if done == payments.DECLINED:
        error = invoices.intent_of(account, invoice)["last_payment_error"] or {}
        raise CardDeclined(
            error.get("code", "card_declined"), error.get("decline_code"),
            error.get("message", cards.DECLINED),
        )  # fmt: skip
    return invoice


def authenticate(account: Account, intent: Json, *, ok: bool) -> Json:
    """Answer the bank's question about a payment that waits for its customer."""
    if intent["status"] != payments.ASKS:
        raise invalid("This payment waits for no 3-D Secure.")
    if not ok:
        payments.fail_authentication(account, intent)
        return intent
    method = account.objects[intent["payment_method"]]
    rows = [
        row
        for row in account.every("invoice_payment", status="open")
        if row["payment"].get("payment_intent") == intent["id"]
    ]
    if rows:
        invoice = account.objects[rows[0]["invoice"]]
        invoices.collect(
            account, invoice, method=method, off_session=False, authenticated=True, manual=True
        )
    else:
        payments.charge_intent(account, intent, method, off_session=False, authenticated=True)
    return intent
