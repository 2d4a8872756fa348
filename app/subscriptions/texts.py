"""Sentences for the codes of this subject, and the names of the plans that come with it."""

from collections.abc import Mapping

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from flask_babel.speaklater import LazyString

from app.subscriptions.periods import Period, Unit
from app.subscriptions.rules import Allowance

TEXTS: Mapping[str, LazyString] = {
    # Counts stand after a colon, so that no language needs plural forms here.
    "plan_limit": _l(
        "Running bots on your plan: %(used)s of %(limit)s. The plan %(better_plan)s allows "
        "%(better_limit)s. Stop a bot or change the plan; this bot is saved and can start later."
    ),
    "plan_limit_highest": _l(
        "Running bots on your plan: %(used)s of %(limit)s. No plan allows more. Stop a bot; this "
        "one is saved and can start later."
    ),
    "live_needs_plan": _l(
        "Your plan runs bots with paper money only. Live bots are part of the plan "
        "%(better_plan)s (up to %(better_limit)s). This bot is saved and can start later."
    ),
    "live_needs_plan_highest": _l(
        "Your plan runs bots with paper money only, and no plan with live bots is on offer now. "
        "This bot is saved and can start later."
    ),
    "live_plan_limit": _l(
        "Running live bots on your plan: %(used)s of %(limit)s. The plan %(better_plan)s allows "
        "%(better_limit)s. Stop a live bot or change the plan; this bot is saved and can start "
        "later."
    ),
    "live_plan_limit_highest": _l(
        "Running live bots on your plan: %(used)s of %(limit)s. No plan allows more. Stop a live "
        "bot; this one is saved and can start later."
    ),
    "exchange_limit": _l(
        "Connected accounts on your plan: %(used)s of %(limit)s. The plan %(better_plan)s allows "
        "%(better_limit)s. Remove an account or change the plan."
    ),
    "exchange_limit_highest": _l(
        "Connected accounts on your plan: %(used)s of %(limit)s. No plan allows more. Remove an "
        "account that you no longer use."
    ),
    "unknown_plan": _l("There is no plan with this code."),
    "plan_end_in_past": _l("The end of the plan has to lie in the future."),
    "plan_reason_missing": _l("Give a reason of 3 to 500 characters: it stays in the audit log."),
    "free_plan_is_not_given": _l(
        "The free plan is what everybody has without another one. End the present plan instead."
    ),
    "no_plan_to_end": _l("This person has no plan that could be ended."),
    "larger_plan_is_paid": _l(
        "This person pays for the plan %(plan)s, which is as large or larger: a given plan would "
        "have no effect while they pay. Give money back, or to the wallet, instead."
    ),
    "right_moved": _l("Somebody has changed this plan meanwhile. Look at it and try again."),
    "days_at_provider": _l(
        "The card provider keeps this subscription, and can move its charge only by making free "
        "days of what is paid. Give money back instead, on the page of the newest invoice: "
        "%(days)s days come to about %(amount)s %(currency)s."
    ),
    "days_not_here": _l(
        "The card provider keeps this subscription, and can move its charge only by making free "
        "days of what is paid. Give money back instead, on the page of the newest invoice."
    ),
    "days_pay_first": _l(
        "An invoice of this plan is not paid: days can be given once it is, or once nobody is to "
        "pay it any more."
    ),
    "days_change_waits": _l(
        "A change of this plan waits for its payment. Give the days once it is paid or given up."
    ),
    "right_has_no_end": _l("This plan has no end, so there is nothing to add days to."),
    "bad_days": _l("Give 1 to %(maximum)s days."),
    "plan_is_paid_for": _l(
        "This plan is paid for. End what is paid for, here or at the provider that keeps it; the "
        "plan ends with it."
    ),
    "subscription_not_paid": _l("Your order is not paid yet: pay it first, or withdraw it."),
    "not_at_provider": _l("This subscription is kept here: change it on the page of your plan."),
    "order_too_old": _l("This page was open for too long. Read it again, then order."),
    "bad_plan_price": _l(
        "A price lies between 0 and 1,000,000 and has no more decimals than its currency."
    ),
    "bad_plan_currency": _l("A currency is written with three capital letters, for example USD."),
    "bad_plan_period": _l("A price holds for 1 to %(maximum)s days, weeks, months or years."),
    "past_runs_a_day_spent": _l(
        "Back-tests a day on your plan %(plan)s: %(limit)s. The plan %(better_plan)s allows "
        "%(better_limit)s."
    ),
    "past_runs_a_day_spent_highest": _l(
        "At most %(limit)s back-tests a day are possible, on every plan. Go on tomorrow."
    ),
    "api_calls_a_minute_spent": _l(
        "Calls a minute on your plan %(plan)s: %(limit)s. The plan %(better_plan)s allows "
        "%(better_limit)s. Please wait %(wait)s and try again."
    ),
    "api_calls_a_minute_spent_highest": _l(
        "At most %(limit)s calls a minute are possible. Please wait %(wait)s and try again."
    ),
    "history_days_ended": _l(
        "Your plan %(plan)s shows the last %(limit)s days. Older trades are kept: the plan "
        "%(better_plan)s shows %(better_limit)s days."
    ),
    "history_days_ended_highest": _l(
        "The last %(limit)s days are shown, on every plan. Older trades are kept."
    ),
    "plan_price_in_past": _l("A new price begins now or later, never in the past."),
    "plan_price_twice": _l("There is a price for this plan, period and moment already."),
    "bad_span": _l("Choose a first and a last day that is not before it, none in the future."),
    "span_too_long": _l("Choose at most %(maximum)s months."),
    "bad_plan_limit": _l("This limit has to lie between %(minimum)s and %(maximum)s."),
    "bad_plan_name": _l("The name of a plan has 1 to 40 characters."),
    "nothing_chosen": _l("Choose a plan or something to add to it."),
    "bad_addon_count": _l("Of an add-on 1 to %(maximum)s can be had."),
    "not_sold": _l("This is not sold for this period. Choose another plan or period."),
    "addon_not_sold": _l(
        "%(name)s is not sold for this period. Take none of it, or choose another period."
    ),
    "bad_subscription_key": _l("This page is out of date. Load it again."),
    "sold_out": _l("%(plan)s is sold out at this price. You were not charged."),
    "subscription_exists": _l("You have a subscription already. Change it instead."),
    "ordered_elsewhere": _l(
        "Another order of yours came first. Look at your plan before you order again; for this "
        "one you were not charged."
    ),
    "subscription_moved": _l("Something has changed meanwhile. Look again and repeat it."),
    "no_charge_to_come": _l("Nothing more is to be charged, so there is no way to pay to change."),
    "way_is_used": _l("This way to pay was used meanwhile. Choose another one instead."),
    "no_subscription": _l("There is no subscription."),
    "preview_changed": _l("What it costs has changed meanwhile. Look at it again."),
    "sums_not_read": _l("Nothing is ordered yet: read what it costs, and order again."),
    "nothing_changes": _l("This is what you have already."),
    "pay_first": _l("Pay the open invoice first."),
    "subscription_ends": _l("The subscription ends. Let it go on before you change it."),
    "subscription_for_life": _l("It is yours for life: there is nothing to change or to end."),
    "change_waits": _l("The next change is paid for already. Change it once it has begun."),
    "bad_plan_seats": _l("A price is sold at least once and at most %(maximum)s times."),
}

