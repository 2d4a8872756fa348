"""The border of errors: what an exchange's failure proves about an order, and what we raise.

Sendings end in one of three outcomes of `app.trading.ports`, never in an error of the library:

- `Accepted`: the exchange has the order.
- `Refused`: it certainly has not placed it. Only an allow-list proves that: our own refusal before
  anything was sent, a connection that never stood, and codes that mean a refusal (`Action`).
- `Unresolved`: everything else: time-outs, 5xx, rate limits, garbled, cut or unknown answers.

Reads raise an error of the tree below; each class says what its caller should do.
"""

import importlib
import json
import re
from typing import Any, NamedTuple

from app.adapters.exchanges.quirks import Quirks
from app.adapters.exchanges.quirks.kinds import PROVES_REFUSAL, Action
from app.errors import DomainError, Unavailable
from app.trading.ports import Accepted, Outcome, Refused, Unresolved

DETAIL_LENGTH = 200
_NEVER_CONNECTED = {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}
_DUPLICATE = re.compile(r"duplicate|duplicated|already exist", re.IGNORECASE)
_QUERY = re.compile(r"\?\S+")
_CODE_NAMES = ("retCode", "code", "sCode", "ret_code")
# A whole request of several orders that failed in parts: the parts tell why.
_PARTS_TELL = frozenset({"1", "2"})
_SERVER_ERROR = 500


class Answer(NamedTuple):
    """What came back over the network, before the library made anything of it."""

    status: int
    body: str


class ExchangeError(Unavailable):
    """The exchange did not tell: assume nothing, and look again at the next tick."""


class UnreachableError(ExchangeError):
    """No answer came: show old data as old and try again after a growing pause."""


class RateLimitedError(ExchangeError):
    """Too many calls: wait, as long as `retry_after_s` if it is told. From a sending: not sent."""


class ClockDiffersError(ExchangeError):
    """The exchange does not believe our clock: measure it anew, then ask once more."""


class KeyRefusedError(ExchangeError):
    """The exchange does not take the key: pause what uses it and tell its owner."""


class AccountUnfitError(ExchangeError):
    """The account is set up so that a bot may not trade there: tell its owner what to change."""


class VenueClosedError(ExchangeError):
    """The pair or the platform is closed: leave its bots waiting and try again slowly."""


_READ_ERRORS: dict[Action, tuple[type[ExchangeError], str]] = {
    Action.STOP: (KeyRefusedError, "exchange_key_refused"),
    Action.CLOCK: (ClockDiffersError, "exchange_clock_differs"),
    Action.BACKOFF: (RateLimitedError, "exchange_rate_limited"),
    Action.VENUE: (VenueClosedError, "exchange_closed"),
}
# What the library's own classes mean where no code is known.
_CLASSES: tuple[tuple[str, Action], ...] = (
    ("InsufficientFunds", Action.FUNDS),
    ("AuthenticationError", Action.STOP),
    ("InvalidNonce", Action.CLOCK),
    ("DuplicateOrderId", Action.DUPLICATE),
)
_LIMITED = ("RateLimitExceeded", "DDoSProtection")
_REFUSAL_CODES = {
    Action.FUNDS: "insufficient_balance",
    Action.STOP: "key_refused",
    Action.VENUE: "exchange_closed",
    Action.CLOCK: "clock_differs",
}


def outcome_of(
    error: Exception, quirks: Quirks, *, sent: bool, answer: Answer | None = None
) -> Outcome:
    """Say what a failed sending proves about the order."""
    detail = describe(error)
    if not sent:
        return Refused("not_sent", detail)
    if never_connected(error):
        return Refused("not_connected", detail)
    action = action_of(error, quirks, answer)
    if action is Action.DUPLICATE:
        return Refused("duplicate_client_id", detail)
    codes = sorted(codes_of(error, answer) - _PARTS_TELL)
    # Without a code it may be the page of some proxy, which proves nothing.
    too_late = action is Action.GONE and set(codes) <= quirks.refused_when_placing
    if codes and (action in PROVES_REFUSAL or too_late):
        code = "nothing_to_close" if too_late else _refusal(action, codes)
        return Refused(code, detail, bool(quirks.misfits & set(codes)))
    return Unresolved(detail)


