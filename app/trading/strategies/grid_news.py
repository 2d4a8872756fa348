"""How a grid takes in what became of its orders: gaps turn around, round trips close."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from app.trading.market import ONE, ZERO, Market, booked
from app.trading.orders import FINAL, Order, Purpose, Side, Status, traded_value
from app.trading.strategies.grid_cash import within_sale
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_params import GridParams, ProfitUse
from app.trading.strategies.grid_sizes import floored, gap_quantity
from app.trading.strategies.grid_state import NOTHING, Entry, GridState, Phase, Slot, Sums
from app.trading.strategy import LogLine, Match, Severity, log_line

# After so many refusals in a row a gap pauses; the next fill elsewhere earns it one more try.
MOST_REFUSALS = 3
# Counted for an order that somebody took back so often: that one no comparison tries again.
TAKEN_BACK = 1_000

# Counted for a level that rested and gets one more try: the log has said already why it rests.
ONE_MORE_TRY = -1

OTHER = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


@dataclass(slots=True)
class News:
    """What one decision has learned: the gaps as they are now, log lines, closed round trips."""

    slots: list[Slot]
    phase: Phase
    entry: Entry | None
    carried: Sums = NOTHING
    carried_short: Sums = NOTHING
    earned: Decimal = ZERO
    filled: bool = False
    events: list[LogLine] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    entry_failed: bool = False


@dataclass(frozen=True, slots=True)
class Grounds:
    """What does not change while orders are read; `first` is the number of the lowest level."""

    params: GridParams
    market: Market
    steps: Ladder
    time: datetime
    state: GridState

    @property
    def first(self) -> int:
        """Return the number of the lowest level in the keys of orders."""
        return self.state.first


def gap_of(order: Order, first: int) -> int | None:
    """Return the gap to which an order belongs: below its level for a sell, above it for a buy."""
    key = order.key
    if key.purpose is not Purpose.GRID or key.level is None:
        return None
    return key.level - first - (key.side is Side.SELL)


def read_orders(grounds: Grounds, orders: tuple[Order, ...]) -> News:
    """Take in every final order that a gap or the first trade was waiting for."""
    state = grounds.state
    news = News(
        list(state.slots),
        state.phase,
        state.entry,
        state.carried,
        state.carried_short,
        state.earned,
    )
    # In an order of their own: what waits is the same however the news were sorted.
    for order in sorted((each for each in orders if each.status in FINAL), key=rank):
        gap = gap_of(order, state.first)
        if gap is not None and 0 <= gap < len(news.slots):
            news.filled |= _read_gap(grounds, news, gap, order)
        elif order.key.purpose is Purpose.ENTRY:
            _read_entry(grounds, news, order)
    # As a rule no gap was ever refused or has two orders.
    unusual = [slot for slot in news.slots if slot.refusals or slot.twin is not None]
    if news.filled and any(map(_is_paused, unusual)):
        news.slots = [_one_more_try(slot) for slot in news.slots]
    return news


def rank(order: Order) -> tuple[int, int, int, Side]:
    """Return the turn in which an order is taken in."""
    key = order.key
    return key.cycle, order.attempt, -1 if key.level is None else key.level, key.side


def _one_more_try(slot: Slot) -> Slot:
    twin = slot.twin
    if twin is not None and twin.refusals >= MOST_REFUSALS:
        slot = replace(slot, twin=replace(twin, refusals=ONE_MORE_TRY))
    if slot.refusals < MOST_REFUSALS:
        return slot
    return replace(slot, refusals=ONE_MORE_TRY)


def _is_paused(slot: Slot) -> bool:
    twin = slot.twin
    return slot.refusals >= MOST_REFUSALS or (twin is not None and twin.refusals >= MOST_REFUSALS)


def _read_gap(grounds: Grounds, news: News, gap: int, order: Order) -> bool:
    slot = news.slots[gap]
    if slot.twin is not None and order.key.side is slot.twin.side:
        return _read_twin(grounds, news, gap, order)
    if order.key.side is not slot.side or order.key.cycle != slot.cycle:
        return False
    if order.attempt not in (slot.attempt, slot.adopted):
        if order.attempt < slot.attempt and order.status is Status.FILLED:
            news.events.append(_late_fill(order))
        return False
    done = slot.done.plus(order)
    if _is_complete(grounds, order, done, slot.quantity):
        turned = _opened if slot.opening is None else _closed
        news.slots[gap] = turned(grounds, news, gap, order, done)
        return True
    news.slots[gap] = _tried_in_vain(grounds, news, slot, order, done)
    return False


def _is_complete(grounds: Grounds, order: Order, done: Sums, whole: Decimal) -> bool:
    if order.status is Status.FILLED or not done.quantity:
        return order.status is Status.FILLED
    market = grounds.market
    return not market.is_tradable(market.quantity_down(whole - done.quantity), order.price or ZERO)


def _read_twin(grounds: Grounds, news: News, gap: int, order: Order) -> bool:
    # The twin opens a short position; then the gap's buy, which rests already, closes it.
    slot = news.slots[gap]
    twin = slot.twin
    if twin is None or order.key.cycle != twin.cycle or order.attempt != twin.attempt:
        return False
    done = twin.done.plus(order)
    if _is_complete(grounds, order, done, twin.quantity):
        news.slots[gap] = replace(slot, twin=None, opening=done, origin=order.client_id)
        news.events.append(opened_line(order, done))
        return True
    news.slots[gap] = replace(slot, twin=_tried_in_vain(grounds, news, twin, order, done))
    return False


def order_level(first: int, gap: int, side: Side) -> int:
    """Return the number of the level on which a gap's order stands."""
    return first + gap + (side is Side.SELL)


