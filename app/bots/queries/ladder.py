"""The levels of a grid as they lie now: a running one may have followed the price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.trading.market import Market
from app.trading.strategies import STRATEGIES
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_sizes import ladder_of
from app.trading.strategies.grid_state import Phase

GRID = "grid"
# Settings with which a grid leaves the range that it began with.
MOVING = ("trailing_up", "trailing_down", "infinity")


@dataclass(frozen=True, slots=True)
class Rungs:
    """The levels from the lowest up; the lowest has the number `first` on its orders.

    `buys` and `sells` are the prices of the orders on them: a tick that is too coarse parts them.
    """

    first: int = 0
    prices: Sequence[Decimal] = ()
    buys: Sequence[Decimal] = ()
    sells: Sequence[Decimal] = ()


def rungs_of(
    strategy: str, params: Mapping[str, Any], state: Mapping[str, Any] | None, market: Market
) -> Rungs:
    """Return where a grid's levels lie, by its state if it has one; other strategies have none."""
    if strategy != GRID:
        return Rungs()
    grid = STRATEGIES[GRID]
    read = grid.parse(params)
    if state is None:
        return _rungs(0, ladder_of(read, market))
    now = grid.decode_state(state)
    # One that is stopped on the way to other settings has the gaps of those before.
    ends = now.phase in {Phase.CLOSING, Phase.FINISHED}
    others = ends and not read.infinity and len(now.slots) != read.grids
    if others or not now.slots:
        return _rungs(0, ladder_of(read, market))
    return _rungs(now.first, ladder_of(read, market, now.trail, len(now.slots)))


def _rungs(first: int, steps: Ladder) -> Rungs:
    return Rungs(first, steps.levels, steps.buys, steps.sells)


def is_moving(params: Mapping[str, Any]) -> bool:
    """Say whether the range may be another than the settings name."""
    return any(params.get(name) for name in MOVING)
