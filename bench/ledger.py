"""Many at one wallet: `python -m bench.ledger [--threads N] [--attempts N]`.

So many threads spend from one wallet that has less than they ask for; one key in twenty is sent
twice. The real service over a durable PostgreSQL, as the role that owns nothing. Counts payments
that a caller was told of and the books lack ("lost"), and the other way round; a watcher looks for
a balance below zero all the time.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier, Event, Thread

from flask import Flask
from sqlalchemy import text

from dev.postgres import SERVING_USER, PostgresServer

# The threads are shared out: a process of the product has 20 connections.
PROCESSES = 5
PRICE = Decimal("1.00")
# What the wallet has: of a hundred attempts so many can be paid.
PAYABLE_PERCENT = 60
TWICE_EVERY = 20


def main() -> None:
    """Run the benchmark over a fresh server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--attempts", type=int, default=10_000)
    options = parser.parse_args()
    with database_server() as (owner, serving):
        os.environ.update(
            BOTYARD_ENV="testing",
            DATABASE_URL=serving,
            DATABASE_OWNER_URL=owner,
            REDIS_URL="redis://localhost:1/0",
            SECRET_KEY="only-for-the-benchmark-" * 3,
        )
        raise SystemExit(measure(options.threads, options.attempts))


@contextmanager
def database_server() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory(prefix="botyard.", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres = PostgresServer(folder / "postgres")
        try:
            postgres.start()
            postgres.ensure_database("botyard")
            yield postgres.url("botyard"), postgres.url("botyard", SERVING_USER)
        finally:
            postgres.remove()


def measure(threads: int, attempts: int) -> int:
    """Fill a wallet, let everybody spend, count; return the exit code."""
    from flask_migrate import upgrade

    from app import create_app
    from app.transactions import transaction
    from app.wallet import service
    from tests.factories import make_user
    from tests.wallet.books import usd

    app = create_app()
    with app.app_context():
        upgrade()
        has = PRICE * (attempts * PAYABLE_PERCENT // 100)
        with transaction():
            user_id = make_user().id
            service.top_up("start", user_id, "demo", usd(str(has)))
    keys = [f"spend:{number - (number % TWICE_EVERY == 1)}" for number in range(attempts)]
    negatives, stop = [0], Event()
    watcher = Thread(target=_watch, args=(app, negatives, stop))
    watcher.start()
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), _join, (threads,)) as pool:
        # Everybody is ready before anybody begins.
        list(pool.map(_ready, range(PROCESSES)))
        began = time.perf_counter()
        told = [pool.submit(_spend, user_id, keys[n::PROCESSES]) for n in range(PROCESSES)]
        outcomes = sum((one.result() for one in told), Counter[str]())
        took = time.perf_counter() - began
    stop.set()
    watcher.join()
    with app.app_context():
        return _report(outcomes, negatives[0], attempts, threads, took)


@dataclass(slots=True)
class _Process:
    """What one of the processes works with."""

    threads: int
    app: Flask


_process: list[_Process] = []


def _join(threads: int) -> None:
    from app import create_app

    _process.append(_Process(threads // PROCESSES, create_app()))


def _ready(_number: int) -> None:
    time.sleep(0.5)


def _spend(user_id: int, keys: list[str]) -> Counter[str]:
    from app.db import db
    from app.errors import Conflict
    from app.transactions import transaction
    from app.wallet import service
    from app.wallet.rules import Line

    [process] = _process
    barrier = Barrier(process.threads)

    def work(number: int) -> Counter[str]:
        told: Counter[str] = Counter()
        barrier.wait()
        with process.app.app_context():
            for key in keys[number :: process.threads]:
                try:
                    with transaction():
                        posted = service.pay_from_wallet(
                            key, user_id, "USD", [Line("one_off", PRICE)]
                        )
                    told["replayed" if posted.replayed else "paid"] += 1
                except Conflict as refused:
                    told[refused.code] += 1
            db.session.remove()
        return told

    with ThreadPoolExecutor(process.threads) as pool:
        return sum(pool.map(work, range(process.threads)), Counter())


def _watch(app: Flask, negatives: list[int], stop: Event) -> None:
    from app.db import db

    below = text("select count(*) from ledger_balances where guard * posted < held")
    with app.app_context():
        while not stop.wait(0.05):
            negatives[0] += db.session.scalar(below) or 0
            db.session.rollback()
        db.session.remove()


def _report(
    outcomes: Counter[str], negatives: int, attempts: int, threads: int, took: float
) -> int:
    from app.db import db
    from app.wallet import check

    booked = db.session.scalar(
        text("select count(*) from ledger_postings where kind = 'wallet_payment'")
    )
    sums = db.session.execute(
        text("select commodity, sum(amount) from ledger_entries group by commodity")
    ).all()
    report = check.verify()
    lost = abs(outcomes["paid"] - int(booked or 0))
    unanswered = attempts - outcomes.total()
    print(f"{threads} threads in {PROCESSES} processes, {attempts} attempts on one wallet")
    print(f"{took:.1f} s, attempts/s {attempts / took:.0f}")
    print(
        f"paid {outcomes['paid']}, told again {outcomes['replayed']},"
        f" refused {outcomes['insufficient_funds']}, without an answer {unanswered}"
    )
    print(f"negatives {negatives}, lost {lost}, differences {len(report.differences)}")
    print("sums " + ", ".join(f"{commodity} {total:.2f}" for commodity, total in sums))
    fits = not negatives and not lost and not unanswered and report.is_whole
    fits = fits and not any(total for _, total in sums)
    print("as wanted" if fits else "NOT AS WANTED")
    return 0 if fits else 1


if __name__ == "__main__":
    main()
