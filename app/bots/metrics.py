"""The running sums of a bot: changed with its fills, in the same transaction, and nowhere else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Table, text

from app.bots.models import BotEquity, BotMetrics
from app.bulk import bulk_insert, bulk_upsert, plain_columns
from app.db import db
from app.trading.market import ZERO, Market, booked, exact
from app.trading.orders import Fill, traded_value
from app.trading.performance import Books, held_instead
from app.trading.position import Position
from app.trading.strategy import Match

METRICS: Table = BotMetrics.__table__  # type: ignore[assignment]  # typed FromClause, is a Table
EQUITY: Table = BotEquity.__table__  # type: ignore[assignment]

_COLUMNS = (
    "deposited", "withdrawn", "quote", "base", "base_cost", "grid_profit", "funding", "fees",
    "fills", "matched_trades", "hold_base", "peak_equity", "max_drawdown", "updated_at",
)  # fmt: skip
_READ = text(
    f"select {plain_columns(METRICS, ('bot_id', *_COLUMNS))} from bot_metrics"  # noqa: S608 - ours
    " where bot_id = any(cast(:bots as bigint[]))"
)
_UPSERT = bulk_upsert(METRICS, ("bot_id",), _COLUMNS)
_SAMPLE = bulk_insert(
    EQUITY, ("bot_id", "at", "equity", "invested", "hold"), "on conflict do nothing"
)


@dataclass(slots=True)
class Metrics:
    """The sums of one bot; `peak` and `drawdown` follow its value at every look."""

    bot_id: int
    books: Books
    peak: Decimal = ZERO
    drawdown: Decimal = ZERO
    # As they stand in the row; None before there is one.
    stored: tuple[Books, Decimal, Decimal] | None = None

    @property
    def is_changed(self) -> bool:
        """Say whether the row does not say the same."""
        return self.stored != (self.books, self.peak, self.drawdown)

    def add_fill(self, fill: Fill, market: Market, fee_rate: Decimal | None = None) -> None:
        """Count one execution."""
        position = self.books.position.after(fill, market, fee_rate)
        self.books = replace(self.books, position=position)

    def add_funding(self, amount: Decimal) -> None:
        """Count a funding payment: received if positive, else paid."""
        self.books = self.books.with_funding(amount)

    @exact
    def add_matches(self, matches: Iterable[Match]) -> None:
        """Count closed round trips."""
        closed = tuple(matches)
        earned = sum((match.profit for match in closed), ZERO)
        self.books = replace(
            self.books,
            grid_profit=self.books.grid_profit + earned,
            matched_trades=self.books.matched_trades + len(closed),
        )

    def begin_at(self, price: Decimal, market: Market) -> None:
        """Note at the first start what the same money would have bought."""
        if self.books.hold_base == 0:
            hold = held_instead(self.books.deposited, price, market)
            self.books = replace(self.books, hold_base=hold)

    @exact
    def take_out(self, coins: Decimal, price: Decimal) -> None:
        """Count coins that are gone as taken out by the owner, at a price."""
        position, value = self.books.position, traded_value(price, coins)
        left = position.base - coins
        cost = booked(position.base_cost * left / position.base)
        self.books = replace(
            self.books,
            position=replace(position, base=left, base_cost=cost),
            withdrawn=self.books.withdrawn + value,
        )

    @exact
    def value_at(self, price: Decimal) -> None:
        """Follow peak and largest fall of the bot's value (with what was taken out)."""
        value = self.books.position.equity(price) + self.books.withdrawn
        self.peak = max(self.peak, value)
        if self.peak > 0:
            self.drawdown = max(self.drawdown, booked((self.peak - value) / self.peak))


def first_metrics(bot_id: int, capital: Decimal) -> Metrics:
    """Return the sums of a bot that has its money and nothing else yet."""
    return Metrics(bot_id, Books(Position(quote=capital), deposited=capital), peak=capital)


def read_metrics(bot_ids: Iterable[int]) -> dict[int, Metrics]:
    """Read the sums of some bots."""
    rows = db.session.execute(_READ, {"bots": list(bot_ids)})
    return {row.bot_id: _metrics(row) for row in rows.all()}


def _metrics(row: Row[Any]) -> Metrics:
    books = Books(
        position=Position(row.quote, row.base, row.base_cost, row.fees, row.fills),
        deposited=row.deposited,
        withdrawn=row.withdrawn,
        grid_profit=row.grid_profit,
        funding=row.funding,
        matched_trades=row.matched_trades,
        hold_base=row.hold_base,
    )
    peak, drawdown = row.peak_equity, row.max_drawdown
    return Metrics(row.bot_id, books, peak, drawdown, stored=(books, peak, drawdown))


def write_metrics(metrics: Sequence[Metrics], now: datetime) -> None:
    """Write the sums of some bots with one statement."""
    if metrics:
        db.session.execute(_UPSERT.statement, _UPSERT.values(_row(each, now) for each in metrics))


def _row(metrics: Metrics, now: datetime) -> tuple[Any, ...]:
    books, position = metrics.books, metrics.books.position
    return (
        metrics.bot_id, books.deposited, books.withdrawn, position.quote, position.base,
        position.base_cost, books.grid_profit, books.funding, position.fees, position.fills,
        books.matched_trades, books.hold_base, metrics.peak, metrics.drawdown, now,
    )  # fmt: skip


def write_equity(rows: Sequence[tuple[int, datetime, Decimal, Decimal, Decimal]]) -> None:
    """Add points of value curves: bot, time, value, invested, coins bought instead at the price."""
    if rows:
        db.session.execute(_SAMPLE.statement, _SAMPLE.values(rows))


@exact
def flow_money(
    row: BotMetrics, amount: Decimal, price: Decimal, market: Market, now: datetime
) -> None:
    """Put money into a bot (or, negative, take it out) at a price.

    The coins that the same flows would have bought follow, and so does the peak from which falls
    are measured. What the first money would have bought is noted by the first tick.
    """
    seconds = _seconds_since(row, now)
    row.invested_area += (row.deposited - row.withdrawn) * seconds
    row.invested_s += seconds
    row.invested_at = now
    row.quote += amount
    row.peak_equity += amount
    if amount > 0:
        row.deposited += amount
    else:
        row.withdrawn -= amount
    if row.hold_base > 0:
        moved = held_instead(abs(amount), price, market)
        row.hold_base = max(ZERO, row.hold_base + (moved if amount > 0 else -moved))
    row.updated_at = now


_CLOSE_SPAN = text("""
    update bot_metrics set invested_at = :now,
        invested_area = invested_area + (deposited - withdrawn)
            * greatest(0, floor(extract(epoch from cast(:now as timestamptz) - invested_at))),
        invested_s = invested_s
            + greatest(0, floor(extract(epoch from cast(:now as timestamptz) - invested_at)))
    where bot_id = any(cast(:bots as bigint[])) and invested_at is not null
""")


def close_span(bot_ids: Iterable[int], now: datetime) -> None:
    """Count the money that was in some bots up to now, before their sums say otherwise."""
    db.session.execute(_CLOSE_SPAN, {"bots": list(bot_ids), "now": now})


@exact
def average_invested(row: BotMetrics, now: datetime) -> Decimal | None:
    """Return the money invested on average over time, or None before any time has passed."""
    seconds = _seconds_since(row, now)
    area = row.invested_area + (row.deposited - row.withdrawn) * seconds
    length = row.invested_s + seconds
    return booked(area / length) if length > 0 else None


def _seconds_since(row: BotMetrics, now: datetime) -> int:
    return 0 if row.invested_at is None else max(0, (now - row.invested_at) // timedelta(seconds=1))
