"""Which orders of a running grid may stay when its settings change.

One stays if the changed grid wants just that order: side, price and quantity, opening or closing.
Its gap then goes on as it was, with the round trip that is under way in it. The levels of the
changed grid are numbered so that as many orders as possible keep their number, for the number is a
part of an order's id.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from app.trading.market import ONE
from app.trading.orders import Order, Side, Status
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_news import order_level, order_price
from app.trading.strategies.grid_orders import standing_of
from app.trading.strategies.grid_state import GridState, Phase, Slot

# A first trade at market must not meet an own order: what lies so near to the price on the other
# side is taken back before.
NEAR = Decimal("0.01")


class Kept(NamedTuple):
    """Orders that stay by the gap of the changed grid, and its state with them in it."""

    orders: Mapping[int, Order]
    state: GridState


def keep_orders(
    old: GridState, orders: tuple[Order, ...], begun: GridState, steps: Ladder, price: Decimal
) -> Kept:
    """Return which of a grid's orders fit the grid that begins anew with other settings.

    `steps` are the levels of the new one. Nothing that was partly filled, is in doubt, or is being
    taken back stays.
    """
    wanted = {
        (slot.side, order_price(steps, gap, slot.side), slot.remaining): gap
        for gap, slot in enumerate(begun.slots)
        if slot.twin is None
    }
    pairs = []
    for old_gap, order in standing_of(orders, old).orders.items():
        slot = old.slots[old_gap]
        gap = wanted.get((slot.side, order.price or price, order.quantity))
        if gap is None or not _may_stay(slot, order, begun.slots[gap]):
            continue
        if begun.phase is not Phase.ENTRY or not _may_meet(begun, order, price):
            pairs.append((_number(order) - order_level(0, gap, slot.side), gap, slot, order))
    votes = Counter(shift for shift, *_ in pairs)
    if not votes:
        return Kept({}, begun)
    first = max(votes, key=lambda shift: (votes[shift], -abs(shift), shift))
    slots, kept = list(begun.slots), {}
    for shift, gap, slot, order in pairs:
        if shift == first:
            slots[gap], kept[gap] = replace(slot, refusals=0), order
    return Kept(kept, replace(begun, first=first, slots=tuple(slots)))


def _may_stay(slot: Slot, order: Order, wanted: Slot) -> bool:
    is_whole = order.status is Status.OPEN and not order.filled and not slot.done.quantity
    same_end = (slot.opening is None) == (wanted.opening is None)
    return is_whole and same_end and slot.twin is None and not slot.parked


def _may_meet(begun: GridState, order: Order, price: Decimal) -> bool:
    entry = begun.entry
    if entry is None or order.price is None or order.key.side is entry.side:
        return False
    if entry.side is Side.BUY:
        return order.price <= price * (ONE + NEAR)
    return order.price >= price * (ONE - NEAR)


def _number(order: Order) -> int:
    level = order.key.level
    assert level is not None  # noqa: S101 - an order that stands on a level has its number
    return level
