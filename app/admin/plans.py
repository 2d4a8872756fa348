"""Plans and prices: looked at by all staff, changed by managers through the service."""

from collections.abc import Iterable, Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from flask_login import current_user
from flask_wtf import FlaskForm
from wtforms import BooleanField, DateTimeLocalField, SelectField
from wtforms import StringField as TextField
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from app.accounts.access import current_may
from app.accounts.choices import choices
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import Act, AdminView
from app.admin.billing import in_currency
from app.admin.forms import AmountField, CountField
from app.admin.words import sold
from app.db import db
from app.subscriptions import queries, service
from app.subscriptions.models import Plan, PlanKind, PlanPrice
from app.subscriptions.periods import LIFETIME, Period, Unit
from app.subscriptions.periods import MAX_COUNT as LONGEST
from app.subscriptions.rules import (
    MAX_COUNT,
    MAX_NAME,
    MAX_PERIOD_S,
    MAX_PRICE,
    MAX_SEATS,
    MAX_TIMES,
    MAX_TRIAL_DAYS,
    MOST_ALLOWED,
    Allowance,
    Limits,
)
from app.subscriptions.texts import ALLOWANCE_NAMES
from app.subscriptions.wording import pay_period
from app.transactions import transaction

KINDS: Mapping[str, LazyString] = {
    PlanKind.PLAN: _l("Plan"),
    PlanKind.ADDON: _l("Add-on"),
}


class PlanForm(FlaskForm):
    """What a plan allows."""

    name = TextField(_l("Name"), validators=[InputRequired(), Length(max=MAX_NAME)])
    max_bots = CountField(
        _l("Running bots"), validators=[InputRequired(), NumberRange(0, MAX_COUNT)]
    )
    max_live_bots = CountField(
        _l("of these live"), validators=[InputRequired(), NumberRange(0, MAX_COUNT)]
    )
    max_exchanges = CountField(
        _l("Exchange accounts"), validators=[InputRequired(), NumberRange(0, MAX_COUNT)]
    )
    tick_period_s = CountField(
        _l("Tick period, s"), validators=[InputRequired(), NumberRange(1, MAX_PERIOD_S)]
    )
    past_runs_a_day = CountField(
        ALLOWANCE_NAMES[Allowance.PAST_RUNS],
        validators=[InputRequired(), NumberRange(0, MAX_TIMES)],
    )
    api_calls_a_minute = CountField(
        ALLOWANCE_NAMES[Allowance.API_CALLS],
        validators=[InputRequired(), NumberRange(0, MAX_TIMES)],
    )
    history_days = CountField(
        ALLOWANCE_NAMES[Allowance.HISTORY_DAYS],
        validators=[InputRequired(), NumberRange(0, MOST_ALLOWED[Allowance.HISTORY_DAYS])],
    )
    job_priority = CountField(
        ALLOWANCE_NAMES[Allowance.JOB_PRIORITY],
        validators=[InputRequired(), NumberRange(0, MOST_ALLOWED[Allowance.JOB_PRIORITY])],
    )
    trial_days = CountField(
        _l("Days to try it, once a person"),
        validators=[InputRequired(), NumberRange(0, MAX_TRIAL_DAYS)],
    )
    visible = BooleanField(_l("Offered on the price list"))


class PriceForm(FlaskForm):
    """A price that holds from a moment on."""

    amount = AmountField(_l("Price, USD"), validators=[InputRequired(), NumberRange(0, MAX_PRICE)])
    count = CountField(
        _l("Period: how many"), default=1, validators=[InputRequired(), NumberRange(1, LONGEST)]
    )
    unit = SelectField(
        _l("of what"),
        choices=choices(
            (
                (Unit.MONTH.value, _l("months")),
                (Unit.YEAR.value, _l("years")),
                (Unit.WEEK.value, _l("weeks")),
                (Unit.DAY.value, _l("days")),
                (Unit.LIFETIME.value, _l("for life, paid once")),
            )
        ),
    )
    seats = CountField(
        _l("How many may be sold (empty: no limit)"),
        validators=[Optional(), NumberRange(1, MAX_SEATS)],
    )
    valid_from = DateTimeLocalField(
        _l("Valid from (UTC; empty: now)"), format="%Y-%m-%dT%H:%M", validators=[Optional()]
    )


