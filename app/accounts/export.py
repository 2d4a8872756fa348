"""All that is stored about a person, as one JSON document for that person; never a secret."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy import Table, select

from app.accounts import audit, queries
from app.accounts.models import AuditEntry
from app.db import Base, db, utc_now

# Each table with a person's id stands in one of the two; a test holds that.
EXPORTED = (
    "access_tokens", "bots", "exchange_accounts", "fills", "funding", "invite_uses",
    "ledger_accounts", "orders", "outbox", "passkeys", "subscriptions", "trades",
)  # fmt: skip
# Keys, hashes and answers kept for repeated calls; the profile is opened below instead.
KEPT_BACK = (
    "api_answers", "one_time_codes", "owner_keys", "profiles", "recovery_codes", "second_factors",
)  # fmt: skip
_SECRET = re.compile(r"sealed_.*|.*_hash|.*fingerprint|form_key")
BATCH = 1000


def begin(user_id: int, address: str) -> None:
    """Write down that somebody takes their data away."""
    audit.record("accounts.exported", "user", user_id, actor_id=user_id, address=address)


def document(user_id: int) -> Iterator[str]:
    """Yield the document piece by piece."""
    profile = asdict(queries.own_profile(user_id))
    yield '{"made_at": ' + _text(utc_now()) + ',\n"profile": ' + _text(profile)
    for name in EXPORTED:
        table = Base.metadata.tables[name]
        yield f',\n"{name}": ['
        yield from _rows(table, table.c.user_id == user_id)
        yield "]"
    yield ',\n"log": ['
    log: Any = AuditEntry.__table__
    yield from _rows(log, log.c.actor_id == user_id)
    yield "]}\n"


def _rows(table: Table, condition: Any) -> Iterator[str]:
    columns = [column for column in table.columns if not _SECRET.fullmatch(column.name)]
    query = select(*columns).where(condition).order_by(*table.primary_key.columns)
    separator = "\n"
    with db.session.connection().execution_options(yield_per=BATCH).execute(query) as rows:
        for row in rows.mappings():
            yield separator + _text(dict(row))
            separator = ",\n"


def _text(value: Any) -> str:
    # Exact numbers and times become text, as they are.
    return json.dumps(value, default=str, ensure_ascii=False)
