"""Funding payments of contracts in our own books, written in bulk."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Table

from app.bulk import bulk_insert
from app.db import db
from app.trades.models import FundingRow
from app.trading.ports import Funding

FUNDING: Table = FundingRow.__table__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class NewFunding:
    """A funding payment of an account and the bot whose position it is for."""

    user_id: int
    account_id: int
    bot_id: int
    market_id: int
    funding: Funding


_INSERT_FUNDING = bulk_insert(
    FUNDING,
    (
        "user_id", "account_id", "bot_id", "market_id", "funding_id", "amount", "currency", "at",
    ),
    "on conflict (account_id, funding_id) do nothing returning account_id, funding_id",
)  # fmt: skip


def store_funding(payments: Sequence[NewFunding]) -> list[NewFunding]:
    """Write funding payments and return those that are news."""
    if not payments:
        return []
    rows = (
        (
            new.user_id, new.account_id, new.bot_id, new.market_id, new.funding.funding_id,
            new.funding.amount, new.funding.currency, new.funding.time,
        )
        for new in payments
    )  # fmt: skip
    answer = db.session.execute(_INSERT_FUNDING.statement, _INSERT_FUNDING.values(rows))
    fresh = {(row.account_id, row.funding_id) for row in answer}
    return [new for new in payments if (new.account_id, new.funding.funding_id) in fresh]
