"""Pages of lists, and expand[]."""

from collections.abc import Callable, Iterable
from typing import Any

from tests.doubles.stripe import checkout
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import invalid
from tests.doubles.stripe.values import Json, clone

USUAL, MOST = 10, 100
COMPARED: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


def page(url: str, rows: list[Json], params: Json, order: list[str] | None = None) -> Json:
    """Return a page of rows that come newest first.

    A cursor is one of the rows, or of `order`: what is there besides and is only not asked for.
    """
    limit = params.get("limit", USUAL)
    if not 1 <= limit <= MOST:
        raise invalid("This value must be less than or equal to 100.", "limit")
    names = [row["id"] for row in rows]
    start, end = 0, len(rows)
    if params.get("ending_before"):
        end = _newer(names, order or names, params["ending_before"])
        start = max(0, end - limit)
        more = start > 0
    else:
        if params.get("starting_after"):
            start = _place(names, params["starting_after"], "starting_after") + 1
        end = min(len(rows), start + limit)
        more = end < len(rows)
    return {"object": "list", "data": rows[start:end], "has_more": more, "url": url}


def _newer(names: list[str], order: list[str], name: str) -> int:
    place = _place(order, name, "ending_before")
    newer = set(order[:place])
    return sum(each in newer for each in names)


def _place(names: list[str], name: str, param: str) -> int:
    if name not in names:
        raise invalid(f"No such object: '{name}'", param, "resource_missing")
    return names.index(name)


def within(rows: Iterable[Json], created: Any) -> list[Json]:
    """Return the rows made in a range of seconds."""
    if created is None:
        return list(rows)
    if not isinstance(created, dict):
        created = {"gte": int(created), "lte": int(created)}
    return [
        row
        for row in rows
        if all(COMPARED[how](row["created"], bound) for how, bound in created.items())
    ]


def render(account: Account, thing: Json, paths: Iterable[str]) -> Json:
    """Return a copy of an answer with what was asked to be expanded."""
    told = clone(thing)
    for path in paths:
        _expand(account, told, path.split("."), path)
    return told


def _expand(account: Account, place: Any, parts: list[str], path: str) -> None:
    if not parts or place is None or (isinstance(place, dict) and place.get("deleted")):
        return
    if isinstance(place, list):
        for each in place:
            # Recorded objects name what was not recorded with them.
            if not isinstance(each, str):
                _expand(account, each, parts, path)
        return
    name, rest = parts[0], parts[1:]
    if name not in place:
        extra = _hidden_list(account, place, name)
        if extra is None:
            raise invalid(f"This property cannot be expanded ({path}).", "expand")
        place[name] = extra
    value = place[name]
    if isinstance(value, str):
        found = account.objects.get(value)
        if found is None and value.startswith("txn_"):
            # Named in a recording, and not recorded with it.
            return
        if found is None:
            raise invalid(f"This property cannot be expanded ({path}).", "expand")
        place[name] = value = clone(found)
    elif isinstance(value, list):
        for at, each in enumerate(value):
            if isinstance(each, str) and each in account.objects:
                value[at] = clone(account.objects[each])
    _expand(account, value, rest, path)


def _hidden_list(account: Account, place: Json, name: str) -> Any:
    """Return what is told only to whoever asks for it."""
    own = str(place.get("id"))
    made = HIDDEN.get((place.get("object"), name))
    return None if made is None else made(account, place, own)


def _payments(account: Account, place: Json, own: str) -> Json:
    rows = account.every("invoice_payment", invoice=own)
    return _list(rows, f"/v1/invoice_payments?invoice={own}")


def _secret(account: Account, place: Json, own: str) -> Json | None:
    intent = account.find("payment_intent", account.hidden[own]["intent"])
    return intent and {"client_secret": intent["client_secret"], "type": "payment_intent"}


def _line_items(account: Account, place: Json, own: str) -> Json:
    return _list(checkout.line_items(account, place), f"/v1/checkout/sessions/{own}/line_items")


def _subscriptions(account: Account, place: Json, own: str) -> Json:
    rows = [
        row
        for row in reversed(account.every("subscription", customer=own))
        if row["status"] not in {"canceled", "incomplete_expired"}
    ]
    return _list(rows, f"/v1/customers/{own}/subscriptions")


def _refunds(account: Account, place: Json, own: str) -> Json:
    return _list(account.every("refund", charge=own)[::-1], f"/v1/charges/{own}/refunds")


def _applies_to(account: Account, place: Json, own: str) -> Json:
    told: Json = account.hidden.get(own, {}).get("applies_to", {"products": []})
    return told


HIDDEN: dict[tuple[Any, str], Callable[[Account, Json, str], Json | None]] = {
    ("invoice", "payments"): _payments,
    ("invoice", "confirmation_secret"): _secret,
    ("checkout.session", "line_items"): _line_items,
    ("customer", "subscriptions"): _subscriptions,
    ("charge", "refunds"): _refunds,
    ("coupon", "applies_to"): _applies_to,
}


def _list(rows: list[Json], url: str) -> Json:
    return {"object": "list", "data": clone(rows), "has_more": False, "url": url}
