"""Changing a running subscription: what another choice means is read before it is agreed to."""

from collections.abc import Iterator, Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.form_pages import attach, form_page
from app.accounts.permissions import Permission
from app.errors import Conflict, DomainError
from app.extensions import limiter
from app.formatting import filters
from app.i18n import describe
from app.money import Money
from app.subscriptions import buying, offers, queries, usage
from app.subscriptions.buying import Goal
from app.subscriptions.forms import ADDON, NO_PLAN, ChangeForm, change_form
from app.subscriptions.periods import Period
from app.subscriptions.queries import Offer
from app.subscriptions.routes import blueprint, shared
from app.subscriptions.routes.shared import RECOUNT
from app.subscriptions.rules import Limits
from app.subscriptions.terms import Standing, Verb
from app.subscriptions.texts import allowance_name, plan_label
from app.subscriptions.wording import each

# The code of what is no change at all.
SAME = "nothing_changes"


@blueprint.route("/subscriptions/change", methods=["GET", "POST"])
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("30 per minute", methods=["POST"])
def change() -> ResponseReturnValue:
    """Show what another choice means, and make it; what was not read is not agreed to."""
    standing = buying.standing(current_user.id)
    if standing is None or Verb.CHANGE not in standing.may:
        flash(_("There is no running subscription that could be changed."), "info")
        return redirect(url_for("subscriptions.index"), 303)
    form = _form(standing)
    if RECOUNT not in request.form and form.validate_on_submit():
        try:
            way = buying.change(current_user, form.chosen(), form.token.data or "")
        except DomainError as error:
            # Where the figures have moved, they stand on the page anew.
            attach(form, error)
        else:
            if way.goal is Goal.PLAN:
                _tell()
            return shared.go(way)
    shared.let_forms_lead_away()
    return form_page(
        "subscriptions/change.html",
        form,
        standing=standing,
        addon_notes=shared.addon_notes(queries.addons_on_offer()),
        plan_notes=_plan_notes(standing.period),
        **_previewed(form, standing),
    )


@blueprint.get("/subscriptions/change/preview")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("60 per minute")
def preview() -> ResponseReturnValue:
    """Say what the choice so far means, for a page that is open."""
    standing = buying.standing(current_user.id)
    if standing is None or Verb.CHANGE not in standing.may:
        raise Conflict("no_subscription")
    form = _form(standing, formdata=request.args, meta={"csrf": False})
    form.validate()
    return render_template(
        "subscriptions/_preview.html", form=form, standing=standing, **_previewed(form, standing)
    )


def _tell() -> None:
    """Say what became of the subscription: another one now, or from the next period on."""
    after = buying.standing(current_user.id)
    if after is not None and after.following is not None:
        what, date = after.following.names, filters.day(after.following.at)
        flash(_("Noted. From %(date)s on: %(what)s.", date=date, what=what), "success")
    else:
        flash(_("Your subscription is changed."), "success")


def _form(standing: Standing, **given: Any) -> ChangeForm:
    listed = queries.price_list()
    addons = _addons(standing)
    periods = offers.periods_of([*listed, *addons])
    plans = [
        (offer.limits.plan, plan_label(offer.limits.name))
        for offer in listed
        if offers.periods_of([offer])
    ]
    plans.append((NO_PLAN, _("Free plan, extra bots only")))
    own = standing.plan_code or NO_PLAN
    if own not in dict(plans):
        # It is not sold any more; who has it keeps it.
        plans.insert(0, (own, standing.plan_name))
    wanted = request.args.get("plan", own)
    code = request.args.get("period") or standing.period.code
    first = {
        "plan": wanted if wanted in dict(plans) else own,
        "period": offers.wanted_period(code, periods).code,
        **{
            f"{ADDON}{code}": shared.count_from(
                request.args, f"{ADDON}{code}", standing.addons.get(code, 0)
            )
            for code in shared.by_code(addons)
        },
    }
    return change_form(plans, periods, addons, data=first, **given)


def _addons(standing: Standing) -> tuple[Offer, ...]:
    """Return what is sold beside plans, and what is had of it that is not sold any more."""
    sold = queries.addons_on_offer()
    known = shared.by_code(sold)
    kept = (code for code in standing.addons if code not in known)
    return (*sold, *(Offer(queries.limits_of_plan(code), {}) for code in kept))


def _differing(present: Limits, wanted: Limits) -> Iterator[tuple[str, int, int]]:
    """Name the limits that would be others, with what they are and would be."""
    counts = {
        _("Running bots"): (present.max_bots, wanted.max_bots),
        _("of these live"): (present.max_live_bots, wanted.max_live_bots),
        _("Connected accounts"): (present.max_exchanges, wanted.max_exchanges),
        _("Regular check every, seconds"): (present.tick_period_s, wanted.tick_period_s),
        **{
            allowance_name(what): (times, wanted.allowed[what])
            for what, times in present.allowed.items()
        },
    }
    for label, (before, after) in counts.items():
        if before != after:
            yield label, before, after


def _plan_notes(period: Period) -> Mapping[str, str]:
    """Return what stands under each plan: what it costs for the period that somebody has.

    For the shortest one where it is not sold for that.
    """
    return {
        offer.limits.plan: each(*_price_for(period, offer))
        for offer in queries.price_list()
        if offer.prices
    }


def _price_for(period: Period, offer: Offer) -> tuple[Period, Money]:
    shown = period if period in offer.prices else min(offer.prices, key=lambda one: one.months)
    return shown, offer.prices[shown]


def _previewed(form: ChangeForm, standing: Standing) -> Mapping[str, Any]:
    """Return what the choice means, or why it can't be had."""
    nothing: dict[str, Any] = {
        "preview": None,
        "problem": "",
        "losing": (),
        "differing": (),
        "same": False,
    }
    wrong = form.wrong_choice()
    if wrong:
        return {**nothing, "problem": wrong}
    choice = form.chosen()
    try:
        found = buying.preview_change(current_user.id, choice)
    except DomainError as error:
        # Where a change is planned already, the present plan is a choice too.
        return {**nothing, "problem": describe(error), "same": error.code == SAME}
    # Whatever was read before, this is what is on the page now.
    form.token.data = found.token
    limits = offers.limits_for(choice.plan, choice.addons)
    return {
        **nothing,
        "preview": found,
        "differing": list(_differing(queries.limits_of(current_user.id), limits)),
        "losing": usage.bots_beyond(current_user.id, limits),
    }
