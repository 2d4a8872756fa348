"""How a grid takes in what became of its orders: gaps turn around, round trips close."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from app.trading.market import ZERO, Market, booked
from app.trading.orders import FINAL, Order, Purpose, Side, Status, traded_value
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_params import GridParams
from app.trading.strategies.grid_plan import buy_quantity
from app.trading.strategies.grid_state import NOTHING, Entry, GridState, Phase, Slot, Sums
from app.trading.strategy import LogLine, Match, Severity, log_line

# After so many refusals in a row a gap pauses; the next fill elsewhere earns it one more try.
MOST_REFUSALS = 3


@dataclass(slots=True)
class News:
    """What one decision has learned: the gaps as they are now, log lines, closed round trips."""

    slots: list[Slot]
    phase: Phase
    entry: Entry | None
    carried: Sums = NOTHING
    events: list[LogLine] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    entry_failed: bool = False


@dataclass(frozen=True, slots=True)
class Grounds:
    """What does not change while orders are read."""

    params: GridParams
    market: Market
    steps: Ladder
    time: datetime


def gap_of(order: Order) -> int | None:
    """Return the gap to which an order belongs: below its level for a sell, above it for a buy."""
    key = order.key
    if key.purpose is not Purpose.GRID or key.level is None:
        return None
    return key.level if key.side is Side.BUY else key.level - 1


def read_orders(grounds: Grounds, state: GridState, orders: tuple[Order, ...]) -> News:
    """Take in every final order that a gap or the first purchase was waiting for."""
    news = News(list(state.slots), state.phase, state.entry, state.carried)
    filled = False
    # In an order of their own: what waits is the same however the news were sorted.
    for order in sorted((each for each in orders if each.status in FINAL), key=_rank):
        gap = gap_of(order)
        if gap is not None and 0 <= gap < len(news.slots):
            filled |= _read_gap(grounds, state, news, gap, order)
        elif order.key.purpose is Purpose.ENTRY:
            _read_entry(grounds, news, order)
    if filled and any(slot.refusals >= MOST_REFUSALS for slot in news.slots):
        news.slots = [_one_more_try(slot) for slot in news.slots]
    return news


def _rank(order: Order) -> tuple[int, int, int, Side]:
    key = order.key
    return key.cycle, order.attempt, -1 if key.level is None else key.level, key.side


def _one_more_try(slot: Slot) -> Slot:
    if slot.refusals < MOST_REFUSALS:
        return slot
    return replace(slot, refusals=MOST_REFUSALS - 1)


def _read_gap(grounds: Grounds, state: GridState, news: News, gap: int, order: Order) -> bool:
    slot = news.slots[gap]
    if order.key.side is not slot.side or order.key.cycle != slot.cycle:
        return False
    if order.attempt != slot.attempt:
        if order.attempt < slot.attempt and order.status is Status.FILLED:
            news.events.append(_late_fill(order))
        return False
    done = slot.done.plus(order)
    left = slot.quantity - done.quantity
    price = order_price(grounds.steps, gap, slot)
    complete = order.status is Status.FILLED or (
        order.filled > 0 and not grounds.market.is_tradable(left, price)
    )
    if complete:
        turned = _turn_to_sell if slot.side is Side.BUY else _turn_to_buy
        news.slots[gap] = turned(grounds, state, news, gap, order, done)
        return True
    if state.phase is Phase.CLOSING:
        news.slots[gap] = replace(slot, attempt=slot.attempt + 1, done=done)
    else:
        news.slots[gap] = _tried_in_vain(news, slot, order, done)
    return False


def order_level(gap: int, slot: Slot) -> int:
    """Return the level on which a gap's order stands."""
    return gap if slot.side is Side.BUY else gap + 1


def order_price(steps: Ladder, gap: int, slot: Slot) -> Decimal:
    """Return the price of a gap's order: the level itself, never the price of a fill."""
    return steps.buys[gap] if slot.side is Side.BUY else steps.sells[gap + 1]


def _turn_to_sell(
    grounds: Grounds, state: GridState, news: News, gap: int, order: Order, done: Sums
) -> Slot:
    news.events.append(
        log_line("level_bought", level=gap, price=order.price, quantity=done.quantity)
    )
    answer = answering_sell(grounds.market, done, news.carried)
    if not grounds.market.is_tradable(answer.quantity, grounds.steps.sells[gap + 1]):
        # What can't be sold alone waits for a bigger sell, and the level buys again.
        news.carried = news.carried.joined(done)
        news.events.append(log_line("level_too_small_to_sell", Severity.WARNING, level=gap + 1))
        return _buy_again(grounds, state, gap, order)
    news.carried = answer.carried
    return Slot(
        Side.SELL,
        answer.quantity,
        cycle=order.key.cycle,
        origin=order.client_id,
        bought=answer.bought,
    )


