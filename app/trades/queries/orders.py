"""Reads of orders and of their executions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from app.db import db
from app.listing.paging import PAGE_SIZE, Slice, offset_of
from app.trades.models import FillRow, OrderRow, TradeRow
from app.trades.queries.lines import Line, line_of
from app.trading.market import ZERO, booked, exact

OPEN_ORDER = ("INTENDED", "OPEN", "PARTIAL", "UNRESOLVED")
CLOSED_ORDER = ("CANCELLED", "REJECTED", "DENIED")
STATUSES: Mapping[str, tuple[str, ...]] = {
    "open": OPEN_ORDER,
    "filled": ("FILLED",),
    "cancelled": CLOSED_ORDER,
}


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
    doubtful_since: datetime | None
    answer: str | None


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
    return Slice(tuple(map(order_view, rows)), number, total)


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
    return [fill_view(fill, order) for fill, order in reversed(db.session.execute(query).all())]


def order_view(row: OrderRow) -> OrderView:
    """Return an order as tables show it."""
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
        doubtful_since=row.doubtful_since,
        answer=row.answer,
    )


@exact
def _average(row: OrderRow) -> Decimal | None:
    return booked(row.value / row.filled) if row.filled > 0 else None


@exact
def fill_view(row: FillRow, order: OrderRow) -> FillView:
    """Return an execution of an order as tables show it."""
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


def orders_of_trade(row: TradeRow) -> list[OrderRow]:
    """Return the orders that made a trade, oldest first."""
    own = [each for each in (row.entry_order_id, row.exit_order_id) if each is not None]
    told = [str(client_id) for client_id in (row.logic or {}).get("orders", [])]
    wanted: ColumnElement[bool] = or_(OrderRow.id.in_(own), OrderRow.client_id.in_(told))
    if row.entry_order_id is None and row.exit_order_id is not None:
        # The coins came from the first purchase of the same start.
        sale = db.session.get_one(OrderRow, row.exit_order_id)
        wanted = or_(wanted, and_(OrderRow.purpose == "entry", OrderRow.epoch == sale.epoch))
    query = select(OrderRow).where(OrderRow.bot_id == row.bot_id).order_by(OrderRow.id)
    found = list(db.session.scalars(query.where(wanted)))
    # An order that was taken back with a part of it filled was followed by another try.
    tries = [
        and_(OrderRow.purpose == "grid", OrderRow.filled > 0, *_same_place(order))
        for order in found
        if order.purpose == "grid" and order.attempt
    ]
    return list(db.session.scalars(query.where(or_(wanted, *tries)))) if tries else found


def _same_place(order: OrderRow) -> tuple[ColumnElement[bool], ...]:
    names = ("epoch", "level", "side", "cycle")
    return tuple(getattr(OrderRow, name) == getattr(order, name) for name in names)


def fills_of(orders: Sequence[OrderRow]) -> tuple[FillView, ...]:
    """Return the executions of orders, oldest first."""
    by_id = {order.id: order for order in orders}
    query = select(FillRow).where(FillRow.order_id.in_(by_id)).order_by(FillRow.id)
    return tuple(fill_view(fill, by_id[fill.order_id]) for fill in db.session.scalars(query))