def order_price(steps: Ladder, gap: int, side: Side) -> Decimal:
    """Return the price of a gap's order: the level itself, never the price of a fill."""
    return steps.buys[gap] if side is Side.BUY else steps.sells[gap + 1]


# --- turning around ---------------------------------------------------------------------------


def _opened(grounds: Grounds, news: News, gap: int, order: Order, done: Sums) -> Slot:
    slot = news.slots[gap]
    news.events.append(opened_line(order, done))
    if slot.twin is not None:
        # The sell that answers rests already; what it does not sell of this buy waits.
        own, rest = done.split(slot.twin.quantity)
        news.carried = news.carried.joined(rest)
        return replace(slot.twin, opening=own, origin=order.client_id)
    long = slot.side is Side.BUY
    answer = answering_order(grounds.market, done, news.carried if long else news.carried_short)
    price = order_price(grounds.steps, gap, OTHER[slot.side])
    if not grounds.market.is_tradable(answer.quantity, price):
        # What can't be closed alone waits for a bigger order, and the level opens again.
        _wait(news, slot.side, done)
        level = order_level(grounds.first, gap, OTHER[slot.side])
        news.events.append(log_line("level_too_small_to_sell", Severity.WARNING, level=level))
        return _open_again(grounds, news, gap, slot.side, order)
    if long:
        news.carried = answer.carried
    else:
        news.carried_short = answer.carried
    return Slot(
        OTHER[slot.side],
        answer.quantity,
        cycle=order.key.cycle,
        origin=order.client_id,
        opening=answer.opening,
    )


def opened_line(order: Order, done: Sums) -> LogLine:
    """Return what the log says of an order that has opened."""
    code = "level_bought" if order.key.side is Side.BUY else "short_opened"
    return log_line(code, level=order.key.level, price=order.price, quantity=done.quantity)


def closed_line(order: Order, match: Match) -> LogLine:
    """Return what the log says of an order that has closed a round trip."""
    code = "level_sold" if order.key.side is Side.SELL else "short_closed"
    values = {"price": order.price, "quantity": match.quantity, "profit": match.profit}
    return log_line(code, level=order.key.level, **values)


