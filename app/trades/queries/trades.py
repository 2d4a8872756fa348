"""Reads of round trips, always of one person."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import aliased

from app.db import db
from app.errors import NotFound
from app.listing.paging import PAGE_SIZE, Slice, offset_of
from app.trades.models import OrderRow, TradeRow
from app.trades.owners import BotLabel, Pair, bots_of, settings_at
from app.trades.queries.lines import Line, line_of
from app.trades.queries.orders import (
    FillView,
    OrderView,
    fills_of,
    order_view,
    orders_of_trade,
)
from app.trading.market import booked, exact
from app.trading.orders import Purpose

LARGEST_ID = 2**63 - 1
MOST_ROWS_OF_CSV = 50_000


@dataclass(frozen=True, slots=True)
class TradeFilter:
    """Which trades are wanted; `first` and `last` bound the moment of the last event.

    Of those that were closed before `since` nothing is shown; open ones always are.
    """

    bot_id: int | None = None
    symbol: str = ""
    first: datetime | None = None
    last: datetime | None = None
    side: str = ""
    status: str = ""
    mode: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class TradeView:
    """A round trip as lists and its own page show it.

    `at_exit`: its coins were sold when the bot ended, not by the grid; its profit is then a part of
    the price change, not of the grid profit.
    """

    id: int
    bot_id: int
    bot_name: str
    bot_deleted: bool
    mode: str
    pair: Pair
    side: str
    status: str
    quantity: Decimal
    entry_price: Decimal
    entry_at: datetime
    exit_price: Decimal | None
    exit_at: datetime | None
    profit: Decimal | None
    profit_share: Decimal | None
    fees: Decimal
    currency: str
    reason: Line | None
    exit_reason: Line | None
    tick_id: str | None
    first_purchase: bool
    at_exit: bool


@dataclass(frozen=True, slots=True)
class TradeChoices:
    """What a person can filter by."""

    bots: tuple[tuple[int, str], ...]
    symbols: tuple[str, ...]


def list_trades(user_id: int, wanted: TradeFilter, number: int = 1) -> Slice[TradeView]:
    """Return one page of a person's trades, newest first."""
    labels = bots_of(user_id)
    query = chosen_trades(user_id, wanted, labels)
    total = db.session.scalar(query.with_only_columns(func.count(TradeRow.id))) or 0
    rows = db.session.execute(
        with_purpose(query)
        .order_by(_moment().desc(), TradeRow.id.desc())
        .offset(offset_of(number))
        .limit(PAGE_SIZE)
    )
    return Slice(tuple(_view(row, purpose, labels) for row, purpose in rows), number, total)


def all_trades(user_id: int, wanted: TradeFilter) -> Iterable[TradeView]:
    """Yield the trades of a filter, newest first, for a file; at most 50,000."""
    labels = bots_of(user_id)
    query = with_purpose(chosen_trades(user_id, wanted, labels)).order_by(
        _moment().desc(), TradeRow.id.desc()
    )
    streamed = query.limit(MOST_ROWS_OF_CSV).execution_options(yield_per=1000)
    for row, purpose in db.session.execute(streamed):
        yield _view(row, purpose, labels)


def last_trades(
    user_id: int, bot_ids: Iterable[int], labels: Mapping[int, BotLabel], limit: int
) -> tuple[TradeView, ...]:
    """Return the newest closed trades of some bots."""
    query = (
        select(TradeRow)
        .where(
            TradeRow.user_id == user_id,
            TradeRow.bot_id.in_(list(bot_ids)),
            TradeRow.status == "closed",
        )
        .order_by(TradeRow.exit_at.desc(), TradeRow.id.desc())
        .limit(limit)
    )
    rows = db.session.execute(with_purpose(query))
    return tuple(_view(row, purpose, labels) for row, purpose in rows)


def trade_choices(user_id: int) -> TradeChoices:
    """Return the bots and pairs that a person can filter by."""
    labels = bots_of(user_id)
    bots = sorted(((each.id, each.name) for each in labels.values()), reverse=True)
    return TradeChoices(tuple(bots), tuple(sorted({each.pair.symbol for each in labels.values()})))


def chosen_trades(
    user_id: int, wanted: TradeFilter, labels: Mapping[int, BotLabel]
) -> Select[TradeRow]:
    """Return the question for a person's trades that pass a filter."""
    query = select(TradeRow).where(TradeRow.user_id == user_id)
    if wanted.bot_id is not None:
        query = query.where(TradeRow.bot_id == wanted.bot_id)
    if wanted.mode:
        ids = [each.id for each in labels.values() if each.mode == wanted.mode]
        query = query.where(TradeRow.bot_id.in_(ids))
    if wanted.symbol:
        query = query.where(TradeRow.symbol == wanted.symbol)
    if wanted.side:
        query = query.where(TradeRow.side == wanted.side)
    if wanted.status:
        query = query.where(TradeRow.status == wanted.status)
    if wanted.first is not None:
        query = query.where(_moment() >= wanted.first)
    if wanted.last is not None:
        query = query.where(_moment() < wanted.last)
    if wanted.since is not None:
        query = query.where(still_shown(wanted.since))
    return query


