"""For how long what nobody pays for goes on, whoever keeps the subscription."""

from datetime import datetime, timedelta

from app.settings import queries as settings
from app.settings.rules import GRACE_DAYS
from app.subscriptions.periods import Period


def longest() -> timedelta:
    """Return the grace as staff have set it."""
    return timedelta(days=int(settings.text_of(GRACE_DAYS)))


def grace_of(period: Period, start: datetime) -> timedelta:
    """Return the grace of a period that begins unpaid: it gives no second one for nothing."""
    return min(longest(), period.after(start) - start)
