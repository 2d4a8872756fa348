"""Planning a grid: what it would do at a price, as a person confirms it."""

from dataclasses import replace
from decimal import Decimal

from app.money import floor_to_step
from app.trading.market import BOOK_STEP, ONE, ZERO, Market, MarketKind, exact
from app.trading.position import Holdings
from app.trading.strategies.grid_figures import GridPlan, PlannedOrder, ProfitPerGrid
from app.trading.strategies.grid_levels import Ladder, profit_bounds
from app.trading.strategies.grid_params import GridParams, Sizing
from app.trading.strategies.grid_problems import (
    order_problems,
    parameter_problems,
    shortfall_warnings,
    too_many_levels,
)
from app.trading.strategies.grid_sizes import (
    Rests,
    buy_quantity,
    first_sell_quantity,
    first_trade,
    infinite_gaps,
    ladder_at,
    minimum_investment,
    purchase_for,
    rests_at,
    sell_quantity,
    spread_money,
)
from app.trading.strategies.grid_worst import Ends, ends_of


def most_resting(params: GridParams, market: Market) -> int | None:
    """Return how many orders may rest at once; None means all of them."""
    caps = [cap for cap in (params.max_resting, market.max_orders) if cap is not None]
    return min(caps, default=None)


@exact
def plan_grid(
    params: GridParams,
    market: Market,
    price: Decimal | None,
    orders_per_second: Decimal | None = None,
) -> GridPlan:
    """Return the plan of a grid; without a price or money only what does not need them.

    A grid that waits for its trigger price is planned at that price.
    """
    if params.trigger_price is not None:
        price_now, price = price, params.trigger_price
    else:
        price_now = price
    # Millions of levels would take minutes, so what is too many of them is not made.
    too_many = too_many_levels(infinite_gaps(params, price)) if params.infinity and price else []
    if price is None or too_many:
        levels = ladder_at(params, market, params.lower).levels
        return GridPlan(levels=levels, errors=tuple(too_many))
    steps = ladder_at(params, market, price)
    rests = rests_at(steps, price, params.direction)
    # Every step of an infinity grid has the same ratio, and its first one stands for all.
    least, most = profit_bounds(
        params.lower,
        params.upper,
        params.grids,
        params.spacing,
        market.maker_fee,
        market.fee_side,
        params.step,
    )
    count = len(rests.buys) + len(rests.sells)
    resting = min(count, most_resting(params, market) or count)
    plan = GridPlan(
        levels=steps.levels,
        empty_level=None if rests.empty is None else steps.levels[rests.empty],
        buys=tuple(PlannedOrder(steps.buys[i], None, i) for i in rests.buys),
        sells=tuple(PlannedOrder(steps.sells[i], None, i) for i in rests.sells),
        profit_per_grid=ProfitPerGrid(least, most),
        round_trip_fee=2 * market.maker_fee,
        orders_resting=resting,
        orders_virtual=count - resting,
        seconds_to_place=None if orders_per_second is None else resting / orders_per_second,
    )
    errors, warnings = parameter_problems(params, market, price, price_now, steps, plan)
    plan = replace(plan, errors=tuple(errors), warnings=tuple(warnings))
    # Where a line falls onto zero, no size of an order can be told.
    if (params.investment is None and params.quantity is None) or steps.buys[0] == 0:
        return plan
    return _with_money(plan, params, market, price, steps, rests)


@exact
def within_funds(
    params: GridParams,
    market: Market,
    price: Decimal,
    funds: Holdings,
    *,
    sells_surplus: bool = False,
) -> GridParams:
    """Return parameters that take no more coins and cash than are held.

    Coins beyond what the sells need pay for no buy, so the cash alone may be the limit; unless
    they are sold first, as an edit does.
    """
    if params.investment is None:
        return params
    worth = funds.quote + funds.base * price
    params = replace(params, investment=min(params.investment, max(ZERO, worth)))
    if sells_surplus or market.kind is not MarketKind.SPOT or funds.base <= 0:
        return params
    # Without the lot, for rounding down can only make it cheaper.
    unrounded = replace(market, lot=None)
    cash = _cash_needed(plan_grid(params, unrounded, price), unrounded, price, funds.base)
    share = ONE if cash <= funds.quote or cash <= 0 else max(ZERO, funds.quote) / cash
    share = min(share, _share_for_new_buys(params, market, price, funds))
    if share == ONE:
        return params
    return replace(params, investment=floor_to_step((params.investment or ZERO) * share, BOOK_STEP))


