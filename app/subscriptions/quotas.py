"""What a plan allows so much of: asked here before it is used, under a lock a person."""

from sqlalchemy import text

from app.accounts import limits as times
from app.accounts.deletion import service as deletion
from app.accounts.limits import Allowance as Allowed
from app.accounts.limits import Limit
from app.db import db
from app.errors import Conflict, TooManyTries
from app.subscriptions import queries, rules, usage

# First of the two keys of PostgreSQL's advisory locks: "use of a plan by a person".
_USE_LOCK = 7101


def check_may_start(user_id: int, mode: str) -> None:
    """Raise LimitReached unless the person's plan allows one running bot more of this mode.

    Two starts at once cannot share the last place: the second waits here for the first's commit.
    """
    _lock_use(user_id)
    _refuse_leavers(user_id)
    rules.check_start(
        queries.limits_of(user_id), mode, usage.running_bots(user_id), queries.plans_on_offer()
    )


def check_may_connect(user_id: int) -> None:
    """Raise LimitReached unless the person's plan allows one exchange account more."""
    _lock_use(user_id)
    _refuse_leavers(user_id)
    rules.check_connect(
        queries.limits_of(user_id), usage.connected_accounts(user_id), queries.plans_on_offer()
    )


def spend(user_id: int, what: rules.Allowance, seconds: int) -> Allowed:
    """Count one time of what a plan allows so often in so many seconds.

    Raise TooManyTries beyond it, naming the plan that allows more.
    """
    own = queries.limits_of(user_id)
    limit = Limit(what.value, own.allowed[what], seconds)
    try:
        return times.spend(limit, str(user_id))
    except TooManyTries as error:
        wait = error.values["retry_after"]
        raise rules.allowance_spent(own, what, queries.plans_on_offer(), wait) from None


def _refuse_leavers(user_id: int) -> None:
    if deletion.is_leaving(user_id):
        raise Conflict("account_is_leaving")


def _lock_use(user_id: int) -> None:
    db.session.execute(
        text("select pg_advisory_xact_lock(:kind, cast(:user_id % 2147483647 as int))"),
        {"kind": _USE_LOCK, "user_id": user_id},
    )
