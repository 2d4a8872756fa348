"""What somebody has to hear about their subscription on every page of the cabinet."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from app.db import utc_now
from app.money import Money
from app.subscriptions import buying, queries
from app.subscriptions.buying import WALLET
from app.subscriptions.coming import next_charge_of
from app.subscriptions.terms import Source, Standing

# So long before the end of free days, and before the wallet is to pay, people hear of it.
TRIAL_ENDS = timedelta(days=3)
WALLET_PAYS = timedelta(days=7)
# So long before it a renewal is told of, as by mail; of shorter periods than this nobody is.
RENEWAL = timedelta(days=7)
SHORTEST = Decimal("0.5")


class Kind(StrEnum):
    """What is to be told."""

    UNPAID = "unpaid"
    TRIAL_ENDS = "trial_ends"
    WALLET_SHORT = "wallet_short"
    RENEWS = "renews"


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
    charge = next_charge_of(one)
    return _coming(user_id, one, charge.money, charge.at - utc_now()) if charge else None


def _coming(user_id: int, one: Standing, charge: Money, left: timedelta) -> Notice | None:
    """Return what has to be told of a charge that is to come in so much time."""
    if one.rail == WALLET and left < WALLET_PAYS:
        missing = charge - buying.in_wallet(user_id)
        if missing.amount > 0:
            return Notice(Kind.WALLET_SHORT, one, missing=missing)
    if one.state == "trialing":
        return Notice(Kind.TRIAL_ENDS, one) if left < TRIAL_ENDS else None
    is_asked = one.source is Source.KEPT and one.pay_invoice_id is not None
    if is_asked and left < RENEWAL and one.period.months >= SHORTEST:
        return Notice(Kind.RENEWS, one)
    return None
