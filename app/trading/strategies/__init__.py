"""The registry of strategies by name."""

from typing import Any

from app.trading.strategies.grid import GRID
from app.trading.strategy import Strategy

STRATEGIES: dict[str, Strategy[Any, Any]] = {GRID.name: GRID}


def strategy_named(name: str) -> Strategy[Any, Any]:
    """Return a strategy; raise KeyError for a name that nobody registered."""
    return STRATEGIES[name]
