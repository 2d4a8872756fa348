"""Clients of the library: without retries, exact in numbers, markets shared by reference.

The library is loaded when the first client is made: most processes never need it.
"""

import importlib
import json
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from app.adapters.exchanges.bases import redirect
from app.adapters.exchanges.errors import Answer, RateLimitedError
from app.adapters.exchanges.keys import ApiKeys
from app.adapters.exchanges.quirks import QUIRKS
from app.adapters.exchanges.rate_broker import PATIENCE_S
from app.adapters.exchanges.traffic import Traffic

TIMEOUT_MS = 8000
MARKETS_FOR_S = 6 * 3600
# From the wish to send an order until its request is signed, the wait for a turn included. Longer:
# this process stood still, and the account may be somebody else's by now.
LONGEST_SENDING_S = PATIENCE_S + 2

_prototypes: dict[tuple[str, bool], tuple[Any, float]] = {}
_lock = threading.Lock()


def make_client(
    name: str, keys: ApiKeys | None = None, *, testnet: bool = False, partner_id: str = ""
) -> Any:
    """Make a client without markets; numbers come as text, nothing is sent twice.

    `partner_id` is the operator's own at the exchange; without one nobody's is sent.
    """
    quirks = QUIRKS[name]
    client = client_class(name)(
        {
            "timeout": TIMEOUT_MS,
            # The library's own limiter knows one object only; `traffic` knows everybody's calls.
            "enableRateLimit": False,
            "options": dict(quirks.options),
            **_credentials(keys),
        }
    )
    client.has["fetchCurrencies"] = False
    client.writes_sent = 0
    client.answer = None
    client.is_private = False
    client.sending_since = None
    client.stamp_ms = client.milliseconds()
    client.partner_id = partner_id
    client.traffic = Traffic(quirks, keys.key if keys else "", testnet=testnet)
    # A shared setting of the library's base class would reach the others: set it on the object.
    client.number = str
    if testnet:
        client.set_sandbox_mode(True)
    redirect(client, name)
    return client


def _credentials(keys: ApiKeys | None) -> dict[str, str]:
    if keys is None:
        return {}
    return {"apiKey": keys.key, "secret": keys.secret, "password": keys.passphrase}


@lru_cache(maxsize=16)
def client_class(name: str) -> type[Any]:
    """Return the library's class for an exchange, which counts what it sends and reads exactly."""
    library = importlib.import_module("ccxt")
    base: type[Any] = getattr(library, name)
    quirks = QUIRKS[name]
    header = quirks.partner_header

    def fetch2(
        self: Any, path: str, api: Any = None, method: str = "GET", params: Any = None,
        config: Any = None,
    ) -> Any:  # fmt: skip
        api, params, config = api or ["public"], params or {}, config or {}
        if method == "GET":
            # None takes away what the library would ask by itself.
            params = {name: value for name, value in params.items() if value is not None}
        cost = 1.0
        if quirks.limits.weighted:
            cost = float(self.calculate_rate_limiter_cost(api, method, path, params, config))
        self.is_private = "public" not in api
        self.traffic.enter(is_private=self.is_private, cost=cost)
        self.options["timeDifference"] = -self.traffic.clock_offset_ms()
        # The moment is taken before the last look at how long this took: if the process stands
        # still from here on, the exchange finds the request too old.
        self.stamp_ms = self.milliseconds()
        since = self.sending_since
        if since is not None and time.monotonic() - since > LONGEST_SENDING_S:
            raise RateLimitedError("exchange_rate_limited", exchange=name)
        return base.fetch2(self, path, api, method, params, config)

    def nonce(self: Any) -> Any:
        return self.stamp_ms - self.options["timeDifference"]

    def sign(self: Any, *args: Any, **named: Any) -> Any:
        request = base.sign(self, *args, **named)
        if header is not None and header in (request.get("headers") or {}):
            # The library would name itself as the partner that sent the customer.
            del request["headers"][header]
            if self.partner_id:
                request["headers"][header] = self.partner_id
        return request

    def fetch(
        self: Any, url: str, method: str = "GET", headers: Any = None, body: Any = None
    ) -> Any:
        if method != "GET":
            self.writes_sent += 1
        self.answer = None
        found = base.fetch(self, url, method, headers, body)
        # A page of a proxy with status 200 must not pass for "no orders", nor for "done".
        kinds = dict | list if method == "GET" else dict
        if not isinstance(found, kinds) or found == {}:
            raise library.BadResponse(f"{name} gave an answer that is not its own")
        if isinstance(found, dict) and not found.keys() >= quirks.envelope:
            raise library.BadResponse(f"{name} gave an answer that is not its own")
        return found

    def on_rest_response(
        self: Any,
        code: int,
        reason: str,
        url: str,
        method: str,
        headers: Any,
        body: str,
        *rest: Any,
    ) -> Any:
        self.answer = Answer(code, body)
        self.traffic.heard(code, headers or {}, body, is_private=self.is_private)
        return base.on_rest_response(self, code, reason, url, method, headers, body, *rest)

    def read_json(text: str) -> Any:
        # As text: a number that passed through a binary float is no longer what was sent.
        return json.loads(text, parse_float=str)

    own = {
        "fetch2": fetch2,
        "nonce": nonce,
        "sign": sign,
        "fetch": fetch,
        "on_rest_response": on_rest_response,
        "on_json_response": staticmethod(read_json),
    }
    return type(name, (base,), own)


def share_markets(
    client: Any, name: str, *, testnet: bool = False, load: Callable[[Any], object] | None = None
) -> None:
    """Give a client the process's one set of markets, loading it when it is absent or old."""
    client.set_markets_from_exchange(_prototype(name, testnet, load))


def reload_markets(name: str, *, load: Callable[[Any], object] | None = None) -> Any:
    """Load an exchange's markets anew for all clients that are made from now on; return a client.

    Whatever goes wrong is raised, and what was known before stays.
    """
    prototype = make_client(name)
    (load or _load)(prototype)
    with _lock:
        _prototypes[name, False] = (prototype, time.monotonic())
    return prototype


def forget_markets() -> None:
    """Drop the shared markets, so that they are loaded anew."""
    with _lock:
        _prototypes.clear()


def _prototype(name: str, testnet: bool, load: Callable[[Any], object] | None) -> Any:
    key = (name, testnet)
    with _lock:
        known = _prototypes.get(key)
        if known and time.monotonic() - known[1] < MARKETS_FOR_S:
            return known[0]
        prototype = make_client(name, testnet=testnet)
        try:
            (load or _load)(prototype)
        except Exception:  # the library raises all kinds
            if known is None:
                raise
            # Old rules are better than none; ask again at the next call.
            return known[0]
        _prototypes[key] = (prototype, time.monotonic())
        return prototype


def _load(prototype: Any) -> None:
    prototype.load_markets()