def _wait(news: News, opened_by: Side, sums: Sums) -> None:
    if opened_by is Side.BUY:
        news.carried = news.carried.joined(sums)
    else:
        news.carried_short = news.carried_short.joined(sums)


class Answer(NamedTuple):
    """How an order is answered: how much closes it, what that was opened for, what waits on."""

    quantity: Decimal
    opening: Sums
    carried: Sums


def answering_order(market: Market, opening: Sums, carried: Sums) -> Answer:
    """Return the order that answers one: floor to lot of the coins that it left.

    After a fee in coins that is floor to lot of q·(1 - f), as Bybit, OKX and OctoBot do. Carried
    coins join as soon as they make it a lot bigger. They are then closed at their own cost, and
    what is over of the new ones waits in their place.
    """
    alone = market.quantity_down(opening.coins)
    together = market.quantity_down(opening.coins + carried.coins)
    if together > alone:
        own, rest = opening.split(together - carried.coins)
        return Answer(together, own.joined(carried), rest)
    own, rest = opening.split(alone)
    return Answer(alone, own, carried.joined(rest))


def _open_again(grounds: Grounds, news: News, gap: int, side: Side, order: Order) -> Slot:
    size = opening_quantity(grounds, news.earned, gap, side)
    return Slot(side, size, cycle=order.key.cycle + 1, origin=order.client_id)


def opening_quantity(grounds: Grounds, earned: Decimal, gap: int, side: Side) -> Decimal:
    """Return the size of an order that opens; reinvested profit makes all of them bigger alike."""
    state, params, market = grounds.state, grounds.params, grounds.market
    unit = state.unit
    if params.profit_use is ProfitUse.REINVEST and state.money and earned > 0:
        # The unit is that of the leveraged money already: orders grow as the money does.
        unit = unit * (ONE + earned / state.money)
        unit = floored(market, unit) if _counts_coins(params) else booked(unit)
    return gap_quantity(params, market, grounds.steps, unit, gap, side)


def _counts_coins(params: GridParams) -> bool:
    return params.sizing.value == "equal_base" and not params.infinity


def _closed(grounds: Grounds, news: News, gap: int, order: Order, done: Sums) -> Slot:
    slot = news.slots[gap]
    opening = slot.opening or NOTHING
    done, beyond = _within(done, opening, slot)
    if beyond != NOTHING:
        # Beside closing it opened the other way.
        _wait(news, slot.side, beyond)
    opening, left = parted(opening, done.quantity, slot.quantity)
    _wait(news, OTHER[slot.side], left)
    match = matched(slot, order, opening, done, grounds.first + gap, grounds.time)
    news.matches.append(match)
    news.earned += match.profit
    news.events.append(closed_line(order, match))
    again = _open_again(grounds, news, gap, OTHER[slot.side], order)
    return within_sale(grounds.params, grounds.market, grounds.steps, gap, done, again)


def _within(done: Sums, opening: Sums, slot: Slot) -> tuple[Sums, Sums]:
    # A buy that rested before its short was opened may be bigger than that (equal quote).
    if slot.side is Side.BUY and done.quantity > opening.quantity:
        return done.split(opening.quantity)
    return done, NOTHING


def matched(
    slot: Slot, order: Order, opening: Sums, done: Sums, level: int, time: datetime
) -> Match:
    """Return the round trip that an order of a gap has closed; `level` is that of the gap."""
    long = slot.side is Side.SELL
    buy, sell = (opening, done) if long else (done, opening)
    return Match(
        level=level,
        cycle=slot.cycle,
        quantity=done.quantity,
        buy_quantity=buy.quantity,
        buy_value=buy.value,
        buy_fee=buy.fee_quote,
        sell_value=sell.value,
        sell_fee=sell.fee_quote,
        entry_client_id=slot.origin,
        exit_client_id=order.client_id,
        time=time,
        coin_fee=buy.fee_base,
        opened_by=OTHER[slot.side],
    )


