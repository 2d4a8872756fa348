"""The billing desk: issue and close invoices, give money back, apply callbacks anew."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_admin.model.template import EndpointLinkRowAction
from flask_babel import get_locale, gettext
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from markupsafe import Markup

from app.accounts import queries as accounts
from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import Act, AdminView, asked_number
from app.admin.forms import CloseInvoiceForm, DecideForm, IssueForm, ReasonForm, RefundForm
from app.admin.names import PAYER, doer, payer
from app.admin.words import label
from app.db import db, utc_now
from app.formatting import parse_decimal
from app.formatting.filters import money
from app.money import Money
from app.payments import queries, service
from app.payments.demo import provider
from app.payments.links import provider_page
from app.payments.models import Dispute, Invoice, Payment
from app.payments.rules import Line, LineKind, NewInvoice, PaymentState, RefundTarget
from app.payments.texts import (
    AMOUNT,
    DISPUTE_LABELS,
    FAILURES,
    NOTES,
    PAYMENT_LABELS,
    PURPOSE_LABELS,
    STATE_LABELS,
)
from app.transactions import transaction
from app.wallet.texts import RAIL_LABELS

# It may break anywhere: a column of them would push the sums out of sight.
_LONG_ID = Markup('<span class="long-id" translate="no">{} {}</span>')


def at_provider(_view: object, _context: object, model: Any, name: str) -> str:
    """Write an id at a provider, as a link where the provider shows the object to us."""
    external_id = getattr(model, name) or ""
    page = provider_page(model.rail, external_id)
    if page is None:
        return _LONG_ID.format(external_id, "")
    mode = "" if page.is_live else gettext("(test mode)")
    link = Markup('<a href="{}" rel="noopener noreferrer" translate="no">{}</a>')
    return _LONG_ID.format(link.format(page.address, external_id), mode)


def in_currency(_view: object, _context: object, model: Any, name: str) -> str:
    """Write a sum in the currency of its row."""
    return money(getattr(model, name), model.currency)


def _notes(_view: object, _context: object, model: Any, _name: str) -> str:
    return " ".join(str(NOTES[note]) for note in model.notes)


_WAY = label(RAIL_LABELS)


class InvoiceView(AdminView):
    """Invoices of everybody, each with a page on which staff act."""

    permission = Permission.BILLING_VIEW
    can_view_details = False
    list_template = "admin/invoices.html"
    column_extra_row_actions = [EndpointLinkRowAction("info", ".page", title=_l("View"))]
    column_list = (
        "id", "number", "user_id", "state", "total", "rail", "due_at", "opened_at", "paid_at",
    )  # fmt: skip
    column_formatters = {"state": label(STATE_LABELS), "rail": _WAY, "total": in_currency}
    column_searchable_list = ("number", "external_id")
    column_filters = ("user_id", "state", "rail", "currency", "due_at", "paid_at")
    column_labels = {
        "number": _l("Number"),
        "external_id": _l("Id at the provider"),
        "user_id": _l("User"),
        "state": _l("State"),
        "total": _l("Total"),
        "currency": _l("Currency"),
        "rail": _l("Way to pay"),
        "due_at": _l("Due"),
        "opened_at": _l("Issued"),
        "paid_at": _l("Paid"),
    }

    @expose("/page")
    def page(self) -> ResponseReturnValue:
        """Show an invoice with its chain, payments and refunds."""
        found = queries.any_invoice(asked_number())
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/invoice.html",
            invoice=found,
            owner=accounts.user_by_id(found.card.user_id),
            may_manage=current_may(Permission.BILLING_MANAGE),
            provider=provider_page(found.rail, found.external_id),
            doer=doer,
        )

    @expose("/issue", methods=("GET", "POST"))
    def issue(self) -> ResponseReturnValue:
        """Issue an invoice over one line; the person gets a mail."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("issue")
        form = IssueForm(user_id=asked_number("user") or None)
        form.take_key()
        if form.validate_on_submit():
            with Acting(form, gettext("The invoice is issued.")) as act, transaction():
                made = service.issue(
                    _new_invoice(form),
                    "staff",
                    actor_id=current_user.id,
                    reason=form.why,
                    notify=True,
                ).id
            if act.is_done:
                return _to_invoice(made)
        about = [(gettext("For"), doer(known)) for known in [asked_number("user")] if known]
        return self.form_page(form, gettext("Issue an invoice"), gettext("Issue"), about=about)

    def may_issue(self) -> bool:
        """Tell whether who looks at the list may add to it."""
        return current_may(Permission.BILLING_MANAGE)

    @expose("/close", methods=("GET", "POST"))
    def close(self) -> ResponseReturnValue:
        """Take an invoice back, or give it up, with a reason."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("close")
        found = queries.any_invoice(asked_number())
        form = CloseInvoiceForm()
        if form.validate_on_submit():
            close = service.void_invoice if form.how.data == "void" else service.write_off
            with Acting(form) as act, transaction():
                close(current_user.id, found.card.id, form.why)
            if act.is_done:
                return _to_invoice(found.card.id)
        heading = gettext("Close invoice %(number)s", number=found.card.number)
        return self.form_page(form, heading, gettext("Close"), self.asked_row())

    @expose("/resend", methods=("GET", "POST"))
    def resend(self) -> ResponseReturnValue:
        """Mail an unpaid invoice to its owner again."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("resend")
        found = queries.any_invoice(asked_number())
        form = ReasonForm()
        if form.validate_on_submit():
            with Acting(form) as act, transaction():
                service.resend(current_user.id, found.card.id, form.why)
            if act.is_done:
                return _to_invoice(found.card.id)
        heading = gettext("Mail invoice %(number)s again", number=found.card.number)
        return self.form_page(form, heading, gettext("Send"), self.asked_row())


