"""How a grid follows the price: it gives up its far end and grows by one gap at the near one.

Bybit's trailing up: at one step above the upper price the lowest buy is cancelled, a new buy stands
on the old upper price, and both bounds move up by one level. Whatever the gap at the far end opens
or closes moves along, so a long grid that trails down takes its coins to a lower sell, and a short
one mirrors both. An infinity grid only grows.
"""

from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from app.trading.intents import Cancel, Intent, reason
from app.trading.market import ONE, ZERO, Market, MarketKind
from app.trading.orders import Side
from app.trading.strategies.grid_cash import claimed_cash
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_news import (
    Grounds,
    counted_opening,
    opening_quantity,
    order_price,
)
from app.trading.strategies.grid_orders import AT_VENUE, parked, standing_of
from app.trading.strategies.grid_params import Direction, GridParams
from app.trading.strategies.grid_sizes import (
    SELLS_AHEAD,
    floored,
    gap_quantity,
    infinite_gaps,
    ladder_of,
)
from app.trading.strategies.grid_state import GridState, Phase, Slot
from app.trading.strategy import LogLine, Severity, View, log_line


class Trailed(NamedTuple):
    """A grid after it has followed the price as far as it could at once."""

    state: GridState
    steps: Ladder
    intents: list[Intent]
    events: list[LogLine]


def steps_of(params: GridParams, market: Market, state: GridState) -> Ladder:
    """Return the levels of a running grid."""
    return ladder_of(params, market, state.trail, len(state.slots))


def follow(view: View, state: GridState) -> Trailed:
    """Follow the price as far as the settings allow; an order at the far end goes first."""
    params: GridParams = view.params
    found = Trailed(state, steps_of(params, view.market, state), [], [])
    if state.phase is not Phase.RUNNING:
        return found
    if params.infinity:
        return _grow(view, found)
    if not (params.trailing_up or params.trailing_down):
        return found
    while (side := _due(view, found)) is not None:
        moved = _move(view, found, side)
        if moved is None:
            break
        found = moved
        if found.intents or found.state.stuck:
            break
    return found


def next_levels(
    params: GridParams, market: Market, state: GridState
) -> tuple[Decimal | None, Decimal | None]:
    """Return the prices below and above at which the grid would follow; None where it would not."""
    below = above = None
    if state.stuck:
        return below, above
    if params.trailing_up and all(slot.side is Side.BUY for slot in state.slots):
        above = ladder_of(params, market, state.trail + 1, len(state.slots)).exact[-1]
        if params.trailing_up_limit is not None and above > params.trailing_up_limit:
            above = None
    if params.trailing_down and all(slot.side is Side.SELL for slot in state.slots):
        below = ladder_of(params, market, state.trail - 1, len(state.slots)).exact[0]
        limit = params.trailing_down_limit
        if below <= 0 or market.price_down(below) <= 0 or (limit is not None and below < limit):
            below = None
    return below, above


def _due(view: View, found: Trailed) -> Side | None:
    # Which side all gaps stand on when the grid has to follow.
    if any(slot.twin is not None for slot in found.state.slots):
        return None
    below, above = next_levels(view.params, view.market, found.state)
    if above is not None and view.price >= above:
        return Side.BUY
    if below is not None and view.price <= below:
        return Side.SELL
    return None


def _move(view: View, found: Trailed, side: Side) -> Trailed | None:
    state = found.state
    up = side is Side.BUY
    far = 0 if up else len(state.slots) - 1
    end = state.slots[far]
    order = standing_of(view.orders, state).orders.get(far)
    if end.done.quantity:
        return None
    moved = _shift(view, found, end, 1 if up else -1)
    if moved.state.stuck:
        # What can't move along stays where it stands.
        return moved
    if order is not None:
        if order.status not in AT_VENUE or order.filled:
            return None
        # Asked for again as long as it stands: who was to take it back may have died before.
        slots = tuple(
            parked(slot, side) if i == far else slot for i, slot in enumerate(state.slots)
        )
        why = reason("trailing", price=order_price(found.steps, far, side))
        return found._replace(
            state=replace(state, slots=slots), intents=[Cancel(order.client_id, why)]
        )
    return moved


