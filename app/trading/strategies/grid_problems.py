"""What is wrong or risky about a grid: refuse what cannot work, warn of what may hurt."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from app.trading.market import ONE, ZERO, Market, MarketKind
from app.trading.strategies.grid_levels import Ladder, most_grids
from app.trading.strategies.grid_params import Direction, GridParams
from app.trading.strategy import Problem, problem

if TYPE_CHECKING:
    from app.trading.strategies.grid_plan import GridPlan, PlannedOrder, ProfitPerGrid

Found = tuple[list[Problem], list[Problem]]


def parameter_problems(
    params: GridParams,
    market: Market,
    price: Decimal,
    steps: Ladder,
    profit: ProfitPerGrid | None,
) -> Found:
    """Return errors and warnings that need no money to be seen."""
    errors = [*_range_errors(params, price), *_market_errors(params, market)]
    if steps.buys[0] == 0:
        errors.append(problem("lower", "price_below_tick", tick=market.tick))
    if steps.has_duplicates:
        most = most_grids(params.lower, params.upper, params.spacing, market.tick)
        errors.append(
            problem("grids", "duplicate_levels", grids=params.grids, maximum=most, tick=market.tick)
        )
    if market.max_orders is not None and params.grids > market.max_orders:
        errors.append(problem("grids", "too_many_orders", maximum=market.max_orders))
    exits, warnings = _exit_problems(params, price)
    errors += exits
    if profit is not None and profit.lowest <= 0:
        loses_all = profit.highest <= 0
        found = problem(
            "grids",
            "fees_exceed_profit",
            lowest=profit.lowest,
            highest=profit.highest,
            fee=market.maker_fee,
        )
        (errors if loses_all else warnings).append(found)
    return errors, warnings


def _range_errors(params: GridParams, price: Decimal) -> list[Problem]:
    if params.lower <= price <= params.upper:
        return []
    field = "upper" if price > params.upper else "lower"
    return [
        problem(field, "range_excludes_price", price=price, lower=params.lower, upper=params.upper)
    ]


def _market_errors(params: GridParams, market: Market) -> list[Problem]:
    if market.kind is not MarketKind.SPOT:
        return []
    errors = []
    if params.direction is not Direction.LONG:
        errors.append(problem("direction", "spot_is_long_only", value=params.direction.value))
    if params.leverage != ONE:
        errors.append(problem("leverage", "spot_has_no_leverage", value=params.leverage))
    return errors


def _exit_problems(params: GridParams, price: Decimal) -> Found:
    errors, warnings = [], []
    stop, target = params.stop_loss, params.take_profit
    if stop is not None and stop >= price:
        errors.append(problem("stop_loss", "stop_loss_not_below_price", value=stop, price=price))
    elif stop is not None and stop > params.lower:
        warnings.append(
            problem("stop_loss", "stop_loss_inside_range", value=stop, lower=params.lower)
        )
    if target is not None and target <= price:
        errors.append(
            problem("take_profit", "take_profit_not_above_price", value=target, price=price)
        )
    elif target is not None and target < params.upper:
        warnings.append(
            problem("take_profit", "take_profit_inside_range", value=target, upper=params.upper)
        )
    return errors, warnings


def order_problems(params: GridParams, market: Market, price: Decimal, plan: GridPlan) -> Found:
    """Return errors and warnings about the size of orders and the money for them."""
    errors: list[Problem] = []
    warnings: list[Problem] = []
    investment, minimum = plan.investment or ZERO, plan.minimum_investment or ZERO
    given = params.investment
    if params.quantity is not None and given is not None and given < investment:
        errors.append(
            problem("investment", "investment_too_small", value=given, minimum=investment)
        )
    too_small = _first_too_small(market, (*(plan.buys or ()), *(plan.sells or ())))
    if params.quantity is None and (investment < minimum or too_small):
        errors.append(
            problem(
                "investment",
                "investment_too_small",
                value=investment,
                minimum=minimum,
                rule=plan.minimum_by,
            )
        )
    elif too_small:
        errors.append(
            problem(
                "quantity",
                "below_minimum_order",
                price=too_small.price,
                quantity=too_small.quantity,
                min_quantity=market.min_quantity,
                min_notional=market.min_notional,
            )
        )
    needed = _money_with_fees(market, price, plan)
    if market.kind is MarketKind.SPOT and needed > max(investment, given or ZERO):
        share = needed / investment - ONE if investment else ZERO
        warnings.append(
            problem("reserve", "reserve_below_fees", needed=needed, share=share.quantize(SHARE))
        )
    return errors, warnings


SHARE = Decimal("0.000001")


def _first_too_small(market: Market, orders: tuple[PlannedOrder, ...]) -> PlannedOrder | None:
    return next(
        (order for order in orders if not market.is_tradable(order.quantity or ZERO, order.price)),
        None,
    )


def _money_with_fees(market: Market, price: Decimal, plan: GridPlan) -> Decimal:
    first = (plan.base_to_buy or ZERO) * price * (ONE + market.buy_fee_in_quote(market.taker_fee))
    resting = plan.quote_reserved or ZERO
    return first + resting * (ONE + market.buy_fee_in_quote(market.maker_fee))


def not_yet_runnable(params: GridParams, market: Market) -> list[Problem]:
    """Return what can be planned but not run: anything but a plain spot grid."""
    problems = []
    if market.kind is not MarketKind.SPOT:
        problems.append(problem("market_type", "not_available_yet", value=market.kind.value))
    if params.direction is not Direction.LONG:
        problems.append(problem("direction", "not_available_yet", value=params.direction.value))
    if params.trailing_up:
        problems.append(problem("trailing_up", "not_available_yet"))
    return problems
