"""When and how a grid ends: by its targets, by request, by its edit; orders first, then coins."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from app.trading.intents import Cancel, Place, reason
from app.trading.market import BOOK_STEP, ONE, ZERO, Market, MarketKind, Triggers, booked
from app.trading.orders import OrderKey, OrderKind, Purpose, Side
from app.trading.ports import Balance
from app.trading.position import Holdings
from app.trading.strategies.grid_news import MOST_REFUSALS, News
from app.trading.strategies.grid_orders import AT_VENUE
from app.trading.strategies.grid_params import GridParams
from app.trading.strategies.grid_state import Exit, GridState, Phase
from app.trading.strategy import (
    COINS_MISSING,
    SALE_FAILED,
    Decision,
    LogLine,
    Match,
    Protection,
    Severity,
    StopHow,
    View,
    log_line,
)

# A real venue may refuse the last sale for a while (coins that another order locked a moment ago, a
# pair that it has halted): after some tries in a row it is asked once after each comparison, for
# about half an hour in all.
MOST_SALES = 30
# One of which the venue has not said clearly that it refuses it is waited for, some minutes each
# time: it counts for as many, so that this too takes about half an hour.
UNCLEAR_SALE = 5


class _Target(NamedTuple):
    """A price at which the grid ends, and its reason; `below`: at or below that price.

    A stop at a price of its own `holds`: it counts also if the price is back by now.
    """

    price: Decimal
    below: bool
    code: str
    limit: Decimal
    stop_loss: bool
    holds: bool = False

    def met(self, view: View) -> Decimal | None:
        """Return the price that has reached it, if one has."""
        prices = (view.price, *(view.swing or ())) if self.holds else (view.price,)
        found = min(prices) if self.below else max(prices)
        is_met = found <= self.price if self.below else found >= self.price
        return found if is_met else None


def exit_wanted(view: View, state: GridState, news: News | None) -> Exit | None:
    """Return why the grid has to end now, if it has to."""
    request = view.stop_request
    if state.exit is not None:
        if request is not None and request is not state.exit.how:
            return replace(state.exit, how=request)
        return state.exit
    if request is not None:
        return Exit(request, reason("stop_requested", how=request.value))
    if news is not None and news.entry_failed:
        return Exit(StopHow.KEEP, reason("first_purchase_failed", tries=MOST_REFUSALS))
    params: GridParams = view.params
    for target in _targets(params, state, view.holdings, view.investment):
        price = target.met(view)
        if price is not None:
            why = reason(target.code, price=price, limit=target.limit)
            return Exit(params.at_exit, why, stop_loss=target.stop_loss)
    return None


def exit_triggers(view: View, state: GridState) -> Triggers:
    """Return the prices at which the grid ends by its targets."""
    targets = list(_targets(view.params, state, view.holdings, view.investment))
    return Triggers(
        max((each.price for each in targets if each.below), default=None),
        min((each.price for each in targets if not each.below), default=None),
    )


def _targets(
    params: GridParams, state: GridState, holdings: Holdings, investment: Decimal
) -> Iterable[_Target]:
    short = params.is_short
    if params.stop_loss is not None:
        limit = params.stop_loss
        yield _Target(limit, not short, "stop_loss_reached", limit, stop_loss=True, holds=True)
    if params.take_profit is not None:
        limit = params.take_profit
        yield _Target(limit, short, "take_profit_reached", limit, stop_loss=False)
    if state.phase not in {Phase.RUNNING, Phase.EDITING} and not _leaves(state):
        return
    if holdings.base == 0:
        return
    worth = investment if state.equity is None else state.equity
    if params.stop_loss_share is not None:
        limit = worth * (ONE - params.stop_loss_share)
        price, below = _price_of_equity(holdings, limit, falling=True)
        yield _Target(price, below, "stop_loss_share_reached", booked(limit), stop_loss=True)
    if params.take_profit_share is not None:
        limit = worth * (ONE + params.take_profit_share)
        price, below = _price_of_equity(holdings, limit, falling=False)
        yield _Target(price, below, "take_profit_share_reached", booked(limit), stop_loss=False)


def _price_of_equity(holdings: Holdings, equity: Decimal, *, falling: bool) -> tuple[Decimal, bool]:
    # quote + base·price = equity; rounded so that at the price the equity is surely reached.
    price = (equity - holdings.quote) / holdings.base
    below = falling is (holdings.base > 0)
    rounding = ROUND_FLOOR if below else ROUND_CEILING
    return price.quantize(BOOK_STEP, rounding), below


def protection_of(
    params: GridParams,
    state: GridState,
    market: Market,
    holdings: Holdings,
    investment: Decimal,
) -> Protection | None:
    """Return the stop that should rest at the venue: of the stops by price and by equity the first.

    Only where the exit sells, and while the grid runs. Where it ends and keeps a position in a
    contract, its stop stays: nobody else would end a position on borrowed money.
    """
    if params.at_exit is not StopHow.SELL or holdings.base == 0:
        return None
    leaves = market.kind is MarketKind.LINEAR and _leaves(state)
    if state.phase not in {Phase.ENTRY, Phase.RUNNING, Phase.EDITING} and not leaves:
        return None
    long = holdings.base > 0
    prices = [
        target.price
        for target in _targets(params, state, holdings, investment)
        if target.stop_loss and target.below is long
    ]
    if not prices:
        return None
    if long:
        trigger = market.price_down(max(prices))
        return Protection(Side.SELL, trigger) if trigger > 0 else None
    return Protection(Side.BUY, market.price_up(min(prices)))


def _leaves(state: GridState) -> bool:
    ends = state.phase in {Phase.CLOSING, Phase.FINISHED}
    return ends and state.exit is not None and state.exit.how is not StopHow.SELL


# --- closing ----------------------------------------------------------------------------------


def close(view: View, state: GridState, ending: Exit, news: News | None) -> Decision:
    """Take every order back, then sell the coins (or buy back what is owed) if so wanted."""
    events = [] if news is None else news.events
    matches = () if news is None else tuple(news.matches)
    if view.state.exit is None:
        events = [*events, LogLine(ending.reason.code, ending.reason.values, Severity.WARNING)]
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
    return _sell_all(view, state, ending, events, matches)


def _sell_all(
    view: View,
    state: GridState,
    ending: Exit,
    events: list[LogLine],
    matches: tuple[Match, ...],
) -> Decision:
    before, ending = ending, _count_sale(view, ending)
    state = replace(state, exit=ending)
    held = view.holdings.base
    side = Side.SELL if held > 0 else Side.BUY
    quantity = view.market.quantity_down(abs(held))
    if not view.market.is_tradable(quantity, view.price):
        if held != 0:
            events = [*events, log_line("coins_left_over", quantity=held)]
        return _finish(state, ending, events, matches)
    there = _there(view, ending)
    if there is not None and _can_sell(view, there.free):
        quantity = view.market.quantity_down(min(held, there.free))
    elif there is not None and there.total < held and not _can_sell(view, there.total):
        missing = {"quantity": held - there.total, "price": view.price}
        gone = log_line(COINS_MISSING, Severity.ERROR, **missing)
        ending = replace(ending, reason=reason(COINS_MISSING, **missing))
        return _finish(state, ending, [*events, gone], matches)
    if ending.refusals >= (MOST_SALES if view.asks_again else MOST_REFUSALS):
        failed = log_line(SALE_FAILED, Severity.ERROR, quantity=held)
        ending = replace(ending, reason=reason(SALE_FAILED, quantity=held))
        return _finish(state, ending, [*events, failed], matches)
    if ending.refusals >= MOST_REFUSALS and not view.may_retry:
        if before.refusals < MOST_REFUSALS:
            events = [*events, log_line("closing_sale_waits", Severity.ERROR, quantity=held)]
        return Decision(state, (), tuple(events), matches)
    key = OrderKey(_sale_purpose(ending), None, side)
    only = view.market.kind is MarketKind.LINEAR
    sale = Place(
        key, ending.attempt, OrderKind.MARKET, None, quantity, ending.reason, reduce_only=only
    )
    return Decision(state, (sale,), tuple(events), matches)


def _there(view: View, ending: Exit) -> Balance | None:
    """Return the coins at the venue, if it has refused to sell what the grid holds.

    Both say that they are not there: what it takes orders by, and what it shows.
    """
    is_sale = view.market.kind is MarketKind.SPOT and view.holdings.base > 0
    if not is_sale or not view.may_retry or ending.refusals < MOST_REFUSALS:
        return None
    return view.there


def _can_sell(view: View, coins: Decimal) -> bool:
    quantity = view.market.quantity_down(min(coins, view.holdings.base))
    return view.market.is_tradable(quantity, view.price)


def _sale_purpose(ending: Exit) -> Purpose:
    return Purpose.STOP if ending.stop_loss else Purpose.CLOSE


def _count_sale(view: View, ending: Exit) -> Exit:
    for order in view.orders:
        if order.key.purpose is _sale_purpose(ending) and order.attempt == ending.attempt:
            tries = UNCLEAR_SALE if order.excused else 1
            in_vain = tries if order.filled == ZERO else 0
            return replace(ending, attempt=ending.attempt + 1, refusals=ending.refusals + in_vain)
    return ending


def _finish(
    state: GridState, ending: Exit, events: list[LogLine], matches: tuple[Match, ...]
) -> Decision:
    done = replace(state, phase=Phase.FINISHED, exit=ending)
    return Decision(done, (), tuple(events), matches, finished=ending.reason)
