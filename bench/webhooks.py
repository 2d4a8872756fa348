"""Callbacks at the door: `python -m bench.webhooks [--seconds S] [--rate R] [--burst B] [--in F]`.

First a burst that is only taken, then a longer stretch while the worker applies, with Valkey
stopped for ten seconds in the middle and the worker killed twice. gunicorn as it is configured,
PostgreSQL with fsync, the real worker and scheduler, signed callbacks of the demonstration. The
time of an answer counts from the moment at which the callback was due, not from when a late sender
came to it. Nothing may be lost, and each payment is booked once.

An answer waits for the disk. What the disk takes by itself is printed first; `--in /dev/shm` keeps
the data in memory and so shows what is the product's own.
"""

import argparse
import itertools
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from bench.disk import report_disk
from bench.processors import Processors
from bench.sender import Sent, send, wait_until_serving
from dev.postgres import PostgresServer
from dev.processes import spawn
from dev.valkey import ValkeyServer

ROOT = Path(__file__).resolve().parent.parent
PEOPLE = 200
AWAY_S = 10
GOAL_MS = 60
PATIENCE_S = 300


def main() -> None:
    """Run the benchmark over fresh servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--burst", type=int, default=600, help="a second, for five seconds")
    parser.add_argument("--in", dest="place", type=Path, help="the folder for the servers' data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(
        prefix="botyard.", dir=options.place, ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        folder.chmod(0o711)
        report_disk(folder)
        postgres, valkey = PostgresServer(folder / "postgres"), ValkeyServer(folder / "valkey")
        try:
            postgres.start()
            postgres.ensure_database("botyard")
            valkey.start()
            os.environ.update(
                BOTYARD_ENV="testing",
                DATABASE_URL=postgres.url("botyard"),
                REDIS_URL=valkey.url(),
                SECRET_KEY="only-for-the-benchmark-" * 3,
                PORT=str(_free_port()),
            )
            os.environ["BASE_URL"] = f"http://127.0.0.1:{os.environ['PORT']}"
            raise SystemExit(measure(options, postgres, valkey))
        finally:
            postgres.remove()
            valkey.remove()


def measure(options: argparse.Namespace, postgres: PostgresServer, valkey: ValkeyServer) -> int:
    """Send everything, wait until it is applied, count; return the exit code."""
    from app import create_app
    from app.payments.demo.provider import webhook_secret

    with create_app().app_context():
        objects = make_payments()
        secret = webhook_secret()
    port = int(os.environ["PORT"])
    with running("-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app") as web:
        wait_until_serving(port)
        raws = bodies(objects, options.burst * 5)
        used = Processors(web=web, postgres=postgres.pid or 0)
        burst = send(port, secret, raws, options.burst)
        report(f"burst of {options.burst} a second, taken only", burst)
        used.report(len(raws))
        with worker() as place, running("worker.py", "scheduler"):
            raws = bodies(objects, options.rate * options.seconds)
            used = Processors(web=web, postgres=postgres.pid or 0)
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(send, port, secret, raws, options.rate)
                # Here: what a thread has started ends with it.
                disturb(valkey, place, options.seconds)
                steady = sending.result()
            ended = time.monotonic()
            what = f"{options.rate} a second for {options.seconds} s while a worker applies"
            report(what, steady)
            used.report(len(raws))
            drained = wait_until_applied()
            print(f"backlog gone {max(drained - ended, 0):.1f} s after the last callback")
    total = len(burst.took) + len(steady.took)
    return verdict(total, burst.refused + steady.refused)


def make_payments() -> list[tuple[str, str, str]]:
    """Let people pay an invoice each at the demonstration; return customer, page and payment."""
    from flask_migrate import upgrade

    from app.accounts.models import Profile, User
    from app.db import db, utc_now
    from app.payments import checkouts, paying, service
    from app.payments.demo import provider
    from app.payments.demo.cards import CARDS
    from app.payments.rules import Line, LineKind, NewInvoice
    from app.transactions import transaction
    from tests.payments.world import usd

    upgrade()
    found = []
    for number in range(PEOPLE):
        with transaction():
            user = User(email=f"person-{number}@example.org", role="customer")
            user.password_hash = "!"  # noqa: S105 - nobody logs in
            user.confirmed_at, user.profile = utc_now(), Profile(name="Somebody")
            db.session.add(user)
            db.session.flush()
            line = Line(LineKind.PLAN, "Pro, 1 month", usd("29.00"))
            new = NewInvoice(f"bench:{number}", user.id, (line,))
            user_id, invoice_id = user.id, service.issue(new, "ordered").id

        def want(user_id: int = user_id, invoice_id: int = invoice_id) -> checkouts.Want:
            return checkouts.want_invoice(user_id, invoice_id)

        page = paying.lead_to_page(user, "demo", want, "/invoices").rpartition("/")[2]
        payment = provider.pay(page, CARDS[0])
        found.append((str(payment["customer"]), page, str(payment["id"])))
        db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(text("delete from demo_events"))
    db.engine.dispose()
    return found


def bodies(objects: Sequence[tuple[str, str, str]], count: int) -> list[bytes]:
    """Write so many callbacks about the payments, each with an id of its own."""
    made = []
    for customer, page, payment in itertools.islice(itertools.cycle(objects), count):
        refs = [{"object": "checkout", "id": page}, {"object": "payment", "id": payment}]
        body = {
            "id": f"dev_{secrets.token_hex(12)}",
            "object": "event",
            "type": "payment.succeeded",
            "api_version": "bench",
            "created": int(time.time()),
            "livemode": False,
            "group": customer,
            "data": {"objects": refs},
        }
        made.append(json.dumps(body).encode())
    return made


def report(what: str, sent: Sent) -> None:
    """Print the rate that was reached and how long answers took."""
    cuts = statistics.quantiles(sent.took, n=100, method="inclusive")
    p50, p95, p99 = (cuts[each - 1] * 1000 for each in (50, 95, 99))
    reached = f"p99 under {GOAL_MS} ms" if p99 < GOAL_MS else f"p99 OVER {GOAL_MS} ms"
    print(
        f"{what}: {len(sent.took) / sent.elapsed:.0f} a second taken,"
        f" p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms,"
        f" longest {max(sent.took) * 1000:.0f} ms, refused {sent.refused}; {reached}"
    )


class Place:
    """Where a worker is, and started again whenever it was killed."""

    def __init__(self) -> None:
        self._process = self._start()

    def kill(self) -> None:
        """Kill the worker and whatever it runs, as a power cut would, and start another one."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = self._start()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)

    def _start(self) -> subprocess.Popen[bytes]:
        return child("worker.py", "jobs")


