"""Reads of orders, fills and round trips, always of one person."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from app.db import db, utc_now
from app.errors import NotFound
from app.trades.models import FillRow, OrderRow, TradeRow
from app.trades.owners import BotLabel, Pair, bots_of, settings_at
from app.trades.paging import PAGE_SIZE, Slice, offset_of
from app.trading.market import ZERO, booked, exact

LARGEST_ID = 2**63 - 1
MOST_ROWS_OF_CSV = 50_000
OPEN_ORDER = ("INTENDED", "OPEN", "PARTIAL", "UNRESOLVED")
CLOSED_ORDER = ("CANCELLED", "REJECTED", "DENIED")
STATUSES: Mapping[str, tuple[str, ...]] = {
    "open": OPEN_ORDER,
    "filled": ("FILLED",),
    "cancelled": CLOSED_ORDER,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A code with its values; put into words where it is read."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)
    level: str = "info"


def line_of(reason: Mapping[str, Any] | None) -> Line | None:
    """Return a stored reason as a line, or None if there is none."""
    if not reason or not reason.get("code"):
        return None
    return Line(reason["code"], reason.get("values") or {})


# --- round trips ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TradeFilter:
    """Which trades are wanted; `first` and `last` bound the moment of the last event."""

    bot_id: int | None = None
    symbol: str = ""
    first: datetime | None = None
    last: datetime | None = None
    side: str = ""
    status: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True)
class TradeView:
    """A round trip as lists and its own page show it."""

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


@dataclass(frozen=True, slots=True)
class TradeTotals:
    """Sums over trades of one mode and currency."""

    mode: str
    currency: str
    trades: int
    closed: int
    profit: Decimal
    fees: Decimal
    wins: int
    losses: int

    @property
    def open(self) -> int:
        """Return how many still wait for their sell."""
        return self.trades - self.closed


@dataclass(frozen=True, slots=True)
class TradeChoices:
    """What a person can filter by."""

    bots: tuple[tuple[int, str], ...]
    symbols: tuple[str, ...]


def list_trades(user_id: int, wanted: TradeFilter, number: int = 1) -> Slice[TradeView]:
    """Return one page of a person's trades, newest first."""
    labels = bots_of(user_id)
    query = _trades(user_id, wanted, labels)
    total = db.session.scalar(query.with_only_columns(func.count(TradeRow.id))) or 0
    rows = db.session.scalars(
        query.order_by(_moment().desc(), TradeRow.id.desc())
        .offset(offset_of(number))
        .limit(PAGE_SIZE)
    )
    return Slice(tuple(_view(row, labels) for row in rows), number, total)


def all_trades(user_id: int, wanted: TradeFilter) -> Iterable[TradeView]:
    """Yield the trades of a filter, newest first, for a file; at most 50,000."""
    labels = bots_of(user_id)
    query = _trades(user_id, wanted, labels).order_by(_moment().desc(), TradeRow.id.desc())
    for row in db.session.scalars(query.limit(MOST_ROWS_OF_CSV).execution_options(yield_per=1000)):
        yield _view(row, labels)


def last_trades(
    user_id: int, bot_ids: Iterable[int], labels: Mapping[int, BotLabel], limit: int
) -> tuple[TradeView, ...]:
    """Return the newest closed trades of some bots."""
    query = (
        select(TradeRow)
        .where(
            TradeRow.user_id == user_id,
            TradeRow.bot_id.in_(list(bot_ids)),
            TradeRow.exit_at.is_not(None),
        )
        .order_by(TradeRow.exit_at.desc(), TradeRow.id.desc())
        .limit(limit)
    )
    return tuple(_view(row, labels) for row in db.session.scalars(query))


def trade_totals(user_id: int, wanted: TradeFilter) -> tuple[TradeTotals, ...]:
    """Sum the trades of a filter, one line for each mode and currency."""
    labels = bots_of(user_id)
    closed = case((TradeRow.status == "closed", 1), else_=0)
    query = (
        _trades(user_id, wanted, labels)
        .with_only_columns(
            TradeRow.bot_id,
            TradeRow.currency,
            func.count(TradeRow.id),
            func.sum(closed),
            func.sum(TradeRow.profit),
            func.sum(TradeRow.fees),
            func.count(TradeRow.id).filter(TradeRow.profit > 0),
            func.count(TradeRow.id).filter(TradeRow.profit < 0),
        )
        .group_by(TradeRow.bot_id, TradeRow.currency)
    )
    sums: dict[tuple[str, str], list[Any]] = {}
    for bot_id, currency, *counts in db.session.execute(query):
        line = sums.setdefault((labels[bot_id].mode, currency), [0, 0, ZERO, ZERO, 0, 0])
        for place, value in enumerate(counts):
            line[place] += value or 0
    return tuple(TradeTotals(*key, *line) for key, line in sorted(sums.items()))


