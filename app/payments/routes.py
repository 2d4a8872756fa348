"""What people owe and pay: their invoices, the way to a page to pay on, and back."""

from collections.abc import Mapping
from decimal import Decimal

from flask import (
    Blueprint,
    Response,
    flash,
    g,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.adapters.payments import rail_named
from app.adapters.payments.port import RailState
from app.errors import DomainError, InvalidInput
from app.extensions import limiter
from app.formatting import parse_decimal
from app.i18n import describe
from app.money import Money
from app.payments import arrivals, checkouts, jobs, paying, pdf, queries, texts, wallet_rail
from app.payments.checkouts import Want
from app.payments.forms import TopUpForm
from app.payments.rules import Purpose, check_chargeable
from app.transactions import transaction

blueprint = Blueprint("payments", __name__)

UNPROCESSABLE = 422
WALLET = "wallet"
SAVED = "saved:"
LONGEST_RAIL = 40
LEAST_TOP_UP, MOST_TOP_UP = Decimal(1), Decimal(10_000)


@blueprint.get("/invoices")
@requires(Permission.SUBSCRIPTIONS_OWN)
def index() -> ResponseReturnValue:
    """List the own invoices."""
    return render_template("payments/index.html", invoices=queries.list_invoices(current_user.id))


@blueprint.get("/invoices/<int:invoice_id>")
@requires(Permission.SUBSCRIPTIONS_OWN)
def show(invoice_id: int) -> ResponseReturnValue:
    """Show an own invoice: lines, how it came to be as it is, payments, and ways to pay."""
    page = queries.own_invoice(current_user.id, invoice_id)
    offered = queries.offered_rails()
    _let_forms_lead_to(offered)
    return render_template(
        "payments/show.html",
        invoice=page,
        rails=offered,
        saved=queries.saved_methods(current_user.id),
    )


@blueprint.get("/invoices/<int:invoice_id>/print")
@requires(Permission.SUBSCRIPTIONS_OWN)
def paper(invoice_id: int) -> ResponseReturnValue:
    """Show an own invoice as it looks on paper."""
    page = queries.own_invoice(current_user.id, invoice_id)
    return render_template("payments/print.html", invoice=page, owner=current_user)


@blueprint.get("/invoices/<int:invoice_id>.pdf")
@requires(Permission.SUBSCRIPTIONS_OWN)
def file(invoice_id: int) -> ResponseReturnValue:
    """Give an own invoice as a PDF file, in the reader's language."""
    page = queries.own_invoice(current_user.id, invoice_id)
    return _pdf(pdf.render(page, current_user.email), page.card.number or "")


@blueprint.get("/credit-notes/<int:note_id>.pdf")
@requires(Permission.SUBSCRIPTIONS_OWN)
def credit_note(note_id: int) -> ResponseReturnValue:
    """Give a credit note of an own invoice as a PDF file, in the reader's language."""
    page, credit = queries.own_credit(current_user.id, note_id)
    return _pdf(pdf.render_credit(page, credit, current_user.email), credit.number)


@blueprint.post("/invoices/<int:invoice_id>/pay")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("30 per minute")
def pay(invoice_id: int) -> ResponseReturnValue:
    """Pay an own invoice from the wallet, by what is kept, or on a page of a rail.

    Asked in JSON or for it, it tells where to go instead of leading there.
    """
    queries.own_invoice(current_user.id, invoice_id)
    rail = _chosen_rail()
    try:
        target = _pay(invoice_id, rail)
    except DomainError as error:
        if _wants_json():
            raise
        flash(describe(error), "danger")
        target = url_for("payments.show", invoice_id=invoice_id)
    if _wants_json():
        return jsonify(rail=rail.removeprefix(SAVED), kind="redirect", url=target)
    return redirect(target, 303)


@blueprint.get("/checkouts/<int:checkout_id>")
@requires(Permission.SUBSCRIPTIONS_OWN)
def checkout(checkout_id: int) -> ResponseReturnValue:
    """Show whether the money of a page has come; being led back here proves nothing."""
    found = queries.own_checkout(current_user.id, checkout_id)
    part = "HX-Request" in request.headers
    target = arrivals.way_on(current_user.id, found)
    if target is not None:
        return Response(headers={"HX-Redirect": target}) if part else redirect(target, 303)
    return render_template(
        "payments/_checkout.html" if part else "payments/checkout.html", checkout=found
    )


@blueprint.post("/checkouts/<int:checkout_id>/check")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("10 per minute")
def check(checkout_id: int) -> ResponseReturnValue:
    """Ask the rail now how an own page stands."""
    queries.own_checkout(current_user.id, checkout_id)
    jobs.look_at_checkout(checkout_id)
    return redirect(url_for("payments.checkout", checkout_id=checkout_id), 303)


@blueprint.route("/wallet/top-up", methods=["GET", "POST"])
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("30 per minute", methods=["POST"])
def top_up() -> ResponseReturnValue:
    """Ask for an amount and lead to the page of a rail; the wallet gets what comes."""
    offered = queries.offered_rails()
    _let_forms_lead_to(offered)
    form = TopUpForm()
    form.offer([(name, texts.rail_label(name)) for name in offered])
    if form.validate_on_submit():
        try:
            money = _top_up_money(form)
            want = Want(Purpose.TOP_UP, money, _("Top-up of the wallet"))
            back = url_for("payments.top_up")
            return redirect(
                paying.lead_to_page(current_user, form.rail.data, lambda: want, back), 303
            )
        except DomainError as error:
            form.amount.errors = [describe(error)]
    page = render_template("payments/top_up.html", form=form, has_rails=bool(offered))
    return page, UNPROCESSABLE if form.errors else 200


def _pay(invoice_id: int, rail: str) -> str:
    if rail == WALLET:
        with transaction():
            wallet_rail.pay_invoice(current_user.id, invoice_id)
        flash(_("Paid from the wallet."), "success")
        return url_for("payments.show", invoice_id=invoice_id)
    name = rail.removeprefix(SAVED)
    if name not in queries.offered_rails():
        raise InvalidInput("unknown_rail", field="rail")

    def want() -> Want:
        return checkouts.want_invoice(current_user.id, invoice_id)

    if rail.startswith(SAVED):
        state = paying.charge_saved(current_user, name, want)
        _tell(state)
        return url_for("payments.show", invoice_id=invoice_id)
    back = url_for("payments.show", invoice_id=invoice_id)
    return paying.lead_to_page(current_user, name, want, back)


def _tell(state: RailState) -> None:
    if state is RailState.SUCCEEDED:
        flash(_("Paid."), "success")
    elif state is RailState.PENDING:
        flash(_("The payment is under way."), "info")
    else:
        flash(_("The payment failed. Try another way to pay."), "danger")


def _top_up_money(form: TopUpForm) -> Money:
    amount = parse_decimal(form.amount.data or "", str(get_locale()))
    money = Money(amount, form.currency.data)
    if not LEAST_TOP_UP <= amount <= MOST_TOP_UP:
        raise InvalidInput(
            "top_up_amount", field="amount", minimum=LEAST_TOP_UP, maximum=MOST_TOP_UP
        )
    if money != money.rounded():
        raise InvalidInput("amount_too_fine", field="amount", currency=money.currency)
    check_chargeable(money)
    return money


def _let_forms_lead_to(offered: tuple[str, ...]) -> None:
    """Allow the forms of this page to end at the pages of the rails."""
    g.form_targets = [host for name in offered for host in rail_named(name).hosts]


def _chosen_rail() -> str:
    """Return the way to pay that was sent, by a form or as JSON."""
    try:
        sent = request.get_json(silent=True) if request.is_json else request.form
    except RecursionError:
        # Nested deeper than anything that means something.
        sent = None
    rail = sent.get("rail") if isinstance(sent, Mapping) else None
    return rail[:LONGEST_RAIL] if isinstance(rail, str) else ""


def _wants_json() -> bool:
    return request.is_json or request.accept_mimetypes.best == "application/json"


def _pdf(raw: bytes, number: str) -> Response:
    return Response(
        raw,
        mimetype="application/pdf",
        headers={"Content-Disposition": f"attachment; filename={number}.pdf"},
    )


@blueprint.record_once
def _join(state: BlueprintSetupState) -> None:
    filters = state.app.jinja_env.filters
    filters["rail_label"] = texts.rail_label
    filters["credit_words"] = texts.credit_words
    filters["discount_words"] = texts.discount_words
    filters["failure_label"] = texts.failure_label
    filters["cause_label"] = texts.cause_label
    state.app.jinja_env.globals.update(
        invoice_states=texts.STATE_LABELS,
        payment_states=texts.PAYMENT_LABELS,
        payment_notes=texts.NOTES,
        dispute_states=texts.DISPUTE_LABELS,
        alert_kinds=texts.ALERT_LABELS,
        alert_states=texts.ALERT_STATES,
        alert_words=texts.ALERT_WORDS,
        refund_targets=texts.TARGET_LABELS,
        line_kinds=texts.LINE_LABELS,
        state_tones=texts.STATE_TONES,
    )
