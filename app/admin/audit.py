"""The audit trail: to read and search, never to change."""

from collections.abc import Iterable

from flask_admin import BaseView
from flask_babel import lazy_gettext as _l

from app.accounts.models import AuditEntry
from app.accounts.permissions import Permission
from app.admin.base import AdminView
from app.db import db


class AuditView(AdminView):
    """Who did what, newest first."""

    permission = Permission.AUDIT_VIEW
    column_list = (
        "id",
        "at",
        "actor_id",
        "action",
        "object_type",
        "object_id",
        "before",
        "after",
        "reason",
        "address",
        "request_id",
    )
    column_searchable_list = ("action", "object_id", "request_id")
    column_filters = ("actor_id", "action", "object_type", "object_id", "at")
    column_labels = {
        "at": _l("Time"),
        "actor_id": _l("Done by"),
        "action": _l("Action"),
        "object_type": _l("Thing"),
        "object_id": _l("Its number"),
        "before": _l("Before"),
        "after": _l("After"),
        "reason": _l("Reason"),
        "address": _l("Address"),
        "request_id": _l("Request"),
    }


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield AuditView(AuditEntry, db, name=_l("Audit"), endpoint="admin_audit", url="/admin/audit")
