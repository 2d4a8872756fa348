"""Ready-made grids from what a pair's price did lately: Careful, Balanced, Active.

The range holds nearly all of the last days' prices; within it stand as many grids as still earn
enough after fees and whose orders the exchange surely takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app.trading.market import Candle, Market, exact
from app.trading.strategies.grid_figures import GridPlan
from app.trading.strategies.grid_params import (
    FEWEST_GRIDS,
    USUAL_RESERVE,
    GridParams,
    Spacing,
)
from app.trading.strategies.grid_plan import plan_grid

LOW_SHARE, HIGH_SHARE = Decimal("0.05"), Decimal("0.95")
# Where the price stands outside of the range, the range reaches this far beyond it.
MARGIN = Decimal("0.01")
ORDER_MARGIN = Decimal("1.2")
STOP_BELOW = Decimal("0.05")
MOST_GRIDS = 200
HOUR_MS = 3_600_000
# Gaps in the history that are still fine.
COMPLETE = Decimal("0.9")


@dataclass(frozen=True, slots=True)
class Kind:
    """From how many days a preset is made, and the least it earns per grid after fees."""

    name: str
    days: int
    profit: Decimal


KINDS = (
    Kind("careful", 90, Decimal("0.008")),
    Kind("balanced", 30, Decimal("0.005")),
    Kind("active", 7, Decimal("0.003")),
)
LONGEST_DAYS = max(kind.days for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Preset:
    """A grid that can be taken as it is, and the days that it was made from."""

    kind: Kind
    from_time: datetime
    to_time: datetime
    lower: Decimal
    upper: Decimal
    grids: int
    spacing: str
    stop_loss: Decimal
    profit_low: Decimal
    profit_high: Decimal


@dataclass(frozen=True, slots=True)
class NoPreset:
    """Why a preset can't be made: a code and values."""

    kind: Kind
    code: str
    values: dict[str, str | int]


@exact
def make_preset(
    kind: Kind,
    candles: Sequence[Candle],
    market: Market,
    price: Decimal,
    investment: Decimal,
    now: datetime,
) -> Preset | NoPreset:
    """Make a preset from candles of an hour, oldest first, for so much money."""
    since_ms = int((now - timedelta(days=kind.days)).timestamp() * 1000)
    recent = [candle for candle in candles if candle.ts_ms >= since_ms]
    have = len(recent) * HOUR_MS / (24 * HOUR_MS)
    if len(recent) < kind.days * 24 * COMPLETE:
        return NoPreset(kind, "preset_short_history", {"days": kind.days, "have": int(have)})
    lower = percentile([candle.low for candle in recent], LOW_SHARE)
    upper = percentile([candle.high for candle in recent], HIGH_SHARE)
    if price < lower:
        lower = price * (1 - MARGIN)
    if price > upper:
        upper = price * (1 + MARGIN)
    lower, upper = market.price_down(lower), market.price_up(upper)
    if not 0 < lower < upper:
        return NoPreset(kind, "preset_no_movement", {"days": kind.days})

    def plan(grids: int) -> GridPlan:
        params = GridParams(
            lower=lower,
            upper=upper,
            grids=grids,
            spacing=Spacing.GEOMETRIC,
            investment=investment,
            reserve=USUAL_RESERVE,
        )
        return plan_grid(params, market, price)

    grids = most_grids(plan, kind.profit, investment)
    if grids is None:
        return _why_not(kind, plan(FEWEST_GRIDS), investment)
    profit = plan(grids).profit_per_grid
    assert profit is not None  # noqa: S101 - a plan at a price always has it
    return Preset(
        kind=kind,
        from_time=_time(recent[0].ts_ms),
        to_time=_time(recent[-1].ts_ms + HOUR_MS),
        lower=lower,
        upper=upper,
        grids=grids,
        spacing=Spacing.GEOMETRIC.value,
        stop_loss=market.price_down(lower * (1 - STOP_BELOW)),
        profit_low=profit.lowest,
        profit_high=profit.highest,
    )


def most_grids(
    plan: Callable[[int], GridPlan], least_profit: Decimal, investment: Decimal
) -> int | None:
    """Return the most grids that earn enough with orders that are big enough, or None."""

    def fits(grids: int) -> bool:
        found = plan(grids)
        if found.errors or found.profit_per_grid is None:
            return False
        minimum = found.minimum_investment
        big_enough = minimum is not None and minimum * ORDER_MARGIN <= investment
        return big_enough and found.profit_per_grid.lowest >= least_profit

    if not fits(FEWEST_GRIDS):
        return None
    # More grids earn less each and make smaller orders, so what fits is found by halving.
    good, bad = FEWEST_GRIDS, MOST_GRIDS + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good


def percentile(values: Sequence[Decimal], share: Decimal) -> Decimal:
    """Return the value below which a share of the values lies, between neighbours by distance."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _why_not(kind: Kind, smallest: GridPlan, investment: Decimal) -> NoPreset:
    profit, minimum = smallest.profit_per_grid, smallest.minimum_investment
    if profit is not None and profit.lowest < kind.profit:
        return NoPreset(kind, "preset_fees_too_high", {"days": kind.days})
    needed = (minimum or investment) * ORDER_MARGIN
    return NoPreset(kind, "preset_needs_more", {"needed": f"{needed:f}"})


def _time(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, UTC)
