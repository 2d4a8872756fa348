"""When an account is compared as a whole with what its venue says."""

from collections.abc import Collection

from sqlalchemy import update

from app.db import db
from app.exchanges.models import ExchangeAccount


def ask_for_audit(account_ids: Collection[int]) -> None:
    """Have the next tick of these accounts compare everything, whatever the clock says."""
    accounts = ExchangeAccount.id.in_(account_ids)
    db.session.execute(update(ExchangeAccount).where(accounts).values(audited_at=None))
