"""What a browser does at the hosted pages."""

import re
from dataclasses import dataclass

from tests.doubles.stripe import checkout, pages, portal
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import CardDeclined, Refused, invalid
from tests.doubles.stripe.values import Json

PATHS = re.compile(r"^/(c/pay|c/secure|i|3ds|p/session)/([A-Za-z0-9_]+)$")


@dataclass
class Page:
    """A page, or where to go instead."""

    status: int = 200
    body: str = ""
    location: str | None = None


def visit(account: Account, method: str, path: str, form: dict[str, str]) -> Page | None:
    """Answer a browser; None if the address is no page."""
    match = PATHS.match(path)
    if match is None:
        return None
    handler = {
        "c/pay": _checkout,
        "c/secure": _secure_checkout,
        "i": _invoice,
        "3ds": _secure,
        "p/session": _portal,
    }[match.group(1)]
    with account.lock:
        try:
            return handler(account, method, match.group(2), form)
        except Refused as no:
            return Page(no.status, pages.draw("This did not work", "", str(no)))


def _checkout(account: Account, method: str, name: str, form: dict[str, str]) -> Page:
    row = account.get("checkout.session", name)
    if method == "GET":
        return Page(body=pages.checkout_page(account, row))
    try:
        with account.working():
            if form.get("promotion_code"):
                checkout.use_code(account, row, form["promotion_code"])
            checkout.pay(
                account, row, form.get("card") or None, email=form.get("email") or None,
                authenticate=None,
            )  # fmt: skip
    except (CardDeclined, Refused) as no:
        return Page(body=pages.checkout_page(account, row, str(no)))
    if row["status"] == "open":
        return Page(303, location=f"/c/secure/{name}")
    return Page(303, location=pages.success_url(row))


def _secure_checkout(account: Account, method: str, name: str, form: dict[str, str]) -> Page:
    row = account.get("checkout.session", name)
    if method == "GET":
        return Page(body=pages.secure_page("this order", row["amount_total"], row["currency"]))
    try:
        with account.working():
            checkout.authenticate(account, row, ok=form.get("ok") == "1")
    except CardDeclined as no:
        return Page(body=pages.checkout_page(account, row, str(no)))
    return Page(303, location=pages.success_url(row))


def _invoice(account: Account, method: str, name: str, form: dict[str, str]) -> Page:
    row = account.get("invoice", name)
    if method == "GET":
        return Page(body=pages.invoice_page(row))
    try:
        with account.working():
            portal.pay_invoice(account, name, form.get("card") or None, authenticate=None)
    except (CardDeclined, Refused) as no:
        return Page(body=pages.invoice_page(row, str(no)))
    intent = account.hidden[name]["intent"]
    if row["status"] == "open" and intent:
        return Page(303, location=f"/3ds/{intent}")
    return Page(303, location=f"/i/{name}")


def _secure(account: Account, method: str, name: str, form: dict[str, str]) -> Page:
    row = account.get("payment_intent", name)
    if method == "GET":
        return Page(body=pages.secure_page("this invoice", row["amount"], row["currency"]))
    with account.working():
        portal.authenticate(account, row, ok=form.get("ok") == "1")
    return Page(303, location=_back(account, row))


def _back(account: Account, intent: Json) -> str:
    for row in account.every("invoice_payment"):
        if row["payment"].get("payment_intent") == intent["id"]:
            return f"/i/{row['invoice']}"
    return f"/3ds/{intent['id']}"


def _portal(account: Account, method: str, name: str, form: dict[str, str]) -> Page:
    session = account.get("billing_portal.session", name)
    if method == "GET":
        return Page(body=pages.portal_page(account, session))
    try:
        with account.working():
            _act(account, session, form)
    except (CardDeclined, Refused) as no:
        return Page(body=pages.portal_page(account, session, str(no)))
    return Page(303, location=f"/p/session/{name}")


def _act(account: Account, session: Json, form: dict[str, str]) -> None:
    what, name = form.get("do"), form.get("subscription", "")
    if what == "cancel":
        portal.cancel(account, name, at_period_end=True, by="cancel_at_period_end", feedback=None)
    elif what == "undo":
        portal.undo_cancel(account, name)
    elif what == "plan":
        if not portal.sells(account, session):
            raise invalid("Plans are not changed in this portal.")
        portal.change_plan(account, name, form["price"])
    elif what == "card":
        portal.new_card(account, session["customer"], form.get("card", ""))
