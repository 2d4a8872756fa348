"""The tree of domain errors: a code and values, never text for people.

The shells turn a code into a sentence in the reader's language (`app.i18n.describe`); `app.web`
turns the class into an HTTP status.
"""

from collections.abc import Mapping
from typing import Any


class DomainError(Exception):
    """A request that the rules of the product refuse; the caller did nothing half-way."""

    def __init__(self, code: str, *, field: str | None = None, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.values: Mapping[str, Any] = values

    def __str__(self) -> str:
        details = ", ".join(f"{name}={value}" for name, value in self.values.items())
        place = f" [{self.field}]" if self.field else ""
        return f"{self.code}{place}" + (f" ({details})" if details else "")


class InvalidInput(DomainError):
    """A value is wrong: name the field and let the person correct it."""


class NotFound(DomainError):
    """There is no such thing, or it belongs to somebody else: answer as if it did not exist."""


class Forbidden(DomainError):
    """The person is known and may not do this."""


class Conflict(DomainError):
    """The thing is in a state in which this can't be done: show the state and what is possible."""


class LimitReached(DomainError):
    """The plan's limit is used up: name the plan that allows more."""


class TooManyTries(DomainError):
    """Too often in too short a time: `retry_after` says how many seconds to wait."""


class Unavailable(DomainError):
    """Something outside does not answer now: say so, keep what was typed, and try again later."""


class ConfigError(DomainError):
    """The environment is incomplete or unsafe: refuse to start and name the variable."""
