"""Our own books of a live tick: orders and their fills, read and written in bulk."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, select, text, update

from app.bulk import bulk_insert, bulk_update, plain_columns
from app.db import db, utc_now
from app.trades.models import LIVE_STATES, FillRow, OrderRow
from app.trading.intents import Reason
from app.trading.market import Market
from app.trading.orders import Fill, Order, OrderKey, OrderKind, Purpose, Side, Status

ORDERS: Table = OrderRow.__table__  # type: ignore[assignment]
FILLS: Table = FillRow.__table__  # type: ignore[assignment]


@dataclass(slots=True)
class OwnOrder:
    """An order of ours with the row it stands in; `order` is replaced as news comes in."""

    id: int
    user_id: int
    account_id: int
    bot_id: int
    market_id: int
    epoch: int
    order: Order
    settled: bool
    sent_at: datetime | None
    created_at: datetime
    # As it is stored: a tick reads many orders, and the reasons of the few that open or close.
    reason_text: str
    config_version: int
    tick_id: str
    exchange_order_id: str | None = None
    error: str | None = None
    final_at: datetime | None = None
    answer: str | None = None
    doubtful_since: datetime | None = None

    @property
    def status(self) -> Status:
        """Return where the order stands."""
        return self.order.status

    @property
    def reason(self) -> dict[str, Any]:
        """Return why it was placed: a code and its values."""
        read: dict[str, Any] = json.loads(self.reason_text)
        return read

    def turn(self, status: Status, error: str | None = None) -> None:
        """Change its state as the table of changes allows."""
        self.order = self.order.with_status(status)
        self.error = error or self.error
        if status is not Status.UNRESOLVED:
            self.doubtful_since = None
        elif self.doubtful_since is None:
            self.doubtful_since = utc_now()


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to be written before anything is sent."""

    user_id: int
    account_id: int
    bot_id: int
    market_id: int
    symbol: str
    epoch: int
    order: Order
    reason: Reason
    config_version: int
    tick_id: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class NewFill:
    """An execution of one of our orders; `fee_quote` is its fee at the price of its time."""

    owner: OwnOrder
    fill: Fill
    fee_quote: Decimal


# --- orders ---------------------------------------------------------------------------------------

_ORDER_COLUMNS = "cast(orders.reason as text) as reason_text, " + plain_columns(
    ORDERS,
    (
        "id", "user_id", "account_id", "bot_id", "market_id", "epoch", "client_id", "purpose",
        "level", "side", "cycle", "attempt", "kind", "price", "quantity", "status", "filled",
        "value", "fee_base", "fee_quote", "settled", "sent_at", "created_at",
        "config_version", "tick_id", "exchange_order_id", "error", "final_at", "answer",
        "doubtful_since",
    ),
)  # fmt: skip
_READ_ORDERS = f"select {_ORDER_COLUMNS} from orders"  # noqa: S608 - names of our own columns
_UNSETTLED = text(
    f"{_READ_ORDERS} where account_id = any(cast(:accounts as bigint[])) and not settled"
    " order by id"
)
_DOUBTFUL = text(
    f"{_READ_ORDERS} where account_id = any(cast(:accounts as bigint[])) and not settled"
    " and status in ('INTENDED', 'UNRESOLVED') order by id"
)
_BY_CLIENT_ID = text(
    f"{_READ_ORDERS} join unnest(cast(:accounts as bigint[]), cast(:client_ids as text[]))"
    " as asked (number, name) on account_id = asked.number and client_id = asked.name order by id"
)
# Two keys of one account at an exchange show each other's orders; an account that was deleted here
# may have left some to its owner.
_BESIDE = text("""
    select own.client_id
    from exchange_accounts as mine
    join exchange_accounts as other
        on other.exchange = mine.exchange and other.id <> mine.id
    join orders as own
        on own.account_id = other.id and own.client_id = any(cast(:client_ids as text[]))
        and (other.deleted_at is null or own.error = :left)
    where mine.id = :account
""")
_PURPOSES = {purpose.value: purpose for purpose in Purpose}
_SIDES = {side.value: side for side in Side}
_KINDS = {kind.value: kind for kind in OrderKind}
_STATUSES = {status.value: status for status in Status}


def unsettled_orders(account_ids: Collection[int]) -> list[OwnOrder]:
    """Return all orders of these accounts of which something is still expected, oldest first."""
    rows = db.session.execute(_UNSETTLED, {"accounts": list(account_ids)})
    return [_own_order(*row) for row in rows.all()]


def doubtful_orders(account_ids: Collection[int]) -> list[OwnOrder]:
    """Return orders of which nobody knows for sure whether the venue has them, oldest first."""
    rows = db.session.execute(_DOUBTFUL, {"accounts": list(account_ids)})
    return [_own_order(*row) for row in rows.all()]


