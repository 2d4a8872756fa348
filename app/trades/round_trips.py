"""Round trips in our own books of a live tick: read and written in bulk."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, select

from app.bulk import bulk_insert, bulk_update
from app.db import db
from app.trades.models import TradeRow

TRADES: Table = TradeRow.__table__  # type: ignore[assignment]


@dataclass(slots=True)
class RoundTrip:
    """What one row of trades says; `exit_*` stay empty while it is open."""

    user_id: int
    bot_id: int
    symbol: str
    currency: str
    status: str
    quantity: Decimal
    entry_price: Decimal
    entry_at: datetime
    fees: Decimal
    entry_order_id: int | None
    logic: dict[str, Any]
    exit_price: Decimal | None = None
    exit_at: datetime | None = None
    profit: Decimal | None = None
    exit_order_id: int | None = None
    side: str = "long"
    id: int | None = None


_TRADE_COLUMNS = (
    "user_id", "bot_id", "symbol", "side", "status", "quantity", "entry_price", "exit_price",
    "entry_at", "exit_at", "profit", "fees", "currency", "entry_order_id", "exit_order_id", "logic",
)  # fmt: skip
_INSERT_TRADES = bulk_insert(TRADES, _TRADE_COLUMNS)
_UPDATE_TRADES = bulk_update(
    TRADES,
    ("id",),
    (
        "status", "quantity", "entry_price", "exit_price", "exit_at", "profit", "fees",
        "exit_order_id", "logic",
    ),
)  # fmt: skip


def open_round_trips(bot_ids: Collection[int]) -> list[RoundTrip]:
    """Return the round trips of these bots that still wait for their sell, oldest first."""
    if not bot_ids:
        return []
    query = (
        select(TradeRow)
        .where(TradeRow.bot_id.in_(bot_ids), TradeRow.status == "open")
        .order_by(TradeRow.id)
    )
    rows = db.session.execute(query.with_only_columns(*TRADES.c))
    return [RoundTrip(**{name: getattr(row, name) for name in RoundTrip.__slots__}) for row in rows]


def write_round_trips(trips: Iterable[RoundTrip]) -> None:
    """Insert the new ones, update those that have a row."""
    given = list(trips)
    fresh = [trip for trip in given if trip.id is None]
    known = [trip for trip in given if trip.id is not None]
    if fresh:
        new_rows = (
            (
                trip.user_id, trip.bot_id, trip.symbol, trip.side, trip.status, trip.quantity,
                trip.entry_price, trip.exit_price, trip.entry_at, trip.exit_at, trip.profit,
                trip.fees, trip.currency, trip.entry_order_id, trip.exit_order_id,
                json.dumps(trip.logic),
            )
            for trip in fresh
        )  # fmt: skip
        db.session.execute(_INSERT_TRADES.statement, _INSERT_TRADES.values(new_rows))
    if known:
        rows = (
            (
                trip.id, trip.status, trip.quantity, trip.entry_price, trip.exit_price,
                trip.exit_at, trip.profit, trip.fees, trip.exit_order_id, json.dumps(trip.logic),
            )
            for trip in known
        )  # fmt: skip
        db.session.execute(_UPDATE_TRADES.statement, _UPDATE_TRADES.values(rows))