def cancel_outcome_of(
    error: Exception, quirks: Quirks, *, sent: bool, answer: Answer | None = None
) -> Outcome:
    """Say what a failed cancellation proves; an order that is gone already is as wanted."""
    if action_of(error, quirks, answer) in {Action.GONE, Action.NOOP}:
        return Accepted()
    return outcome_of(error, quirks, sent=sent, answer=answer)


def action_of(error: Exception, quirks: Quirks, answer: Answer | None = None) -> Action:
    """Return what the exchange's table says about a failure; UNKNOWN unless all of it agrees."""
    if answer is not None and answer.status >= _SERVER_ERROR:
        return Action.UNKNOWN
    by_words = _by_words(_told(error, answer), quirks)
    if by_words is not None:
        return by_words
    found = {
        quirks.actions.get(code, Action.UNKNOWN) for code in codes_of(error, answer) - _PARTS_TELL
    }
    if found:
        return _narrowed(found.pop(), error) if len(found) == 1 else Action.UNKNOWN
    if answer is not None and str(answer.status) in quirks.actions:
        return quirks.actions[str(answer.status)]
    if _is_a(error, *_LIMITED):
        return Action.BACKOFF
    return next((action for name, action in _CLASSES if _is_a(error, name)), Action.UNKNOWN)


def _by_words(text: str, quirks: Quirks) -> Action | None:
    # The exchange has this id already: perhaps by our own sending whose answer was lost.
    if _DUPLICATE.search(text):
        return Action.DUPLICATE
    lowered = text.lower()
    return next((action for words, action in quirks.words.items() if words in lowered), None)


def _narrowed(action: Action, error: Exception) -> Action:
    # The library reads the words beside a code that stands for several refusals.
    return Action.FUNDS if action is Action.FIX and _is_a(error, "InsufficientFunds") else action


def is_absent(error: Exception, quirks: Quirks, answer: Answer | None = None) -> bool:
    """Say whether the exchange answered that there is no such order."""
    if answer is not None and answer.status >= _SERVER_ERROR:
        return False
    if codes_of(error, answer) & quirks.absent:
        return True
    return _is_a(error, "OrderNotFound") and action_of(error, quirks, answer) is Action.GONE


def read_error(error: Exception, quirks: Quirks, answer: Answer | None = None) -> DomainError:
    """Turn the failure of a reading call into what the rest of the house understands."""
    if isinstance(error, DomainError):
        return error
    kind, code = _READ_ERRORS.get(
        action_of(error, quirks, answer), (ExchangeError, "exchange_failed")
    )
    if kind is ExchangeError and _is_a(error, *_LIMITED):
        kind, code = RateLimitedError, "exchange_rate_limited"
    elif kind is ExchangeError and _is_a(error, "NetworkError"):
        kind, code = UnreachableError, "exchange_unreachable"
    return kind(code, exchange=quirks.code)


def codes_of(error: Exception, answer: Answer | None = None) -> frozenset[str]:
    """Return every error code in the exchange's answer, which the library may quote."""
    text = _told(error, answer)
    start = text.find("{")
    if start < 0:
        return frozenset()
    try:
        body = json.loads(text[start:])
    except (ValueError, RecursionError):
        return frozenset()
    return frozenset(_codes(body))


def _told(error: Exception, answer: Answer | None) -> str:
    return str(error) if answer is None else answer.body


def _codes(body: Any) -> list[str]:
    if isinstance(body, list):
        return [code for part in body for code in _codes(part)]
    if not isinstance(body, dict):
        return []
    found = [str(body[name]) for name in _CODE_NAMES if body.get(name) not in (None, "")]
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


def _refusal(action: Action, codes: list[str]) -> str:
    known = _REFUSAL_CODES.get(action)
    if known is not None:
        return known
    return f"exchange_{codes[0]}" if codes else "exchange_refused"


def _is_a(error: Exception, *names: str) -> bool:
    library = importlib.import_module("ccxt")
    return isinstance(error, tuple(getattr(library, name) for name in names))
