"""What is wrong or risky about a grid: refuse what cannot work, warn of what may hurt."""

from collections.abc import Iterable, Iterator
from decimal import ROUND_CEILING, Decimal
from math import ceil

from app.trading.contracts import tiers_of
from app.trading.market import BOOK_STEP, ONE, ZERO, Market, MarketKind, booked
from app.trading.strategies.grid_figures import GridPlan, PlannedOrder
from app.trading.strategies.grid_levels import LEVEL_DIGITS, Ladder, most_grids, net_profit
from app.trading.strategies.grid_params import (
    FEWEST_GRIDS,
    MOST_GRIDS,
    Direction,
    GridParams,
    Spacing,
)
from app.trading.strategies.grid_sizes import floored
from app.trading.strategies.grid_worst import Shortfall
from app.trading.strategy import Problem, StopHow, problem

Found = tuple[list[Problem], list[Problem]]

SHARE = Decimal("0.000001")
# Bybit states this step for every contract.
LEVERAGE_STEP = Decimal("0.01")


def parameter_problems(
    params: GridParams,
    market: Market,
    price: Decimal,
    price_now: Decimal | None,
    steps: Ladder,
    plan: GridPlan,
) -> Found:
    """Return errors and warnings that need no money to be seen.

    `price` is where the grid starts, `price_now` where the market stands.
    """
    errors = [*_range_errors(params, price), *_market_errors(params, market)]
    if params.trigger_price is not None and params.trigger_price == price_now:
        errors.append(problem("trigger_price", "trigger_already_reached", value=price))
    if steps.buys[0] == 0:
        errors.append(problem("lower", "price_below_tick", tick=market.tick))
    if steps.has_duplicates:
        most = most_grids(params.lower, params.upper, params.spacing, market.tick)
        errors.append(
            problem("grids", "duplicate_levels", grids=params.grids, maximum=most, tick=market.tick)
        )
    exits, warnings = _exit_problems(params, price)
    errors += exits
    has_stop = params.stop_loss is not None or params.stop_loss_share is not None
    if market.kind is not MarketKind.SPOT and has_stop and params.at_exit is StopHow.KEEP:
        warnings.append(problem("at_exit", "stop_keeps_position"))
    if plan.orders_virtual and params.max_resting is None:
        orders = (plan.orders_resting or 0) + plan.orders_virtual
        warnings.append(
            problem("grids", "too_many_orders", orders=orders, maximum=market.max_orders)
        )
    profit = plan.profit_per_grid
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


def too_many_levels(gaps: int) -> list[Problem]:
    """Return the error of an infinity grid with too many levels between its lowest and the price.

    Others name theirs, so that is seen as they are read.
    """
    if gaps <= MOST_GRIDS:
        return []
    limits = {"minimum": FEWEST_GRIDS, "maximum": MOST_GRIDS}
    return [problem("step", "grids_out_of_range", value=gaps, **limits)]


def _range_errors(params: GridParams, price: Decimal) -> list[Problem]:
    if params.lower <= price and (params.infinity or price <= params.upper):
        return []
    field = "upper" if price > params.upper else "lower"
    return [
        problem(field, "range_excludes_price", price=price, lower=params.lower, upper=params.upper)
    ]


def _market_errors(params: GridParams, market: Market) -> list[Problem]:
    if market.kind is not MarketKind.SPOT:
        most = _most_leverage(market)
        if params.leverage > most:
            return [problem("leverage", "leverage_too_high", value=params.leverage, maximum=most)]
        if params.leverage % LEVERAGE_STEP:
            return [problem("leverage", "leverage_too_fine", step=LEVERAGE_STEP)]
        return []
    errors = []
    if params.direction is not Direction.LONG:
        errors.append(problem("direction", "spot_is_long_only", value=params.direction.value))
    if params.leverage != ONE:
        errors.append(problem("leverage", "spot_has_no_leverage", value=params.leverage))
    return errors


def _most_leverage(market: Market) -> Decimal:
    """Return the most that a venue takes, or that leaves a margin above what it maintains."""
    if market.max_leverage is not None:
        return market.max_leverage
    return Decimal(ceil(1 / tiers_of(market)[0].rate) - 1)


def _exit_problems(params: GridParams, price: Decimal) -> Found:
    stop, target = params.stop_loss, params.take_profit
    if params.is_short:
        # The mirror of a long grid: the stop stands above, the target below.
        return _exits_beyond(
            ("take_profit", target, params.lower, "lower"),
            ("stop_loss", stop, params.upper, "upper"),
            price,
        )
    return _exits_beyond(
        ("stop_loss", stop, params.lower, "lower"),
        ("take_profit", target, None if params.infinity else params.upper, "upper"),
        price,
    )


Exit = tuple[str, Decimal | None, Decimal | None, str]


def _exits_beyond(below: Exit, above: Exit, price: Decimal) -> Found:
    errors, warnings = [], []
    for (name, value, bound, side), is_below in ((below, True), (above, False)):
        if value is None:
            continue
        if value >= price if is_below else value <= price:
            code = f"{name}_not_{'below' if is_below else 'above'}_price"
            errors.append(problem(name, code, value=value, price=price))
        elif bound is not None and (value > bound if is_below else value < bound):
            warnings.append(problem(name, f"{name}_inside_range", value=value, **{side: bound}))
    return errors, warnings


