"""Invoices: draft, open, paid, void and uncollectible, and the tries to collect them."""

from dataclasses import dataclass, field

from tests.doubles.stripe import cards, discounts, lines, payments
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import DAY, HOUR
from tests.doubles.stripe.customers import merge_metadata
from tests.doubles.stripe.errors import Refused, invalid
from tests.doubles.stripe.values import Json

NO_METHOD = (
    "This customer has no attached payment source or default payment method. Please consider "
    "adding a default payment method. For more information, visit "
    "https://stripe.com/docs/billing/subscriptions/payment-methods-setting"
)


@dataclass
class Plan:
    """What an invoice is to hold."""

    customer: str
    lines: list[lines.Line]
    reason: str
    currency: str
    subscription: Json | None = None
    start: int | None = None
    end: int | None = None
    reductions: list[Json] = field(default_factory=list)
    collection: str = "charge_automatically"
    days_until_due: int | None = None
    auto_advance: bool = True
    taxed: bool = False
    metadata: Json = field(default_factory=dict)
    description: str | None = None
    method: str | None = None


def build(account: Account, plan: Plan, name: str | None = None) -> Json:
    """Return an invoice as a draft that nobody keeps yet."""
    name = name or account.id("in")
    customer = account.objects[plan.customer]
    rows = [lines.draw(account, line, name) for line in plan.lines]
    sums = lines.add_up(account, rows, plan.reductions, taxed=plan.taxed)
    due = max(0, sums.total)
    invoice = {
        "id": name,
        "object": "invoice",
        "account_country": "US",
        "account_name": None,
        "account_tax_ids": None,
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_remaining": due,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": plan.auto_advance,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": plan.taxed,
            "liability": {"type": "self"} if plan.taxed else None,
            "provider": "stripe" if plan.taxed else None,
            "status": "complete" if plan.taxed else None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": plan.reason,
        "collection_method": plan.collection,
        "created": account.now,
        "currency": plan.currency,
        "custom_fields": None,
        "customer": plan.customer,
        "customer_account": None,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_payment_method": plan.method,
        "default_source": None,
        "default_tax_rates": [],
        "description": plan.description,
        "discounts": [row["id"] for row in plan.reductions],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {
            "object": "list",
            "data": rows,
            "has_more": False,
            "url": f"/v1/invoices/{name}/lines",
        },
        "livemode": account.settings.livemode,
        "metadata": dict(plan.metadata),
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": _parent(plan.subscription),
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": account.now if plan.end is None else plan.end,
        "period_start": account.now if plan.start is None else plan.start,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_details": None,
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": sums.subtotal,
        "subtotal_excluding_tax": sums.subtotal,
        "test_clock": None,
        "total": sums.total,
        "total_discount_amounts": sums.off,
        "total_excluding_tax": sums.total - sum(tax["amount"] for tax in sums.taxes),
        "total_pretax_credit_amounts": [],
        "total_taxes": sums.taxes,
        "webhooks_delivered_at": None,
    }
    apply_balance(invoice, customer["balance"])
    return invoice


def _parent(subscription: Json | None) -> Json | None:
    if subscription is None:
        return None
    return {
        "quote_details": None,
        "subscription_details": {
            "metadata": dict(subscription["metadata"]),
            "subscription": subscription["id"],
        },
        "type": "subscription_details",
    }


def apply_balance(invoice: Json, balance: int) -> int:
    """Set what is due after the customer's credit (negative) or debt; return what is left of it."""
    owed = invoice["total"] + balance
    invoice["starting_balance"] = balance
    invoice["amount_due"] = invoice["amount_remaining"] = max(0, owed)
    return int(min(0, owed))


def issue(account: Account, plan: Plan) -> Json:
    """Make a draft."""
    invoice = build(account, plan)
    account.hidden[invoice["id"]] = {"intent": None, "days": plan.days_until_due}
    if plan.auto_advance:
        invoice["automatically_finalizes_at"] = account.now + account.settings.draft_seconds
    if plan.subscription is not None:
        account.touch(plan.subscription)["latest_invoice"] = invoice["id"]
    account.add(invoice, "invoice.created")
    return invoice


