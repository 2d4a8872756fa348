"""Promotion codes: made and switched off by managers, with who has taken them."""

from collections.abc import Iterable
from datetime import UTC
from decimal import Decimal
from typing import Any

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_admin.model.template import EndpointLinkRowAction
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from flask_wtf import FlaskForm
from wtforms import DateTimeLocalField
from wtforms import StringField as TextField
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from app.accounts.access import current_may
from app.accounts.choices import BoxesField
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import AdminView, asked_number
from app.admin.filters import read_whole
from app.admin.forms import AmountField, CountField
from app.admin.histories import keeper
from app.db import db
from app.formatting.filters import money
from app.money import Money
from app.subscriptions.promotions import queries, service
from app.subscriptions.promotions.models import PromoCode
from app.subscriptions.promotions.rules import (
    MAX_AMOUNT,
    MAX_CODE,
    MAX_PERIODS,
    MAX_REDEMPTIONS,
    Terms,
    normal,
)
from app.subscriptions.promotions.texts import REDEMPTION_LABELS
from app.subscriptions.provider import promos
from app.subscriptions.provider import queries as provider
from app.subscriptions.provider.texts import PROMO_LABELS
from app.subscriptions.seeds import CURRENCY
from app.subscriptions.terms import HUNDRED, Discount
from app.subscriptions.texts import plan_label
from app.transactions import transaction


class PromoForm(FlaskForm):
    """What a new code gives."""

    code = TextField(_l("Code"), validators=[InputRequired(), Length(max=MAX_CODE)])
    percent = AmountField(
        _l("Takes off, in percent"), validators=[Optional(), NumberRange(0, HUNDRED)]
    )
    amount = AmountField(
        _l("or takes off, USD"), validators=[Optional(), NumberRange(0, MAX_AMOUNT)]
    )
    periods = CountField(
        _l("Off how many periods"),
        default=1,
        description=_l("Leave it empty for all of them."),
        validators=[Optional(), NumberRange(1, MAX_PERIODS)],
    )
    max_redemptions = CountField(
        _l("Used how often at most"),
        description=_l("Leave it empty for no limit."),
        validators=[Optional(), NumberRange(1, MAX_REDEMPTIONS)],
    )
    expires_at = DateTimeLocalField(
        _l("Ends"),
        format="%Y-%m-%dT%H:%M",
        description=_l("In UTC. Leave it empty if it does not end by itself."),
        validators=[Optional()],
    )
    plans = BoxesField(_l("For which plans"), description=_l("Tick none for all of them."))

    def terms(self) -> Terms:
        """Return what was typed."""
        amount, end = self.amount.data, self.expires_at.data
        return Terms(
            Discount(
                normal(self.code.data or ""),
                percent=self.percent.data,
                amount=Money(Decimal(amount), CURRENCY) if amount is not None else None,
                periods=self.periods.data,
            ),
            tuple(self.plans.data or ()),
            end.replace(tzinfo=UTC) if end else None,
            self.max_redemptions.data,
        )


def _off(_view: object, _context: object, code: Any, _name: str) -> str:
    return "" if code.amount is None else money(code.amount, code.currency)


class PromoCodeView(AdminView):
    """All codes; one is never edited, so that everybody gets what they were promised."""

    permission = Permission.PLANS_MANAGE
    can_view_details = False
    list_template = "admin/promo_codes.html"
    column_extra_row_actions = [EndpointLinkRowAction("info", ".page", title=_l("View"))]
    column_list = (
        "id", "code", "percent", "amount", "periods", "redeemed", "max_redemptions",
        "expires_at", "active", "created_at",
    )  # fmt: skip
    column_formatters = {"amount": _off}
    column_searchable_list = ("code",)
    column_filters = ("code", "active", "expires_at", "created_at", "redeemed")
    column_labels = {
        "code": _l("Code"),
        "percent": _l("Takes off, in percent"),
        "amount": _l("Takes off"),
        "currency": _l("Currency"),
        "periods": _l("Periods"),
        "redeemed": _l("Times taken"),
        "max_redemptions": _l("At most"),
        "expires_at": _l("Ends"),
        "active": _l("Switched on"),
        "created_at": _l("Created"),
    }

    @expose("/make", methods=("GET", "POST"))
    def make(self) -> ResponseReturnValue:
        """Make a code."""
        form = PromoForm()
        form.plans.choices = [(code, plan_label(name)) for code, name in queries.plans()]
        if form.validate_on_submit():
            with Acting(form, gettext("The promotion code is made.")) as act, transaction():
                made = service.make(current_user.id, form.terms())
            if act.is_done:
                return redirect(url_for("admin_promo_codes.page", id=made), 303)
        return self.with_form("admin/promo_form.html", form)

    @expose("/page")
    def page(self) -> ResponseReturnValue:
        """Show a code and who took it."""
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/promo_code.html",
            promo=queries.page_of(asked_number()),
            labels=REDEMPTION_LABELS,
            there=provider.promos_of(asked_number()),
            there_labels=PROMO_LABELS,
            keeper=keeper,
            sees_people=current_may(Permission.USERS_VIEW),
        )

    @expose("/switch", methods=("POST",))
    def switch(self) -> ResponseReturnValue:
        """Switch a code off for new purchases, or on again."""
        with transaction():
            service.switch(current_user.id, asked_number(), active=request.form.get("to") == "on")
        return redirect(url_for("admin_promo_codes.page", id=asked_number()), 303)

    @expose("/push", methods=("POST",))
    def push(self) -> ResponseReturnValue:
        """Ask a provider again about a code."""
        row = request.form.get("id", 0, type=read_whole)
        with transaction():
            code_id = promos.retry(current_user.id, row)
        flash(gettext("The provider is asked again within a minute."), "success")
        return redirect(url_for("admin_promo_codes.page", id=code_id), 303)


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield PromoCodeView(
        PromoCode,
        db,
        name=_l("Promotion codes"),
        endpoint="admin_promo_codes",
        url="/admin/promo-codes",
    )
