"""Sentences for the codes of subscriptions that a provider keeps, and the words for orders."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

TEXTS: Mapping[str, LazyString] = {
    "order_waits": _l(
        "Another change of this subscription is on its way to the payment provider. Try again in "
        "a few minutes."
    ),
    "subscription_paused": _l("The subscription is paused. Resume it before you change it."),
    "unknown_customer": _l("Nothing is kept for you at the payment provider."),
    "unknown_subscription": _l("There is no such subscription at the payment provider."),
    "not_sold_there": _l("This can't be had as a subscription by card. Choose another way to pay."),
}

PROMO_LABELS: Mapping[str, LazyString] = {
    "waiting": _l("Waits to be made there"),
    "made": _l("Can be used"),
    "ending": _l("Waits to be switched off there"),
    "ended": _l("Switched off"),
    "refused": _l("Refused"),
}
COMMAND_LABELS: Mapping[str, LazyString] = {
    "waiting": _l("Waits for the provider"),
    "done": _l("Done"),
    "refused": _l("Refused"),
    "dropped": _l("Replaced by another"),
}
VERB_LABELS: Mapping[str, LazyString] = {
    "end_now": _l("End at once"),
    "end_later": _l("End with the period"),
    "go_on": _l("Go on after all"),
    "pause": _l("Pause"),
    "resume": _l("Resume"),
    "change": _l("Change now"),
    "change_later": _l("Change with the period"),
}
