"""The test cards: how each behaves when it is saved and when it is charged."""

from dataclasses import dataclass
from typing import Any

from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import card_error, invalid
from tests.doubles.stripe.values import Json

DECLINED = "Your card was declined."


@dataclass(frozen=True, slots=True)
class Card:
    """A card's ways. `asks`: never, once (until it was set up), on_session, always."""

    number: str
    code: str | None = None
    decline_code: str | None = None
    message: str = DECLINED
    saves: bool = True
    asks: str = "never"
    disputes: bool = False
    warns: bool = False
    refund_fails: bool = False
    brand: str = "visa"

    @property
    def last4(self) -> str:
        """Return what is shown of the number."""
        return self.number[-4:]


def _declines(number: str, code: str, decline: str | None, message: str, *, saves: bool) -> Card:
    return Card(number, code, decline, message, saves=saves)


CARDS = {
    card.number: card
    for card in (
        Card("4242424242424242"),
        Card("5555555555554444", brand="mastercard"),
        _declines("4000000000000002", "card_declined", "generic_decline", DECLINED, saves=False),
        _declines(
            "4000000000009995",
            "card_declined",
            "insufficient_funds",
            "Your card has insufficient funds.",
            saves=False,
        ),
        _declines("4000000000000341", "card_declined", "generic_decline", DECLINED, saves=True),
        _declines("4000000000000069", "expired_card", None, "Your card has expired.", saves=False),
        _declines(
            "4000000000000119",
            "processing_error",
            None,
            "An error occurred while processing your card. Try again in a little bit.",
            saves=False,
        ),
        Card("4000002500003155", asks="once"),
        Card("4000000000003220", asks="on_session"),
        Card("4000002760003184", asks="always"),
        Card("4000000000000259", disputes=True),
        Card("4000000000005423", warns=True),
        Card("4000000000005126", refund_fails=True),
    )
}
METHODS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_authenticationRequiredOnSetup": "4000002500003155",
    "pm_card_threeDSecure2Required": "4000000000003220",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_refundFail": "4000000000005126",
}
TOKENS = {name.replace("pm_card", "tok"): number for name, number in METHODS.items()}
DELAYED = "AT611904300234573201"


def card(number: str) -> Card:
    """Return the card of a number, as it is typed."""
    digits = number.replace(" ", "").replace("-", "")
    if digits not in CARDS:
        raise card_error("incorrect_number", None, "Your card number is incorrect.")
    return CARDS[digits]


def card_of(account: Account, method: Json) -> Card:
    """Return the card behind a payment method; a bank debit behaves as a good one."""
    number = account.hidden.get(method["id"], {}).get("number", "4242424242424242")
    return CARDS[number]


def make_method(account: Account, number: str, details: Json | None = None) -> Json:
    """Return a new payment method of a card, belonging to nobody yet."""
    known = card(number)
    method = _method(account, "card", details)
    method["card"] = _card_details(known)
    account.hidden[method["id"]] = {"number": known.number, "set_up": False}
    return account.add(method)


def make_debit(account: Account, details: Json | None = None) -> Json:
    """Return a new payment method that takes days: a SEPA debit."""
    method = _method(account, "sepa_debit", details)
    method["sepa_debit"] = {
        "bank_code": "19043",
        "branch_code": "",
        "country": "AT",
        "fingerprint": "debit19043",
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": DELAYED[-4:],
    }
    return account.add(method)


def method_for(account: Account, name: str, param: str = "payment_method") -> Json:
    """Return the payment method of an id; ids of test cards make a new one."""
    if name in METHODS:
        return make_method(account, METHODS[name])
    return account.get("payment_method", name, param)


def create_method(account: Account, params: Json) -> Json:
    """Answer POST /v1/payment_methods."""
    if params.get("type") != "card":
        raise invalid("Only cards are known here.", "type")
    given = params.get("card") or {}
    number = given.get("number") or TOKENS.get(given.get("token", ""), "")
    method = make_method(account, number, params.get("billing_details"))
    method["metadata"] = params.get("metadata") or {}
    return method


def attach(account: Account, method: Json, customer: Json) -> Json:
    """Give a payment method to a customer; some cards are declined already here."""
    known = card_of(account, method)
    if method["customer"] == customer["id"]:
        return method
    if not known.saves:
        raise card_error(known.code or "card_declined", known.decline_code, known.message)
    method["customer"] = customer["id"]
    account.tell("payment_method.attached", method)
    return method


def detach(account: Account, method: Json) -> Json:
    """Take a payment method from its customer."""
    owner = account.find("customer", method["customer"])
    if owner is not None and owner["invoice_settings"]["default_payment_method"] == method["id"]:
        account.touch(owner)["invoice_settings"]["default_payment_method"] = None
    for subscription in account.every("subscription", default_payment_method=method["id"]):
        account.touch(subscription)["default_payment_method"] = None
    account.touch(method)["customer"] = None
    account.tell_change("payment_method.detached", method)
    return method


def asks_for_customer(account: Account, method: Json, *, off_session: bool) -> bool:
    """Tell whether the bank wants to see the customer for this charge."""
    known = card_of(account, method)
    if known.asks == "always":
        return True
    if known.asks == "on_session":
        return not (off_session and account.hidden[method["id"]]["set_up"])
    return known.asks == "once" and not account.hidden[method["id"]]["set_up"]


def set_up(account: Account, method: Json) -> None:
    """Remember that the customer proved to be the owner of the card."""
    if method["id"] in account.hidden:
        account.hidden[method["id"]]["set_up"] = True


def address(**values: Any) -> Json:
    """Return billing details with nothing but these."""
    empty = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    given = {key: value for key, value in values.items() if value is not None}
    return {"address": empty, "email": None, "name": None, "phone": None, "tax_id": None, **given}


def _method(account: Account, kind: str, details: Json | None) -> Json:
    return {
        "id": account.id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": address(**(details or {})),
        "created": account.now,
        "customer": None,
        "customer_account": None,
        "livemode": account.settings.livemode,
        "metadata": {},
        "type": kind,
    }


def _card_details(known: Card) -> Json:
    return {
        "brand": known.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "display_brand": known.brand,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": f"fp{known.number[-10:]}",
        "funding": "credit",
        "generated_from": None,
        "last4": known.last4,
        "networks": {"available": [known.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
