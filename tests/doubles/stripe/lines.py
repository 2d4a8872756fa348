"""Lines of invoices, prorations, and the sums below them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.doubles.stripe import discounts
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.values import Json

WORDS = {"day": "day", "week": "week", "month": "month", "year": "year"}


@dataclass
class Line:
    """What a line will say, before there is an invoice."""

    amount: int
    description: str
    start: int
    end: int
    price: Json | None = None
    quantity: int = 1
    subscription: str | None = None
    item: str | None = None
    proration: bool = False
    discountable: bool = True
    invoice_item: str | None = None
    credited: Json | None = None
    currency: str = "usd"
    metadata: Json = field(default_factory=dict)


def product_name(account: Account, price: Json) -> str:
    """Return what a price is for."""
    return str(account.objects[price["product"]].get("name", ""))


def cost(item: Json) -> int:
    """Return what an item costs for a whole period."""
    return int(item["price"]["unit_amount"] or 0) * int(item["quantity"])


def period_line(account: Account, subscription: Json, item: Json, start: int, end: int) -> Line:
    """Return the line of a whole period of an item."""
    price, quantity = item["price"], item["quantity"]
    every = price["recurring"]
    step = WORDS[every["interval"]]
    if every["interval_count"] > 1:
        step = f"every {every['interval_count']} {step}s"
    told = f"${price['unit_amount'] / 100:.2f} / {step}"
    return Line(
        cost(item),
        f"{quantity} × {product_name(account, price)} (at {told})",
        start,
        end,
        price=price,
        quantity=quantity,
        subscription=subscription["id"],
        item=item["id"],
    )


def trial_line(account: Account, subscription: Json, item: Json) -> Line:
    """Return the line of an item that costs nothing yet."""
    return Line(
        0,
        f"Free trial for {item['quantity']} × {product_name(account, item['price'])}",
        item["current_period_start"],
        item["current_period_end"],
        price=item["price"],
        quantity=item["quantity"],
        subscription=subscription["id"],
        item=item["id"],
    )


def part(amount: int, at: int, start: int, end: int) -> int:
    """Return the share of an amount for what is left of a period, cents rounded down.

    Down means towards what is cheaper for the customer: a charge of 4999.99 is 4999, a credit of
    1999.99 is 2000.
    """
    left = max(0, min(end, at) - start)
    return amount * (end - start - left) // (end - start)


def credit_line(account: Account, subscription: Json, item: Json, at: int) -> Line:
    """Return the credit for what is left of an item's paid period."""
    paid, source = _paid(account, subscription, item)
    line = _proration(account, subscription, item, at, -paid, "Unused")
    line.credited = source
    return line


def debit_line(account: Account, subscription: Json, item: Json, at: int) -> Line:
    """Return the charge for what is left of a period of a changed item, after lasting discounts."""
    whole = cost(item)
    for discount in discounts.still_on(account, subscription["discounts"]):
        whole -= discounts.take_off(account, discount, [(whole, item["price"]["product"])])[0]
    return _proration(account, subscription, item, at, whole, "Remaining")


def _proration(
    account: Account, subscription: Json, item: Json, at: int, whole: int, word: str
) -> Line:
    start, end = item["current_period_start"], item["current_period_end"]
    return Line(
        part(whole, at, start, end),
        f"{word} time on {_named(account, item)} after {_day(at)}",
        at,
        end,
        price=item["price"],
        quantity=item["quantity"],
        subscription=subscription["id"],
        item=item["id"],
        proration=True,
        discountable=False,
    )


def _named(account: Account, item: Json) -> str:
    name = product_name(account, item["price"])
    return name if item["quantity"] == 1 else f"{item['quantity']} × {name}"


