"""One decision of a running grid: read the news, mind the exits, then ask for what is missing."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from app.trading.intents import Cancel, Intent, Place, reason
from app.trading.market import ZERO, Triggers
from app.trading.orders import OrderKey, OrderKind, Purpose
from app.trading.strategies.grid_cash import within_cash
from app.trading.strategies.grid_edit import go_on_editing
from app.trading.strategies.grid_exit import close, exit_triggers, exit_wanted
from app.trading.strategies.grid_fit import fitting_entry
from app.trading.strategies.grid_leaving import read_leaving, read_left
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_news import Grounds, News, read_orders
from app.trading.strategies.grid_orders import wanted_orders
from app.trading.strategies.grid_params import GridParams
from app.trading.strategies.grid_plan import most_resting
from app.trading.strategies.grid_start import begin
from app.trading.strategies.grid_state import Entry, Exit, GridState, Outside, Phase
from app.trading.strategies.grid_trail import follow, next_levels, steps_of
from app.trading.strategy import (
    Decision,
    InvalidParams,
    LogLine,
    Severity,
    StopHow,
    View,
    log_line,
)


def decide_grid(view: View) -> Decision:
    """Answer one moment of a grid."""
    state: GridState = view.state
    if state.phase is Phase.FINISHED and not _ends_anew(view, state):
        # Its stop may still be on its way back while orders that it left fill.
        left = read_left(state, view.orders, view.time)
        return replace(left, finished=state.exit.reason if state.exit else None)
    if state.phase is Phase.WAITING:
        return _wait(view, state)
    if state.phase in {Phase.EDITING, Phase.CLOSING, Phase.FINISHED}:
        ending = exit_wanted(view, state, None)
        return go_on_editing(view, state) if ending is None else _leave(view, state, ending)
    return _run(view, state)


def _leave(view: View, state: GridState, ending: Exit) -> Decision:
    """End, or go on ending, and count what orders that nobody answers have closed."""
    if state.phase is Phase.EDITING:
        # Where it has followed the price to was in the range of before.
        state = replace(state, trail=0)
    state, news = read_leaving(state, view.orders, view.time)
    return close(view, replace(state, phase=Phase.CLOSING, exit=ending), ending, news)


def _ends_anew(view: View, state: GridState) -> bool:
    """Tell whether a stop of a finished grid is to take back what the last one has left."""
    if state.exit is None or view.stop_request in {None, StopHow.LEAVE_ORDERS}:
        return False
    stands = any(order.status.is_live for order in view.orders)
    return stands or view.stop_request is not state.exit.how


def _run(view: View, state: GridState) -> Decision:
    params: GridParams = view.params
    steps = steps_of(params, view.market, state)
    news = read_orders(Grounds(params, view.market, steps, view.time, state), view.orders)
    before, state = state, _after(view, state, news)
    if state.phase is Phase.RUNNING and (news.filled or before.phase is Phase.ENTRY):
        state = within_cash(view, state, steps)
    ending = exit_wanted(view, state, news)
    if ending is not None:
        state = replace(state, phase=Phase.CLOSING, exit=ending)
        return close(view, state, ending, news)
    trailed = follow(view, state)
    state, steps = trailed.state, trailed.steps
    state, events = _mind_range(view, state, steps)
    intents = list(trailed.intents)
    if state.phase is Phase.ENTRY:
        intents += _first_trade(view, state.entry)
    else:
        wanted = wanted_orders(view, state, steps, most_resting(params, view.market))
        state = wanted.state
        intents += _without_taken_back(wanted.intents, intents)
        events += wanted.events
    return Decision(
        state,
        tuple(intents),
        (*news.events, *trailed.events, *events),
        tuple(news.matches),
        _triggers(view, state, steps),
    )


def _without_taken_back(wanted: list[Intent], others: Iterable[Intent]) -> list[Intent]:
    """Leave out what is taken back anyway: what a grid gives up may be too far away as well."""
    gone = {each.client_id for each in others if isinstance(each, Cancel)}
    return [each for each in wanted if not (isinstance(each, Cancel) and each.client_id in gone)]


def _after(view: View, state: GridState, news: News) -> GridState:
    return replace(
        state,
        phase=news.phase,
        slots=tuple(news.slots),
        entry=news.entry,
        carried=news.carried,
        carried_short=news.carried_short,
        earned=news.earned,
        anchor=view.price if news.filled or state.anchor is None else state.anchor,
        stuck=state.stuck and not news.filled,
    )


def _first_trade(view: View, entry: Entry | None) -> list[Intent]:
    under_way = any(
        order.status.is_live and order.key.purpose is Purpose.ENTRY for order in view.orders
    )
    if entry is None or under_way:
        return []
    quantity = fitting_entry(view, entry)
    key = OrderKey(Purpose.ENTRY, None, entry.side, entry.cycle)
    code = "first_purchase" if entry.side.value == "buy" else "first_sale"
    why = reason(code, quantity=quantity, price=view.price)
    return [Place(key, entry.attempt, OrderKind.MARKET, None, quantity, why)]


# --- waiting for the trigger price ------------------------------------------------------------


def _wait(view: View, state: GridState) -> Decision:
    params: GridParams = view.params
    trigger = params.trigger_price
    ending = exit_wanted(view, state, None)
    if ending is not None:
        state = replace(state, phase=Phase.CLOSING, exit=ending)
        return close(view, state, ending, None)
    above = state.waits_above is not False
    # It counts also if the price is back by now: the grid begins with what it is now.
    prices = (view.price, *(view.swing or ()))
    touched = max(prices) if above else min(prices)
    triggers = Triggers(None, trigger) if above else Triggers(trigger, None)
    if trigger is not None and not _is_reached(touched, trigger, above=above):
        return Decision(state, triggers=triggers)
    if view.price_is_old:
        return Decision(state, triggers=view.at_next_price)
    try:
        begun = begin(params, view.market, view.price, view.holdings)
    except InvalidParams as bad:
        if trigger is not None and not _is_reached(view.price, trigger, above=above):
            values = {"touched": touched, "price": view.price, "code": bad.code}
            missed = log_line("trigger_missed", Severity.WARNING, **values)
            return Decision(state, (), (missed,), triggers=triggers)
        ending = Exit(StopHow.KEEP, reason("start_failed", code=bad.code))
        return close(view, replace(state, phase=Phase.CLOSING), ending, None)
    return Decision(begun, (), (log_line("grid_started", price=touched),), again=True)


def _is_reached(price: Decimal, trigger: Decimal, *, above: bool) -> bool:
    return price >= trigger if above else price <= trigger


# --- the range --------------------------------------------------------------------------------


def _mind_range(view: View, state: GridState, steps: Ladder) -> tuple[GridState, list[LogLine]]:
    params: GridParams = view.params
    lower, upper = steps.exact[0], steps.exact[-1]
    now = None
    if view.price < lower:
        now = Outside.BELOW
    elif view.price > upper and not params.infinity:
        now = Outside.ABOVE
    if now is state.outside:
        return state, []
    codes = {Outside.BELOW: "price_below_range", Outside.ABOVE: "price_above_range"}
    code = "price_back_in_range" if now is None else codes[now]
    severity = Severity.INFO if now is None else Severity.WARNING
    line = log_line(code, severity, price=view.price, lower=lower, upper=upper)
    return replace(state, outside=now), [line]


def _triggers(view: View, state: GridState, steps: Ladder) -> Triggers:
    params: GridParams = view.params
    step = view.market.tick or ZERO
    exits = exit_triggers(view, state)
    lower, upper = steps.exact[0], steps.exact[-1]
    below = [exits.below, upper if state.outside is Outside.ABOVE else None]
    above = [exits.above, lower if state.outside is Outside.BELOW else None]
    if state.outside is None:
        below.append(lower - step)
        above.append(None if params.infinity else upper + step)
    if params.trailing_up or params.trailing_down:
        trails = next_levels(params, view.market, state)
        below.append(trails[0])
        above.append(trails[1])
    return Triggers(
        max((price for price in below if price is not None), default=None),
        min((price for price in above if price is not None), default=None),
    )
