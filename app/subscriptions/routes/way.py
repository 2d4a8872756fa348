"""By which way later periods are paid: another one, another card, and thinking better of it."""

from flask import flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.form_pages import attach, form_page
from app.accounts.permissions import Permission
from app.errors import DomainError
from app.extensions import limiter
from app.i18n import describe
from app.payments import paying
from app.payments import queries as payments
from app.payments.texts import rail_label
from app.subscriptions import buying
from app.subscriptions.buying import WALLET
from app.subscriptions.forms import way_form
from app.subscriptions.kept import ways
from app.subscriptions.kept.ways import Means
from app.subscriptions.routes import blueprint, shared
from app.subscriptions.wording import written


@blueprint.route("/subscriptions/payment", methods=["GET", "POST"])
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("30 per minute", methods=["POST"])
def payment() -> ResponseReturnValue:
    """Show by which way the next period is paid, and take another one."""
    found = ways.ways_of(current_user.id)
    if found is None:
        flash(_("Nothing more is to be charged, so there is no way to pay to change."), "info")
        return redirect(url_for("subscriptions.index"), 303)
    form = way_form([(one.rail, _name(one)) for one in found.means], data={"rail": found.present})
    if form.validate_on_submit():
        try:
            buying.pay_by(current_user.id, form.rail.data)
        except DomainError as error:
            attach(form, error)
        else:
            return _done(found.is_overdue)
    shared.let_forms_lead_away()
    return form_page(
        "subscriptions/payment.html",
        form,
        ways=found,
        notes={WALLET: _("It holds %(sum)s.", sum=written(buying.in_wallet(current_user.id)))},
        card_rails=payments.card_rails(),
    )


@blueprint.post("/subscriptions/payment/undo")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("30 per minute")
def payment_undo() -> ResponseReturnValue:
    """Pay as before the last change again."""
    try:
        buying.take_way_back(current_user.id)
    except DomainError as error:
        flash(describe(error), "danger")
        return redirect(url_for("subscriptions.payment"), 303)
    found = ways.ways_of(current_user.id)
    return _done(found is not None and found.is_overdue)


@blueprint.post("/subscriptions/payment/card/<rail>")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("10 per minute")
def payment_card(rail: str) -> ResponseReturnValue:
    """Lead to the page of a rail on which another card is kept; nothing is charged there."""
    back = url_for("subscriptions.payment")
    try:
        if rail not in payments.card_rails():
            return redirect(back, 303)
        return redirect(paying.lead_to_cards(current_user, rail, back), 303)
    except DomainError as error:
        flash(describe(error), "danger")
        return redirect(back, 303)


def _name(one: Means) -> str:
    return f"{rail_label(one.rail)} · {one.method}" if one.method else rail_label(one.rail)


def _done(is_overdue: bool) -> ResponseReturnValue:
    if is_overdue:
        flash(_("The open payment is taken this way within a minute."), "success")
    else:
        flash(_("The next period is paid this way. Nothing was charged now."), "success")
    return redirect(url_for("subscriptions.payment"), 303)
