"""The live figures of a plan, as a form has it so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.bots.grounds import Grounds, find_grounds, own_account, pair_of, without_resting_stop
from app.bots.queries.draft import Draft
from app.money import ceil_to_cents
from app.trades.owners import Pair
from app.trades.queries import Line
from app.trading.market import ONE, ZERO, Market, booked, exact
from app.trading.strategies import STRATEGIES
from app.trading.strategies.grid_figures import GridPlan
from app.trading.strategies.grid_levels import gap_ratio, most_grids
from app.trading.strategies.grid_params import FEWEST_GRIDS, GridParams, Spacing, write_grid
from app.trading.strategy import InvalidParams, Problem

# Fractions of the core, which people write in percent.
IN_PERCENT = frozenset({"reserve", "take_profit_share", "stop_loss_share"})
# The step of a grid without a top is one too, the only step that has a bound of its own.
BOUND_IN_PERCENT = IN_PERCENT | {"step"}
# A liquidation nearer than this is shown as a danger.
NEAR = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class FieldLine:
    """A sentence about one field of the form."""

    field: str
    line: Line


@dataclass(frozen=True, slots=True)
class Worst:
    """What is left when the price stands at the bad end of the range, in money.

    `coins` are negative for a short position; `rises` says that the bad end is the upper one.
    """

    price: Decimal
    rises: bool
    coins: Decimal
    value: Decimal
    loss: Decimal
    loss_share: Decimal
    break_even: Decimal | None


@dataclass(frozen=True, slots=True)
class Forced:
    """A price at which the exchange closes the position by force, and how far off it is."""

    price: Decimal
    share: Decimal

    @property
    def is_near(self) -> bool:
        """Say whether a common move of the price reaches it."""
        return abs(self.share) < NEAR


@dataclass(frozen=True, slots=True)
class Purchase:
    """The first purchase at market, or for a short grid the first sale."""

    quantity: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True)
class AtOnce:
    """What other settings of a running bot buy or sell at market, for about so much money."""

    bought: Decimal
    sold: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Gap:
    """How far the bounds lie from the price, as fractions with their sign."""

    lower_share: Decimal
    upper_share: Decimal


@dataclass(frozen=True, slots=True)
class Preview:
    """The live figures of a plan; what can't be known yet is None."""

    pair: Pair
    currency: str
    price: Decimal | None
    price_at: datetime | None
    price_stale: bool
    errors: tuple[FieldLine, ...] = ()
    warnings: tuple[FieldLine, ...] = ()
    price_gap: Gap | None = None
    grids: int | None = None
    step: Decimal | None = None
    step_share: Decimal | None = None
    step_share_low: Decimal | None = None
    step_share_high: Decimal | None = None
    fewest_grids: int | None = None
    most_grids: int | None = None
    profit_low: Decimal | None = None
    profit_high: Decimal | None = None
    profit_money_low: Decimal | None = None
    profit_money_high: Decimal | None = None
    round_trip_fee: Decimal | None = None
    order_low: Decimal | None = None
    order_high: Decimal | None = None
    order_value_low: Decimal | None = None
    order_value_high: Decimal | None = None
    buys: int | None = None
    sells: int | None = None
    first_purchase: Purchase | None = None
    at_once: AtOnce | None = None
    reinvested: Decimal = ZERO
    minimum_investment: Decimal | None = None
    minimum_by: Line | None = None
    investment: Decimal | None = None
    free: Decimal | None = None
    free_left: Decimal | None = None
    worst: Worst | None = None
    forced_below: Forced | None = None
    forced_above: Forced | None = None
    resting: int | None = None
    waiting: int | None = None
    seconds: Decimal | None = None
    is_short: bool = False
    is_endless: bool = False
    starts_at: Decimal | None = None
    levels: tuple[tuple[Decimal, str], ...] = ()
    empty_level: Decimal | None = None
    is_live: bool = False
    # Where no stop can rest although one is wanted: the exchange's name.
    watched_here: str = ""

    @property
    def complete(self) -> bool:
        """Say whether the figures of the money are known."""
        return self.investment is not None and self.profit_low is not None

    @property
    def can_review(self) -> bool:
        """Say whether this could be started."""
        return self.complete and not self.errors


def preview_of_draft(
    user_id: int,
    draft: Draft,
    strategy: str,
    values: Mapping[str, object],
    wrong: Sequence[FieldLine] = (),
) -> Preview | None:
    """Plan what a form says on its draft; without an account or a pair there is nothing to plan."""
    if draft.account is None or draft.pair is None:
        return None
    grounds = find_grounds(own_account(user_id, draft.account.id), draft.pair.id)
    shown = preview(grounds, strategy, values, free=draft.free, wrong=wrong)
    if draft.problem is None:
        return shown
    return replace(shown, errors=(FieldLine("market_id", draft.problem), *shown.errors))


def preview(
    grounds: Grounds,
    strategy: str,
    values: Mapping[str, object],
    *,
    free: Decimal | None,
    wrong: Sequence[FieldLine] = (),
) -> Preview:
    """Plan what a form says at the last price; never raises for what people type.

    `wrong` are fields that could not even be read.
    """
    row, price = grounds.row, grounds.price
    empty = Preview(
        pair_of(row), row.quote, price.price, price.at, price.is_stale, tuple(wrong), free=free
    )
    known = STRATEGIES.get(strategy)
    if known is None:
        return replace(empty, errors=(FieldLine("strategy", Line("unknown_strategy")),))
    if price.price is None:
        line = Line("no_price_yet", {"symbol": row.symbol})
        return replace(empty, errors=(*wrong, FieldLine("market_id", line)))
    unread = {each.field for each in wrong}
    try:
        params = known.parse(values)
    except InvalidParams as bad:
        missing = tuple(field_line(each) for each in bad.problems if each.field not in unread)
        return replace(empty, errors=(*wrong, *missing))
    if wrong:
        return empty
    plan = known.plan(params, grounds.market, price.price, grounds.orders_per_second)
    found = _planned(empty, params, plan, grounds)
    return replace(found, errors=found.errors + _money_errors(found, plan))


