"""When an account's books are compared with the venue as a whole, and how long a doubt lasts."""

from datetime import datetime, timedelta

from app.bots.live.facts import Account
from app.config import current_config

# How long a venue may not remember an order before it is taken as absent.
GRACE = timedelta(minutes=5)
LONG_GRACE = {"binance": timedelta(minutes=30)}
# An order that somebody else took back is placed anew so long after it was noticed.
RESTORE_AFTER = timedelta(seconds=60)


def audit_is_due(account: Account, now: datetime) -> bool:
    """Say whether it is time to compare; accounts are spread so that they do not come at once."""
    if account.audited_at is None:
        return True
    spread = account.id * 2_654_435_761 % 1000 / 1000
    pause = current_config().audit_seconds * (1 + spread)
    return now - account.audited_at >= timedelta(seconds=pause)


def grace_of(exchange: str) -> timedelta:
    """Return how long an order is looked for before it is taken as absent."""
    given = current_config().absence_grace_seconds
    return LONG_GRACE.get(exchange, GRACE) if given is None else timedelta(seconds=given)
