"""How much the buys of a grid may cost at most, so that none is asked for in vain."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from app.trading.market import ONE, ZERO, Market, MarketKind
from app.trading.orders import FINAL, Order, Side
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_params import Direction, GridParams
from app.trading.strategies.grid_sizes import floored, smallest_unit
from app.trading.strategies.grid_state import GridState, Slot, Sums
from app.trading.strategy import View


def claimed_cash(state: GridState, steps: Ladder, fee: Decimal) -> Decimal:
    """Return the cash that all buys of the gaps need, resting or waiting, with their fee."""
    return sum(
        (
            slot.remaining * steps.buys[gap] * (ONE + fee)
            for gap, slot in enumerate(state.slots)
            if slot.side is Side.BUY
        ),
        ZERO,
    )


def within_sale(
    params: GridParams, market: Market, steps: Ladder, gap: int, sale: Sums, again: Slot
) -> Slot:
    """Let a gap of a grid that follows the price up buy for no more than its sale has brought.

    On the way up its order may have been smaller than the plan's, for lack of money.
    """
    long = params.direction is Direction.LONG
    if not (params.trailing_up and long) or again.side is Side.SELL:
        return again
    return _costing(again, market, steps, gap, sale.value - sale.fee_quote)


def within_cash(view: View, state: GridState, steps: Ladder) -> GridState:
    """Let buys that do not stand at the venue yet cost no more than the cash that others leave.

    Fees make the difference where nothing was reserved for them: of a sale at market, or of a first
    sale of equal value, which brings less than the buy that answers it.
    """
    return buys_within(view.market, state, steps, view.holdings.quote, view.orders)


def buys_within(
    market: Market, state: GridState, steps: Ladder, cash: Decimal, orders: Iterable[Order]
) -> GridState:
    """Let the buys beside these `orders` cost no more than the cash that those leave of it.

    The farthest gives way first, and none more than leaves an order that the venue takes.
    """
    if market.kind is not MarketKind.SPOT:
        return state
    fee = market.buy_fee_in_quote(market.maker_fee)
    left = cash - claimed_cash(state, steps, fee)
    if left >= 0:
        return state
    standing = {
        order.key.level
        for order in orders
        if order.status not in FINAL and order.key.side is Side.BUY
    }
    slots = list(state.slots)
    for gap, slot in enumerate(slots):
        if left >= 0:
            break
        if slot.side is Side.SELL or state.first + gap in standing or slot.done.quantity:
            continue
        price = steps.buys[gap]
        cost = slot.remaining * price * (ONE + fee)
        slots[gap] = _costing(slot, market, steps, gap, cost + left)
        left += cost - slots[gap].remaining * price * (ONE + fee)
    return replace(state, slots=tuple(slots))


def _costing(buy: Slot, market: Market, steps: Ladder, gap: int, most: Decimal) -> Slot:
    """Return a new buy that costs no more than `most`, or else the smallest that makes sense."""
    price = steps.buys[gap]
    fee = market.buy_fee_in_quote(market.maker_fee)
    quantity = floored(market, max(most, ZERO) / (price * (ONE + fee)))
    if not market.is_tradable(quantity, price):
        quantity, _ = smallest_unit(market, price, steps.sells[gap + 1])
    if quantity >= buy.quantity or not market.is_tradable(quantity, price):
        return buy
    return replace(buy, quantity=quantity)
