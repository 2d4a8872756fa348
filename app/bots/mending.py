"""Trades of former versions that count coins twice: found by their orders, and carried over.

Until a trade ended as carried over, one whose coins had gone to other orders (a new start, other
settings) stayed open and was closed by the last sale, though other rows had sold its coins. So did
one that a grid had taken to another level. What ticks write now is never touched.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, func, select

from app.bots.live.trips import CARRIED, CLOSED, ENDING, OPEN
from app.bots.models import Bot, BotEvent
from app.db import db
from app.markets.models import MarketRow
from app.trades.models import FillRow, OrderRow, TradeRow
from app.trading.market import ZERO, MarketKind, booked, exact
from app.trading.orders import Purpose, Side

CLOSINGS = frozenset(purpose.value for purpose in ENDING)
_ORDER = (
    OrderRow.id, OrderRow.client_id, OrderRow.epoch, OrderRow.purpose, OrderRow.side,
    OrderRow.filled, OrderRow.created_at, OrderRow.final_at,
    OrderRow.reason["values"]["order"].astext.label("answers"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mended:
    """What of a bot's trades counted twice: how many rows, and the results that they claimed."""

    bot_id: int
    trades: int
    profit: Decimal
    currency: str


def bots_with_trades() -> list[int]:
    """Return the bots on coins that have a trade which may count twice."""
    query = (
        select(TradeRow.bot_id)
        .join(Bot, Bot.id == TradeRow.bot_id)
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .where(TradeRow.status != CARRIED, MarketRow.kind == MarketKind.SPOT.value)
    )
    return list(db.session.scalars(query.distinct().order_by(TradeRow.bot_id)))


@exact
def mend_trades(bot_id: int, *, write: bool) -> Mended | None:
    """End a bot's trades as carried over that count coins twice; None if there are none.

    Without `write` nothing is changed. Its ticks wait meanwhile.
    """
    bot = db.session.get_one(Bot, bot_id, with_for_update=True)
    past = _Past.of(bot)
    rows = _rows(bot_id)
    found = [(row, at) for row in rows if (at := past.gone_at(row)) is not None]
    doubled = past.overdrawn(rows)
    found = [(row, at) for row, at in found if row.status == OPEN or past.claims(row, doubled)]
    if not found:
        return None
    profit = sum((row.profit or ZERO for row, _ in found), ZERO)
    if write:
        fees = _entry_fees(rows, past, [row for row, _ in found])
        for row, at in found:
            _carry_over(row, at, past, fees[row.id])
    return Mended(bot_id, len(found), profit, bot.currency)


