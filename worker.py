"""The processes beside the web: `python worker.py ticks|jobs|scheduler|feed [--name PLACE]`.

Each goes on by itself when PostgreSQL or Redis was away, and ends cleanly on SIGTERM: a job under
way is finished first.
"""

import argparse
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable
from types import FrameType
from typing import Any

from flask import Flask
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, Worker, worker_registration
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker, WorkerStatus
from sqlalchemy import Engine, event
from sqlalchemy.exc import InterfaceError, OperationalError

from app import create_app
from app.db import db
from app.errors import ConfigError
from app.extensions import redis_client
from app.logs import set_up_logging
from app.queues import QueueName

log = logging.getLogger("worker")

WORKER_TTL_S = 25
MONITORING_S = 5
MAINTENANCE_S = 5
LONGEST_PAUSE_S = 30
# Nobody looks on: whoever waits for a page, a tick or the answer to a callback goes first, also
# while these start, which takes seconds of a processor.
STEPPING_ASIDE = ("jobs", "scheduler")
NICENESS = 10
# Well below the length of a lease.
IDLE_TRANSACTION_S = 10
# Somebody waits for an answer on the first one.
OTHER_QUEUES = (
    QueueName.ACCOUNTS,
    QueueName.PAYMENTS,
    QueueName.MESSAGES,
    QueueName.SHOPS,
    QueueName.REPORTS,
)


class _Stoppable(BaseWorker):
    """Remembers whether somebody asked the worker to stop, or it gave up by itself."""

    app: Flask
    stop: threading.Event
    max_connection_wait_time = 5.0

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stop.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Tell of a job that found no database in one line: the next one of its kind does it."""
        error = exc_info[1]
        if isinstance(error, OperationalError | InterfaceError):
            log.warning("database_away job=%s error=%s", job.func_name, type(error).__name__)
            return
        super().handle_exception(job, *exc_info)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that it is there, all of it anew after Redis was emptied."""
        super().heartbeat(timeout, pipeline)
        if pipeline is None and not self.connection.hexists(self.key, "birth"):
            self.connection.hset(self.key, mapping=self.serialize())
            worker_registration.register(self)

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]
        # The signal may have come while the worker was getting ready.
        self._stop_requested = self.stop.is_set()


class TickWorker(_Stoppable, SimpleWorker):
    """Runs ticks in this very process: no fork and no import for a tick."""

    def perform_job(self, job: Job, queue: Queue) -> bool:
        with self.app.app_context():
            return super().perform_job(job, queue)


class JobsWorker(_Stoppable, Worker):
    """Runs every job in a fork of its own, which can be ended when it hangs.

    Questions to exchanges run right here: a fork would load the library and all pairs each time.
    """

    def execute_job(self, job: Job, queue: Queue) -> None:
        if queue.name != QueueName.ACCOUNTS:
            super().execute_job(job, queue)
            return
        self.prepare_execution(job)
        self._perform(job, queue)
        self.set_state(WorkerStatus.IDLE)

    def perform_job(self, job: Job, queue: Queue) -> bool:
        with self.app.app_context():
            # Connections of the parent are not ours: forget them without closing.
            db.engine.dispose(close=False)
            return super().perform_job(job, queue)

    def _perform(self, job: Job, queue: Queue) -> None:
        with self.app.app_context():
            super().perform_job(job, queue)


