"""What a grid would do at a price: its orders, its first purchase, its profit and its worst case.

Quantity, minimum and profit follow the formulas that the big venues publish: q = floor to lot of
(1 - reserve)·I / (sum of buy prices + number of sells · start price).
"""

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context, Decimal
from typing import NamedTuple

from app.money import ceil_to_step, floor_to_step
from app.trading.market import BOOK_STEP, ONE, ZERO, Market, MarketKind, exact
from app.trading.position import Holdings
from app.trading.strategies.grid_levels import LEVEL_DIGITS, Ladder, ladder, profit_bounds
from app.trading.strategies.grid_params import Direction, GridParams, Sizing
from app.trading.strategies.grid_problems import order_problems, parameter_problems
from app.trading.strategy import Problem

# Money needed is rounded up: one unit less would buy one lot less.
MONEY_UP = Context(prec=28, rounding=ROUND_CEILING)


class PlannedOrder(NamedTuple):
    """A price with its quantity; the quantity is None while no money is given."""

    price: Decimal
    quantity: Decimal | None
    level: int


@dataclass(frozen=True, slots=True)
class WorstCase:
    """What is held when the price has fallen to the lower price and every buy has filled.

    `loss` is money put in less `value`; `break_even` the price at which selling all coins gives
    the money back.
    """

    price: Decimal
    coins: Decimal
    value: Decimal
    loss: Decimal
    loss_share: Decimal
    break_even: Decimal | None


@dataclass(frozen=True, slots=True)
class ProfitPerGrid:
    """Net profit of one round trip per money spent, as fractions."""

    lowest: Decimal
    highest: Decimal


@dataclass(frozen=True, slots=True)
class GridPlan:
    """The preview of a grid; figures are None as long as price or money is missing.

    `quantity` is the order size in coins (equal base), `order_value` the money of each order
    (equal quote). `base_to_buy` is what the first purchase buys before its fee, negative for what a
    short grid sells first; `base_cost` its value without fee. `minimum_by` names the rule that sets
    `minimum_investment`.
    """

    levels: tuple[Decimal, ...]
    empty_level: Decimal | None = None
    buys: tuple[PlannedOrder, ...] | None = None
    sells: tuple[PlannedOrder, ...] | None = None
    quantity: Decimal | None = None
    order_value: Decimal | None = None
    base_to_buy: Decimal | None = None
    base_cost: Decimal | None = None
    quote_reserved: Decimal | None = None
    base_reserved: Decimal | None = None
    investment: Decimal | None = None
    minimum_investment: Decimal | None = None
    minimum_by: str | None = None
    profit_per_grid: ProfitPerGrid | None = None
    round_trip_fee: Decimal | None = None
    worst_case: WorstCase | None = None
    warnings: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = ()


class Rests(NamedTuple):
    """On which levels orders rest at the start; `empty` is the level left free."""

    buys: tuple[int, ...]
    sells: tuple[int, ...]
    empty: int | None


class Money(NamedTuple):
    """How the money is spread: `unit` is q (equal base) or the value of an order (equal quote)."""

    unit: Decimal
    weight: Decimal
    investment: Decimal


def rests_at(steps: Ladder, price: Decimal, direction: Direction) -> Rests:
    """Return which levels hold an order at a price.

    Long and spot: the lowest level at or above the price stays empty. Short: the highest level at
    or below it. Neutral: every level holds one, except one on which the price stands.
    """
    levels = steps.exact
    last = len(levels) - 1
    if direction is Direction.NEUTRAL:
        empty = next((i for i, level in enumerate(levels) if level == price), None)
        buys = tuple(i for i in range(last, -1, -1) if levels[i] < price)
        sells = tuple(i for i, level in enumerate(levels) if level > price)
        return Rests(buys, sells, empty)
    if direction is Direction.SHORT:
        empty = next((i for i in range(last, -1, -1) if levels[i] <= price), 0)
    else:
        found = steps.empty_level(price)
        empty = last if found is None else found
    return Rests(tuple(range(empty - 1, -1, -1)), tuple(range(empty + 1, last + 1)), empty)


def ladder_of(params: GridParams, market: Market) -> Ladder:
    """Return the levels of a grid on a market."""
    return ladder(params.lower, params.upper, params.grids, params.spacing, market.tick)