@dataclass(slots=True)
class _Past:
    """What of a bot's life says where coins have gone."""

    orders: dict[int, Row[Any]]
    lot: Decimal
    # When each start placed its first order, and when other settings began.
    starts: dict[int, datetime]
    edits: list[datetime]
    # Sells of the grid by the purchase that they answer, and when another row counts one as its.
    answers: dict[str, list[Row[Any]]] = field(default_factory=lambda: defaultdict(list))
    elsewhere: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def of(cls, bot: Bot) -> "_Past":
        orders = db.session.execute(select(*_ORDER).where(OrderRow.bot_id == bot.id)).all()
        starts: dict[int, datetime] = {}
        for order in orders:
            starts[order.epoch] = min(starts.get(order.epoch, order.created_at), order.created_at)
        edits = select(BotEvent.at).where(BotEvent.bot_id == bot.id, BotEvent.code == "edit_done")
        lot = db.session.get_one(MarketRow, bot.market_id).lot or ZERO
        past = cls(
            {order.id: order for order in orders}, lot, starts, sorted(db.session.scalars(edits))
        )
        for order in orders:
            is_answer = order.purpose == Purpose.GRID.value and order.side == Side.SELL.value
            if is_answer and order.answers:
                past.answers[order.answers].append(order)
        others = select(TradeRow.exit_order_id, TradeRow.exit_at).where(
            TradeRow.bot_id == bot.id, TradeRow.entry_order_id.is_(None)
        )
        for exit_id, exit_at in db.session.execute(others):
            sale = past.orders.get(exit_id or 0)
            if sale is not None and sale.answers and exit_at is not None:
                past.elsewhere[sale.answers] = exit_at
        return past

    def gone_at(self, row: TradeRow) -> datetime | None:
        """Return when the coins of a trade went to other orders, if they did before its end."""
        if row.entry_order_id is None or not (row.status == OPEN or self._is_closing(row)):
            return None
        names = row.logic["orders"]
        for name in names:
            if name in self.elsewhere:
                return self.elsewhere[name]
        epoch = self.orders[row.entry_order_id].epoch
        later = [at for number, at in self.starts.items() if number > epoch]
        until = min(later, default=None)
        if until is not None and row.exit_at is not None and until >= row.exit_at:
            until = None
        last = until or row.exit_at
        for at in self.edits:
            if row.entry_at < at and (last is None or at < last) and not self._stays(names, at):
                return at
        return until

    def _stays(self, names: Iterable[str], at: datetime) -> bool:
        """Say whether a sell goes on to answer one of these purchases, or comes later."""
        sells = (sale for name in names for sale in self.answers.get(name, ()))
        return any(sale.final_at is None or sale.final_at > at for sale in sells)

    def overdrawn(self, rows: Sequence[TradeRow]) -> set[int]:
        """Return the starts whose last sales are counted for more than they have sold."""
        sold: dict[int, Decimal] = defaultdict(lambda: ZERO)
        counted: dict[int, Decimal] = defaultdict(lambda: ZERO)
        for order in self.orders.values():
            if order.purpose in CLOSINGS and order.side == Side.SELL.value:
                sold[order.epoch] += order.filled
        for row in filter(self._is_closing, rows):
            # Of each trade less than a lot may be left, which nothing can sell.
            counted[self._exit(row).epoch] += row.quantity - self.lot
        return {epoch for epoch, coins in counted.items() if coins > sold[epoch] + self.lot}

    def claims(self, row: TradeRow, overdrawn: set[int]) -> bool:
        """Say whether a trade claims a part of a sale that others have."""
        is_elsewhere = not self.elsewhere.keys().isdisjoint(row.logic["orders"])
        return is_elsewhere or self._exit(row).epoch in overdrawn

    def _exit(self, row: TradeRow) -> Row[Any]:
        return self.orders[row.exit_order_id or 0]

    def _is_closing(self, row: TradeRow) -> bool:
        return row.exit_order_id is not None and self._exit(row).purpose in CLOSINGS


def _rows(bot_id: int) -> Sequence[TradeRow]:
    query = select(TradeRow).where(TradeRow.bot_id == bot_id, TradeRow.status.in_((OPEN, CLOSED)))
    return db.session.scalars(
        query.order_by(TradeRow.id).execution_options(populate_existing=True)
    ).all()


def _entry_fees(
    rows: Iterable[TradeRow], past: _Past, doubled: Sequence[TradeRow]
) -> dict[int, Decimal]:
    """Return what of its fees each trade has paid for its purchase."""
    bought: dict[int | None, Decimal] = defaultdict(lambda: ZERO)
    for row in rows:
        bought[row.entry_order_id] += row.quantity
    ids = {order.client_id: order.id for order in past.orders.values()}
    names = {name for row in doubled for name in row.logic["orders"]}
    paid = select(FillRow.order_id, func.sum(FillRow.fee_quote)).where(
        FillRow.order_id.in_([ids[name] for name in names if name in ids]),
        FillRow.side == Side.BUY.value,
    )
    fees: dict[int, Decimal] = {
        number: fee for number, fee in db.session.execute(paid.group_by(FillRow.order_id))
    }
    return {
        row.id: booked(
            sum((fees.get(ids.get(name, 0), ZERO) for name in row.logic["orders"]), ZERO)
            * row.quantity / bought[row.entry_order_id]
        )
        for row in doubled
    }  # fmt: skip


def _carry_over(row: TradeRow, at: datetime, past: _Past, fees: Decimal) -> None:
    closed_by = past.orders[row.exit_order_id].client_id if row.exit_order_id else None
    row.status, row.exit_at, row.fees = CARRIED, at, fees
    row.exit_price = row.profit = row.exit_order_id = None
    row.logic = {
        **row.logic,
        "orders": [name for name in row.logic["orders"] if name != closed_by],
        "exit": {"code": "coins_carried_over", "values": {}},
    }
