"""Reads for the desk about subscriptions that a provider keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, literal, select, union_all

from app.db import db
from app.subscriptions.models import KeptSubscription, RailSubscription
from app.subscriptions.provider import store
from app.subscriptions.provider.models import RailPromo
from app.subscriptions.queries import GIVING

SHOWN = 100


@dataclass(frozen=True, slots=True)
class PromoThere:
    """A promotion code of ours as a provider has it; `months` 0: as often as it says itself."""

    id: int
    rail: str
    months: int
    external_id: str
    state: str
    error: str
    attempts: int


_LIVE = union_all(
    select(RailSubscription.user_id).where(RailSubscription.state.not_in(store.OVER)),
    select(KeptSubscription.user_id).where(KeptSubscription.state.in_(GIVING)),
).subquery()


def promos_of(code_id: int) -> Sequence[PromoThere]:
    """Return where a promotion code is known, and how that stands."""
    query = (
        select(RailPromo)
        .where(RailPromo.code_id == code_id)
        .order_by(RailPromo.rail, RailPromo.months)
    )
    return [
        PromoThere(
            row.id,
            row.rail,
            row.months,
            row.external_id or "",
            row.state,
            row.error or "",
            row.attempts,
        )
        for row in db.session.scalars(query)
    ]


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