def parted(opening: Sums, closed: Decimal, whole: Decimal) -> tuple[Sums, Sums]:
    """Split what an order of size `whole` closes where only `closed` of it is closed.

    Coins of the first purchase count as bought with a fee that they may not have had: the
    difference is dropped.
    """
    if closed >= whole or closed >= opening.quantity:
        return opening, NOTHING
    return replace(opening, fee_base=opening.quantity - min(whole, opening.quantity)).split(closed)


def _tried_in_vain(grounds: Grounds, news: News, slot: Slot, order: Order, done: Sums) -> Slot:
    again = replace(slot, attempt=slot.attempt + 1, done=done, parked=False, adopted=None)
    if order.attempt != slot.attempt:
        # The adopted one; the next attempt's id is still free.
        again = replace(again, attempt=slot.attempt)
    tried = slot.refusals
    if tried == ONE_MORE_TRY:
        if order.status is Status.DENIED:
            return replace(again, refusals=MOST_REFUSALS)
        tried = MOST_REFUSALS - 1
    if slot.parked and order.status is Status.CANCELLED:
        return again
    code = {
        Status.REJECTED: "order_rejected",
        Status.DENIED: "order_denied",
        Status.CANCELLED: "order_cancelled_outside",
    }[order.status]
    # Of a level that rests already the log says no more, and what our own limits deny once more
    # they deny for the same reason.
    if tried == 0 or (tried < MOST_REFUSALS and order.status is not Status.DENIED):
        news.events.append(
            log_line(code, Severity.WARNING, level=order.key.level, side=order.key.side.value)
        )
    if order.excused:
        return again
    refusals = tried + 1
    if refusals == MOST_REFUSALS:
        news.events.append(
            log_line("level_paused", Severity.WARNING, level=order.key.level, tries=refusals)
        )
        if order.status is Status.CANCELLED:
            refusals = TAKEN_BACK
    return replace(again, refusals=refusals)


def _late_fill(order: Order) -> LogLine:
    return log_line(
        "late_fill",
        Severity.WARNING,
        level=order.key.level,
        side=order.key.side.value,
        quantity=order.filled,
    )


# --- the first trade --------------------------------------------------------------------------


def _read_entry(grounds: Grounds, news: News, order: Order) -> None:
    entry = news.entry
    if entry is None or news.phase is not Phase.ENTRY or order.attempt != entry.attempt:
        return
    if (order.key.side, order.key.cycle) != (entry.side, entry.cycle):
        return
    done = entry.done + order.filled
    bought = entry.bought.plus(order)
    left = grounds.market.quantity_down(entry.quantity - done)
    price = bought.value / bought.quantity if bought.quantity else None
    enough = price is not None and not grounds.market.is_tradable(left, price)
    if order.status is Status.FILLED or enough:
        news.entry = replace(entry, done=done, bought=bought)
        news.phase = Phase.RUNNING
        if entry.needed is not None and bought.coins > entry.needed:
            news.carried = news.carried.joined(bought.split(bought.coins - entry.needed)[0])
        code = "first_purchase_done" if entry.side is Side.BUY else "first_sale_done"
        news.events.append(log_line(code, quantity=done))
        return
    refusals = entry.refusals + (order.filled == ZERO)
    news.entry = replace(
        entry, attempt=entry.attempt + 1, refusals=refusals, done=done, bought=bought
    )
    news.events.append(log_line("first_purchase_refused", Severity.WARNING, tries=refusals))
    news.entry_failed = refusals >= MOST_REFUSALS


def counted_opening(market: Market, price: Decimal, quantity: Decimal, side: Side) -> Sums:
    """Return what a position of the first trade counts as opened for: the next level, with fee."""
    value = traded_value(price, quantity)
    in_coins = market.buy_fee_in_base(market.maker_fee) if side is Side.BUY else ZERO
    return Sums(
        quantity=quantity,
        value=value,
        fee_base=quantity * in_coins,
        fee_quote=ZERO if in_coins else booked(value * market.maker_fee),
    )
