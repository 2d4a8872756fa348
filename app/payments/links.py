"""Addresses of pages of this subject, for subjects below that may not know it."""

from dataclasses import dataclass

from flask import url_for
from flask_babel import gettext as _

from app.adapters.payments import stripe
from app.adapters.payments.stripe import dashboard
from app.config import current_config
from app.errors import DomainError
from app.payments import queries
from app.wallet.topups import RefLink

_INVOICE = "invoice:"


@dataclass(frozen=True, slots=True)
class ProviderPage:
    """Where a provider shows an object to staff, and whether real money moves there."""

    address: str
    is_live: bool


def provider_page(rail: str, external_id: str | None) -> ProviderPage | None:
    """Return the page of an object at its provider's own desk, None where there is none."""
    if rail != stripe.NAME or not external_id:
        return None
    is_live = current_config().stripe_is_live
    address = dashboard.page_of(external_id, is_live=is_live)
    return ProviderPage(address, is_live) if address else None


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