def still_shown(since: datetime) -> ColumnElement[bool]:
    """Return the condition for trades that are open, or were closed since a moment."""
    return or_(TradeRow.exit_at.is_(None), TradeRow.exit_at >= since)


def has_older(user_id: int, since: datetime) -> bool:
    """Tell whether a person has trades that were closed before a moment."""
    older = exists().where(TradeRow.user_id == user_id, TradeRow.exit_at < since)
    return bool(db.session.scalar(select(older)))


def with_purpose(query: Select[TradeRow]) -> Select[TradeRow, str | None]:
    """Ask also what the sale of each trade was for."""
    sale = aliased(OrderRow)
    return query.outerjoin(sale, sale.id == TradeRow.exit_order_id).add_columns(sale.purpose)


def _moment() -> ColumnElement[datetime]:
    return func.coalesce(TradeRow.exit_at, TradeRow.entry_at)


def bot_trades(label: BotLabel, number: int = 1) -> Slice[TradeView]:
    """Return one page of a bot's trades, newest first."""
    query = select(TradeRow).where(TradeRow.bot_id == label.id)
    total = db.session.scalar(query.with_only_columns(func.count(TradeRow.id))) or 0
    rows = db.session.execute(
        with_purpose(query)
        .order_by(_moment().desc(), TradeRow.id.desc())
        .offset(offset_of(number))
        .limit(PAGE_SIZE)
    )
    labels = {label.id: label}
    return Slice(tuple(_view(row, purpose, labels) for row, purpose in rows), number, total)


def _view(row: TradeRow, purpose: str | None, labels: Mapping[int, BotLabel]) -> TradeView:
    label = labels[row.bot_id]
    logic = row.logic or {}
    return TradeView(
        id=row.id,
        bot_id=row.bot_id,
        bot_name=label.name,
        bot_deleted=label.deleted,
        mode=label.mode,
        pair=label.pair,
        side=row.side,
        status=row.status,
        quantity=row.quantity,
        entry_price=row.entry_price,
        entry_at=row.entry_at,
        exit_price=row.exit_price,
        exit_at=row.exit_at,
        profit=row.profit,
        profit_share=_share(row),
        fees=row.fees,
        currency=row.currency,
        reason=line_of(logic),
        exit_reason=line_of(logic.get("exit")),
        tick_id=logic.get("tick_id"),
        first_purchase=row.entry_order_id is None,
        at_exit=purpose is not None and purpose != Purpose.GRID,
    )


@exact
def _share(row: TradeRow) -> Decimal | None:
    spent = row.entry_price * row.quantity
    return booked(row.profit / spent) if row.profit is not None and spent > 0 else None


@dataclass(frozen=True, slots=True)
class TradeLogic:
    """Why a trade was opened and closed: reasons, what they looked at, settings and ticks."""

    reason: Line | None
    inputs: tuple[tuple[str, Any], ...]
    config_version: int | None
    tick_id: str | None
    exit_reason: Line | None
    exit_inputs: tuple[tuple[str, Any], ...]
    exit_config_version: int | None
    exit_tick_id: str | None


@dataclass(frozen=True, slots=True)
class TradePage:
    """A trade with its logic, its orders and their fills."""

    trade: TradeView
    logic: TradeLogic
    settings: tuple[Any, ...]
    orders: tuple[OrderView, ...]
    fills: tuple[FillView, ...]


def trade_page(user_id: int, trade_id: int) -> TradePage:
    """Return a trade with all that led to it; raise NotFound for one that is not theirs."""
    row = db.session.get(TradeRow, trade_id) if 0 < trade_id <= LARGEST_ID else None
    if row is None or row.user_id != user_id:
        raise NotFound("unknown_trade")
    orders = orders_of_trade(row)
    purposes = {order.id: order.purpose for order in orders}
    fills = fills_of(orders)
    logic = _logic(row.logic or {})
    version = logic.config_version or logic.exit_config_version or 0
    return TradePage(
        trade=_view(row, purposes.get(row.exit_order_id or 0), bots_of(user_id)),
        logic=logic,
        settings=settings_at(row.bot_id, version),
        orders=tuple(map(order_view, orders)),
        fills=fills,
    )


def _logic(logic: Mapping[str, Any]) -> TradeLogic:
    ending = logic.get("exit") or {}
    return TradeLogic(
        reason=line_of(logic),
        inputs=tuple((logic.get("inputs") or {}).items()),
        config_version=logic.get("config_version"),
        tick_id=logic.get("tick_id"),
        exit_reason=line_of(ending),
        exit_inputs=tuple((ending.get("inputs") or {}).items()),
        exit_config_version=ending.get("config_version"),
        exit_tick_id=ending.get("tick_id"),
    )
