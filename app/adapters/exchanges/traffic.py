"""The calls of one client: asked for beforehand, counted, their answers read for limits."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app.adapters.exchanges.clock import Clocks, measure
from app.adapters.exchanges.quirks.kinds import Action, Lane, Quirks, Scope
from app.adapters.exchanges.rate_broker import Broker, Caller, NoBroker, account_name

_CODE = re.compile(r'"(?:retCode|code|sCode)"\s*:\s*"?(-?\d+)')
# The code stands at the beginning; longer answers are not searched to their end.
_SEARCHED = 400
_OK = 400
LONGEST_STOP_S = 900.0
# What a code means that says nothing about a limit, although the status does.
_NOT_LIMITS = frozenset(Action) - {Action.BACKOFF, Action.UNKNOWN}


class _Network:
    """What all clients of this process share."""

    broker: Broker = NoBroker()
    clocks: Clocks = Clocks(None)
    address: str = "shared"


def use_network(broker: Broker, clocks: Clocks, address: str = "shared") -> None:
    """Send all calls from now on through this broker; `address` is ours as exchanges see it."""
    _Network.broker, _Network.clocks, _Network.address = broker, clocks, address


def network() -> tuple[Broker, Clocks, str]:
    """Return what `use_network` set."""
    return _Network.broker, _Network.clocks, _Network.address


class CallCounter:
    """How many calls this process has made, by exchange and kind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, exchange: str, kind: str) -> None:
        """Count one call."""
        with self._lock:
            self._counts[exchange, kind] += 1

    def totals(self) -> dict[tuple[str, str], int]:
        """Return the calls so far: (exchange, "private" or "public") and how many."""
        with self._lock:
            return dict(self._counts)


calls = CallCounter()


class Traffic:
    """Stands between a client and the network."""

    def __init__(self, quirks: Quirks, key: str, *, testnet: bool) -> None:
        self._quirks = quirks
        self._account = account_name(key)
        self._site = f"{quirks.code}:test" if testnet else quirks.code
        self._suffix = ":test" if testnet else ""
        self._lane = Lane.READ

    @contextmanager
    def lane(self, lane: Lane) -> Iterator[None]:
        """Make the calls inside as calls of this kind."""
        before, self._lane = self._lane, lane
        try:
            yield
        finally:
            self._lane = before

    def enter(self, *, is_private: bool, cost: float) -> None:
        """Wait until the call may be made, and count it; raise RateLimitedError."""
        _Network.broker.acquire(self._caller(is_private), self._lane, cost)
        calls.add(self._quirks.code, "private" if is_private else "public")

    def clock_offset_ms(self) -> int:
        """Return how far the exchange's clock is ahead of ours."""
        return _Network.clocks.offset_ms(self._site)

    def set_clock(self, ask: Callable[[], Any], tries: int = 1) -> None:
        """Measure the exchange's clock anew; raise what the asking raises."""
        _Network.clocks.keep(self._site, measure(ask, tries=tries))

    def heard(
        self, status: int, headers: Mapping[str, str], body: str, *, is_private: bool
    ) -> None:
        """Learn from an answer how much is left, and whether a limit was exceeded."""
        told = {name.lower(): value for name, value in headers.items()}
        caller, limits = self._caller(is_private), self._quirks.limits
        for used in limits.used:
            value = _number(told.get(used.name))
            if value is None or used.lane not in {None, self._lane}:
                continue
            if used.scope is Scope.ACCOUNT and not is_private:
                continue
            rate = limits.address if used.scope is Scope.ADDRESS else limits.account[self._lane]
            left = value if used.tells_left else rate.units - value
            if left < rate.units:
                _Network.broker.correct(caller, used.scope, self._lane, left, 0.0)
        stop = self._stop(status, told, body)
        if stop is not None:
            # An account's limit is one of its kind of call, an address stops as a whole.
            _Network.broker.correct(caller, stop[0], self._lane, None, stop[1])

    def _stop(self, status: int, told: Mapping[str, str], body: str) -> tuple[Scope, float] | None:
        quirks = self._quirks
        match = _CODE.search(body[:_SEARCHED])
        code = match.group(1) if match else ""
        if quirks.actions.get(code) in _NOT_LIMITS:
            return None
        names = [code, str(status)] if status >= _OK else [code]
        tables = (
            (Scope.ADDRESS, quirks.address_limits), (Scope.ACCOUNT, quirks.account_limits),
        )  # fmt: skip
        for name in names:
            for scope, table in tables:
                if name in table:
                    seconds = self._told_seconds(told) or table[name]
                    return scope, min(max(seconds, 0.05), LONGEST_STOP_S)
        return None

    def _told_seconds(self, told: Mapping[str, str]) -> float | None:
        limits = self._quirks.limits
        retry = _number(told.get("retry-after"))
        if retry is not None and retry > 0:
            return retry
        reset_at = _number(told.get(limits.reset_at_header)) if limits.reset_at_header else None
        if reset_at is not None:
            left = reset_at / 1000 - time.time() - self.clock_offset_ms() / 1000
            return left if left > 0 else None
        reset_in = _number(told.get(limits.reset_in_header)) if limits.reset_in_header else None
        return reset_in / 1000 if reset_in else None

    def _caller(self, is_private: bool) -> Caller:
        # The test site counts apart.
        address = f"{_Network.address}{self._suffix}"
        return Caller(self._quirks, address, self._account if is_private else "")


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    # Also not a number at all.
    return value if value is not None and 0 <= value < 1e15 else None  # noqa: PLR2004
