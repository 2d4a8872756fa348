"""Who came back after an end while that kept the old price: found, and asked for that of the day.

Since migration 0034 the price follows when somebody comes back; those of before are corrected by
hand, by a command. Only what is not asked for yet costs something else.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select

from app.db import db
from app.money import Money
from app.subscriptions.kept import baskets, store
from app.subscriptions.kept.store import writing
from app.subscriptions.models import KeptState, KeptSubscription, SubscriptionChange

_RUNNING = (KeptState.ACTIVE.value, KeptState.PAST_DUE.value)


@dataclass(frozen=True, slots=True)
class Returned:
    """A subscription whose next period would cost `old`; asked on the day of the return was `new`.

    While it `waits` the next period is asked for, paid or being changed already.
    """

    kept_id: int
    user_id: int
    came_back: datetime
    next_at: datetime
    old: Money
    new: Money
    waits: bool


def at_old_prices() -> tuple[Returned, ...]:
    """Return those who came back and still pay what was asked before they had ended."""
    found = (_look(kept, at) for kept, at in db.session.execute(_came_back()))
    return tuple(one for one in found if one is not None)


def reprice(kept_id: int) -> bool:
    """Let the next period cost what was asked when its owner came back; tell whether it does now.

    Not while it waits. Again: nothing.
    """
    kept = store.hold(kept_id).kept
    came_back = db.session.execute(_came_back(kept_id)).one_or_none()
    found = _look(kept, came_back[1]) if came_back is not None else None
    if found is None or found.waits:
        return False
    with writing(kept, "repriced", cause="came_back"):
        kept.prices_from = found.came_back
    return True


def _came_back(kept_id: int | None = None) -> Select[KeptSubscription, datetime]:
    source = func.concat("kept:", KeptSubscription.id)
    back = func.max(SubscriptionChange.at)
    query = (
        select(KeptSubscription, back)
        .join(
            SubscriptionChange,
            (SubscriptionChange.user_id == KeptSubscription.user_id)
            & (SubscriptionChange.source == source)
            & (SubscriptionChange.what == "revived"),
        )
        .where(
            KeptSubscription.state.in_(_RUNNING),
            KeptSubscription.period_end.is_not(None),
            KeptSubscription.prices_from.is_(None),
        )
        .group_by(KeptSubscription.id)
        .order_by(KeptSubscription.id)
    )
    return query if kept_id is None else query.where(KeptSubscription.id == kept_id)


def _look(kept: KeptSubscription, came_back: datetime) -> Returned | None:
    following = baskets.next_of(kept)
    today = baskets.priced_at(following, came_back)
    if kept.period_end is None or today.same_as(following):
        return None
    is_asked = store.open_invoice_id(kept.id) is not None
    return Returned(
        kept.id,
        kept.user_id,
        came_back,
        kept.period_end,
        following.total,
        today.total,
        is_asked or kept.pending is not None or baskets.next_is_paid(kept),
    )