def trade_choices(user_id: int) -> TradeChoices:
    """Return the bots and pairs that a person can filter by."""
    labels = bots_of(user_id)
    bots = sorted(((each.id, each.name) for each in labels.values()), reverse=True)
    return TradeChoices(tuple(bots), tuple(sorted({each.pair.symbol for each in labels.values()})))


def _trades(user_id: int, wanted: TradeFilter, labels: Mapping[int, BotLabel]) -> Select[TradeRow]:
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
    return query


def _moment() -> ColumnElement[datetime]:
    return func.coalesce(TradeRow.exit_at, TradeRow.entry_at)


def bot_trades(label: BotLabel, number: int = 1) -> Slice[TradeView]:
    """Return one page of a bot's trades, newest first."""
    query = select(TradeRow).where(TradeRow.bot_id == label.id)
    total = db.session.scalar(query.with_only_columns(func.count(TradeRow.id))) or 0
    rows = db.session.scalars(
        query.order_by(_moment().desc(), TradeRow.id.desc())
        .offset(offset_of(number))
        .limit(PAGE_SIZE)
    )
    labels = {label.id: label}
    return Slice(tuple(_view(row, labels) for row in rows), number, total)


def _view(row: TradeRow, labels: Mapping[int, BotLabel]) -> TradeView:
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
    )


@exact
def _share(row: TradeRow) -> Decimal | None:
    spent = row.entry_price * row.quantity
    return booked(row.profit / spent) if row.profit is not None and spent > 0 else None


@dataclass(frozen=True, slots=True)
class DaySums:
    """What a bot's trades brought within a span of time."""

    trades: int
    profit: Decimal


def sums_since(user_id: int, since: datetime) -> dict[int, DaySums]:
    """Return count and profit of a person's trades closed since a moment, by bot."""
    rows = db.session.execute(
        select(TradeRow.bot_id, func.count(TradeRow.id), func.sum(TradeRow.profit))
        .where(TradeRow.user_id == user_id, TradeRow.exit_at >= since)
        .group_by(TradeRow.bot_id)
    )
    return {bot_id: DaySums(count, profit or ZERO) for bot_id, count, profit in rows}


def sums_of_a_day(user_id: int) -> dict[int, DaySums]:
    """Return what the last 24 hours brought, by bot."""
    return sums_since(user_id, utc_now() - timedelta(hours=24))


# --- orders and fills -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as tables show it."""

    id: int
    side: str
    kind: str
    price: Decimal | None
    quantity: Decimal
    filled: Decimal
    value: Decimal
    average_price: Decimal | None
    status: str
    reason: Line | None
    error: Line | None
    purpose: str
    level: int | None
    client_id: str
    exchange_order_id: str | None
    created_at: datetime
    updated_at: datetime
    final_at: datetime | None
    tick_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class FillView:
    """One execution as tables show it; `exchange_id` is the trade id of the exchange."""

    id: int
    order_id: int
    side: str
    price: Decimal
    quantity: Decimal
    value: Decimal
    fee: Decimal
    fee_currency: str
    fee_quote: Decimal
    maker: bool
    exchange_id: str
    at: datetime
    client_id: str
    exchange_order_id: str | None


def bot_orders(bot_id: int, status: str, number: int = 1) -> Slice[OrderView]:
    """Return one page of a bot's orders: open ones by price, others newest first."""
    statuses = STATUSES[status]
    query = select(OrderRow).where(OrderRow.bot_id == bot_id, OrderRow.status.in_(statuses))
    total = db.session.scalar(query.with_only_columns(func.count(OrderRow.id))) or 0
    if status == "open":
        query = query.order_by(OrderRow.price.desc().nulls_first(), OrderRow.id)
    else:
        query = query.order_by(OrderRow.id.desc())
    rows = db.session.scalars(query.offset(offset_of(number)).limit(PAGE_SIZE))
    return Slice(tuple(map(_order, rows)), number, total)


