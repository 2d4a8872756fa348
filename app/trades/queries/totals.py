"""Sums over round trips, always of one person."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from app.db import db, utc_now
from app.trades.models import OrderRow, TradeRow
from app.trades.owners import bots_of
from app.trades.queries.trades import TradeFilter, chosen_trades
from app.trading.market import ZERO
from app.trading.orders import Purpose


@dataclass(frozen=True, slots=True)
class TradeTotals:
    """Sums over trades of one mode and currency; `exits` are those sold when their bot ended.

    What went over to other orders counts in none: the trades that sell its coins say all of it.
    """

    mode: str
    currency: str
    open: int
    closed: int
    profit: Decimal
    fees: Decimal
    wins: int
    losses: int
    exits: int
    exit_profit: Decimal


def trade_totals(user_id: int, wanted: TradeFilter) -> tuple[TradeTotals, ...]:
    """Sum the trades of a filter, one line for each mode and currency."""
    labels = bots_of(user_id)
    is_exit = OrderRow.purpose != Purpose.GRID.value
    query = (
        chosen_trades(user_id, wanted, labels)
        .with_only_columns(
            TradeRow.bot_id,
            TradeRow.currency,
            func.count(TradeRow.id).filter(TradeRow.status == "open"),
            func.count(TradeRow.id).filter(TradeRow.status == "closed"),
            func.sum(TradeRow.profit),
            func.sum(TradeRow.fees).filter(TradeRow.status != "carried"),
            func.count(TradeRow.id).filter(TradeRow.profit > 0),
            func.count(TradeRow.id).filter(TradeRow.profit < 0),
            func.count(TradeRow.id).filter(is_exit),
            func.sum(TradeRow.profit).filter(is_exit),
        )
        .outerjoin(OrderRow, OrderRow.id == TradeRow.exit_order_id)
        .group_by(TradeRow.bot_id, TradeRow.currency)
    )
    sums: dict[tuple[str, str], list[Any]] = {}
    for bot_id, currency, *counts in db.session.execute(query):
        line = sums.setdefault((labels[bot_id].mode, currency), [0, 0, ZERO, ZERO, 0, 0, 0, ZERO])
        for place, value in enumerate(counts):
            line[place] += value or 0
    return tuple(TradeTotals(*key, *line) for key, line in sorted(sums.items()))


@dataclass(frozen=True, slots=True)
class DaySums:
    """What a bot's trades brought within a span of time."""

    trades: int
    profit: Decimal


def sums_since(user_id: int, since: datetime) -> dict[int, DaySums]:
    """Return count and profit of a person's trades closed since a moment, by bot."""
    rows = db.session.execute(
        select(TradeRow.bot_id, func.count(TradeRow.id), func.sum(TradeRow.profit))
        .where(TradeRow.user_id == user_id, TradeRow.status == "closed", TradeRow.exit_at >= since)
        .group_by(TradeRow.bot_id)
    )
    return {bot_id: DaySums(count, profit or ZERO) for bot_id, count, profit in rows}


def sums_of_a_day(user_id: int) -> dict[int, DaySums]:
    """Return what the last 24 hours brought, by bot."""
    return sums_since(user_id, utc_now() - timedelta(hours=24))
