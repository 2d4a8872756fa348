"""The processes beside the web: they work, they end cleanly, and outages do not end them."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from redis import Redis
from rq import Worker

from app import answers
from app.notifications import jobs as notification_jobs
from app.queues import QueueName, enqueue_once, queue
from dev.embedded import temporary_valkey
from dev.valkey import ValkeyServer
from tests.long import few
from tests.starting import Started, start

ROOT = Path(__file__).resolve().parents[2]


class Running:
    """One of the processes, and where it writes."""

    def __init__(self, environment: dict[str, str], log: Path, *arguments: str) -> None:
        words = ["worker.py", *arguments]
        self.process = start(words, {**os.environ, **environment}, log)
        self._log = log

    def end(self) -> tuple[int, str]:
        """Ask it to end; return its code and what it wrote."""
        self.process.terminate()
        return self.process.wait(30), self._log.read_text()


@contextmanager
def process(environment: dict[str, str], *arguments: str) -> Iterator[Running]:
    """Run one of the processes."""
    with tempfile.TemporaryDirectory() as folder:
        running = Running(environment, Path(folder, "log"), *arguments)
        try:
            yield running
        finally:
            running.process.kill()
            running.process.wait(30)


def wait_for_worker(redis_db: Redis, count: int = 1) -> None:
    """Wait until a worker has announced itself."""
    deadline = time.monotonic() + 30
    while Worker.count(connection=redis_db) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_listening(running: Started) -> None:
    """Wait until a process catches SIGTERM: how long it takes to load depends on the machine."""
    deadline = time.monotonic() + 30
    bit = 1 << (signal.SIGTERM - 1)
    while True:
        status = Path(f"/proc/{running.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) & bit:
            return
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_empty(name: QueueName) -> None:
    """Wait until no job waits on a queue."""
    deadline = time.monotonic() + 30
    while queue(name).count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("role", few(["ticks", "jobs"], 2))
def test_a_worker_does_what_waits_and_ends_cleanly(
    environment: dict[str, str], redis_db: Redis, role: str
) -> None:
    name = QueueName.TICKS if role == "ticks" else QueueName.MESSAGES
    job = "app.bots.jobs.enqueue_due" if role == "ticks" else notification_jobs.deliver_waiting
    with process(environment, role) as worker:
        wait_for_worker(redis_db)
        enqueue_once(name, job, key="test-job")
        wait_until_empty(name)
        time.sleep(0.5)
        code, written = worker.end()
    assert code == 0
    assert "Traceback" not in written
    assert queue(name).failed_job_registry.count == 0


@pytest.mark.usefixtures("database")
def test_questions_to_exchanges_and_forked_jobs_take_turns_in_one_worker(
    environment: dict[str, str], redis_db: Redis
) -> None:
    answers.put("balances:1", "old", 60)
    with process(environment, "jobs") as worker:
        wait_for_worker(redis_db)
        for turn in range(3):
            name = f"turn-{turn}"
            # There is no such account, so what was kept of it is taken away: it was looked for.
            answers.put("balances:1", name, 60)
            enqueue_once(QueueName.ACCOUNTS, "app.exchanges.jobs.read_balances", 1, 1, key=name)
            enqueue_once(QueueName.MESSAGES, notification_jobs.deliver_waiting, key=name)
            deadline = time.monotonic() + 30
            while answers.last("balances:1") is not None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            wait_until_empty(QueueName.MESSAGES)
        time.sleep(0.5)
        code, written = worker.end()
    assert code == 0
    assert "Traceback" not in written
    for queue_name in (QueueName.ACCOUNTS, QueueName.MESSAGES):
        assert queue(queue_name).failed_job_registry.count == 0


@pytest.mark.usefixtures("database")
def test_the_scheduler_keeps_its_jobs_coming_and_resigns_at_the_end(
    environment: dict[str, str], redis_db: Redis
) -> None:
    with process(environment, "scheduler") as scheduler:
        deadline = time.monotonic() + 30
        while queue(QueueName.TICKS).count < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        code, written = scheduler.end()
    assert code == 0
    assert "Traceback" not in written
    assert redis_db.get("scheduler:leader") is None


@pytest.mark.chaos
@pytest.mark.parametrize("role", few(["ticks", "jobs", "scheduler"], 3))
def test_a_process_waits_for_redis_and_goes_on_when_it_is_back(
    app: Flask, environment: dict[str, str], role: str
) -> None:
    with temporary_valkey() as url:
        # A port where nobody listens: the process starts, waits, and ends when asked.
        nobody = {**environment, "REDIS_URL": "redis://127.0.0.1:1/0"}
        with process(nobody, role) as waiting:
            wait_until_listening(waiting.process)
            time.sleep(2)
            assert waiting.process.poll() is None
            assert waiting.end()[0] == 0
        with process({**environment, "REDIS_URL": url}, role) as working:
            wait_until_listening(working.process)
            time.sleep(2)
            assert working.process.poll() is None
            assert working.end()[0] == 0


@pytest.mark.chaos
@pytest.mark.parametrize("role", few(["ticks", "jobs", "scheduler"], 3))
def test_a_process_ends_when_asked_although_redis_has_just_gone(
    app: Flask, environment: dict[str, str], tmp_path: Path, role: str
) -> None:
    server = ValkeyServer(tmp_path, durable=False)
    server.start()
    try:
        with (
            Redis.from_url(server.url()) as client,
            process({**environment, "REDIS_URL": server.url()}, role) as running,
        ):
            deadline = time.monotonic() + 30
            while not (client.exists("scheduler:heartbeat") or Worker.count(connection=client)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            server.halt()
            assert running.end()[0] == 0
    finally:
        server.stop()


@pytest.mark.long
def test_a_role_that_does_not_exist_is_refused_in_words(environment: dict[str, str]) -> None:
    command = [sys.executable, "worker.py", "dance"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "invalid choice" in done.stderr
