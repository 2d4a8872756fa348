"""Queue entry points."""

import logging
from datetime import datetime, timedelta

from app.adapters.payments import rail_named, rails
from app.adapters.payments.books import books_of, endpoints_of
from app.db import utc_now
from app.errors import DomainError
from app.payments.books import backfill, endpoints, queries, reconcile
from app.queues import QueueName, enqueue_once
from app.transactions import transaction

log = logging.getLogger(__name__)

GO_ON_JOB = "app.payments.books.jobs.go_on"
# Short, so that callbacks and mail in the same worker do not wait for long.
SLICE_S = 15.0
SLOT_S = 5
# A run of which nothing was heard for so long has lost its job.
LOST_AFTER = timedelta(minutes=2)


def reconcile_nightly() -> None:
    """Begin to compare everything with every rail that shows its books, from yesterday on."""
    for rail in rails():
        if books_of(rail_named(rail)) is not None:
            with transaction():
                reconcile.begin(rail, start_of_yesterday(utc_now()))
            _ask_to_go_on(rail)


def check_endpoints() -> None:
    """Ask every rail that tells it whether it sends us all callbacks that we need."""
    for rail in rails():
        if endpoints_of(rail_named(rail)) is not None:
            try:
                endpoints.check(rail)
            except DomainError as error:
                log.warning("endpoint_not_checked rail=%s error=%s", rail, error.code)


def go_on(rail: str) -> None:
    """Compare for a while, and ask for the rest."""
    try:
        is_done = reconcile.go_on(rail, SLICE_S)
    except DomainError as error:
        # The sweep takes it up again.
        log.warning("reconciliation_waits rail=%s error=%s", rail, error.code)
        return
    if not is_done:
        _ask_to_go_on(rail)


def look_after() -> None:
    """Fetch callbacks that were missed, and take up comparisons whose job was lost."""
    for rail in rails():
        with transaction():
            is_due = backfill.is_due(rail, utc_now())
        if is_due:
            _fetch_missed(rail)
    with transaction():
        lost = queries.lost_runs(utc_now() - LOST_AFTER)
    for rail in lost:
        _ask_to_go_on(rail)


def start_of_yesterday(now: datetime) -> datetime:
    """Return the first moment of the day before in UTC."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


def _fetch_missed(rail: str) -> None:
    try:
        found = backfill.run(rail)
    except DomainError as error:
        log.warning("missed_callbacks_not_fetched rail=%s error=%s", rail, error.code)
        return
    if found.stored:
        log.warning("missed_callbacks_fetched rail=%s count=%s", rail, found.stored)


def _ask_to_go_on(rail: str) -> None:
    key = f"reconcile-{rail}"
    enqueue_once(QueueName.REPORTS, GO_ON_JOB, rail, key=key, slot_seconds=SLOT_S)
