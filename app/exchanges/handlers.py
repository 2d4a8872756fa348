"""What this subject does when others announce something."""

from functools import partial

from sqlalchemy import select

from app.accounts.deletion.events import PersonErasing
from app.db import db
from app.events import on
from app.exchanges import snapshots
from app.exchanges.models import ExchangeAccount
from app.transactions import after_commit


@on(PersonErasing)
def forget_readings_of_leaver(event: PersonErasing) -> None:
    """Take away what was read of the accounts of somebody who leaves: balances are personal."""
    accounts = select(ExchangeAccount.id).where(ExchangeAccount.user_id == event.user_id)
    for account_id in db.session.scalars(accounts).all():
        after_commit(partial(snapshots.forget, account_id))
