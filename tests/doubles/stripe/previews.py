"""What an invoice would be: the same reckoning as the change itself, kept by nobody."""

from tests.doubles.stripe import changes, cycle, discounts, invoices, lines
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import invalid
from tests.doubles.stripe.values import Json


def create_preview(account: Account, params: Json) -> Json:
    """Answer POST /v1/invoices/create_preview."""
    details = params.get("subscription_details") or {}
    if params.get("subscription"):
        row = account.get("subscription", params["subscription"], "subscription")
        if "discounts" in params:
            # What is named takes the place of what there is.
            known = [each.get("discount") for each in params["discounts"] or []]
            row = {**row, "discounts": [one for one in row["discounts"] if one in known]}
        return _of_subscription(account, row, details, params)
    customer = account.get("customer", params.get("customer"), "customer")
    return _of_new(account, customer, details, params)


def _of_subscription(account: Account, row: Json, details: Json, params: Json) -> Json:
    if row["status"] in {"canceled", "incomplete_expired"}:
        raise invalid("This subscription is over.", "subscription", "invoice_upcoming_none")
    if details.get("cancel_now"):
        waiting = _waiting(account, row)
        at = details.get("proration_date", account.now)
        if details.get("proration_behavior", "create_prorations") != "none":
            items = row["items"]["data"]
            waiting += [lines.credit_line(account, row, item, at) for item in items]
        return _draw(account, row, waiting, account.now, params)
    items = details.get("items") or []
    if not items and details.get("billing_cycle_anchor") != "now":
        if row["cancel_at"] is not None:
            raise invalid("No upcoming invoices", "subscription", "invoice_upcoming_none")
        return cycle.preview_next(account, row)
    change = changes.plan(account, row, items, details)
    waiting = _waiting(account, row) + change.prorations
    if change.reset or details.get("proration_behavior") == "always_invoice":
        return _draw(account, row, waiting + change.whole, account.now, params)
    # Charged with the next renewal, together with its own period.
    end = min(item["current_period_end"] for item in change.items)
    rows = []
    for item in change.items:
        until = changes.next_end(item["price"], row["billing_cycle_anchor"], end)
        rows.append(lines.period_line(account, row, item, end, until))
    return _draw(account, row, waiting + rows, end, params)


def _waiting(account: Account, row: Json) -> list[lines.Line]:
    rows = invoices.pending_items(account, row["customer"], row["id"])
    return [invoices.line_of_item(account, each) for each in rows]


def _draw(account: Account, row: Json, rows: list[lines.Line], end: int, params: Json) -> Json:
    reductions = changes.reductions(account, row)
    new = [each for each in params.get("discounts") or [] if not each.get("discount")]
    if new:
        reductions += _imagined(account, new, account.objects[row["customer"]], rows)
    plan = invoices.Plan(
        row["customer"],
        rows,
        "upcoming",
        row["currency"],
        row,
        start=row["items"]["data"][0]["current_period_start"],
        end=end,
        reductions=reductions,
        collection=row["collection_method"],
        taxed=row["automatic_tax"]["enabled"],
    )
    return invoices.build(account, plan, account.id("upcoming_in"))


def _of_new(account: Account, customer: Json, details: Json, params: Json) -> Json:
    rows = []
    for given in details.get("items") or []:
        item = changes.new_item(account, "sub_preview", given, account.now, None)
        end = item["current_period_end"]
        line = lines.period_line(account, {"id": "sub_preview"}, item, account.now, end)
        line.subscription = None
        rows.append(line)
    if not rows:
        raise invalid("No upcoming invoices", "customer", "invoice_upcoming_none")
    plan = invoices.Plan(
        customer["id"],
        rows,
        "upcoming",
        rows[0].price["currency"] if rows[0].price else "usd",
        reductions=_imagined(account, params.get("discounts"), customer, rows),
        taxed=(params.get("automatic_tax") or {}).get("enabled", False),
    )
    return invoices.build(account, plan, account.id("upcoming_in"))


def _imagined(
    account: Account, given: list[Json] | None, customer: Json, rows: list[lines.Line]
) -> list[Json]:
    """Return discounts that were not redeemed: nobody keeps them."""
    amount = sum(line.amount for line in rows)
    wanted = discounts.wanted(account, given, customer, amount)
    return [
        {"id": account.id("di"), "source": {"coupon": coupon["id"], "type": "coupon"}}
        for coupon, _ in wanted
    ]
