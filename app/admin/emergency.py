"""The emergency stop for all bots of a person or of an exchange."""

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_babel import gettext, ngettext
from flask_login import current_user

from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import StaffPage
from app.admin.forms import EmergencyForm
from app.bots import stopping
from app.bots.statistics import EmergencyScope, emergency_scope
from app.exchanges.catalogue import VENUES
from app.transactions import transaction


class EmergencyPage(StaffPage):
    """One form: whose bots and why; then how many they are, typed by hand."""

    permission = Permission.BOTS_STOP_ANY

    @expose("/", methods=("GET", "POST"))
    def index(self) -> ResponseReturnValue:
        """Stop them all; an exchange as a whole needs the right to manage exchanges."""
        form = EmergencyForm(user_id=request.args.get("user", type=int))
        form.exchange.choices = [("", gettext("No exchange"))]
        if current_may(Permission.EXCHANGES_MANAGE):
            form.exchange.choices += [(venue.code, venue.name) for venue in VENUES.values()]
        scope = None
        if form.validate_on_submit() and bool(form.user_id.data) != bool(form.exchange.data):
            scope = emergency_scope(form.user_id.data, form.exchange.data or None)
        if (
            form.is_submitted()
            and not form.errors
            and (scope is None or self._is_typed(form, scope))
        ):
            with Acting(form) as act, transaction():
                count = stopping.emergency_stop_all(
                    current_user.id,
                    form.why,
                    user_id=form.user_id.data,
                    exchange=form.exchange.data or None,
                )
                act.said = _closing(count)
            if act.is_done:
                return redirect(url_for("admin_bots.index_view"))
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/emergency.html", form=form, scope=scope
        )

    def _is_typed(self, form: EmergencyForm, scope: EmergencyScope) -> bool:
        if form.count.data == scope.bots and scope.bots:
            return True
        if form.count.data is not None:
            form.count.errors = [gettext("The number of bots is %(count)s.", count=scope.bots)]
        return False


def _closing(count: int) -> str:
    return str(ngettext("%(num)s bot is being closed.", "%(num)s bots are being closed.", count))
