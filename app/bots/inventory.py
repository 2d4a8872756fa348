"""Bots as programs read them: for commands those of everybody, for the API those of one owner."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, func, select

from app.bots.figures import books_of
from app.bots.models import Bot, BotMetrics
from app.db import db
from app.errors import NotFound
from app.exchanges.models import ExchangeAccount
from app.markets.models import MarketRow
from app.markets.queries import to_market
from app.money import exact_text
from app.trades.models import OrderRow
from app.trading.market import ZERO
from app.trading.performance import figures

OPEN = ("INTENDED", "OPEN", "PARTIAL", "UNRESOLVED")
CANCELLED = ("CANCELLED", "REJECTED", "DENIED")


@dataclass(frozen=True, slots=True)
class InventoryBot:
    """One bot with counts of its orders and its profit split, in its quote currency."""

    id: int
    account_id: int
    name: str
    state: str
    mode: str
    exchange: str
    symbol: str
    orders_open: int
    orders_filled: int
    orders_cancelled: int
    fills: int
    total: Decimal
    grid: Decimal
    price_change: Decimal
    funding: Decimal
    fees: Decimal
    currency: str


def any_bot(bot_id: int) -> Bot:
    """Return anybody's bot; raise NotFound if there is none or it is deleted."""
    bot = db.session.get(Bot, bot_id) if 0 < bot_id < 2**63 else None
    if bot is None or bot.deleted_at is not None:
        raise NotFound("bot_not_found")
    return bot


def own_bot(user_id: int, bot_id: int) -> Bot:
    """Return a person's bot; raise NotFound for any other."""
    bot = any_bot(bot_id)
    if bot.user_id != user_id:
        raise NotFound("bot_not_found")
    return bot


def inventory(bot_id: int | None = None) -> Sequence[InventoryBot]:
    """Return every bot that is not deleted, or the one asked for, by number."""
    if bot_id is None:
        return _read()
    return _read(Bot.id == (bot_id if 0 < bot_id < 2**63 else 0))


def own_inventory(
    user_id: int, state: str = "", after: int = 0, limit: int = 50
) -> Sequence[InventoryBot]:
    """Return a person's bots with larger numbers than `after`, by number."""
    conditions = [Bot.user_id == user_id, Bot.id > min(after, 2**63 - 1)]
    if state:
        conditions.append(Bot.state == state)
    return _read(*conditions, limit=limit)


def bot_json(bot: InventoryBot) -> dict[str, Any]:
    """Return a bot as JSON-able values: exact numbers as text."""
    return {
        "id": bot.id,
        "name": bot.name,
        "state": bot.state,
        "mode": bot.mode,
        "exchange": bot.exchange,
        "symbol": bot.symbol,
        "orders": {
            "open": bot.orders_open,
            "filled": bot.orders_filled,
            "cancelled": bot.orders_cancelled,
        },
        "fills": bot.fills,
        "profit": {
            "total": exact_text(bot.total),
            "grid": exact_text(bot.grid),
            "price_change": exact_text(bot.price_change),
            "funding": exact_text(bot.funding),
            "fees": exact_text(bot.fees),
        },
        "currency": bot.currency,
    }


def _read(*conditions: ColumnElement[bool], limit: int | None = None) -> Sequence[InventoryBot]:
    query = (
        select(Bot, BotMetrics, MarketRow, ExchangeAccount)
        .join(BotMetrics, BotMetrics.bot_id == Bot.id)
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .where(Bot.deleted_at.is_(None), *conditions)
        .order_by(Bot.id)
        .limit(limit)
    )
    rows = db.session.execute(query).all()
    counts = _order_counts([bot.id for bot, *_ in rows])
    return [_entry(*row, counts.get(row[0].id, {})) for row in rows]


def _order_counts(bot_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    query = (
        select(OrderRow.bot_id, OrderRow.status, func.count())
        .where(OrderRow.bot_id.in_(bot_ids))
        .group_by(OrderRow.bot_id, OrderRow.status)
    )
    for number, status, count in db.session.execute(query):
        found.setdefault(number, {})[status] = count
    return found


def _entry(
    bot: Bot,
    metrics: BotMetrics,
    market: MarketRow,
    account: ExchangeAccount,
    counts: dict[str, int],
) -> InventoryBot:
    total = grid = price_change = funding = ZERO
    if market.last_price is not None and metrics.deposited > 0:
        now = figures(books_of(metrics), market.last_price, to_market(market, account))
        total, grid = now.total, now.grid
        price_change, funding = now.price_change, now.funding
    return InventoryBot(
        id=bot.id,
        account_id=bot.account_id,
        name=bot.name,
        state=bot.state,
        mode=bot.mode,
        exchange=account.exchange,
        symbol=market.symbol,
        orders_open=sum(counts.get(status, 0) for status in OPEN),
        orders_filled=counts.get("FILLED", 0),
        orders_cancelled=sum(counts.get(status, 0) for status in CANCELLED),
        fills=metrics.fills,
        total=total,
        grid=grid,
        price_change=price_change,
        funding=funding,
        fees=metrics.fees,
        currency=bot.currency,
    )
