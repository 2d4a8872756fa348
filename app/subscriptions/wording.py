"""How a subscription stands, and what happened to it, in words for its owner."""

from collections.abc import Callable, Mapping
from datetime import datetime

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.formatting import filters
from app.money import Money
from app.payments.texts import rail_label
from app.subscriptions import queries
from app.subscriptions.periods import LIFETIME, MONTH, YEAR, Period
from app.subscriptions.terms import HUNDRED, Lowered, Standing, Verb
from app.subscriptions.texts import allowance_name, period_words, plan_label

WORDS: Mapping[str, LazyString] = {
    "incomplete": _l("Waiting for payment"),
    "trialing": _l("Free days"),
    "active": _l("Active"),
    "past_due": _l("Payment overdue"),
    "unpaid": _l("Not paid"),
    "paused": _l("Paused"),
    "cancelled": _l("Cancelled"),
}
TONES = {
    "incomplete": "warning",
    "trialing": "info",
    "active": "good",
    "past_due": "bad",
    "unpaid": "bad",
    "paused": "warning",
    "cancelled": "warning",
}

# How people call paying for a period, how a price is read for it, and what stands beside a price.
USUAL: Mapping[Period, tuple[LazyString, LazyString, LazyString]] = {
    LIFETIME: (_l("Once, for life"), _l("%(price)s once, for life"), _l("once, for life")),
    MONTH: (_l("By the month"), _l("%(price)s a month"), _l("a month")),
    YEAR: (_l("By the year"), _l("%(price)s a year"), _l("a year")),
}

SENTENCES: Mapping[str, LazyString] = {
    "ordered": _l("%(plan)s is ordered. It begins as soon as your payment has come."),
    "unpaid": _l("A payment is open."),
    "grace": _l(
        "A payment is open. What you have holds until %(date)s; pay before that to keep it."
    ),
    "paused": _l("Paused: nothing is charged until you go on."),
    "cancelled": _l("Active until %(date)s, will not renew."),
    "for_life": _l("Yours for life. Nothing more is charged."),
    "asked": _l("Active. The next period is yours to pay, by %(date)s."),
    "trying_asked": _l("Free until %(date)s. What comes after is yours to pay."),
    "trying": _l("Free until %(date)s, then it renews by itself."),
    "renews": _l("Active. It renews by itself on %(date)s."),
    "active": _l("Active."),
}


def pay_period(period: Period) -> str:
    """Return how people call paying for a period."""
    return str(USUAL[period][0]) if period in USUAL else period_words(period)


def each(period: Period, price: Money) -> str:
    """Write a price and how often it is paid."""
    text = str(USUAL[period][1] if period in USUAL else _l("%(price)s for %(period)s"))
    return text % {"price": written(price), "period": period_words(period)}


def how_often(period: Period) -> str:
    """Say for how long a price beside this holds."""
    if period in USUAL:
        return str(USUAL[period][2])
    return str(_("for %(period)s", period=period_words(period)))


def written(money: Money) -> str:
    """Write a sum with its currency."""
    return filters.money(money.amount, money.currency)


def standing_word(one: Standing) -> str:
    """Return the state in one or two words."""
    state = _shown_state(one)
    return str(WORDS.get(state, state))


def standing_tone(one: Standing) -> str:
    """Return the colour of the state."""
    return TONES.get(_shown_state(one), "neutral")


def standing_sentence(one: Standing, access_until: datetime | None) -> str:
    """Say how a subscription stands and what comes next."""
    what, moment = _situation(one, access_until)
    date = filters.day(moment) if moment else ""
    return str(SENTENCES[what]) % {"date": date, "plan": standing_name(one)}


def standing_name(one: Standing) -> str:
    """Return the name of the plan, or of what is had without one."""
    return plan_label(one.plan_name) if one.plan_code else ", ".join(map(sold_label, one.addons))


def sold_label(code: str) -> str:
    """Return the name of a plan or an add-on by its code."""
    sold = (*queries.price_list(), *queries.addons_on_offer())
    return plan_label({one.limits.plan: one.limits.name for one in sold}.get(code, code))


def taken_by(one: Standing) -> str:
    """Say by which way the next charge is taken, or that its money is asked for."""
    if one.is_asked:
        return str(_("Nothing is kept to pay with. Choose a way to pay."))
    return rail_label(one.rail)


def lowered_words(one: Lowered) -> str:
    """Say what a code takes off, and for how long."""
    if one.percent is not None:
        whole = one.percent == one.percent.to_integral_value()
        off = filters.percent(one.percent / HUNDRED, 0 if whole else 2)
    else:
        off = written(one.amount) if one.amount else ""
    if one.is_once:
        return str(_("%(off)s off the next payment", off=off))
    if one.until is None:
        return str(_("%(off)s off every payment", off=off))
    return str(_("%(off)s off until %(date)s", off=off, date=filters.day(one.until)))


def _situation(one: Standing, access_until: datetime | None) -> tuple[str, datetime | None]:
    """Return which sentence says it, and the moment that it names."""
    if one.state == "incomplete":
        return "ordered", None
    if one.is_past_due:
        return ("grace", access_until) if access_until else ("unpaid", None)
    return _running(one)


def _running(one: Standing) -> tuple[str, datetime | None]:
    if _shown_state(one) == "paused":
        return "paused", None
    if one.cancel_at is not None:
        return "cancelled", one.cancel_at
    if one.period.is_endless:
        return "for_life", None
    if one.next_at is None:
        return "active", None
    is_trial = one.state == "trialing"
    if one.is_asked:
        return ("trying_asked" if is_trial else "asked"), one.next_at
    return ("trying" if is_trial else "renews"), one.next_at


def _shown_state(one: Standing) -> str:
    """Return the state that people read."""
    if one.state == "paused" or Verb.RESUME in one.may:
        return "paused"
    return "cancelled" if one.cancel_at is not None else one.state


FILTERS: Mapping[str, Callable[..., str]] = {
    "pay_period": pay_period,
    "how_often": how_often,
    "each": each,
    "standing_name": standing_name,
    "standing_word": standing_word,
    "standing_tone": standing_tone,
    "standing_sentence": standing_sentence,
    "taken_by": taken_by,
    "lowered_words": lowered_words,
    "sold_label": sold_label,
    "plan_label": plan_label,
    "period": period_words,
    "allowance": allowance_name,
}
