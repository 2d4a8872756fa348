"""Sentences for the codes of this subject."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

TEXTS: Mapping[str, LazyString] = {
    "insufficient_funds": _l(
        "Your wallet has %(available)s %(currency)s free, and this takes %(amount)s %(currency)s."
    ),
    "hold_closed": _l("This money is no longer set aside. Start the payment again."),
    "more_than_held": _l("This is more than was set aside."),
    "posting_key_taken": _l("This was booked before, with other figures. Nothing was moved."),
    "already_reversed": _l("This was reversed before. Nothing was moved."),
    "dispute_decided": _l("This dispute was decided before. Nothing was moved."),
    "unknown_posting": _l("There is no such transaction."),
    "unknown_hold": _l("There is no such hold."),
    "unknown_dispute": _l("There is no such dispute."),
    "unknown_ledger_account": _l("There is no such account in the chart: %(account)s."),
    "unknown_commodity": _l("There is no such currency: %(currency)s."),
    "amount_out_of_range": _l("This amount cannot be booked."),
    "amount_too_fine": _l("This amount is finer than the smallest unit of %(currency)s."),
    "amount_not_positive": _l("Give an amount above zero."),
    "posting_unbalanced": _l("The lines of this transaction do not sum to zero."),
    "ledger_account_twice": _l("An account stands twice in this transaction."),
    "bad_posting_key": _l("This key cannot be used."),
    "bad_posting_reference": _l("This reference cannot be used."),
    "payment_below_lines": _l("This is less than what is to be paid."),
    "fee_out_of_range": _l("The fee must be between zero and the amount."),
    "tax_out_of_range": _l("The tax must be between zero and the amount."),
    "wallet_part_out_of_range": _l("The part of the wallet must be between zero and the amount."),
    "same_currency": _l("Choose two different currencies."),
}
