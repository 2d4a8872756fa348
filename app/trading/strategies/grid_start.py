"""How a grid begins at a price: its gaps, its first trade, or its wait for a trigger price."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

from app.trading.market import ONE, ZERO, Market, MarketKind, exact
from app.trading.orders import Fill, Side, fee_currency
from app.trading.position import Holdings, Position
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_news import counted_opening
from app.trading.strategies.grid_params import Direction, GridParams
from app.trading.strategies.grid_plan import plan_grid, within_funds
from app.trading.strategies.grid_sizes import (
    Rests,
    first_sell_quantity,
    first_trade,
    floored,
    gap_quantity,
    ladder_at,
    purchase_for,
    rests_at,
    sell_quantity,
    spread_money,
)
from app.trading.strategies.grid_state import Entry, GridState, Phase, Slot
from app.trading.strategy import InvalidParams, problem


@exact
def start_grid(
    params: GridParams, market: Market, price: Decimal, funds: Holdings | None
) -> GridState:
    """Return the first state; raise InvalidParams if the grid can't be run from this price.

    With `funds` the grid takes no more than they are worth, and counts coins among them.
    """
    trigger = params.trigger_price
    if trigger is None:
        begun = begin(params, market, price, funds)
        check_margin(params, market, price, funds, begun)
        return begun
    errors = plan_grid(params, market, price).errors
    if errors:
        raise InvalidParams(tuple(errors))
    return GridState(Phase.WAITING, ZERO, price, (), waits_above=price < trigger)


def check_margin(
    params: GridParams, market: Market, price: Decimal, funds: Holdings | None, begun: GridState
) -> None:
    """Raise InvalidParams where a position that is held already binds more than there is.

    Venues do not take the leverage then, nor any order before some of it is closed.
    """
    if funds is None or market.kind is MarketKind.SPOT or funds.base == 0:
        return
    first = begun.entry.quantity * price * market.taker_fee if begun.entry else ZERO
    needed = funds.cost / params.leverage + first
    if needed > funds.wallet:
        found = problem("leverage", "leverage_below_position", needed=needed, free=funds.wallet)
        raise InvalidParams((found,))


@exact
def begin(
    params: GridParams,
    market: Market,
    price: Decimal,
    funds: Holdings | None,
    *,
    cycle: int = 0,
    edits: int = 0,
) -> GridState:
    """Return the state of a grid that places its orders now; raise InvalidParams as the plan says.

    After an edit (`edits` > 0) coins that are too many are sold, and ids begin at `cycle`. What is
    too much of a position is closed at a start as well: its margin is not planned, nor its risk.
    """
    params = replace(params, trigger_price=None)
    if funds is not None:
        params = within_funds(params, market, price, funds, sells_surplus=edits > 0)
    errors = plan_grid(params, market, price).errors
    if errors:
        raise InvalidParams(tuple(errors))
    steps = ladder_at(params, market, price)
    rests = rests_at(steps, price, params.direction)
    money = spread_money(params, market, price, steps, rests)
    gaps = range(len(steps.exact) - 1)
    slots = tuple(
        replace(_first_slot(params, market, steps, money.unit, rests, gap), cycle=cycle)
        for gap in gaps
    )
    if cycle:
        slots = tuple(_cycled(slot, cycle) for slot in slots)
    buys, sells = _total(slots, Side.BUY), _total(slots, Side.SELL)
    empty = price if rests.empty is None else steps.exact[rests.empty]
    wanted = first_trade(params, market, money, buys, sells, empty)
    entry = _first_entry(params, market, price, funds, wanted, sells, edits)
    if entry is None and funds is not None and params.direction is Direction.LONG:
        slots = _within_held(market, slots, Side.SELL, sells - funds.base)
    elif entry is None and funds is not None and params.is_short:
        slots = _within_held(market, slots, Side.BUY, buys + funds.base)
    worth = money.investment if funds is None else funds.quote + funds.base * price
    return GridState(
        phase=Phase.RUNNING if entry is None else Phase.ENTRY,
        unit=money.unit,
        start_price=price,
        slots=slots,
        entry=entry,
        anchor=price,
        money=money.investment,
        equity=worth,
        newest=cycle - 1,
        edits=edits,
    )


@exact
def after_first_trade(market: Market, price: Decimal, funds: Holdings, entry: Entry) -> Holdings:
    """Return what is held once the first trade is done at this price."""
    currency = fee_currency(market, entry.side)
    fee = entry.quantity * (ONE if currency == market.base else price) * market.taker_fee
    moment = datetime.min.replace(tzinfo=UTC)
    fill = Fill("", "", entry.side, price, entry.quantity, fee, currency, moment, maker=False)
    return Position(funds.quote, funds.base, funds.cost).after(fill, market).holdings


def _within_held(
    market: Market, slots: tuple[Slot, ...], side: Side, missing: Decimal
) -> tuple[Slot, ...]:
    """Take from the orders that close, farthest first, what is missing but too little to be traded.

    Each gives a lot in turn, as long as something is missing, and keeps one; without a lot the
    farthest gives it all.
    """
    if missing <= 0:
        return slots
    step = market.lot or missing
    order = range(len(slots))[:: 1 if side is Side.BUY else -1]
    # How many lots each may give: with tiny lots too many to be taken one by one.
    most = {gap: _lots(slots[gap].quantity, step) - 1 for gap in order if slots[gap].side is side}
    given = _dealt(most, _lots(missing, step))
    changed = list(slots)
    for gap, lots in given.items():
        slot = slots[gap]
        quantity = slot.quantity - lots * step
        opening = None if slot.opening is None else slot.opening.split(quantity)[0]
        changed[gap] = replace(slot, quantity=quantity, opening=opening)
    return tuple(changed)


def _lots(quantity: Decimal, step: Decimal) -> int:
    """Return how many lots a quantity needs, a part of one counted as a whole."""
    return int((quantity / step).to_integral_value(ROUND_CEILING))


def _dealt(most: Mapping[int, int], count: int) -> dict[int, int]:
    """Deal so many out, one to each in turn, to none more than it takes."""
    given = dict.fromkeys(most, 0)
    while count > 0 and (open_ := [gap for gap in most if given[gap] < most[gap]]):
        # Whole rounds at once, until somebody has enough or less than a round is left.
        rounds = min(count // len(open_), *(most[gap] - given[gap] for gap in open_))
        for gap in open_ if rounds else open_[:count]:
            given[gap] += rounds or 1
        count -= rounds * len(open_) or min(count, len(open_))
    return given


def _cycled(slot: Slot, cycle: int) -> Slot:
    twin = None if slot.twin is None else replace(slot.twin, cycle=cycle)
    return replace(slot, cycle=cycle, twin=twin)


def _total(slots: tuple[Slot, ...], side: Side) -> Decimal:
    return sum((slot.quantity for slot in slots if slot.side is side), ZERO)


def _first_entry(
    params: GridParams,
    market: Market,
    price: Decimal,
    funds: Holdings | None,
    wanted: Decimal,
    sells: Decimal,
    edits: int,
) -> Entry | None:
    held = funds.base if funds else ZERO
    coins = params.direction is Direction.LONG and not params.infinity
    # What the purchase leaves is counted against the sells; its fee is added on top.
    missing = (sells if coins else wanted) - held
    entry = None
    if missing > 0:
        size = purchase_for(market, missing) if coins else floored(market, missing)
        needed = missing if coins and market.kind is MarketKind.SPOT else None
        entry = Entry(size, needed=needed, cycle=edits)
    elif missing < 0 and (edits or params.is_short or market.kind is MarketKind.LINEAR):
        entry = Entry(floored(market, -missing), side=Side.SELL, cycle=edits)
    if entry is None or not market.is_tradable(entry.quantity, price):
        return None
    return entry


def _first_slot(
    params: GridParams, market: Market, steps: Ladder, unit: Decimal, rests: Rests, gap: int
) -> Slot:
    buys, sells = gap in rests.buys, gap + 1 in rests.sells
    if params.direction is Direction.NEUTRAL:
        return _neutral_slot(params, market, steps, unit, gap, buys=buys, sells=sells)
    if params.is_short:
        size = gap_quantity(params, market, steps, unit, gap, Side.BUY if buys else Side.SELL)
        if sells:
            return Slot(Side.SELL, size)
        owed = counted_opening(market, steps.sells[gap + 1], size, Side.SELL)
        return Slot(Side.BUY, size, opening=owed)
    if not sells:
        return Slot(Side.BUY, gap_quantity(params, market, steps, unit, gap, Side.BUY))
    quantity = first_sell_quantity(params, market, steps, unit, gap + 1)
    size = sell_quantity(params, market, steps, unit, gap + 1)
    # Only what is sold was bought: the lot that a fee would have kept back is not there to pay for.
    opening, _ = counted_opening(market, steps.buys[gap], size, Side.BUY).split(quantity)
    return Slot(Side.SELL, quantity, opening=opening)


def _neutral_slot(
    params: GridParams,
    market: Market,
    steps: Ladder,
    unit: Decimal,
    gap: int,
    *,
    buys: bool,
    sells: bool,
) -> Slot:
    sell = Slot(Side.SELL, gap_quantity(params, market, steps, unit, gap, Side.SELL))
    if not buys:
        return sell
    size = gap_quantity(params, market, steps, unit, gap, Side.BUY)
    return Slot(Side.BUY, size, twin=sell if sells else None)
