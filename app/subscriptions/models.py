"""Plans, their prices from a date, and who has which plan until when."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId


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
    visible: Mapped[bool] = mapped_column(default=True)


class PlanPrice(Base):
    """A price of a plan from a date on; running subscriptions keep the one they began with."""

    __tablename__ = "plan_prices"
    __table_args__ = (
        UniqueConstraint("plan_code", "currency", "period", "valid_from"),
        CheckConstraint("amount >= 0", name="amount_not_negative"),
    )

    id: Mapped[RowId]
    plan_code: Mapped[str] = mapped_column(ForeignKey("plans.code"))
    amount: Mapped[Decimal]
    currency: Mapped[str]
    # month or year
    period: Mapped[str]
    valid_from: Mapped[datetime]


class Subscription(Base):
    """A person's right to a plan; without one the free plan holds."""

    __tablename__ = "subscriptions"
    __table_args__ = (Index(None, "user_id", "state"),)

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    plan_code: Mapped[str] = mapped_column(ForeignKey("plans.code"))
    state: Mapped[str]
    started_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(default="")
    created_at: Mapped[CreatedAt]
