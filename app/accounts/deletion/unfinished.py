"""What of a person has to end before the account can: upper subjects say what that is."""

from collections.abc import Callable, Sequence

Namer = Callable[[int], Sequence[str]]


class _Namer:
    name: Namer | None = None


def name_unfinished_with(namer: Namer) -> None:
    """Ask this for the names of what still runs for a person, or has orders standing."""
    _Namer.name = namer


def unfinished(user_id: int) -> tuple[str, ...]:
    """Return the names of what still runs for a person."""
    return tuple(_Namer.name(user_id)) if _Namer.name is not None else ()
