"""The fake over HTTP: the API for the library, pages for a browser, /control for a test."""

import http.server
import json
import socket
import threading
from typing import Any, cast
from urllib.parse import parse_qsl

from tests.doubles.stripe.control import Operator
from tests.doubles.stripe.fake import FakeStripe
from tests.doubles.stripe.protocol import Answer
from tests.doubles.stripe.visits import Page, visit


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "StripeServer"

    def do_GET(self) -> None:
        """Answer a question."""
        self._serve("")

    def do_POST(self) -> None:
        """Do what is asked."""
        self._serve(self._body())

    def do_DELETE(self) -> None:
        """Take something away."""
        self._serve(self._body())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the calls are kept."""

    def _body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    def _serve(self, body: str) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/control/"):
            self._control(path.removeprefix("/control/"), body)
        elif path.startswith("/v1/"):
            self._api(path, body or query)
        else:
            form = dict(parse_qsl(body, keep_blank_values=True))
            page = visit(self.server.fake.account, self.command, path, form)
            self._page(page or Page(404, "No such page."))

    def _api(self, path: str, text: str) -> None:
        try:
            told = self.server.fake.protocol.answer(self.command, path, text, dict(self.headers))
        except Exception as error:  # noqa: BLE001 - a mistake of the fake is told, not hidden
            message = f"{type(error).__name__}: {error}"
            told = Answer(500, {"error": {"type": "api_error", "message": message}})
        if told.lost:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._write(told.status, told.text.encode(), told.headers)

    def _page(self, page: Page) -> None:
        headers = {"Content-Type": "text/html; charset=utf-8"}
        if page.location:
            headers["Location"] = page.location
        self._write(page.status, page.body.encode(), headers)

    def _control(self, name: str, body: str) -> None:
        try:
            told, status = self.server.operator.do(name, json.loads(body or "{}")), 200
        except Exception as error:  # noqa: BLE001 - the test is told whatever it was
            told, status = {"error": f"{type(error).__name__}: {error}"}, 500
        self._write(status, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _write(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True


class StripeServer(http.server.ThreadingHTTPServer):
    """Listens on loopback; many connections at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fake: FakeStripe, port: int = 0) -> None:
        self.fake = fake
        self.operator = Operator(fake)
        self._looked_at = fake.now
        super().__init__(("127.0.0.1", port), Handler)
        fake.settings.pages = self.url

    @property
    def url(self) -> str:
        """Return where it listens."""
        host, port = cast(tuple[str, int], self.server_address)
        return f"http://{host}:{port}"

    def service_actions(self) -> None:
        """Do what fell due, where the clock runs by itself."""
        fake = self.fake
        if fake.account.clock.live and fake.now != self._looked_at:
            self._looked_at = fake.now
            fake.advance_to(fake.now)

    def get_request(self) -> tuple[Any, Any]:
        """Take a connection; small answers leave at once."""
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that went away in the middle of a call."""

    def close(self) -> None:
        """Stop delivering and listening."""
        self.fake.pump.stop()
        self.shutdown()
        self.server_close()


def serve(fake: FakeStripe, port: int = 0) -> StripeServer:
    """Serve from a thread; `close()` ends it."""
    server = StripeServer(fake, port)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
