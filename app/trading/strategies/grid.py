"""The grid: buy on each level below, sell on each level above, and earn the step between them."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.trading.market import ZERO, Market, Triggers, exact
from app.trading.orders import Order
from app.trading.position import Holdings
from app.trading.strategies.grid_edit import Edit, begin_anew, edit_grid, with_flow
from app.trading.strategies.grid_exit import exit_triggers, exit_wanted, protection_of
from app.trading.strategies.grid_figures import GridPlan
from app.trading.strategies.grid_leaving import read_left
from app.trading.strategies.grid_params import FIELDS, GridParams, read_grid, write_grid
from app.trading.strategies.grid_plan import plan_grid, within_funds
from app.trading.strategies.grid_run import decide_grid
from app.trading.strategies.grid_sizes import ladder_of
from app.trading.strategies.grid_start import start_grid
from app.trading.strategies.grid_state import GridState, Phase, decode_state, encode_state
from app.trading.strategy import Decision, Ending, Field, Protection, UnderWay, View


class GridStrategy:
    """The grid as a strategy; see `app.trading.strategy.Strategy` for what each part promises."""

    name = "grid"
    fields: tuple[Field, ...] = FIELDS

    def parse(self, values: Mapping[str, object]) -> GridParams:
        """Read parameters; raise InvalidParams naming every bad field."""
        return read_grid(values)

    def encode_params(self, params: GridParams) -> dict[str, Any]:
        """Write parameters as JSON-able values that `parse` reads back exactly."""
        return write_grid(params)

    def plan(
        self,
        params: GridParams,
        market: Market,
        price: Decimal,
        orders_per_second: Decimal | None = None,
    ) -> GridPlan:
        """Say what the grid would do at this price, for how much, and what it may earn or lose."""
        return plan_grid(params, market, price, orders_per_second)

    def within_funds(
        self, params: GridParams, market: Market, price: Decimal, funds: Holdings
    ) -> GridParams:
        """Return parameters that take no more coins and cash than the bot holds."""
        return within_funds(params, market, price, funds)

    def start_state(
        self, params: GridParams, market: Market, price: Decimal, funds: Holdings | None = None
    ) -> GridState:
        """Return the first state; raise InvalidParams if the grid can't be run at this price.

        With `funds` the grid takes no more than they are worth, and counts coins among them.
        """
        return start_grid(params, market, price, funds)

    def ending_state(self, price: Decimal) -> GridState:
        """Return the state of a grid without orders that closes as it is asked to."""
        return GridState(Phase.CLOSING, ZERO, price, ())

    @exact
    def decide(self, view: View) -> Decision:
        """Answer one moment; the same view gives the same answer."""
        return decide_grid(view)

    def edit(self, old: GridParams, state: GridState, new: GridParams, view: View) -> Edit:
        """Say what other settings would do to a running grid, and how it goes on with them."""
        return edit_grid(old, state, new, view)

    @exact
    def with_flow(self, state: GridState, amount: Decimal) -> GridState:
        """Return a state after money came in (or, negative, went out) without an edit."""
        return with_flow(state, amount)

    def begin_anew(self, state: GridState) -> GridState:
        """Return a state that takes back what stands and goes on with what is held then."""
        return begin_anew(state)

    @exact
    def read_left(self, state: GridState, orders: tuple[Order, ...], time: datetime) -> Decision:
        """Take in what became of orders that it left behind: what they close counts."""
        return read_left(state, orders, time)

    def under_way(self, state: GridState) -> UnderWay | None:
        """Return which round trips go on, None while it has not begun (or begun anew)."""
        if state.phase not in {Phase.ENTRY, Phase.RUNNING}:
            return None
        gaps = enumerate(state.slots, state.first)
        return UnderWay(
            frozenset((level, slot.cycle) for level, slot in gaps),
            frozenset(slot.origin for slot in state.slots if slot.opening and slot.origin),
        )

    @exact
    def protection(
        self,
        params: GridParams,
        state: GridState,
        market: Market,
        holdings: Holdings,
        investment: Decimal,
    ) -> Protection | None:
        """Return the stop that should rest at the venue now, if any."""
        return protection_of(params, state, market, holdings, investment)

    @exact
    def ending(self, view: View) -> Ending | None:
        """Return why it has to end at this moment, if it has to; holds while it is paused too."""
        found = exit_wanted(view, view.state, None)
        return None if found is None else Ending(found.how, found.reason)

    @exact
    def exit_triggers(self, view: View) -> Triggers:
        """Return the prices at which it has to end."""
        return exit_triggers(view, view.state)

    def encode_state(self, state: GridState) -> dict[str, Any]:
        """Write a state as JSON-able values."""
        return encode_state(state)

    def decode_state(self, data: Mapping[str, Any]) -> GridState:
        """Read a state back exactly."""
        return decode_state(data)

    def is_outside(
        self, params: GridParams, price: Decimal, state: GridState | None = None
    ) -> bool:
        """Say whether a price is outside the range of the grid, where it has trailed to."""
        if state is not None and state.trail:
            steps = ladder_of(params, _ANY, state.trail, len(state.slots))
            return not steps.exact[0] <= price <= steps.exact[-1]
        return price < params.lower or (price > params.upper and not params.infinity)


_ANY = Market("", "", "")
GRID = GridStrategy()
