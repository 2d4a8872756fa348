"""How the money of a grid is spread over its levels: sizes of orders, first purchase, minimum."""

from decimal import ROUND_CEILING, Context, Decimal
from typing import NamedTuple

from app.money import ceil_to_step, floor_to_step
from app.trading.market import BOOK_STEP, ONE, ZERO, Market
from app.trading.orders import Side
from app.trading.strategies.grid_levels import Ladder, gap_ratio, ladder
from app.trading.strategies.grid_params import Direction, GridParams, Sizing

# Money needed is rounded up: one unit less would buy one lot less.
MONEY_UP = Context(prec=28, rounding=ROUND_CEILING)
# An infinity grid plans so many sells above the price; more follow as the price rises.
SELLS_AHEAD = 20


class Rests(NamedTuple):
    """On which levels orders rest at the start; `empty` is the level left free."""

    buys: tuple[int, ...]
    sells: tuple[int, ...]
    empty: int | None


class Money(NamedTuple):
    """How the money is spread: `unit` is what one order or the whole grid is measured by.

    q for equal base, the value of an order for equal quote, the value kept in coins for infinity.
    """

    unit: Decimal
    weight: Decimal
    investment: Decimal


def rests_at(steps: Ladder, price: Decimal, direction: Direction) -> Rests:
    """Return which levels hold an order at a price.

    Long and spot: the lowest level at or above the price stays empty (found from examples of Bybit
    and Binance). Short: the highest level at or below it. Neutral: every level holds one, except
    one on which the price stands (Bybit futures grid).
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


def ladder_of(
    params: GridParams, market: Market, trail: int = 0, gaps: int | None = None
) -> Ladder:
    """Return the levels of a grid on a market; `trail` and `gaps` as a running grid has them."""
    return ladder(
        params.lower,
        params.upper,
        params.grids,
        params.spacing,
        market.tick,
        trail,
        gaps,
        params.step,
    )


def ladder_at(params: GridParams, market: Market, price: Decimal) -> Ladder:
    """Return the levels with which a grid starts at a price.

    An infinity grid has as many as reach the price, and some more for its next sells.
    """
    if not params.infinity:
        return ladder_of(params, market)
    return ladder_of(params, market, gaps=infinite_gaps(params, price))


def infinite_gaps(params: GridParams, price: Decimal) -> int:
    """Return with how many gaps an infinity grid reaches a price and its next sells above it."""
    growth = gap_ratio(params.lower, params.upper, params.grids, params.step)
    below = 0 if price <= params.lower else int((price / params.lower).ln() / growth.ln())
    return below + SELLS_AHEAD + 1


def spread_money(
    params: GridParams, market: Market, price: Decimal, steps: Ladder, rests: Rests
) -> Money:
    """Return the size of an order and the money that the grid takes.

    q = floor to lot of (1 - reserve)·I / (sum of buys + sells·P0): Bybit's spot grid, fitted to its
    published example to 8 digits. Equal quote: c = (1 - reserve)·I / (buys + sum of P0/p_i).
    Futures take I·leverage for I. With `quantity` given the investment is the result:
    q·(sum of buys + sells·P0) / (1 - reserve).
    """
    if params.infinity:
        return _infinite_money(params, price)
    weight = _weight(params, price, steps, rests)
    if params.quantity is not None:
        unit = market.quantity_down(params.quantity)
        needed = unit * weight / (ONE - params.reserve) / params.leverage
        return Money(unit, weight, MONEY_UP.plus(needed))
    investment = params.investment or ZERO
    unit = floor_to_step((ONE - params.reserve) * investment * params.leverage / weight, BOOK_STEP)
    if params.sizing is Sizing.EQUAL_BASE:
        unit = floored(market, unit)
    return Money(unit, weight, investment)


def _infinite_money(params: GridParams, price: Decimal) -> Money:
    """Return X, the value that is kept in coins.

    Pionex infinity grid: A - X = (P1 - P2)/P2·X, so X = A·P2/P1, with A the investment, P1 the
    price and P2 the lowest price; the rest buys down to P2.
    """
    weight = max(ONE, price / params.lower)
    investment = params.investment or ZERO
    unit = floor_to_step((ONE - params.reserve) * investment * params.leverage / weight, BOOK_STEP)
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
    if params.is_short:
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


def gap_quantity(
    params: GridParams, market: Market, steps: Ladder, unit: Decimal, gap: int, side: Side
) -> Decimal:
    """Return the size of an order of a gap before fees.

    q; or c / price floored to the lot; or, for infinity, exactly what keeps the value of the coins
    the same between two levels: X/p_i - X/p_i+1 (HTX sells exactly the excess).
    """
    if params.infinity:
        return floored(market, unit / steps.exact[gap] - unit / steps.exact[gap + 1])
    if params.sizing is Sizing.EQUAL_BASE:
        return unit
    price = steps.buys[gap] if side is Side.BUY else steps.sells[gap + 1]
    return floored(market, unit / price)


def buy_quantity(
    params: GridParams, market: Market, steps: Ladder, unit: Decimal, level: int
) -> Decimal:
    """Return the quantity of a buy on a level; at the very top (neutral) no gap is above it."""
    if level < len(steps.exact) - 1:
        return gap_quantity(params, market, steps, unit, level, Side.BUY)
    return unit if params.sizing is Sizing.EQUAL_BASE else floored(market, unit / steps.buys[level])


def sell_quantity(
    params: GridParams, market: Market, steps: Ladder, unit: Decimal, level: int
) -> Decimal:
    """Return the size of a sell on a level before fees."""
    if level > 0:
        return gap_quantity(params, market, steps, unit, level - 1, Side.SELL)
    return unit if params.sizing is Sizing.EQUAL_BASE else floored(market, unit / steps.sells[0])


def first_sell_quantity(
    params: GridParams, market: Market, steps: Ladder, unit: Decimal, level: int
) -> Decimal:
    """Return the quantity of a sell that rests at the start: as if it answered a buy.

    floor to lot of q·(1 - f) where the fee is taken in coins (Bybit, OKX, OctoBot).
    """
    size = sell_quantity(params, market, steps, unit, level)
    kept = ONE - market.buy_fee_in_base(market.maker_fee)
    return size if kept == ONE else floored(market, size * kept)


def floored(market: Market, quantity: Decimal) -> Decimal:
    """Round a quantity down to the lot, or to the step of the books."""
    return floor_to_step(quantity, BOOK_STEP if market.lot is None else market.lot)


def _ceiled(market: Market, quantity: Decimal) -> Decimal:
    return ceil_to_step(quantity, BOOK_STEP if market.lot is None else market.lot)


def purchase_for(market: Market, needed: Decimal) -> Decimal:
    """Return the smallest purchase at market that leaves `needed` coins after the taker fee."""
    kept = ONE - market.buy_fee_in_base(market.taker_fee)
    if needed <= 0:
        return ZERO
    return _ceiled(market, needed / kept)


def first_trade(
    params: GridParams,
    market: Market,
    money: Money,
    buys: Decimal,
    sells: Decimal,
    empty: Decimal,
) -> Decimal:
    """Return how many coins are bought at market first; negative: sold short; 0 for neutral.

    A long grid needs what its sells sell, a short one owes what its buys buy back. An infinity
    grid holds what all its sells without end would sell: the value X at the `empty` level.
    """
    if params.direction is Direction.NEUTRAL:
        return ZERO
    if params.is_short:
        return -buys
    if params.infinity:
        return max(purchase_for(market, sells), floored(market, money.unit / empty))
    return purchase_for(market, sells)


def minimum_investment(
    params: GridParams, market: Market, steps: Ladder, weight: Decimal
) -> tuple[Decimal, str]:
    """Return the least money with which every order passes the venue, and the rule that sets it.

    Orders will rest on every level sooner or later, so the lowest price counts.
    I_min = q_min·(sum of buys + sells·P0) / (1 - reserve).
    """
    if params.infinity:
        unit, rule = _infinite_minimum(market, steps)
    elif params.sizing is Sizing.EQUAL_BASE:
        unit, rule = smallest_unit(market, steps.buys[0], steps.sells[1])
    else:
        gaps = range(len(steps.levels) - 1)
        found = [smallest_unit(market, steps.buys[i], steps.sells[i + 1]) for i in gaps]
        unit, rule = max((q * steps.sells[i + 1], rule) for i, (q, rule) in enumerate(found))
        unit = ceil_to_step(unit, BOOK_STEP)
    return MONEY_UP.plus(unit * weight / (ONE - params.reserve) / params.leverage), rule


def _infinite_minimum(market: Market, steps: Ladder) -> tuple[Decimal, str]:
    found = []
    for i in range(len(steps.levels) - 1):
        quantity, rule = smallest_unit(market, steps.buys[i], steps.sells[i + 1])
        share = ONE / steps.exact[i] - ONE / steps.exact[i + 1]
        found.append((quantity / share, rule))
    unit, rule = max(found)
    return ceil_to_step(unit, BOOK_STEP), rule


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
