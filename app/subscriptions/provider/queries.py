"""Reads for the desk about subscriptions that a provider keeps."""

from sqlalchemy import Select, func, literal, select, union_all

from app.db import db
from app.subscriptions.models import KeptSubscription, RailSubscription
from app.subscriptions.provider import store
from app.subscriptions.queries import GIVING

SHOWN = 100
_LIVE = union_all(
    select(RailSubscription.user_id).where(RailSubscription.state.not_in(store.OVER)),
    select(KeptSubscription.user_id).where(KeptSubscription.state.in_(GIVING)),
).subquery()


def doubles() -> tuple[int, ...]:
    """Return who pays for more than one subscription at once: somebody has to end one of them."""
    return tuple(db.session.scalars(_paying_twice().limit(SHOWN)))


def has_several(user_id: int) -> bool:
    """Tell whether a person pays for more than one subscription, here or at a provider."""
    query = _paying_twice().where(_LIVE.c.user_id == user_id)
    return db.session.scalar(query) is not None


def _paying_twice() -> Select[tuple[int]]:
    return (
        select(_LIVE.c.user_id)
        .group_by(_LIVE.c.user_id)
        .having(func.count(literal(1)) > 1)
        .order_by(_LIVE.c.user_id)
    )
