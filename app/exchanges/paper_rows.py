"""The paper venue's books as rows: read and written in bulk, nothing decided here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Table, select, text, tuple_

from app.bulk import Bulk, bulk_insert, bulk_update, bulk_upsert
from app.db import db
from app.exchanges.models import PaperBalance, PaperCursor, PaperFill, PaperOrder
from app.trading.market import PricePoint
from app.trading.orders import Fill, OrderKind, Side, Status
from app.trading.simulator import BookOrder

BALANCES: Table = PaperBalance.__table__  # type: ignore[assignment]
ORDERS: Table = PaperOrder.__table__  # type: ignore[assignment]
FILLS: Table = PaperFill.__table__  # type: ignore[assignment]
CURSORS: Table = PaperCursor.__table__  # type: ignore[assignment]


# --- fills as news --------------------------------------------------------------------------------


@dataclass(slots=True)
class News:
    """Fills of one account after its cursor, each with its market, and the cursor after them."""

    fills: list[tuple[int, Fill]] = field(default_factory=list)
    cursor: str = ""


NO_NEWS = News()

_FILLS_AFTER = text("""
    select fill.* from unnest(cast(:accounts as bigint[]), cast(:cursors as bigint[]))
        as asked (account_id, cursor)
    join paper_fills as fill on fill.account_id = asked.account_id and fill.id > asked.cursor
    order by fill.id
