"""Where the levels of a grid lie, and what one round trip between two of them earns.

Formulas: arithmetic p_i = L + i·(U - L)/N; geometric p_i = L·(U/L)^(i/N).
"""

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import lru_cache

from app.money import ceil_to_step, floor_to_step
from app.trading.market import EXACT, ONE, FeeSide, booked, exact
from app.trading.strategies.grid_params import Spacing

# Levels are numbers of 28 digits; they are found with more, so that an exact level stays exact.
LEVEL_DIGITS = Context(prec=28)


@dataclass(frozen=True, slots=True)
class Ladder:
    """The levels of a grid from the lower to the upper price.

    `exact` are the levels as the formula gives them, `levels` those rounded down to the tick,
    `buys` and `sells` the prices at which an order of that side stands on the level.
    """

    exact: tuple[Decimal, ...]
    levels: tuple[Decimal, ...]
    buys: tuple[Decimal, ...]
    sells: tuple[Decimal, ...]

    @property
    def has_duplicates(self) -> bool:
        """Say whether two levels fall onto the same tick."""
        return len(set(self.levels)) < len(self.levels)

    def empty_level(self, price: Decimal) -> int | None:
        """Return the lowest level at or above a price, or None above the grid."""
        return next((i for i, level in enumerate(self.exact) if level >= price), None)


def ladder(
    lower: Decimal,
    upper: Decimal,
    grids: int,
    spacing: Spacing,
    tick: Decimal | None,
    trail: int = 0,
    gaps: int | None = None,
    step: Decimal | None = None,
) -> Ladder:
    """Return the levels of a grid with `grids` gaps between its bounds.

    With `trail` they begin so many levels above (negative: below) the lower price; with `gaps`
    there are so many of them; `step` is the share by which a geometric grid was asked to rise.
    Arithmetic p_i = L + i·(U - L)/N; geometric p_i = L·(U/L)^(i/N): KuCoin help 21959472633113,
    Phemex help 27210674200473, the same at every venue.
    """
    count = grids if gaps is None else gaps
    kept = _short_ladder if count <= SHORT else _long_ladder
    return kept(lower, upper, grids, spacing, tick, trail, count, step)


def _made(
    lower: Decimal,
    upper: Decimal,
    grids: int,
    spacing: Spacing,
    tick: Decimal | None,
    trail: int,
    count: int,
    step: Decimal | None,
) -> Ladder:
    with localcontext(EXACT):
        if spacing is Spacing.GEOMETRIC:
            found = _geometric(lower, upper, grids, trail, count, step)
        else:
            numbers = range(trail, trail + count + 1)
            found = [(lower * (grids - i) + upper * i) / grids for i in numbers]
        levels = tuple(LEVEL_DIGITS.plus(level) for level in found)
        down = tuple(floor_to_step(level, tick) for level in levels)
        up = tuple(ceil_to_step(level, tick) for level in levels)
        if tick is not None:
            return Ladder(exact=levels, levels=down, buys=down, sells=up)
        rounded = tuple(map(booked, levels))
        return Ladder(exact=levels, levels=levels, buys=rounded, sells=rounded)


# A ladder is shared by all ticks of a bot. A level takes about 370 bytes, so what is kept takes at
# most 150 MB in short ladders and, with 1,000 levels each, 50 MB in long ones.
SHORT = 200
_short_ladder = lru_cache(maxsize=2048)(_made)
_long_ladder = lru_cache(maxsize=128)(_made)


def _geometric(
    lower: Decimal, upper: Decimal, grids: int, trail: int, count: int, step: Decimal | None
) -> list[Decimal]:
    growth = gap_ratio(lower, upper, grids, step)
    levels = [lower if trail == 0 else lower * growth**trail]
    for _ in range(count):
        levels.append(levels[-1] * growth)
    if step is None and 0 <= grids - trail <= count:
        levels[grids - trail] = upper
    return levels


@exact
def gap_ratio(lower: Decimal, upper: Decimal, grids: int, step: Decimal | None = None) -> Decimal:
    """Return by how much neighbouring levels of a geometric grid differ.

    A step that was asked for is taken as it is: the top that was counted off by it is rounded to
    the step of the books, and levels drawn from there would miss the tick on which they lie.
    """
    return (upper / lower) ** (ONE / grids) if step is None else ONE + step


@exact
def ratio(lower: Decimal, upper: Decimal, grids: int) -> Decimal:
    """Return the ratio of neighbouring levels of a geometric grid."""
    return LEVEL_DIGITS.plus(gap_ratio(lower, upper, grids))


def net_profit(step_ratio: Decimal, fee: Decimal, fee_side: FeeSide) -> Decimal:
    """Return what a round trip earns per money spent, after fees, as a fraction.

    `step_ratio` = sell price / buy price. Fee in quote on both sides: (1 - f)·ratio - 1 - f; fee in
    coins on the buy: (1 - f)²·ratio - 1.
    """
    if fee_side is FeeSide.QUOTE:
        return (ONE - fee) * step_ratio - ONE - fee
    return (ONE - fee) ** 2 * step_ratio - ONE


@exact
def profit_bounds(
    lower: Decimal,
    upper: Decimal,
    grids: int,
    spacing: Spacing,
    fee: Decimal,
    fee_side: FeeSide,
    step: Decimal | None = None,
) -> tuple[Decimal, Decimal]:
    """Return the least and the greatest net profit of one round trip, as fractions.

    An arithmetic grid earns least at the top and most at the bottom; a geometric one the same
    everywhere.
    """
    if spacing is Spacing.GEOMETRIC:
        top = bottom = gap_ratio(lower, upper, grids, step)
    else:
        gap = (upper - lower) / grids
        top, bottom = upper / (upper - gap), (lower + gap) / lower
    least, most = net_profit(top, fee, fee_side), net_profit(bottom, fee, fee_side)
    return LEVEL_DIGITS.plus(least), LEVEL_DIGITS.plus(most)


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one buy and the sell that answers it bring: profit after fees, and the fees."""

    grid_profit: Decimal
    fees_in_quote: Decimal


@exact
def cycle(
    buy: Decimal,
    sell: Decimal,
    buy_quantity: Decimal,
    sell_quantity: Decimal,
    fee: Decimal,
    fee_side: FeeSide,
) -> Cycle:
    """Return the result of one round trip; a fee taken in coins is valued at the sell price."""
    paid, got = buy * buy_quantity, sell * sell_quantity
    in_coins = fee_side is FeeSide.RECEIVED_ASSET
    buy_fee = fee * (sell * buy_quantity if in_coins else paid)
    sell_fee = fee * got
    profit = got - sell_fee - paid - (0 if in_coins else buy_fee)
    return Cycle(grid_profit=profit, fees_in_quote=buy_fee + sell_fee)


@exact
def most_grids(lower: Decimal, upper: Decimal, spacing: Spacing, tick: Decimal | None) -> int:
    """Return the most gaps that surely leave every level on a tick of its own."""
    if tick is None:
        return 1000
    if spacing is Spacing.ARITHMETIC:
        count = (upper - lower) / tick
    else:
        count = (upper / lower).ln() / (ONE + tick / lower).ln()
    return min(1000, int(count))
