"""What the plan of a grid tells: its orders, its first purchase, its profit, its worst case."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from app.trading.strategies.grid_worst import Liquidation, WorstCase
from app.trading.strategy import Problem


class PlannedOrder(NamedTuple):
    """A price with its quantity; the quantity is None while no money is given."""

    price: Decimal
    quantity: Decimal | None
    level: int


@dataclass(frozen=True, slots=True)
class ProfitPerGrid:
    """Net profit of one round trip per money spent, as fractions."""

    lowest: Decimal
    highest: Decimal


@dataclass(frozen=True, slots=True)
class GridPlan:
    """The preview of a grid; figures are None as long as price or money is missing.

    `quantity` is the order size in coins (equal base), `order_value` the money of each order
    (equal quote) or the value kept in coins (infinity). `base_to_buy` is what the first purchase
    buys before its fee, negative for what a short grid sells first; `base_cost` its value without
    fee. `minimum_by` names the rule that sets `minimum_investment`. Of all orders `orders_resting`
    stand at the venue; the others wait until the price comes near. `seconds_to_place` is how long
    placing those takes at the given rate.
    """

    levels: tuple[Decimal, ...]
    empty_level: Decimal | None = None
    buys: tuple[PlannedOrder, ...] | None = None
    sells: tuple[PlannedOrder, ...] | None = None
    quantity: Decimal | None = None
    order_value: Decimal | None = None
    base_to_buy: Decimal | None = None
    base_cost: Decimal | None = None
    quote_reserved: Decimal | None = None
    base_reserved: Decimal | None = None
    investment: Decimal | None = None
    minimum_investment: Decimal | None = None
    minimum_by: str | None = None
    profit_per_grid: ProfitPerGrid | None = None
    round_trip_fee: Decimal | None = None
    worst_case: WorstCase | None = None
    liquidation: Liquidation | None = None
    orders_resting: int | None = None
    orders_virtual: int | None = None
    seconds_to_place: Decimal | None = None
    warnings: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = ()
