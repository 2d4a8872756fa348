"""Real exchanges behind one interface; the library is loaded when it is needed first."""

from decimal import Decimal
from typing import TYPE_CHECKING

from app.adapters.exchanges.keys import ApiKeys
from app.adapters.exchanges.quirks import QUIRKS

if TYPE_CHECKING:
    from app.adapters.exchanges.ccxt import CcxtExchange


def open_exchange(
    name: str,
    keys: ApiKeys,
    *,
    testnet: bool = False,
    maker_fee: Decimal | None = None,
    taker_fee: Decimal | None = None,
    partner_id: str = "",
) -> "CcxtExchange":
    """Open an account at an exchange; the fees are the account's own if they are known.

    The first call of a process loads the exchange's markets, later ones share them. Raise
    Unavailable if that fails. The object belongs to one thread.
    """
    from app.adapters.exchanges.ccxt import CcxtExchange
    from app.adapters.exchanges.client import make_client, share_markets
    from app.adapters.exchanges.errors import read_error

    client = make_client(name, keys, testnet=testnet, partner_id=partner_id)
    try:
        share_markets(client, name, testnet=testnet)
    except Exception as error:
        raise read_error(error, QUIRKS[name]) from error
    return CcxtExchange(client, QUIRKS[name], maker_fee=maker_fee, taker_fee=taker_fee)
