"""Profit and its parts, from sums of fills: total = grid profit + price change + funding.

Every figure follows one definition wherever it is shown: total profit is what the bot is worth plus
what was taken out, less what was put in; the parts are split off it, never added up to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from app.trading.market import ONE, ZERO, Market, booked, exact
from app.trading.orders import traded_value
from app.trading.position import Position

DAY = Decimal(86_400)
DAYS_IN_YEAR = Decimal(365)
DAYS_BEFORE_PACE = 7


@dataclass(frozen=True, slots=True)
class Flow:
    """Money put in (positive) or taken out (negative) at a moment, in quote."""

    time: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Books:
    """The running sums from which all figures follow.

    `hold_base` are the coins that the same money would have bought, at the same times, after taker
    fees; `hold_cash` is what of it was not put into coins (0 as a rule).
    """

    position: Position
    deposited: Decimal = ZERO
    withdrawn: Decimal = ZERO
    grid_profit: Decimal = ZERO
    funding: Decimal = ZERO
    matched_trades: int = 0
    hold_base: Decimal = ZERO

    @exact
    def with_funding(self, amount: Decimal) -> "Books":
        """Return the books after a funding payment: received if positive, else paid."""
        position = self.position.with_funding(amount)
        return replace(self, position=position, funding=self.funding + amount)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is shown of a bot, in quote unless it says otherwise; shares are fractions.

    `fees` are already inside the other figures. None means that there is nothing to say: no coins,
    or too short a time. A `break_even` of 0 or less is reached at any price.
    """

    total: Decimal
    total_share: Decimal | None
    grid: Decimal
    price_change: Decimal
    funding: Decimal
    fees: Decimal
    value_now: Decimal
    invested: Decimal
    buy_and_hold: Decimal
    average_entry: Decimal | None
    break_even: Decimal | None
    yearly_pace: Decimal | None
    matched_trades: int


@exact
def held_instead(money: Decimal, price: Decimal, market: Market) -> Decimal:
    """Return the coins that money buys at a price after the taker fee."""
    fee = market.taker_fee
    if market.buy_fee_in_base(fee):
        return booked(money / price * (ONE - fee))
    return booked(money / (price * (ONE + fee)))


@exact
def opened(money: Decimal, price: Decimal, market: Market) -> Books:
    """Return the books of a bot that starts with some money at a price."""
    return Books(
        position=Position(quote=money),
        deposited=money,
        hold_base=held_instead(money, price, market),
    )


@exact
def figures(
    books: Books,
    price: Decimal,
    market: Market,
    average_invested: Decimal | None = None,
    run_time: timedelta | None = None,
) -> Figures:
    """Return every figure at a price.

    Shares are taken of the average money invested (by default what is in now); the yearly pace
    needs a `run_time` of at least 7 full days.
    """
    value = books.position.equity(price)
    total = value + books.withdrawn - books.deposited
    invested = invested_now(books.deposited, books.withdrawn, total)
    average = invested if average_invested is None else average_invested
    return Figures(
        total=total,
        total_share=booked(total / average) if average > 0 else None,
        grid=books.grid_profit,
        price_change=total - books.grid_profit - books.funding,
        funding=books.funding,
        fees=books.position.fees,
        value_now=value,
        invested=invested,
        buy_and_hold=traded_value(price, books.hold_base) + books.withdrawn - books.deposited,
        average_entry=books.position.average_entry,
        break_even=break_even(books, market),
        yearly_pace=yearly_pace(books.grid_profit, average, run_time),
        matched_trades=books.matched_trades,
    )


def invested_now(deposited: Decimal, withdrawn: Decimal, total: Decimal) -> Decimal:
    """Return the money still in: put in, less what was taken out beyond the profit made."""
    return deposited - max(ZERO, withdrawn - max(ZERO, total))


@exact
def break_even(books: Books, market: Market) -> Decimal | None:
    """Return the price at which closing gives the money back, or None without a position.

    Coins are sold at (1 - taker fee), a short position is bought back at (1 + taker fee).
    """
    coins = books.position.base
    if coins == 0:
        return None
    missing = books.deposited - books.withdrawn - books.position.quote
    kept = ONE - market.taker_fee if coins > 0 else ONE + market.taker_fee
    return booked(missing / (coins * kept))


@exact
def yearly_pace(
    grid_profit: Decimal, average_invested: Decimal, run_time: timedelta | None
) -> Decimal | None:
    """Return grid profit by year as a fraction of the money invested, or None before 7 days."""
    if run_time is None or run_time.days < DAYS_BEFORE_PACE or average_invested <= 0:
        return None
    days = Decimal(run_time // timedelta(seconds=1)) / DAY
    return booked(grid_profit / average_invested / days * DAYS_IN_YEAR)


@exact
def average_invested(flows: Iterable[Flow], until: datetime) -> Decimal:
    """Return the money invested on average over time since the first flow, oldest flow first."""
    weighted, invested = ZERO, ZERO
    start: datetime | None = None
    since: datetime | None = None
    for flow in flows:
        if flow.time > until:
            break
        if start is None or since is None:
            start = since = flow.time
        weighted += invested * _seconds(flow.time - since)
        invested, since = invested + flow.amount, flow.time
    if start is None or since is None:
        return ZERO
    length = _seconds(until - start)
    if length <= 0:
        return invested
    return booked((weighted + invested * _seconds(until - since)) / length)


def _seconds(span: timedelta) -> Decimal:
    return Decimal(span // timedelta(microseconds=1)) / 1_000_000


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The largest fall from a peak so far, as a fraction of that peak, with its times."""

    peak: Decimal | None = None
    peak_at: datetime | None = None
    largest: Decimal = ZERO
    from_time: datetime | None = None
    to_time: datetime | None = None
    # Between this and the peak nothing changes; spares the arithmetic for most values.
    floor: Decimal = ZERO

    def is_news(self, equity: Decimal) -> bool:
        """Say whether a value would change anything (if no money came or went with it)."""
        return self.peak is None or equity > self.peak or equity < self.floor

    @exact
    def after(self, equity: Decimal, time: datetime, flow: Decimal = ZERO) -> "Drawdown":
        """Return it with one more value; money that came in or went out moves the peak along."""
        peak = None if self.peak is None else self.peak + flow
        if peak is None or equity >= peak:
            return replace(self, peak=equity, peak_at=time, floor=_floor(equity, self.largest))
        fall = booked((peak - equity) / peak) if peak > 0 else ZERO
        if fall <= self.largest:
            return replace(self, peak=peak, floor=_floor(peak, self.largest))
        return replace(
            self,
            peak=peak,
            largest=fall,
            from_time=self.peak_at,
            to_time=time,
            floor=_floor(peak, fall),
        )


def _floor(peak: Decimal, largest: Decimal) -> Decimal:
    return peak * (ONE - largest)
