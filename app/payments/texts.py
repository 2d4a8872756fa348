"""Sentences for the codes of this subject, and the words for the states of an invoice."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

TEXTS: Mapping[str, LazyString] = {
    "unknown_invoice": _l("There is no such invoice. Open your list of invoices and try again."),
    "invoice_move": _l(
        "This can't be done with the invoice any more: it has been paid or closed meanwhile."
    ),
    "invoice_taken": _l("The same invoice is being made right now. Try again in a moment."),
    "invoice_lines": _l("An invoice has between 1 and %(maximum)s lines."),
    "invoice_description": _l("Describe the line in 1 to %(maximum)s characters."),
    "invoice_currency": _l("All lines of an invoice are in the same currency."),
    "invoice_amount": _l(
        "Give an amount up to %(maximum)s that has no more decimals than the currency."
    ),
    "invoice_quantity": _l("The quantity is a whole number from 1 on."),
    "invoice_total": _l("An invoice comes to between 0 and %(maximum)s, its discount too."),
}
