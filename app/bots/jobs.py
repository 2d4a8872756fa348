"""Queue entry points of the bots: ticks, the sweep for due bots, figures over time, look-ups."""

import logging
import os
import socket
import time
from collections.abc import Sequence

from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from app.bots import unresolved, upkeep, wake
from app.bots.alarms import tell_owners
from app.bots.live import BATCH, tick_accounts
from app.bots.silence import restart_silent_bots
from app.errors import NotFound
from app.exchanges.leases import take_back
from app.exchanges.queries import slowest_cursors
from app.markets.service import prune_points as prune_market_points
from app.subscriptions.priority import leads
from app.transactions import transaction

log = logging.getLogger(__name__)

# A job looks for more work so long; then the queue's other jobs get their turn.
LONGEST_RUN_S = 5.0
PAUSE_WHEN_AWAY_S = 2.0
PAUSE_WHEN_PUT_OFF_S = 10.0
# Long enough for a fill of our own to be told that an exchange shows in its positions first.
PAUSE_BEFORE_SECOND_LOOK_S = 5.0
DUE_AT_ONCE = 5000


class _Place:
    """The name of this worker's place; a worker started again in it takes its leases back."""

    name = ""


def set_place(name: str) -> None:
    """Name the place of this process's worker."""
    _Place.name = name


def place() -> str:
    """Return the name under which this process takes leases."""
    return _Place.name or f"{socket.gethostname()}-{os.getpid()}"


def resume() -> None:
    """Have the accounts ticked at once that a worker in this place held when it was killed.

    Call it when the place's worker begins: whatever it had taken would else wait for its lease.
    """
    with transaction():
        left = take_back(place())
    wake.answer_call()
    wake.request_ticks(left)


def tick_due() -> None:
    """Tick accounts that wait, batch by batch, until none waits or it is time for other jobs."""
    began = time.monotonic()
    busy: set[int] = set()
    wake.answer_call()
    while True:
        batch, mark = wake.take_due(BATCH)
        if not batch:
            break
        if len(batch) == BATCH:
            # There may be more: another worker can begin while we are at it.
            wake.call_worker()
        busy |= _tick(batch, mark)
        if time.monotonic() - began > LONGEST_RUN_S:
            wake.call_worker()
            break
    # Whoever holds such an account calls a worker when it is done, else the sweep does.
    wake.put_back(busy)


def _tick(batch: Sequence[int], mark: float) -> set[int]:
    try:
        report = tick_accounts(batch, place())
    except (OperationalError, InterfaceError) as error:
        log.warning("database_away accounts=%s error=%s", len(batch), type(error).__name__)
        wake.put_back(batch, PAUSE_WHEN_AWAY_S)
        time.sleep(PAUSE_WHEN_AWAY_S)
        return set()
    wake.finish([number for number in batch if number not in report.busy], mark)
    wake.request_ticks(report.unfinished)
    wake.put_back(report.put_off, PAUSE_WHEN_PUT_OFF_S)
    wake.put_back(report.suspects - report.put_off, PAUSE_BEFORE_SECOND_LOOK_S)
    return report.busy


def enqueue_due() -> None:
    """Have every bot ticked whose time has come, and repair the wake index if it was lost."""
    try:
        if wake.is_lost():
            with transaction():
                wake.file_triggers(upkeep.read_triggers())
            wake.mark_filed()
        with transaction():
            due = upkeep.find_due_accounts(DUE_AT_ONCE)
        wake.remind(due)
        # Also for accounts whose worker died, or that were put back.
        if wake.count_due():
            wake.call_worker()
    except (OperationalError, InterfaceError, RedisError) as error:
        log.warning("sweep_failed error=%s", type(error).__name__)


def refresh_leads() -> None:
    """Look up whose ticks come first by their plan."""
    with transaction():
        found = leads()
    wake.keep_leads(found)


def prune_points() -> None:
    """Delete price points and candles that no account and no chart needs any more."""
    with transaction():
        prune_market_points(slowest_cursors())


def mark_stale() -> None:
    """Mark running bots whose ticks stay away, have them ticked anew, tell staff and owners."""
    looked_at = wake.looked_at()
    with transaction():
        silent = restart_silent_bots(looked_at, wake.away_of)
    wake.request_ticks(silent)
    with transaction():
        tell_owners()


def sample_equity() -> None:
    """Add a point to the value curve of every running bot."""
    with transaction():
        upkeep.sample_equity()


def look_up_order(order_id: int) -> None:
    """Ask the exchange about an order of which nobody knows, for staff who waits."""
    try:
        with transaction():
            order = unresolved.stuck_order(order_id)
    except NotFound:
        # Resolved meanwhile.
        return
    unresolved.look_up(order)
