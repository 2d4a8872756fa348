"""Schedules of subscriptions: what follows at the end of a phase."""

from tests.doubles.stripe import catalogue, changes
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import period_end
from tests.doubles.stripe.errors import invalid
from tests.doubles.stripe.values import Json

MANAGED = (
    "The subscription is managed by the subscription schedule `{}`, and updating any cancelation "
    "behavior directly is not allowed. Please update the schedule instead."
)


def create_schedule(account: Account, params: Json) -> Json:
    """Answer POST /v1/subscription_schedules, for a subscription that runs."""
    row = account.get("subscription", params.get("from_subscription"), "from_subscription")
    if row["schedule"]:
        raise invalid(
            "You cannot migrate a subscription that is already attached to a schedule: "
            f"{row['schedule']}"
        )
    items = row["items"]["data"]
    start = min(item["current_period_start"] for item in items)
    end = min(item["current_period_end"] for item in items)
    name = account.id("sub_sched")
    schedule = {
        "id": name,
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": row["billing_mode"],
        "canceled_at": None,
        "completed_at": None,
        "created": account.now,
        "current_phase": {"start_date": start, "end_date": end},
        "customer": row["customer"],
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None,
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": row["collection_method"],
            "default_payment_method": None,
            "description": None,
            "invoice_settings": {
                "account_tax_ids": None,
                "days_until_due": None,
                "issuer": {"type": "self"},
            },
            "on_behalf_of": None,
            "transfer_data": None,
        },
        "end_behavior": params.get("end_behavior", "release"),
        "livemode": account.settings.livemode,
        "metadata": params.get("metadata") or {},
        "phases": [_phase(row["currency"], items, start, end, discounts=row["discounts"])],
        "released_at": None,
        "released_subscription": None,
        "status": "active",
        "subscription": row["id"],
        "test_clock": None,
    }
    account.touch(row)["schedule"] = name
    return account.add(schedule, "subscription_schedule.created")


def update_schedule(account: Account, params: Json, schedule: str) -> Json:
    """Answer POST /v1/subscription_schedules/{schedule}: other phases."""
    row = _running(account, schedule)
    if "phases" in params:
        first = params["phases"][0]
        if first.get("start_date") != row["phases"][0]["start_date"]:
            raise invalid("You can not modify the start date of the current phase.", "phases")
        runs = account.get("subscription", row["subscription"])
        if runs["status"] == "trialing" and not (first.get("trial") or first.get("trial_end")):
            # At Stripe the trial would end with this call, and the card would be charged.
            raise invalid("The present phase says nothing of the trial that runs.", "phases")
        row["phases"] = _phases(account, row, params["phases"])
        row["current_phase"] = {
            "start_date": row["phases"][0]["start_date"],
            "end_date": row["phases"][0]["end_date"],
        }
        _set_discounts(account, account.get("subscription", row["subscription"]), row["phases"][0])
    row["end_behavior"] = params.get("end_behavior", row["end_behavior"])
    account.tell("subscription_schedule.updated", row)
    return row


def release_schedule(account: Account, params: Json, schedule: str) -> Json:
    """Answer POST /v1/subscription_schedules/{schedule}/release: the subscription goes on alone."""
    row = _running(account, schedule)
    _let_go(account, row)
    return row


def begin_phase(account: Account, subscription: Json, at: int) -> None:
    """Put the items of the phase that begins now into a subscription; after the last one let go."""
    schedule = account.find("subscription_schedule", subscription["schedule"])
    if schedule is None:
        return
    phase = next((one for one in schedule["phases"] if one["start_date"] == at), None)
    if phase is None:
        _let_go(account, schedule)
        return
    schedule["current_phase"] = {"start_date": at, "end_date": phase["end_date"]}
    former = subscription["items"]["data"]
    items = []
    for number, wanted in enumerate(phase["items"]):
        price = account.get("price", wanted["price"])
        if number < len(former):
            item = {**former[number], "price": price, "quantity": wanted["quantity"]}
        else:
            given = {"price": price["id"], "quantity": wanted["quantity"]}
            item = changes.new_item(account, subscription["id"], given, at, at)
            account.add(item)
        account.objects[item["id"]] = item
        items.append(item)
    for item in items:
        item["current_period_end"] = at
    if _rhythm(items[0]) != _rhythm(former[0]):
        subscription["billing_cycle_anchor"] = at
    subscription["items"]["data"] = items
    _set_discounts(account, subscription, phase)
    account.tell("subscription_schedule.updated", schedule)


def _set_discounts(account: Account, subscription: Json, phase: Json) -> None:
    """Leave a subscription the discounts that its phase names; those that are used up stay so."""
    named = [row["discount"] for row in phase["discounts"]]
    kept = [name for name in subscription["discounts"] if name in named]
    if kept != subscription["discounts"]:
        account.touch(subscription)["discounts"] = kept


def _running(account: Account, name: str) -> Json:
    row = account.get("subscription_schedule", name)
    if row["status"] not in {"active", "not_started"}:
        raise invalid(f"The schedule `{name}` is {row['status']}: it can't be changed any more.")
    return account.touch(row)


def _let_go(account: Account, schedule: Json) -> None:
    subscription = account.get("subscription", schedule["subscription"])
    account.touch(subscription)["schedule"] = None
    account.touch(schedule).update(
        status="released",
        released_at=account.now,
        released_subscription=subscription["id"],
        subscription=None,
        current_phase=None,
    )
    account.tell("subscription_schedule.released", schedule)


def _phases(account: Account, schedule: Json, given: list[Json]) -> list[Json]:
    told: list[Json] = []
    start = schedule["phases"][0]["start_date"]
    for phase in given:
        items = [
            {"price": catalogue.inline_price(account, one), "quantity": one.get("quantity", 1)}
            for one in phase["items"]
        ]
        end = phase.get("end_date") or _end(start, phase.get("duration"))
        currency = items[0]["price"]["currency"]
        names = [row["discount"] for row in phase.get("discounts") or []]
        how = phase.get("proration_behavior")
        told.append(_phase(currency, items, start, end, how, discounts=names))
        if phase.get("trial"):
            told[-1]["trial_end"] = end
        start = end
    return told


def _end(start: int, duration: Json | None) -> int:
    if duration is None:
        raise invalid("A phase needs an end_date or a duration.", "phases")
    return period_end(start, start, duration["interval"], duration.get("interval_count", 1))


def _phase(
    currency: str,
    items: list[Json],
    start: int,
    end: int,
    proration: str | None = None,
    *,
    discounts: list[str],
) -> Json:
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "currency": currency,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [
            {"coupon": None, "discount": name, "promotion_code": None} for name in discounts
        ],
        "end_date": end,
        "invoice_settings": None,
        "items": [
            {
                "billing_thresholds": None,
                "discounts": [],
                "metadata": {},
                "price": item["price"]["id"],
                "quantity": item["quantity"],
                "tax_rates": [],
            }
            for item in items
        ],
        "metadata": {},
        "on_behalf_of": None,
        "proration_behavior": proration or "create_prorations",
        "start_date": start,
        "transfer_data": None,
        "trial_end": None,
    }


def _rhythm(item: Json) -> tuple[str, int]:
    every = item["price"]["recurring"]
    return every["interval"], every["interval_count"]