def order_problems(
    params: GridParams, market: Market, price: Decimal, plan: GridPlan, steps: Ladder
) -> Found:
    """Return errors and warnings about the size of orders and the money for them."""
    errors: list[Problem] = []
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
                min_notional=market.min_notional,
                min_quantity=market.min_quantity,
                lot=market.lot,
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
    warnings = [
        *_reserve_warnings(params, market, price, plan),
        *_share_warnings(params, market, plan),
        *_liquidation_warnings(params, market, plan),
        *_followed_warnings(params, market, price, plan),
        *trailing_warnings(params, market, plan, steps),
    ]
    return errors, warnings


def _reserve_warnings(
    params: GridParams, market: Market, price: Decimal, plan: GridPlan
) -> list[Problem]:
    investment = plan.investment or ZERO
    needed = _money_with_fees(params, market, price, plan)
    if needed <= max(investment, params.investment or ZERO):
        return []
    share = needed / investment - ONE if investment else ZERO
    return [problem("reserve", "reserve_below_fees", needed=needed, share=share.quantize(SHARE))]


def _share_warnings(params: GridParams, market: Market, plan: GridPlan) -> list[Problem]:
    """Warn of targets so near that the fee of the first trade alone is as large."""
    if not plan.investment:
        return []
    fee = abs(plan.base_cost or ZERO) * market.taker_fee / plan.investment
    shares = (
        ("stop_loss_share", params.stop_loss_share),
        ("take_profit_share", params.take_profit_share),
    )
    return [
        problem(name, "share_inside_fees", share=share, rate=fee.quantize(SHARE))
        for name, share in shares
        if share is not None and share <= fee
    ]


def _liquidation_warnings(params: GridParams, market: Market, plan: GridPlan) -> list[Problem]:
    if plan.liquidation is None:
        return []
    warnings = []
    if not market.tiers:
        warnings.append(problem("leverage", "maintenance_assumed", rate=tiers_of(market)[0].rate))
    below, above = plan.liquidation.below, plan.liquidation.above
    for price in (below, above):
        if price is not None and params.lower <= price <= params.upper:
            warnings.append(
                problem(
                    "leverage",
                    "liquidation_inside_range",
                    price=LEVEL_DIGITS.plus(price),
                    lower=params.lower,
                    upper=params.upper,
                )
            )
    stop = params.stop_loss
    first = above if params.is_short else below
    if (
        stop is not None
        and first is not None
        and (stop >= first if params.is_short else stop <= first)
    ):
        warnings.append(
            problem(
                "stop_loss",
                "liquidation_before_stop_loss",
                price=LEVEL_DIGITS.plus(first),
                stop_loss=stop,
            )
        )
    return warnings


def _followed_warnings(
    params: GridParams, market: Market, price: Decimal, plan: GridPlan
) -> list[Problem]:
    """Warn of where following the price leads a contract whose position loses by that.

    The worst case: at the limit (or without one) every level has traded there once more, so that
    the loss of the position is realised and all of it was opened anew at that price.
    """
    liquidation, leverage = plan.liquidation, params.leverage
    if liquidation is None:
        return []
    first = plan.base_to_buy or ZERO
    warnings = []
    for up, follows, limit, forced in (
        (True, params.trailing_up, params.trailing_up_limit, liquidation.above),
        (False, params.trailing_down, params.trailing_down_limit, liquidation.below),
    ):
        if not follows or params.direction is (Direction.LONG if up else Direction.SHORT):
            continue
        opened = [(price, abs(first))] if (first < 0) is up and first else []
        orders = (plan.sells if up else plan.buys) or ()
        opened += [(each.price, each.quantity or ZERO) for each in orders]
        coins = sum((quantity for _, quantity in opened), ZERO)
        cost = sum((at * quantity for at, quantity in opened), ZERO)
        wallet = (plan.investment or ZERO) - cost * market.maker_fee
        name = "trailing_up_limit" if up else "trailing_down_limit"
        short = _short_from(coins, cost, wallet, leverage, up=up)
        bound = max(short, params.upper) if up else min(short, params.lower)
        reached = bound > 0 and _comes_to(bound, limit, up=up)
        if coins and reached and (forced is None or _comes_to(bound, forced, up=up)):
            warnings.append(problem(name, "trailing_margin", price=LEVEL_DIGITS.plus(bound)))
        outside = forced is not None and not params.lower <= forced <= params.upper
        if forced is not None and outside and _comes_to(forced, limit, up=up):
            loss = booked(cost / leverage + cost * market.maker_fee)
            shown = LEVEL_DIGITS.plus(forced)
            warnings.append(problem(name, "trailing_liquidation", price=shown, loss=loss))
    return warnings


