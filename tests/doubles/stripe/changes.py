"""What a change of a subscription's items costs: prorations and new periods."""

from dataclasses import dataclass

from tests.doubles.stripe import catalogue, discounts, lines
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import period_end
from tests.doubles.stripe.customers import merge_metadata
from tests.doubles.stripe.errors import invalid
from tests.doubles.stripe.values import Json, clone

TRIALING = "trialing"


@dataclass
class Change:
    """The items after a change, the lines it makes, and whether a new period starts with it."""

    items: list[Json]
    prorations: list[lines.Line]
    whole: list[lines.Line]
    reset: bool
    at: int


def new_item(account: Account, subscription: str, row: Json, start: int, end: int | None) -> Json:
    """Return a new item; without an end its period is its price's."""
    price = catalogue.inline_price(account, row)
    if price["recurring"] is None:
        raise invalid(
            "The price specified is set to `type=one_time` but this field only accepts prices "
            "with `type=recurring`.",
            "items[0][price]",
        )
    return {
        "id": account.id("si", 14),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": account.now,
        "current_period_end": end if end is not None else next_end(price, start, start),
        "current_period_start": start,
        "discounts": [],
        "metadata": row.get("metadata") or {},
        "price": price,
        "quantity": row.get("quantity", 1),
        "subscription": subscription,
        "tax_rates": [],
    }


def next_end(price: Json, anchor: int, start: int) -> int:
    """Return the end of the period of a price that starts then."""
    every = price["recurring"]
    return period_end(anchor, start, every["interval"], every["interval_count"])


def plan(account: Account, subscription: Json, rows: list[Json], params: Json) -> Change:
    """Reckon a change of items without making it."""
    at = _moment(account, subscription, params)
    before = {item["id"]: item for item in subscription["items"]["data"]}
    after = _changed_items(account, subscription, before, rows, at)
    trialing = subscription["status"] == TRIALING
    reset = _starts_anew(subscription, before, after, params)
    prorate = params.get("proration_behavior", "create_prorations") != "none" and not trialing
    prorations: list[lines.Line] = []
    if prorate:
        for name, item in before.items():
            if reset or _differs(item, after.get(name)):
                prorations.append(lines.credit_line(account, subscription, item, at))
    whole: list[lines.Line] = []
    for name, item in after.items():
        if reset and not trialing:
            item["current_period_start"] = at
            item["current_period_end"] = next_end(item["price"], at, at)
            end = item["current_period_end"]
            whole.append(lines.period_line(account, subscription, item, at, end))
        elif prorate and _differs(before.get(name), item):
            prorations.append(lines.debit_line(account, subscription, item, at))
    return Change(list(after.values()), prorations, whole, reset and not trialing, at)


def _moment(account: Account, subscription: Json, params: Json) -> int:
    at = params.get("proration_date")
    if at is None:
        return account.now
    items = subscription["items"]["data"]
    first = min(item["current_period_start"] for item in items)
    last = max(item["current_period_end"] for item in items)
    if not first <= at <= last:
        raise invalid("Cannot specify `proration_date` outside of current period", "proration_date")
    return int(at)


def _changed_items(
    account: Account, subscription: Json, before: dict[str, Json], rows: list[Json], at: int
) -> dict[str, Json]:
    after = clone(before)
    for row in rows:
        name = row.get("id")
        if name is None:
            item = _added(account, subscription, row, at)
            if any(item["price"]["id"] == each["price"]["id"] for each in after.values()):
                raise invalid(
                    "Cannot add multiple subscription items with the same price: "
                    f"{item['price']['id']}",
                    "items",
                )
            after[item["id"]] = item
        elif name not in after:
            raise invalid(f"No such subscription item: '{name}'", "items", "resource_missing")
        elif row.get("deleted"):
            del after[name]
        else:
            item = after[name]
            if row.get("price") or row.get("price_data"):
                item["price"] = catalogue.inline_price(account, row)
            item["quantity"] = row.get("quantity", item["quantity"])
            merge_metadata(item, row)
    if not after:
        raise invalid("A subscription must have at least one active plan.", "items")
    if len({item["price"]["currency"] for item in after.values()}) > 1:
        raise invalid("All prices of a subscription must have the same currency.", "items")
    return after


def _added(account: Account, subscription: Json, row: Json, at: int) -> Json:
    item = new_item(account, subscription["id"], row, at, None)
    every = item["price"]["recurring"]
    for each in subscription["items"]["data"]:
        if each["price"]["recurring"]["interval"] == every["interval"]:
            # It joins the period that runs already.
            item["current_period_start"] = each["current_period_start"]
            item["current_period_end"] = each["current_period_end"]
    return item


def _differs(old: Json | None, new: Json | None) -> bool:
    if old is None or new is None:
        return True
    return bool(old["price"]["id"] != new["price"]["id"] or old["quantity"] != new["quantity"])


def _starts_anew(
    subscription: Json, before: dict[str, Json], after: dict[str, Json], params: Json
) -> bool:
    if params.get("billing_cycle_anchor") == "now":
        return True

    def rhythm(item: Json) -> tuple[str, int]:
        every = item["price"]["recurring"]
        return every["interval"], every["interval_count"]

    for name, item in before.items():
        if name in after and rhythm(item) != rhythm(after[name]):
            return True
    was = sum(lines.cost(item) for item in before.values())
    becomes = sum(lines.cost(item) for item in after.values())
    return was == 0 and becomes > 0 and subscription["status"] != TRIALING


def reductions(account: Account, subscription: Json) -> list[Json]:
    """Return the discounts that a subscription's next invoice has."""
    return discounts.still_on(account, subscription["discounts"])
