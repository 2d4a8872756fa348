"""Sentences for the codes of this subject, and the words for its states."""

from collections.abc import Mapping

from flask_babel import gettext, lazy_pgettext
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.payments.rules import AlertKind, AlertState, EventState, LineKind, Note, Settlement
from app.wallet.texts import RAIL_LABELS

TEXTS: Mapping[str, LazyString] = {
    "unknown_invoice": _l("There is no such invoice. Open your list of invoices and try again."),
    "unknown_credit_note": _l(
        "There is no such credit note. Open its invoice and take it from there."
    ),
    "invoice_move": _l(
        "This can't be done with the invoice any more: it has been paid or closed meanwhile."
    ),
    "page_replaced": _l(
        "Something else has taken the place of this page to pay on. Look at your plan and your "
        "invoices; for this one you were not charged."
    ),
    "rail_keeps_no_callbacks": _l("This way to pay keeps no callbacks that could be fetched."),
    "rail_shows_no_books": _l("This way to pay shows no books to compare with."),
    "invoice_taken": _l("The same invoice is being made right now. Try again in a moment."),
    "invoice_lines": _l("An invoice has between 1 and %(maximum)s lines."),
    "invoice_description": _l("Describe the line in 1 to %(maximum)s characters."),
    "invoice_currency": _l("All lines of an invoice are in the same currency."),
    "invoice_amount": _l(
        "Give an amount up to %(maximum)s that has no more decimals than the currency."
    ),
    "invoice_quantity": _l("The quantity is a whole number from 1 on."),
    "invoice_total": _l("An invoice comes to between 0 and %(maximum)s, its discount too."),
    "invoice_not_open": _l("This invoice can't be paid any more: it was paid or taken back."),
    "invoice_at_provider": _l(
        "This invoice is kept by the payment provider: pay it on the provider's page, which we "
        "have mailed to you."
    ),
    "invoice_not_by_wallet": _l("This invoice tops the wallet up: pay it by another way."),
    "wallet_short": _l(
        "Your wallet has %(available)s %(currency)s free, %(missing)s %(currency)s are missing. "
        "Top it up, or choose another way to pay."
    ),
    "rail_unavailable": _l(
        "The payment provider does not answer. Nothing was taken; try again in a few minutes."
    ),
    "rail_refused": _l(
        "The payment provider has refused this. Choose another way to pay, or write to us."
    ),
    "card_refused": _l("The card was declined. Try another card."),
    "unknown_rail": _l("This way to pay is not offered here."),
    "unknown_checkout": _l("There is no such payment."),
    "unknown_payment": _l("There is no such payment."),
    "checkout_taken": _l("The same payment is being prepared right now. Try again in a moment."),
    "no_saved_method": _l("Nothing is kept to pay with. Choose a way to pay."),
    "top_up_amount": _l("Give an amount between %(minimum)s and %(maximum)s."),
    "form_sent_before": _l(
        "This form was sent before with other values: those hold, and nothing more was done. Open "
        "it anew for another one."
    ),
    "refund_amount": _l("Give an amount above zero with no more decimals than the currency."),
    "not_chargeable": _l("Banks take amounts in %(currency)s in steps of %(step)s only."),
    "refund_too_much": _l("At most %(maximum)s %(currency)s of this payment can still go back."),
    "refund_no_rail": _l("This was paid from the wallet: it can only go back there."),
    "refund_refused": _l("The provider does not give this back."),
    "unknown_payment_alert": _l("There is nothing to look into by this number."),
    "payment_alert_over": _l("The provider has taken this back itself: nothing is to be done."),
    "payment_alert_moves_nothing": _l(
        "A warning moves no money: choose that it was looked into, and give the payment back on "
        "the page of its invoice if you want to."
    ),
    "payment_alert_pending": _l(
        "This refund is under way at the provider still. Book it once it is done there."
    ),
    "unknown_rail_event": _l("There is no such callback."),
    "rail_event_waits": _l("This callback waits to be applied already."),
    "unknown_demo_object": _l("There is no such page of the demonstration."),
    "demo_page_closed": _l("This page was used, or is over. Go back and start the payment again."),
}

# Of money: how much of a coin is another word in most languages.
AMOUNT = lazy_pgettext("money", "Amount")

