"""Figures over all bots for the staff desk. Paper and live, and currencies, are never summed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Date, Select, case, cast, func, literal_column, select

from app.accounts.models import User
from app.bots.models import RUNNING, Bot, BotMetrics, BotState
from app.bots.stopping import bots_in_danger
from app.db import db, utc_now
from app.exchanges.models import ExchangeAccount
from app.listing.waiting import Waiting
from app.markets.models import MarketRow
from app.notifications.models import MessageState, OutboxMessage
from app.trades.models import FillRow, OrderRow, TradeRow

LATE_AFTER = timedelta(seconds=30)
# Money of an exchange's test site is neither paper nor real.
_STAGE = case((ExchangeAccount.testnet, literal_column("'testnet'")), else_=Bot.mode)


@dataclass(frozen=True, slots=True)
class DeskCounts:
    """What the first page of the desk shows."""

    users: int
    users_today: int
    bots_running: int
    bots_in_error: Waiting
    bots_stale: Waiting
    orders_unresolved: Waiting
    mails_failed: Waiting
    fills_today: int


@dataclass(frozen=True, slots=True)
class StateCount:
    """Bots of one state and mode."""

    state: str
    mode: str
    bots: int


@dataclass(frozen=True, slots=True)
class DayFills:
    """Fills of one UTC day and mode."""

    day: date
    mode: str
    fills: int


@dataclass(frozen=True, slots=True)
class DayProfit:
    """Closed trades of one UTC day, mode and currency."""

    day: date
    mode: str
    currency: str
    trades: int
    profit: Decimal
    fees: Decimal


def desk_counts() -> DeskCounts:
    """Return what waits for a person now."""
    now = utc_now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    bots = select(Bot).where(Bot.deleted_at.is_(None))
    late = func.make_interval(0, 0, 0, 0, 0, 0, Bot.tick_period_s + LATE_AFTER.total_seconds())
    return DeskCounts(
        users=_count(select(func.count(User.id))),
        users_today=_count(select(func.count(User.id)).where(User.created_at >= today)),
        bots_running=_count(
            bots.with_only_columns(func.count(Bot.id)).where(Bot.state.in_(RUNNING))
        ),
        bots_in_error=_waiting(
            bots.with_only_columns(func.count(Bot.id), func.min(Bot.state_since)).where(
                Bot.state == BotState.ERROR.value
            )
        ),
        bots_stale=_waiting(
            bots.with_only_columns(func.count(Bot.id), func.min(Bot.last_tick_at)).where(
                Bot.state.in_(RUNNING), Bot.last_tick_at < now - late
            )
        ),
        orders_unresolved=_waiting(
            select(func.count(OrderRow.id), func.min(OrderRow.updated_at)).where(
                OrderRow.status == "UNRESOLVED"
            )
        ),
        mails_failed=_waiting(
            select(func.count(OutboxMessage.id), func.min(OutboxMessage.created_at)).where(
                OutboxMessage.state == MessageState.FAILED.value
            )
        ),
        fills_today=_count(select(func.count(FillRow.id)).where(FillRow.at >= today)),
    )


def bots_by_state() -> Sequence[StateCount]:
    """Count the bots that are not deleted by state and mode."""
    rows = db.session.execute(
        select(Bot.state, _STAGE, func.count(Bot.id))
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .where(Bot.deleted_at.is_(None))
        .group_by(Bot.state, _STAGE)
        .order_by(_STAGE, Bot.state)
    )
    return [StateCount(*row) for row in rows]


def fills_per_day(days: int) -> Sequence[DayFills]:
    """Count fills by UTC day and mode, newest first."""
    day = cast(func.timezone("UTC", FillRow.at), Date)
    rows = db.session.execute(
        select(day, _STAGE, func.count(FillRow.id))
        .join(Bot, Bot.id == FillRow.bot_id)
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .where(FillRow.at >= utc_now() - timedelta(days=days))
        .group_by(day, _STAGE)
        .order_by(day.desc(), _STAGE)
    )
    return [DayFills(*row) for row in rows]


def profit_per_day(days: int) -> Sequence[DayProfit]:
    """Sum the profit of closed trades by UTC day, mode and currency, newest first."""
    day = cast(func.timezone("UTC", TradeRow.exit_at), Date)
    rows = db.session.execute(
        select(
            day,
            _STAGE,
            TradeRow.currency,
            func.count(TradeRow.id),
            func.sum(TradeRow.profit),
            func.sum(TradeRow.fees),
        )
        .join(Bot, Bot.id == TradeRow.bot_id)
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .where(TradeRow.status == "closed", TradeRow.exit_at >= utc_now() - timedelta(days=days))
        .group_by(day, _STAGE, TradeRow.currency)
        .order_by(day.desc(), _STAGE, TradeRow.currency)
    )
    return [
        DayProfit(on, mode, currency, trades, profit or Decimal(0), fees)
        for on, mode, currency, trades, profit, fees in rows
    ]


@dataclass(frozen=True, slots=True)
class MoneyAtStake:
    """Bots of one mode (or of a test site) and currency, and what they are worth."""

    mode: str
    currency: str
    bots: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class EmergencyScope:
    """What an emergency stop for many would close."""

    bots: int
    users: int
    money: tuple[MoneyAtStake, ...]


def emergency_scope(user_id: int | None, exchange: str | None) -> EmergencyScope:
    """Count the bots of a person or of an exchange that an emergency stop would close now."""
    mine = bots_in_danger(user_id, exchange).subquery()
    bots, users = db.session.execute(
        select(func.count(), func.count(mine.c.user_id.distinct())).select_from(mine)
    ).one()
    value = BotMetrics.quote + BotMetrics.base * func.coalesce(MarketRow.last_price, 0)
    rows = db.session.execute(
        select(_STAGE, Bot.currency, func.count(Bot.id), func.sum(value))
        .join(mine, mine.c.id == Bot.id)
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .join(BotMetrics, BotMetrics.bot_id == Bot.id)
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .group_by(_STAGE, Bot.currency)
        .order_by(_STAGE, Bot.currency)
    )
    return EmergencyScope(bots, users, tuple(MoneyAtStake(*row) for row in rows))


def _count(query: Select[int]) -> int:
    return int(db.session.scalar(query) or 0)


def _waiting(query: Select[int, Any]) -> Waiting:
    count, oldest = db.session.execute(query).one()
    return Waiting(count, oldest)