def orders_by_client_id(wanted: Collection[tuple[int, str]]) -> list[OwnOrder]:
    """Return orders found by (account, client id), settled ones too."""
    if not wanted:
        return []
    accounts, client_ids = zip(*wanted, strict=True)
    values = {"accounts": list(accounts), "client_ids": list(client_ids)}
    return [_own_order(*row) for row in db.session.execute(_BY_CLIENT_ID, values).all()]


@dataclass(frozen=True, slots=True)
class LeftOrder:
    """An order that stays at the exchange, and is no business of ours any more."""

    bot_id: int
    purpose: str


# How an order ends whose account was taken away while it stood.
LEFT = "left_with_account"
_LEAVE = text(f"""
    update orders set status = 'CANCELLED', error = '{LEFT}', settled = true, final_at = :now,
        updated_at = :now, doubtful_since = null
    where account_id = any(cast(:accounts as bigint[])) and not settled and {LIVE_STATES}
    returning bot_id, purpose
""")  # noqa: S608 - words of our own


def leave_orders(account_ids: Collection[int], now: datetime) -> list[LeftOrder]:
    """End our books of all orders that stand on these accounts; what becomes of them is unknown."""
    rows = db.session.execute(_LEAVE, {"accounts": list(account_ids), "now": now})
    return [LeftOrder(*row) for row in rows]


def ids_beside(account_id: int, client_ids: Collection[str]) -> set[str]:
    """Return which of these client ids belong to orders of other accounts at the same exchange."""
    if not client_ids:
        return set()
    values = {"account": account_id, "client_ids": list(client_ids), "left": LEFT}
    return set(db.session.scalars(_BESIDE, values))


def ids_known(account_id: int, trade_ids: Collection[str], client_ids: Collection[str]) -> set[str]:
    """Return which of these trades the account has, and which of these orders anybody here has."""
    if not trade_ids:
        return set()
    trades = select(FillRow.trade_id).where(
        FillRow.account_id == account_id, FillRow.trade_id.in_(trade_ids)
    )
    orders = select(OrderRow.client_id).where(OrderRow.client_id.in_(client_ids))
    return {*db.session.scalars(trades), *db.session.scalars(orders)}


def _own_order(  # noqa: PLR0913, PLR0917 - the columns, by position because there are many rows
    reason: str, number: int, user_id: int, account_id: int, bot_id: int, market_id: int,
    epoch: int, client_id: str, purpose: str, level: int | None, side: str, cycle: int,
    attempt: int, kind: str, price: Decimal | None, quantity: Decimal, status: str, filled: Decimal,
    value: Decimal, fee_base: Decimal, fee_quote: Decimal, settled: bool,
    sent_at: datetime | None, created_at: datetime,
    config_version: int, tick_id: str, exchange_order_id: str | None, error: str | None,
    final_at: datetime | None, answer: str | None, doubtful_since: datetime | None,
) -> OwnOrder:  # fmt: skip
    key = OrderKey(_PURPOSES[purpose], level, _SIDES[side], cycle)
    order = Order(
        client_id, key, attempt, _KINDS[kind], price, quantity, _STATUSES[status], filled, value,
        fee_base, fee_quote,
    )  # fmt: skip
    return OwnOrder(
        number, user_id, account_id, bot_id, market_id, epoch, order, settled, sent_at,
        created_at, reason, config_version, tick_id, exchange_order_id, error, final_at, answer,
        doubtful_since,
    )  # fmt: skip


_INSERT_ORDERS = bulk_insert(
    ORDERS,
    (
        "user_id", "account_id", "bot_id", "market_id", "symbol", "client_id", "purpose", "level",
        "side", "cycle", "attempt", "epoch", "kind", "price", "quantity", "filled", "value",
        "fee_base", "fee_quote", "status", "settled", "reason", "error", "config_version",
        "tick_id", "updated_at", "final_at",
    ),
    "on conflict (account_id, client_id) do nothing returning account_id, client_id, id",
)  # fmt: skip


def insert_orders(rows: Sequence[NewOrder]) -> list[OwnOrder]:
    """Write orders; one whose client id stands in the books already is left out of the answer."""
    if not rows:
        return []
    now = utc_now()
    values = _INSERT_ORDERS.values(_order_values(row, now) for row in rows)
    answer = db.session.execute(_INSERT_ORDERS.statement, values)
    written = {(row.account_id, row.client_id): row for row in answer}
    return [
        _stored(row, written[key].id, now)
        for row in rows
        if (key := (row.account_id, row.order.client_id)) in written
    ]


def _order_values(row: NewOrder, now: datetime) -> tuple[Any, ...]:
    order, key = row.order, row.order.key
    reason = _reason(row.reason)
    return (
        row.user_id, row.account_id, row.bot_id, row.market_id, row.symbol, order.client_id,
        key.purpose.value, key.level, key.side.value, key.cycle, order.attempt, row.epoch,
        order.kind.value, order.price, order.quantity, order.filled, order.value, order.fee_base,
        order.fee_quote, order.status.value, False, reason, row.error, row.config_version,
        row.tick_id, now, now if order.status.is_final else None,
    )  # fmt: skip


