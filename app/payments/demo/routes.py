"""Pages of the provider of the demonstration: where somebody types a test card."""

from decimal import Decimal

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.accounts.access import public
from app.adapters.payments import rails
from app.adapters.payments.demo import NAME
from app.config import current_config
from app.errors import DomainError, NotFound
from app.extensions import limiter
from app.i18n import describe
from app.payments.demo import provider
from app.payments.demo.cards import CARDS, Outcome, card_numbered
from app.payments.demo.provider import Data
from app.payments.texts import failure_label

blueprint = Blueprint("demo_rail", __name__)

UNPROCESSABLE = 422
OUTCOMES = {
    Outcome.PAYS: _l("pays"),
    Outcome.DECLINED: _l("is declined"),
    Outcome.NO_FUNDS: _l("has not enough money"),
    Outcome.CONFIRMS: _l("asks the bank of the payer first (3-D Secure)"),
    Outcome.DISPUTED: _l("pays, and the payer disputes it at once"),
    Outcome.REFUND_FAILS: _l("pays, but takes no refund"),
}


@blueprint.route("/demo-pay/<page_id>", methods=["GET", "POST"])
@public
@limiter.limit("60 per minute", methods=["POST"])
def pay(page_id: str) -> ResponseReturnValue:
    """Ask for a test card, and charge it."""
    page = _page(page_id)
    if request.method == "GET":
        return _form(page)
    card = card_numbered(request.form.get("number", "")[:100])
    if card is None:
        return _form(page, _("This is no test card. No other number is taken here."))
    try:
        payment = provider.pay(page_id, card)
    except DomainError as error:
        return _form(page, describe(error))
    if payment["state"] == "succeeded":
        return redirect(page["success_url"], 303)
    if payment["state"] == "pending":
        target = url_for("demo_rail.confirm", page_id=page_id, try_id=payment["id"])
        return redirect(target, 303)
    return _form(page, failure_label(payment["failure"]))


@blueprint.route("/demo-card/<page_id>", methods=["GET", "POST"])
@public
@limiter.limit("60 per minute", methods=["POST"])
def card(page_id: str) -> ResponseReturnValue:
    """Ask for a test card to be kept for later payments; nothing is charged."""
    page = _page(page_id, provider.CARD_PAGE)
    if request.method == "GET":
        return _card_form(page)
    chosen = card_numbered(request.form.get("number", "")[:100])
    if chosen is None:
        return _card_form(page, _("This is no test card. No other number is taken here."))
    try:
        provider.keep_card(page_id, chosen)
    except DomainError as error:
        is_refused = error.code == chosen.outcome.value
        return _card_form(page, failure_label(error.code) if is_refused else describe(error))
    return redirect(page["back_url"], 303)


@blueprint.route("/demo-pay/<page_id>/<try_id>", methods=["GET", "POST"])
@public
@limiter.limit("60 per minute", methods=["POST"])
def confirm(page_id: str, try_id: str) -> ResponseReturnValue:
    """Play the bank of the payer: it asks whether the payment is meant."""
    page = _page(page_id)
    payment = provider.find("payment", try_id)
    if payment is None or payment["parent"] != page_id:
        raise NotFound("unknown_demo_object")
    if request.method == "GET":
        return render_template(
            "demo_rail/confirm.html", payment=payment, amount=Decimal(payment["amount"])
        )
    try:
        payment = provider.confirm(try_id, request.form.get("answer") == "yes")
    except DomainError as error:
        flash(describe(error), "warning")
        return redirect(url_for("demo_rail.pay", page_id=page_id), 303)
    if payment["state"] == "succeeded":
        return redirect(page["success_url"], 303)
    flash(failure_label(str(payment["failure"])), "danger")
    return redirect(url_for("demo_rail.pay", page_id=page_id), 303)


def _page(page_id: str, kind: str = "checkout") -> Data:
    found = provider.find(kind, page_id[:100]) if NAME in rails() else None
    if found is None:
        raise NotFound("unknown_demo_object")
    # A form here ends at the site that sent the payer, whatever name it was opened by.
    g.form_targets = [current_config().base_url]
    return found


def _card_form(page: Data, error: str = "") -> ResponseReturnValue:
    shown = render_template(
        "demo_rail/card.html", page=page, cards=CARDS, outcomes=OUTCOMES, error=error
    )
    return shown, UNPROCESSABLE if error else 200


def _form(page: Data, error: str = "") -> ResponseReturnValue:
    shown = render_template(
        "demo_rail/pay.html",
        page=page,
        amount=Decimal(page["amount"]),
        cards=CARDS,
        outcomes=OUTCOMES,
        error=error,
    )
    return shown, UNPROCESSABLE if error else 200
