"""What Stripe says a change would cost, as a picture of our own; pure."""

from app.adapters.payments.keeping import RailPreview
from app.adapters.payments.stripe.snapshots import line
from app.adapters.payments.stripe.values import Data, money_of, time_of
from app.money import Money


def at_once(found: Data, renewal: Data, present: Data) -> RailPreview:
    """Picture a change that is charged now, and the renewal that follows."""
    return RailPreview(
        lines=tuple(map(line, found["lines"]["data"])),
        due_now=money_of(found["amount_due"], found["currency"]),
        next_charge=money_of(renewal["amount_due"], renewal["currency"]),
        next_at=time_of(_period_end(present)),
        discount=_discount(found),
    )


def later(found: Data, present: Data) -> RailPreview:
    """Picture a change that comes with the next renewal: nothing is charged now."""
    return RailPreview(
        lines=tuple(map(line, found["lines"]["data"])),
        due_now=money_of(0, found["currency"]),
        next_charge=money_of(found["amount_due"], found["currency"]),
        next_at=time_of(_period_end(present)),
        discount=_discount(found),
    )


def _discount(found: Data) -> Money:
    amount = sum(row["amount"] for row in found["total_discount_amounts"] or ())
    return money_of(amount, found["currency"])


def _period_end(present: Data) -> int:
    return max(int(item["current_period_end"]) for item in present["items"]["data"])