class PlanView(AdminView):
    """Plans with their limits."""

    permission = Permission.DESK
    column_extra_row_actions = [
        Act("edit", ".change", _l("Change"), Permission.PLANS_MANAGE, "code"),
        Act("plus", ".price", _l("Add a price"), Permission.PLANS_MANAGE, "code"),
    ]
    column_list = (
        "code",
        "name",
        "kind",
        "max_bots",
        "max_live_bots",
        "max_exchanges",
        "tick_period_s",
        "trial_days",
        "visible",
    )
    column_formatters = {"kind": lambda view, context, plan, name: KINDS[plan.kind]}
    column_default_sort = "position"
    column_labels = {
        "code": _l("Code"),
        "name": _l("Name"),
        "max_bots": _l("Running bots"),
        "max_live_bots": _l("of these live"),
        "max_exchanges": _l("Exchange accounts"),
        "kind": _l("Kind"),
        "tick_period_s": _l("Tick period, s"),
        "trial_days": _l("Days to try"),
        "visible": _l("Offered"),
    }

    @expose("/change", methods=("GET", "POST"))
    def change(self) -> ResponseReturnValue:
        """Change what a plan allows; it holds for everybody who has it at once."""
        if not current_may(Permission.PLANS_MANAGE):
            return self.inaccessible_callback("change")
        plan = queries.plan_by_code(request.args.get("code", ""))
        form = PlanForm(obj=plan, data=queries.allowed_by(plan))
        if form.validate_on_submit():
            limits = Limits(
                plan=plan.code,
                name=form.name.data or "",
                max_bots=form.max_bots.data or 0,
                max_live_bots=form.max_live_bots.data or 0,
                max_exchanges=form.max_exchanges.data or 0,
                tick_period_s=form.tick_period_s.data or 0,
                allowed={what: form[what.value].data or 0 for what in Allowance},
            )
            with Acting(form, gettext("Saved.")) as act, transaction():
                service.change_plan(
                    current_user.id,
                    plan.code,
                    limits,
                    visible=form.visible.data,
                    trial_days=form.trial_days.data,
                )
            if act.is_done:
                return redirect(url_for("admin_plans.index_view"))
        return self.with_form(
            "admin/plan_form.html", form, plan=plan, heading=gettext("Change a plan")
        )

    @expose("/price", methods=("GET", "POST"))
    def price(self) -> ResponseReturnValue:
        """Add a price from now or a later moment; running subscriptions keep theirs."""
        if not current_may(Permission.PLANS_MANAGE):
            return self.inaccessible_callback("price")
        plan = queries.plan_by_code(request.args.get("code", ""))
        form = PriceForm()
        if form.validate_on_submit():
            start = form.valid_from.data
            with Acting(form, gettext("Saved.")) as act, transaction():
                service.add_price(
                    current_user.id,
                    plan.code,
                    form.amount.data or Decimal(0),
                    period=_period(form),
                    valid_from=start.replace(tzinfo=UTC) if start else None,
                    seats=form.seats.data,
                )
            if act.is_done:
                return redirect(url_for("admin_prices.index_view"))
        return self.with_form(
            "admin/plan_form.html", form, plan=plan, heading=gettext("Add a price")
        )


def _period(form: PriceForm) -> Period:
    unit = Unit(form.unit.data)
    return LIFETIME if unit is Unit.LIFETIME else Period(form.count.data or 1, unit)


def _length(_view: object, _context: object, price: Any, _name: str) -> str:
    return pay_period(Period.parse(price.period))


class PriceView(AdminView):
    """All prices that were, are and will be; a price is never edited, a new one is added.

    What will be asked is nobody's business but of those who set it.
    """

    permission = Permission.PLANS_MANAGE
    column_list = ("id", "plan_code", "amount", "period", "valid_from", "seats")
    column_formatters = {"plan_code": sold, "amount": in_currency, "period": _length}
    column_filters = ("plan_code", "currency", "period", "valid_from")
    column_labels = {
        "plan_code": _l("Plan"),
        "amount": _l("Price"),
        "currency": _l("Currency"),
        "period": _l("Period"),
        "valid_from": _l("Valid from"),
        "seats": _l("Seats"),
    }


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield PlanView(Plan, db, name=_l("Plans"), endpoint="admin_plans", url="/admin/plans")
    yield PriceView(PlanPrice, db, name=_l("Prices"), endpoint="admin_prices", url="/admin/prices")
