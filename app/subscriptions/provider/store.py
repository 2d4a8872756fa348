"""Which subscription of a person a provider keeps."""

from sqlalchemy import case, select

from app.accounts.locks import lock_person
from app.adapters.payments import rail_named, rails
from app.adapters.payments.keeping import SubscriptionRail
from app.adapters.payments.port import RailSubscriptionState
from app.db import db
from app.errors import Conflict, NotFound
from app.subscriptions.models import (
    Plan,
    PlanKind,
    PlanPrice,
    RailSubscription,
    SubscriptionItem,
)

OVER = (RailSubscriptionState.CANCELED.value, RailSubscriptionState.INCOMPLETE_EXPIRED.value)
# Of two the one that gives something comes first.
_WORTH = ("active", "trialing", "past_due", "paused", "unpaid", "incomplete")


def keeper(rail: str) -> SubscriptionRail:
    """Return a rail that keeps subscriptions; raise NotFound for any other."""
    found = rail_named(rail)
    if not isinstance(found, SubscriptionRail):
        raise NotFound("unknown_rail")
    return found


def keepers() -> list[str]:
    """Return the rails that keep subscriptions."""
    return [name for name, rail in rails().items() if isinstance(rail, SubscriptionRail)]


def live_of(user_id: int) -> RailSubscription | None:
    """Return the subscription of a person that is not over; of several the best one."""
    order = case(
        {state: number for number, state in enumerate(_WORTH)},
        value=RailSubscription.state,
        else_=len(_WORTH),
    )
    return db.session.scalar(
        select(RailSubscription)
        .where(RailSubscription.user_id == user_id, RailSubscription.state.not_in(OVER))
        .order_by(order, RailSubscription.id)
        .limit(1)
    )


def own(user_id: int) -> RailSubscription:
    """Return the subscription of a person that is not over, under the person's lock.

    Raises Conflict for who has none.
    """
    lock_person(user_id)
    found = live_of(user_id)
    if found is None:
        raise Conflict("no_subscription")
    return found


def addons_of(row_id: int) -> dict[str, int]:
    """Return the add-ons that a subscription has paid for, by code."""
    rows = db.session.execute(
        select(Plan.code, SubscriptionItem.quantity)
        .join(PlanPrice, PlanPrice.plan_code == Plan.code)
        .join(SubscriptionItem, SubscriptionItem.price_id == PlanPrice.id)
        .where(
            SubscriptionItem.rail_subscription_id == row_id,
            Plan.kind == PlanKind.ADDON.value,
            SubscriptionItem.quantity > 0,
        )
        .order_by(Plan.code)
    )
    return {code: quantity for code, quantity in rows}
