"""Subscriptions that a provider keeps: copied from what it says now, and the plan they give.

Any number of times and in any order: nothing here depends on what was heard before, except that
an unknown price changes nothing.
"""

import logging
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.adapters.payments.port import RailSubscription as Seen
from app.db import db, utc_now
from app.notifications.stream import hint
from app.payments import customers
from app.payments.settling import TAKEN, Taken, takes
from app.settings import queries as settings
from app.settings.rules import GRACE_DAYS
from app.subscriptions import rules, service
from app.subscriptions.models import PlanPrice, RailPrice, RailSubscription
from app.transactions import after_commit

log = logging.getLogger(__name__)


@takes(Seen)
def take_subscription(rail: str, seen: Seen) -> Taken:
    """Bring our copy of a provider's subscription to what it says, and the plan that it gives."""
    owner = _owner(rail, seen)
    if owner is None:
        return Taken(False, "not_ours")
    row = _row(owner, rail, seen)
    _copy(row, seen)
    _find_access(row, seen)
    db.session.flush()
    service.hold_best_paid(owner)
    after_commit(lambda: hint(owner, "dashboard"))
    return TAKEN


def _owner(rail: str, seen: Seen) -> int | None:
    """Return whose it is, under the lock of that person: known ones stay with who had them."""
    known = db.session.scalar(
        select(RailSubscription.user_id).where(
            RailSubscription.rail == rail, RailSubscription.external_id == seen.id
        )
    )
    return customers.lock_owner(rail, seen.customer_id, seen.owner if known is None else known)


def _row(user_id: int, rail: str, seen: Seen) -> RailSubscription:
    db.session.execute(
        insert(RailSubscription)
        .values(user_id=user_id, rail=rail, external_id=seen.id, **_values(seen))
        .on_conflict_do_nothing(
            index_elements=[RailSubscription.rail, RailSubscription.external_id]
        )
    )
    query = (
        select(RailSubscription)
        .where(RailSubscription.rail == rail, RailSubscription.external_id == seen.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return db.session.scalars(query).one()


def _copy(row: RailSubscription, seen: Seen) -> None:
    for name, value in _values(seen).items():
        setattr(row, name, value)
    row.updated_at = utc_now()


def _values(seen: Seen) -> dict[str, object]:
    return {
        "state": seen.state.value,
        "price_ref": seen.price_id,
        "paid_price_ref": seen.paid_price_id,
        "quantity": seen.quantity,
        "started_at": seen.started_at,
        "period_end": seen.period_end,
        "trial_end": seen.trial_end,
        "cancel_at": seen.cancel_at,
        "is_collection_paused": seen.is_collection_paused,
        "has_pending_update": seen.has_pending_update,
    }


def _find_access(row: RailSubscription, seen: Seen) -> None:
    grace = timedelta(days=int(settings.text_of(GRACE_DAYS)))
    access = rules.access_of(
        seen.state.value, seen.paid_price_id, seen.unpaid_since, seen.cancel_at, grace, utc_now()
    )
    if access is None:
        row.plan_code = row.price_id = row.access_until = None
        return
    price = _price(row.rail, access.price)
    if price is None:
        # Nobody loses or gains a plan because of a price that we were not told of.
        log.error("unknown_rail_price rail=%s price=%s", row.rail, access.price)
        return
    row.plan_code, row.price_id, row.access_until = price.plan_code, price.id, access.until


def _price(rail: str, external_id: str) -> PlanPrice | None:
    return db.session.scalar(
        select(PlanPrice)
        .join(RailPrice, RailPrice.price_id == PlanPrice.id)
        .where(RailPrice.rail == rail, RailPrice.external_id == external_id)
    )
