"""Opening the venue behind a connected account, for the process that trades on it."""

from app.db import db
from app.errors import NotFound
from app.exchanges.models import ExchangeAccount
from app.exchanges.service import door_of
from app.trading.ports import Exchange
from app.transactions import transaction


def open_venue(account_id: int) -> Exchange:
    """Return the venue of a real account, ready for calls; raise Unavailable if it is away.

    Call it outside any transaction: the database is not kept waiting for the exchange.
    """
    with transaction():
        account = db.session.get(ExchangeAccount, account_id)
        if account is None or account.deleted_at is not None:
            raise NotFound("unknown_account")
        door = door_of(account)
    return door.open()
