"""What of a person has to end before the account can, and what would be lost: others say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

Namer = Callable[[int], Sequence[str]]
Money = tuple[Decimal, str]
Counter = Callable[[int], Sequence[Money]]


@dataclass(frozen=True, slots=True)
class LeftAt:
    """What a person has at an exchange: `left` for the page, `seen` what of it is at stake.

    `trouble` says why the exchange did not tell; `keepers` are bots that can take back their part.
    """

    account: str
    exchange: str
    seen: str
    left: object
    trouble: str = ""
    keepers: Sequence[object] = ()


Reader = Callable[[int], Sequence[LeftAt]]


@dataclass(slots=True)
class _Joined:
    names: Namer = lambda _user_id: ()
    money: Counter = lambda _user_id: ()
    left: Reader = lambda _user_id: ()


_joined = _Joined()


def name_unfinished_with(namer: Namer) -> None:
    """Ask this for the names of what still runs for a person, or has orders standing."""
    _joined.names = namer


def count_money_with(counter: Counter) -> None:
    """Ask this for the money that a person has with us, with its currency."""
    _joined.money = counter


def read_left_with(reader: Reader) -> None:
    """Ask this for what a person has at exchanges now; it may take some seconds."""
    _joined.left = reader


def unfinished(user_id: int) -> tuple[str, ...]:
    """Return the names of what still runs for a person."""
    return tuple(_joined.names(user_id))


def money_left(user_id: int) -> tuple[Money, ...]:
    """Return the money that a person would leave behind."""
    return tuple(_joined.money(user_id))


def left_at_exchanges(user_id: int) -> tuple[LeftAt, ...]:
    """Return what a person has at exchanges; call it outside any transaction."""
    return tuple(_joined.left(user_id))