def _day(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%d %b %Y")


def _paid(account: Account, subscription: Json, item: Json) -> tuple[int, Json | None]:
    """Return what was charged for the item's period after discounts, and by which line."""
    period = {"start": item["current_period_start"], "end": item["current_period_end"]}
    for invoice in reversed(account.every("invoice", customer=subscription["customer"])):
        for row in invoice["lines"]["data"]:
            details = (row["parent"] or {}).get("subscription_item_details") or {}
            if details.get("subscription_item") != item["id"] or details["proration"]:
                continue
            if row["period"] == period and row["quantity"] == item["quantity"]:
                if row["pricing"]["price_details"]["price"] != item["price"]["id"]:
                    continue
                off = sum(each["amount"] for each in row["discount_amounts"])
                return row["amount"] - off, {
                    "invoice": invoice["id"],
                    "invoice_line_items": [row["id"]],
                }
    return cost(item), None


def draw(account: Account, line: Line, invoice: str) -> Json:
    """Return a line as an invoice shows it."""
    parent: Json | None = None
    if line.subscription:
        parent = {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": line.invoice_item,
                "proration": line.proration,
                "proration_details": {"credited_items": line.credited},
                "subscription": line.subscription,
                "subscription_item": line.item,
            },
            "type": "subscription_item_details",
        }
    elif line.invoice_item:
        parent = {
            "invoice_item_details": {
                "invoice_item": line.invoice_item,
                "proration": line.proration,
                "proration_details": {"credited_items": None},
                "subscription": None,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return {
        "id": account.id("il"),
        "object": "line_item",
        "amount": line.amount,
        "currency": line.price["currency"] if line.price else line.currency,
        "description": line.description,
        "discount_amounts": [],
        "discountable": line.discountable,
        "discounts": [],
        "invoice": invoice,
        "livemode": account.settings.livemode,
        "metadata": line.metadata,
        "parent": parent,
        "period": {"end": line.end, "start": line.start},
        "pretax_credit_amounts": [],
        "pricing": pricing(line),
        "quantity": line.quantity,
        "quantity_decimal": str(line.quantity),
        "subtotal": line.amount,
        "taxes": [],
    }


def pricing(line: Line) -> Json | None:
    """Return by which price a line was reckoned."""
    if line.price is None:
        return None
    return {
        "price_details": {"price": line.price["id"], "product": line.price["product"]},
        "type": "price_details",
        "unit_amount_decimal": None if line.proration else line.price["unit_amount_decimal"],
    }


@dataclass
class Sums:
    """What stands below the lines of an invoice."""

    subtotal: int
    total: int
    off: list[Json]
    taxes: list[Json]


def add_up(
    account: Account, rows: list[Json], reductions: list[Json], *, taxed: bool = False
) -> Sums:
    """Take discounts off the lines, put taxes on them, and add them up."""
    off: list[Json] = []
    for discount in reductions:
        amounts = [_open_to_discount(row) for row in rows]
        parts = discounts.take_off(account, discount, amounts)
        for row, amount in zip(rows, parts, strict=True):
            if row["discountable"]:
                row["discount_amounts"].append({"amount": amount, "discount": discount["id"]})
        off.append({"amount": sum(parts), "discount": discount["id"]})
    subtotal = sum(row["amount"] for row in rows)
    net = subtotal - sum(each["amount"] for each in off)
    taxes = _taxes(account, rows, net) if taxed else []
    return Sums(subtotal, net + sum(tax["amount"] for tax in taxes), off, taxes)


def _open_to_discount(row: Json) -> tuple[int, str | None]:
    if not row["discountable"]:
        return 0, None
    taken = sum(each["amount"] for each in row["discount_amounts"])
    details: Any = (row["pricing"] or {}).get("price_details") or {}
    return row["amount"] - taken, details.get("product")


def _taxes(account: Account, rows: list[Json], net: int) -> list[Json]:
    percent = account.settings.tax_percent
    if percent is None or net <= 0:
        return []
    rate = account.hidden.setdefault("tax_rate", {"id": account.id("txr")})["id"]

    def tax(amount: int) -> Json:
        return {
            "amount": discounts.percent_of(amount, percent),
            "tax_behavior": "exclusive",
            "tax_rate_details": {"tax_rate": rate},
            "taxability_reason": "standard_rated",
            "taxable_amount": amount,
            "type": "tax_rate_details",
        }

    for row in rows:
        off = sum(each["amount"] for each in row["discount_amounts"])
        row["taxes"] = [tax(row["amount"] - off)]
    whole = tax(net)
    whole["amount"] = sum(row["taxes"][0]["amount"] for row in rows)
    return [whole]
