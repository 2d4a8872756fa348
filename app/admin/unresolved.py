"""Orders whose outcome nobody knows: what the exchange says now, and what a person decides."""

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_babel import gettext
from flask_login import current_user

from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import StaffPage
from app.admin.forms import ResolveForm
from app.admin.names import doer
from app.bots import ties, unresolved
from app.bots.labels import ORDER_STATUS_LABELS
from app.errors import DomainError
from app.i18n import describe
from app.transactions import transaction


class UnresolvedPage(StaffPage):
    """Unclear orders with their age and the exchange's last answer, oldest first."""

    permission = Permission.TRADES_VIEW_ALL

    @expose("/")
    def index(self) -> ResponseReturnValue:
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/unresolved.html",
            orders=unresolved.stuck_orders(),
            differences=ties.told_differences(),
            statuses=ORDER_STATUS_LABELS,
        )

    @expose("/order", methods=("GET", "POST"))
    def order(self) -> ResponseReturnValue:
        """Show what the exchange says of an order now; do what a person decides."""
        if not current_may(Permission.BOTS_STOP_ANY):
            return self.inaccessible_callback("order")
        with transaction():
            order = unresolved.stuck_order(request.args.get("id", 0, type=int))
        answer = unresolved.ask_venue(order)
        form = ResolveForm()
        if form.validate_on_submit():
            done = gettext("Done. The bot goes on with it at its next tick.")
            with Acting(form, done) as act, transaction():
                verdict = unresolved.Verdict(form.verdict.data)
                unresolved.resolve_order(current_user.id, order.id, verdict, form.why, answer)
            if act.is_done:
                return redirect(url_for("admin_unresolved.index"))
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/unresolved_order.html",
            order=order,
            owner=doer(order.user_id),
            answer=answer,
            form=form,
            statuses=ORDER_STATUS_LABELS,
        )

    @expose("/note", methods=("POST",))
    def note(self) -> ResponseReturnValue:
        """Note that the differences of an account have been looked into."""
        if not current_may(Permission.BOTS_STOP_ANY):
            return self.inaccessible_callback("note")
        with transaction():
            ties.note_told(current_user.id, request.form.get("id", 0, type=int))
        return redirect(url_for("admin_unresolved.index"))

    @expose("/look", methods=("POST",))
    def look(self) -> ResponseReturnValue:
        """Have the account of an order looked at now."""
        if not current_may(Permission.BOTS_STOP_ANY):
            return self.inaccessible_callback("look")
        try:
            with transaction():
                unresolved.look_again(current_user.id, request.form.get("id", 0, type=int))
        except DomainError as error:
            flash(describe(error), "warning")
        else:
            said = gettext("The account is looked at now. Open this page anew in a moment.")
            flash(said, "success")
        return redirect(url_for("admin_unresolved.index"))