def _short_from(
    coins: Decimal, cost: Decimal, wallet: Decimal, leverage: Decimal, *, up: bool
) -> Decimal:
    # wallet - loss = margin, where loss = coins·P - cost going up, cost - coins·P going down, and
    # margin = coins·P / leverage.
    if not coins:
        return ZERO
    if up:
        return (wallet + cost) / (coins * (ONE + ONE / leverage))
    return (cost - wallet) / (coins * (ONE - ONE / leverage)) if leverage > 1 else ZERO


def _comes_to(price: Decimal, limit: Decimal | None, *, up: bool) -> bool:
    return limit is None or (price <= limit if up else price >= limit)


def shortfall_warnings(shortfalls: Iterable[Shortfall]) -> list[Problem]:
    """Warn of ends of the range at which the margin runs short after some round trips."""
    return [
        problem(
            "reserve",
            "margin_runs_short",
            price=each.price,
            trips=each.trips,
            needed=each.needed.quantize(BOOK_STEP, ROUND_CEILING),
        )
        for each in shortfalls
    ]


def trailing_warnings(
    params: GridParams, market: Market, plan: GridPlan, steps: Ladder
) -> list[Problem]:
    """Warn of orders too small, or steps that no longer earn, where trailing leads to.

    Equal quote buys ever fewer coins on the way up, and so does equal base of a long grid, where a
    new order costs no more than what the lowest one frees; equal base is worth ever less on the way
    down (Bitsgap's help names the first; all halt a grid far from where it began). Without a limit
    the first such price is named, as far as the price doubles or halves.
    """
    warnings = []
    for name, follows, limit in (
        ("trailing_up_limit", params.trailing_up, params.trailing_up_limit),
        ("trailing_down_limit", params.trailing_down, params.trailing_down_limit),
    ):
        if not follows:
            continue
        up = name == "trailing_up_limit"
        prices = list(_ahead(params, steps, up=up)) if limit is None else [limit]
        for find in (_too_small_at, _loss_at):
            # It only gets worse on the way: what is right at its end is right everywhere.
            if not prices or find(params, market, plan, steps, (name, prices[-1], up)) is None:
                continue
            found = (find(params, market, plan, steps, (name, price, up)) for price in prices)
            warnings.append(next(each for each in found if each is not None))
    return warnings


Far = tuple[str, Decimal, bool]
# Farther ahead nobody looks; and so many levels at most.
HORIZON, MOST_AHEAD = Decimal(2), 2000


def _ahead(params: GridParams, steps: Ladder, *, up: bool) -> Iterator[Decimal]:
    price = steps.exact[-1] if up else steps.exact[0]
    last = price * HORIZON if up else price / HORIZON
    gap, ratio = steps.exact[1] - steps.exact[0], steps.exact[1] / steps.exact[0]
    for _ in range(MOST_AHEAD):
        if params.spacing is Spacing.ARITHMETIC:
            price = price + gap if up else price - gap
        else:
            price = price * ratio if up else price / ratio
        if price > last if up else price < last or price <= 0:
            return
        yield price


def _too_small_at(
    params: GridParams, market: Market, plan: GridPlan, steps: Ladder, far: Far
) -> Problem | None:
    name, price, up = far
    quantity = plan.quantity or floored(market, (plan.order_value or ZERO) / price)
    if plan.quantity and up and params.direction is Direction.LONG:
        quantity = min(quantity, floored(market, plan.quantity * steps.buys[0] / price))
    kept = floored(market, quantity * (ONE - market.buy_fee_in_base(market.maker_fee)))
    if market.is_tradable(kept, price):
        return None
    shown = market.price_down(price)
    return problem(name, "trailing_below_minimum", price=shown, quantity=kept)


def _loss_at(
    params: GridParams, market: Market, plan: GridPlan, steps: Ladder, far: Far
) -> Problem | None:
    name, price, up = far
    step = steps.exact[1] / steps.exact[0]
    if params.spacing is Spacing.ARITHMETIC:
        gap = steps.exact[1] - steps.exact[0]
        step = price / (price - gap) if up else (price + gap) / price
    profit = net_profit(step, market.maker_fee, market.fee_side)
    if profit > 0:
        return None
    shown = market.price_down(price)
    return problem(name, "trailing_below_fees", price=shown, profit=profit.quantize(SHARE))


def _first_too_small(market: Market, orders: tuple[PlannedOrder, ...]) -> PlannedOrder | None:
    return next(
        (order for order in orders if not market.is_tradable(order.quantity or ZERO, order.price)),
        None,
    )


def _money_with_fees(params: GridParams, market: Market, price: Decimal, plan: GridPlan) -> Decimal:
    first, resting = abs(plan.base_to_buy or ZERO) * price, plan.quote_reserved or ZERO
    if market.kind is MarketKind.SPOT:
        first *= ONE + market.buy_fee_in_quote(market.taker_fee)
        return first + resting * (ONE + market.buy_fee_in_quote(market.maker_fee))
    sells = sum((order.price * (order.quantity or ZERO) for order in plan.sells or ()), ZERO)
    way = {Direction.LONG: resting, Direction.SHORT: sells}.get(
        params.direction, max(resting, sells)
    )
    # Venues want the fee for closing beside the margin too.
    fees = first * market.taker_fee + way * 2 * max(ZERO, market.maker_fee)
    return (first + way) / params.leverage + fees
