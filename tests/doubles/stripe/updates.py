"""Changes of a subscription: plain fields, pauses, trials, and items with what they cost."""

from typing import Any

from tests.doubles.stripe import (
    cards,
    changes,
    customers,
    cycle,
    discounts,
    invoices,
    lines,
    schedules,
    subscriptions,
)
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import invalid
from tests.doubles.stripe.values import Json, clone

# The only parameters that may stand beside payment_behavior=pending_if_incomplete.
PENDING = frozenset(
    {
        "add_invoice_items", "billing_cycle_anchor", "discounts", "expand", "items", "off_session",
        "payment_behavior", "proration_behavior", "proration_date", "trial_end", "trial_from_plan",
    }
)  # fmt: skip
PLAIN = ("collection_method", "days_until_due", "default_payment_method", "description")


def update_subscription(account: Account, params: Json, subscription: str) -> Json:
    """Answer POST /v1/subscriptions/{subscription}."""
    row = account.get("subscription", subscription)
    params = _with_plain_anchor(params)
    if row["status"] in subscriptions.ENDED and set(params) - {
        "metadata",
        "cancellation_details",
        "expand",
    }:
        raise invalid(
            "A canceled subscription can only update its cancellation_details and metadata."
        )
    if params.get("payment_behavior") == "pending_if_incomplete":
        _only_pending(params)
    if params.get("payment_behavior") == "error_if_incomplete":
        _only_paid(account, row, params)
    if row["schedule"] and params.keys() & {"cancel_at", "cancel_at_period_end"}:
        raise invalid(schedules.MANAGED.format(row["schedule"]))
    account.touch(row)
    _set_plain(account, row, params)
    subscriptions.set_cancellation(account, row, params)
    _set_pause(row, params)
    before = list(row["discounts"])
    if "discounts" in params:
        _set_discounts(account, row, params["discounts"])
    items = params.get("items") or []
    if params.get("trial_end") is not None:
        _set_trial(account, row, params)
    if items or params.get("billing_cycle_anchor") == "now":
        _change_items(account, row, items, params)
    if row["pending_update"] is not None and row["discounts"] != before:
        invoice = account.hidden[row["id"]]["waits_for"]
        account.hidden[invoice]["update"]["discounts"] = row["discounts"]
        row["discounts"] = before
    return row


def _with_plain_anchor(params: Json) -> Json:
    """Read the anchor, which is an object since Endive."""
    given = params.get("billing_cycle_anchor")
    if given is None:
        return params
    if not isinstance(given, dict):
        raise invalid("Invalid object", "billing_cycle_anchor")
    return {**params, "billing_cycle_anchor": given["type"]}


def _only_pending(params: Json) -> None:
    odd = sorted(set(params) - PENDING)
    if odd:
        raise invalid(
            "When `payment_behavior` is set to `pending_if_incomplete`, you can only pass "
            f"supported params. {odd[0]} is not supported.",
            odd[0],
        )


def _only_paid(account: Account, row: Json, params: Json) -> None:
    """Refuse all that is asked for, before any of it is done, where a card does not pay."""
    items = params.get("items") or []
    if not items and params.get("billing_cycle_anchor") != "now":
        return
    change = changes.plan(account, row, items, params)
    behaviour = params.get("proration_behavior", "create_prorations")
    if change.reset or (behaviour == "always_invoice" and change.prorations):
        method = subscriptions.method_of(account, row)
        if method is None:
            raise invalid(invoices.NO_METHOD, code="resource_missing")
        subscriptions.refuse_bad_card(account, method, off_session=params.get("off_session", False))


def _set_plain(account: Account, row: Json, params: Json) -> None:
    for key in PLAIN:
        if key not in params:
            continue
        value = params[key]
        if key == "default_payment_method" and value is not None:
            value = cards.method_for(account, value)["id"]
        row[key] = value
    customers.merge_metadata(row, params)
    ends = (params.get("trial_settings") or {}).get("end_behavior")
    if ends:
        row["trial_settings"]["end_behavior"].update(ends)
    if "automatic_tax" in params:
        row["automatic_tax"]["enabled"] = params["automatic_tax"].get("enabled", False)
    if settings := params.get("payment_settings"):
        row["payment_settings"].update(settings)


def _set_pause(row: Json, params: Json) -> None:
    if "pause_collection" not in params:
        return
    given = params["pause_collection"]
    row["pause_collection"] = given and {
        "behavior": given["behavior"],
        "resumes_at": given.get("resumes_at"),
    }