def _shift(view: View, found: Trailed, end: Slot, by: int) -> Trailed:
    state, market = found.state, view.market
    newest = max(state.newest, end.cycle)
    kept = state.slots[1:] if by > 0 else state.slots[:-1]
    rest = replace(state, first=state.first + by, trail=state.trail + by, newest=newest, slots=kept)
    steps = ladder_of(view.params, market, rest.trail, len(state.slots))
    near = len(kept) if by > 0 else 0
    quantity = end.remaining
    if end.opening is None:
        quantity = _fresh_size(view, found, rest, steps, near, end.side)
    price = order_price(steps, near, end.side)
    if not market.is_tradable(quantity, price):
        line = log_line("trailing_too_small", Severity.WARNING, price=price, quantity=quantity)
        return found._replace(state=replace(state, stuck=True), events=[*found.events, line])
    new = Slot(end.side, quantity, cycle=newest + 1, origin=end.origin, opening=end.opening)
    slots = (*kept, new) if by > 0 else (new, *kept)
    line = log_line(
        "trailed_up" if by > 0 else "trailed_down", lower=steps.levels[0], upper=steps.levels[-1]
    )
    return Trailed(replace(rest, slots=slots), steps, [], [*found.events, line])


def _fresh_size(
    view: View, found: Trailed, rest: GridState, steps: Ladder, gap: int, side: Side
) -> Decimal:
    grounds = Grounds(view.params, view.market, steps, view.time, rest)
    size = opening_quantity(grounds, rest.earned, gap, side)
    market, params = view.market, grounds.params
    if market.kind is not MarketKind.SPOT and params.direction is not Direction.LONG:
        return size
    # Higher levels need more money for the same coins: take what is left, if it is less.
    fee = market.buy_fee_in_quote(market.maker_fee) if market.kind is MarketKind.SPOT else ZERO
    ended = found.state.slots[0]
    claimed = claimed_cash(found.state, found.steps, fee)
    claimed -= ended.remaining * found.steps.buys[0] * (ONE + fee)
    cash = _buying_power(view) - claimed
    return min(size, floored(market, max(cash, cash * 0) / (steps.buys[gap] * (ONE + fee))))


def _buying_power(view: View) -> Decimal:
    """Return for how much all buys may stand; on a contract its position counts among them."""
    if view.market.kind is MarketKind.SPOT:
        return view.holdings.quote
    leverage: Decimal = view.params.leverage
    return view.holdings.wallet * leverage - view.holdings.cost


def _grow(view: View, found: Trailed) -> Trailed:
    # So many sells always stand ahead of the last fill; their coins are held since the start.
    state, params, market = found.state, view.params, view.market
    about = state.anchor or view.price
    slots = list(state.slots)
    missing = SELLS_AHEAD - sum(level > about for level in found.steps.exact[1:])
    if missing <= 0:
        return found
    # A price may leap over very many levels, so they are made once and not at each step.
    most = max(len(slots) + missing, infinite_gaps(params, about))
    steps = ladder_of(params, market, state.trail, most)
    ahead = SELLS_AHEAD - missing
    while ahead < SELLS_AHEAD:
        gap = len(slots)
        size = gap_quantity(params, market, steps, state.unit, gap, Side.SELL)
        kept = floored(market, size * (ONE - market.buy_fee_in_base(market.maker_fee)))
        if not market.is_tradable(kept, steps.sells[gap + 1]):
            break
        opening = counted_opening(market, steps.buys[gap], size, Side.BUY)
        slots.append(Slot(Side.SELL, kept, cycle=state.newest + 1, opening=opening))
        ahead += steps.exact[gap + 1] > about
    if len(slots) == len(state.slots):
        return found
    grown = replace(state, slots=tuple(slots))
    return Trailed(grown, steps_of(params, market, grown), [], found.events)
