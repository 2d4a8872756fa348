"""Callbacks as they come in: kept for good before they are answered, together where many come.

While one thread waits for the disk the callbacks of the others gather, and whoever has the next
turn stores all of them by one statement. So a flood costs hardly more statements and commits than
a trickle, and a callback that comes alone waits for nobody.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from app.adapters.payments.port import Incoming
from app.db import db
from app.payments import intake


@dataclass(eq=False, slots=True)
class _Callback:
    """One whose sender waits for the answer."""

    row: intake.Row
    is_new: bool | None = None
    error: Exception | None = None


_turn = Lock()
_gathered: deque[_Callback] = deque()


def keep(rail: str, incoming: Incoming, raw: bytes) -> bool:
    """Keep a callback, in a transaction that is over at the return; tell whether it is new.

    Raises what the database raised, also to a thread whose callback another one stored.
    """
    mine = _Callback(intake.row_of(rail, incoming, raw))
    _gathered.append(mine)
    with _turn:
        if mine.is_new is None and mine.error is None:
            _store([_gathered.popleft() for _ in range(len(_gathered))])
    if mine.error is not None:
        raise mine.error
    return bool(mine.is_new)


def _store(callbacks: Sequence[_Callback]) -> None:
    try:
        new = _insert([callback.row for callback in callbacks])
    except Exception as error:  # noqa: BLE001 - each thread raises it for its own callback
        is_away = isinstance(error, OperationalError | InterfaceError)
        if len(callbacks) > 1 and not is_away:
            # One that the database refuses must not take the others with it.
            for callback in callbacks:
                _store([callback])
            return
        for callback in callbacks:
            callback.error = error
        return
    for callback in callbacks:
        callback.is_new = callback.row.key in new


def _insert(rows: Sequence[intake.Row]) -> set[intake.Key]:
    try:
        return intake.insert(_Line.open(), rows)
    except DBAPIError as error:
        _Line.close()
        if not error.connection_invalidated:
            raise
    # The server was started anew since the last callback. What it stored all the same is known.
    return intake.insert(_Line.open(), rows)


class _Line:
    """The connection of this process for callbacks, kept because they come by the hundreds.

    Each statement is a transaction by itself: neither BEGIN nor COMMIT, and on the disk as ever.
    """

    connection: Connection | None = None

    @classmethod
    def open(cls) -> Connection:
        """Return the connection, made at first use."""
        if cls.connection is None or cls.connection.engine is not db.engine:
            cls.close()
            made = db.engine.connect()
            cls.connection = made.execution_options(isolation_level="AUTOCOMMIT")
        return cls.connection

    @classmethod
    def close(cls) -> None:
        """End the connection.

        Not given back: the pool may have been replaced since, and none would ever end it then.
        """
        if cls.connection is not None:
            cls.connection.invalidate()
            cls.connection.close()
            cls.connection = None