def count_orders(bot_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Count orders of bots as open, filled and cancelled."""
    rows = db.session.execute(
        select(OrderRow.bot_id, OrderRow.status, func.count(OrderRow.id))
        .where(OrderRow.bot_id.in_(bot_ids))
        .group_by(OrderRow.bot_id, OrderRow.status)
    )
    word = {status: name for name, statuses in STATUSES.items() for status in statuses}
    counts = {bot_id: dict.fromkeys(STATUSES, 0) for bot_id in bot_ids}
    for bot_id, status, count in rows:
        counts[bot_id][word[status]] += count
    return counts


@dataclass(frozen=True, slots=True)
class Reserved:
    """Cash in open buys and coins in open sells."""

    cash: Decimal = ZERO
    coins: Decimal = ZERO


def reserved_by(bot_ids: Sequence[int]) -> dict[int, Reserved]:
    """Return what open orders of bots hold back."""
    left = OrderRow.quantity - OrderRow.filled
    buying = OrderRow.side == "buy"
    rows = db.session.execute(
        select(
            OrderRow.bot_id,
            func.sum(case((buying, left * func.coalesce(OrderRow.price, 0)), else_=0)),
            func.sum(case((buying, 0), else_=left)),
        )
        .where(OrderRow.bot_id.in_(bot_ids), OrderRow.status.in_(OPEN_ORDER))
        .group_by(OrderRow.bot_id)
    )
    return {bot_id: Reserved(Decimal(cash), Decimal(coins)) for bot_id, cash, coins in rows}


def fills_since(bot_id: int, since: datetime, limit: int) -> list[FillView]:
    """Return a bot's newest fills since a moment, oldest first."""
    query = (
        select(FillRow, OrderRow)
        .join(OrderRow, OrderRow.id == FillRow.order_id)
        .where(FillRow.bot_id == bot_id, FillRow.at >= since)
        .order_by(FillRow.id.desc())
        .limit(limit)
    )
    return [_fill(fill, order) for fill, order in reversed(db.session.execute(query).all())]


def _order(row: OrderRow) -> OrderView:
    return OrderView(
        id=row.id,
        side=row.side,
        kind=row.kind,
        price=row.price,
        quantity=row.quantity,
        filled=row.filled,
        value=row.value,
        average_price=_average(row),
        status=row.status,
        reason=line_of(row.reason),
        error=Line(f"order_{row.error}", {}, "error") if row.error else None,
        purpose=row.purpose,
        level=row.level,
        client_id=row.client_id,
        exchange_order_id=row.exchange_order_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        final_at=row.final_at,
        tick_id=row.tick_id,
        attempt=row.attempt,
    )


@exact
def _average(row: OrderRow) -> Decimal | None:
    return booked(row.value / row.filled) if row.filled > 0 else None


@exact
def _fill(row: FillRow, order: OrderRow) -> FillView:
    return FillView(
        id=row.id,
        order_id=row.order_id,
        side=row.side,
        price=row.price,
        quantity=row.quantity,
        value=row.price * row.quantity,
        fee=row.fee,
        fee_currency=row.fee_currency,
        fee_quote=row.fee_quote,
        maker=row.maker,
        exchange_id=row.trade_id,
        at=row.at,
        client_id=order.client_id,
        exchange_order_id=order.exchange_order_id,
    )


# --- one trade ------------------------------------------------------------------------------------


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
    orders = _orders_of(row)
    fills = _fills_of(orders)
    logic = _logic(row.logic or {})
    version = logic.config_version or logic.exit_config_version or 0
    return TradePage(
        trade=_view(row, bots_of(user_id)),
        logic=logic,
        settings=settings_at(row.bot_id, version),
        orders=tuple(map(_order, orders)),
        fills=fills,
    )


def _orders_of(row: TradeRow) -> list[OrderRow]:
    own = [each for each in (row.entry_order_id, row.exit_order_id) if each is not None]
    told = [str(client_id) for client_id in (row.logic or {}).get("orders", [])]
    wanted: ColumnElement[bool] = or_(OrderRow.id.in_(own), OrderRow.client_id.in_(told))
    if row.entry_order_id is None and row.exit_order_id is not None:
        # The coins came from the first purchase of the same start.
        sale = db.session.get_one(OrderRow, row.exit_order_id)
        wanted = or_(wanted, and_(OrderRow.purpose == "entry", OrderRow.epoch == sale.epoch))
    query = select(OrderRow).where(OrderRow.bot_id == row.bot_id, wanted).order_by(OrderRow.id)
    return list(db.session.scalars(query))


def _fills_of(orders: Sequence[OrderRow]) -> tuple[FillView, ...]:
    by_id = {order.id: order for order in orders}
    query = select(FillRow).where(FillRow.order_id.in_(by_id)).order_by(FillRow.id)
    return tuple(_fill(fill, by_id[fill.order_id]) for fill in db.session.scalars(query))


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
