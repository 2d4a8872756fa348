"""Plans of people: who has which until when; given, changed and ended by managers."""

from collections.abc import Iterable
from datetime import UTC, datetime

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from flask_wtf import FlaskForm
from wtforms import DateTimeLocalField, HiddenField, SelectField
from wtforms.validators import InputRequired, NumberRange, Optional, Regexp

from app.accounts import queries as accounts
from app.accounts.access import current_may
from app.accounts.choices import choices
from app.accounts.models import User
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import AdminView
from app.admin.forms import CountField, ReasonForm
from app.admin.histories import STATE_LABELS
from app.admin.words import label, sold
from app.db import db, utc_now
from app.errors import InvalidInput
from app.subscriptions import buying, desk, ending, giving, queries, rights
from app.subscriptions.giving import MAX_DAYS
from app.subscriptions.kept import queries as kept
from app.subscriptions.models import Subscription
from app.subscriptions.texts import plan_label
from app.transactions import transaction

_WITH_PERIOD = (("period", _l("With the period that is paid")),)
_NOW = (("now", _l("Now; what is to be given back goes back from the page of its invoice")),)
TIME_FORMAT = "%Y-%m-%dT%H:%M"


class RightForm(ReasonForm):
    """Something about the plan that somebody has; a mark of what the page showed goes along."""

    seen = HiddenField()

    def show(self, user_id: int) -> None:
        """Note what the page shows by now: what is sent is about that."""
        self.seen.data = rights.mark_of(user_id)


class DaysForm(RightForm):
    """So many days of a plan; what the page showed goes along, so that they are given once."""

    plan = SelectField(_l("Plan"))
    days = CountField(
        _l("Days"), default=30, validators=[InputRequired(), NumberRange(1, MAX_DAYS)]
    )
    seen_end = HiddenField(validators=[Optional()])
    shown_at = HiddenField(validators=[InputRequired()])


class ChangeForm(RightForm):
    """Another plan, or another end of it."""

    plan = SelectField(_l("Plan"))
    until = DateTimeLocalField(
        _l("End (UTC; empty: it does not end)"), format=TIME_FORMAT, validators=[Optional()]
    )


class EndPaidForm(ReasonForm):
    """When it ends; which subscription the page showed goes along, so that no other one does."""

    how = SelectField(_l("When it ends"))
    seen = HiddenField(validators=[Regexp(r"[0-9]{1,18}\Z")])


