"""The grid: buy on each level below, sell on each level above, and earn the step between them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.trading.market import ZERO, Market, exact
from app.trading.orders import Side
from app.trading.params import write_fields
from app.trading.position import Holdings
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_news import bought_below
from app.trading.strategies.grid_params import FIELDS, GridParams, read_grid
from app.trading.strategies.grid_plan import (
    GridPlan,
    buy_quantity,
    first_sell_quantity,
    ladder_of,
    order_quantity,
    plan_grid,
    purchase_for,
    rests_at,
    spread_money,
    within_funds,
)
from app.trading.strategies.grid_problems import not_yet_runnable
from app.trading.strategies.grid_run import decide_grid
from app.trading.strategies.grid_state import (
    Entry,
    GridState,
    Phase,
    Slot,
    decode_state,
    encode_state,
)
from app.trading.strategy import Decision, Field, InvalidParams, View


class GridStrategy:
    """The grid as a strategy; see `app.trading.strategy.Strategy` for what each part promises."""

    name = "grid"
    fields: tuple[Field, ...] = FIELDS

    def parse(self, values: Mapping[str, object]) -> GridParams:
        """Read parameters; raise InvalidParams naming every bad field."""
        return read_grid(values)

    def encode_params(self, params: GridParams) -> dict[str, Any]:
        """Write parameters as JSON-able values that `parse` reads back exactly."""
        return write_fields(FIELDS, params)

    def plan(self, params: GridParams, market: Market, price: Decimal) -> GridPlan:
        """Say what the grid would do at this price, for how much, and what it may earn or lose."""
        return plan_grid(params, market, price)

    def within_funds(
        self, params: GridParams, market: Market, price: Decimal, funds: Holdings
    ) -> GridParams:
        """Return parameters that take no more coins and cash than the bot holds."""
        return within_funds(params, market, price, funds)

    @exact
    def start_state(
        self, params: GridParams, market: Market, price: Decimal, funds: Holdings | None = None
    ) -> GridState:
        """Return the first state; raise InvalidParams if the grid can't be run at this price.

        With `funds` the grid takes no more than they are worth, and counts coins among them.
        """
        if funds is not None:
            params = within_funds(params, market, price, funds)
        problems = [*not_yet_runnable(params, market), *plan_grid(params, market, price).errors]
        if problems:
            raise InvalidParams(tuple(problems))
        steps = ladder_of(params, market)
        rests = rests_at(steps, price, params.direction)
        unit = spread_money(params, market, price, steps, rests).unit
        slots = tuple(
            _first_slot(params, market, steps, unit, gap, sells=gap + 1 in rests.sells)
            for gap in range(params.grids)
        )
        coins = sum((slot.quantity for slot in slots if slot.side is Side.SELL), ZERO)
        held = funds.base if funds else ZERO
        purchase = purchase_for(market, coins - held)
        needs_entry = market.is_tradable(purchase, price)
        return GridState(
            phase=Phase.ENTRY if needs_entry else Phase.RUNNING,
            unit=unit,
            start_price=price,
            slots=slots,
            entry=Entry(purchase, needed=coins - held) if needs_entry else None,
        )

    @exact
    def decide(self, view: View) -> Decision:
        """Answer one moment; the same view gives the same answer."""
        return decide_grid(view)

    def encode_state(self, state: GridState) -> dict[str, Any]:
        """Write a state as JSON-able values."""
        return encode_state(state)

    def decode_state(self, data: Mapping[str, Any]) -> GridState:
        """Read a state back exactly."""
        return decode_state(data)

    def is_outside(self, params: GridParams, price: Decimal) -> bool:
        """Say whether a price is outside the range of the grid."""
        return not params.lower <= price <= params.upper


def _first_slot(
    params: GridParams, market: Market, steps: Ladder, unit: Decimal, gap: int, *, sells: bool
) -> Slot:
    if not sells:
        return Slot(Side.BUY, buy_quantity(params, market, steps, unit, gap))
    quantity = first_sell_quantity(params, market, steps, unit, gap + 1)
    size = order_quantity(params, market, steps, unit, gap + 1)
    return Slot(Side.SELL, quantity, bought=bought_below(market, steps.buys[gap], size))


GRID = GridStrategy()
