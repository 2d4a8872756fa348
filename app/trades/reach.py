"""How far back somebody's trades are shown: plans say it, and they stand above trades."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from app.errors import DomainError


@dataclass(frozen=True, slots=True)
class Reach:
    """From when on closed trades are shown, and the sentence for those before."""

    since: datetime
    refusal: DomainError


class _Registered:
    """The function that knows, once somebody has given it."""

    find: Callable[[int], Reach] | None = None


def limit_history_with(find: Callable[[int], Reach]) -> None:
    """Register what says how far back a person's trades are shown."""
    _Registered.find = find


def reach_of(user_id: int) -> Reach:
    """Return how far back a person's trades are shown; without a limit it would be none, so raise.

    Nothing is deleted: a larger plan shows what was there before.
    """
    if _Registered.find is None:
        raise RuntimeError("nobody limits the history: limit_history_with() has not been called")
    return _Registered.find(user_id)