ALLOWANCE_NAMES: Mapping[Allowance, LazyString] = {
    Allowance.PAST_RUNS: _l("Back-tests a day"),
    Allowance.API_CALLS: _l("API calls a minute"),
    Allowance.HISTORY_DAYS: _l("Days of history shown"),
    Allowance.JOB_PRIORITY: _l("Head start when many bots wait, seconds"),
}

PLAN_NAMES: Mapping[str, LazyString] = {
    "Free": _l("Free"),
    "Pro": _l("Pro"),
    "Premium": _l("Premium"),
    "Extra bot": _l("Extra bot"),
}


def plan_label(name: str) -> str:
    """Return a plan's name as the reader calls it; a name that staff gave stays as it is."""
    return str(PLAN_NAMES.get(name, name))


def allowance_name(what: Allowance) -> str:
    """Return the name of what a plan allows so many times."""
    return str(ALLOWANCE_NAMES[what])


def period_words(period: Period) -> str:
    """Return a length such as "3 months"."""
    count = period.count
    if period.is_endless:
        return str(_("a lifetime"))
    if period.unit is Unit.DAY:
        return str(ngettext("%(num)s day", "%(num)s days", count))
    if period.unit is Unit.WEEK:
        return str(ngettext("%(num)s week", "%(num)s weeks", count))
    if period.unit is Unit.MONTH:
        return str(ngettext("%(num)s month", "%(num)s months", count))
    return str(ngettext("%(num)s year", "%(num)s years", count))
