"""Other settings for a running grid: what that would cost, and how it is done.

What concerns no order (exits, trailing, the cap) holds from the next decision on. Anything else
takes back the orders that do not fit any more, waits for the last news of them, and begins anew
with the coins and the cash that are there. Round trips whose order stays go on; those of the others
end as coins held.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from app.money import ceil_to_step
from app.trading.intents import Cancel, reason
from app.trading.market import (
    BOOK_STEP,
    ZERO,
    Market,
    MarketKind,
    Triggers,
    exact,
    first_of,
)
from app.trading.orders import FINAL, Order, Purpose, Side
from app.trading.position import Holdings
from app.trading.strategies.grid_cash import buys_within
from app.trading.strategies.grid_exit import close, exit_triggers
from app.trading.strategies.grid_figures import GridPlan
from app.trading.strategies.grid_keep import Kept, keep_orders
from app.trading.strategies.grid_leaving import read_leaving
from app.trading.strategies.grid_levels import Ladder
from app.trading.strategies.grid_news import News
from app.trading.strategies.grid_orders import AT_VENUE, Promised, promised_orders
from app.trading.strategies.grid_params import GridParams, ProfitUse
from app.trading.strategies.grid_plan import most_resting, plan_grid, within_funds
from app.trading.strategies.grid_sizes import floored, ladder_at
from app.trading.strategies.grid_start import (
    after_first_trade,
    begin,
    check_margin,
    start_grid,
)
from app.trading.strategies.grid_state import Exit, GridState, Outside, Phase
from app.trading.strategy import (
    Decision,
    InvalidParams,
    Problem,
    Severity,
    StopHow,
    View,
    log_line,
    problem,
)

# Other values of these change the orders; all others are obeyed as they are.
SHAPING = (
    "lower", "upper", "grids", "step", "spacing", "sizing", "investment", "quantity", "reserve",
    "direction", "leverage", "infinity",
)  # fmt: skip
# A buy of less than this part of what was planned is told of.
MUCH_SMALLER = Decimal("0.9")
# More round trips than a gap makes between two copies of the books.
UNKNOWN_CYCLES = 10_000


@dataclass(frozen=True, slots=True)
class EditedOrder:
    """An order that the edit takes back or places."""

    side: Side
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Edit:
    """What new settings would do to a running grid now.

    With `errors` it can't be done, and `state` is None. `kept` are orders that stay as they are,
    `places` those that are new. `base_to_buy` and `base_to_sell` are traded at market for about
    `cost` (their value) and `fee`; `money_in` is the change of the investment, negative where money
    comes out. `reinvested` is the profit that orders are made of beside the investment.
    """

    state: GridState | None
    plan: GridPlan
    kept: tuple[EditedOrder, ...] = ()
    cancels: tuple[EditedOrder, ...] = ()
    places: tuple[EditedOrder, ...] = ()
    base_to_buy: Decimal = ZERO
    base_to_sell: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    money_in: Decimal = ZERO
    reinvested: Decimal = ZERO
    warnings: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = ()


def reshapes(old: GridParams, new: GridParams) -> bool:
    """Say whether other settings need other orders."""
    return any(getattr(old, name) != getattr(new, name) for name in SHAPING)


@exact
def edit_grid(old: GridParams, state: GridState, new: GridParams, view: View) -> Edit:
    """Say what new settings would do, and return the state with which the next decision does it.

    The view's holdings are those before any money moves.
    """
    market, price = view.market, view.price
    money_in = _money_in(old, state, new, view)
    funds = replace(view.holdings, quote=view.holdings.quote + money_in)
    if state.phase is Phase.WAITING:
        return _while_waiting(new, market, price, funds, money_in)
    now = replace(new, trigger_price=None)
    grown = _with_profit(now, state)
    reinvested = _reinvested(now, state)
    if not reshapes(old, new):
        plan = plan_grid(grown, market, price)
        wrong = tuple(each for each in plan.errors if each.field in _exits())
        begins = reinvested if old.profit_use is not new.profit_use else ZERO
        going_on = None if wrong else state
        return Edit(going_on, plan, reinvested=begins, warnings=plan.warnings, errors=wrong)
    fitting = within_funds(grown, market, price, funds, sells_surplus=True)
    plan = plan_grid(fitting, market, price)
    try:
        begun = begin(grown, market, price, funds, cycle=_next_cycle(state), edits=state.edits + 1)
        check_margin(now, market, price, funds, begun)
    except InvalidParams as bad:
        return Edit(None, plan, errors=bad.problems, warnings=plan.warnings)
    anew = _go_on_with(replace(view, params=now, holdings=funds), state, begun)
    kept = anew.kept
    staying = {order.client_id for order in kept.orders.values()}
    promised = promised_orders(anew.view, kept.state, anew.steps, most_resting(now, market))
    entry = begun.entry
    buys = entry.quantity if entry is not None and entry.side is Side.BUY else ZERO
    sells = entry.quantity if entry is not None and entry.side is Side.SELL else ZERO
    worth = view.investment if state.equity is None else state.equity
    return Edit(
        state=replace(
            state,
            equity=worth + money_in,
            phase=Phase.EDITING,
            edits=state.edits + 1,
            entry=None,
            # It was outside of a range that is no more.
            outside=None,
        ),
        plan=plan,
        kept=tuple(_edited(order) for order in kept.orders.values()),
        cancels=tuple(
            _edited(order)
            for order in view.orders
            if _is_grids(order) and order.client_id not in staying
        ),
        places=tuple(EditedOrder(w.slot.side, w.price, w.slot.remaining) for w in promised.places),
        base_to_buy=buys,
        base_to_sell=sells,
        cost=(buys + sells) * price,
        fee=(buys + sells) * price * market.taker_fee,
        money_in=money_in,
        reinvested=reinvested,
        warnings=(*plan.warnings, *_lacking(begun, anew, promised)),
    )


def _with_profit(params: GridParams, state: GridState) -> GridParams:
    """Return settings for an investment that has grown by the profit to be reinvested."""
    if params.investment is None:
        return params
    return replace(params, investment=params.investment + _reinvested(params, state))


def _reinvested(params: GridParams, state: GridState) -> Decimal:
    if params.investment is None or params.profit_use is not ProfitUse.REINVEST:
        return ZERO
    return max(ZERO, state.earned_before + state.earned)


class _Anew(NamedTuple):
    """A grid that begins anew beside the orders that stay, and what is seen after a first trade."""

    kept: Kept
    steps: Ladder
    view: View


def _go_on_with(view: View, state: GridState, begun: GridState) -> _Anew:
    """Return how a grid goes on that has begun anew: with buys that can be paid.

    Preview and deed both come from here, so that the one promises what the other does.
    """
    market, price, entry = view.market, view.price, begun.entry
    steps = ladder_at(view.params, market, price)
    kept = keep_orders(state, view.orders, begun, steps, price)
    held = view.holdings
    if entry is not None:
        held = after_first_trade(market, price, held, entry)
    orders = tuple(kept.orders.values())
    fitting = buys_within(market, kept.state, steps, held.quote, orders)
    return _Anew(kept._replace(state=fitting), steps, replace(view, holdings=held, orders=orders))


def _lacking(begun: GridState, anew: _Anew, promised: Promised) -> list[Problem]:
    """Warn of buys that are much smaller than planned, and of orders that wait, for lack of money.

    Fees take it, or coins that are too few to be sold hold it.
    """
    found = []
    less = _much_smaller(begun, anew)
    if less:
        found.append(problem("investment", "buys_smaller", orders=len(less), amount=sum(less)))
    if promised.waits:
        first = promised.waits[0]
        values = {"quantity": first.slot.remaining, "price": first.price}
        count = len(promised.waits)
        found.append(problem("investment", "orders_will_wait", orders=count, **values))
    return found


def _much_smaller(begun: GridState, anew: _Anew) -> list[Decimal]:
    """Return how much less is spent for each buy that is much smaller than planned."""
    fitting = enumerate(zip(begun.slots, anew.kept.state.slots, strict=True))
    return [
        (whole.quantity - slot.quantity) * anew.steps.buys[gap]
        for gap, (whole, slot) in fitting
        if gap not in anew.kept.orders and slot.quantity < whole.quantity * MUCH_SMALLER
    ]


def with_flow(state: GridState, amount: Decimal) -> GridState:
    """Return a state after money came in (or, negative, went out): targets by equity move along.

    Profit that went out is not there to be reinvested.
    """
    equity = None if state.equity is None else state.equity + amount
    state = replace(state, equity=equity)
    if amount >= 0:
        return state
    earned = max(ZERO, state.earned + amount)
    before = max(ZERO, state.earned_before + amount + state.earned - earned)
    return replace(state, earned=earned, earned_before=before)


def begin_anew(state: GridState) -> GridState:
    """Return a running grid's state that takes back what stands and begins with what is held.

    For a grid whose orders are not those that its state knows: the cycles that follow are far from
    all that they may have had.
    """
    if state.phase not in {Phase.ENTRY, Phase.RUNNING, Phase.EDITING}:
        return state
    newest = _next_cycle(state) + UNKNOWN_CYCLES
    return replace(state, phase=Phase.EDITING, edits=state.edits + 1, entry=None, newest=newest)


def _money_in(old: GridParams, state: GridState, new: GridParams, view: View) -> Decimal:
    """Return by how much other settings change the investment.

    Where only the size of the orders is named the money follows from it, as at a start: what is
    missing comes in, and what is over stays.
    """
    if new.investment is not None:
        return new.investment - (view.investment if old.investment is None else old.investment)
    is_waiting = state.phase is Phase.WAITING
    if not (is_waiting or reshapes(old, new)):
        return ZERO
    planned = new if is_waiting else replace(new, trigger_price=None)
    plan = plan_grid(planned, view.market, view.price)
    needed, held = plan.investment or ZERO, view.holdings
    worth = held.quote + (held.base - _idle_coins(plan, view)) * view.price
    # The margin of a position is that of the price at which it was opened.
    there = worth if view.market.kind is MarketKind.SPOT else min(worth, held.wallet)
    return max(ZERO, ceil_to_step(needed - there, BOOK_STEP))


def _idle_coins(plan: GridPlan, view: View) -> Decimal:
    """Return coins beyond what the sells of a plan need that are too few to be sold for cash."""
    if view.market.kind is not MarketKind.SPOT:
        return ZERO
    needed = sum((order.quantity or ZERO for order in plan.sells or ()), ZERO)
    over = view.holdings.base - needed
    sold = floored(view.market, max(ZERO, over))
    return max(ZERO, over) if not view.market.is_tradable(sold, view.price) else ZERO


def _exits() -> frozenset[str]:
    return frozenset({"stop_loss", "take_profit"})


def _while_waiting(
    new: GridParams, market: Market, price: Decimal, funds: Holdings, money_in: Decimal
) -> Edit:
    plan = plan_grid(within_funds(new, market, price, funds), market, price)
    try:
        state = start_grid(new, market, price, funds)
    except InvalidParams as bad:
        return Edit(None, plan, errors=bad.problems, warnings=plan.warnings)
    return Edit(state, plan, money_in=money_in, warnings=plan.warnings)


def _is_grids(order: Order) -> bool:
    return order.key.purpose in {Purpose.GRID, Purpose.ENTRY} and order.status not in FINAL


def _edited(order: Order) -> EditedOrder:
    return EditedOrder(order.key.side, order.price or ZERO, order.remaining)


def _next_cycle(state: GridState) -> int:
    # Gaps that were kept by an edit may have lower cycles than others had that are no more.
    return 1 + max(state.newest, *(slot.cycle for slot in state.slots), -1)


# --- while it happens -------------------------------------------------------------------------


def go_on_editing(view: View, state: GridState) -> Decision:
    """Take back what does not fit and count what it still filled; begin anew when it is gone."""
    state, news = read_leaving(state, view.orders, view.time)
    live = [order for order in view.orders if _is_grids(order)]
    try:
        begun = begin(
            _with_profit(view.params, state),
            view.market,
            view.price,
            view.holdings,
            cycle=_next_cycle(state),
            edits=state.edits,
        )
    except InvalidParams as bad:
        return _take_back(state, live, news) if live else _without_plan(view, state, news, bad)
    anew = _go_on_with(view, state, begun)
    kept = anew.kept
    staying = {order.client_id for order in kept.orders.values()}
    leaving = [order for order in live if order.client_id not in staying]
    if leaving:
        return _take_back(state, leaving, news)
    if view.price_is_old:
        return _wait_for_next_price(view, state, news)
    events = [*news.events, log_line("edit_done", orders=len(begun.slots), kept=len(staying))]
    if less := _much_smaller(begun, anew):
        values = {"orders": len(less), "amount": sum(less)}
        events.append(log_line("buys_smaller", Severity.WARNING, **values))
    earned = state.earned_before + state.earned
    reinvests = view.params.profit_use is ProfitUse.REINVEST
    going_on = replace(
        kept.state,
        equity=state.equity,
        outside=state.outside,
        # What was set aside is there to be reinvested later.
        earned=ZERO if reinvests else earned,
        earned_before=earned if reinvests else ZERO,
    )
    return Decision(going_on, (), tuple(events), tuple(news.matches), again=True)


def _without_plan(view: View, state: GridState, news: News, bad: InvalidParams) -> Decision:
    """Wait for another price if one may help; else end and say why."""
    if view.price_is_old:
        return _wait_for_next_price(view, state, news)
    if {each.code for each in bad.problems} == {"range_excludes_price"}:
        return _wait_for_price(view, state, news)
    ending = Exit(StopHow.KEEP, reason("edit_failed", code=bad.code))
    return close(view, replace(state, phase=Phase.CLOSING), ending, news)


def _wait_for_next_price(view: View, state: GridState, news: News) -> Decision:
    return Decision(state, (), tuple(news.events), tuple(news.matches), view.at_next_price)


def _wait_for_price(view: View, state: GridState, news: News) -> Decision:
    """Wait until the price is in the new range; it left since the owner has confirmed that."""
    params: GridParams = view.params
    below = view.price < params.lower
    outside = Outside.BELOW if below else Outside.ABOVE
    events = list(news.events)
    if state.outside is not outside:
        values = {"price": view.price, "lower": params.lower, "upper": params.upper}
        events.append(log_line("edit_waits", Severity.WARNING, **values))
    back = Triggers(None, params.lower) if below else Triggers(params.upper, None)
    return Decision(
        replace(state, outside=outside),
        (),
        tuple(events),
        tuple(news.matches),
        first_of((back, exit_triggers(view, state))),
    )


def _take_back(state: GridState, orders: list[Order], news: News) -> Decision:
    cancels = tuple(
        Cancel(order.client_id, reason("edited")) for order in orders if order.status in AT_VENUE
    )
    return Decision(state, cancels, tuple(news.events), tuple(news.matches))
