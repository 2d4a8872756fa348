"""The audit trail: to read, search and take along, never to change."""

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from flask_admin import BaseView
from flask_babel import lazy_gettext as _l

from app.accounts.models import AuditEntry
from app.accounts.permissions import Permission
from app.admin.base import AdminView
from app.db import db
from app.formatting.cells import safe_cell

MOST_EXPORTED_ROWS = 50_000
# Of one value in a line of the list; the details show all.
SHOWN_LENGTH = 60


class AuditView(AdminView):
    """Who did what, newest first."""

    permission = Permission.AUDIT_VIEW
    can_export = True
    export_max_rows = MOST_EXPORTED_ROWS
    column_list = (
        "id",
        "at",
        "actor.email",
        "on_behalf_of.email",
        "action",
        "object_type",
        "object_id",
        "change",
        "reason",
        "address",
    )
    column_details_list = (
        "id",
        "at",
        "actor_id",
        "actor.email",
        "on_behalf_of_id",
        "on_behalf_of.email",
        "action",
        "object_type",
        "object_id",
        "before",
        "after",
        "reason",
        "address",
        "request_id",
        "hash",
    )
    column_export_list = column_details_list
    column_searchable_list = ("action", "object_id", "reason", "address", "request_id")
    column_filters = ("actor_id", "on_behalf_of_id", "action", "object_type", "object_id", "at")
    column_sortable_list = ("id", "at", "action", "object_type", "object_id", "address")
    column_formatters: ClassVar[dict[str, Any]] = {"change": lambda _v, _c, row, _n: changes(row)}
    column_labels = {
        "at": _l("Time"),
        "actor_id": _l("Number of the doer"),
        "actor.email": _l("Done by"),
        "on_behalf_of_id": _l("Number of the person acted for"),
        "on_behalf_of.email": _l("In the name of"),
        "action": _l("Action"),
        "object_type": _l("Thing"),
        "object_id": _l("Its number"),
        "change": _l("Change"),
        "before": _l("Before"),
        "after": _l("After"),
        "reason": _l("Reason"),
        "address": _l("Address"),
        "request_id": _l("Request"),
        "hash": _l("Hash"),
    }

    def get_export_value(self, model: AuditEntry, name: str) -> str:
        """Write a cell: times in ISO 8601, values as JSON, nothing that could be a formula."""
        value: Any = model
        for part in name.split("."):
            value = getattr(value, part, None)
        return export_cell(value)


def export_cell(value: Any) -> str:
    """Write one value for a file that a spreadsheet may open."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return safe_cell(json.dumps(value, ensure_ascii=False, sort_keys=True))
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return safe_cell(str(value))


def changes(entry: AuditEntry) -> str:
    """Write what differs before and after, one `name: old → new` each."""
    before, after = entry.before or {}, entry.after or {}
    names = [name for name in (*before, *after) if before.get(name) != after.get(name)]
    return "; ".join(
        f"{name}: {_short(before, name)} → {_short(after, name)}"
        if name in before
        else f"{name}: {_short(after, name)}"
        for name in dict.fromkeys(names)
    )


def _short(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_LENGTH else f"{text[: SHOWN_LENGTH - 1]}…"


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield AuditView(AuditEntry, db, name=_l("Audit"), endpoint="admin_audit", url="/admin/audit")
