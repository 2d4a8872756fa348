"""How long a log-in takes: `python -m bench.login [--rounds N]`.

gunicorn as it is configured, PostgreSQL with fsync, Valkey; the password is checked with the
parameters of the product. Each log-in is a new browser: the form, then the timed answer to it.
The processor time is that of the web processes for one log-in, the form included.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests

from bench.servers import fresh_servers

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "four lamps under water"  # noqa: S105 - of people who exist for a minute
AT_ONCE = (1, 4, 8)
# Somebody who logs in again and again would be slowed down.
EACH_PERSON = 5
GOAL_MS = 400
START_S = 60
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


def main() -> None:
    """Run the benchmark over fresh servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="log-ins of each browser")
    rounds = parser.parse_args().rounds
    with fresh_servers():
        emails = make_people(rounds * sum(AT_ONCE) // EACH_PERSON + 1)
        with web() as (address, pid):
            print(f"{settings()}; load of the machine {os.getloadavg()[0]:.1f}")
            log_in(address, emails[0])
            for count in AT_ONCE:
                measure(address, pid, emails, count, rounds)


def settings() -> str:
    """Say what a password costs."""
    from app.accounts.passwords import hasher

    return (
        f"argon2id t={hasher.time_cost} m={hasher.memory_cost} KiB p={hasher.parallelism},"
        f" {os.cpu_count()} processors"
    )


def make_people(count: int) -> list[str]:
    """Add people who can log in, all with one password."""
    from flask_migrate import upgrade

    from app import create_app
    from app.accounts.models import Profile, User
    from app.accounts.passwords import hash_password
    from app.db import db, utc_now
    from app.transactions import transaction

    emails = [f"person-{number}@example.org" for number in range(count)]
    with create_app().app_context():
        upgrade()
        known = hash_password(PASSWORD)
        with transaction():
            for email in emails:
                user = User(email=email, password_hash=known, role="customer")
                user.confirmed_at = utc_now()
                user.profile = Profile(name="Somebody")
                db.session.add(user)
        db.engine.dispose()
    return emails


@contextmanager
def web() -> Iterator[tuple[str, int]]:
    """Run the web server as the product does; yield its address and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "PORT": str(port), "BASE_URL": address}
    words = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    process = subprocess.Popen(words, cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                requests.get(f"{address}/healthz", timeout=2)
                break
            except requests.RequestException:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.2)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(30)


def measure(address: str, pid: int, emails: list[str], count: int, rounds: int) -> None:
    """Let so many browsers log in at once, again and again, and print what came out."""
    people = iter(emails * EACH_PERSON)
    chosen = [next(people) for _ in range(count * rounds)]
    before, began = processor_s(pid), time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        took = sorted(pool.map(lambda email: log_in(address, email), chosen))
    elapsed, used = time.perf_counter() - began, processor_s(pid) - before
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    p50, p95, p99 = (cuts[each - 1] * 1000 for each in (50, 95, 99))
    verdict = f"p95 under {GOAL_MS} ms" if p95 < GOAL_MS else f"p95 OVER {GOAL_MS} ms"
    print(
        f"{count} at once: p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms,"
        f" {used / len(took) * 1000:.0f} ms of processor each,"
        f" {len(took) / elapsed:.1f} a second; {verdict}"
    )


def log_in(address: str, email: str) -> float:
    """Log in with a new browser; return how long the answer to the form took, in seconds."""
    with requests.Session() as browser:
        found = _TOKEN.search(browser.get(f"{address}/login", timeout=30).text)
        if found is None:
            raise RuntimeError("the page has no form")
        form = {"csrf_token": found[1], "email": email, "password": PASSWORD}
        began = time.perf_counter()
        answer = browser.post(f"{address}/login", data=form, allow_redirects=False, timeout=30)
        took = time.perf_counter() - began
        if not answer.headers.get("Location", "").endswith("/dashboard"):
            raise RuntimeError(f"the log-in was refused: {answer.status_code}")
        return took


def processor_s(pid: int) -> float:
    """Return the processor time of a process and its children, in seconds."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if pid in (int(stat.parent.name), int(fields[1])):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