def plan_preview(grounds: Grounds, params: Any, plan: Any, *, free: Decimal | None) -> Preview:
    """Return the figures of a plan that stands already."""
    row, price = grounds.row, grounds.price
    empty = Preview(pair_of(row), row.quote, price.price, price.at, price.is_stale, free=free)
    return _planned(empty, params, plan, grounds)


@exact
def _planned(empty: Preview, params: Any, plan: Any, grounds: Grounds) -> Preview:
    problems = replace(
        empty,
        errors=tuple(map(field_line, plan.errors)),
        warnings=tuple(map(field_line, plan.warnings)),
    )
    if not isinstance(plan, GridPlan) or not isinstance(params, GridParams):
        return problems
    return _grid_preview(problems, params, plan, grounds)


def _grid_preview(empty: Preview, params: GridParams, plan: GridPlan, grounds: Grounds) -> Preview:
    price = grounds.known_price
    first, last = plan.levels[:2], plan.levels[-2:]
    forced = plan.liquidation
    profit = plan.profit_per_grid
    orders = [*(plan.buys or ()), *(plan.sells or ())]
    sizes = [order.quantity for order in orders if order.quantity is not None]
    values = [order.price * order.quantity for order in orders if order.quantity is not None]
    to_buy = plan.base_to_buy or ZERO
    free = empty.free
    return replace(
        empty,
        price_gap=Gap(params.lower / price - ONE, params.upper / price - ONE),
        grids=params.grids,
        step=(params.upper - params.lower) / params.grids
        if params.spacing is Spacing.ARITHMETIC
        else None,
        step_share=None
        if params.spacing is Spacing.ARITHMETIC
        else gap_ratio(params.lower, params.upper, params.grids, params.step) - ONE,
        step_share_low=last[1] / last[0] - ONE if last[0] else None,
        step_share_high=first[1] / first[0] - ONE if first[0] else None,
        fewest_grids=FEWEST_GRIDS,
        most_grids=most_grids(params.lower, params.upper, params.spacing, grounds.market.tick),
        profit_low=profit.lowest if profit else None,
        profit_high=profit.highest if profit else None,
        profit_money_low=profit.lowest * min(values) if profit and values else None,
        profit_money_high=profit.highest * max(values) if profit and values else None,
        round_trip_fee=plan.round_trip_fee,
        order_low=min(sizes, default=None),
        order_high=max(sizes, default=None),
        order_value_low=min(values, default=None),
        order_value_high=max(values, default=None),
        buys=len(plan.buys or ()),
        sells=len(plan.sells or ()),
        first_purchase=Purchase(abs(to_buy), abs(plan.base_cost or ZERO)) if to_buy else None,
        minimum_investment=ceil_to_cents(plan.minimum_investment or ZERO) or None,
        minimum_by=_rule(plan, grounds.market),
        investment=plan.investment,
        free_left=None if free is None or plan.investment is None else free - plan.investment,
        worst=_worst(plan, params),
        forced_below=_forced(forced.below if forced else None, price),
        forced_above=_forced(forced.above if forced else None, price),
        resting=plan.orders_resting,
        waiting=plan.orders_virtual,
        seconds=plan.seconds_to_place,
        is_short=params.is_short,
        is_endless=params.infinity,
        starts_at=params.trigger_price,
        levels=_levels(plan),
        empty_level=plan.empty_level,
        is_live=grounds.account.mode == "live",
        watched_here=without_resting_stop(grounds.account.exchange, write_grid(params)),
    )


def _rule(plan: GridPlan, market: Market) -> Line | None:
    if plan.minimum_by is None:
        return None
    rules = {
        "min_notional": market.min_notional,
        "min_quantity": market.min_quantity,
        "lot": market.lot,
    }
    return Line(f"rule_{plan.minimum_by}", rules)


def _worst(plan: GridPlan, params: GridParams) -> Worst | None:
    found = plan.worst_case
    if found is None:
        return None
    return Worst(
        found.price,
        found.price > params.lower,
        found.coins,
        found.value,
        found.loss,
        found.loss_share,
        found.break_even,
    )


def _forced(at: Decimal | None, price: Decimal) -> Forced | None:
    return None if at is None else Forced(at, booked(at / price - ONE))


def _levels(plan: GridPlan) -> tuple[tuple[Decimal, str], ...]:
    buys = {order.level for order in plan.buys or ()}
    sells = {order.level for order in plan.sells or ()}
    return tuple(
        (price, "buy" if level in buys else "sell" if level in sells else "empty")
        for level, price in enumerate(plan.levels)
    )


def _money_errors(found: Preview, plan: Any) -> tuple[FieldLine, ...]:
    if found.free_left is None or found.free_left >= 0 or plan.errors:
        return ()
    values = {
        "needed": str(found.investment), "free": str(found.free), "currency": found.currency,
    }  # fmt: skip
    return (FieldLine("investment", Line("not_enough_money", values, "error")),)


def field_line(found: Problem) -> FieldLine:
    """Return what is wrong with a field, its bounds in the unit in which the form asks for it."""
    values = found.values
    if found.field in BOUND_IN_PERCENT and found.code in {"too_small", "too_large"}:
        values = {**values, "in_percent": True}
    return FieldLine(found.field, Line(found.code, values))
