"""The bot, the versions of its settings, its log and its running figures."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId


class BotState(StrEnum):
    """Where a bot stands; stale is a mark beside it, not a state."""

    STOPPED = "stopped"
    STARTING = "starting"
    ACTIVE = "active"
    PAUSED = "paused"
    STOPPING = "stopping"
    ERROR = "error"
    LOCKED = "locked"


RUNNING = (BotState.STARTING, BotState.ACTIVE, BotState.STOPPING)


class Bot(Base):
    """A strategy with settings on one account; `epoch` counts its starts."""

    __tablename__ = "bots"
    __table_args__ = (
        Index(None, "user_id"),
        Index(
            "ix_bots_due",
            "next_tick_at",
            postgresql_where=text("state in ('starting', 'active', 'stopping')"),
        ),
        Index(
            "ix_bots_running_account",
            "account_id",
            postgresql_where=text("state in ('starting', 'active', 'stopping')"),
        ),
        CheckConstraint("capital > 0", name="capital_positive"),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"))
    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"))
    name: Mapped[str]
    strategy: Mapped[str]
    symbols: Mapped[list[str]]
    # Words of its owner, to find it again.
    tags: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    capital: Mapped[Decimal]
    currency: Mapped[str]
    mode: Mapped[str]
    state: Mapped[str] = mapped_column(default=BotState.STOPPED.value)
    state_since: Mapped[datetime]
    # A code and values that say why the bot is in this state.
    state_reason: Mapped[dict[str, Any]] = mapped_column(default=dict)
    config_version: Mapped[int] = mapped_column(Integer, default=1)
    epoch: Mapped[int] = mapped_column(Integer, default=0)
    tick_number: Mapped[int] = mapped_column(default=0)
    tick_period_s: Mapped[int] = mapped_column(Integer, default=60)
    # keep, sell or leave_orders once somebody asked it to stop; emergency outranks them.
    stop_request: Mapped[str | None]
    # Prices at which the strategy itself must act, apart from those of its resting orders.
    wake_below: Mapped[Decimal | None]
    wake_above: Mapped[Decimal | None]
    # Up to which number it knows the prices of its pair: those that it has not decided about, for
    # its exchange was away, are kept as their lowest and highest.
    swing_seq: Mapped[int | None]
    swing_low: Mapped[Decimal | None]
    swing_high: Mapped[Decimal | None]
    strategy_state: Mapped[dict[str, Any] | None]
    # What its last start remembered: strategy, epoch and state, as long as orders of it may fill.
    left_state: Mapped[dict[str, Any] | None]
    plan: Mapped[dict[str, Any] | None]
    # The stop that rests at the venue: trigger, side, how much rests and how much only the engine
    # would sell, the last refusal, and the number of its last order.
    protection: Mapped[dict[str, Any] | None]
    # Limits that its owner has set, and where the day began for them: day, equity, net money in.
    guard: Mapped[dict[str, Any] | None]
    guard_day: Mapped[dict[str, Any] | None]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    last_tick_at: Mapped[datetime | None]
    next_tick_at: Mapped[datetime | None]
    stale_since: Mapped[datetime | None]
    # New starts since it is stale that no tick followed, and when the last one was.
    restarts: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    restarted_at: Mapped[datetime | None]
    # When its owner was last told that it gave up.
    alarmed_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    last_error_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(Integer, default=0)
    # How long the starts before this one ran; pauses between them do not count.
    ran_before_s: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    deleted_at: Mapped[datetime | None]


class BotConfig(Base):
    """One version of a bot's settings; versions are added, never changed."""

    __tablename__ = "bot_configs"

    bot_id: Mapped[int] = mapped_column(ForeignKey("bots.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    strategy: Mapped[str]
    params: Mapped[dict[str, Any]]
    capital: Mapped[Decimal]
    created_at: Mapped[CreatedAt]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class BotShare(Base):
    """The link under which strangers see the card of a bot; without a row there is none."""

    __tablename__ = "bot_shares"

    bot_id: Mapped[int] = mapped_column(ForeignKey("bots.id"), primary_key=True)
    token: Mapped[str] = mapped_column(unique=True)
    with_money: Mapped[bool]
    created_at: Mapped[CreatedAt]


class BotEvent(Base):
    """A line of a bot's log: a code and values, put into words where it is read."""

    __tablename__ = "bot_events"
    __table_args__ = (Index(None, "bot_id", "id"),)

    id: Mapped[RowId]
    bot_id: Mapped[int] = mapped_column(ForeignKey("bots.id"))
    at: Mapped[datetime]
    level: Mapped[str] = mapped_column(default="info")
    code: Mapped[str]
    values: Mapped[dict[str, Any]] = mapped_column(default=dict)
    tick_id: Mapped[str | None]
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class BotMetrics(Base):
    """Running sums of a bot over all its fills, changed only in the transaction that stores them.

    Quote-currency money unless the name says base. `quote` and `base` are what the bot holds.
    """

    __tablename__ = "bot_metrics"

    bot_id: Mapped[int] = mapped_column(ForeignKey("bots.id"), primary_key=True)
    deposited: Mapped[Decimal] = mapped_column(default=Decimal(0))
    withdrawn: Mapped[Decimal] = mapped_column(default=Decimal(0))
    quote: Mapped[Decimal] = mapped_column(default=Decimal(0))
    base: Mapped[Decimal] = mapped_column(default=Decimal(0))
    base_cost: Mapped[Decimal] = mapped_column(default=Decimal(0))
    grid_profit: Mapped[Decimal] = mapped_column(default=Decimal(0))
    funding: Mapped[Decimal] = mapped_column(default=Decimal(0))
    fees: Mapped[Decimal] = mapped_column(default=Decimal(0))
    fills: Mapped[int] = mapped_column(default=0)
    matched_trades: Mapped[int] = mapped_column(default=0)
    # Price at the first start and the coins that the same money would have bought then.
    hold_base: Mapped[Decimal] = mapped_column(default=Decimal(0))
    peak_equity: Mapped[Decimal] = mapped_column(default=Decimal(0))
    max_drawdown: Mapped[Decimal] = mapped_column(default=Decimal(0))
    # Money invested x seconds, and the seconds, from the first deposit up to `invested_at`.
    invested_area: Mapped[Decimal] = mapped_column(default=Decimal(0), server_default=text("0"))
    invested_s: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    invested_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class BotEquity(Base):
    """A bot's value at a moment, for curves and sparklines."""

    __tablename__ = "bot_equity"

    bot_id: Mapped[int] = mapped_column(ForeignKey("bots.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    equity: Mapped[Decimal]
    invested: Mapped[Decimal]
    hold: Mapped[Decimal]