def _has_money_left(row: Payment) -> bool:
    return row.state == PaymentState.SUCCEEDED and row.refunded < row.amount


class PaymentView(AdminView):
    """Every try of money, with the ids at the provider."""

    permission = Permission.BILLING_VIEW
    column_extra_row_actions = [
        Act("trades", ".refund", _l("Give back"), Permission.BILLING_MANAGE, fits=_has_money_left)
    ]
    column_list = (
        "id", "user_id", "invoice_id", "purpose", "rail", "external_id", "state", "amount",
        "fee", "refunded", "method", "failure", "created_at", "settled_at",
    )  # fmt: skip
    column_details_list = (
        *column_list, "intent_id", "charge_id", "surplus", "notes", "checkout_id",
    )  # fmt: skip
    column_formatters = {
        "state": label(PAYMENT_LABELS),
        "purpose": label(PURPOSE_LABELS),
        "failure": label(FAILURES),
        "notes": _notes,
        "rail": _WAY,
        **dict.fromkeys(("amount", "fee", "refunded", "surplus"), in_currency),
        **dict.fromkeys(("external_id", "intent_id", "charge_id"), at_provider),
    }
    column_searchable_list = ("external_id", "intent_id", "charge_id")
    column_filters = ("user_id", "invoice_id", "rail", "state", "purpose", "created_at")
    column_labels = {
        "user_id": _l("User"),
        "invoice_id": _l("Invoice"),
        "purpose": _l("Purpose"),
        "rail": _l("Way to pay"),
        "external_id": _l("Id at the provider"),
        "intent_id": _l("Intent at the provider"),
        "charge_id": _l("Charge at the provider"),
        "checkout_id": _l("Page to pay on"),
        "state": _l("State"),
        "amount": AMOUNT,
        "currency": _l("Currency"),
        "fee": _l("Fee"),
        "refunded": _l("Given back"),
        "surplus": _l("Into the wallet"),
        "notes": _l("Notes"),
        "method": _l("Method"),
        "failure": _l("Failure"),
        "created_at": _l("Created"),
        "settled_at": _l("Settled"),
    }

    @expose("/refund", methods=("GET", "POST"))
    def refund(self) -> ResponseReturnValue:
        """Give a payment of an invoice back, in full or in part."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("refund")
        row = self.asked_row()
        found = queries.any_payment(row.id)
        form = RefundForm()
        form.take_key()
        if form.validate_on_submit():
            with Acting(form) as act, transaction():
                _refund(form, found.payment.id)
            if act.is_done:
                return _to_invoice(found.invoice_id)
        if not form.is_submitted():
            form.amount.data = str(found.payment.to_rail)
        heading = gettext("Give payment %(id)s back", id=found.payment.id)
        return self.form_page(form, heading, gettext("Give back"), row)


class DisputeView(AdminView):
    """Payments that banks take back or ask about."""

    column_formatters = {
        PAYER: payer,
        "external_id": at_provider,
        "state": label(DISPUTE_LABELS),
        "rail": _WAY,
        **dict.fromkeys(("amount", "fee"), in_currency),
    }
    permission = Permission.BILLING_VIEW
    column_extra_row_actions = [
        Act("check", ".decide", _l("Play the bank (demonstration)"), Permission.BILLING_MANAGE)
    ]
    column_list = (
        "id", "payer", "payment_id", "rail", "external_id", "state", "amount", "fee", "answer_by",
        "created_at", "closed_at",
    )  # fmt: skip
    column_searchable_list = ("external_id",)
    column_filters = ("rail", "state", "created_at")

    @expose("/decide", methods=("GET", "POST"))
    def decide(self) -> ResponseReturnValue:
        """Play the bank in a dispute of the demonstration; its callback tells us then."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("decide")
        row, form = self.asked_row(), DecideForm()
        if form.validate_on_submit():
            with Acting(form) as act:
                provider.close_dispute(queries.demo_dispute(row.id), won=form.won.data == "yes")
            if act.is_done:
                return redirect(url_for("admin_disputes.index_view"), 303)
        heading = gettext("Play the bank (demonstration)")
        return self.form_page(form, heading, gettext("Decide"), row)

    column_labels = {
        PAYER: _l("User"),
        "payment_id": _l("Payment"),
        "rail": _l("Way to pay"),
        "external_id": _l("Id at the provider"),
        "state": _l("State"),
        "amount": AMOUNT,
        "currency": _l("Currency"),
        "fee": _l("Fee"),
        "answer_by": _l("Answer until"),
        "created_at": _l("Created"),
        "closed_at": _l("Closed"),
    }


