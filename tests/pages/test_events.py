"""The event stream under gunicorn, over real sockets."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.accounts import session_store
from app.accounts.models import User
from app.notifications.stream import hint, hint_everybody
from app.transactions import transaction
from tests.accounts.people import session_name
from tests.client import Client
from tests.factories import make_user
from tests.starting import start

CAPACITY = 2


class Server:
    """A gunicorn with one process and CAPACITY streams."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.opened: list[Connection] = []
        own = {
            "BIND": f"127.0.0.1:{self.port}",
            "WEB_WORKERS": "1",
            "WEB_THREADS": str(CAPACITY + 16),
        }
        words = ["-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
        self.process = start(words, {**os.environ, **environment, **own}, log)
        if not self._answers():
            self.stop()
            pytest.fail(log.read_text())

    def open(self, path: str, cookie: str = "") -> "Connection":
        """Send a request and return the connection with its answer's head read."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        head += f"Cookie: session={cookie}\r\n" if cookie else ""
        raw.sendall(f"{head}\r\n".encode())
        self.opened.append(Connection(raw))
        return self.opened[-1]

    def stream(self, cookie: str) -> "Connection":
        """Open an event stream, waiting until closed ones have given their place back."""
        deadline = time.monotonic() + 8
        while (connection := self.open("/events", cookie)).status == 503:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert connection.status == 200 and connection.wait_for("retry: 3000")
        return connection

    def close_all(self) -> None:
        while self.opened:
            self.opened.pop().close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)

    def _answers(self) -> bool:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                    if b" 200 " in probe.recv(100):
                        return True
            except OSError:
                pass
            time.sleep(0.1)
        return False


class Connection:
    """One HTTP connection whose answer is read as it comes."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.received = b""
        self._read_until(b"\r\n\r\n", 10)
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        self.headers = head.decode().lower()

    def wait_for(self, text: str, seconds: float = 5) -> bool:
        """Read until a text has come."""
        return self._read_until(text.encode(), seconds)

    def has_ended(self, seconds: float) -> bool:
        """Tell whether the server ends the answer in time."""
        return self._read_until(b"\r\n0\r\n\r\n", seconds)

    def close(self) -> None:
        self.raw.close()

    def _read_until(self, wanted: bytes, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while wanted not in self.received:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.raw.settimeout(left)
            try:
                part = self.raw.recv(65_536)
            except TimeoutError:
                return False
            if not part:
                return False
            self.received += part
        return True


@pytest.fixture(scope="module")
def web(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(environment, tmp_path_factory.mktemp("web") / "web.log")
    yield server
    server.stop()


@pytest.fixture
def server(web: Server, database: None) -> Iterator[Server]:
    yield web
    web.close_all()


@pytest.fixture
def people(login_as: Callable[[User], Client]) -> list[tuple[int, str]]:
    """Return ids and session cookies of two signed-in people."""
    with transaction():
        users = [make_user(), make_user()]
    found = []
    for user in users:
        cookie = login_as(user).get_cookie("session")
        assert cookie is not None
        found.append((user.id, cookie.value))
    return found


def test_a_hint_comes_at_once_and_only_to_its_owner(
    server: Server, people: list[tuple[int, str]]
) -> None:
    (first, first_cookie), (_, second_cookie) = people
    own, other = server.stream(first_cookie), server.stream(second_cookie)
    assert "text/event-stream" in own.headers and "x-accel-buffering: no" in own.headers
    time.sleep(0.3)
    started = time.monotonic()
    hint(first, "bot:12")
    assert own.wait_for('data: {"topic": "bot:12"}')
    assert time.monotonic() - started < 1
    hint_everybody(["price:3"])
    assert own.wait_for("price:3") and other.wait_for("price:3")
    assert b"bot:12" not in other.received


def test_visitors_get_no_stream(server: Server) -> None:
    assert server.open("/events").status == 401
    assert server.open("/events", "x" * 40).status == 401


def test_a_full_process_answers_503_and_still_serves_pages(
    server: Server, people: list[tuple[int, str]]
) -> None:
    cookie = people[0][1]
    streams = [server.stream(cookie) for _ in range(CAPACITY)]
    refused = server.open("/events", cookie)
    assert refused.status == 503 and "retry-after: 30" in refused.headers
    started = time.monotonic()
    assert server.open("/healthz").status == 200
    assert server.open("/legal/risk").status == 200
    assert time.monotonic() - started < 5
    # A closed tab gives its place back without waiting for the next sign of life.
    streams[0].close()
    started = time.monotonic()
    server.stream(cookie)
    assert time.monotonic() - started < 8


def test_the_stream_ends_with_its_session(server: Server, people: list[tuple[int, str]]) -> None:
    user_id, cookie = people[0]
    stream = server.stream(cookie)
    session_store.end(session_name(cookie), user_id)
    assert stream.has_ended(12)


def test_an_open_stream_does_not_prolong_its_session(
    server: Server, people: list[tuple[int, str]]
) -> None:
    cookie = people[0][1]
    key = session_name(cookie)
    stored = session_store.load(key)
    assert stored is not None
    stored.seen -= 120
    session_store.replace(key, stored)
    server.stream(cookie)
    after = session_store.load(key)
    assert after is not None and after.seen == stored.seen


def test_open_streams_end_soon_when_the_server_is_told_to_stop(
    environment: dict[str, str], people: list[tuple[int, str]], tmp_path: Path
) -> None:
    server = Server(environment, tmp_path / "web.log")
    stream = server.stream(people[0][1])
    server.process.terminate()
    # One that is cut off after gunicorn's grace of five seconds has no end.
    assert stream.has_ended(10)
    server.stop()
    server.close_all()