def subscription_of(account: Account, invoice: Json) -> Json | None:
    """Return the subscription an invoice belongs to."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return account.find("subscription", details.get("subscription"))


def finalize(account: Account, invoice: Json) -> Json:
    """Make a draft final: it gets its number and can be paid."""
    if invoice["status"] != "draft":
        raise invalid(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
        )
    customer = account.touch(account.objects[invoice["customer"]])
    account.touch(invoice)
    pages = account.settings.pages or "https://invoice.stripe.com"
    customer["balance"] = apply_balance(invoice, customer["balance"])
    days = account.hidden[invoice["id"]]["days"]
    invoice.update(
        status="open",
        number=f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        effective_at=account.now,
        ending_balance=customer["balance"],
        automatically_finalizes_at=None,
        hosted_invoice_url=f"{pages}/i/{invoice['id']}",
        invoice_pdf=f"{pages}/i/{invoice['id']}/pdf",
        due_date=None if days is None else account.now + days * DAY,
        webhooks_delivered_at=account.now,
    )
    invoice["status_transitions"]["finalized_at"] = account.now
    customer["next_invoice_sequence"] += 1
    customer["currency"] = invoice["currency"]
    account.tell("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        _close_paid(account, invoice)
    elif invoice["collection_method"] == "charge_automatically":
        _open_intent(account, invoice)
    else:
        account.tell("invoice.sent", invoice)
    return invoice


def _open_intent(account: Account, invoice: Json) -> Json:
    intent = payments.new_intent(
        account, invoice["amount_remaining"], invoice["currency"], invoice["customer"]
    )
    words = {"subscription_create": "creation", "subscription_cycle": "update"}
    intent["description"] = f"Subscription {words.get(invoice['billing_reason'], 'update')}"
    intent["setup_future_usage"] = "off_session"
    account.hidden[invoice["id"]]["intent"] = intent["id"]
    row = {
        "id": account.id("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_remaining"],
        "created": account.now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": account.settings.livemode,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
    account.add(row)
    return intent


def intent_of(account: Account, invoice: Json) -> Json:
    """Return the payment intent of an open invoice."""
    name = account.hidden[invoice["id"]]["intent"]
    return account.objects[name] if name else _open_intent(account, invoice)


def method_of(account: Account, invoice: Json) -> Json | None:
    """Return what an invoice is paid by: its own, its subscription's or its customer's method."""
    subscription = subscription_of(account, invoice)
    customer = account.find("customer", invoice["customer"])
    names = [
        invoice["default_payment_method"],
        subscription["default_payment_method"] if subscription else None,
        customer["invoice_settings"]["default_payment_method"] if customer else None,
    ]
    return account.find("payment_method", next((name for name in names if name), None))


def collect(
    account: Account,
    invoice: Json,
    *,
    method: Json | None = None,
    off_session: bool = True,
    authenticated: bool = False,
    manual: bool = False,
) -> str:
    """Try to have an open invoice paid; return how the try went."""
    from tests.doubles.stripe import collection

    if invoice["status"] == "paid":
        return payments.SUCCEEDED
    chosen = method or method_of(account, invoice)
    account.touch(invoice)
    invoice["attempted"] = True
    if not manual or invoice["attempt_count"] == 0:
        invoice["attempt_count"] += 1
    if chosen is None:
        done = payments.DECLINED
    else:
        done = payments.charge_intent(
            account,
            intent_of(account, invoice),
            chosen,
            off_session=off_session,
            authenticated=authenticated,
        )
    if done == payments.SUCCEEDED:
        mark_paid(account, invoice)
    elif done == payments.PROCESSING:
        invoice["next_payment_attempt"] = None
    else:
        collection.failed(account, invoice, done, manual=manual)
    return done


def mark_paid(account: Account, invoice: Json, *, out_of_band: bool = False) -> None:
    """Take an invoice for paid, by its intent or by money that Stripe never saw."""
    account.touch(invoice)
    for row in account.every("invoice_payment", invoice=invoice["id"], status="open"):
        row["status"] = "canceled" if out_of_band else "paid"
        row["status_transitions"]["canceled_at" if out_of_band else "paid_at"] = account.now
        if not out_of_band:
            row["amount_paid"] = row["amount_requested"]
        else:
            intent = account.objects[row["payment"]["payment_intent"]]
            payments.cancel_intent(account, intent, None)
    if out_of_band:
        invoice["amount_paid_off_stripe"] = invoice["amount_due"]
    else:
        invoice["attempted"] = True
    _close_paid(account, invoice)
    if not out_of_band:
        for row in account.every("invoice_payment", invoice=invoice["id"], status="paid"):
            account.tell("invoice_payment.paid", row)


def _close_paid(account: Account, invoice: Json) -> None:
    from tests.doubles.stripe import collection

    invoice.update(
        status="paid",
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        auto_advance=False,
        next_payment_attempt=None,
    )
    if invoice["amount_due"] == 0:
        invoice["attempted"] = True
    invoice["status_transitions"]["paid_at"] = account.now
    account.settle(invoice)
    account.tell("invoice.paid", invoice)
    account.tell("invoice.payment_succeeded", invoice)
    customer = account.find("customer", invoice["customer"])
    if customer is not None and customer["delinquent"]:
        account.touch(customer)["delinquent"] = False
    collection.paid(account, invoice)


def void(account: Account, invoice: Json) -> Json:
    """Take an invoice back as if it had never been."""
    _must_be(invoice, "void", "open", "uncollectible")
    return _end(account, invoice, "void", "voided_at", "invoice.voided")


def mark_uncollectible(account: Account, invoice: Json) -> Json:
    """Give an invoice up; it may be paid all the same."""
    _must_be(invoice, "mark as uncollectible", "open", "draft")
    return _end(
        account,
        invoice,
        "uncollectible",
        "marked_uncollectible_at",
        "invoice.marked_uncollectible",
    )


def _end(account: Account, invoice: Json, status: str, stamp: str, event: str) -> Json:
    account.touch(invoice)
    invoice.update(status=status, auto_advance=False, next_payment_attempt=None)
    invoice["automatically_finalizes_at"] = None
    invoice["status_transitions"][stamp] = account.now
    intent = account.find("payment_intent", account.hidden[invoice["id"]]["intent"])
    if status == "void" and intent is not None:
        payments.cancel_intent(account, intent, "void_invoice")
        for row in account.every("invoice_payment", invoice=invoice["id"], status="open"):
            row["status"] = "canceled"
            row["status_transitions"]["canceled_at"] = account.now
    account.settle(invoice)
    account.tell(event, invoice)
    return invoice


def _must_be(invoice: Json, what: str, *statuses: str) -> None:
    if invoice["status"] not in statuses:
        raise invalid(
            f"You can't {what} this invoice: its status is {invoice['status']}.",
            code="invoice_not_editable",
        )


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
        waiting = pending_items(account, customer["id"], name)
    collection = params.get("collection_method", "charge_automatically")
    days = params.get("days_until_due")
    if collection == "send_invoice" and days is None and params.get("due_date") is None:
        days = 30
    plan = Plan(
        customer["id"],
        [line_of_item(account, row) for row in waiting],
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
    invoice = issue(account, plan)
    for row in waiting:
        row["invoice"] = invoice["id"]
    return invoice


def pending_items(account: Account, customer: str, subscription: str | None) -> list[Json]:
    """Return the items that wait for the next invoice."""
    rows = account.every("invoiceitem", customer=customer, invoice=None)

    def owner(row: Json) -> str | None:
        details = (row["parent"] or {}).get("subscription_details") or {}
        return details.get("subscription")

    return [row for row in rows if owner(row) in {None, subscription}]


def line_of_item(account: Account, row: Json) -> lines.Line:
    """Return the line of an invoice item."""
    details = (row["parent"] or {}).get("subscription_details") or {}
    price = (row["pricing"] or {}).get("price_details") or {}
    credited = row["proration_details"]["credited_items"]
    return lines.Line(
        row["amount"],
        row["description"] or "",
        row["period"]["start"],
        row["period"]["end"],
        price=account.find("price", price.get("price")),
        quantity=row["quantity"],
        subscription=details.get("subscription"),
        item=details.get("subscription_item"),
        proration=row["proration"],
        discountable=row["discountable"],
        invoice_item=row["id"],
        credited=credited and credited["invoice_line_item_details"],
        currency=row["currency"],
        metadata=row["metadata"],
    )


def make_item(account: Account, customer: str, line: lines.Line, invoice: str | None) -> Json:
    """Return a new invoice item that says what a line will say."""
    credited = line.credited and {
        "invoice_line_item_details": line.credited,
        "type": "invoice_line_items",
    }
    row: Json = {
        "id": account.id("ii"),
        "object": "invoiceitem",
        "amount": line.amount,
        "currency": line.price["currency"] if line.price else line.currency,
        "customer": customer,
        "customer_account": None,
        "date": account.now,
        "description": line.description,
        "discountable": line.discountable,
        "discounts": [],
        "frozen_fields": [],
        "invoice": invoice,
        "livemode": account.settings.livemode,
        "metadata": line.metadata,
        "net_amount": line.amount,
        "parent": line.subscription
        and {
            "subscription_details": {
                "subscription": line.subscription,
                "subscription_item": line.item,
            },
            "type": "subscription_details",
        },
        "period": {"end": line.end, "start": line.start},
        "pricing": lines.pricing(line),
        "proration": line.proration,
        "proration_details": {"credited_items": credited, "discount_amounts": []},
        "quantity": line.quantity,
        "quantity_decimal": str(line.quantity),
        "tax_rates": [],
        "test_clock": None,
    }
    line.invoice_item = str(row["id"])
    return account.add(row, "invoiceitem.created")


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
    row = make_item(account, customer["id"], line, params.get("invoice"))
    if params.get("invoice"):
        _extend(account, account.get("invoice", params["invoice"], "invoice"), line)
    return row


def _extend(account: Account, invoice: Json, line: lines.Line) -> None:
    _must_be(invoice, "modify", "draft")
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
    apply_balance(invoice, account.objects[invoice["customer"]]["balance"])


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
    finalize(account, row)
    if row["status"] == "open" and row["auto_advance"]:
        account.hidden[invoice]["collect_at"] = account.now + HOUR
    return row


def pay_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}/pay."""
    row = account.get("invoice", invoice)
    if row["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if row["status"] == "draft":
        finalize(account, row)
        if row["status"] == "paid":
            return row
    _must_be(row, "pay", "open", "uncollectible")
    if params.get("paid_out_of_band"):
        mark_paid(account, row, out_of_band=True)
        return row
    given = params.get("payment_method")
    method = cards.method_for(account, given) if given else method_of(account, row)
    if method is None:
        raise invalid(NO_METHOD, code="resource_missing")
    off_session = params.get("off_session", True)
    done = collect(account, row, method=method, off_session=off_session, manual=True)
    if done == payments.DECLINED:
        raise payments.decline_of(intent_of(account, row))
    if done == payments.ASKS:
        raise Refused(
            402,
            "card_error",
            "Your card was declined. This transaction requires authentication.",
            code="invoice_payment_intent_requires_action",
            payment_intent=intent_of(account, row),
        )
    return row


def void_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}/void."""
    return void(account, account.get("invoice", invoice))


def give_up_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}/mark_uncollectible."""
    return mark_uncollectible(account, account.get("invoice", invoice))


def send_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer POST /v1/invoices/{invoice}/send."""
    row = account.get("invoice", invoice)
    if row["status"] == "draft":
        finalize(account, row)
    else:
        account.tell("invoice.sent", row)
    return row


def delete_invoice(account: Account, params: Json, invoice: str) -> Json:
    """Answer DELETE /v1/invoices/{invoice}: drafts only."""
    row = account.get("invoice", invoice)
    _must_be(row, "delete", "draft")
    account.told(row)
    account.tell("invoice.deleted", row)
    return account.remove(row)
