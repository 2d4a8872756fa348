"""Invoices: draft, open, paid, void and uncollectible, and the tries to collect them."""

from dataclasses import dataclass, field

from tests.doubles.stripe import lines, payments
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.errors import invalid
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
    must_be(invoice, "void", "open", "uncollectible")
    return _end(account, invoice, "void", "voided_at", "invoice.voided")


def mark_uncollectible(account: Account, invoice: Json) -> Json:
    """Give an invoice up; it may be paid all the same."""
    must_be(invoice, "mark as uncollectible", "open", "draft")
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


def must_be(invoice: Json, what: str, *statuses: str) -> None:
    """Refuse what is asked of an invoice that is not in one of these states."""
    if invoice["status"] not in statuses:
        raise invalid(
            f"You can't {what} this invoice: its status is {invoice['status']}.",
            code="invoice_not_editable",
        )


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