""").columns(*FILLS.c)


def fills_after(cursors: Mapping[int, str]) -> dict[int, News]:
    """Return the fills of each account after its cursor, oldest first; without fills no entry."""
    asked = {
        "accounts": list(cursors),
        "cursors": [int(cursor or 0) for cursor in cursors.values()],
    }
    news: dict[int, News] = {}
    for row in db.session.execute(_FILLS_AFTER, asked):
        entry = news.setdefault(row.account_id, News())
        entry.cursor = str(row.id)
        entry.fills.append((row.market_id, _fill_of(row)))
    return news


def _fill_of(row: Row[Any]) -> Fill:
    return Fill(
        trade_id=row.trade_id,
        client_id=row.client_id,
        side=Side(row.side),
        price=row.price,
        quantity=row.quantity,
        fee=row.fee,
        fee_currency=row.fee_currency,
        time=row.at,
        maker=row.maker,
    )


# --- reading --------------------------------------------------------------------------------------


@dataclass(slots=True)
class AccountRows:
    """What the venue has stored of one account: money, open orders, where its markets stand."""

    balances: list[tuple[str, Decimal, Decimal]] = field(default_factory=list)
    orders: list[tuple[int, BookOrder]] = field(default_factory=list)
    points: dict[int, PricePoint] = field(default_factory=dict)


def read_accounts(symbols: Mapping[int, Mapping[int, str]]) -> dict[int, AccountRows]:
    """Read accounts, each with the symbols of its markets, and lock their balances."""
    rows = {number: AccountRows() for number in symbols}
    balances = (
        select(
            PaperBalance.account_id, PaperBalance.currency, PaperBalance.free, PaperBalance.locked
        )
        .where(PaperBalance.account_id.in_(symbols))
        .order_by(PaperBalance.account_id, PaperBalance.currency)
        .with_for_update()
    )
    for account_id, currency, free, locked in db.session.execute(balances):
        rows[account_id].balances.append((currency, free, locked))
    orders = (
        select(ORDERS)
        .where(PaperOrder.account_id.in_(symbols), PaperOrder.status == "open")
        .order_by(PaperOrder.id)
    )
    for row in db.session.execute(orders):
        symbol = symbols[row.account_id].get(row.market_id)
        if symbol is not None:
            rows[row.account_id].orders.append((row.market_id, _book_order(row, symbol)))
    cursors = select(CURSORS).where(PaperCursor.account_id.in_(symbols))
    for row in db.session.execute(cursors):
        if row.market_id in symbols[row.account_id]:
            point = PricePoint(row.point_seq, row.at, row.price)
            rows[row.account_id].points[row.market_id] = point
    return rows


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """An order that the venue has or had, open or closed."""

    id: int
    account_id: int
    market_id: int
    order: BookOrder


def read_orders(
    wanted: Collection[tuple[int, str]], symbols: Mapping[int, Mapping[int, str]]
) -> list[KnownOrder]:
    """Read orders found by (account, client id), closed ones too."""
    query = select(ORDERS).where(tuple_(PaperOrder.account_id, PaperOrder.client_id).in_(wanted))
    return [
        KnownOrder(
            row.id,
            row.account_id,
            row.market_id,
            _book_order(row, symbols[row.account_id].get(row.market_id, "")),
        )
        for row in db.session.execute(query)
    ]


_OPEN = "open"
_STATUS_OF_ROW = {"filled": Status.FILLED, "cancelled": Status.CANCELLED}
_ROW_OF_STATUS = {
    Status.OPEN: _OPEN,
    Status.PARTIAL: _OPEN,
    Status.FILLED: "filled",
    Status.CANCELLED: "cancelled",
}


def _book_order(row: Row[Any], symbol: str) -> BookOrder:
    still_open = Status.PARTIAL if row.filled else Status.OPEN
    return BookOrder(
        client_id=row.client_id,
        symbol=symbol,
        side=Side(row.side),
        kind=OrderKind(row.kind),
        price=row.price,
        quantity=row.quantity,
        placed_at=row.placed_at,
        # Rows are numbered in the order of placing.
        rank=row.id,
        filled=row.filled,
        status=_STATUS_OF_ROW.get(row.status, still_open),
        closed_at=row.closed_at,
    )


# --- writing --------------------------------------------------------------------------------------

_INSERT_ORDERS = bulk_insert(
    ORDERS,
    (
        "account_id", "market_id", "client_id", "side", "kind", "price", "quantity", "filled",
        "status", "placed_seq", "placed_at", "closed_at",
    ),
)  # fmt: skip
_UPDATE_ORDERS = bulk_update(ORDERS, ("account_id", "client_id"), ("filled", "status", "closed_at"))
_INSERT_FILLS = bulk_insert(
    FILLS,
    (
        "account_id", "market_id", "trade_id", "client_id", "side", "price", "quantity", "fee",
        "fee_currency", "maker", "point_seq", "at",
    ),
)  # fmt: skip
_UPSERT_BALANCES = bulk_upsert(BALANCES, ("account_id", "currency"), ("free", "locked"))
_UPSERT_CURSORS = bulk_upsert(CURSORS, ("account_id", "market_id"), ("point_seq", "price", "at"))


@dataclass(slots=True)
class Changes:
    """What has to be written, gathered over many accounts."""

    placed: list[tuple[Any, ...]] = field(default_factory=list)
    changed: list[tuple[Any, ...]] = field(default_factory=list)
    fills: list[tuple[Any, ...]] = field(default_factory=list)
    balances: list[tuple[Any, ...]] = field(default_factory=list)
    cursors: list[tuple[Any, ...]] = field(default_factory=list)

    def add_placed(self, account_id: int, market_id: int, seq: int, order: BookOrder) -> None:
        """Note a new order."""
        self.placed.append(
            (
                account_id, market_id, order.client_id, order.side.value, order.kind.value,
                order.price, order.quantity, order.filled, _ROW_OF_STATUS[order.status], seq,
                order.placed_at, order.closed_at,
            )
        )  # fmt: skip

    def add_changed(self, account_id: int, order: BookOrder) -> None:
        """Note what became of an order that has its row."""
        status = _ROW_OF_STATUS[order.status]
        self.changed.append((account_id, order.client_id, order.filled, status, order.closed_at))

    def add_fill(self, account_id: int, market_id: int, seq: int, fill: Fill) -> None:
        """Note a fill."""
        self.fills.append(
            (
                account_id, market_id, fill.trade_id, fill.client_id, fill.side.value, fill.price,
                fill.quantity, fill.fee, fill.fee_currency, fill.maker, seq, fill.time,
            )
        )  # fmt: skip

    def write(self) -> None:
        """Write each table with one statement."""
        _run(_INSERT_ORDERS, self.placed)
        _run(_UPDATE_ORDERS, self.changed)
        _run(_INSERT_FILLS, self.fills)
        _run(_UPSERT_BALANCES, self.balances)
        _run(_UPSERT_CURSORS, self.cursors)


def _run(bulk: Bulk, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        db.session.execute(bulk.statement, bulk.values(rows))
