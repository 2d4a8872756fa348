"""Signed callbacks over kept connections, at a steady rate, by one thread."""

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

SENDERS = 24
START_S = 90
WARM_UP = 50
OK = 200
BAD_REQUEST = 400
NO_ANSWER = 0


@dataclass
class Sent:
    """What came of a stretch: how long each answer took, and what was not taken."""

    took: list[float] = field(default_factory=list)
    refused: int = 0
    elapsed: float = 0

    def note(self, due: float, status: int) -> None:
        """Count an answer that has just come."""
        self.took.append(time.perf_counter() - due)
        self.refused += status != OK


def send(port: int, secret: str, raws: Sequence[bytes], rate: int) -> Sent:
    """Post the bodies at a steady rate over kept connections, which take turns.

    One thread with little to do: the processors are for those who take the callbacks.
    """
    sent, free = Sent(), deque(Line(port) for _ in range(SENDERS))
    waiting = deque(raws)
    with selectors.DefaultSelector() as selector:
        began = due = time.perf_counter() + 0.5
        while waiting or len(free) < SENDERS:
            while waiting and free and due <= time.perf_counter():
                line = free.popleft()
                if line.ask(request_of(waiting.popleft(), secret), due):
                    selector.register(line, selectors.EVENT_READ)
                else:
                    sent.note(line.due, NO_ANSWER)
                    free.append(line)
                due = began + (len(raws) - len(waiting)) / rate
            may_send = bool(waiting and free)
            pause = max(due - time.perf_counter(), 0) if may_send else float(START_S)
            came = selector.select(pause)
            for key, _events in came:
                line = cast(Line, key.fileobj)
                selector.unregister(line)
                sent.note(line.due, line.answer())
                free.append(line)
            if not came and not may_send:
                raise TimeoutError("callbacks are not answered any more")
    sent.elapsed = time.perf_counter() - began
    for line in free:
        line.close()
    return sent


def request_of(raw: bytes, secret: str | None) -> bytes:
    """Write a callback as it goes over the wire, signed now or not at all."""
    from app.adapters.payments import signing

    signature = signing.sign(secret, int(time.time()), raw) if secret else ""
    head = (
        "POST /webhooks/demo HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Demo-Signature: {signature}\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


class Line:
    """A connection to the web, opened when it is needed; one callback at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self.due = 0.0

    def fileno(self) -> int:
        """Return what a selector waits for."""
        return self._socket.fileno() if self._socket else -1

    def ask(self, request: bytes, due: float) -> bool:
        """Send a request that was due at a moment; tell whether it went out."""
        self.due = due
        try:
            self._socket = self._socket or socket.create_connection(("127.0.0.1", self._port), 30)
            self._socket.sendall(request)
        except OSError:
            self.close()
            return False
        return True

    def answer(self) -> int:
        """Read the answer that comes; return its status, or NO_ANSWER."""
        answer = b""
        try:
            while b"\r\n\r\n" not in answer:
                part = self._socket.recv(65536) if self._socket else b""
                if not part:
                    raise ConnectionError("closed")
                answer += part
        except OSError:
            self.close()
            return NO_ANSWER
        if b"connection: close" in answer.lower():
            self.close()
        return int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        """Give the connection up; the next request opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def wait_until_serving(port: int) -> None:
    """Wait until both web processes have most likely loaded the product and answer."""
    deadline, answered = time.monotonic() + START_S, 0
    while answered < WARM_UP:
        line = Line(port)
        if line.ask(request_of(b"{}", None), 0) and line.answer() == BAD_REQUEST:
            answered += 1
        elif time.monotonic() > deadline:
            raise TimeoutError("the web does not answer")
        else:
            time.sleep(0.2)
        line.close()