@contextmanager
def worker() -> Iterator[Place]:
    """Run the worker of payments."""
    place = Place()
    try:
        yield place
    finally:
        place.stop()


def child(*words: str) -> subprocess.Popen[bytes]:
    """Start a process of the product that does not outlive this one."""
    command = [sys.executable, *words]
    return spawn(command, log=sys.stderr.fileno(), cwd=ROOT, env=os.environ)


@contextmanager
def running(*words: str) -> Iterator[int]:
    """Run a process of the product; yield its number."""
    process = child(*words)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def disturb(valkey: ValkeyServer, place: Place, seconds: int) -> None:
    """Kill the worker twice, and stop Valkey for a while in between."""
    time.sleep(seconds / 6)
    place.kill()
    time.sleep(seconds / 6)
    valkey.halt()
    time.sleep(AWAY_S)
    valkey.restart()
    time.sleep(seconds / 6)
    place.kill()


def wait_until_applied() -> float:
    """Wait until no callback waits any more; print the rate, return the moment."""
    from app import create_app
    from app.db import db

    began = time.monotonic()
    with create_app().app_context():
        while time.monotonic() - began < PATIENCE_S:
            with db.engine.connect() as connection:
                waiting = connection.scalar(
                    text("select count(*) from rail_events where state in ('received', 'failed')")
                )
            if not waiting:
                break
            time.sleep(0.2)
        moment = time.monotonic()
        with db.engine.connect() as connection:
            applied, seconds = connection.execute(
                text(
                    "select count(*), extract(epoch from max(processed_at) - min(processed_at))"
                    " from rail_events where state = 'processed'"
                )
            ).one()
        db.engine.dispose()
    print(f"applied {applied} in {seconds:.1f} s: {applied / float(seconds or 1):.0f} a second")
    return moment


def verdict(total: int, refused: int) -> int:
    """Compare what was taken with what is in the books; return the exit code."""
    from app import create_app
    from app.db import db

    queries = {
        "callbacks stored": ("select count(*) from rail_events", total - refused),
        "applied": (
            "select count(*) from rail_events where state = 'processed'",
            total - refused,
        ),
        "invoices paid": ("select count(*) from invoices where state = 'paid'", PEOPLE),
        "payments": ("select count(*) from payments where state = 'succeeded'", PEOPLE),
        "postings": ("select count(*) from ledger_postings", PEOPLE),
    }
    wrong = 0
    with create_app().app_context():
        for name, (query, expected) in queries.items():
            with db.engine.connect() as connection:
                found = connection.scalar(text(query))
            print(f"{name}: {found} of {expected}")
            wrong += found != expected
        db.engine.dispose()
    print("nothing lost, nothing twice" if not wrong else "SOMETHING IS WRONG")
    return 1 if wrong or refused else 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
