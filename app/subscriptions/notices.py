"""What somebody has to hear about their subscription on every page of the cabinet."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.db import utc_now
from app.money import Money
from app.subscriptions import buying, queries
from app.subscriptions.buying import WALLET
from app.subscriptions.terms import Standing

# So long before the end of free days, and before the wallet is to pay, people hear of it.
TRIAL_ENDS = timedelta(days=3)
WALLET_PAYS = timedelta(days=7)
RUNNING = frozenset({"active", "trialing"})


class Kind(StrEnum):
    """What is to be told."""

    UNPAID = "unpaid"
    TRIAL_ENDS = "trial_ends"
    WALLET_SHORT = "wallet_short"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be told; `until` is when the plan ends if nothing is done."""

    kind: Kind
    standing: Standing
    until: datetime | None = None
    missing: Money | None = None


def notice_for(user_id: int) -> Notice | None:
    """Return the most pressing thing that somebody has to hear, or nothing."""
    one = buying.standing(user_id)
    if one is None:
        return None
    if one.is_past_due:
        return Notice(Kind.UNPAID, one, queries.limits_of(user_id).until)
    comes = one.state in RUNNING and one.cancel_at is None
    if not comes or one.next_at is None or one.next_charge is None:
        return None
    left = one.next_at - utc_now()
    if one.rail == WALLET and left < WALLET_PAYS:
        missing = one.next_charge - buying.in_wallet(user_id)
        if missing.amount > 0:
            return Notice(Kind.WALLET_SHORT, one, missing=missing)
    if one.state == "trialing" and left < TRIAL_ENDS:
        return Notice(Kind.TRIAL_ENDS, one)
    return None
