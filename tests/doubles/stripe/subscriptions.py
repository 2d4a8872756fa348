"""Subscriptions: start, change, cancel, pause and resume."""

from tests.doubles.stripe import cards, changes, customers, discounts, invoices, lines
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import DAY, HOUR
from tests.doubles.stripe.errors import Refused, card_error, invalid
from tests.doubles.stripe.values import Json

ENDED = frozenset({"canceled", "incomplete_expired"})
WAITS = 23 * HOUR


def create_subscription(account: Account, params: Json) -> Json:
    """Answer POST /v1/subscriptions."""
    customer = account.get("customer", params.get("customer"), "customer")
    return start(account, customer, params)


def start(
    account: Account,
    customer: Json,
    params: Json,
    *,
    authenticated: bool = False,
    session: str | None = None,
) -> Json:
    """Start a subscription and bill its first period."""
    rows = params.get("items") or []
    if not rows:
        raise invalid("Missing required param: items.", "items", "parameter_missing")
    subscription = _new(account, customer, params)
    trial_end = subscription["trial_end"]
    anchor = trial_end or params.get("billing_cycle_anchor") or account.now
    items = [
        changes.new_item(account, subscription["id"], row, account.now, trial_end) for row in rows
    ]
    for item in items:
        if trial_end is None:
            end = changes.next_end(item["price"], anchor, account.now)
            item["current_period_end"] = end
    subscription["items"]["data"] = items
    subscription["currency"] = items[0]["price"]["currency"]
    subscription["billing_cycle_anchor"] = anchor
    amount = sum(lines.cost(item) for item in items)
    wanted = discounts.wanted(account, params.get("discounts"), customer, amount)
    method = (
        cards.method_for(account, name) if (name := params.get("default_payment_method")) else None
    )
    subscription["default_payment_method"] = method and method["id"]
    _refuse_without_card(account, customer, subscription, params, amount)
    account.hidden[subscription["id"]] = {}
    for item in items:
        account.add(item)
    account.add(subscription, "customer.subscription.created")
    account.touch(subscription)["discounts"] = [
        discounts.redeem(
            account, coupon, code, customer["id"], subscription=subscription["id"], session=session
        )["id"]
        for coupon, code in wanted
    ]
    set_cancellation(account, subscription, params)
    if trial_end is not None and method_of(account, subscription) is None:
        subscription["pending_setup_intent"] = customers.pending_setup(account, customer)["id"]
    _bill_first(account, subscription, params, authenticated=authenticated)
    return subscription


def _new(account: Account, customer: Json, params: Json) -> Json:
    name = account.id("sub")
    trial_end = _trial_end(account, params)
    collection = params.get("collection_method", "charge_automatically")
    if collection == "send_invoice" and params.get("days_until_due") is None:
        raise invalid("You must pass `days_until_due` with send_invoice.", "days_until_due")
    status = "active" if collection == "send_invoice" else "incomplete"
    settings = params.get("payment_settings") or {}
    tax = (params.get("automatic_tax") or {}).get("enabled", False)
    behaviour = (params.get("trial_settings") or {}).get("end_behavior") or {}
    return {
        "id": name,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": tax,
            "liability": {"type": "self"} if tax else None,
        },
        "billing_cycle_anchor": account.now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {
            "type": "flexible",
            "flexible": {"proration_discounts": "included"},
            "updated_at": account.now,
        },
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {
            "comment": None,
            "feedback": None,
            "feedback_option": None,
            "reason": None,
        },
        "collection_method": collection,
        "created": account.now,
        "currency": "usd",
        "customer": customer["id"],
        "customer_account": None,
        "days_until_due": params.get("days_until_due"),
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": params.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "items": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={name}",
        },
        "latest_invoice": None,
        "livemode": account.settings.livemode,
        "managed_payments": None,
        "metadata": params.get("metadata") or {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": settings.get("payment_method_types"),
            "save_default_payment_method": settings.get("save_default_payment_method", "off"),
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": account.now,
        "status": "trialing" if trial_end else status,
        "status_details": None,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": trial_end,
        "trial_settings": {
            "end_behavior": {
                "missing_payment_method": behaviour.get("missing_payment_method", "create_invoice")
            }
        },
        "trial_start": account.now if trial_end else None,
    }


def _trial_end(account: Account, params: Json) -> int | None:
    end = params.get("trial_end")
    if end == "now":
        return None
    if end is not None:
        if end <= account.now:
            raise invalid("`trial_end` must be in the future.", "trial_end")
        return int(end)
    days = params.get("trial_period_days")
    return account.now + days * DAY if days else None


