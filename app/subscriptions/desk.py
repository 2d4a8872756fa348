"""What staff see of a person's subscriptions, whoever keeps them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app.db import db
from app.subscriptions.models import (
    KeptSubscription,
    Plan,
    PlanKind,
    PlanPrice,
    RailSubscription,
    SubscriptionItem,
)
from app.subscriptions.rules import FREE_PLAN

SHOWN = 20


@dataclass(frozen=True, slots=True)
class KnownSubscription:
    """A subscription as it stands; `external_id` is what its provider calls it, None for ours."""

    id: int
    rail: str
    external_id: str | None
    state: str
    plan: str
    started_at: datetime
    period_end: datetime | None
    cancels_at: datetime | None


def subscriptions_of(user_id: int) -> tuple[KnownSubscription, ...]:
    """Return a person's subscriptions, those at providers first, of each kind the newest first."""
    there = (
        select(RailSubscription, Plan.name)
        .outerjoin(Plan, Plan.code == RailSubscription.plan_code)
        .where(RailSubscription.user_id == user_id)
        .order_by(RailSubscription.id.desc())
        .limit(SHOWN)
    )
    plan = (
        select(Plan.name)
        .join(PlanPrice, PlanPrice.plan_code == Plan.code)
        .join(SubscriptionItem, SubscriptionItem.price_id == PlanPrice.id)
        .where(SubscriptionItem.kept_id == KeptSubscription.id, Plan.kind == PlanKind.PLAN.value)
        .limit(1)
        .scalar_subquery()
    )
    ours = (
        select(KeptSubscription, plan)
        .where(KeptSubscription.user_id == user_id)
        .order_by(KeptSubscription.id.desc())
        .limit(SHOWN)
    )
    return (
        *(_there(row, name) for row, name in db.session.execute(there)),
        *(_ours(row, name) for row, name in db.session.execute(ours)),
    )


def plans_to_give() -> tuple[tuple[str, str], ...]:
    """Return code and name of the plans that staff can give, the smallest first."""
    rows = db.session.execute(
        select(Plan.code, Plan.name)
        .where(Plan.kind == PlanKind.PLAN.value, Plan.code != FREE_PLAN)
        .order_by(Plan.position, Plan.code)
    )
    return tuple((code, name) for code, name in rows)


def _there(row: RailSubscription, name: str | None) -> KnownSubscription:
    return KnownSubscription(
        id=row.id,
        rail=row.rail,
        external_id=row.external_id,
        state=row.state,
        plan=name or "",
        started_at=row.started_at,
        period_end=row.period_end,
        cancels_at=row.cancel_at,
    )


def _ours(row: KeptSubscription, name: str | None) -> KnownSubscription:
    return KnownSubscription(
        id=row.id,
        rail=row.rail,
        external_id=None,
        state=row.state,
        plan=name or "",
        started_at=row.started_at,
        period_end=row.period_end,
        cancels_at=row.period_end if row.cancel_at_period_end else None,
    )
