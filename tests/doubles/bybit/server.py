"""The HTTP server of the stand-in: v5 for the product, /control for the test."""

import http.server
import json
import random
import socket
import threading
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import Any, cast

from tests.doubles.bybit import faults as wrong
from tests.doubles.bybit.faults import Faults, Struck
from tests.doubles.bybit.operator import Operator
from tests.doubles.bybit.protocol import Answer, Request, answer, refused
from tests.doubles.bybit.venue import Venue

PAGE = b"<!DOCTYPE html><html><body><h1>Please wait while we check your browser</h1></body></html>"
SHORT_STOP_S = 0.3
MESSAGES = {
    10000: "Server Timeout",
    10002: "invalid request, please check your server timestamp or recv_window param.",
    10006: "Too many visits. Exceeded the API Rate Limit.",
    10016: "Internal System Error.",
    110007: "ab not enough for new order",
    170007: "Timeout waiting for response from backend server.",
}


class Limits:
    """How many calls each key may make to each address in a second; told in every answer."""

    def __init__(self) -> None:
        self.per_second: dict[str, int] = {}
        self.usual = 1_000_000
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def take(self, account: str, path: str) -> tuple[int, int, float]:
        """Count a call; return the limit, what is left of it (below 0: too many), and its end."""
        limit = next((n for part, n in self.per_second.items() if part in path), self.usual)
        now = time.time()
        with self._lock:
            calls = self._calls[account, path]
            while calls and calls[0] <= now - 1:
                calls.popleft()
            left = limit - len(calls) - 1
            if left >= 0:
                calls.append(now)
            return limit, left, (calls[0] if calls else now) + 1


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection; answers are written at once, so that none waits for the other half."""

    protocol_version = "HTTP/1.1"
    server: "DoubleServer"

    def do_GET(self) -> None:
        """Answer a question."""
        self._serve("")

    def do_POST(self) -> None:
        """Do what is asked."""
        length = int(self.headers.get("Content-Length") or 0)
        self._serve(self.rfile.read(length).decode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the journal has it all."""

    def _serve(self, body: str) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/control/"):
            self._control(path.removeprefix("/control/"), body)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, body, headers)
        self.server.note(request)
        struck = self.server.faults.choose(path, request.account)
        if struck is None:
            self._write(200, json.dumps(self._act(request)).encode())
        else:
            self._spoil(request, struck)

    def _act(self, request: Request) -> Answer:
        limit, left, self._limit_ends = self.server.limits.take(request.account, request.path)
        self._limit, self._left = limit, left
        if left < 0:
            return refused(self.server.venue, 10006, MESSAGES[10006])
        return answer(self.server.venue, request)

    def _spoil(self, request: Request, struck: Struck) -> None:
        fault, venue = struck.fault, self.server.venue
        if fault.kind == wrong.FORGET:
            with venue.hiding_orders(fault.ms):
                told = self._act(request)
            self._write(200, json.dumps(told).encode())
            return
        told = self._act(request) if struck.acts else refused(venue, 10000, "not reached")
        if fault.kind == wrong.TWICE and told["retCode"] == 0:
            # The same request arrived once more: it is known, even if its order is filled already.
            told = refused(venue, venue.habits.duplicate_code, "OrderLinkedID is duplicate")
        if fault.ms:
            time.sleep(fault.ms / 1000)
        # Whoever believes that a limit was exceeded is told to wait for a moment only.
        self._limit_ends = time.time() + SHORT_STOP_S
        right = json.dumps(told).encode()
        if fault.kind == wrong.LOST:
            self._hang_up()
        elif fault.kind == wrong.ANSWER_TWICE:
            self._write(200, right, times=2)
        elif fault.kind == wrong.CODE:
            text = MESSAGES.get(fault.code, "error")
            self._write(200, json.dumps(refused(venue, fault.code, text)).encode())
        elif fault.kind == wrong.HTTP:
            self._write(fault.status, PAGE, kind="text/html")
        elif fault.kind == wrong.HTML:
            self._write(200, PAGE, kind="text/html")
        elif fault.kind == wrong.GARBAGE:
            self._write(200, random.Random(len(right)).randbytes(200))
        elif fault.kind == wrong.TRUNCATED:
            self._write(200, right[: len(right) // 2])
        elif fault.kind == wrong.DROPPED:
            self._write(200, right[: len(right) // 2], promised=len(right))
            self._hang_up()
        else:
            self._write(200, right)

    def _control(self, name: str, body: str) -> None:
        try:
            told = self.server.operator.do(name, json.loads(body or "{}"))
            status = 200
        except Exception as error:  # noqa: BLE001 - the test is told whatever it was
            told, status = {"error": f"{type(error).__name__}: {error}"}, 500
        self._write(status, json.dumps(told).encode())

    def _write(
        self,
        status: int,
        content: bytes,
        *,
        kind: str = "application/json",
        promised: int | None = None,
        times: int = 1,
    ) -> None:
        head = (
            f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(content) if promised is None else promised}\r\n"
            f"X-Bapi-Limit: {getattr(self, '_limit', 0)}\r\n"
            f"X-Bapi-Limit-Status: {max(0, getattr(self, '_left', 0))}\r\n"
            "X-Bapi-Limit-Reset-Timestamp:"
            f" {round(getattr(self, '_limit_ends', time.time()) * 1000)}\r\n\r\n"
        )
        try:
            self.wfile.write((head.encode() + content) * times)
        except OSError:
            self.close_connection = True

    def _hang_up(self) -> None:
        self.close_connection = True
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


class DoubleServer(http.server.ThreadingHTTPServer):
    """Listens on a port of its own choice on loopback; many connections at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, venue: Venue, port: int = 0, seed: int = 0) -> None:
        self.venue = venue
        self.faults = Faults(seed)
        self.limits = Limits()
        self.operator = Operator(venue, self.faults, self.limits)
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        """Return where it listens."""
        host, port = cast(tuple[str, int], self.server_address)
        return f"http://{host}:{port}"

    def server_close(self) -> None:
        """Close the door and the journal."""
        super().server_close()
        self.venue.journal.close()

    def operator_hand(self) -> "Hand":
        """Return a hand on the books for tests in this very process."""
        return Hand(self.operator)

    def get_request(self) -> tuple[Any, Any]:
        """Take a connection; small answers leave at once."""
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that were killed in the middle of a call."""

    def note(self, request: Request) -> None:
        """Count a call."""
        kind = "private" if request.account else "public"
        self.venue.count(f"{kind} calls")
        self.operator.calls[f"{request.method} {request.path}"] += 1


class Hand:
    """What `control.Control` is for a server in another process."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def do(self, name: str, **values: Any) -> Any:
        """Do one thing by its name."""
        return self._operator.do(name, values)


def serve(venue: Venue, port: int = 0, seed: int = 0) -> DoubleServer:
    """Serve from a thread; `shutdown()` and `server_close()` end it."""
    server = DoubleServer(venue, port, seed)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def open_venue(journal: Path | None, seed: int = 0) -> Venue:
    """Open the books, reading back what a former process wrote."""
    return Venue(journal=journal, seed=seed)