def method_of(account: Account, subscription: Json) -> Json | None:
    """Return what a subscription's invoices are paid by."""
    customer = account.objects[subscription["customer"]]
    name = subscription["default_payment_method"]
    name = name or customer["invoice_settings"]["default_payment_method"]
    return account.find("payment_method", name)


def _refuse_without_card(
    account: Account, customer: Json, subscription: Json, params: Json, amount: int
) -> None:
    behaviour = params.get("payment_behavior", "allow_incomplete")
    automatic = subscription["collection_method"] == "charge_automatically"
    if (
        subscription["trial_end"]
        or not amount
        or not automatic
        or behaviour == "default_incomplete"
    ):
        return
    method = method_of(account, subscription)
    if method is None:
        raise invalid(invoices.NO_METHOD, code="resource_missing")
    if behaviour == "error_if_incomplete":
        refuse_bad_card(account, method, off_session=params.get("off_session", False))


def refuse_bad_card(account: Account, method: Json, *, off_session: bool) -> None:
    """Refuse a change at once whose payment would not go through."""
    known = cards.card_of(account, method)
    if known.code:
        raise card_error(known.code, known.decline_code, known.message)
    if cards.asks_for_customer(account, method, off_session=off_session):
        raise card_error(
            "subscription_payment_intent_requires_action",
            None,
            "Payment for this subscription requires additional user action before it can be "
            "completed successfully.",
        )


def _bill_first(account: Account, subscription: Json, params: Json, *, authenticated: bool) -> None:
    items = subscription["items"]["data"]
    if subscription["trial_end"]:
        rows = [lines.trial_line(account, subscription, item) for item in items]
    else:
        rows = [_first_line(account, subscription, item) for item in items]
    invoice = bill(account, subscription, rows, "subscription_create", account.now, account.now)
    if subscription["collection_method"] == "send_invoice" and invoice["total"]:
        return
    invoices.finalize(account, invoice)
    waits = params.get("payment_behavior") == "default_incomplete"
    if invoice["status"] == "open" and not waits:
        invoices.collect(
            account,
            invoice,
            off_session=params.get("off_session", False),
            authenticated=authenticated,
        )


def _first_line(account: Account, subscription: Json, item: Json) -> lines.Line:
    start, end = item["current_period_start"], item["current_period_end"]
    line = lines.period_line(account, subscription, item, start, end)
    whole = changes.next_end(item["price"], start, start)
    if end < whole:
        # The grid starts later than the subscription: what is before it is paid by the second.
        line.amount = lines.part(lines.cost(item), whole - (end - start), start, whole)
        line.proration = True
    return line


def bill(
    account: Account,
    subscription: Json,
    rows: list[lines.Line],
    reason: str,
    start: int,
    end: int,
) -> Json:
    """Make the draft of a subscription's invoice from lines and from what waits for it."""
    waiting = invoices.pending_items(account, subscription["customer"], subscription["id"])
    rows = [invoices.line_of_item(account, row) for row in waiting] + rows
    automatic = subscription["collection_method"] == "charge_automatically"
    plan = invoices.Plan(
        subscription["customer"],
        rows,
        reason,
        subscription["currency"],
        subscription,
        start=start,
        end=end,
        reductions=changes.reductions(account, subscription),
        collection=subscription["collection_method"],
        days_until_due=None if automatic else subscription["days_until_due"],
        taxed=subscription["automatic_tax"]["enabled"],
    )
    invoice = invoices.issue(account, plan)
    for row in waiting:
        row["invoice"] = invoice["id"]
    if invoice["subtotal"] > 0:
        discounts.use_up(account, subscription)
    return invoice


def set_cancellation(account: Account, row: Json, params: Json) -> None:
    """Have a subscription end later, or go on after all."""
    details = params.get("cancellation_details") or {}
    account.touch(row)["cancellation_details"].update(details)
    items = row["items"]["data"]
    if params.get("cancel_at_period_end") is True:
        at = min(item["current_period_end"] for item in items)
        _will_end(account, row, at, whole=True)
    elif params.get("cancel_at_period_end") is False and row["cancel_at_period_end"]:
        _goes_on(row)
    if "cancel_at" not in params:
        return
    at = params["cancel_at"]
    if at is None:
        _goes_on(row)
        return
    named = {"min_period_end": min, "max_period_end": max}
    if at in named:
        at = named[at](item["current_period_end"] for item in items)
    if at <= account.now:
        raise invalid("`cancel_at` must be in the future.", "cancel_at")
    _will_end(account, row, at, whole=False)


def _will_end(account: Account, row: Json, at: int, *, whole: bool) -> None:
    row.update(cancel_at=at, cancel_at_period_end=whole, canceled_at=account.now)
    row["cancellation_details"]["reason"] = "cancellation_requested"


