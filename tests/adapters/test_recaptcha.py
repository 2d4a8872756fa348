"""The adapter of reCAPTCHA against a small server of our own."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

from app.adapters.recaptcha import is_human


class Server(HTTPServer):
    """Answers what the test sets, and keeps what it was asked."""

    status = 200
    body = b""
    asked: dict[str, list[str]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.asked = parse_qs(self.rfile.read(length).decode())
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as one:
        thread = threading.Thread(target=one.serve_forever, daemon=True)
        thread.start()
        yield one
        one.shutdown()
        thread.join(5)


def ask(server: Server) -> bool:
    return is_human("answer", "secret", "192.0.2.1", f"http://127.0.0.1:{server.server_port}/")


def test_the_server_hears_answer_secret_and_address(server: Server) -> None:
    server.body = json.dumps({"success": True}).encode()
    assert ask(server)
    assert server.asked == {
        "secret": ["secret"],
        "response": ["answer"],
        "remoteip": ["192.0.2.1"],
    }


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"success": false}'),
        (200, b'{"success": "true"}'),
        (200, b"[]"),
        (200, b"no json"),
        (500, b'{"success": true}'),
        (302, b'{"success": true}'),
    ],
)
def test_anything_but_a_clear_yes_is_a_no(server: Server, status: int, body: bytes) -> None:
    server.status, server.body = status, body
    assert not ask(server)


def test_a_server_that_is_away_is_a_no(server: Server) -> None:
    assert not is_human("answer", "secret", "192.0.2.1", "http://127.0.0.1:1/")