def _to_invoice(invoice_id: int | None) -> ResponseReturnValue:
    if invoice_id is None:
        return redirect(url_for("admin_payments.index_view"), 303)
    return redirect(url_for("admin_invoices.page", id=invoice_id), 303)


def _new_invoice(form: IssueForm) -> NewInvoice:
    asked = Money(_amount(form.amount.data), form.currency.data)
    line = Line(LineKind(form.kind.data), form.description.data or "", asked)
    return NewInvoice(
        key=f"staff:{form.key.data}",
        user_id=form.user_id.data or 0,
        lines=(line,),
        due_at=utc_now() + timedelta(days=form.days.data or 0),
    )


def _refund(form: RefundForm, payment_id: int) -> None:
    amount, target = _amount(form.amount.data), RefundTarget(form.target.data)
    service.refund(current_user.id, form.key.data or "", payment_id, amount, target, form.why)


def _amount(text: str | None) -> Decimal:
    return parse_decimal(text or "", str(get_locale()), field="amount")


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield InvoiceView(
        Invoice, db, name=_l("Invoices"), endpoint="admin_invoices", url="/admin/invoices"
    )
    yield PaymentView(
        Payment, db, name=_l("Payments"), endpoint="admin_payments", url="/admin/payments"
    )
    yield DisputeView(
        Dispute, db, name=_l("Disputes"), endpoint="admin_disputes", url="/admin/disputes"
    )
