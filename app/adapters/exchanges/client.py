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
from app.adapters.exchanges.keys import ApiKeys
from app.adapters.exchanges.quirks import QUIRKS

TIMEOUT_MS = 8000
MARKETS_FOR_S = 6 * 3600

_prototypes: dict[tuple[str, bool], tuple[Any, float]] = {}
_lock = threading.Lock()


def make_client(name: str, keys: ApiKeys | None = None, *, testnet: bool = False) -> Any:
    """Make a client without markets; numbers come as text, nothing is sent twice."""
    quirks = QUIRKS[name]
    client = client_class(name)(
        {
            "timeout": TIMEOUT_MS,
            "enableRateLimit": True,
            "options": dict(quirks.options),
            **_credentials(keys),
        }
    )
    client.has["fetchCurrencies"] = False
    client.writes_sent = 0
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
    envelope = QUIRKS[name].envelope

    def fetch(
        self: Any, url: str, method: str = "GET", headers: Any = None, body: Any = None
    ) -> Any:
        if method != "GET":
            self.writes_sent += 1
        answer = base.fetch(self, url, method, headers, body)
        # A page of a proxy with status 200 must not pass for "no orders".
        if not isinstance(answer, dict | list) or answer == {}:
            raise library.BadResponse(f"{name} gave an answer that is not its own")
        if isinstance(answer, dict) and not answer.keys() >= envelope:
            raise library.BadResponse(f"{name} gave an answer that is not its own")
        return answer

    def read_json(text: str) -> Any:
        # As text: a number that passed through a binary float is no longer what was sent.
        return json.loads(text, parse_float=str)

    return type(name, (base,), {"fetch": fetch, "on_json_response": staticmethod(read_json)})


def share_markets(
    client: Any, name: str, *, testnet: bool = False, load: Callable[[Any], object] | None = None
) -> None:
    """Give a client the process's one set of markets, loading it when it is absent or old."""
    client.set_markets_from_exchange(_prototype(name, testnet, load))


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