def _stored(row: NewOrder, order_id: int, now: datetime) -> OwnOrder:
    return OwnOrder(
        id=order_id,
        user_id=row.user_id,
        account_id=row.account_id,
        bot_id=row.bot_id,
        market_id=row.market_id,
        epoch=row.epoch,
        order=row.order,
        settled=False,
        sent_at=None,
        created_at=now,
        reason_text=_reason(row.reason),
        config_version=row.config_version,
        tick_id=row.tick_id,
    )


def _reason(reason: Reason) -> str:
    return json.dumps({"code": reason.code, "values": dict(reason.values)})


_UPDATE_ORDERS = bulk_update(
    ORDERS,
    ("id",),
    (
        "status", "filled", "value", "fee_base", "fee_quote", "settled", "sent_at",
        "exchange_order_id", "error", "updated_at", "final_at", "answer", "doubtful_since",
    ),
)  # fmt: skip


def update_orders(orders: Iterable[OwnOrder]) -> None:
    """Write back what changes about orders in their life."""
    now = utc_now()
    rows = [
        (
            own.id, own.status.value, own.order.filled, own.order.value, own.order.fee_base,
            own.order.fee_quote, own.settled, own.sent_at, own.exchange_order_id, own.error, now,
            (own.final_at or now) if own.status.is_final else None, own.answer, own.doubtful_since,
        )
        for own in orders
    ]  # fmt: skip
    if rows:
        db.session.execute(_UPDATE_ORDERS.statement, _UPDATE_ORDERS.values(rows))


def restate_orders(orders: Iterable[OwnOrder]) -> None:
    """Write price and quantity of orders that stand at the venue otherwise than intended here."""
    for own in orders:
        values = {"price": own.order.price, "quantity": own.order.quantity}
        db.session.execute(update(OrderRow).where(OrderRow.id == own.id).values(values))


# --- fills ----------------------------------------------------------------------------------------

_INSERT_FILLS = bulk_insert(
    FILLS,
    (
        "user_id", "account_id", "bot_id", "order_id", "trade_id", "side", "price", "quantity",
        "fee", "fee_currency", "fee_quote", "maker", "at",
    ),
    "on conflict (account_id, trade_id) do nothing returning account_id, trade_id",
)  # fmt: skip


def store_fills(fills: Sequence[NewFill]) -> list[NewFill]:
    """Write fills and return those that are news; one that was told before is not counted again.

    Some venues number the trades of each pair for themselves. One whose number stands in the books
    for another order is kept, and known again, under its number and its order.
    """
    news, told = _insert_fills(fills)
    others = _orders_of_trades(told)
    apart = [
        replace(new, fill=replace(new.fill, trade_id=f"{new.fill.trade_id}@{new.owner.id}"))
        for new in told
        if others.get(_trade_of(new), new.owner.id) != new.owner.id
    ]
    return news + _insert_fills(apart)[0]


def _insert_fills(fills: Sequence[NewFill]) -> tuple[list[NewFill], list[NewFill]]:
    """Write fills; return those that were written, and those whose number stands already."""
    if not fills:
        return [], []
    rows = (
        (
            new.owner.user_id, new.owner.account_id, new.owner.bot_id, new.owner.id,
            new.fill.trade_id, new.fill.side.value, new.fill.price, new.fill.quantity,
            new.fill.fee, new.fill.fee_currency, new.fee_quote, new.fill.maker, new.fill.time,
        )
        for new in fills
    )  # fmt: skip
    answer = db.session.execute(_INSERT_FILLS.statement, _INSERT_FILLS.values(rows))
    fresh = {(row.account_id, row.trade_id) for row in answer}
    news, told = [], []
    for new in fills:
        if _trade_of(new) in fresh:
            fresh.discard(_trade_of(new))
            news.append(new)
        else:
            told.append(new)
    return news, told


def _trade_of(new: NewFill) -> tuple[int, str]:
    return new.owner.account_id, new.fill.trade_id


def _orders_of_trades(fills: Sequence[NewFill]) -> dict[tuple[int, str], int]:
    """Return the orders of trades by their numbers, but those that stand for the trade itself."""
    if not fills:
        return {}
    accounts, trades = zip(*map(_trade_of, fills), strict=True)
    rows = db.session.execute(
        select(FillRow.account_id, FillRow.trade_id, FillRow.order_id)
        .join(OrderRow, OrderRow.id == FillRow.order_id)
        .where(
            FillRow.account_id.in_(set(accounts)),
            FillRow.trade_id.in_(set(trades)),
            OrderRow.client_id != FillRow.trade_id,
        )
    )
    return {(row.account_id, row.trade_id): row.order_id for row in rows}


def count_fill(own: OwnOrder, fill: Fill, market: Market, fee_rate: Decimal | None = None) -> None:
    """Count a fill into an order's sums; a settled order becomes news again."""
    own.order = own.order.with_fill(fill, market, fee_rate)
    own.doubtful_since = None
    own.settled = False
