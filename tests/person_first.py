"""The order of locks, watched: who moves a person's money or plan holds the person first."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from app.db import db

# What is locked behind the person.
BEHIND = frozenset(
    {
        "invoices", "kept_subscriptions", "checkouts", "payments", "rail_subscriptions",
        "subscriptions", "ledger",
    }
)  # fmt: skip
_LOCKS = re.compile(r"\bfrom (\w+)\b.*\bfor (no key )?update(?! skip locked)", re.I | re.S)


def _locked(statement: str) -> str | None:
    if "ledger_lock" in statement or "INSERT INTO ledger_entries" in statement:
        return "ledger"
    found = _LOCKS.search(statement)
    return found[1] if found else None


@contextmanager
def person_first() -> Iterator[list[list[str]]]:
    """Fail if a transaction in here locks a person behind what is theirs, or not at all.

    A posting alone needs no person. Gives the locks of each transaction that took any.
    """
    running: dict[int, list[str]] = defaultdict(list)
    seen: list[list[str]] = []

    def note(connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        table = _locked(statement)
        if table == "users" or table in BEHIND:
            running[id(connection)].append(table)

    def end(connection: Connection) -> None:
        locks = running.pop(id(connection), [])
        if locks:
            seen.append(locks)

    listened = (("before_cursor_execute", note), ("commit", end), ("rollback", end))
    for name, listener in listened:
        event.listen(db.engine, name, listener)
    try:
        yield seen
    finally:
        for name, listener in listened:
            event.remove(db.engine, name, listener)
    wrong = [locks for locks in seen if set(locks) != {"ledger"} and locks[0] != "users"]
    assert not wrong, wrong
