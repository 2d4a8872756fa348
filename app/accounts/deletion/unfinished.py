"""What of a person has to end before the account can, and what would be lost: others say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

Namer = Callable[[int], Sequence[str]]
Money = tuple[Decimal, str]
Counter = Callable[[int], Sequence[Money]]


@dataclass(slots=True)
class _Joined:
    names: Namer = lambda _user_id: ()
    money: Counter = lambda _user_id: ()


_joined = _Joined()


def name_unfinished_with(namer: Namer) -> None:
    """Ask this for the names of what still runs for a person, or has orders standing."""
    _joined.names = namer


def count_money_with(counter: Counter) -> None:
    """Ask this for the money that a person has with us, with its currency."""
    _joined.money = counter


def unfinished(user_id: int) -> tuple[str, ...]:
    """Return the names of what still runs for a person."""
    return tuple(_joined.names(user_id))


def money_left(user_id: int) -> tuple[Money, ...]:
    """Return the money that a person would leave behind."""
    return tuple(_joined.money(user_id))
