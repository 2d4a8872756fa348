"""One decision of a running grid: read the news, mind the exits, then ask for what is missing."""

from dataclasses import dataclass, replace
from decimal import Decimal

from app.trading.intents import Cancel, Intent, Place, Reason, reason
from app.trading.market import ZERO, Triggers
from app.trading.orders import FINAL, Order, OrderKey, OrderKind, Purpose, Side, Status
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_news import (
    MOST_REFUSALS,
    Grounds,
    News,
    order_level,
    order_price,
    read_orders,
)
from app.trading.strategies.grid_params import GridParams
from app.trading.strategies.grid_plan import ladder_of
from app.trading.strategies.grid_state import (
    Entry,
    Exit,
    GridState,
    Outside,
    Phase,
    Slot,
)
from app.trading.strategy import Decision, LogLine, Match, Severity, StopHow, View, log_line

AT_VENUE = frozenset({Status.INTENDED, Status.OPEN, Status.PARTIAL})


def decide_grid(view: View) -> Decision:
    """Answer one moment of a grid."""
    state: GridState = view.state
    params: GridParams = view.params
    if state.phase is Phase.FINISHED:
        return Decision(state, finished=state.exit.reason if state.exit else None)
    steps = ladder_of(params, view.market)
    news = read_orders(Grounds(params, view.market, steps, view.time), state, view.orders)
    ending = _exit_wanted(view, state, news)
    state = replace(
        state,
        phase=news.phase,
        slots=tuple(news.slots),
        entry=news.entry,
        exit=ending,
        carried=news.carried,
    )
    if ending is not None:
        return _close(view, replace(state, phase=Phase.CLOSING), ending, news)
    state, events = _mind_range(view, state)
    news.events += events
    if state.phase is Phase.ENTRY:
        intents = _first_purchase(view, state.entry)
    else:
        intents = _missing_orders(view, state, steps)
    return Decision(
        state,
        tuple(intents),
        tuple(news.events),
        tuple(news.matches),
        _triggers(view, state),
    )


# --- exits ------------------------------------------------------------------------------------


def _exit_wanted(view: View, state: GridState, news: News) -> Exit | None:
    request = view.stop_request
    if state.exit is not None:
        if request is not None and request is not state.exit.how:
            return replace(state.exit, how=request)
        return state.exit
    if request is not None:
        return Exit(request, reason("stop_requested", how=request.value))
    if news.entry_failed:
        return Exit(StopHow.KEEP, reason("first_purchase_failed", tries=MOST_REFUSALS))
    return _exit_by_price(view)


def _exit_by_price(view: View) -> Exit | None:
    params: GridParams = view.params
    at_exit = params.at_exit
    if params.stop_loss is not None and view.price <= params.stop_loss:
        why = reason("stop_loss_reached", price=view.price, limit=params.stop_loss)
        return Exit(at_exit, why, stop_loss=True)
    if params.take_profit is not None and view.price >= params.take_profit:
        return Exit(
            at_exit, reason("take_profit_reached", price=view.price, limit=params.take_profit)
        )
    return None


def _close(view: View, state: GridState, ending: Exit, news: News) -> Decision:
    if view.state.exit is None:
        news.events.append(LogLine(ending.reason.code, ending.reason.values, Severity.WARNING))
    events, matches = news.events, tuple(news.matches)
    if ending.how is StopHow.LEAVE_ORDERS:
        return _finish(state, ending, events, matches)
    live = [order for order in view.orders if order.status.is_live]
    if live:
        cancels = [
            Cancel(order.client_id, ending.reason)
            for order in live
            if order.status in AT_VENUE and order.key.purpose in {Purpose.GRID, Purpose.ENTRY}
        ]
        return Decision(state, tuple(cancels), tuple(events), matches)
    if ending.how is StopHow.KEEP:
        return _finish(state, ending, events, matches)
    return _sell_all(view, state, ending, news)


def _sell_all(view: View, state: GridState, ending: Exit, news: News) -> Decision:
    ending = _count_sale(view, ending)
    state = replace(state, exit=ending)
    quantity = view.market.quantity_down(view.holdings.base)
    matches = tuple(news.matches)
    if not view.market.is_tradable(quantity, view.price):
        if view.holdings.base > 0:
            news.events.append(log_line("coins_left_over", quantity=view.holdings.base))
        return _finish(state, ending, news.events, matches)
    if ending.refusals >= MOST_REFUSALS:
        news.events.append(
            log_line("closing_sale_failed", Severity.ERROR, quantity=view.holdings.base)
        )
        return _finish(state, ending, news.events, matches)
    key = OrderKey(_sale_purpose(ending), None, Side.SELL)
    sale = Place(key, ending.attempt, OrderKind.MARKET, None, quantity, ending.reason)
    return Decision(state, (sale,), tuple(news.events), matches)


def _sale_purpose(ending: Exit) -> Purpose:
    return Purpose.STOP if ending.stop_loss else Purpose.CLOSE


def _count_sale(view: View, ending: Exit) -> Exit:
    for order in view.orders:
        if order.key.purpose is _sale_purpose(ending) and order.attempt == ending.attempt:
            in_vain = order.filled == 0
            return replace(
                ending, attempt=ending.attempt + 1, refusals=ending.refusals + int(in_vain)
            )
    return ending


