"""Addresses of pages of this subject, for subjects below that may not know it."""

from flask import url_for
from flask_babel import gettext as _

from app.errors import DomainError
from app.payments import queries
from app.wallet.topups import RefLink

_INVOICE = "invoice:"


def top_up_address() -> str | None:
    """Return where a wallet is topped up; nothing while no way to pay is offered."""
    return url_for("payments.top_up") if queries.offered_rails() else None


def ref_link(user_id: int, ref: str) -> RefLink | None:
    """Return the page of an invoice of a person that the ledger refers to."""
    number = ref.removeprefix(_INVOICE)
    if not ref.startswith(_INVOICE) or not number.isdecimal():
        return None
    try:
        found = queries.own_invoice(user_id, int(number))
    except DomainError:
        return None
    text = _("Invoice %(number)s", number=found.card.number)
    return RefLink(text, url_for("payments.show", invoice_id=found.card.id))
