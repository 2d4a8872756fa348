"""Days of a plan that staff give: added to what somebody was given before, or from now on.

Of a plan that we are paid for, the next charge moves. A provider moves none: it would make free
days of the time that is paid for, in which a larger plan costs nothing.
"""

from datetime import datetime, timedelta

from app.db import utc_now
from app.errors import Conflict, InvalidInput
from app.money import Money
from app.subscriptions import buying, queries
from app.subscriptions.kept import gifts, rules
from app.subscriptions.rights import give_plan
from app.subscriptions.terms import Source, Standing

MAX_DAYS = 3_650


def give_days(
    actor_id: int,
    user_id: int,
    plan_code: str,
    days: int,
    reason: str,
    *,
    seen_end: datetime | None,
    shown_at: datetime,
    seen: str | None = None,
) -> datetime:
    """Give a person days of a plan and return its end; audited.

    `seen_end` is the end of the present right as the form showed it, at `shown_at`: the days are
    added to that, so that a form that is sent twice gives them once. `seen` is the mark of all that
    it showed: another plan takes the place of nothing else. Raises Conflict when somebody has
    changed the right meanwhile.
    """
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput("bad_days", field="days", maximum=MAX_DAYS)
    present = queries.present_right(user_id)
    is_same = present is not None and present.plan_code == plan_code
    paid = buying.standing(user_id)
    if present is not None and present.rail and is_same and paid is not None:
        return _give_to_payer(actor_id, user_id, paid, days, reason, seen_end)
    goes_on = is_same and present is not None and not present.rail
    if present is None or not goes_on:
        end = _after(shown_at, days)
    elif present.until is None:
        raise Conflict("right_has_no_end")
    else:
        end = _later_end(present.until, days, seen_end, shown_at)
    if not goes_on or present is None or present.until != end:
        # Of the same plan its end has told already that nobody was quicker.
        give_plan(actor_id, user_id, plan_code, end, reason, seen=None if goes_on else seen)
    return end


def end_of_paid(user_id: int) -> datetime | None:
    """Return when what somebody pays for here is charged next; None where nothing is."""
    paid = buying.standing(user_id)
    return paid.period_end if paid is not None and paid.source is Source.KEPT else None


def _give_to_payer(
    actor_id: int,
    user_id: int,
    paid: Standing,
    days: int,
    reason: str,
    seen_end: datetime | None,
) -> datetime:
    if paid.source is Source.PROVIDER:
        worth = _worth(paid, days)
        if worth is None:
            raise Conflict("days_not_here")
        raise Conflict("days_at_provider", days=days, amount=worth.amount, currency=worth.currency)
    if paid.period_end is None:
        raise Conflict("right_has_no_end")
    if seen_end is None:
        raise Conflict("right_moved")
    end = _after(seen_end, days)
    gifts.give_days(actor_id, user_id, end, seen_end, reason)
    return end


def _worth(paid: Standing, days: int) -> Money | None:
    """Return what so many days of a subscription cost, by what its next period does."""
    if paid.next_charge is None or paid.period.is_endless:
        return None
    now = utc_now()
    part = rules.part_of(timedelta(days=days), paid.period.after(now) - now)
    return rules.share(paid.next_charge, part)


def _later_end(
    present: datetime, days: int, seen_end: datetime | None, shown_at: datetime
) -> datetime:
    """Return the end after so many days more; the same again where that has been done."""
    end = _after(seen_end or shown_at, days)
    if present not in {end, seen_end}:
        raise Conflict("right_moved")
    return end


def _after(moment: datetime, days: int) -> datetime:
    """Return the moment so many days later; raise Conflict beyond the end of the calendar."""
    try:
        return moment + timedelta(days=days)
    except OverflowError:
        raise Conflict("right_has_no_end") from None
