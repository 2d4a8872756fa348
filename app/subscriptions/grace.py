"""For how long what nobody pays for goes on, whoever keeps the subscription.

Grace that was had and not paid is not given again for a year: else who orders anew instead of
paying would have each second week for nothing.
"""

from datetime import datetime, timedelta

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import aliased

from app.db import db
from app.payments.models import Invoice
from app.payments.rules import InvoiceState
from app.settings import queries as settings
from app.settings.rules import GRACE_DAYS
from app.subscriptions.models import KeptState, RailSubscription, SubscriptionChange
from app.subscriptions.periods import Period

# So long before an unpaid period no other grace may have ended without its money.
MEMORY = timedelta(days=365)
# States of a provider's subscription that is not paid and goes on no more.
_LAPSED = ("canceled", "unpaid")
_UNPAID = (InvoiceState.OPEN.value, InvoiceState.UNCOLLECTIBLE.value)


def longest() -> timedelta:
    """Return the grace as staff have set it."""
    return timedelta(days=int(settings.text_of(GRACE_DAYS)))


def grace_of(user_id: int, period: Period, start: datetime) -> timedelta:
    """Return the grace of a person's period that begins unpaid: no second one for nothing."""
    if _has_lapsed(user_id, start):
        return timedelta(0)
    return min(longest(), period.after(start) - start)


def _has_lapsed(user_id: int, start: datetime) -> bool:
    """Tell whether a grace of this person ended unpaid, not long before a moment."""
    query = select(or_(exists(_kept_by_us(user_id, start)), exists(_kept_there(user_id, start))))
    return bool(db.session.scalar(query))


def _kept_by_us(user_id: int, start: datetime) -> Select[int]:
    """Find what we kept and was unpaid when it ended, whoever ended it; also if it came back."""
    noted = SubscriptionChange
    return select(noted.id).where(
        noted.user_id == user_id,
        noted.at.between(start - MEMORY, start),
        noted.before["state"].astext == KeptState.PAST_DUE.value,
        noted.after["state"].astext == KeptState.ENDED.value,
    )


def _kept_there(user_id: int, start: datetime) -> Select[int]:
    """Find what a provider kept, was paid once, and ended with a bill that is not paid yet."""
    paid = aliased(Invoice)
    return select(RailSubscription.id).where(
        RailSubscription.user_id == user_id,
        RailSubscription.state.in_(_LAPSED),
        exists().where(
            Invoice.rail == RailSubscription.rail,
            Invoice.subscription_ref == RailSubscription.external_id,
            Invoice.state.in_(_UNPAID),
            Invoice.opened_at.between(start - MEMORY, start),
        ),
        exists().where(
            paid.rail == RailSubscription.rail,
            paid.subscription_ref == RailSubscription.external_id,
            paid.state == InvoiceState.PAID.value,
        ),
    )
