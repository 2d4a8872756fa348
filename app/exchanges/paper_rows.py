"""The paper venue's books as rows: read and written in bulk, nothing decided here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Table, text

from app.bulk import Bulk, bulk_insert, bulk_update, bulk_upsert, plain_columns
from app.db import db
from app.exchanges.models import (
    PaperBalance,
    PaperCursor,
    PaperFill,
    PaperFunding,
    PaperOrder,
    PaperStake,
)
from app.trading.market import PricePoint
from app.trading.orders import Fill, OrderKind, Side, Status
from app.trading.ports import Funding
from app.trading.simulator import BookOrder, Payment

BALANCES: Table = PaperBalance.__table__  # type: ignore[assignment]
ORDERS: Table = PaperOrder.__table__  # type: ignore[assignment]
FILLS: Table = PaperFill.__table__  # type: ignore[assignment]
STAKES: Table = PaperStake.__table__  # type: ignore[assignment]
FUNDING: Table = PaperFunding.__table__  # type: ignore[assignment]
CURSORS: Table = PaperCursor.__table__  # type: ignore[assignment]


# --- fills as news --------------------------------------------------------------------------------


@dataclass(slots=True)
class News:
    """Fills of one account after its cursor, each with its market, and the cursor after them."""

    fills: list[tuple[int, Fill]] = field(default_factory=list)
    cursor: str = ""


NO_NEWS = News()

_FILL_COLUMNS = plain_columns(
    FILLS,
    (
        "id", "account_id", "market_id", "trade_id", "client_id", "side", "price", "quantity",
        "fee", "fee_currency", "at", "maker",
    ),
    "fill",
)  # fmt: skip
_FILLS_AFTER = text(f"""
    select {_FILL_COLUMNS} from unnest(cast(:accounts as bigint[]), cast(:cursors as bigint[]))
        as asked (account_id, cursor)
    join paper_fills as fill on fill.account_id = asked.account_id and fill.id > asked.cursor
    order by fill.id
""")  # noqa: S608 - names of our own columns


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


# --- funding payments as news ---------------------------------------------------------------------

_PAYMENTS_AFTER = text("""
    select payment.id, payment.account_id, payment.market_id, payment.point_seq, payment.at,
        trim_scale(payment.amount) as amount, market.symbol, market.quote
    from unnest(cast(:accounts as bigint[]), cast(:cursors as bigint[]))
        as asked (account_id, cursor)
    join paper_funding as payment
        on payment.account_id = asked.account_id and payment.id > asked.cursor
    join markets as market on market.id = payment.market_id
    order by payment.id
""")


@dataclass(slots=True)
class Payments:
    """Funding payments of one account after its cursor, and the cursor after them."""

    rows: list[tuple[int, Funding]] = field(default_factory=list)
    cursor: str = ""


def payments_after(cursors: Mapping[int, str]) -> dict[int, Payments]:
    """Return the payments of each account after its cursor, oldest first; without any no entry."""
    news: dict[int, Payments] = {}
    if not cursors:
        return news
    asked = {
        "accounts": list(cursors),
        "cursors": [int(cursor or 0) for cursor in cursors.values()],
    }
    for row in db.session.execute(_PAYMENTS_AFTER, asked):
        entry = news.setdefault(row.account_id, Payments())
        entry.cursor = str(row.id)
        name = f"{row.symbol}-{row.point_seq}"
        payment = Funding(name, row.symbol, row.amount, row.quote, row.at)
        entry.rows.append((row.market_id, payment))
    return news


# --- reading --------------------------------------------------------------------------------------


@dataclass(slots=True)
class AccountRows:
    """What the venue has stored of one account: money, open orders, where its markets stand."""

    balances: list[tuple[str, Decimal, Decimal]] = field(default_factory=list)
    orders: list[tuple[int, BookOrder]] = field(default_factory=list)
    points: dict[int, PricePoint] = field(default_factory=dict)
    stakes: list[tuple[int, Decimal, Decimal, Decimal]] = field(default_factory=list)


_ORDER_COLUMNS = plain_columns(
    ORDERS,
    (
        "account_id", "market_id", "client_id", "side", "kind", "price", "quantity", "placed_at",
        "id", "filled", "status", "closed_at",
    ),
)  # fmt: skip
_ASKED = "account_id = any(cast(:accounts as bigint[]))"
_BALANCES = text(f"""
    select {plain_columns(BALANCES, ("account_id", "currency", "free", "locked"))}
    from paper_balances where {_ASKED} order by account_id, currency for update
""")  # noqa: S608 - names of our own columns
_OPEN_ORDERS = text(f"""
    select {_ORDER_COLUMNS} from paper_orders where {_ASKED} and status = 'open' order by id
""")  # noqa: S608 - names of our own columns
_CURSORS = text(f"""
    select {plain_columns(CURSORS, ("account_id", "market_id", "point_seq", "at", "price"))}
    from paper_cursors where {_ASKED}
