"""Opening the venue behind a connected account, for the process that trades on it."""

import threading
from typing import cast

from app.adapters.exchanges.ccxt import CcxtExchange
from app.adapters.exchanges.pool import Pool
from app.db import db
from app.errors import NotFound
from app.exchanges.models import ExchangeAccount
from app.exchanges.service import door_of
from app.trading.ports import Exchange
from app.transactions import transaction

_threads = threading.local()


def open_venue(account_id: int) -> Exchange:
    """Return the venue of a real account, ready for calls; raise Unavailable if it is away.

    A thread gets the same object again while nothing about the account has changed, so this costs
    no call. Call it outside any transaction: the database is not kept waiting for the exchange.
    """
    with transaction():
        account = db.session.get(ExchangeAccount, account_id)
        if account is None or account.deleted_at is not None:
            own_pool().drop(account_id)
            raise NotFound("unknown_account")
        state = (
            account.exchange, account.testnet, account.maker_fee, account.taker_fee,
            account.sealed_key, account.sealed_secret, account.sealed_passphrase,
            account.partner_id,
        )  # fmt: skip
        door = door_of(account)
    return cast(CcxtExchange, own_pool().get(account_id, state, door.open))


def own_pool() -> Pool:
    """Return this thread's open accounts; the library's objects belong to one thread."""
    pool: Pool = _threads.__dict__.setdefault("pool", Pool())
    return pool
