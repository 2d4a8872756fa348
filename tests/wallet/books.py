"""What the tests of the ledger share."""

from decimal import Decimal

from sqlalchemy import func, select, text

from app.db import db
from app.money import Money
from app.transactions import transaction
from app.wallet import service
from app.wallet.ledger import account
from app.wallet.models import LedgerAccount, LedgerBalance, LedgerEntry
from app.wallet.rules import wallet_of
from tests.factories import make_user

D = Decimal


def usd(amount: str) -> Money:
    return Money(Decimal(amount), "USD")


def make_wallet(amount: str = "0") -> int:
    """Add a person with so many dollars in the wallet; return their id."""
    with transaction():
        user_id = make_user().id
        if Decimal(amount):
            service.top_up(f"start:{user_id}", user_id, "demo", usd(amount))
    return user_id


def sums() -> dict[tuple[str, str], Decimal]:
    """Return what stands on every account, added up from the entries; debit positive."""
    rows = db.session.execute(
        select(LedgerAccount.name, LedgerAccount.commodity, func.sum(LedgerEntry.amount))
        .join(LedgerEntry, LedgerEntry.account_id == LedgerAccount.id)
        .group_by(LedgerAccount.id)
    )
    return {(name, commodity): Decimal(total) for name, commodity, total in rows}


def wallet_sum(user_id: int, currency: str = "USD") -> Decimal:
    """Return what a person has, added up from the entries."""
    return -sums().get((wallet_of(user_id), currency), Decimal(0))


def kept(name: str, commodity: str = "USD") -> tuple[int | Decimal, int | Decimal]:
    """Return the kept balance of an account and what is held of it."""
    row = db.session.get_one(LedgerBalance, account(name, commodity).id, populate_existing=True)
    return row.posted, row.held


def rows_of(table: str) -> int:
    found = db.session.scalar(text(f"select count(*) from {table}"))  # noqa: S608 - our own names
    assert found is not None
    return int(found)
