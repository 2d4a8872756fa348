"""Days of a plan that staff give: added to what somebody was given before, or from now on."""

from datetime import datetime, timedelta

from app.errors import Conflict, InvalidInput
from app.subscriptions import queries
from app.subscriptions.service import give_plan

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
) -> datetime:
    """Give a person days of a plan and return its end; audited.

    `seen_end` is the end of the present right as the form showed it, at `shown_at`: the days are
    added to that, so that a form that is sent twice gives them once. Raises Conflict when somebody
    has changed the right meanwhile.
    """
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput("bad_days", field="days", maximum=MAX_DAYS)
    present = queries.present_right(user_id)
    goes_on = present is not None and present.plan_code == plan_code and not present.rail
    if present is None or not goes_on:
        end = _after(shown_at, days)
    elif present.until is None:
        raise Conflict("right_has_no_end")
    else:
        end = _later_end(present.until, days, seen_end, shown_at)
    if not goes_on or present is None or present.until != end:
        give_plan(actor_id, user_id, plan_code, end, reason)
    return end


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
