"""The same thing done by many at the same moment."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from flask import Flask
from sqlalchemy import text

from app.db import db

T = TypeVar("T")
# Seconds until all must have come: who never comes breaks the test instead of stopping it for good.
MOST_WAITING_S = 30


def at_once(app: Flask, count: int, act: Callable[[int], T]) -> list[T]:
    """Run `act` with 0, 1, ... in so many threads, all beginning at the same moment."""
    barrier = Barrier(count)

    def run(number: int) -> T:
        with app.app_context():
            barrier.wait(MOST_WAITING_S)
            try:
                return act(number)
            finally:
                db.session.remove()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def wait_for_a_lock() -> None:
    """Wait until somebody waits for a row of this transaction."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(100):
        if db.session.scalar(waiting):
            return
        time.sleep(0.05)
    raise AssertionError("nobody waits")