class Answer(NamedTuple):
    """How a buy is answered: what the sell sells, what that cost, and what waits on."""

    quantity: Decimal
    bought: Sums
    carried: Sums


def answering_sell(market: Market, bought: Sums, carried: Sums) -> Answer:
    """Return the sell that answers a buy: floor to lot of the coins that the buy left.

    Carried coins join as soon as they make it a lot bigger. They are then closed at their own
    cost, and what is over of the new ones waits in their place.
    """
    alone = market.quantity_down(bought.coins)
    together = market.quantity_down(bought.coins + carried.coins)
    if together > alone:
        own, rest = bought.split(together - carried.coins)
        return Answer(together, own.joined(carried), rest)
    own, rest = bought.split(alone)
    return Answer(alone, own, carried.joined(rest))


def _buy_again(grounds: Grounds, state: GridState, gap: int, order: Order) -> Slot:
    size = buy_quantity(grounds.params, grounds.market, grounds.steps, state.unit, gap)
    return Slot(Side.BUY, size, cycle=order.key.cycle + 1, origin=order.client_id)


def _turn_to_buy(
    grounds: Grounds, state: GridState, news: News, gap: int, order: Order, done: Sums
) -> Slot:
    slot = news.slots[gap]
    bought, unsold = _parted(slot.bought or NOTHING, done.quantity, slot.quantity)
    news.carried = news.carried.joined(unsold)
    match = Match(
        level=gap,
        cycle=slot.cycle,
        quantity=done.quantity,
        buy_quantity=bought.quantity,
        buy_value=bought.value,
        buy_fee=bought.fee_quote,
        sell_value=done.value,
        sell_fee=done.fee_quote,
        buy_client_id=slot.origin,
        sell_client_id=order.client_id,
        time=grounds.time,
        coin_fee=bought.fee_base,
    )
    news.matches.append(match)
    news.events.append(
        log_line(
            "level_sold",
            level=gap + 1,
            price=order.price,
            quantity=done.quantity,
            profit=match.profit,
        )
    )
    return _buy_again(grounds, state, gap, order)


def _parted(bought: Sums, sold: Decimal, whole: Decimal) -> tuple[Sums, Sums]:
    # A sell that ended with an untradable rest closes only its part of the purchase. Coins of the
    # first purchase count as bought with a fee that they may not have had: drop the difference.
    if sold >= whole:
        return bought, NOTHING
    return replace(bought, fee_base=bought.quantity - whole).split(sold)


def _tried_in_vain(news: News, slot: Slot, order: Order, done: Sums) -> Slot:
    code = {
        Status.REJECTED: "order_rejected",
        Status.DENIED: "order_denied",
        Status.CANCELLED: "order_cancelled_outside",
    }[order.status]
    news.events.append(
        log_line(code, Severity.WARNING, level=order.key.level, side=order.key.side.value)
    )
    refusals = slot.refusals + 1
    if refusals == MOST_REFUSALS:
        news.events.append(
            log_line("level_paused", Severity.WARNING, level=order.key.level, tries=refusals)
        )
    return replace(slot, attempt=slot.attempt + 1, refusals=refusals, done=done)


def _late_fill(order: Order) -> LogLine:
    return log_line(
        "late_fill",
        Severity.WARNING,
        level=order.key.level,
        side=order.key.side.value,
        quantity=order.filled,
    )


def _read_entry(grounds: Grounds, news: News, order: Order) -> None:
    entry = news.entry
    if entry is None or news.phase is not Phase.ENTRY or order.attempt != entry.attempt:
        return
    done = entry.done + order.filled
    bought = entry.bought.plus(order)
    left = entry.quantity - done
    price = order.value / order.filled if order.filled else None
    enough = price is not None and not grounds.market.is_tradable(left, price)
    if order.status is Status.FILLED or enough:
        news.entry = replace(entry, done=done, bought=bought)
        news.phase = Phase.RUNNING
        if entry.needed is not None and bought.coins > entry.needed:
            news.carried = news.carried.joined(bought.split(bought.coins - entry.needed)[0])
        news.events.append(log_line("first_purchase_done", quantity=done))
        return
    refusals = entry.refusals + (order.filled == ZERO)
    news.entry = replace(
        entry, attempt=entry.attempt + 1, refusals=refusals, done=done, bought=bought
    )
    news.events.append(log_line("first_purchase_refused", Severity.WARNING, tries=refusals))
    news.entry_failed = refusals >= MOST_REFUSALS


def bought_below(market: Market, price: Decimal, quantity: Decimal) -> Sums:
    """Return what coins of the first purchase count as having cost: the level below, with fee."""
    value = traded_value(price, quantity)
    return Sums(
        quantity=quantity,
        value=value,
        fee_base=quantity * market.buy_fee_in_base(market.maker_fee),
        fee_quote=booked(value * market.buy_fee_in_quote(market.maker_fee)),
    )