""")  # noqa: S608 - names of our own columns
_STAKES = text(f"""
    select {plain_columns(STAKES, ("account_id", "market_id", "base", "cost", "leverage"))}
    from paper_stakes where {_ASKED}
""")  # noqa: S608 - names of our own columns
_BY_CLIENT_ID = text(f"""
    select {_ORDER_COLUMNS} from paper_orders
    join unnest(cast(:accounts as bigint[]), cast(:client_ids as text[])) as asked (number, name)
      on account_id = asked.number and client_id = asked.name
""")  # noqa: S608 - names of our own columns


def read_accounts(symbols: Mapping[int, Mapping[int, str]]) -> dict[int, AccountRows]:
    """Read accounts, each with the symbols of its markets, and lock their balances."""
    rows = {number: AccountRows() for number in symbols}
    asked = {"accounts": list(symbols)}
    for account_id, currency, free, locked in db.session.execute(_BALANCES, asked).all():
        rows[account_id].balances.append((currency, free, locked))
    for account_id, market_id, *columns in db.session.execute(_OPEN_ORDERS, asked).all():
        symbol = symbols[account_id].get(market_id)
        if symbol is not None:
            rows[account_id].orders.append((market_id, _book_order(symbol, *columns)))
    for account_id, market_id, seq, at, price in db.session.execute(_CURSORS, asked).all():
        if market_id in symbols[account_id]:
            rows[account_id].points[market_id] = PricePoint(seq, at, price)
    for account_id, *stake in db.session.execute(_STAKES, asked).all():
        rows[account_id].stakes.append((stake[0], stake[1], stake[2], stake[3]))
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
    accounts, client_ids = zip(*wanted, strict=True)
    asked = {"accounts": list(accounts), "client_ids": list(client_ids)}
    known = []
    for account_id, market_id, *columns in db.session.execute(_BY_CLIENT_ID, asked).all():
        order = _book_order(symbols[account_id].get(market_id, ""), *columns)
        known.append(KnownOrder(order.rank, account_id, market_id, order))
    return known


_OPEN = "open"
_STATUS_OF_ROW = {"filled": Status.FILLED, "cancelled": Status.CANCELLED}
_ROW_OF_STATUS = {
    Status.OPEN: _OPEN,
    Status.PARTIAL: _OPEN,
    Status.FILLED: "filled",
    Status.CANCELLED: "cancelled",
}


_SIDES = {side.value: side for side in Side}
_KINDS = {kind.value: kind for kind in OrderKind}


def _book_order(  # noqa: PLR0913, PLR0917 - the columns, by position because there are many rows
    symbol: str, client_id: str, side: str, kind: str, price: Decimal | None, quantity: Decimal,
    placed_at: datetime, number: int, filled: Decimal, status: str, closed_at: datetime | None,
) -> BookOrder:  # fmt: skip
    still_open = Status.PARTIAL if filled else Status.OPEN
    # Rows are numbered in the order of placing, so the number is the rank.
    return BookOrder(
        client_id, symbol, _SIDES[side], _KINDS[kind], price, quantity, placed_at, number, filled,
        _STATUS_OF_ROW.get(status, still_open), closed_at,
    )  # fmt: skip


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
_INSERT_PAYMENTS = bulk_insert(
    FUNDING, ("account_id", "market_id", "point_seq", "at", "rate", "price", "amount")
)
_UPSERT_BALANCES = bulk_upsert(BALANCES, ("account_id", "currency"), ("free", "locked"))
_UPSERT_STAKES = bulk_upsert(STAKES, ("account_id", "market_id"), ("base", "cost", "leverage"))
_UPSERT_CURSORS = bulk_upsert(CURSORS, ("account_id", "market_id"), ("point_seq", "price", "at"))


@dataclass(slots=True)
class Changes:
    """What has to be written, gathered over many accounts."""

    placed: list[tuple[Any, ...]] = field(default_factory=list)
    changed: list[tuple[Any, ...]] = field(default_factory=list)
    fills: list[tuple[Any, ...]] = field(default_factory=list)
    payments: list[tuple[Any, ...]] = field(default_factory=list)
    balances: list[tuple[Any, ...]] = field(default_factory=list)
    cursors: list[tuple[Any, ...]] = field(default_factory=list)
    stakes: list[tuple[Any, ...]] = field(default_factory=list)

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

    def add_payment(self, account_id: int, market_id: int, paid: Payment) -> None:
        """Note a funding payment."""
        self.payments.append(
            (account_id, market_id, paid.seq, paid.time, paid.rate, paid.price, paid.amount)
        )

    def write(self) -> None:
        """Write each table with one statement."""
        _run(_INSERT_ORDERS, self.placed)
        _run(_UPDATE_ORDERS, self.changed)
        _run(_INSERT_FILLS, self.fills)
        _run(_INSERT_PAYMENTS, self.payments)
        _run(_UPSERT_BALANCES, self.balances)
        _run(_UPSERT_STAKES, self.stakes)
        _run(_UPSERT_CURSORS, self.cursors)


def _run(bulk: Bulk, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        db.session.execute(bulk.statement, bulk.values(rows))
