"""Which orders of a grid should rest now, and which stand where they should not."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from app.trading.intents import Cancel, Intent, Place, Reason, reason
from app.trading.orders import (
    FINAL,
    Order,
    OrderKey,
    OrderKind,
    Purpose,
    Side,
    Status,
    trades_at_once,
)
from app.trading.strategies.grid_fit import Fitter
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_news import (
    MOST_REFUSALS,
    OTHER,
    TAKEN_BACK,
    gap_of,
    order_level,
    order_price,
)
from app.trading.strategies.grid_state import GridState, Slot
from app.trading.strategy import LogLine, View

RESTING = frozenset({Status.OPEN, Status.PARTIAL})
AT_VENUE = RESTING | {Status.INTENDED}
# Of the K orders that rest, so many parts of K may be farther than others that wait: orders are
# swapped only when the price has moved beyond that, and then all at once.
SLACK_PARTS = 4
# Orders that were refused too often are tried again after each comparison, but only so many.
MOST_RETRIES = 3

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

    def may_meet_own(self, side: Side, level: int) -> bool:
        """Say whether an order may stand on or trade against an own order, by its level alone."""
        return level >= self.lowest_sell if side is Side.BUY else level <= self.highest_buy


@dataclass(slots=True)
class Rivals:
    """Own orders that another one might meet: what stands, and what goes ahead of it now."""

    view: View
    # The nearest price at which an order of that side rests, and whether one is about to trade.
    _known: dict[Side, list[tuple[Decimal, bool]]] | None = None
    _ahead: list[tuple[Side, Decimal]] = field(default_factory=list)

    def go_ahead(self, side: Side, price: Decimal) -> None:
        """Count an order that was asked for, or that keeps its place, in this very decision."""
        self._ahead.append((side, price))
        if self._known is not None:
            self._known[side].append((price, trades_at_once(side, price, self.view.price)))

    def price_beside(self, side: Side, price: Decimal, quantity: Decimal) -> Decimal | None:
        """Return where an order may stand without meeting an own one, or None while it waits.

        An own order that the price has passed is about to trade, or has traded and the news of it
        is missing: what would meet it waits, and that passes with the next look. One that rests
        beyond the price may rest there for long, so nobody waits for it: what would meet it trades
        at once at the market's price, and its limit stops one tick short of the own order. So a
        thin book never leads it into the own order, whatever the venue does about such trades.
        """
        other = OTHER[side]
        met = [each for each in self._all()[other] if not _is_short_of(side, price, each[0])]
        if not met:
            return price
        if any(trades for _, trades in met):
            return None
        market = self.view.market
        nearest = (min if side is Side.BUY else max)(known for known, _ in met)
        if market.tick is None:
            return self.view.price if _is_short_of(side, self.view.price, nearest) else None
        beside = nearest - market.tick if side is Side.BUY else nearest + market.tick
        # The venue's minimum is held against the limit.
        return beside if market.is_tradable(quantity, beside) else price

    def _all(self) -> dict[Side, list[tuple[Decimal, bool]]]:
        if self._known is None:
            self._known = {Side.BUY: [], Side.SELL: []}
            now = self.view.price
            for order in self.view.orders:
                if order.status in FINAL or order.price is None:
                    continue
                side = order.key.side
                rests = order.status in RESTING and order.price == now
                trades = trades_at_once(side, order.price, now) and not rests
                self._known[side].append((order.price, trades))
            for side, price in self._ahead:
                self._known[side].append((price, trades_at_once(side, price, now)))
        return self._known


def _is_short_of(side: Side, price: Decimal, own: Decimal) -> bool:
    return price < own if side is Side.BUY else price > own


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


class Wanted(NamedTuple):
    """What a grid asks for, its state with that, and what there is to tell."""

    state: GridState
    intents: list[Intent]
    events: list[LogLine]


def wanted_orders(view: View, state: GridState, steps: Ladder, cap: int | None) -> Wanted:
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
    fitter = Fitter(view, state, has_strays=bool(standing.strays))
    if cap is None:
        wants = _missing(state, standing, steps) + _retries(view, state, standing, steps)
        wants = _fitted(fitter, wants, standing)
    else:
        wants = _fitted(fitter, _missing(state, Standing(), steps), standing)
        ranked = _nearest(view, state, wants)
        fitter.state, swapped = _swap(fitter.state, standing, ranked, cap)
        intents += swapped
        wants = [want for want in ranked if standing.order_of(want) is None]
        wants += _fitted(fitter, _retries(view, state, standing, steps), standing)
        wants = wants[: max(0, cap - standing.count)]
    rivals = Rivals(view)
    for want in _by_urgency(wants, view.price):
        slot = fitter.within_means(want.gap, want.slot, want.price)
        if slot is None:
            continue
        level = order_level(state.first, want.gap, slot.side)
        price: Decimal | None = want.price
        if standing.may_meet_own(slot.side, level):
            price = rivals.price_beside(slot.side, want.price, slot.remaining)
        if price is not None:
            intents.append(_place(state, want._replace(slot=slot), level, price, steps))
        if price is not None or _trades_at_once(want, view.price):
            # What trades at once keeps its place even while it has to wait, or another gap's order
            # would take it, and both would block each other.
            standing.reach(slot.side, level)
            rivals.go_ahead(slot.side, want.price if price is None else price)
    events = fitter.finish()
    return Wanted(fitter.state, intents, events)


class Promised(NamedTuple):
    """Orders that a grid would place, as big as it would, and those that would wait for means."""

    places: list[Want]
    waits: list[Want]


def promised_orders(view: View, state: GridState, steps: Ladder, cap: int | None) -> Promised:
    """Say what would become of all missing orders if they were placed now.

    Of those beyond the `cap` nobody knows yet: they come up with the price.
    """
    wants = _nearest(view, state, _missing(state, standing_of(view.orders, state), steps))
    fitter = Fitter(view, state)
    found = Promised(wants[cap:] if cap is not None else [], [])
    for want in _by_urgency(wants[:cap], view.price):
        slot = fitter.within_means(want.gap, want.slot, want.price)
        if slot is None:
            found.waits.append(want)
        else:
            found.places.append(want._replace(slot=slot))
    return found


def _fitted(fitter: Fitter, wants: list[Want], standing: Standing) -> list[Want]:
    """Return what is wanted as the venue takes it now; what stands already stays as it is."""
    found = []
    for want in wants:
        slot: Slot | None = want.slot
        if standing.order_of(want) is None:
            slot = fitter.fit(want.gap, want.slot, want.price)
        if slot is not None:
            found.append(want if slot is want.slot else want._replace(slot=slot))
    return found


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


def _retries(view: View, state: GridState, standing: Standing, steps: Ladder) -> list[Want]:
    """Return the nearest of the orders that were refused too often, if the venue may be asked."""
    if not view.may_retry:
        return []
    wants = []
    for gap, slot in enumerate(state.slots):
        for each in (slot, slot.twin):
            if each is None or not MOST_REFUSALS <= each.refusals < TAKEN_BACK:
                continue
            price = order_price(steps, gap, each.side)
            want = Want(gap, each, price, is_twin=each is not slot)
            if standing.order_of(want) is None:
                wants.append(want)
    return sorted(wants, key=lambda want: abs(want.price - view.price))[:MOST_RETRIES]


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
    return trades_at_once(want.slot.side, want.price, price)


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
        # One that is parked already still stands: whoever was to take it back did not come to it.
        if order is None or order.status not in AT_VENUE:
            continue
        slots[want.gap] = parked(slots[want.gap], want.slot.side)
        cancels.append(Cancel(order.client_id, reason("too_far_now", price=want.price)))
    return replace(state, slots=tuple(slots)), cancels


def parked(slot: Slot, side: Side) -> Slot:
    """Return a gap whose order of that side is being taken back."""
    if slot.side is side:
        return replace(slot, parked=True)
    return slot if slot.twin is None else replace(slot, twin=replace(slot.twin, parked=True))


def _place(state: GridState, want: Want, level: int, price: Decimal, steps: Ladder) -> Place:
    slot = want.slot
    return Place(
        OrderKey(Purpose.GRID, level, slot.side, slot.cycle),
        slot.attempt,
        OrderKind.LIMIT,
        price,
        slot.remaining,
        _why(state, want, level, steps),
        is_told=slot.refusals != 0,
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
