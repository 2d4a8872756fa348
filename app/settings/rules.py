"""What may be set while the product runs, and which values make sense."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import InvalidInput, NotFound

Value = bool | str

MAX_PARTNER_ID = 30
_PARTNER_ID = re.compile(r"[A-Za-z0-9_-]*")
_WHOLE = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: a switch if its default is one, else a choice, a number or plain text."""

    name: str
    default: Value
    longest: int = MAX_PARTNER_ID
    choices: tuple[str, ...] = ()
    is_number: bool = False


KEYS_MAY_WITHDRAW = Setting("keys_may_withdraw", default=False)
KEYS_NEED_ADDRESS = Setting("keys_need_address", default=False)
KEYS_NEED_FACTOR = Setting("keys_need_second_factor", default=True)
SIGNUP_MODE = Setting("signup_mode", "open", choices=("open", "invite"))
PASSWORD_LOOK_UP = Setting("password_look_up", default=False)
CAPTCHA_PROVIDER = Setting("captcha_provider", "altcha", choices=("altcha", "recaptcha", "off"))
# How much work a browser does: rounds of the key derivation.
CAPTCHA_COST = Setting("captcha_cost", "5000", choices=("5000", "20000"))
# For how many days an account waits for its end, and its owner may change their mind.
DELETION_DAYS = Setting("deletion_days", "7", choices=("1", "3", "7", "14", "30"))
# Beginning of each client id there; the rest of its length is ours.
PARTNER_IDS: Mapping[str, Setting] = {
    "bybit": Setting("partner_id_bybit", ""),
    "binance": Setting("partner_id_binance", "", longest=8),
    "okx": Setting("partner_id_okx", "", longest=16),
    "mexc": Setting("partner_id_mexc", ""),
}
GRACE_DAYS = Setting("payment_grace_days", "14", choices=("0", "3", "7", "14", "30"))
# What it costs to go on for a month, in whole USD; so many paying customers must cover it.
COSTS_A_MONTH = Setting("costs_a_month", "0", longest=9, is_number=True)
# Whether a trial at a provider asks for a card, and what ends one that has none.
TRIAL_CARD = Setting("trial_card", "required", choices=("required", "cancel", "pause"))
# Whether people are offered a way to pay that is set up.
RAIL_SWITCHES: dict[str, Setting] = {
    "stripe": Setting("rail_stripe", default=True),
    "demo": Setting("rail_demo", default=True),
}

SETTINGS: dict[str, Setting] = {
    one.name: one
    for one in (
        KEYS_MAY_WITHDRAW,
        KEYS_NEED_ADDRESS,
        KEYS_NEED_FACTOR,
        SIGNUP_MODE,
        PASSWORD_LOOK_UP,
        CAPTCHA_PROVIDER,
        CAPTCHA_COST,
        DELETION_DAYS,
        GRACE_DAYS,
        COSTS_A_MONTH,
        TRIAL_CARD,
        *PARTNER_IDS.values(),
        *RAIL_SWITCHES.values(),
    )
}


def offer_rail(rail: str) -> Setting:
    """Declare the switch of a way to pay that an operator has added; staff turn it on."""
    switch = RAIL_SWITCHES.setdefault(rail, Setting(f"rail_{rail}", default=False))
    return SETTINGS.setdefault(switch.name, switch)


def setting_named(name: str) -> Setting:
    """Return a declared setting; raise NotFound for any other name."""
    found = SETTINGS.get(name)
    if found is None:
        raise NotFound("unknown_setting")
    return found


def checked(setting: Setting, value: object) -> Value:
    """Return a value that this setting can have; raise InvalidInput."""
    if isinstance(setting.default, bool):
        if not isinstance(value, bool):
            raise InvalidInput("setting_not_a_switch", field=setting.name)
        return value
    if not isinstance(value, str):
        raise InvalidInput("setting_not_text", field=setting.name)
    cleaned = value.strip()
    if setting.choices and cleaned not in setting.choices:
        raise InvalidInput("setting_no_choice", field=setting.name)
    if len(cleaned) > setting.longest:
        raise InvalidInput("setting_too_long", field=setting.name, maximum=setting.longest)
    if setting.is_number and not _WHOLE.fullmatch(cleaned):
        raise InvalidInput("setting_not_a_number", field=setting.name)
    if not _PARTNER_ID.fullmatch(cleaned):
        raise InvalidInput("setting_not_plain", field=setting.name)
    return cleaned
