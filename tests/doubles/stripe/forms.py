"""Form bodies and queries: `items[0][price]=x` to nested values and their types."""

import re
from typing import Any
from urllib.parse import parse_qsl

from tests.doubles.stripe.values import Json

INTEGERS = frozenset(
    {
        "active_until", "amount", "amount_off", "anchor", "billing_cycle_anchor", "cancel_at",
        "days_until_due", "due_date", "duration_in_months", "end", "end_date", "expires_at",
        "exp_month", "exp_year", "gt", "gte", "interval_count", "limit", "lt", "lte",
        "max_redemptions",
        "minimum_amount", "proration_date", "quantity", "redeem_by", "resumes_at", "start",
        "start_date", "timestamp", "trial_end", "trial_period_days", "unit_amount", "created",
    }
)  # fmt: skip
BOOLEANS = frozenset(
    {
        "active", "allow_promotion_codes", "auto_advance", "cancel_at_period_end", "clear_usage",
        "confirm", "deleted", "delivery_success", "enabled", "error_on_requires_action",
        "first_time_transaction", "forgive", "invoice_now", "off_session", "paid_out_of_band",
        "prorate", "refund_application_fee", "submit", "tax_id_collection", "trial_from_plan",
        "cancel_now", "discountable", "itemized", "shippable", "required",
    }
)  # fmt: skip
FREE = frozenset({"metadata", "payload"})
WHOLE = re.compile(r"^-?\d+$")
PARTS = re.compile(r"[^\[\]]+")


def parse(text: str) -> Json:
    """Return the nested values of a form body, all of them texts."""
    told: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        _put(told, PARTS.findall(name), value, listed=name.endswith("[]"))
    return {key: _lists(value) for key, value in told.items()}


def typed(values: Any, name: str = "") -> Any:
    """Return the values as Stripe takes them: numbers, truths, and nothing for an empty text."""
    if isinstance(values, dict):
        return {
            key: value if key in FREE and value != "" else typed(value, key)
            for key, value in values.items()
        }
    if isinstance(values, list):
        return [typed(value, name) for value in values]
    if values == "":
        return None
    if name in INTEGERS and WHOLE.match(values):
        return int(values)
    if name in BOOLEANS and values in {"true", "false"}:
        return values == "true"
    return values


def _put(told: Json, path: list[str], value: str, *, listed: bool) -> None:
    place = told
    for part in path[:-1]:
        inner = place.get(part)
        if not isinstance(inner, dict):
            inner = place[part] = {}
        place = inner
    if listed:
        rows = place.setdefault(path[-1], {})
        rows[str(len(rows))] = value
    else:
        place[path[-1]] = value


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(each) for key, each in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner
