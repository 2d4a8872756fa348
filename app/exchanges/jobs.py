"""Work around exchanges: their clocks, the address under which they see us, what accounts hold."""

import logging
import time

from redis.exceptions import RedisError

from app.adapters import address
from app.adapters.exchanges import public
from app.config import current_config
from app.encryption import DecryptionError
from app.errors import DomainError, NotFound, Unavailable
from app.exchanges import remains, service, snapshots
from app.exchanges.queries import account_of, live_sites
from app.extensions import redis_client
from app.health import ADDRESS_KEY
from app.notifications.stream import hint
from app.transactions import transaction

log = logging.getLogger(__name__)

KEPT_FOR_S = 24 * 3600


def measure_clocks() -> None:
    """Measure the clock of every exchange on which somebody trades, for all processes."""
    for exchange, testnet in live_sites():
        try:
            public.measure_clock(exchange, testnet=testnet)
        except Unavailable as error:
            log.warning("clock_not_measured exchange=%s error=%s", exchange, error.code)


def check_address() -> None:
    """Look from which address we are seen; one that customers were not told raises the alarm."""
    config = current_config()
    if config.address_probe_url is None:
        return
    try:
        seen = address.seen_from_outside(config.address_probe_url)
    except Unavailable as error:
        log.warning("address_not_probed error=%s", error.code)
        return
    listed = seen in config.outgoing_addresses
    if not listed:
        log.error("address_not_listed seen=%s listed=%s", seen, len(config.outgoing_addresses))
    try:
        note = {"address": seen, "listed": int(listed), "at": time.time()}
        redis_client.client.hset(ADDRESS_KEY, mapping=note)  # type: ignore[arg-type]
        redis_client.client.expire(ADDRESS_KEY, KEPT_FOR_S)
    except RedisError as error:
        log.warning("address_not_kept error=%s", type(error).__name__)


def read_balances(user_id: int, account_id: int) -> None:
    """Ask an exchange what an account holds, keep it for whoever waits, and tell open pages."""
    try:
        snapshots.keep(account_id, service.read_balances(_door(user_id, account_id)))
    except NotFound:
        snapshots.forget(account_id)
        return
    except DomainError as error:
        snapshots.keep_failure(account_id, error)
    hint(user_id, snapshots.topic_of(account_id))


def read_remains(user_id: int, account_id: int, symbols: str) -> None:
    """Ask an exchange what an account has there, orders too, for whoever is about to let go of it.

    `symbols` are the pairs whose orders are asked for, with commas between.
    """
    try:
        door = _door(user_id, account_id)
        balances, orders = service.read_remains(door, filter(None, symbols.split(",")))
    except NotFound:
        return
    except DomainError as error:
        remains.keep_failure(account_id, error)
    else:
        snapshots.keep(account_id, balances)
        remains.keep(account_id, balances, orders)


def _door(user_id: int, account_id: int) -> service.Door:
    try:
        with transaction():
            return service.door_of(account_of(user_id, account_id))
    except DecryptionError:
        log.error("keys_do_not_open account=%s", account_id)
        raise Unavailable("keys_do_not_open") from None
