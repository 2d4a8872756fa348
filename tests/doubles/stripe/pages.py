"""The hosted pages: Checkout, 3-D Secure, an invoice, the portal. Plain forms, no scripts."""

from html import escape
from urllib.parse import quote

from tests.doubles.stripe import checkout
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.values import Json

STYLE = (
    "body{font:16px sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem}"
    "label,button{display:block;margin:.75rem 0}input{width:100%;padding:.5rem;font:inherit}"
    "button{padding:.6rem 1.2rem;font:inherit}.error{color:#a00}"
)


def draw(title: str, body: str, error: str = "") -> str:
    """Return a page."""
    told = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{told}{body}</body></html>"
    )


def money(amount: int, currency: str) -> str:
    """Return an amount as a page shows it."""
    return f"{amount / 100:.2f} {currency.upper()}"


def checkout_page(account: Account, session: Json, error: str = "") -> str:
    """Return the page of a Checkout Session."""
    if session["status"] != "open":
        return draw("This page is closed", f"<p>The session is {session['status']}.</p>")
    rows = "".join(
        f"<li>{row['quantity']} × {escape(row['description'])}: "
        f"{money(row['amount_total'], row['currency'])}</li>"
        for row in checkout.line_items(account, session)
    )
    owner = account.find("customer", session["customer"])
    email = (owner["email"] if owner else session["customer_email"]) or ""
    fields = _field("email", "Email", email)
    if checkout.needs_card(account, session):
        fields += _field("card", "Card number", "")
    if session["allow_promotion_codes"]:
        fields += _field("promotion_code", "Promotion code", "")
    total = money(session["amount_total"], session["currency"])
    back = (
        f'<p><a id="cancel" href="{escape(session["cancel_url"], quote=True)}">Cancel</a></p>'
        if session["cancel_url"]
        else ""
    )
    return draw(
        "Checkout",
        f'<ul>{rows}</ul><p id="total">Total today: {total}</p>'
        f'<form method="post">{fields}<button type="submit">Pay</button></form>{back}',
        error,
    )


def secure_page(what: str, amount: int, currency: str) -> str:
    """Return the page on which a bank asks its customer."""
    return draw(
        "3-D Secure",
        f"<p>Your bank asks: do you pay {money(amount, currency)} for {escape(what)}?</p>"
        '<form method="post"><button name="ok" value="1">Complete</button>'
        '<button name="ok" value="0">Fail</button></form>',
    )


def invoice_page(invoice: Json, error: str = "") -> str:
    """Return the hosted page of an invoice."""
    rows = "".join(
        f"<li>{escape(row['description'] or '')}: {money(row['amount'], row['currency'])}</li>"
        for row in invoice["lines"]["data"]
    )
    due = money(invoice["amount_remaining"], invoice["currency"])
    form = ""
    if invoice["status"] in {"open", "uncollectible"}:
        card = _field("card", "Card number", "")
        form = f'<form method="post">{card}<button type="submit">Pay</button></form>'
    status = f'<p id="status">{invoice["status"]}</p>'
    return draw(
        f"Invoice {invoice['number'] or ''}",
        f"<ul>{rows}</ul>{status}<p>Due: {due}</p>{form}",
        error,
    )


def portal_page(account: Account, session: Json, error: str = "") -> str:
    """Return the billing portal of a customer."""
    settings = account.get("billing_portal.configuration", session["configuration"])
    sells = settings["features"]["subscription_update"]["enabled"]
    blocks = []
    for row in account.every("subscription", customer=session["customer"]):
        if row["status"] in {"canceled", "incomplete_expired"}:
            continue
        name = row["id"]
        what = "undo" if row["cancel_at"] is not None else "cancel"
        word = {"undo": "Don't cancel", "cancel": "Cancel plan"}[what]
        offers = "".join(
            f'<option value="{price["id"]}">{escape(_price_name(account, price))}</option>'
            for price in account.every("price", active=True)
            if price["recurring"]
        )
        blocks.append(
            f'<section id="{name}"><h2>{row["status"]}</h2><form method="post">'
            f'<input type="hidden" name="subscription" value="{name}">'
            f'<button name="do" value="{what}">{word}</button></form>'
        )
        change = (
            f'<form method="post"><input type="hidden" name="subscription" value="{name}">'
            f'<label>Plan <select name="price">{offers}</select></label>'
            '<button name="do" value="plan">Change plan</button></form>'
        )
        blocks.append(f"{change if sells else ''}</section>")
    card = _field("card", "New card number", "")
    back = session["return_url"]
    link = f'<a id="return" href="{escape(back, quote=True)}">Return</a>' if back else ""
    return draw(
        "Billing portal",
        "".join(blocks)
        + f'<form method="post">{card}<button name="do" value="card">Save card</button></form>'
        + link,
        error,
    )


def _price_name(account: Account, price: Json) -> str:
    product = account.objects[price["product"]]["name"]
    return f"{product} {money(price['unit_amount'] or 0, price['currency'])}"


def _field(name: str, label: str, value: str) -> str:
    return (
        f'<label for="{name}">{label}</label>'
        f'<input id="{name}" name="{name}" value="{escape(value, quote=True)}" autocomplete="off">'
    )


def success_url(session: Json) -> str:
    """Return where a customer goes after paying."""
    told = str(session["success_url"])
    return told.replace("{CHECKOUT_SESSION_ID}", quote(session["id"]))
