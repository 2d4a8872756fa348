"""The audit trail: written in the transaction of the act it tells of, never edited."""

from collections.abc import Mapping
from typing import Any

from app.accounts.models import AuditEntry
from app.db import db
from app.logs import request_id


def record(
    action: str,
    object_type: str,
    object_id: int | str,
    *,
    actor_id: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
    address: str | None = None,
) -> None:
    """Add one entry: who (None = the system) did what to which thing; no secrets in the values."""
    db.session.add(
        AuditEntry(
            actor_id=actor_id,
            action=action,
            object_type=object_type,
            object_id=str(object_id),
            before=dict(before) if before is not None else None,
            after=dict(after) if after is not None else None,
            reason=reason,
            address=address,
            request_id=request_id.get(),
        )
    )