class SubscriptionView(AdminView):
    """Who has which plan until when."""

    permission = Permission.USERS_VIEW
    column_list = ("id", "user_id", "plan_code", "state", "started_at", "ends_at", "reason")
    column_formatters = {"plan_code": sold, "state": label(STATE_LABELS)}
    column_filters = ("user_id", "plan_code", "state", "ends_at")
    column_labels = {
        "user_id": _l("User"),
        "plan_code": _l("Plan"),
        "state": _l("State"),
        "started_at": _l("Started"),
        "ends_at": _l("Ends"),
        "reason": _l("Reason"),
    }

    @expose("/give", methods=("GET", "POST"))
    def give(self) -> ResponseReturnValue:
        """Give a person days of a plan, more of it or from now on."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("give")
        user = _person()
        form = DaysForm()
        _offer_plans(form)
        if form.validate_on_submit():
            with Acting(form) as act, transaction():
                _give_days(user.id, form)
            if act.is_done:
                return _to_person(user)
            _show_end(user.id, form)
        elif not form.is_submitted():
            _show_end(user.id, form)
            right = queries.present_right(user.id)
            form.plan.data = right.plan_code if right else form.plan.data
        return self._page(user, form, gettext("Give days"), gettext("Give"))

    @expose("/change", methods=("GET", "POST"))
    def change(self) -> ResponseReturnValue:
        """Give another plan, or the same one with another end."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("change")
        user = _person()
        right = queries.present_right(user.id)
        form = ChangeForm()
        _offer_plans(form)
        if not form.is_submitted() and right is not None:
            form.plan.data, form.until.data = right.plan_code, right.until
        if form.validate_on_submit():
            end = form.until.data
            until = end.replace(tzinfo=UTC) if end else None
            with Acting(form) as act, transaction():
                rights.give_plan(
                    current_user.id, user.id, form.plan.data, until, form.why, seen=form.seen.data
                )
            if act.is_done:
                return _to_person(user)
            form.show(user.id)
        elif not form.is_submitted():
            form.show(user.id)
        return self._page(user, form, gettext("Change the plan"), gettext("Save"))

    @expose("/end", methods=("GET", "POST"))
    def end(self) -> ResponseReturnValue:
        """End a plan that staff have given; the free one, or a paid one, holds from here on."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("end")
        user = _person()
        form = RightForm()
        if form.validate_on_submit():
            with Acting(form) as act, transaction():
                rights.end_plan(current_user.id, user.id, form.why, seen=form.seen.data)
            if act.is_done:
                return _to_person(user)
            form.show(user.id)
        elif not form.is_submitted():
            form.show(user.id)
        return self._page(user, form, gettext("End the plan"), gettext("End"))

    @expose("/end-paid", methods=("GET", "POST"))
    def end_paid(self) -> ResponseReturnValue:
        """End what a person pays to us for, at once or with the paid period."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("end_paid")
        user = _person()
        standing, form = kept.standing(user.id), EndPaidForm()
        for_life = standing is not None and standing.period.is_endless
        form.how.choices = choices(_NOW if for_life else (*_WITH_PERIOD, *_NOW))
        if not form.is_submitted():
            form.seen.data = str(standing.id) if standing else ""
        if form.validate_on_submit():
            seen, now = int(form.seen.data or 0), form.how.data == "now"
            with Acting(form) as act, transaction():
                ending.end_paid(current_user.id, user.id, seen, form.why, at_once=now)
            if act.is_done:
                return _to_person(user)
        return self._page(user, form, gettext("End what is paid for"), gettext("End"))

    def _page(self, user: User, form: ReasonForm, heading: str, button: str) -> ResponseReturnValue:
        return self.with_form(
            "admin/grant_form.html",
            form,
            heading=heading,
            button=button,
            whose=user,
            gives=isinstance(form, (DaysForm, ChangeForm)),
            right=queries.present_right(user.id),
            standing=buying.standing(user.id),
        )


def _to_person(user: User) -> ResponseReturnValue:
    return redirect(url_for("admin_users.details_view", id=user.id), 303)


def _person() -> User:
    return accounts.user_by_id(request.args.get("user", 0, type=int))


def _show_end(user_id: int, form: DaysForm) -> None:
    """Note what the page shows by now; what is sent is added to that, and once."""
    form.show(user_id)
    right = queries.present_right(user_id)
    end = giving.end_of_paid(user_id) or (right.until if right else None)
    form.shown_at.data = utc_now().isoformat()
    form.seen_end.data = end.isoformat() if end else ""


def _give_days(user_id: int, form: DaysForm) -> None:
    giving.give_days(
        current_user.id,
        user_id,
        form.plan.data,
        form.days.data or 0,
        form.why,
        seen_end=_moment(form.seen_end.data),
        shown_at=_moment(form.shown_at.data) or utc_now(),
        seen=form.seen.data,
    )


def _offer_plans(form: FlaskForm) -> None:
    form["plan"].choices = [(code, plan_label(name)) for code, name in desk.plans_to_give()]


def _moment(text: str | None) -> datetime | None:
    """Read a moment that the form sent back as it got it."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput("right_moved") from None
    if found.tzinfo is None:
        raise InvalidInput("right_moved")
    return found


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield SubscriptionView(
        Subscription,
        db,
        name=_l("Subscriptions"),
        endpoint="admin_subscriptions",
        url="/admin/subscriptions",
    )