@exact
def plan_grid(params: GridParams, market: Market, price: Decimal | None) -> GridPlan:
    """Return the plan of a grid; without a price or money only what does not need them."""
    steps = ladder_of(params, market)
    if price is None:
        return GridPlan(levels=steps.levels)
    rests = rests_at(steps, price, params.direction)
    least, most = profit_bounds(
        params.lower, params.upper, params.grids, params.spacing, market.maker_fee, market.fee_side
    )
    plan = GridPlan(
        levels=steps.levels,
        empty_level=None if rests.empty is None else steps.levels[rests.empty],
        buys=tuple(PlannedOrder(steps.buys[i], None, i) for i in rests.buys),
        sells=tuple(PlannedOrder(steps.sells[i], None, i) for i in rests.sells),
        profit_per_grid=ProfitPerGrid(least, most),
        round_trip_fee=2 * market.maker_fee,
    )
    errors, warnings = parameter_problems(params, market, price, steps, plan.profit_per_grid)
    plan = replace(plan, errors=tuple(errors), warnings=tuple(warnings))
    # Where a line falls onto zero, no size of an order can be told.
    if (params.investment is None and params.quantity is None) or steps.buys[0] == 0:
        return plan
    return _with_money(plan, params, market, price, steps, rests)


@exact
def within_funds(params: GridParams, market: Market, price: Decimal, funds: Holdings) -> GridParams:
    """Return parameters that take no more coins and cash than are held.

    Coins beyond what the sells need pay for no buy, so the cash alone may be the limit.
    """
    if params.investment is None:
        return params
    worth = funds.quote + funds.base * price
    params = replace(params, investment=min(params.investment, max(ZERO, worth)))
    # Without the lot, for rounding down can only make it cheaper.
    unrounded = replace(market, lot=None)
    cash = _cash_needed(plan_grid(params, unrounded, price), unrounded, price, funds.base)
    if cash <= funds.quote or cash <= 0:
        return params
    fitting = floor_to_step((params.investment or ZERO) * max(ZERO, funds.quote) / cash, BOOK_STEP)
    return replace(params, investment=fitting)


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
    to_buy = first_purchase(params, market, buys, sells)
    equal_base = params.sizing is Sizing.EQUAL_BASE
    reserved = sum(
        (order_quantity(params, market, steps, money.unit, i) for i in rests.sells), ZERO
    )
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
    errors, warnings = order_problems(params, market, price, plan)
    return replace(
        plan,
        worst_case=_worst_case(plan, params, market, price),
        errors=plan.errors + tuple(errors),
        warnings=plan.warnings + tuple(warnings),
    )


def spread_money(
    params: GridParams, market: Market, price: Decimal, steps: Ladder, rests: Rests
) -> Money:
    """Return the size of an order and the money that the grid takes.

    With `quantity` given the investment is the result: q·(Σ buys + sells·P0) / (1 - reserve).
    """
    weight = _weight(params, price, steps, rests)
    if params.quantity is not None:
        unit = params.quantity
        if params.sizing is Sizing.EQUAL_BASE:
            unit = market.quantity_down(unit)
        needed = unit * weight / (ONE - params.reserve) / params.leverage
        return Money(unit, weight, MONEY_UP.plus(needed))
    investment = params.investment or ZERO
    unit = floor_to_step((ONE - params.reserve) * investment * params.leverage / weight, BOOK_STEP)
    if params.sizing is Sizing.EQUAL_BASE:
        unit = _floored(market, unit)
    return Money(unit, weight, investment)


def _weight(params: GridParams, price: Decimal, steps: Ladder, rests: Rests) -> Decimal:
    # What one unit of size costs over all orders: the denominator of the formulas for q and c.
    if params.sizing is Sizing.EQUAL_BASE:
        buys = sum((steps.buys[i] for i in rests.buys), ZERO)
        sells = sum((steps.sells[i] for i in rests.sells), ZERO)
        at_start = price
    else:
        buys, sells, at_start = Decimal(len(rests.buys)), Decimal(len(rests.sells)), ONE
    if params.direction is Direction.NEUTRAL:
        return max(buys, sells)
    if params.direction is Direction.SHORT:
        return sells + _first_weight(params, at_start, price, steps.buys, rests.buys)
    return buys + _first_weight(params, at_start, price, steps.sells, rests.sells)


def _first_weight(
    params: GridParams,
    at_start: Decimal,
    price: Decimal,
    prices: tuple[Decimal, ...],
    levels: tuple[int, ...],
) -> Decimal:
    if params.sizing is Sizing.EQUAL_BASE:
        return at_start * len(levels)
    return sum((price / prices[i] for i in levels), ZERO)


def order_quantity(
    params: GridParams,
    market: Market,
    steps: Ladder,
    unit: Decimal,
    level: int,
    *,
    sell: bool = True,
) -> Decimal:
    """Return the size of an order on a level before fees: q, or c / price floored to the lot."""
    if params.sizing is Sizing.EQUAL_BASE:
        return unit
    price = steps.sells[level] if sell else steps.buys[level]
    return _floored(market, unit / price)


