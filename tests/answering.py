"""A worker beside a test that answers questions of pages to exchanges, in a thread of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from rq import Queue

from app.db import db
from app.extensions import redis_client
from app.queues import QueueName, queue


@contextmanager
def answering(app: Flask) -> Iterator[list[str]]:
    """Do such jobs as they come; yield the names of those done."""
    done: list[str] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            found = Queue.dequeue_any(
                [queue(QueueName.ACCOUNTS)], None, connection=redis_client.client,
                serializer=queue(QueueName.ACCOUNTS).serializer,
            )  # fmt: skip
            if found is None:
                stop.wait(0.02)
                continue
            job, _ = found
            with app.app_context():
                try:
                    job.perform()
                finally:
                    db.session.remove()
            done.append(str(job.func_name))
            job.delete()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join(40)
        assert not thread.is_alive()