def _share_for_new_buys(
    params: GridParams, market: Market, price: Decimal, funds: Holdings
) -> Decimal:
    """Return how much of the investment leaves cash for the buys that answer the first sells.

    These buy q, while a first sell of floor(q·(1 - fee)) brought less: the difference, which a
    start with cash alone keeps over from its purchase, and the reserve have to be there in cash.
    """
    unrounded = plan_grid(params, replace(market, lot=None), price)
    sells = unrounded.sells or ()
    sold = sum((order.quantity or ZERO for order in sells), ZERO)
    if funds.base < sold:
        return ONE
    kept_back = ((unrounded.base_reserved or ZERO) - sold) * price
    fixed = len(sells) * (market.lot or ZERO) * price if kept_back else ZERO
    reserve = params.reserve * (params.investment or ZERO)
    growing = (unrounded.quote_reserved or ZERO) + kept_back + reserve
    if growing <= 0 or growing + fixed <= funds.quote:
        return ONE
    return max(ZERO, funds.quote - fixed) / growing


def _cash_needed(plan: GridPlan, market: Market, price: Decimal, held: Decimal) -> Decimal:
    reserved = (plan.quote_reserved or ZERO) * (ONE + market.buy_fee_in_quote(market.maker_fee))
    sold = sum((order.quantity or ZERO for order in plan.sells or ()), ZERO)
    first = purchase_for(market, sold - held) * price
    return reserved + first * (ONE + market.buy_fee_in_quote(market.taker_fee))


def _with_money(
    plan: GridPlan,
    params: GridParams,
    market: Market,
    price: Decimal,
    steps: Ladder,
    rests: Rests,
) -> GridPlan:
    money = spread_money(params, market, price, steps, rests)
    minimum, minimum_by = minimum_investment(params, market, steps, money.weight)
    buys = tuple(
        PlannedOrder(steps.buys[i], buy_quantity(params, market, steps, money.unit, i), i)
        for i in rests.buys
    )
    sells = tuple(
        PlannedOrder(steps.sells[i], first_sell_quantity(params, market, steps, money.unit, i), i)
        for i in rests.sells
    )
    empty = price if rests.empty is None else steps.exact[rests.empty]
    to_buy = first_trade(params, market, money, _total(buys), _total(sells), empty)
    equal_base = params.sizing is Sizing.EQUAL_BASE and not params.infinity
    reserved = sum((sell_quantity(params, market, steps, money.unit, i) for i in rests.sells), ZERO)
    plan = replace(
        plan,
        buys=buys,
        sells=sells,
        quantity=money.unit if equal_base else None,
        order_value=None if equal_base else money.unit,
        base_to_buy=to_buy,
        base_cost=to_buy * price,
        quote_reserved=sum((order.price * (order.quantity or ZERO) for order in buys), ZERO),
        base_reserved=reserved,
        investment=money.investment,
        minimum_investment=minimum,
        minimum_by=minimum_by,
    )
    ends = ends_of(params, market, price, _ends(plan))
    plan = replace(plan, worst_case=ends.worst, liquidation=ends.liquidation)
    errors, warnings = order_problems(params, market, price, plan, steps)
    warnings += shortfall_warnings(ends.shortfalls)
    return replace(
        plan, errors=plan.errors + tuple(errors), warnings=plan.warnings + tuple(warnings)
    )


def _ends(plan: GridPlan) -> Ends:
    return Ends(
        first=plan.base_to_buy or ZERO,
        investment=plan.investment or ZERO,
        bought=_total(plan.buys or ()),
        buys_value=plan.quote_reserved or ZERO,
        sold=_total(plan.sells or ()),
        sells_value=sum(
            (order.price * (order.quantity or ZERO) for order in plan.sells or ()), ZERO
        ),
        buys=_sized(plan.buys or ()),
        sells=_sized(plan.sells or ()),
    )


def _sized(orders: tuple[PlannedOrder, ...]) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple(sorted((order.price, order.quantity or ZERO) for order in orders))


def _total(orders: tuple[PlannedOrder, ...]) -> Decimal:
    return sum((order.quantity or ZERO for order in orders), ZERO)
