"""The border of errors: what an exchange's failure proves about an order, and what we raise.

Only an allow-list proves that nothing was placed: our own refusal before anything was sent, a
connection that never stood, and codes that the exchange uses for refusals only. Everything else
leaves the order unresolved: time-outs, 5xx, rate limits, garbled or unknown answers.
"""

import importlib
import json
import re
from typing import Any

from app.adapters.exchanges.quirks import Quirks
from app.errors import DomainError, Unavailable
from app.trading.ports import Accepted, Outcome, Refused, Unresolved

DETAIL_LENGTH = 200
_NEVER_CONNECTED = {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}
_DUPLICATE = re.compile(r"duplicate|duplicated|already exist", re.IGNORECASE)
_QUERY = re.compile(r"\?\S+")
_CODE_NAMES = ("retCode", "code", "sCode", "ret_code")


class KeyRefusedError(Unavailable):
    """The exchange does not take the key: pause what uses it and tell its owner."""


def outcome_of(error: Exception, quirks: Quirks, *, sent: bool) -> Outcome:
    """Say what a failed sending proves about the order."""
    detail = describe(error)
    if not sent:
        return Refused("not_sent", detail)
    if never_connected(error):
        return Refused("not_connected", detail)
    codes = codes_of(error)
    # The venue has this id already: perhaps by our own sending whose answer was lost.
    if _DUPLICATE.search(str(error)):
        return Unresolved(detail)
    refusing = sorted(codes & quirks.refused)
    if refusing and codes <= quirks.refused | {"1", "2"}:
        return Refused(_meaning(error, refusing[0]), detail)
    if not codes and _is_a(error, "InsufficientFunds", "AuthenticationError"):
        return Refused(_meaning(error, ""), detail)
    return Unresolved(detail)


def cancel_outcome_of(error: Exception, quirks: Quirks, *, sent: bool) -> Outcome:
    """Say what a failed cancellation proves; an order that is gone already is as wanted."""
    codes = codes_of(error)
    if _is_a(error, "OrderNotFound") or codes & quirks.gone or _says_gone(error, quirks):
        return Accepted()
    return outcome_of(error, quirks, sent=sent)


def is_absent(error: Exception, quirks: Quirks) -> bool:
    """Say whether the exchange answered that there is no such order."""
    return _is_a(error, "OrderNotFound") or bool(codes_of(error) & quirks.absent)


def read_error(error: Exception, quirks: Quirks) -> DomainError:
    """Turn the failure of a reading call into what the rest of the house understands."""
    if _is_a(error, "AuthenticationError"):
        return KeyRefusedError("exchange_key_refused", exchange=quirks.code)
    if codes_of(error) & _KEY_CODES.get(quirks.code, frozenset()):
        return KeyRefusedError("exchange_key_refused", exchange=quirks.code)
    if _is_a(error, "InvalidNonce"):
        return Unavailable("exchange_clock_differs", exchange=quirks.code)
    if _is_a(error, "RateLimitExceeded", "DDoSProtection"):
        return Unavailable("exchange_rate_limited", exchange=quirks.code)
    if _is_a(error, "NetworkError"):
        return Unavailable("exchange_unreachable", exchange=quirks.code)
    return Unavailable("exchange_failed", exchange=quirks.code)


# Exchanges whose answers about keys the library does not sort with the others.
_KEY_CODES = {"mexc": frozenset(["602", "10072", "700001", "700002", "700005", "700006", "700007"])}


def codes_of(error: Exception) -> frozenset[str]:
    """Return every error code in the exchange's answer, which the library quotes in its message."""
    text = str(error)
    start = text.find("{")
    if start < 0:
        return frozenset()
    try:
        body = json.loads(text[start:])
    except ValueError:
        return frozenset()
    return frozenset(_codes(body))


def _codes(body: Any) -> list[str]:
    if isinstance(body, list):
        return [code for part in body for code in _codes(part)]
    if not isinstance(body, dict):
        return []
    found = [str(body[name]) for name in _CODE_NAMES if body.get(name) not in {None, ""}]
    inner = body.get("data") or []
    return found + (_codes(inner) if isinstance(inner, list | dict) else [])


def never_connected(error: BaseException) -> bool:
    """Say whether the failure lies before any byte could be sent."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if type(one).__name__ in _NEVER_CONNECTED:
            return True
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return False


def describe(error: Exception) -> str:
    """Return the class and the start of the message, without the query of an address.

    Queries hold signatures and, at some exchanges, the key.
    """
    text = _QUERY.sub("?...", str(error))
    return f"{type(error).__name__}: {text}"[:DETAIL_LENGTH]


def _meaning(error: Exception, code: str) -> str:
    if _is_a(error, "InsufficientFunds"):
        return "insufficient_balance"
    if _is_a(error, "AuthenticationError"):
        return "key_refused"
    return f"exchange_{code}" if code else "exchange_refused"


def _says_gone(error: Exception, quirks: Quirks) -> bool:
    # KuCoin has one code for many complaints; its words tell them apart.
    return any(
        code.partition("-")[2] and code.partition("-")[2] in str(error) for code in quirks.gone
    )


def _is_a(error: Exception, *names: str) -> bool:
    library = importlib.import_module("ccxt")
    return isinstance(error, tuple(getattr(library, name) for name in names))