def main(arguments: list[str] | None = None) -> int:
    """Run one role until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("--name", help="the worker's place, the same after a restart")
    options = parser.parse_args(arguments)
    set_up_logging()
    if options.role in STEPPING_ASIDE:
        os.nice(NICENESS)
    try:
        app = create_app()
    except ConfigError as error:
        log.critical("Botyard can't start. Wrong setting: %s", error)
        return 2
    place = options.name or f"{options.role}-{socket.gethostname()}"
    _run_for_ever(ROLES[options.role], app, place)
    return 0


def _run_for_ever(
    role: Callable[[Flask, str, threading.Event], bool], app: Flask, name: str
) -> None:
    """Run a role again, after growing pauses, until it says that it was asked to end."""
    stop = threading.Event()
    pause = 1
    while not stop.is_set():
        _listen_to_signals(stop)
        try:
            if role(app, name, stop):
                return
            pause = 1
        except (RedisError, OperationalError, InterfaceError) as error:
            log.warning(
                "service_away role=%s error=%s pause_s=%s", name, type(error).__name__, pause
            )
        _listen_to_signals(stop)
        stop.wait(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)


def _listen_to_signals(stop: threading.Event) -> None:
    def end(signum: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


def _run_ticks(app: Flask, name: str, stop: threading.Event) -> bool:
    # The modules of a tick are loaded here, once.
    from app.bots import jobs

    jobs.set_place(name)
    with app.app_context():
        _end_frozen_transactions(db.engine)
        jobs.resume()
    # Ticks make many short-lived objects and no cycles to speak of: look for garbage less often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    return _run_worker(TickWorker, [QueueName.TICKS], app, name, stop)


def _end_frozen_transactions(engine: Engine) -> None:
    """Let the database end a transaction of ours that stands still: a paused worker's locks.

    Otherwise whoever takes its accounts over would wait for a process that may never wake.
    """
    if not event.contains(engine, "connect", _limit_idle_time):
        event.listen(engine, "connect", _limit_idle_time)


def _limit_idle_time(connection: Any, _record: Any) -> None:
    connection.execute(f"set idle_in_transaction_session_timeout = '{IDLE_TRANSACTION_S}s'")
    connection.commit()


def _run_jobs(app: Flask, name: str, stop: threading.Event) -> bool:
    from app import schedule  # noqa: F401 - loads the modules of all periodic jobs before the fork

    gc.collect()
    gc.freeze()
    return _run_worker(JobsWorker, OTHER_QUEUES, app, name, stop)


def _run_worker(
    kind: type[TickWorker] | type[JobsWorker],
    names: list[QueueName] | tuple[QueueName, ...],
    app: Flask,
    place: str,
    stop: threading.Event,
) -> bool:
    connection = Redis.from_url(redis_client.url)
    connection.ping()
    worker = kind(
        [Queue(name.value, connection=connection, serializer=JSONSerializer) for name in names],
        # RQ keeps the name of a killed worker for a while, so each start has its own.
        name=f"{place}-{uuid.uuid4().hex[:8]}",
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL_S,
        job_monitoring_interval=MONITORING_S,
        maintenance_interval=MAINTENANCE_S,
        log_job_description=False,
    )
    worker.app, worker.stop = app, stop
    worker.work(logging_level="WARNING")
    return stop.is_set()


def _run_scheduler(app: Flask, name: str, stop: threading.Event) -> bool:
    from app.schedule import LockedScheduler

    class Scheduler(LockedScheduler):
        def _install_signal_handlers(self) -> None:
            super()._install_signal_handlers()  # type: ignore[no-untyped-call]
            if stop.is_set():
                raise StopRequested

        def _request_stop(self, signum: int, frame: FrameType | None) -> None:
            # Without Redis the farewell fails, and its error would hide who asked for the end.
            stop.set()
            super()._request_stop(signum, frame)  # type: ignore[no-untyped-call]

    connection = Redis.from_url(redis_client.url, socket_timeout=5)
    connection.ping()
    with app.app_context():
        scheduler = Scheduler(connection)
        try:
            # Returns only when a signal asked it to end.
            with contextlib.suppress(StopRequested):
                scheduler.start()  # type: ignore[no-untyped-call]
        finally:
            scheduler.resign()
    return True


def _run_feed(app: Flask, name: str, stop: threading.Event) -> bool:
    from app.markets import feed

    with app.app_context():
        feed.run(stop)
    return stop.is_set()


ROLES: dict[str, Callable[[Flask, str, threading.Event], bool]] = {
    "ticks": _run_ticks,
    "jobs": _run_jobs,
    "scheduler": _run_scheduler,
    "feed": _run_feed,
}


if __name__ == "__main__":
    sys.exit(main())
