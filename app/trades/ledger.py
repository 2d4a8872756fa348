"""Orders, fills and round trips for programs: newest first, by cursor, without counting them all.

A cursor is the number of the last row that was read; rows are only added at the front, so nothing
is told twice or left out while somebody reads on.
"""

from collections.abc import Sequence

from sqlalchemy import select

from app.db import db
from app.trades.models import FillRow, OrderRow, TradeRow
from app.trades.queries import STATUSES, still_shown
from app.trades.reach import reach_of

LARGEST_ID = 2**63 - 1


def trades_before(
    user_id: int,
    cursor: int | None,
    size: int,
    *,
    bot_id: int | None = None,
    symbol: str = "",
    status: str = "",
) -> Sequence[TradeRow]:
    """Return a person's round trips, those of deleted bots too, and one more than `size`.

    As far back as their plan shows them.
    """
    query = select(TradeRow).where(
        TradeRow.user_id == user_id,
        TradeRow.id < (cursor or LARGEST_ID),
        still_shown(reach_of(user_id).since),
    )
    if bot_id is not None:
        query = query.where(TradeRow.bot_id == bot_id)
    if symbol:
        query = query.where(TradeRow.symbol == symbol)
    if status:
        query = query.where(TradeRow.status == status)
    return db.session.scalars(query.order_by(TradeRow.id.desc()).limit(size + 1)).all()


def orders_before(
    bot_id: int, cursor: int | None, size: int, status: str = ""
) -> Sequence[OrderRow]:
    """Return a bot's orders, and one more than `size`."""
    query = select(OrderRow).where(OrderRow.bot_id == bot_id, OrderRow.id < (cursor or LARGEST_ID))
    if status:
        query = query.where(OrderRow.status.in_(STATUSES[status]))
    return db.session.scalars(query.order_by(OrderRow.id.desc()).limit(size + 1)).all()


def fills_before(bot_id: int, cursor: int | None, size: int) -> Sequence[FillRow]:
    """Return a bot's fills, and one more than `size`."""
    query = (
        select(FillRow)
        .where(FillRow.bot_id == bot_id, FillRow.id < (cursor or LARGEST_ID))
        .order_by(FillRow.id.desc())
        .limit(size + 1)
    )
    return db.session.scalars(query).all()
