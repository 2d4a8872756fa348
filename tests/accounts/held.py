"""Killing a command at a known place: at a row that a test holds, so that it waits there."""

import time
from collections.abc import Mapping

from sqlalchemy import text

from app.db import db
from tests import starting

PATIENCE_S = 60


def kill_at_row(
    table: str, key: str, value: int, words: list[str], environment: Mapping[str, str]
) -> None:
    """Start `python WORDS` and kill it as soon as it waits for that row of the table."""
    hold = text(f"select pg_backend_pid() from {table} where {key} = :value for update")  # noqa: S608 - our own names
    waits = text(
        "select exists (select from pg_stat_activity where :holder = any(pg_blocking_pids(pid)))"
    )
    with db.engine.connect() as holding, db.engine.connect() as looking:
        # A transaction would see the activity of its first look again and again.
        looking.execution_options(isolation_level="AUTOCOMMIT")
        holder = holding.scalar(hold, {"value": value})
        assert holder is not None
        process = starting.start(words, environment)
        deadline = time.monotonic() + PATIENCE_S
        while not looking.scalar(waits, {"holder": holder}):
            assert process.poll() is None, "it ended before it came to the row"
            assert time.monotonic() < deadline, "it never came to the row"
            time.sleep(0.02)
        process.kill()
        process.wait()
