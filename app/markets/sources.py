"""What the feed expects of a source of prices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from app.markets.catalogue import Rules


@dataclass(frozen=True, slots=True)
class MarketState:
    """A pair as the feed needs it: what it is and where it stands."""

    id: int
    exchange: str
    symbol: str
    base: str
    tick: Decimal | None
    source: str
    position: int
    last_seq: int
    last_price: Decimal | None
    last_price_at: datetime | None = None
    funding_interval_s: int | None = None


class NewPoint(NamedTuple):
    """A price to be stored; `position` is where the source stands after it.

    `funding` is the rate that falls due on contracts at it.
    """

    at: datetime
    price: Decimal
    volume: Decimal
    position: int
    funding: Decimal | None = None


class Bar(NamedTuple):
    """A candle of history, opened at a moment of the present calendar."""

    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class History:
    """What a chart shows before the first price: bars of an hour and of a minute, oldest first."""

    hours: Sequence[Bar]
    minutes: Sequence[Bar]
    position: int

    @property
    def last_price(self) -> Decimal | None:
        """Return the price at which the history ends."""
        ends = [bars[-1] for bars in (self.hours, self.minutes) if bars]
        return max(ends, key=lambda bar: bar.opened_at).close if ends else None


@dataclass(frozen=True, slots=True)
class Batch:
    """What became due: points by market, reasons why markets are stale; live sources know more.

    `rules` are read anew (None: the pair is no longer traded), `histories` came late.
    """

    points: dict[int, list[NewPoint]] = field(default_factory=dict)
    stale: dict[int, str] = field(default_factory=dict)
    rules: dict[int, Rules | None] = field(default_factory=dict)
    histories: dict[int, History] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to write."""
        return not (self.points or self.stale or self.rules or self.histories)


@dataclass(frozen=True, slots=True)
class Listing:
    """A pair that a source brings along, to be known before it can be played."""

    exchange: str
    symbol: str
    base: str
    quote: str
    kind: str
    tick: Decimal | None


class Source(Protocol):
    """Where prices come from: a generator, recordings, or exchanges."""

    name: str

    def listings(self) -> Iterable[Listing]:
        """Name pairs that must exist."""

    def covers(self, state: MarketState) -> str | None:
        """Return the identity of what is played for a pair, or None if it has no prices here."""

    def first_price(self, state: MarketState) -> Decimal | None:
        """Return the price with which a pair begins, if it is known without waiting."""

    def history(self, state: MarketState, now: datetime) -> History | None:
        """Return what was before the first price; None if there is nothing to show."""

    def stale_after_s(self, state: MarketState) -> int:
        """Return after how many seconds of silence the price of a pair is stale."""

    def restart(self) -> None:
        """Forget all pairs that play, before they are joined again after an interruption."""

    def join(self, state: MarketState, now: datetime) -> None:
        """Let a pair play on from where it stands."""

    def take(self, now: datetime) -> Batch:
        """Return what became due since the last call."""

    def next_due(self) -> datetime | None:
        """Return when the next point is due; None if none is known."""

    def notes(self) -> Mapping[str, str]:
        """Say what staff should know: skipped files, exchanges that don't answer."""

    def close(self) -> None:
        """Let go of files, threads and connections."""
