"""The order page: what, for how long, how much of it, and how to pay."""

import re
from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.form_pages import attach, form_page
from app.accounts.permissions import Permission
from app.errors import Conflict, DomainError, InvalidInput
from app.extensions import limiter
from app.i18n import describe
from app.payments.texts import rail_label
from app.subscriptions import buying, offers
from app.subscriptions.buying import INCOMPLETE, WALLET
from app.subscriptions.forms import ADDON, OrderForm, order_form
from app.subscriptions.promotions.rules import MAX_CODE
from app.subscriptions.routes import blueprint, shared
from app.subscriptions.routes.shared import RECOUNT, Sold
from app.subscriptions.terms import Preview, Standing
from app.subscriptions.wording import each, written

# What the wallet says when it can't pay what was ordered just now.
SHORT = "wallet_short"
_KEY = re.compile(r"[0-9a-f]{32}")


@blueprint.route("/subscribe/<plan>", methods=["GET", "POST"])
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("30 per minute", methods=["POST"])
def order(plan: str) -> ResponseReturnValue:
    """Show what an order costs and take it; the same post again is the same order."""
    sold = shared.sold_as(plan)
    present = buying.standing(current_user.id)
    replaced = present if present is not None and buying.may_be_replaced(present) else None
    if present is not None and replaced is None and request.method == "GET":
        return _lead_to_present(present, sold)
    form = _form(sold)
    if RECOUNT not in request.form and form.validate_on_submit():
        try:
            if present is None or replaced is not None:
                _check_read(form, sold)
            way = buying.begin(current_user, form.choice(sold.plan), form.rail.data, _key(form))
        except DomainError as error:
            if error.code == SHORT:
                # The order stands: where it is paid or withdrawn says so.
                flash(describe(error), "warning")
                return redirect(url_for("subscriptions.index"), 303)
            attach(form, error)
        else:
            return shared.go(way)
    shared.let_forms_lead_away()
    return form_page(
        "subscriptions/order.html",
        form,
        sold=sold,
        replaced=replaced,
        **_notes(sold),
        **_quoted(form, sold),
    )


@blueprint.get("/subscribe/<plan>/quote")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("120 per minute")
def quote(plan: str) -> ResponseReturnValue:
    """Say what the choice so far costs, for an order page that is open."""
    sold = shared.sold_as(plan)
    form = _form(sold, formdata=request.args, meta={"csrf": False})
    form.validate()
    return render_template("subscriptions/_quote.html", form=form, sold=sold, **_quoted(form, sold))


def _form(sold: Sold, **given: Any) -> OrderForm:
    means = buying.ways_to_pay()
    first = {
        "period": offers.wanted_period(request.args.get("period", ""), sold.periods).code,
        "rail": means[0],
        "promo": request.args.get("promo", "")[:MAX_CODE],
        **{
            f"{ADDON}{code}": shared.count_from(request.args, f"{ADDON}{code}", code == sold.code)
            for code in shared.by_code(sold.addons)
        },
    }
    rails = [(name, rail_label(name)) for name in means]
    return order_form(sold.periods, sold.addons, rails, data=first, **given)


def _check_read(form: OrderForm, sold: Sold) -> None:
    """Refuse an order whose sums are not, or no longer, those that its page showed."""
    preview = buying.quote(current_user.id, form.choice(sold.plan), form.rail.data)
    if not form.seen.data:
        raise Conflict("sums_not_read")
    if form.seen.data != _sums(preview):
        raise Conflict("preview_changed")


def _sums(preview: Preview) -> str:
    """Return what stands for the sums of a preview: what is due now, and what comes next."""
    sums = (preview.due_now, preview.next_charge)
    return " ".join(f"{one.amount.normalize():f} {one.currency}" for one in sums if one)


def _quoted(form: OrderForm, sold: Sold) -> Mapping[str, Any]:
    """Return what the choice costs, or why it can't be had."""
    nothing: dict[str, Any] = {"preview": None, "problem": "", "available": None, "missing": None}
    wrong = form.wrong_choice()
    if wrong:
        return {**nothing, "problem": wrong}
    try:
        preview = buying.quote(current_user.id, form.choice(sold.plan), form.rail.data or "")
    except DomainError as error:
        return {**nothing, "problem": describe(error)}
    shown = {**nothing, "preview": preview, "seen": _sums(preview)}
    if form.rail.data != WALLET:
        return shown
    available = buying.in_wallet(current_user.id)
    missing = preview.due_now - available
    return {
        **shown,
        "available": available,
        "missing": missing if missing.amount > 0 else None,
    }


def _notes(sold: Sold) -> Mapping[str, Any]:
    """Return what stands under the choices: prices of periods and of add-ons, the wallet."""
    shown = sold.offer.prices
    return {
        "period_notes": {one.code: each(one, shown[one]) for one in sold.periods},
        "addon_notes": shared.addon_notes(sold.addons),
        "rail_notes": {
            "demo": _("No real money moves."),
            "stripe": _("You pay on the provider's own page; we never see the card."),
            WALLET: _("It holds %(sum)s.", sum=written(buying.in_wallet(current_user.id))),
        },
    }


def _key(form: OrderForm) -> str:
    """Return under which word this order is known; each person has their own words."""
    if not _KEY.fullmatch(form.key.data or ""):
        raise InvalidInput("order_too_old")
    return f"order:{current_user.id}:{form.key.data}"


def _lead_to_present(standing: Standing, sold: Sold) -> ResponseReturnValue:
    """Lead who has an order already to paying it, or to changing the subscription."""
    if standing.state == INCOMPLETE or standing.is_past_due:
        flash(_("You have ordered already: pay what is open first, or withdraw it."), "info")
        return redirect(url_for("subscriptions.index"))
    more: dict[str, Any] = {"period": request.args.get("period")}
    if sold.plan is None:
        more[f"{ADDON}{sold.code}"] = standing.addons.get(sold.code, 0) + 1
    else:
        more["plan"] = sold.plan
    return redirect(url_for("subscriptions.change", **more))
