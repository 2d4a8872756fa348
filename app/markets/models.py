"""Tradable pairs with their rules, the price points that were seen, and candles of them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Integer, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, RowId


class MarketRow(Base):
    """A pair at an exchange; `tick`, `lot` and minimums as it states them (None = no rule)."""

    __tablename__ = "markets"
    __table_args__ = (UniqueConstraint("exchange", "symbol"),)

    id: Mapped[RowId]
    exchange: Mapped[str] = mapped_column(ForeignKey("exchanges.code"))
    symbol: Mapped[str]
    base: Mapped[str]
    quote: Mapped[str]
    kind: Mapped[str] = mapped_column(default="spot")
    tick: Mapped[Decimal | None]
    lot: Mapped[Decimal | None]
    min_quantity: Mapped[Decimal | None]
    min_notional: Mapped[Decimal | None]
    maker_fee: Mapped[Decimal]
    taker_fee: Mapped[Decimal]
    fee_side: Mapped[str] = mapped_column(default="received_asset")
    # Of contracts: the greatest leverage, maintenance margins as [floor, rate, amount] from the
    # lowest up (None: not told), and seconds between funding times.
    max_leverage: Mapped[Decimal | None]
    tiers: Mapped[list[list[str]] | None] = mapped_column(JSONB(none_as_null=True))
    funding_interval_s: Mapped[int | None] = mapped_column(Integer)
    # Empty while tradable; else a code such as `delisted` or `no_prices`.
    blocked_reason: Mapped[str] = mapped_column(default="")
    source: Mapped[str] = mapped_column(default="")
    last_seq: Mapped[int] = mapped_column(default=0)
    last_price: Mapped[Decimal | None]
    last_price_at: Mapped[datetime | None]
    # Prices are stale after so many seconds, or at once for a reason: `gap`, `recording_ended`.
    stale_after_s: Mapped[int] = mapped_column(Integer, default=60)
    stale_reason: Mapped[str] = mapped_column(default="")
    # Where the source stands (row of a recording, step of the generator), to go on after a restart.
    source_position: Mapped[int] = mapped_column(default=0)


class PricePointRow(Base):
    """One price that was seen, numbered without gaps for each market."""

    __tablename__ = "price_points"

    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    price: Mapped[Decimal]
    # The rate that falls due on contracts at this point.
    funding: Mapped[Decimal | None]


class CandleRow(Base):
    """A candle of what was seen; `timeframe` is 1m or 1h, other ones are summed from them."""

    __tablename__ = "candles"

    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"), primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    opened_at: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[Decimal]
    high: Mapped[Decimal]
    low: Mapped[Decimal]
    close: Mapped[Decimal]
    volume: Mapped[Decimal]


class FeedState(Base):
    """One row at most: where prices come from and when the feed was last at work."""

    __tablename__ = "feed_state"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False, server_default=text("1")
    )
    source: Mapped[str]
    beat_at: Mapped[datetime]
    # Files that were skipped and why, exchanges that don't answer.
    notes: Mapped[dict[str, Any]] = mapped_column(default=dict)
