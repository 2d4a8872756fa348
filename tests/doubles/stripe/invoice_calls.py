"""The calls of the API that make and change invoices."""

from tests.doubles.stripe import cards, discounts, invoices, lines, payments
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import HOUR
from tests.doubles.stripe.customers import merge_metadata
from tests.doubles.stripe.errors import Refused, invalid
from tests.doubles.stripe.values import Json


def create_invoice(account: Account, params: Json) -> Json:
    """Answer POST /v1/invoices: an invoice of waiting items, or an empty one to fill."""
    customer = account.get("customer", params.get("customer"), "customer")
    subscription = None
    if params.get("subscription"):
        subscription = account.get("subscription", params["subscription"], "subscription")
    waiting: list[Json] = []
    behaviour = params.get("pending_invoice_items_behavior", "exclude")
    if behaviour == "include" or subscription is not None:
        name = subscription["id"] if subscription else None
        waiting = invoices.pending_items(account, customer["id"], name)
    collection = params.get("collection_method", "charge_automatically")
    days = params.get("days_until_due")
    if collection == "send_invoice" and days is None and params.get("due_date") is None:
        days = 30
    plan = invoices.Plan(
        customer["id"],
        [invoices.line_of_item(account, row) for row in waiting],
        "manual",
        str(params.get("currency") or customer["currency"] or "usd"),
        subscription,
        collection=collection,
        days_until_due=days,
        auto_advance=params.get("auto_advance", False),
        taxed=(params.get("automatic_tax") or {}).get("enabled", False),
        metadata=params.get("metadata") or {},
        description=params.get("description"),
        method=params.get("default_payment_method"),
        reductions=[
            discounts.redeem(account, coupon, code, customer["id"])
            for coupon, code in discounts.wanted(account, params.get("discounts"), customer, 0)
        ],
    )
    invoice = invoices.issue(account, plan)
    for row in waiting:
        row["invoice"] = invoice["id"]
    return invoice


def create_item(account: Account, params: Json) -> Json:
    """Answer POST /v1/invoiceitems."""
    customer = account.get("customer", params.get("customer"), "customer")
    price = None
    given = (params.get("pricing") or {}).get("price") or params.get("price")
    if given:
        price = account.get("price", given, "pricing[price]")
    quantity = params.get("quantity", 1)
    amount = params.get("amount")
    if amount is None and price is None:
        raise invalid("You must pass one of `amount` or `pricing`.", "amount")
    line = lines.Line(
        amount if amount is not None else int(price["unit_amount"]) * quantity if price else 0,
        params.get("description") or (lines.product_name(account, price) if price else ""),
        account.now,
        account.now,
        price=price,
        quantity=quantity,
        currency=params.get("currency", "usd").lower(),
        metadata=params.get("metadata") or {},
    )
    row = invoices.make_item(account, customer["id"], line, params.get("invoice"))
    if params.get("invoice"):
        _extend(account, account.get("invoice", params["invoice"], "invoice"), line)
    return row


def _extend(account: Account, invoice: Json, line: lines.Line) -> None:
    invoices.must_be(invoice, "modify", "draft")
    account.touch(invoice)["lines"]["data"].append(lines.draw(account, line, invoice["id"]))
    rows = invoice["lines"]["data"]
    for row in rows:
        row["discount_amounts"] = []
    reductions = [account.objects[name] for name in invoice["discounts"]]
    sums = lines.add_up(account, rows, reductions, taxed=invoice["automatic_tax"]["enabled"])
    invoice.update(
        subtotal=sums.subtotal,
        subtotal_excluding_tax=sums.subtotal,
        total=sums.total,
        total_discount_amounts=sums.off,
        total_taxes=sums.taxes,
        total_excluding_tax=sums.total - sum(tax["amount"] for tax in sums.taxes),
    )
    invoices.apply_balance(invoice, account.objects[invoice["customer"]]["balance"])


def update_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}."""
    row = account.get("invoice", invoice)
    account.touch(row)
    for key in ("auto_advance", "default_payment_method", "description", "footer"):
        if key in params:
            row[key] = params[key]
    merge_metadata(row, params)
    return row


def finalize_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}/finalize."""
    row = account.get("invoice", invoice)
    if "auto_advance" in params:
        account.touch(row)["auto_advance"] = params["auto_advance"]
    invoices.finalize(account, row)
    if row["status"] == "open" and row["auto_advance"]:
        account.hidden[invoice]["collect_at"] = account.now + HOUR
    return row


def pay_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}/pay."""
    row = account.get("invoice", invoice)
    if row["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if row["status"] == "draft":
        invoices.finalize(account, row)
        if row["status"] == "paid":
            return row
    invoices.must_be(row, "pay", "open", "uncollectible")
    if params.get("paid_out_of_band"):
        invoices.mark_paid(account, row, out_of_band=True)
        return row
    given = params.get("payment_method")
    method = cards.method_for(account, given) if given else invoices.method_of(account, row)
    if method is None:
        raise invalid(invoices.NO_METHOD, code="resource_missing")
    off_session = params.get("off_session", True)
    done = invoices.collect(account, row, method=method, off_session=off_session, manual=True)
    if done == payments.DECLINED:
        raise payments.decline_of(invoices.intent_of(account, row))
    if done == payments.ASKS:
        raise Refused(
            402,
            "card_error",
            "Your card was declined. This transaction requires authentication.",
            code="invoice_payment_intent_requires_action",
            payment_intent=invoices.intent_of(account, row),
        )
    return row


def void_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}/void."""
    return invoices.void(account, account.get("invoice", invoice))


def give_up_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}/mark_uncollectible."""
    return invoices.mark_uncollectible(account, account.get("invoice", invoice))


def send_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}/send."""
    row = account.get("invoice", invoice)
    if row["status"] == "draft":
        invoices.finalize(account, row)
    else:
        account.tell("invoice.sent", row)
    return row


def delete_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer DELETE /v1/invoices/{invoice}: drafts only."""
    row = account.get("invoice", invoice)
    invoices.must_be(row, "delete", "draft")
    account.told(row)
    account.tell("invoice.deleted", row)
    return account.remove(row)
