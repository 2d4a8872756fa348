"""Orders to providers about subscriptions: what still waits to be confirmed, and why."""

from collections.abc import Iterable

from flask_admin import BaseView
from flask_babel import lazy_gettext as _l

from app.accounts.permissions import Permission
from app.admin.base import AdminView
from app.admin.words import label
from app.db import db
from app.subscriptions.provider import queries
from app.subscriptions.provider.models import RailCommand
from app.subscriptions.provider.texts import COMMAND_LABELS, VERB_LABELS


class RailCommandView(AdminView):
    """Every order; one that is owed is sent until the provider confirms it."""

    permission = Permission.BILLING_VIEW
    list_template = "admin/provider_orders.html"
    column_list = (
        "id", "user_id", "rail", "subscription_ref", "verb", "state", "owed", "attempts", "error",
        "due_at", "created_at", "done_at",
    )  # fmt: skip
    column_details_list = (*column_list, "params", "round")
    column_formatters = {"state": label(COMMAND_LABELS), "verb": label(VERB_LABELS)}
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
    yield RailCommandView(
        RailCommand,
        db,
        name=_l("Orders to providers"),
        endpoint="admin_provider",
        url="/admin/provider-orders",
    )
