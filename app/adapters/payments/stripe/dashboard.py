"""Where staff look at an object of Stripe; pure."""

PAGES = "https://dashboard.stripe.com/"
# What Stripe's ids begin with -> the part of its desk that shows them.
PARTS = {
    "in_": "invoices",
    "sub_": "subscriptions",
    "cus_": "customers",
    "pi_": "payments",
    "ch_": "payments",
    "du_": "disputes",
    "dp_": "disputes",
    "evt_": "events",
}


def page_of(external_id: str, *, is_live: bool) -> str | None:
    """Return the page of an object at Stripe's own desk, None for what has none."""
    part = next((part for start, part in PARTS.items() if external_id.startswith(start)), None)
    if part is None or not external_id.replace("_", "").isalnum():
        return None
    return f"{PAGES}{'' if is_live else 'test/'}{part}/{external_id}"
