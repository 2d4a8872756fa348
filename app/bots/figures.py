"""All figures that are shown of a bot, made in one place from its running sums and a price."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from app.bots.metrics import average_invested
from app.bots.models import Bot, BotMetrics
from app.bots.rules import RUNNING
from app.markets.queries import Price
from app.trades.queries import DaySums, Reserved
from app.trading.contracts import Stake, forced_close, position_margin
from app.trading.market import ONE, ZERO, Market, MarketKind, booked, exact
from app.trading.orders import traded_value
from app.trading.performance import Books, figures
from app.trading.position import Holdings, Position

NEAR = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class ContractFigures:
    """The position of a bot in a contract: coins (negative when short), where it was opened.

    `margin` backs the position and `free` is the rest of the money. `liquidation` is where the
    exchange closes the position as it is now, `worst` the nearest price at which it does after
    every order of a side has filled; each with its distance from the price as a share.
    """

    base: Decimal
    entry: Decimal | None
    value: Decimal
    floating: Decimal
    margin: Decimal
    free: Decimal
    leverage: Decimal
    liquidation: Decimal | None
    liquidation_share: Decimal | None
    worst: Decimal | None
    worst_share: Decimal | None
    funding_hours: Decimal | None

    @property
    def is_near(self) -> bool:
        """Say whether a common move of the price ends in a liquidation."""
        shares = (self.liquidation_share, self.worst_share if self.base else None)
        return any(share is not None and abs(share) < NEAR for share in shares)


@dataclass(frozen=True, slots=True)
class BotFigures:
    """What is shown of a bot, in its quote currency; shares are fractions.

    `total` = `grid` + `price_change` + `funding`, always; `fees` are inside them already. `cash`
    and `coins` are all that the bot holds, `reserved` and `reserved_coins` stand in open orders.
    """

    currency: str
    price: Decimal
    price_at: datetime | None
    price_stale: bool
    total: Decimal
    total_share: Decimal | None
    grid: Decimal
    price_change: Decimal
    funding: Decimal
    fees: Decimal
    value_now: Decimal
    invested: Decimal
    buy_and_hold: Decimal
    buy_and_hold_share: Decimal | None
    average_entry: Decimal | None
    break_even: Decimal | None
    yearly_pace: Decimal | None
    matched: int
    matched_24h: int
    profit_24h: Decimal
    fills: int
    max_drawdown: Decimal
    coins: Decimal
    cash: Decimal
    reserved: Decimal
    reserved_coins: Decimal
    run_time: timedelta | None
    range_position: Decimal | None
    range_side: str | None
    contract: ContractFigures | None = None

    @property
    def break_even_any(self) -> bool:
        """Say whether selling at any price gives the money back."""
        return self.break_even is not None and self.break_even <= 0


@dataclass(frozen=True, slots=True)
class Range:
    """The prices between which a strategy trades; None where it knows no such thing."""

    lower: Decimal | None
    upper: Decimal | None

    @exact
    def position(self, price: Decimal) -> Decimal | None:
        """Return where a price lies between them: 0 at the lower, 1 at the upper end."""
        if self.lower is None or self.upper is None or self.upper <= self.lower:
            return None
        return booked((price - self.lower) / (self.upper - self.lower))

    def side(self, price: Decimal) -> str | None:
        """Say whether a price is inside, below or above."""
        if self.lower is None or self.upper is None:
            return None
        if price < self.lower:
            return "below"
        return "above" if price > self.upper else "inside"


@exact
def _share(part: Decimal, whole: Decimal) -> Decimal | None:
    return booked(part / whole) if whole > 0 else None


def books_of(row: BotMetrics) -> Books:
    """Return the running sums of a bot as the core's figures take them."""
    return Books(
        position=Position(row.quote, row.base, row.base_cost, row.fees, row.fills),
        deposited=row.deposited,
        withdrawn=row.withdrawn,
        grid_profit=row.grid_profit,
        funding=row.funding,
        matched_trades=row.matched_trades,
        hold_base=row.hold_base,
    )


def run_time(bot: Bot, now: datetime) -> timedelta | None:
    """Return how long a bot has run since its first accepted order, pauses apart."""
    earlier = timedelta(seconds=bot.ran_before_s)
    if bot.started_at is None:
        return earlier or None
    until = now if bot.state in RUNNING else (bot.stopped_at or bot.state_since)
    return earlier + max(timedelta(0), until - bot.started_at)


def figures_of(
    bot: Bot,
    row: BotMetrics,
    market: Market,
    price: Price,
    *,
    bounds: Range,
    day: DaySums,
    reserved: Reserved,
    now: datetime,
) -> BotFigures | None:
    """Return a bot's figures, or None before its first start or without any price."""
    if price.price is None or row.deposited == 0:
        return None
    ran = run_time(bot, now)
    average = average_invested(row, now)
    found = figures(books_of(row), price.price, market, average, ran)
    # Nothing was bought instead before the first tick has seen a price.
    hold = found.buy_and_hold if row.hold_base > 0 else ZERO
    position = bounds.position(price.price)
    return BotFigures(
        currency=market.quote,
        price=price.price,
        price_at=price.at,
        price_stale=price.is_stale,
        total=found.total,
        total_share=found.total_share,
        grid=found.grid,
        price_change=found.price_change,
        funding=found.funding,
        fees=found.fees,
        value_now=found.value_now,
        invested=found.invested,
        buy_and_hold=hold,
        buy_and_hold_share=_share(hold, found.invested if average is None else average),
        average_entry=found.average_entry,
        break_even=found.break_even,
        yearly_pace=found.yearly_pace,
        matched=found.matched_trades,
        matched_24h=day.trades,
        profit_24h=day.profit,
        fills=row.fills,
        max_drawdown=row.max_drawdown,
        coins=row.base,
        cash=row.quote,
        reserved=reserved.cash,
        reserved_coins=reserved.coins,
        run_time=ran,
        range_position=None if position is None else min(max(position, ZERO), Decimal(1)),
        range_side=bounds.side(price.price),
    )


@exact
def contract_figures(
    bot: Bot, row: BotMetrics, market: Market, price: Decimal, leverage: Decimal
) -> ContractFigures | None:
    """Return what is shown of a bot's position at a price; coins have none."""
    if market.kind is not MarketKind.LINEAR:
        return None
    stake, held = Stake(row.base, row.base_cost), Holdings(row.base, row.quote, row.base_cost)
    value = traded_value(price, abs(row.base))
    margin = booked(position_margin(stake, leverage))
    forced = forced_close(stake, held.wallet, leverage, market)
    worst = _nearest(bot.plan, price)
    return ContractFigures(
        base=row.base,
        entry=booked(row.base_cost / abs(row.base)) if row.base else None,
        value=value,
        floating=stake.sign * (value - row.base_cost),
        margin=margin,
        free=held.wallet - margin,
        leverage=leverage,
        liquidation=forced,
        liquidation_share=None if forced is None else booked(forced / price - ONE),
        worst=worst,
        worst_share=None if worst is None else booked(worst / price - ONE),
        funding_hours=None
        if market.funding_interval_s is None
        else Decimal(market.funding_interval_s) / 3600,
    )


def _nearest(plan: Mapping[str, Any] | None, price: Decimal) -> Decimal | None:
    """Return the liquidation price of a plan that lies nearest to a price."""
    named = (plan or {}).get("liquidation") or {}
    found = [Decimal(str(each)) for each in named.values() if each is not None]
    return min(found, key=lambda each: abs(each - price), default=None)