def buy_quantity(
    params: GridParams, market: Market, steps: Ladder, unit: Decimal, level: int
) -> Decimal:
    """Return the quantity of a buy on a level."""
    return order_quantity(params, market, steps, unit, level, sell=False)


def first_sell_quantity(
    params: GridParams, market: Market, steps: Ladder, unit: Decimal, level: int
) -> Decimal:
    """Return the quantity of a sell that rests at the start: as if it answered a buy."""
    size = order_quantity(params, market, steps, unit, level)
    kept = ONE - market.buy_fee_in_base(market.maker_fee)
    return size if kept == ONE else _floored(market, size * kept)


def _floored(market: Market, quantity: Decimal) -> Decimal:
    return floor_to_step(quantity, BOOK_STEP if market.lot is None else market.lot)


def first_purchase(
    params: GridParams,
    market: Market,
    buys: tuple[PlannedOrder, ...],
    sells: tuple[PlannedOrder, ...],
) -> Decimal:
    """Return how many coins to buy at market first, so that enough is left after the taker fee."""
    if params.direction is Direction.NEUTRAL:
        return ZERO
    if params.direction is Direction.SHORT:
        return -sum((order.quantity or ZERO for order in buys), ZERO)
    return purchase_for(market, sum((order.quantity or ZERO for order in sells), ZERO))


def purchase_for(market: Market, needed: Decimal) -> Decimal:
    """Return the smallest purchase at market that leaves `needed` coins after the taker fee."""
    kept = ONE - market.buy_fee_in_base(market.taker_fee)
    if needed <= 0:
        return ZERO
    return needed if kept == ONE else _ceiled(market, needed / kept)


def _ceiled(market: Market, quantity: Decimal) -> Decimal:
    return ceil_to_step(quantity, BOOK_STEP if market.lot is None else market.lot)


def minimum_investment(
    params: GridParams, market: Market, steps: Ladder, weight: Decimal
) -> tuple[Decimal, str]:
    """Return the least money with which every order passes the venue, and the rule that sets it.

    Orders will rest on every level sooner or later, so the lowest price counts.
    """
    if params.sizing is Sizing.EQUAL_BASE:
        unit, rule = smallest_unit(market, steps.buys[0], steps.sells[1])
    else:
        gaps = range(len(steps.levels) - 1)
        found = [smallest_unit(market, steps.buys[i], steps.sells[i + 1]) for i in gaps]
        unit, rule = max((q * steps.sells[i + 1], rule) for i, (q, rule) in enumerate(found))
        unit = ceil_to_step(unit, BOOK_STEP)
    return MONEY_UP.plus(unit * weight / (ONE - params.reserve) / params.leverage), rule


def smallest_unit(market: Market, buy: Decimal, sell: Decimal) -> tuple[Decimal, str]:
    """Return the smallest quantity whose buy and its answering sell both pass, and the rule."""
    by_value = market.min_notional / buy if market.min_notional else ZERO
    rule = "min_notional" if by_value > (market.min_quantity or ZERO) else "min_quantity"
    quantity = _ceiled(market, market.smallest_quantity(buy))
    if quantity == 0:
        quantity, rule = market.lot or ZERO, "lot"
    # The coins left after a fee in coins, floored to the lot, must be sellable too.
    kept = ONE - market.buy_fee_in_base(market.maker_fee)
    wanted = max(_ceiled(market, market.smallest_quantity(sell)), market.lot or ZERO)
    return max(quantity, _ceiled(market, wanted / kept)), rule


def _worst_case(
    plan: GridPlan, params: GridParams, market: Market, price: Decimal
) -> WorstCase | None:
    if params.direction is not Direction.LONG or market.kind is not MarketKind.SPOT:
        return None
    maker, taker = market.maker_fee, market.taker_fee
    to_buy, investment = plan.base_to_buy or ZERO, plan.investment or ZERO
    bought = sum((order.quantity or ZERO for order in plan.buys or ()), ZERO)
    coins = to_buy * (ONE - market.buy_fee_in_base(taker))
    coins += bought * (ONE - market.buy_fee_in_base(maker))
    paid = to_buy * price * (ONE + market.buy_fee_in_quote(taker))
    paid += (plan.quote_reserved or ZERO) * (ONE + market.buy_fee_in_quote(maker))
    cash = investment - paid
    value = cash + coins * params.lower
    left = coins * (ONE - taker)
    return WorstCase(
        price=params.lower,
        coins=coins,
        value=value,
        loss=investment - value,
        loss_share=LEVEL_DIGITS.plus((investment - value) / investment) if investment else ZERO,
        break_even=LEVEL_DIGITS.plus((investment - cash) / left) if left > 0 else None,
    )
