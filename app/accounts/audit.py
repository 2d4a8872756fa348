"""The audit trail: written in the transaction of the act it tells of, never edited.

Entries wait until the commit and are inserted last: the database chains them under a lock that one
transaction at a time holds, so nothing may be done between the insert and the commit.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from app.accounts.models import AuditEntry
from app.db import db
from app.logs import mask_secrets, request_id

# Where the present request comes from, and who acts in it in a customer's name.
client_address: ContextVar[str | None] = ContextVar("client_address", default=None)
acting_staff: ContextVar[int | None] = ContextVar("acting_staff", default=None)

MASK = "***"
_WAITING = "audit_entries"
_SECRET_NAME = re.compile(
    r"(^|_)(password|passphrase|secret|token|api_?key|code_hash|hash|otp|totp|sealed|signature"
    r"|authorization|cookie|private_key|recovery_codes?)(_|$)",
    re.IGNORECASE,
)


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
    """Add one entry: who (None = the system) did what to which thing; secrets are masked.

    While staff act in a customer's name the entry names both.
    """
    staff_id = acting_staff.get()
    in_anothers_name = staff_id is not None and actor_id is not None and actor_id != staff_id
    entry = AuditEntry(
        actor_id=staff_id if in_anothers_name else actor_id,
        on_behalf_of_id=actor_id if in_anothers_name else None,
        action=action,
        object_type=object_type,
        object_id=str(object_id),
        before=masked(before) if before is not None else None,
        after=masked(after) if after is not None else None,
        reason=mask_secrets(reason) if reason is not None else None,
        address=address or client_address.get(),
        request_id=request_id.get(),
    )
    session = db.session()
    if not session.in_transaction():
        # So that a roll-back has something to roll back.
        session.begin()
    session.info.setdefault(_WAITING, []).append(entry)


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with asterisks for what is named like a secret or looks like one."""
    return {
        name: MASK if _SECRET_NAME.search(name) and value else _masked_value(value)
        for name, value in values.items()
    }


def _masked_value(value: Any) -> Any:
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, Mapping):
        return masked(value)
    if isinstance(value, list | tuple):
        return [_masked_value(item) for item in value]
    return value


@event.listens_for(db.session, "before_commit")
def _insert_waiting(session: Session) -> None:
    waiting = session.info.pop(_WAITING, None)
    if waiting:
        # Everything else first: whoever waits for the chain must not be waited for.
        session.flush()
        session.add_all(waiting)


@event.listens_for(db.session, "after_rollback")
def _forget_waiting(session: Session) -> None:
    session.info.pop(_WAITING, None)
