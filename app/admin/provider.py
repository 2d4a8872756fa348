"""What passes between us and providers: their callbacks, our orders, and comparisons of both."""

from collections.abc import Iterable

from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_admin.model.template import EndpointLinkRowAction
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import Act, AdminView, asked_number
from app.admin.forms import ReasonForm
from app.admin.words import label
from app.db import db
from app.payments import drain
from app.payments.books.models import Reconciliation, ReconciliationDifference
from app.payments.models import RailEvent
from app.payments.texts import EVENT_LABELS
from app.subscriptions.provider import queries
from app.subscriptions.provider.models import RailCommand
from app.subscriptions.provider.texts import COMMAND_LABELS, VERB_LABELS
from app.transactions import transaction
from app.wallet.texts import RAIL_LABELS


class RailEventView(AdminView):
    """Callbacks of providers: what waits, what failed and why, and applying one again."""

    permission = Permission.BILLING_VIEW
    column_extra_row_actions = [
        Act("stale", ".replay", _l("Apply again"), Permission.BILLING_MANAGE)
    ]
    column_list = (
        "id", "rail", "type", "state", "reason", "attempts", "received_at", "due_at",
        "processed_at", "external_id",
    )  # fmt: skip
    column_details_list = (*column_list, "refs", "group_key", "api_version", "error", "body")
    column_formatters = {"rail": label(RAIL_LABELS), "state": label(EVENT_LABELS)}
    column_searchable_list = ("external_id", "type", "group_key")
    column_filters = ("rail", "state", "type", "reason", "received_at")
    column_labels = {
        "rail": _l("Way to pay"),
        "type": _l("Kind"),
        "state": _l("State"),
        "reason": _l("Reason"),
        "attempts": _l("Tries"),
        "received_at": _l("Received"),
        "due_at": _l("Next try"),
        "processed_at": _l("Applied"),
        "external_id": _l("Id at the provider"),
        "refs": _l("About"),
        "group_key": _l("Group"),
        "api_version": _l("Version"),
        "error": _l("Error"),
        "body": _l("Text"),
    }

    @expose("/replay", methods=("GET", "POST"))
    def replay(self) -> ResponseReturnValue:
        """Let a callback be applied again, with a reason; its effects happen once all the same."""
        if not current_may(Permission.BILLING_MANAGE):
            return self.inaccessible_callback("replay")
        row, form = self.asked_row(), ReasonForm()
        if form.validate_on_submit():
            with Acting(form, gettext("It is applied again in a moment.")) as act, transaction():
                drain.replay(row.id, current_user.id, form.why)
            if act.is_done:
                return redirect(url_for("admin_rail_events.index_view"), 303)
        heading = gettext("Apply callback %(id)s again", id=row.id)
        return self.form_page(form, heading, gettext("Apply again"), row)


class ReconciliationView(AdminView):
    """Comparisons of our books with those of providers, the newest first."""

    permission = Permission.BILLING_VIEW
    column_extra_row_actions = [
        EndpointLinkRowAction("search", ".differences", title=_l("Differences"))
    ]
    column_list = (
        "id", "rail", "since", "compared", "others", "fixed", "differences", "started_at",
        "ended_at",
    )  # fmt: skip
    column_formatters = {"rail": label(RAIL_LABELS)}
    column_filters = ("rail", "differences", "started_at")
    column_labels = {
        "rail": _l("Way to pay"),
        "since": _l("From"),
        "compared": _l("Compared"),
        "others": _l("Of others"),
        "fixed": _l("Brought in line"),
        "differences": _l("Differences"),
        "started_at": _l("Started"),
        "moved_at": _l("Last step"),
        "ended_at": _l("Ended"),
        "kind": _l("Kind"),
        "after": _l("Place"),
    }

    @expose("/differences")
    def differences(self) -> ResponseReturnValue:
        """Lead to what differed in one comparison."""
        search = f"={asked_number()}"
        return redirect(url_for("admin_differences.index_view", search=search), 303)


class DifferenceView(AdminView):
    """What was not the same at a provider and here, and whether it is now."""

    permission = Permission.BILLING_VIEW
    column_list = (
        "id", "run_id", "kind", "external_id", "field", "here", "there", "is_fixed", "reason",
        "created_at",
    )  # fmt: skip
    column_searchable_list = ("run_id", "external_id")
    column_filters = ("run_id", "kind", "is_fixed", "created_at")
    column_labels = {
        "run_id": _l("Comparison"),
        "kind": _l("Kind"),
        "external_id": _l("Id at the provider"),
        "field": _l("Figure"),
        "here": _l("Here"),
        "there": _l("There"),
        "is_fixed": _l("Brought in line"),
        "reason": _l("Reason"),
        "created_at": _l("Found"),
    }


class RailCommandView(AdminView):
    """Every order; one that is owed is sent until the provider confirms it."""

    permission = Permission.BILLING_VIEW
    list_template = "admin/provider_orders.html"
    column_list = (
        "id", "user_id", "rail", "subscription_ref", "verb", "state", "owed", "attempts", "error",
        "due_at", "created_at", "done_at",
    )  # fmt: skip
    column_details_list = (*column_list, "params", "round")
    column_formatters = {
        "rail": label(RAIL_LABELS),
        "state": label(COMMAND_LABELS),
        "verb": label(VERB_LABELS),
    }
    column_searchable_list = ("subscription_ref",)
    column_filters = ("user_id", "rail", "state", "verb", "owed", "attempts", "created_at")
    column_labels = {
        "user_id": _l("User"),
        "rail": _l("Way to pay"),
        "subscription_ref": _l("Subscription at the provider"),
        "verb": _l("Order"),
        "state": _l("State"),
        "owed": _l("Sent until confirmed"),
        "attempts": _l("Tries"),
        "error": _l("Error"),
        "due_at": _l("Next try"),
        "created_at": _l("Created"),
        "done_at": _l("Ended"),
        "params": _l("Details"),
        "round": _l("Round of the key"),
    }

    def doubles(self) -> tuple[int, ...]:
        """Return who pays for more than one subscription at once."""
        return queries.doubles()


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield RailEventView(
        RailEvent, db, name=_l("Callbacks"), endpoint="admin_rail_events", url="/admin/callbacks"
    )
    yield ReconciliationView(
        Reconciliation,
        db,
        name=_l("Comparisons with providers"),
        endpoint="admin_reconciliations",
        url="/admin/comparisons",
    )
    yield DifferenceView(
        ReconciliationDifference,
        db,
        name=_l("Differences to providers"),
        endpoint="admin_differences",
        url="/admin/differences",
    )
    yield RailCommandView(
        RailCommand,
        db,
        name=_l("Orders to providers"),
        endpoint="admin_provider",
        url="/admin/provider-orders",
    )
