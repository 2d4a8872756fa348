"""Whose ticks come first while workers are busy: so many seconds ahead as a plan says."""

from collections.abc import Mapping

from sqlalchemy import text

from app.db import db
from app.subscriptions.rules import FREE_PLAN, MOST_ALLOWED, Allowance

# The plan of each person in one statement; who has none has the free one.
_LEADS = text(
    """
    select account.id, least(cast(plan.allowed ->> :name as int), :most)
    from exchange_accounts account
    left join subscriptions held
      on held.user_id = account.user_id and held.state = 'active'
      and (held.ends_at is null or held.ends_at > now())
    join plans plan on plan.code = coalesce(held.plan_code, :free)
    where cast(plan.allowed ->> :name as int) > 0
    """
)


def leads() -> Mapping[int, int]:
    """Return by how many seconds accounts stand ahead of others; who is not in it by none."""
    what = Allowance.JOB_PRIORITY
    rows = db.session.execute(
        _LEADS, {"name": what.value, "most": MOST_ALLOWED[what], "free": FREE_PLAN}
    )
    return {account_id: seconds for account_id, seconds in rows}
