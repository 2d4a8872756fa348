"""Plans, their prices from a date, and who has which plan until when."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, CreatedAt, RowId


class SubscriptionState(StrEnum):
    """ACTIVE holds now, ENDED ran out or was ended, REPLACED gave way to another plan.

    WAITING was given and stands back while as much or more is paid for.
    """

    ACTIVE = "active"
    WAITING = "waiting"
    ENDED = "ended"
    REPLACED = "replaced"


class PlanKind(StrEnum):
    """A plan is had once; of an add-on any number, each of which adds to what the plan allows."""

    PLAN = "plan"
    ADDON = "addon"


class KeptState(StrEnum):
    """How a subscription stands that we keep.

    INCOMPLETE waits for its first payment and gives nothing; PAST_DUE goes on for the grace.
    """

    INCOMPLETE = "incomplete"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    ENDED = "ended"


class Plan(Base):
    """A plan or an add-on and what it allows, as data that staff edit.

    `bot_kind` says which kind of bot an add-on rents out, for the statistics of rentals.
    """

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("max_bots >= 0", name="max_bots"),
        CheckConstraint("max_live_bots >= 0", name="max_live_bots"),
        CheckConstraint("tick_period_s between 1 and 3600", name="tick_period"),
        CheckConstraint("kind in ('plan', 'addon')", name="kind"),
        CheckConstraint("trial_days between 0 and 365", name="trial_days"),
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
    kind: Mapped[str] = mapped_column(
        default=PlanKind.PLAN.value, server_default=PlanKind.PLAN.value
    )
    bot_kind: Mapped[str] = mapped_column(default="", server_default="")
    trial_days: Mapped[int] = mapped_column(Integer, default=0, server_default="0")


class PlanPrice(Base):
    """A price of a plan from a date on; running subscriptions keep the one they began with.

    `seats` is how often it may be sold; None: as often as somebody asks.
    """

    __tablename__ = "plan_prices"
    __table_args__ = (
        UniqueConstraint("plan_code", "currency", "period", "valid_from"),
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        CheckConstraint(
            "period = 'lifetime' or period ~ '^([1-9][0-9]?-)?(day|week|month|year)$'",
            name="period",
        ),
        CheckConstraint("seats >= 1", name="seats"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    )

    id: Mapped[RowId]
    plan_code: Mapped[str] = mapped_column(ForeignKey("plans.code"))
    amount: Mapped[Decimal]
    currency: Mapped[str]
    period: Mapped[str]
    valid_from: Mapped[datetime]
    seats: Mapped[int | None] = mapped_column(Integer)


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
        CheckConstraint("state in ('active', 'waiting', 'ended', 'replaced')", name="state"),
        CheckConstraint("(state = 'waiting') = (waits_since is not null)", name="waits_since"),
        Index("ix_subscriptions_waiting", "user_id", postgresql_where=text("state = 'waiting'")),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    plan_code: Mapped[str] = mapped_column(ForeignKey("plans.code"))
    state: Mapped[str] = mapped_column(default=SubscriptionState.ACTIVE.value)
    started_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    # What was left of it then is had once it does not wait any more.
    waits_since: Mapped[datetime | None]
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
    # The newest name of a price is the one by which it is sold.
    created_at: Mapped[CreatedAt]


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
    # Our word for the page on which it began: the key of its promotion code.
    reference: Mapped[str] = mapped_column(default="", server_default="")
    # What is taken off its invoices: name, percent or amount, until when.
    discounts: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, server_default=text("'[]'::jsonb")
    )
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class KeptSubscription(Base):
    """A subscription that we keep: we ask for the money of each period.

    Periods are numbered; `number` is the last one that is paid, 0 before the first. Period n
    begins n - `anchor_number` - 1 periods after `anchor`. `revision` grows when an invoice for the
    next period is taken back, so that the next one is another. Without `period_end` it is for life.
    `change_at` is when the next price and quantity of the items begin to hold; `pending` is what
    holds once the open invoice of a change is paid. `access_until` ends what it gives.
    `prices_from` is when it came back after its end: the next period costs what was asked then.
    """

    __tablename__ = "kept_subscriptions"
    __table_args__ = (
        CheckConstraint(
            "state in ('incomplete', 'trialing', 'active', 'past_due', 'ended')", name="state"
        ),
        CheckConstraint("(state = 'ended') = (ended_at is not null)", name="ended_at"),
        CheckConstraint(
            "state in ('incomplete', 'ended') or period_start is not null", name="period_start"
        ),
        CheckConstraint("number >= 0 and anchor_number >= 0", name="number"),
        Index(
            "uq_kept_subscriptions_one_live",
            "user_id",
            unique=True,
            postgresql_where=text("state <> 'ended'"),
        ),
        Index(
            "ix_kept_subscriptions_ending",
            "period_end",
            postgresql_where=text("state <> 'ended'"),
        ),
    )

    id: Mapped[RowId]
    key: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    rail: Mapped[str]
    state: Mapped[str]
    period: Mapped[str]
    currency: Mapped[str]
    started_at: Mapped[datetime]
    anchor: Mapped[datetime | None]
    anchor_number: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    number: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    revision: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    trial_end: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool] = mapped_column(default=False, server_default=false())
    change_at: Mapped[datetime | None]
    prices_from: Mapped[datetime | None]
    pending: Mapped[dict[str, Any] | None]
    access_until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    items: Mapped[list["SubscriptionItem"]] = relationship(
        order_by="SubscriptionItem.id", cascade="all, delete-orphan"
    )


class SubscriptionItem(Base):
    """One price of a subscription, of whichever kind, and how often; it stays as it began.

    What is to hold from the next period on stands in `next_…`; a next quantity of 0 ends it.
    """

    __tablename__ = "subscription_items"
    __table_args__ = (
        CheckConstraint("num_nonnulls(kept_id, rail_subscription_id) = 1", name="one_owner"),
        CheckConstraint("quantity >= 0 and next_quantity >= 0", name="quantity"),
    )

    id: Mapped[RowId]
    kept_id: Mapped[int | None] = mapped_column(ForeignKey("kept_subscriptions.id"), index=True)
    rail_subscription_id: Mapped[int | None] = mapped_column(
        ForeignKey("rail_subscriptions.id"), index=True
    )
    price_id: Mapped[int] = mapped_column(ForeignKey("plan_prices.id"))
    quantity: Mapped[int] = mapped_column(Integer)
    next_price_id: Mapped[int | None] = mapped_column(ForeignKey("plan_prices.id"))
    next_quantity: Mapped[int | None] = mapped_column(Integer)


class SubscriptionChange(Base):
    """One thing that happened to a subscription: values before and after; never changed."""

    __tablename__ = "subscription_history"
    __table_args__ = (Index("ix_subscription_history_user_id", "user_id", "id"),)

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    source: Mapped[str]
    what: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    actor_id: Mapped[int | None]
    cause: Mapped[str] = mapped_column(default="", server_default="")
    at: Mapped[CreatedAt]


class SubscriptionReminder(Base):
    """A reminder that was sent, or need not be any more: of each kind one for a source."""

    __tablename__ = "subscription_reminders"

    source: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    at: Mapped[CreatedAt]
