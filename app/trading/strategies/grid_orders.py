"""Which orders of a grid should rest now, and which stand where they should not."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from app.trading.intents import Cancel, Intent, Place, Reason, reason
from app.trading.market import ZERO
from app.trading.orders import FINAL, Order, OrderKey, OrderKind, Purpose, Side, Status
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_news import (
    MOST_REFUSALS,
    OTHER,
    gap_of,
    order_level,
    order_price,
)
from app.trading.strategies.grid_state import GridState, Slot
from app.trading.strategy import View

AT_VENUE = frozenset({Status.INTENDED, Status.OPEN, Status.PARTIAL})
# Of the K orders that rest, so many parts of K may be farther than others that wait: orders are
# swapped only when the price has moved beyond that, and then all at once.
SLACK_PARTS = 4

# Beyond the number of any level.
FAR = 10**9


class Want(NamedTuple):
    """An order that a gap wants at the venue."""

    gap: int
    slot: Slot
    price: Decimal
    is_twin: bool = False


@dataclass(slots=True)
class Standing:
    """What stands already by gap, and how far buys reach up and sells reach down."""

    orders: dict[int, Order] = field(default_factory=dict)
    twins: dict[int, Order] = field(default_factory=dict)
    strays: list[Order] = field(default_factory=list)
    highest_buy: int = -FAR
    lowest_sell: int = FAR

    @property
    def count(self) -> int:
        """Return how many orders stand or may stand at the venue."""
        return len(self.orders) + len(self.twins) + len(self.strays)

    def order_of(self, want: "Want") -> Order | None:
        """Return the order that stands for a gap already."""
        return (self.twins if want.is_twin else self.orders).get(want.gap)

    def reach(self, side: Side, level: int) -> None:
        """Count how far an order reaches."""
        if side is Side.SELL:
            self.lowest_sell = min(self.lowest_sell, level)
        else:
            self.highest_buy = max(self.highest_buy, level)

    def would_meet_own(self, side: Side, level: int) -> bool:
        """Say whether an order would stand on or trade against an own order.

        It happens while news of a fill is missing, and passes when it arrives; or when several
        fills come at once, and passes when what trades at once has filled.
        """
        return level >= self.lowest_sell if side is Side.BUY else level <= self.highest_buy


def standing_of(orders: tuple[Order, ...], state: GridState) -> Standing:
    """Sort live orders into those that their gap wants and strays.

    A stray was taken as absent and turned up again after another took its place, or its gap is no
    more.
    """
    # Run for every order at every tick, so it is written out.
    standing: dict[int, Order] = {}
    twins: dict[int, Order] = {}
    strays = []
    highest, lowest = -FAR, FAR
    slots, first, gaps = state.slots, state.first, len(state.slots)
    for order in orders:
        key = order.key
        level, side = key.level, key.side
        if level is None or order.status in FINAL or key.purpose is not Purpose.GRID:
            continue
        if side is Side.SELL:
            gap = level - first - 1
            if level < lowest:  # noqa: PLR1730 - a call for each order costs
                lowest = level
        else:
            gap = level - first
            if level > highest:  # noqa: PLR1730
                highest = level
        slot = slots[gap] if 0 <= gap < gaps else None
        found = standing
        if slot is not None and slot.side is not side:
            slot, found = slot.twin, twins
        if (
            slot is not None
            and key.cycle == slot.cycle
            and (order.attempt == slot.attempt or order.attempt == slot.adopted)  # noqa: PLR1714
        ):
            found[gap] = order
        else:
            strays.append(order)
    return Standing(standing, twins, strays, highest, lowest)


def adopt(state: GridState, standing: Standing) -> GridState:
    """Take back an order that was held for absent, where its gap has no other one.

    Otherwise its coins or cash would stay bound while the gap is refused every new order.
    """
    slots = list(state.slots)
    for order in standing.strays:
        gap = gap_of(order, state.first)
        if gap is None or not 0 <= gap < len(slots) or order.status not in AT_VENUE:
            continue
        slot = slots[gap]
        if gap in standing.orders or slot.adopted is not None:
            continue
        same = order.key.side is slot.side and order.key.cycle == slot.cycle
        if same and slot.twin is None and order.attempt < slot.attempt:
            slots[gap] = replace(slot, adopted=order.attempt, refusals=0)
    return replace(state, slots=tuple(slots))


def wanted_orders(
    view: View, state: GridState, steps: Ladder, cap: int | None
) -> tuple[GridState, list[Intent]]:
    """Return the orders to place and to take back, nearest first; at most `cap` rest at once."""
    standing = standing_of(view.orders, state)
    if standing.strays:
        state = adopt(state, standing)
        standing = standing_of(view.orders, state)
    intents: list[Intent] = [
        Cancel(order.client_id, reason("stray_order", level=order.key.level))
        for order in standing.strays
        if order.status in AT_VENUE
    ]
    if cap is None:
        wants = _missing(state, standing, steps)
    else:
        ranked = _nearest(view, state, _missing(state, Standing(), steps))
        state, swapped = _swap(state, standing, ranked, cap)
        intents += swapped
        wants = [want for want in ranked if standing.order_of(want) is None]
        wants = wants[: max(0, cap - standing.count)]
    for want in _by_urgency(wants, view.price):
        side = want.slot.side
        level = order_level(state.first, want.gap, side)
        meets = standing.would_meet_own(side, level)
        if not meets:
            intents.append(_place(state, want, level, steps))
        if not meets or _trades_at_once(want, view.price):
            # What trades at once keeps its place even while it has to wait, or another gap's order
            # would take it, and both would block each other.
            standing.reach(side, level)
    return state, intents


def _missing(state: GridState, standing: Standing, steps: Ladder) -> list[Want]:
    wants = []
    orders = standing.orders
    for gap, slot in enumerate(state.slots):
        if gap not in orders and slot.refusals < MOST_REFUSALS:
            wants.append(Want(gap, slot, order_price(steps, gap, slot.side)))
        twin = slot.twin
        if twin is not None and gap not in standing.twins and twin.refusals < MOST_REFUSALS:
            price = order_price(steps, gap, twin.side)
            wants.append(Want(gap, twin, price, is_twin=True))
    return wants


def _nearest(view: View, state: GridState, wants: list[Want]) -> list[Want]:
    # By turns from both sides, so that the next order on either side always rests; one that the
    # price has passed comes first. Distances count from the last fill, so that a look in between
    # changes nothing.
    about = view.price if state.anchor is None else state.anchor

    def distance(want: Want) -> tuple[Decimal, int]:
        away = want.price - about
        return (away if want.slot.side is Side.SELL else -away), want.gap

    wants = sorted(wants, key=distance)
    before = {Side.BUY: 0, Side.SELL: 0}
    ranked = []
    for number, want in enumerate(wants):
        ranked.append((before[want.slot.side], number, want))
        before[want.slot.side] += 1
    return [want for _, _, want in sorted(ranked, key=lambda each: each[:2])]


def _by_urgency(wants: list[Want], price: Decimal) -> list[Want]:
    # What would trade at once goes first: when it has filled, its gap stands on the right side.
    return sorted(
        wants,
        key=lambda want: (not _trades_at_once(want, price), abs(want.price - price), want.gap),
    )


def _trades_at_once(want: Want, price: Decimal) -> bool:
    return want.price >= price if want.slot.side is Side.BUY else want.price <= price


def _swap(
    state: GridState, standing: Standing, ranked: list[Want], cap: int
) -> tuple[GridState, list[Cancel]]:
    inner = ranked[: cap - cap // SLACK_PARTS]
    missing = sum(standing.order_of(want) is None for want in inner)
    if standing.count + missing <= cap:
        return state, []
    slots = list(state.slots)
    cancels = []
    for want in ranked[cap:]:
        order = standing.order_of(want)
        if order is None or want.slot.parked or order.status not in AT_VENUE:
            continue
        slots[want.gap] = parked(slots[want.gap], want.slot.side)
        cancels.append(Cancel(order.client_id, reason("too_far_now", price=want.price)))
    return replace(state, slots=tuple(slots)), cancels


def parked(slot: Slot, side: Side) -> Slot:
    """Return a gap whose order of that side is being taken back."""
    if slot.side is side:
        return replace(slot, parked=True)
    return slot if slot.twin is None else replace(slot, twin=replace(slot.twin, parked=True))


def _place(state: GridState, want: Want, level: int, steps: Ladder) -> Place:
    slot = want.slot
    return Place(
        OrderKey(Purpose.GRID, level, slot.side, slot.cycle),
        slot.attempt,
        OrderKind.LIMIT,
        want.price,
        slot.remaining,
        _why(state, want, level, steps),
    )


def _why(state: GridState, want: Want, level: int, steps: Ladder) -> Reason:
    slot, other = want.slot, OTHER[want.slot.side]
    if slot.origin is None:
        return reason("grid_start", level=level)
    return reason(
        "answers_buy" if slot.side is Side.SELL else "answers_sell",
        level=level,
        from_level=order_level(state.first, want.gap, other),
        from_price=order_price(steps, want.gap, other),
        order=slot.origin,
    )


def claimed_cash(state: GridState, steps: Ladder, fee: Decimal) -> Decimal:
    """Return the cash that all buys of the gaps need, resting or waiting, with their fee."""
    return sum(
        (
            slot.remaining * steps.buys[gap] * (1 + fee)
            for gap, slot in enumerate(state.slots)
            if slot.side is Side.BUY
        ),
        ZERO,
    )
