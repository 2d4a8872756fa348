"""When an account's books are compared with the venue as a whole, and how long a doubt lasts."""

from datetime import datetime, timedelta

from app.bots.live.facts import Account
from app.config import current_config
from app.exchanges.catalogue import VENUES

# How long a venue may not remember an order before it is taken as absent, if its entry in the
# catalogue asks for no more.
USUAL_GRACE = timedelta(minutes=5)
GRACE = USUAL_GRACE
# So many times as long if it remembers none of all that stood: whoever cancels orders still knows
# them as cancelled for a day, so it is the venue that has lost sight of the account.
ALL_GONE = 6
# An order that somebody else took back is placed anew so long after it was noticed.
RESTORE_AFTER = timedelta(seconds=60)


def audit_is_due(account: Account, now: datetime) -> bool:
    """Say whether it is time to compare; accounts are spread so that they do not come at once."""
    if account.audited_at is None or account.audited_at > now:
        # Never yet, or before the clock was set back.
        return True
    spread = account.id * 2_654_435_761 % 1000 / 1000
    pause = current_config().audit_seconds * (1 + spread)
    return now - account.audited_at >= timedelta(seconds=pause)


def grace_of(exchange: str) -> timedelta:
    """Return how long an order is looked for before it is taken as absent."""
    given = current_config().absence_grace_seconds
    if given is not None:
        return timedelta(seconds=given)
    longer = timedelta(seconds=VENUES[exchange].absence_grace_s)
    return longer if longer > USUAL_GRACE else GRACE
