"""What a rail may offer beside payments: its books, its callbacks, and how it sends them.

All are optional: a rail that has them carries them as `books`, `event_log` and `endpoints`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.adapters.payments.port import Incoming, Rail, Ref
from app.money import Money

# How an object stands, in words that our rows can be put into as well.
Figures = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in the books of a provider."""

    ref: Ref
    figures: Figures


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the books; `after` leads to the next one, None ends them."""

    entries: tuple[Entry, ...]
    after: str | None


class Books(Protocol):
    """The books of a provider, page by page. Every call has a time-out."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of objects, in the order in which they are best brought in line."""

    def page(self, kind: str, since: datetime, after: str | None) -> Page:
        """Return a page; subscriptions and invoices are all told, the rest since a moment."""

    def entry(self, ref: Ref) -> Entry | None:
        """Return how one object stands now; None if there is none."""


@dataclass(frozen=True, slots=True)
class Told:
    """A callback as the provider keeps it, and its text."""

    incoming: Incoming
    raw: bytes


@dataclass(frozen=True, slots=True)
class Missed:
    """Callbacks that were not taken, the oldest first; `last` is where the next ones begin."""

    events: tuple[Told, ...]
    last: str | None
    has_more: bool


class EventLog(Protocol):
    """The callbacks that a provider keeps for a while."""

    def missed(self, since: datetime, after: str | None, types: Sequence[str] = ()) -> Missed:
        """Return the oldest callbacks that were not taken, behind the one called `after`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a provider sends to an address: whether at all, and which callbacks are missing."""

    is_on: bool
    missing: tuple[str, ...]
    # In which it is told, where these are not the one that we speak; they are understood too.
    other_versions: tuple[str, ...]


class Endpoints(Protocol):
    """The settings of a provider by which it sends callbacks."""

    def endpoint(self, url: str) -> Endpoint:
        """Return what is sent to an address."""


def sum_figures(money: Money) -> dict[str, str]:
    """Put a sum into figures, in minor units' digits so that equal sums are equal words."""
    return {"amount": str(money.rounded().amount), "currency": money.currency}


def books_of(rail: Rail) -> Books | None:
    """Return the books of a rail, if it shows them."""
    books: Books | None = getattr(rail, "books", None)
    return books


def endpoints_of(rail: Rail) -> Endpoints | None:
    """Return the settings by which a rail sends callbacks, if it shows them."""
    endpoints: Endpoints | None = getattr(rail, "endpoints", None)
    return endpoints


def event_log_of(rail: Rail) -> EventLog | None:
    """Return the callbacks that a rail keeps, if it does."""
    log: EventLog | None = getattr(rail, "event_log", None)
    return log
