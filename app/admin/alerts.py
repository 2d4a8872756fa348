"""Payments that a person has to look into, and what they say of each."""

from collections.abc import Iterable

from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from markupsafe import Markup

from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import Act, AdminView
from app.admin.billing import at_provider, in_currency
from app.admin.forms import SettleForm
from app.admin.names import PAYER, payer
from app.admin.words import label
from app.db import db
from app.formatting.filters import money
from app.payments import excess
from app.payments.excess import Excess, excess_of
from app.payments.models import PaymentAlert
from app.payments.rules import AlertState, Settlement
from app.payments.texts import (
    ALERT_LABELS,
    ALERT_STATES,
    ALERT_WORDS,
    AMOUNT,
    SETTLEMENTS,
)
from app.transactions import transaction
from app.wallet.texts import RAIL_LABELS


def _sum_and_excess(view: object, context: object, model: PaymentAlert, name: str) -> str:
    """Write a sum, and under it by how much it is more than our books allow."""
    whole, found = in_currency(view, context, model, name), excess_of(model)
    if found is None:
        return whole
    excess = gettext("%(sum)s is too much", sum=money(found.too_much, found.currency))
    return Markup('{} <small class="d-block">{}</small>').format(whole, excess)


def _ways(found: Excess) -> dict[Settlement, str]:
    """Say what each way to settle a refund books now."""
    sums = {
        name: money(value, found.currency)
        for name, value in (
            ("all", found.too_much),
            ("wallet", found.in_wallet),
            ("lost", found.lost),
        )
    }
    wallet = (
        gettext("Take %(wallet)s from the wallet, %(lost)s is our loss", **sums)
        if found.lost
        else gettext("Take %(wallet)s from the wallet, nothing is lost", **sums)
    )
    return {
        Settlement.WALLET: wallet,
        Settlement.LOSS: gettext("Book %(all)s as our loss", **sums),
        Settlement.NOTED: str(SETTLEMENTS[Settlement.NOTED]),
    }


def _is_open(row: PaymentAlert) -> bool:
    return row.state == AlertState.OPEN


class AlertView(AdminView):
    """Warnings of fraud, and refunds that our books do not allow."""

    permission = Permission.BILLING_VIEW
    column_extra_row_actions = [
        Act("check", ".settle", _l("Settle"), Permission.BILLING_MANAGE, fits=_is_open)
    ]
    column_list = (
        "id", "payer", "payment_id", "kind", "told", "amount", "state", "settlement",
        "external_id", "created_at",
    )  # fmt: skip
    column_details_list = (*column_list, "rail", "closed_at")
    column_formatters = {
        PAYER: payer,
        "kind": label(ALERT_LABELS),
        "told": label(ALERT_WORDS),
        "state": label(ALERT_STATES),
        "settlement": label(SETTLEMENTS),
        "rail": label(RAIL_LABELS),
        "external_id": at_provider,
        "amount": _sum_and_excess,
    }
    column_searchable_list = ("external_id",)
    column_filters = ("payment_id", "rail", "kind", "state", "created_at")
    column_labels = {
        PAYER: _l("User"),
        "payment_id": _l("Payment"),
        "kind": _l("Kind"),
        "told": _l("What is told"),
        "amount": AMOUNT,
        "state": _l("State"),
        "settlement": _l("What was done"),
        "rail": _l("Way to pay"),
        "external_id": _l("Id at the provider"),
        "created_at": _l("Found"),
        "closed_at": _l("Closed"),
    }

    @expose("/settle", methods=("GET", "POST"))
    def settle(self) -> ResponseReturnValue:
        """Say what was done about a payment, with a reason; a refund may be booked."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("settle")
        row, form = self.asked_row(), SettleForm()
        found = excess_of(row)
        if found is not None:
            form.offer(_ways(found))
        if form.validate_on_submit():
            with Acting(form) as act, transaction():
                excess.settle(current_user.id, row.id, Settlement(form.how.data), form.why)
            if act.is_done:
                return redirect(url_for("admin_alerts.index_view"), 303)
        heading = gettext("Settle payment to look into %(id)s", id=row.id)
        return self.form_page(form, heading, gettext("Settle"), row)


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield AlertView(
        PaymentAlert,
        db,
        name=_l("Payments to look into"),
        endpoint="admin_alerts",
        url="/admin/payment-alerts",
    )
