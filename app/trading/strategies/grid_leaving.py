"""What becomes of orders that no grid answers: on the way to other settings, at its end, left.

Its levels may be others by now, and need not be known: what is filled is held, or closes what its
gap has opened.
"""

from dataclasses import replace
from datetime import datetime

from app.trading.orders import FINAL, Order, Status
from app.trading.strategies.grid_news import (
    News,
    closed_line,
    gap_of,
    matched,
    opened_line,
    parted,
    rank,
)
from app.trading.strategies.grid_state import NOTHING, GridState, Slot, Sums
from app.trading.strategy import Decision


def read_left(state: GridState, orders: tuple[Order, ...], time: datetime) -> Decision:
    """Count the round trips that orders close which a grid has left behind; none is answered."""
    state, news = read_leaving(state, orders, time)
    return Decision(state, (), tuple(news.events), tuple(news.matches))


def read_leaving(
    state: GridState, orders: tuple[Order, ...], time: datetime
) -> tuple[GridState, News]:
    """Take in every final order of a gap, whole or in part, and return the state after it."""
    news = News(list(state.slots), state.phase, None)
    for order in sorted((each for each in orders if each.status in FINAL), key=rank):
        gap = gap_of(order, state.first)
        if gap is not None and 0 <= gap < len(news.slots):
            news.slots[gap] = _after(news, news.slots[gap], order, state.first + gap, time)
    earned = sum((match.profit for match in news.matches), state.earned)
    return replace(state, slots=tuple(news.slots), earned=earned), news


def _after(news: News, slot: Slot, order: Order, level: int, time: datetime) -> Slot:
    twin = slot.twin
    is_twin = twin is not None and order.key.side is twin.side
    own = twin if twin is not None and is_twin else slot
    if (order.key.side, order.key.cycle) != (own.side, own.cycle):
        return slot
    if order.attempt not in (own.attempt, own.adopted):
        return slot
    done = own.done.plus(order)
    gone = replace(own, attempt=own.attempt + 1, done=NOTHING, adopted=None)
    if done.quantity and own.opening is not None:
        _close(news, own, own.opening, order, done, level, time)
    elif done.quantity and order.status is Status.FILLED:
        news.events.append(opened_line(order, done))
    if twin is None:
        return gone
    # Of the two orders of a gap the one that is left closes what the other has opened.
    other = replace(slot, twin=None) if is_twin else twin
    if done.quantity:
        opening, _ = done.split(other.quantity)
        return replace(other, opening=opening, origin=order.client_id)
    return replace(slot, twin=gone) if is_twin else gone


def _close(
    news: News, slot: Slot, opening: Sums, order: Order, done: Sums, level: int, time: datetime
) -> None:
    if done.quantity > opening.quantity:
        # Beside closing it opened the other way.
        done, _ = done.split(opening.quantity)
    closed, _ = parted(opening, done.quantity, slot.quantity)
    match = matched(slot, order, closed, done, level, time)
    is_part = done.quantity < min(slot.quantity, opening.quantity)
    news.matches.append(replace(match, is_part=is_part))
    news.events.append(closed_line(order, match))
