"""Webhooks: signing, the endpoints, and a pump that delivers as badly as it is told to."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests
import stripe

from tests.doubles.stripe.account import Account, Note
from tests.doubles.stripe.values import Json

Target = str | Callable[[bytes, dict[str, str]], int]
TIMEOUT_S = 30
LONGEST_WAIT_S = 30.0


def signed(
    body: bytes | str | Json, secrets: Sequence[str], timestamp: int | None = None
) -> tuple[bytes, dict[str, str]]:
    """Return a body and its headers, signed by each secret at the real present second."""
    if isinstance(body, dict):
        body = json.dumps(body, indent=2)
    text = body.decode() if isinstance(body, bytes) else body
    at = int(time.time()) if timestamp is None else timestamp
    marks = [
        stripe.WebhookSignature.generate_signature_header(text, secret, at).split(",", 1)[1]
        for secret in secrets
    ]
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": ",".join([f"t={at}", *marks]),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    return text.encode(), headers


@dataclass
class Endpoint:
    """Where events go; several secrets while one is being rolled."""

    target: Target
    secrets: list[str]
    types: frozenset[str] | None = None
    alive: Callable[[], bool] = lambda: True

    def wants(self, kind: str) -> bool:
        """Tell whether it listens to a type."""
        return (self.types is None or kind in self.types) and self.alive()

    def send(self, body: str | Json) -> int:
        """Deliver one body; return the status, 0 if there was no answer."""
        raw, headers = signed(body, self.secrets)
        try:
            if callable(self.target):
                return self.target(raw, headers)
            answer = requests.post(
                self.target, data=raw, headers=headers, timeout=TIMEOUT_S, allow_redirects=False
            )
        except (OSError, requests.RequestException):
            return 0
        return answer.status_code


@dataclass(frozen=True)
class Delivery:
    """One try to deliver an event."""

    event: Json
    endpoint: Endpoint
    status: int

    @property
    def ok(self) -> bool:
        """Tell whether the endpoint took it."""
        return 200 <= self.status < 300


class Pump:
    """Delivers the account's events to its endpoints."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.endpoints: list[Endpoint] = []
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def pending(self, *, dropped: bool = False) -> list[Note]:
        """Return the events that are not delivered yet, oldest first."""
        with self._account.lock:
            return [
                note
                for note in self._account.notes
                if not note.delivered and (dropped or not note.dropped)
            ]

    def deliver(
        self,
        *,
        shuffle: int | None = None,
        duplicate: int = 1,
        drop: Callable[[Json], bool] | None = None,
        parallel: int = 1,
        delay_s: float = 0.0,
        retry_dropped: bool = False,
    ) -> list[Delivery]:
        """Deliver what is pending; what fails stays pending, what is dropped is not tried again."""
        notes = []
        for note in self.pending(dropped=retry_dropped):
            if drop is not None and drop(note.event):
                note.dropped = True
            else:
                notes.append(note)
        work = [note for note in notes for _ in range(duplicate)]
        if shuffle is not None:
            random.Random(shuffle).shuffle(work)
        return self._run(work, parallel, delay_s)

    def _run(self, work: Iterable[Note], parallel: int, delay_s: float) -> list[Delivery]:
        def one(note: Note) -> list[Delivery]:
            if delay_s:
                time.sleep(delay_s)
            return self._deliver(note)

        if parallel <= 1:
            return [each for note in work for each in one(note)]
        with ThreadPoolExecutor(parallel) as pool:
            return [each for told in pool.map(one, work) for each in told]

    def _deliver(self, note: Note) -> list[Delivery]:
        told = [
            Delivery(note.event, endpoint, endpoint.send(note.body))
            for endpoint in list(self.endpoints)
            if endpoint.wants(note.type)
        ]
        # Once taken it stays taken, whatever becomes of a repetition.
        note.delivered = note.delivered or all(each.ok for each in told)
        note.dropped = False
        return told

    def send(self, event: str | Json) -> list[Delivery]:
        """Deliver one event, or a changed copy of one, whatever was delivered before."""
        body = event if isinstance(event, str) else json.dumps(event, indent=2)
        shown: Json = json.loads(body)
        return [Delivery(shown, endpoint, endpoint.send(body)) for endpoint in list(self.endpoints)]

    def start(self, first_wait_s: float = 0.5) -> None:
        """Deliver by itself from now on, again and again what fails."""
        self._account.listeners.append(lambda note: self._woken.set())
        self._thread = threading.Thread(target=self._loop, args=(first_wait_s,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Deliver no more by itself."""
        self._stop.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(TIMEOUT_S)

    def _loop(self, first_wait_s: float) -> None:
        wait_s = first_wait_s
        while not self._stop.is_set():
            self._woken.wait(wait_s)
            self._woken.clear()
            done = self.deliver()
            failed = any(not each.ok for each in done)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S) if failed else first_wait_s
