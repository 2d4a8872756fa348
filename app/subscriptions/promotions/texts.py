"""Sentences for the codes of promotion codes, and their states in words."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.subscriptions.promotions.models import RedemptionState

TEXTS: Mapping[str, LazyString] = {
    "promo_unknown": _l("There is no promotion code like this. Look for a slip of the pen."),
    "promo_ended": _l("This promotion code has ended."),
    "promo_taken": _l("This promotion code has been used as often as it could be."),
    "promo_used": _l("You have used this promotion code already; it holds once a person."),
    "promo_not_for_plan": _l("This promotion code does not hold for what you have chosen."),
    "promo_not_by_rail": _l(
        "With this way to pay, the promotion code does not work for the period that you have "
        "chosen. It does if you pay from the wallet."
    ),
    "promo_exists": _l("There is a promotion code of this name already."),
    "bad_promo_code": _l(
        "A promotion code has 3 to 40 letters from A to Z, digits, hyphens or underscores, and "
        "begins with a letter or a digit."
    ),
    "bad_promo_value": _l("Give either a share or an amount."),
    "bad_promo_percent": _l("A share lies above 0 and up to 100, with at most two decimals."),
    "bad_promo_amount": _l("An amount lies above 0, with at most two decimals."),
    "bad_promo_periods": _l("Give 1 to %(maximum)s periods, or nothing for all of them."),
    "bad_promo_count": _l("Give 1 to %(maximum)s times, or nothing for no limit."),
    "bad_promo_end": _l("The end has to lie in the future."),
}

REDEMPTION_LABELS: Mapping[str, LazyString] = {
    RedemptionState.RESERVED: _l("Waits for its payment"),
    RedemptionState.USED: _l("Used"),
    RedemptionState.RELEASED: _l("Given back"),
}
