"""Plans, their prices from a date, and who has which plan until when."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId


class SubscriptionState(StrEnum):
    """ACTIVE holds now, ENDED ran out or was ended, REPLACED gave way to another plan."""

    ACTIVE = "active"
    ENDED = "ended"
    REPLACED = "replaced"


class Plan(Base):
    """A plan and what it allows, as data that staff edit."""

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("max_bots >= 0", name="max_bots"),
        CheckConstraint("max_live_bots >= 0", name="max_live_bots"),
        CheckConstraint("tick_period_s between 1 and 3600", name="tick_period"),
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    position: Mapped[int] = mapped_column(Integer)
    max_bots: Mapped[int] = mapped_column(Integer)
    max_live_bots: Mapped[int] = mapped_column(Integer)
    max_exchanges: Mapped[int] = mapped_column(Integer)
    tick_period_s: Mapped[int] = mapped_column(Integer)
    allowed: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    visible: Mapped[bool] = mapped_column(default=True)


class PlanPrice(Base):
    """A price of a plan from a date on; running subscriptions keep the one they began with."""

    __tablename__ = "plan_prices"
    __table_args__ = (
        UniqueConstraint("plan_code", "currency", "period", "valid_from"),
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        CheckConstraint("period ~ '^([1-9][0-9]?-)?(day|week|month|year)$'", name="period"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    )

    id: Mapped[RowId]
    plan_code: Mapped[str] = mapped_column(ForeignKey("plans.code"))
    amount: Mapped[Decimal]
    currency: Mapped[str]
    period: Mapped[str]
    valid_from: Mapped[datetime]


class Subscription(Base):
    """A person's right to a plan; without one the free plan holds."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index(
            "uq_subscriptions_one_active",
            "user_id",
            unique=True,
            postgresql_where=text("state = 'active'"),
        ),
        Index(
            "ix_subscriptions_ending",
            "ends_at",
            postgresql_where=text("state = 'active' and ends_at is not null"),
        ),
        CheckConstraint("state in ('active', 'ended', 'replaced')", name="state"),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    plan_code: Mapped[str] = mapped_column(ForeignKey("plans.code"))
    state: Mapped[str] = mapped_column(default=SubscriptionState.ACTIVE.value)
    started_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(default="")
    # By which rail it is paid for; nothing where staff have given it.
    rail: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[CreatedAt]


class RailPrice(Base):
    """What a provider calls a price of ours."""

    __tablename__ = "rail_prices"

    rail: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    price_id: Mapped[int] = mapped_column(ForeignKey("plan_prices.id"))


class RailSubscription(Base):
    """A subscription that a provider keeps, as it was when it was fetched last.

    `plan_code` and `access_until` are the right that it gives; no plan means none.
    """

    __tablename__ = "rail_subscriptions"
    __table_args__ = (UniqueConstraint("rail", "external_id"),)

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    rail: Mapped[str]
    external_id: Mapped[str]
    state: Mapped[str]
    price_ref: Mapped[str]
    paid_price_ref: Mapped[str | None]
    quantity: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime]
    period_end: Mapped[datetime]
    trial_end: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    is_collection_paused: Mapped[bool]
    has_pending_update: Mapped[bool]
    price_id: Mapped[int | None] = mapped_column(ForeignKey("plan_prices.id"))
    plan_code: Mapped[str | None] = mapped_column(ForeignKey("plans.code"))
    access_until: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