def _set_discounts(account: Account, row: Json, given: list[Json] | None) -> None:
    customer = account.objects[row["customer"]]
    kept = [each["discount"] for each in given or [] if each.get("discount") in row["discounts"]]
    new = [each for each in given or [] if not each.get("discount")]
    amount = sum(lines.cost(item) for item in row["items"]["data"])
    wanted = discounts.wanted(account, new, customer, amount)
    for name in set(row["discounts"]) - set(kept):
        account.tell("customer.discount.deleted", account.objects[name])
    row["discounts"] = kept + [
        discounts.redeem(account, coupon, code, customer["id"], subscription=row["id"])["id"]
        for coupon, code in wanted
    ]


def _set_trial(account: Account, row: Json, params: Json) -> None:
    end = params["trial_end"]
    if end == "now":
        if row["status"] == "trialing":
            cycle.end_trial(account, row, at_once=True)
        return
    if end <= account.now:
        raise invalid("`trial_end` must be in the future.", "trial_end")
    prorate = params.get("proration_behavior", "create_prorations") != "none"
    items = row["items"]["data"]
    rows: list[lines.Line] = []
    if row["status"] != "trialing" and prorate:
        rows = [lines.credit_line(account, row, item, account.now) for item in items]
    starts = row["status"] != "trialing"
    row.update(trial_end=end, billing_cycle_anchor=end, status="trialing")
    row["trial_start"] = row["trial_start"] or account.now
    for item in items:
        item["current_period_start"] = account.now if starts else item["current_period_start"]
        item["current_period_end"] = end
    if starts:
        rows += [lines.trial_line(account, row, item) for item in items]
        invoice = subscriptions.bill(
            account, row, rows, "subscription_update", account.now, account.now
        )
        invoices.finalize(account, invoice)


def _change_items(account: Account, row: Json, items: list[Json], params: Json) -> None:
    change = changes.plan(account, row, items, params)
    behaviour = params.get("proration_behavior", "create_prorations")
    if not change.reset and not (behaviour == "always_invoice" and change.prorations):
        for line in change.prorations:
            invoices.make_item(account, row["customer"], line, None)
        subscriptions.apply(account, row, change.items, change.at if change.reset else None)
        return
    how = params.get("payment_behavior", "allow_incomplete")
    _drop_pending(account, row)
    former = clone(row["items"]["data"]), row["billing_cycle_anchor"]
    subscriptions.apply(account, row, change.items, change.at if change.reset else None)
    for line in change.prorations:
        invoices.make_item(account, row["customer"], line, None)
    invoice = subscriptions.bill(
        account, row, change.whole, "subscription_update", row["start_date"], account.now
    )
    if how == "pending_if_incomplete":
        _hold_back(account, row, invoice, change, former)
    invoices.finalize(account, invoice)
    if invoice["status"] == "open" and how != "default_incomplete":
        invoices.collect(account, invoice, off_session=params.get("off_session", False))
    if row["pending_update"] is None and how == "default_incomplete":
        row["status"] = "past_due" if invoice["status"] == "open" else row["status"]


def _hold_back(
    account: Account, row: Json, invoice: Json, change: changes.Change, former: tuple[Any, Any]
) -> None:
    """Leave the old items in force until the invoice is paid."""
    held = clone(row["items"]["data"])
    subscriptions.apply(account, row, former[0], None)
    row["billing_cycle_anchor"] = former[1]
    account.hidden[invoice["id"]]["update"] = {
        "items": held,
        "anchor": change.at if change.reset else None,
    }


def _drop_pending(account: Account, row: Json) -> None:
    name = account.hidden[row["id"]].pop("waits_for", None)
    if name and row["pending_update"] is not None:
        row["pending_update"] = None
        if account.objects[name]["status"] == "open":
            invoices.void(account, account.objects[name])


def add_item(account: Account, params: Json) -> Json:
    """Answer POST /v1/subscription_items."""
    row = account.get("subscription", params.get("subscription"), "subscription")
    known = {item["id"] for item in row["items"]["data"]}
    update_subscription(account, _one_item(params, {}), row["id"])
    return next(item for item in row["items"]["data"] if item["id"] not in known)


def change_item(account: Account, params: Json, item: str) -> Json:
    """Answer POST /v1/subscription_items/{item}."""
    owner = account.get("subscription_item", item)["subscription"]
    update_subscription(account, _one_item(params, {"id": item}), owner)
    return account.objects[item]


def drop_item(account: Account, params: Json, item: str) -> Json:
    """Answer DELETE /v1/subscription_items/{item}."""
    row = account.get("subscription_item", item)
    update_subscription(
        account, _one_item(params, {"id": item, "deleted": True}), row["subscription"]
    )
    return account.remove(row)


def _one_item(params: Json, more: Json) -> Json:
    own = {"price", "price_data", "quantity", "metadata"}
    around = {"proration_behavior", "proration_date", "payment_behavior", "off_session"}
    item = {key: value for key, value in params.items() if key in own}
    return {
        "items": [item | more],
        **{key: value for key, value in params.items() if key in around},
    }
