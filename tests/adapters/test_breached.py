"""The look-up of breached passwords, against a server of the same form."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from app.adapters import breached

KNOWN, UNKNOWN = "four lamps under water", "five lamps under water"


def digest_of(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


class Listed(HTTPServer):
    """Answers as the public list does; `status` and `text` spoil the answer."""

    status = 200
    text: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/range/"


class _Answer(BaseHTTPRequestHandler):
    server: Listed

    def do_GET(self) -> None:
        self.server.asked.append(self.path + str(self.headers))
        whole = digest_of(KNOWN)
        other = digest_of(UNKNOWN)
        rows = f"{'0' * 35}:3\r\n{whole[5:]}:12\r\n{other[5:]}:0\r\n"
        body = (rows if self.server.text is None else self.server.text).encode()
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture
def server() -> Iterator[Listed]:
    with Listed() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_a_password_of_the_list_is_known_and_padding_is_not(server: Listed) -> None:
    assert breached.is_known(KNOWN, server.url)
    assert not breached.is_known(UNKNOWN, server.url)
    assert not breached.is_known("\ud800 not a text", server.url)


def test_only_five_digits_of_the_hash_leave_the_house(server: Listed) -> None:
    breached.is_known(KNOWN, server.url)
    (asked,) = server.asked
    whole = digest_of(KNOWN)
    assert asked.startswith(f"/range/{whole[:5]}") and whole[:6] not in asked.upper()
    assert KNOWN not in asked and "Add-Padding: true" in asked


@pytest.mark.parametrize(
    ("status", "text"), [(503, None), (302, None), (200, "<html>"), (200, "A:B")]
)
def test_an_answer_that_is_none_counts_as_no_with_a_line_in_the_log(
    server: Listed, status: int, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    server.status = status
    whole = digest_of(KNOWN)
    server.text = f"{whole[5:]}:many" if text == "A:B" else text
    if status == 302:
        server.text = ""
    assert not breached.is_known(KNOWN, server.url)
    assert ("breached_passwords_unreachable" in caplog.text) is (status == 503 or text == "A:B")
    assert KNOWN not in caplog.text


def test_a_server_that_is_away_or_silent_stops_nobody(
    server: Listed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(breached, "TIMEOUT_S", 0.2)
    assert not breached.is_known(KNOWN, "http://127.0.0.1:1/range/")
    # It listens, but nobody takes the connection.
    with HTTPServer(("127.0.0.1", 0), _Answer) as silent:
        assert not breached.is_known(KNOWN, f"http://127.0.0.1:{silent.server_port}/range/")
    assert caplog.text.count("breached_passwords_unreachable") == 2
