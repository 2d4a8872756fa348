"""Our own books: orders, fills and round trips as stored."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId

LIVE_STATES = "status in ('INTENDED', 'OPEN', 'PARTIAL', 'UNRESOLVED')"


class OrderRow(Base):
    """An order from the intent on; it is written before anything is sent."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("account_id", "client_id"),
        Index("ix_orders_live", "account_id", postgresql_where=text(LIVE_STATES)),
        Index("ix_orders_unsettled", "account_id", postgresql_where=text("not settled")),
        Index(None, "bot_id", "id"),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"))
    bot_id: Mapped[int] = mapped_column(ForeignKey("bots.id"))
    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"))
    symbol: Mapped[str]
    client_id: Mapped[str]
    exchange_order_id: Mapped[str | None]
    purpose: Mapped[str]
    level: Mapped[int | None] = mapped_column(Integer)
    side: Mapped[str]
    cycle: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(Integer)
    epoch: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str]
    price: Mapped[Decimal | None]
    quantity: Mapped[Decimal]
    filled: Mapped[Decimal] = mapped_column(default=Decimal(0))
    # Sums over the order's fills: price x quantity, and fees by the currency they were taken in.
    value: Mapped[Decimal] = mapped_column(default=Decimal(0))
    fee_base: Mapped[Decimal] = mapped_column(default=Decimal(0))
    fee_quote: Mapped[Decimal] = mapped_column(default=Decimal(0))
    status: Mapped[str]
    # Final, and its strategy has taken it in: nothing more is expected of it.
    settled: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[dict[str, Any]]
    error: Mapped[str | None]
    # The venue's own words when it was asked last, for the staff desk.
    answer: Mapped[str | None]
    # Since when nobody knows whether the venue has the order; its level is frozen so long.
    doubtful_since: Mapped[datetime | None]
    config_version: Mapped[int] = mapped_column(Integer)
    tick_id: Mapped[str]
    created_at: Mapped[CreatedAt]
    sent_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
    final_at: Mapped[datetime | None]


class FillRow(Base):
    """One execution; a trade id counts once for an account, however often it is told."""

    __tablename__ = "fills"
    __table_args__ = (
        UniqueConstraint("account_id", "trade_id"),
        Index(None, "bot_id", "id"),
        Index(None, "order_id"),
        Index(None, "at"),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"))
    bot_id: Mapped[int] = mapped_column(ForeignKey("bots.id"))
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    trade_id: Mapped[str]
    side: Mapped[str]
    price: Mapped[Decimal]
    quantity: Mapped[Decimal]
    fee: Mapped[Decimal]
    fee_currency: Mapped[str]
    # The fee at the price of its time, in the quote currency of the pair.
    fee_quote: Mapped[Decimal]
    maker: Mapped[bool]
    at: Mapped[datetime]
    stored_at: Mapped[CreatedAt]


class FundingRow(Base):
    """A funding payment of a contract: positive when it was received; told twice it counts once."""

    __tablename__ = "funding"
    __table_args__ = (
        UniqueConstraint("account_id", "funding_id"),
        Index(None, "bot_id", "id"),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"))
    bot_id: Mapped[int] = mapped_column(ForeignKey("bots.id"))
    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"))
    funding_id: Mapped[str]
    amount: Mapped[Decimal]
    currency: Mapped[str]
    at: Mapped[datetime]


class TradeRow(Base):
    """A round trip: opened by a buy, closed by the sell that mirrors it; `logic` says why."""

    __tablename__ = "trades"
    __table_args__ = (
        Index(None, "user_id", "exit_at"),
        Index(None, "bot_id", "id"),
        Index("ix_trades_open", "bot_id", postgresql_where=text("status = 'open'")),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    bot_id: Mapped[int] = mapped_column(ForeignKey("bots.id"))
    symbol: Mapped[str]
    side: Mapped[str] = mapped_column(default="long")
    status: Mapped[str]
    quantity: Mapped[Decimal]
    entry_price: Mapped[Decimal]
    exit_price: Mapped[Decimal | None]
    entry_at: Mapped[datetime]
    exit_at: Mapped[datetime | None]
    profit: Mapped[Decimal | None]
    fees: Mapped[Decimal] = mapped_column(default=Decimal(0))
    currency: Mapped[str]
    entry_order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    exit_order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    logic: Mapped[dict[str, Any]]
