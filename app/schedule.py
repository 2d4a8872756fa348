"""Every periodic job in one table, run by RQ's cron scheduler behind a lock.

A run that was missed is not made up one by one: the next one does what is due. Each job is taken
once for a slot of its length, so a second scheduler (or a restart) changes nothing.
"""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from redis import Redis
from redis.exceptions import RedisError
from rq.cron import CronJob, CronScheduler

from app.accounts import audit_chain
from app.accounts.deletion import jobs as deletion
from app.accounts.exports import jobs as exports_of_data
from app.bots import jobs as bots
from app.db import utc_now
from app.exchanges import jobs as exchanges
from app.faq import jobs as faq
from app.notifications import jobs as notifications
from app.payments import jobs as payments
from app.payments.books import jobs as books
from app.payments.demo import jobs as demo_rail
from app.queues import QueueName, enqueue_once
from app.subscriptions import jobs as subscriptions
from app.subscriptions.kept import jobs as kept
from app.subscriptions.provider import jobs as provider
from app.wallet import check as ledger_check
from app.wallet import jobs as wallet

log = logging.getLogger(__name__)

LOCK = "scheduler:leader"
LOCK_SECONDS = 15
HEARTBEAT = "scheduler:heartbeat"
HEARTBEAT_SECONDS = 60
LONGEST_SLEEP_S = 5.0
# While no worker runs, old runs fall away instead of piling up.
LONGEST_WAIT_S = 60

_RENEW = """
if redis.call('get', KEYS[1]) == ARGV[1] then
  return redis.call('expire', KEYS[1], ARGV[2])
end
return redis.call('set', KEYS[1], ARGV[1], 'nx', 'ex', ARGV[2]) and 1 or 0
"""
_RESIGN = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


class Periodic(NamedTuple):
    """A job without arguments that runs once in each slot of so many seconds."""

    name: str
    job: Callable[[], object]
    seconds: int
    queue: QueueName


PERIODIC: tuple[Periodic, ...] = (
    Periodic("enqueue-due", bots.enqueue_due, 2, QueueName.TICKS),
    Periodic("refresh-leads", bots.refresh_leads, 60, QueueName.REPORTS),
    Periodic("mark-stale", bots.mark_stale, 30, QueueName.REPORTS),
    Periodic("prune-points", bots.prune_points, 600, QueueName.REPORTS),
    Periodic("sample-equity", bots.sample_equity, 300, QueueName.REPORTS),
    Periodic("measure-clocks", exchanges.measure_clocks, 60, QueueName.REPORTS),
    Periodic("check-address", exchanges.check_address, 600, QueueName.REPORTS),
    Periodic("end-expired-plans", subscriptions.end_expired, 60, QueueName.PAYMENTS),
    Periodic("renew-subscriptions", kept.renew_due, 60, QueueName.PAYMENTS),
    Periodic("remind-of-renewals", kept.remind, 300, QueueName.PAYMENTS),
    Periodic("send-provider-orders", provider.send_due, 30, QueueName.PAYMENTS),
    Periodic("push-promo-codes", provider.push_promos, 60, QueueName.PAYMENTS),
    Periodic("sweep-rail-events", payments.sweep_events, 10, QueueName.PAYMENTS),
    Periodic("try-dead-rail-events", payments.try_dead_events, 24 * 3600, QueueName.PAYMENTS),
    Periodic("prune-rail-events", payments.prune_events, 24 * 3600, QueueName.REPORTS),
    Periodic("look-after-rails", books.look_after, 600, QueueName.REPORTS),
    Periodic("reconcile-rails", books.reconcile_nightly, 24 * 3600, QueueName.REPORTS),
    Periodic("check-endpoints", books.check_endpoints, 24 * 3600, QueueName.REPORTS),
    Periodic("look-at-checkouts", payments.look_at_checkouts, 60, QueueName.PAYMENTS),
    Periodic("look-at-slow-payments", payments.look_at_slow_payments, 1800, QueueName.PAYMENTS),
    Periodic("send-waiting-refunds", payments.send_waiting_refunds, 60, QueueName.PAYMENTS),
    Periodic("write-receipts", payments.write_receipts, 30, QueueName.MESSAGES),
    Periodic("deliver-demo-events", demo_rail.deliver_events, 15, QueueName.PAYMENTS),
    Periodic("deliver-mail", notifications.deliver_waiting, 60, QueueName.MESSAGES),
    Periodic("erase-leavers", deletion.erase_due, 300, QueueName.REPORTS),
    Periodic("tidy-exports", exports_of_data.tidy_exports, 300, QueueName.REPORTS),
    Periodic("check-audit", audit_chain.check_daily, 24 * 3600, QueueName.REPORTS),
    Periodic("check-ledger", ledger_check.verify_daily, 24 * 3600, QueueName.REPORTS),
    Periodic("expire-holds", wallet.expire_holds, 60, QueueName.PAYMENTS),
    Periodic("purge-faq-searches", faq.purge_searches, 24 * 3600, QueueName.REPORTS),
)


class LockedScheduler(CronScheduler):
    """RQ's scheduler that enqueues only while it leads, through `enqueue_once`."""

    def __init__(self, connection: Redis) -> None:
        super().__init__(connection, logging_level=logging.WARNING)
        self._periodic = {entry.name: entry for entry in PERIODIC}
        for entry in PERIODIC:
            self.register(
                entry.job, entry.queue.value, interval=entry.seconds, name=entry.name, result_ttl=0
            )

    def enqueue_jobs(self) -> list[CronJob]:
        """Enqueue what is due; a scheduler that does not lead only watches."""
        leads = self.lead()
        due = [job for job in self.get_jobs() if job.should_run()]
        for job in due:
            if leads:
                entry = self._periodic[job.name]
                enqueue_once(
                    entry.queue,
                    entry.job,
                    key=entry.name,
                    slot_seconds=entry.seconds,
                    wait_at_most=entry.seconds + LONGEST_WAIT_S,
                )
            job.set_enqueue_time(utc_now())
        return due if leads else []

    def calculate_sleep_interval(self) -> float:
        """Sleep to the next job, and never so long that the lock would end."""
        return min(super().calculate_sleep_interval(), LONGEST_SLEEP_S)

    def lead(self) -> bool:
        """Take or keep the lock; say whether this scheduler leads."""
        taken = self.connection.eval(_RENEW, 1, LOCK, self.name, str(LOCK_SECONDS))
        if taken:
            self.connection.set(HEARTBEAT, str(time.time()), ex=HEARTBEAT_SECONDS)
        return bool(taken)

    def resign(self) -> None:
        """Give the lock back, so that the next scheduler leads at once."""
        try:
            self.connection.eval(_RESIGN, 1, LOCK, self.name)
        except RedisError as error:
            log.warning("resign_failed error=%s", type(error).__name__)