def _goes_on(row: Json) -> None:
    row.update(cancel_at=None, cancel_at_period_end=False, canceled_at=None)
    row["cancellation_details"] = dict.fromkeys(row["cancellation_details"])


def wait_for_payment(account: Account, row: Json, invoice: Json) -> None:
    """Show what a subscription will become once its invoice is paid, for 23 hours."""
    held = account.hidden[invoice["id"]]["update"]
    account.touch(row)["pending_update"] = {
        "billing_cycle_anchor": held["anchor"],
        "expires_at": account.now + WAITS,
        "subscription_items": held["items"],
        "trial_end": None,
        "trial_from_plan": None,
    }
    account.touch(invoice).update(auto_advance=False, next_payment_attempt=None)
    account.hidden[row["id"]]["waits_for"] = invoice["id"]


def apply(account: Account, row: Json, items: list[Json], anchor: int | None) -> None:
    """Have these items from now on."""
    account.touch(row)["items"]["data"] = items
    if anchor is not None:
        row["billing_cycle_anchor"] = anchor
    for item in items:
        if item["id"] not in account.objects:
            account.add(item)
        account.objects[item["id"]] = item


def cancel_subscription(account: Account, params: Json, subscription: str) -> Json:
    """Answer DELETE /v1/subscriptions/{subscription}: it ends now."""
    row = account.get("subscription", subscription)
    if row["status"] in ENDED:
        raise Refused(
            404,
            "invalid_request_error",
            f"No such subscription: '{subscription}'",
            code="resource_missing",
            param="id",
        )
    account.touch(row)["cancellation_details"].update(params.get("cancellation_details") or {})
    if params.get("prorate") and row["status"] not in {"trialing", "incomplete"}:
        for item in row["items"]["data"]:
            line = lines.credit_line(account, row, item, account.now)
            invoices.make_item(account, row["customer"], line, None)
    if params.get("invoice_now") and invoices.pending_items(account, row["customer"], row["id"]):
        invoice = bill(account, row, [], "subscription_cycle", row["start_date"], account.now)
        invoices.finalize(account, invoice)
    end(account, row, "cancellation_requested")
    return row


def end(account: Account, row: Json, reason: str | None) -> None:
    """End a subscription at once; its open invoices are no longer collected."""
    account.touch(row)
    for invoice in account.every("invoice", customer=row["customer"]):
        if invoices.subscription_of(account, invoice) is not row:
            continue
        if invoice["status"] in {"draft", "open"}:
            account.touch(invoice).update(auto_advance=False, next_payment_attempt=None)
    if row["status"] == "incomplete":
        expire(account, row)
        return
    row.update(
        status="canceled",
        canceled_at=row["canceled_at"] or account.now,
        ended_at=account.now,
        pending_update=None,
    )
    if reason is not None:
        row["cancellation_details"]["reason"] = reason
    account.told(row)
    account.tell("customer.subscription.deleted", row)


def expire(account: Account, row: Json) -> None:
    """Give up a subscription whose first invoice was not paid in time."""
    invoice = account.find("invoice", row["latest_invoice"])
    if invoice is not None and invoice["status"] == "open":
        invoices.void(account, invoice)
    account.touch(row).update(status="incomplete_expired", ended_at=account.now)


def resume_subscription(account: Account, params: Json, subscription: str) -> Json:
    """Answer POST /v1/subscriptions/{subscription}/resume."""
    row = account.get("subscription", subscription)
    if row["status"] != "paused":
        raise invalid(
            "You cannot resume this subscription because it isn't paused.", code="status_invalid"
        )
    account.touch(row)
    for item in row["items"]["data"]:
        item["current_period_start"] = account.now
        item["current_period_end"] = changes.next_end(item["price"], account.now, account.now)
    row["billing_cycle_anchor"] = account.now
    rows = [
        lines.period_line(
            account, row, item, item["current_period_start"], item["current_period_end"]
        )
        for item in row["items"]["data"]
    ]
    invoice = bill(account, row, rows, "subscription_update", account.now, account.now)
    account.hidden[invoice["id"]]["resumes"] = True
    invoices.finalize(account, invoice)
    if invoice["status"] == "open":
        invoices.collect(account, invoice, off_session=True)
    if row["status"] == "paused" and params.get("payment_behavior") != "resume_on_payment_success":
        # The try alone resumes it: it is late from the start.
        account.hidden[invoice["id"]].pop("resumes", None)
        resumed(account, row)
        account.touch(row)["status"] = "past_due"
    return row


def resumed(account: Account, row: Json) -> None:
    """Have a paused subscription go on: its invoice is paid."""
    account.touch(row).update(status="active", status_details=None)
    account.settle(row)
    account.tell("customer.subscription.resumed", row)
