"""Sentences for settings and their errors."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.settings.rules import Setting

TEXTS: Mapping[str, LazyString] = {
    "unknown_setting": _l("There is no such setting."),
    "setting_not_a_switch": _l("Please choose on or off."),
    "setting_not_text": _l("Please write a text."),
    "setting_no_choice": _l("Please choose one of the offered values."),
    "setting_too_long": _l("Please write at most %(maximum)s characters."),
    "setting_not_a_number": _l("Please write a whole number."),
    "setting_not_plain": _l("Please use only letters, digits, - and _."),
}

NAMES: dict[str, LazyString] = {
    "keys_may_withdraw": _l("Accept keys that may withdraw money"),
    "keys_need_address": _l("Refuse keys that work from any address"),
    "keys_need_second_factor": _l("Take keys only from people with a second factor"),
    "signup_mode": _l("Who may register"),
    "password_look_up": _l("Look new passwords up in the list of breaches"),
    "captcha_provider": _l("Captcha"),
    "captcha_cost": _l("Work of the captcha"),
    "deletion_days": _l("Days until an account is deleted"),
    "partner_id_bybit": _l("Our partner id at Bybit"),
    "partner_id_binance": _l("Our partner id at Binance"),
    "partner_id_okx": _l("Our partner id at OKX"),
    "partner_id_mexc": _l("Our partner id at MEXC"),
    "payment_grace_days": _l("Days with the plan after a card was declined"),
    "costs_a_month": _l("Costs of a month, USD"),
    "trial_card": _l("Card for a trial at the provider"),
    "rail_stripe": _l("Let people pay by card through Stripe"),
    "rail_demo": _l("Let people pay by the demonstration"),
}

_PARTNER_HELP = _l(
    "Goes out with every order of accounts connected from now on, and their owners are told. "
    "Empty: none is sent."
)

HELPS: dict[str, LazyString] = {
    "keys_may_withdraw": _l(
        "Off: such a key is refused. On: it is accepted with a red warning on the account. "
        "A stolen key can then empty the account."
    ),
    "keys_need_address": _l(
        "Off: such a key is accepted with a warning. On: it is refused. Exchanges that do not "
        "tell whether a key is bound are not affected."
    ),
    "keys_need_second_factor": _l(
        "On: a page asks to turn the second factor on before keys of an exchange are taken. "
        "Off: the password is enough."
    ),
    "signup_mode": _l(
        "With an invitation only: the registration asks for a code that staff make on the page of "
        "invitations."
    ),
    "password_look_up": _l(
        "On: five digits of a hash of each new password go to api.pwnedpasswords.com, and a "
        "password known from a breach is refused. Without an answer within two seconds it is "
        "taken."
    ),
    "captcha_provider": _l(
        "Asked at the registration, for a forgotten password, at the log-in after three wrong "
        "passwords, and of visitors who search the help much. reCAPTCHA sends data of visitors "
        "to Google and needs its keys in the environment; without them ALTCHA is shown, which "
        "runs here."
    ),
    "captcha_cost": _l(
        "More while programs flood the forms: browsers of visitors then work a second or two."
    ),
    "deletion_days": _l(
        "So long somebody who deletes the account may change their mind. It holds for those who "
        "ask from now on."
    ),
    "partner_id_bybit": _PARTNER_HELP,
    "partner_id_binance": _PARTNER_HELP,
    "partner_id_okx": _PARTNER_HELP,
    "partner_id_mexc": _PARTNER_HELP,
    "payment_grace_days": _l(
        "While the card is tried again, and never longer than the period that is not paid; none "
        "for a year after somebody had such days and did not pay. Afterwards bots beyond the free "
        "plan stop in an orderly way."
    ),
    "costs_a_month": _l(
        "Servers, people and whatever else is paid every month, in whole US dollars. The "
        "statistics of income say how many paying customers cover it."
    ),
    "trial_card": _l(
        "Without a card a trial that nobody pays for ends by itself, or waits until a card is "
        "given. It holds for trials that begin from now on."
    ),
    "rail_stripe": _l("It is there only where the keys of Stripe are set."),
    "rail_demo": _l(
        "Test cards and no real money. It is there only outside production, or where DEMO_RAIL=1 "
        "is set."
    ),
}

CHOICES: Mapping[str, LazyString] = {
    "open": _l("Everybody"),
    "invite": _l("Who has an invitation"),
    "altcha": _l("ALTCHA, our own"),
    "recaptcha": _l("reCAPTCHA of Google"),
    "off": _l("None"),
    "required": _l("A card is asked for first"),
    "cancel": _l("Without a card; it ends"),
    "pause": _l("Without a card; it waits"),
    "5000": _l("Usual"),
    "20000": _l("More, under attack"),
}


def name_rail_switch(switch: Setting, label: str) -> None:
    """Say what the switch of a way to pay does that an operator has added."""
    NAMES[switch.name] = _l("Let people pay by %(way)s", way=label)
    HELPS[switch.name] = _l("It is there because PAYMENT_RAILS names it.")
