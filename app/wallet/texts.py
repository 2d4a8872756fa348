"""Sentences for the codes of this subject."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel import lazy_pgettext
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

KIND_LABELS: Mapping[str, LazyString] = {
    "top_up": _l("Top-up"),
    "payment": _l("Payment"),
    "wallet_payment": _l("Payment from the wallet"),
    "refund": _l("Refund"),
    "top_up_refund": _l("Top-up sent back"),
    "provider_fee": _l("Fee of the provider"),
    "grant": _l("Credit from us"),
    "lost_refund": _l("Refund that was not owed"),
    "exchange": _l("Currency exchange"),
    "payout": _l("Payout of the provider"),
    "dispute": _l("Payment disputed"),
    "dispute_lost": _l("Dispute lost"),
    "reversal": _l("Reversal"),
}
STATE_LABELS: Mapping[str, LazyString] = {
    "settled": lazy_pgettext("posting", "Settled"),
    "reversed": _l("Reversed"),
}
HOLD_LABELS: Mapping[str, LazyString] = {
    "pending": _l("Money set aside"),
    "captured": _l("Taken"),
    "released": _l("Let go"),
    "expired": _l("Expired"),
}
RAIL_LABELS: dict[str, LazyString | str] = {
    "stripe": _l("Bank card (Stripe)"),
    "demo": _l("Test card (demonstration)"),
    "wallet": _l("Wallet"),
}
ACCOUNT_LABELS: Mapping[str, LazyString] = {
    "revenue:subscription": _l("Subscription"),
    "revenue:rental": _l("Rental of bots"),
    "revenue:one_off": _l("Single purchase"),
    "revenue:course": _l("Courses"),
    "revenue:promotion": _l("Promotions"),
    "revenue:shop": _l("Shop bots"),
    "contra:refunds": _l("Refunds"),
    "tax:payable": _l("Tax"),
    "expense:fees": _l("Fees of providers"),
    "expense:grants": _l("Credit from us"),
    "clearing:exchange": _l("Currency exchange"),
    "loss:chargeback": _l("Borne by us"),
    "loss:refund": _l("Borne by us"),
    "others:wallet": _l("Wallet of somebody else"),
}
ACCOUNT_KIND_LABELS: Mapping[str, LazyString] = {
    "wallet": _l("Wallet"),
    "frozen": _l("Frozen by a dispute"),
    "points": _l("Points"),
    "referral": _l("Rewards of partners"),
    "tax": _l("Tax"),
    "suspense": _l("Not matched yet"),
    "psp": _l("Provider"),
    "dispute": _l("In dispute"),
    "bank": _l("Bank"),
    "clearing": _l("Clearing"),
    "revenue": _l("Income"),
    "contra": _l("Refunds"),
    "expense": _l("Expenses"),
    "loss": _l("Losses"),
}


def kind_label(kind: str) -> str:
    """Return the name of a kind of posting; an unknown one stays as it is."""
    return str(KIND_LABELS.get(kind, kind))


def state_label(state: str) -> str:
    """Return the name of a state of a posting."""
    return str(STATE_LABELS.get(state, state))


def name_rail(rail: str, label: str) -> None:
    """Say how people read a way to pay that an operator has added."""
    RAIL_LABELS[rail] = label


def rail_label(rail: str) -> str:
    """Return the name of a rail; an unknown one stays as it is."""
    return str(RAIL_LABELS.get(rail, rail))


def account_label(name: str) -> str:
    """Return the name of an account as people read it, with its rail where it has one."""
    known = ACCOUNT_LABELS.get(name)
    if known is not None:
        return str(known)
    kind, _, part = name.partition(":")
    label = str(ACCOUNT_KIND_LABELS.get(kind, name))
    return f"{label}: {rail_label(part)}" if kind in {"psp", "dispute"} else label
