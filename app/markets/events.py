"""What this subject announces."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple


class Move(NamedTuple):
    """How far a pair's price went in one round of the feed, and its newest point."""

    market_id: int
    low: Decimal
    high: Decimal
    last: Decimal
    seq: int


@dataclass(frozen=True, slots=True)
class PairsTurned:
    """Pairs can't be traded any more for a reason (a code), or (empty) can be traded again."""

    market_ids: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class RulesChanged:
    """An exchange takes orders of a pair by other steps or minimums than before."""

    market_id: int


@dataclass(frozen=True, slots=True)
class PricesMoved:
    """New prices are stored; published after their commit, several times a second."""

    moves: tuple[Move, ...]
