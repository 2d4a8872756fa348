"""`make run` as a whole, over a copy of the product: start, second start, kill -9, stop."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.run_env import read_pairs
from dev.supervisor import WORKERS
from tests.services import connect

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("app", "dev", "migrations", "translations")
FILES = ("babel.cfg", "gunicorn.conf.py", "worker.py", "wsgi.py", ".flaskenv")
START_S = 90
CONFIGURED = (
    "DATABASE_URL", "REDIS_URL", "BASE_URL", "SECRET_KEY", "BOTYARD_MASTER_KEYS", "BOTYARD_ENV",
    "DEMO", "MARKET_REPLAY", "MARKET_SOURCE",
)  # fmt: skip


class Run:
    """A running supervisor and what it has printed."""

    def __init__(self, folder: Path, **variables: str) -> None:
        env = {name: value for name, value in os.environ.items() if name not in CONFIGURED}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dev.run"],
            cwd=folder,
            env=env | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def wait_for(self, text: str, timeout: float = START_S) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.text:
            assert self.process.poll() is None or text in self.text, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)

    def end(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(30)
        assert not self._reader.is_alive(), "something that it started still writes"
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="botyard-run.", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        for part in PARTS:
            # With what is compiled, but for a file that another process is writing just now.
            ignored = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        for file in FILES:
            shutil.copy(ROOT / file, folder / file)
        yield folder


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status_of(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code


def children_of(pid: int) -> dict[str, int]:
    """Return the direct children by what stands in their command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        if parent == pid and command:
            found[command] = int(entry.name)
    return found


def child(pid: int, part: str) -> int | None:
    return next((one for command, one in children_of(pid).items() if part in command), None)


