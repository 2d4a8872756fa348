"""Putting an exchange's errors into words, with its name instead of its code."""

from app.accounts.deletion.unfinished import LeftAt
from app.errors import DomainError
from app.exchanges.catalogue import VENUES
from app.exchanges.remains import Remains, keeps_at_exchanges
from app.i18n import describe


def describe_named(error: DomainError) -> str:
    """Describe an exchange's error by the exchange's name instead of its code."""
    venue = VENUES.get(str(error.values.get("exchange", "")))
    if venue is not None:
        error.values = {**error.values, "exchange": venue.name}
    return describe(error)


def trouble_of(found: Remains) -> str:
    """Say why an exchange did not tell what an account has there; empty if it did."""
    return "" if found.error is None else describe_named(found.error)


def left_at_exchanges(user_id: int) -> list[LeftAt]:
    """Return what a person has at exchanges, for the page on which they leave."""
    return [
        LeftAt(
            account=account.label,
            exchange=VENUES[account.venue].name,
            seen=left.seen,
            left=left,
            trouble=trouble_of(left),
            keepers=traces.keepers,
        )
        for account, traces, left in keeps_at_exchanges(user_id)
    ]