def _finish(
    state: GridState, ending: Exit, events: list[LogLine], matches: tuple[Match, ...]
) -> Decision:
    done = replace(state, phase=Phase.FINISHED, exit=ending)
    return Decision(done, (), tuple(events), matches, finished=ending.reason)


# --- the grid itself --------------------------------------------------------------------------


def _first_purchase(view: View, entry: Entry | None) -> list[Intent]:
    under_way = any(
        order.status.is_live and order.key.purpose is Purpose.ENTRY for order in view.orders
    )
    if entry is None or under_way:
        return []
    quantity = entry.quantity - entry.done
    key = OrderKey(Purpose.ENTRY, None, Side.BUY)
    why = reason("first_purchase", quantity=quantity, price=view.price)
    return [Place(key, entry.attempt, OrderKind.MARKET, None, quantity, why)]


@dataclass(slots=True)
class Standing:
    """Gaps that have an order, and how far buys reach up and sells reach down."""

    gaps: set[int]
    highest_buy: int = -1
    lowest_sell: int = 1_000_000

    def add(self, gap: int, side: Side, level: int) -> None:
        """Count one more order."""
        self.gaps.add(gap)
        if side is Side.SELL:
            if level < self.lowest_sell:  # noqa: PLR1730 - called for every order of every tick
                self.lowest_sell = level
        elif level > self.highest_buy:
            self.highest_buy = level

    def would_meet_own(self, side: Side, level: int) -> bool:
        """Say whether an order would stand on or trade against an own order.

        It happens only while news of a fill is still missing, and passes when it arrives.
        """
        return level >= self.lowest_sell if side is Side.BUY else level <= self.highest_buy


def _standing(orders: tuple[Order, ...], slots: tuple[Slot, ...]) -> tuple[Standing, list[Cancel]]:
    # Beside what stands, find strays: orders that were taken as absent and turned up again after
    # another took their place.
    standing = Standing(set())
    strays = []
    for order in orders:
        key = order.key
        if key.purpose is not Purpose.GRID or key.level is None or order.status in FINAL:
            continue
        gap = key.level if key.side is Side.BUY else key.level - 1
        standing.add(gap, key.side, key.level)
        slot = slots[gap]
        if order.attempt == slot.attempt and key.cycle == slot.cycle and key.side is slot.side:
            continue
        if order.status in AT_VENUE:
            strays.append(Cancel(order.client_id, reason("stray_order", level=key.level)))
    return standing, strays


def _missing_orders(view: View, state: GridState, steps: Ladder) -> list[Intent]:
    standing, strays = _standing(view.orders, state.slots)
    wanted = []
    for gap, slot in enumerate(state.slots):
        if gap not in standing.gaps and slot.refusals < MOST_REFUSALS:
            price = order_price(steps, gap, slot)
            wanted.append((abs(price - view.price), gap, price, slot))
    wanted.sort(key=lambda each: each[:2])
    intents: list[Intent] = [*strays]
    for _, gap, price, slot in wanted:
        level = order_level(gap, slot)
        if standing.would_meet_own(slot.side, level):
            continue
        standing.add(gap, slot.side, level)
        intents.append(_order_for(gap, slot, price, steps))
    return intents


def _order_for(gap: int, slot: Slot, price: Decimal, steps: Ladder) -> Place:
    level = order_level(gap, slot)
    return Place(
        OrderKey(Purpose.GRID, level, slot.side, slot.cycle),
        slot.attempt,
        OrderKind.LIMIT,
        price,
        slot.remaining,
        _why(gap, slot, steps),
    )


def _why(gap: int, slot: Slot, steps: Ladder) -> Reason:
    if slot.origin is None:
        return reason("grid_start", level=order_level(gap, slot))
    answers_buy = slot.side is Side.SELL
    return reason(
        "answers_buy" if answers_buy else "answers_sell",
        level=order_level(gap, slot),
        from_level=gap if answers_buy else gap + 1,
        from_price=steps.buys[gap] if answers_buy else steps.sells[gap + 1],
        order=slot.origin,
    )


# --- the range --------------------------------------------------------------------------------


def _mind_range(view: View, state: GridState) -> tuple[GridState, list[LogLine]]:
    params: GridParams = view.params
    now = None
    if view.price < params.lower:
        now = Outside.BELOW
    elif view.price > params.upper:
        now = Outside.ABOVE
    if now is state.outside:
        return state, []
    codes = {Outside.BELOW: "price_below_range", Outside.ABOVE: "price_above_range"}
    code = "price_back_in_range" if now is None else codes[now]
    severity = Severity.INFO if now is None else Severity.WARNING
    line = log_line(code, severity, price=view.price, lower=params.lower, upper=params.upper)
    return replace(state, outside=now), [line]


def _triggers(view: View, state: GridState) -> Triggers:
    params: GridParams = view.params
    step = view.market.tick or ZERO
    below = [params.stop_loss, params.upper if state.outside is Outside.ABOVE else None]
    above = [params.take_profit, params.lower if state.outside is Outside.BELOW else None]
    if state.outside is None:
        below.append(params.lower - step)
        above.append(params.upper + step)
    return Triggers(
        max((price for price in below if price is not None), default=None),
        min((price for price in above if price is not None), default=None),
    )