PURPOSE_LABELS: Mapping[str, LazyString] = {
    "invoice": _l("Invoice"),
    "top_up": _l("Top-up"),
    "subscription": _l("Subscription"),
}

STATE_LABELS: Mapping[str, LazyString] = {
    "draft": _l("Draft"),
    "open": lazy_pgettext("invoice", "Open"),
    "overdue": _l("Overdue"),
    "payment_failed": _l("Payment failed"),
    "paid": _l("Paid"),
    "partly_refunded": _l("Partly refunded"),
    "refunded": _l("Refunded"),
    "void": _l("Void"),
    "uncollectible": _l("Given up"),
}

PAYMENT_LABELS: Mapping[str, LazyString] = {
    "pending": _l("Under way"),
    "succeeded": _l("Done"),
    "failed": _l("Failed"),
    "canceled": _l("Canceled"),
}

EVENT_LABELS: Mapping[str, LazyString] = {
    EventState.RECEIVED: _l("Waits"),
    EventState.PROCESSED: _l("Applied"),
    EventState.IGNORED: _l("Not for us"),
    EventState.FAILED: _l("Failed, is tried again"),
    EventState.DEAD: _l("Failed for good"),
}

TARGET_LABELS: Mapping[str, LazyString] = {
    "rail": _l("back the way it came"),
    "wallet": _l("to the wallet"),
}

# Why a payment failed, by the codes that providers give.
_DECLINED = _l("The bank declined the card. Try another one.")
_EXPIRED = _l("The card has expired. Use another one.")
_MISTYPED = _l("The numbers of the card do not fit. Type them again, or use another one.")
_LIMITED = _l("A limit of the card is reached. Ask your bank, or use another one.")
_UNCONFIRMED = _l("The bank did not confirm the payment.")
FAILURES: Mapping[str, LazyString] = {
    "card_declined": _DECLINED,
    "generic_decline": _DECLINED,
    "do_not_honor": _DECLINED,
    "transaction_not_allowed": _DECLINED,
    "expired_card": _EXPIRED,
    "invalid_expiry_month": _EXPIRED,
    "invalid_expiry_year": _EXPIRED,
    "incorrect_cvc": _MISTYPED,
    "invalid_cvc": _MISTYPED,
    "incorrect_number": _MISTYPED,
    "invalid_number": _MISTYPED,
    "card_velocity_exceeded": _LIMITED,
    "withdrawal_count_limit_exceeded": _LIMITED,
    "authentication_required": _UNCONFIRMED,
    "payment_intent_authentication_failure": _UNCONFIRMED,
    "insufficient_funds": _l("There is not enough money on the card."),
    "authentication_failed": _UNCONFIRMED,
    "expired_or_canceled_card": _l("The card takes no money back: it was canceled."),
    "canceled": _l("The payment was canceled."),
    "no_saved_method": _l("Nothing was kept to pay with."),
    "wallet_short": _l("There is not enough money in the wallet."),
}
# The bank suspects the payer, who should not learn that; staff read its own word.
_SUSPECTED = frozenset(
    {"fraudulent", "lost_card", "merchant_blacklist", "pickup_card", "restricted_card",
     "security_violation", "stolen_card"}
)  # fmt: skip
OTHER_FAILURE = _l("The provider refused the payment. Try another way to pay.")

NOTES: Mapping[str, LazyString] = {
    Note.UNDER: _l("Less came than was due: it is in the wallet, and the invoice stays open."),
    Note.OVER: _l("More came than was due: the rest is in the wallet."),
    Note.LATE: _l("It came after the invoice was done with."),
    Note.WRONG_CURRENCY: _l("It came in another currency: it is in the wallet."),
}

LINE_LABELS: Mapping[str, LazyString] = {
    LineKind.PLAN: _l("Plan"),
    LineKind.BOT: _l("Rented bot"),
    LineKind.TOP_UP: _l("Top-up of the wallet"),
    LineKind.SHOP: _l("Shop"),
    LineKind.COURSE: _l("Course"),
    LineKind.PROMOTION: _l("Promotion"),
    LineKind.PRORATION: _l("Change of plan"),
    LineKind.OTHER: _l("Other"),
}

