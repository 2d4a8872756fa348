"""What can go wrong between Stripe and whoever calls it."""

import threading
from dataclasses import dataclass

from tests.doubles.stripe.values import Json

WORDS = {
    429: "Too many requests. Please slow down: you can make 100 requests a second.",
    409: "There is currently another in-progress request using this Idempotent Key.",
}


@dataclass
class Fault:
    """One way in which calls go wrong.

    `path` is a part of the addresses concerned. It strikes `times` times; None: for good. With
    `acted` Stripe does what was asked before it goes wrong; with `lost` no answer comes at all.
    """

    path: str = ""
    method: str | None = None
    status: int = 500
    times: int | None = 1
    acted: bool = False
    lost: bool = False

    @property
    def body(self) -> Json:
        """Return the body of the answer."""
        if self.status == 429:
            return {
                "error": {
                    "type": "invalid_request_error", "code": "rate_limit", "message": WORDS[429],
                }
            }  # fmt: skip
        if self.status == 409:
            return {
                "error": {
                    "type": "idempotency_error",
                    "code": "idempotency_key_in_use",
                    "message": WORDS[409],
                }
            }
        message = "Sorry! There was an error while talking to one of our backends."
        return {"error": {"type": "api_error", "message": message}}


class Faults:
    """The faults that are on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Have one more."""
        with self._lock:
            self._on.append(fault)

    def clear(self) -> None:
        """Have none."""
        with self._lock:
            self._on.clear()

    def choose(self, method: str, path: str) -> Fault | None:
        """Return what strikes this call, if anything does."""
        with self._lock:
            for fault in self._on:
                if fault.times == 0 or fault.path not in path:
                    continue
                if fault.method not in {None, method}:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None