def flask(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in CONFIGURED}
    return subprocess.run(
        [sys.executable, "-m", "flask", *words],
        cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at children through /proc")
def test_the_life_of_a_run(checkout: Path, port: int) -> None:
    run = Run(checkout, PORT=str(port), DEMO="0")
    try:
        run.wait_for("Ready.")
        run.wait_for("Ctrl-C stops everything")
        _shows_where_to_set_up(run, checkout, port)
        _is_complete(run, checkout, port)
        _a_second_run_is_refused(checkout, port)
        _what_is_killed_comes_back(run, port)
    finally:
        code = run.end(signal.SIGTERM)
    assert code == 0, run.text
    assert "Stopped." in run.text
    assert not (checkout / "var" / "run.env").exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.long
def test_a_killed_run_starts_again_with_what_it_had(checkout: Path, port: int) -> None:
    run = Run(checkout, PORT=str(port), DEMO="0")
    try:
        run.wait_for("Ctrl-C stops everything")
        before = (checkout / "var" / "secrets.env").read_text()
        _forget_the_second_role(checkout)
        run.end(signal.SIGKILL)
        run = Run(checkout, PORT=str(port))
        run.wait_for("Ctrl-C stops everything")
        assert "demo@botyard.local" in run.text
        assert status_of(port, "/pricing") == 200
        assert "/setup" not in run.text
        # The next start without the demo would have nothing to ask for.
        assert status_of(port, "/setup") == 404
        assert (checkout / "var" / "secrets.env").read_text() == before
        assert status_of(port, "/healthz") == 200
    finally:
        code = run.end(signal.SIGTERM)
    assert code == 0, run.text
    # Ctrl-C, here in the middle of a start, ends it as cleanly as SIGTERM did.
    run = Run(checkout, PORT=str(port))
    run.wait_for("Preparing the database")
    assert run.end(signal.SIGINT) == 0, run.text
    assert "Stopped." in run.text


def _shows_where_to_set_up(run: Run, checkout: Path, port: int) -> None:
    assert f"http://localhost:{port}/setup" in run.text
    assert "demo@botyard.local" not in run.text
    # A command line beside the run finds its servers by itself.
    code = flask(checkout, "setup", "code").stdout.split()[-1]
    assert code in run.text
    assert status_of(port, "/setup") == 200


def _is_complete(run: Run, checkout: Path, port: int) -> None:
    assert f"http://localhost:{port}" in run.text
    assert "/dev/mail" in run.text
    assert status_of(port, "/healthz") == 200
    assert status_of(port, "/") == 200
    for part in ("gunicorn", "ticks", "jobs", "scheduler", "feed", "postgres", "valkey-server"):
        assert child(run.process.pid, part), part
    for name in ("run.env", "secrets.env"):
        assert (checkout / "var" / name).stat().st_mode & 0o777 == 0o600
    for part in ("gunicorn", *WORKERS):
        _serves_without_owning(child(run.process.pid, part))


def _serves_without_owning(pid: int | None) -> None:
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    assert "DATABASE_OWNER_URL=" in variables
    assert any(line.startswith("DATABASE_URL=") and "botyard_app@" in line for line in variables)


def _forget_the_second_role(checkout: Path) -> None:
    """Bring the data to where an installation from before the second role has them."""
    owner = read_pairs(checkout / "var" / "run.env")["DATABASE_OWNER_URL"]
    with connect(owner) as connection:
        connection.execute("drop owned by botyard_app")
        connection.execute("drop role botyard_app")
    (checkout / "var" / "tables").unlink()


def _a_second_run_is_refused(checkout: Path, port: int) -> None:
    second = Run(checkout, PORT=str(port))
    assert second.end() == 1
    assert "Botyard runs here already" in second.text
    assert status_of(port, "/healthz") == 200


def _what_is_killed_comes_back(run: Run, port: int) -> None:
    for part, name in (("feed", "feed"), ("valkey-server", "Valkey")):
        old = child(run.process.pid, part)
        assert old
        os.kill(old, signal.SIGKILL)
        run.wait_for(f"{name} ended", 20)
        deadline = time.monotonic() + 20
        while child(run.process.pid, part) in (None, old):
            assert time.monotonic() < deadline, f"{name} did not come back"
            time.sleep(0.1)


@pytest.mark.long
def test_beside_a_run_its_servers_are_found_and_nothing_is_left_to_set_up(
    checkout: Path, port: int
) -> None:
    run = Run(checkout, PORT=str(port))
    try:
        run.wait_for("Ctrl-C stops everything")
        beside = flask(checkout, "bots", "list", "--json")
        assert beside.returncode == 0, beside.stderr
        assert len(json.loads(beside.stdout)) > 0
        _has_no_set_up_left(checkout)
    finally:
        code = run.end(signal.SIGTERM)
    assert code == 0, run.text


def _has_no_set_up_left(checkout: Path) -> None:
    """See that the next start without the demo would have nothing to ask for."""
    env = {**os.environ, **read_pairs(checkout / "var" / "run.env"), "DEMO": "0"}
    command = [sys.executable, "-m", "dev.prepare"]
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr


def test_a_port_in_use_is_named_before_anything_starts(checkout: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        run = Run(checkout, PORT=port)
        assert run.end() == 1
    assert f"Port {port} is in use" in run.text
    assert "PORT=" in run.text
    assert "Starting" not in run.text


def test_a_bad_row_of_a_recording_is_named_and_nothing_starts(checkout: Path, port: int) -> None:
    file = checkout / "bybit-BTCUSDT-1m.csv"
    rows = [f"{1_700_000_000_000 + 60_000 * n},10,11,9,10,5" for n in range(50)]
    rows[30] = rows[30].replace(",9,", ",99,")
    file.write_text("\n".join(["ts_ms,open,high,low,close,volume", *rows]) + "\n")
    run = Run(checkout, PORT=str(port), MARKET_REPLAY=str(file))
    assert run.end() == 1
    assert re.search(r"bybit-BTCUSDT-1m\.csv.* row=31 ", run.text), run.text
    assert "Starting" not in run.text


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("DATABASE_URL", "postgresql://x:hunter2@127.0.0.1:1/x"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0"),
    ],
)
def test_a_server_that_does_not_answer_is_one_sentence(
    checkout: Path, port: int, name: str, address: str
) -> None:
    run = Run(checkout, PORT=str(port), **{name: address})
    assert run.end() == 1
    assert "A server does not answer" in run.text
    assert "Traceback" not in run.text
    assert "hunter2" not in run.text
    assert "Ready." not in run.text