DISPUTE_LABELS: Mapping[str, LazyString] = {
    "inquiry": _l("The bank asks; nothing was taken"),
    "closed": _l("The bank asked; nothing was taken"),
    "open": _l("The bank has taken it and decides"),
    "won": _l("The money stays with us"),
    "lost": _l("The payer gets it"),
}
ALERT_LABELS: Mapping[str, LazyString] = {
    AlertKind.FRAUD_WARNING: _l("Warning of fraud by the bank of the card"),
    AlertKind.REFUND_EXCESS: _l("Refund at the provider, larger than our books allow"),
    AlertKind.ERASED_PAYER: _l("Money of somebody whose account is erased: give it back"),
    AlertKind.REFUND_FAILED: _l("Refund that failed: the money is with us again"),
}
ALERT_STATES: Mapping[str, LazyString] = {
    AlertState.OPEN: _l("Waits for a person"),
    AlertState.OVER: _l("Over, as its provider says"),
    AlertState.SETTLED: lazy_pgettext("alert", "Settled"),
}
SETTLEMENTS: Mapping[str, LazyString] = {
    Settlement.NOTED: _l("Looked into; nothing is booked"),
    Settlement.LOSS: _l("Book the refund as our loss"),
    Settlement.WALLET: _l("Take the refund from the wallet, the rest is our loss"),
}
# What an alert is about, by the words of providers.
ALERT_WORDS: Mapping[str, LazyString] = {
    "card_never_received": _l("The card never reached its owner"),
    "fraudulent_card_application": _l("The card was applied for in a false name"),
    "made_with_counterfeit_card": _l("The card was counterfeit"),
    "made_with_lost_card": _l("The card was lost"),
    "made_with_stolen_card": _l("The card was stolen"),
    "unauthorized_use_of_card": _l("The owner of the card knows nothing of it"),
    "misc": _l("Other fraud"),
    "pending": PAYMENT_LABELS["pending"],
    "succeeded": PAYMENT_LABELS["succeeded"],
    "failed": PAYMENT_LABELS["failed"],
}

# Causes of moves that the product writes; what staff give as a reason stands as they wrote it.
CAUSES: Mapping[str, LazyString] = {
    "ordered": _l("ordered"),
    "issued": _l("issued"),
    "staff": _l("made by staff"),
    "nothing_due": _l("nothing was to be paid"),
    "renewed": _l("for the next period"),
    "changed": _l("for a change of plan"),
    "canceled": _l("the subscription was cancelled"),
    "chose_again": _l("another plan was chosen"),
    "expired": _l("it was not paid in time"),
    "unpaid": _l("it was not paid"),
    "trial_over": _l("the trial ended"),
    "left": _l("the account was deleted"),
    "asked": _l("as its owner asked"),
}

_PAYMENT = "payment:"
STATE_TONES: Mapping[str, str] = {
    "paid": "good",
    "succeeded": "good",
    "overdue": "bad",
    "payment_failed": "bad",
    "failed": "bad",
    "open": "warning",
    "pending": "warning",
}


def rail_label(name: str) -> str:
    """Return how people call a way to pay."""
    return str(RAIL_LABELS.get(name, name.capitalize()))


def credit_words(number: str, day: str, tax: str) -> str:
    """Return what a credit note is called on an invoice; `tax` is what of its sum is tax."""
    values = {"number": number, "day": day}
    if not tax:
        return str(gettext("Credit note %(number)s, %(day)s", **values))
    return str(gettext("Credit note %(number)s, %(day)s (tax of it: %(tax)s)", tax=tax, **values))


def discount_words(name: str) -> str:
    """Return what a discount is called, with its code where that is known."""
    return str(gettext("Discount (%(name)s)", name=name) if name else gettext("Discount"))


def failure_label(code: str) -> str:
    """Return why a payment failed."""
    return str(_DECLINED if code in _SUSPECTED else FAILURES.get(code, OTHER_FAILURE))


def cause_label(cause: str) -> str:
    """Return why an invoice moved."""
    number = cause.removeprefix(_PAYMENT)
    if cause.startswith(_PAYMENT) and number.isdecimal():
        return str(gettext("by payment %(id)s", id=number))
    rail, told, _name = cause.partition(":")
    if told and rail in RAIL_LABELS:
        return str(gettext("as its provider says"))
    return str(CAUSES.get(cause, cause))
