"""A made-up market that is the same for the same seed: it wanders, and comes back.

A price is a sum of smooth noises of different lengths, each between fixed random values, so any
step can be computed without those before it and the price never runs away. All of it is done in
whole numbers: the same on every machine.
"""

import hashlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from app.markets.catalogue import BASE_PRICES
from app.markets.sources import Bar, Batch, History, Listing, MarketState, NewPoint
from app.trading.funding import times_between, usual_rate

STEP = timedelta(seconds=1)
# A feed that slept longer than this goes on from now instead of catching up.
MOST_BEHIND = timedelta(seconds=5)
STALE_AFTER_S = 60
HISTORY_HOURS = 90 * 24
HISTORY_MINUTES = 24 * 60
_HOUR_SAMPLES, _MINUTE_SAMPLES = 4, 4

PART = 10**9
# Length of a noise in steps, and how far it moves the price, in parts of PART.
_NOISES = (
    (3, 500_000),
    (11, 1_300_000),
    (37, 3_400_000),
    (121, 7_500_000),
    (409, 9_000_000),
    (1_499, 9_000_000),
    (5_501, 10_000_000),
    (21_701, 12_000_000),
    (86_413, 18_000_000),
    (523_007, 25_000_000),
)
_SMOOTH = 1 << 20
_64_BITS = (1 << 64) - 1
DEFAULT_PRICE = Decimal(10)
DEFAULT_TICK = Decimal("0.0001")


class Walk:
    """The movement of one pair, the same at every exchange."""

    def __init__(self, seed: int, symbol: str) -> None:
        name = f"{seed}|{symbol}".encode()
        digest = hashlib.blake2b(name, digest_size=64, person=b"prices").digest()
        volume = hashlib.blake2b(name, digest_size=8, person=b"volume").digest()
        keys = [
            int.from_bytes(digest[at : at + 8]) + number
            for number, at in enumerate((0, 8, 16, 24, 32, 40, 48, 56, 4, 12))
        ]
        # Each begins at a place of its own: where all pieces meet, the price would stand still.
        self._noises = [
            (length, reach, key % length, key)
            for (length, reach), key in zip(_NOISES, keys, strict=True)
        ]
        self._volume_key = int.from_bytes(volume)
        self._corners: list[tuple[int | None, int, int]] = [(None, 0, 0)] * len(_NOISES)

    def at(self, step: int) -> int:
        """Return how far the price is from its base at a step, in parts of PART."""
        total = 0
        for number, (length, reach, phase, key) in enumerate(self._noises):
            index, place = divmod(step + phase, length)
            known, before, after = self._corners[number]
            if known != index:
                before, after = _corner(key, index), _corner(key, index + 1)
                self._corners[number] = (index, before, after)
            along = place * _SMOOTH // length
            # 3t² - 2t³: no corners where two pieces meet.
            eased = (along * along * (3 * _SMOOTH - 2 * along)) // (_SMOOTH * _SMOOTH)
            total += reach * (before * _SMOOTH + (after - before) * eased) // (_SMOOTH << 30)
        return total

    def volume(self, step: int) -> int:
        """Return how much is traded in a step, in thousandths of the usual."""
        return 300 + _corner(self._volume_key, step // 7) % 1400


def _corner(key: int, index: int) -> int:
    """Return the fixed random value of a noise at a corner: ±2³⁰ (splitmix64)."""
    mixed = (key + index * 0x9E3779B97F4A7C15) & _64_BITS
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return (mixed >> 33) - (1 << 30)


@dataclass(frozen=True, slots=True)
class _Prices:
    """Turns a walk into the prices of one exchange, on its tick."""

    walk: Walk
    base_ticks: int
    tick: Decimal
    # What a step of ordinary size trades, in base currency.
    usual_volume: Decimal

    def at(self, step: int) -> Decimal:
        return self.price(self.walk.at(step))

    def price(self, distance: int) -> Decimal:
        return max(1, self.base_ticks * (PART + distance) // PART) * self.tick

    def volume(self, step: int) -> Decimal:
        return self.usual_volume * self.walk.volume(step)


class SyntheticSource:
    """One price a second for every pair; `position` counts the steps since the first start."""

    def __init__(self, seed: int) -> None:
        self.name = "synthetic"
        self._seed = seed
        self._walks: dict[str, Walk] = {}
        self._playing: dict[int, tuple[_Prices, int]] = {}
        self._due: datetime | None = None
        self._contracts: dict[int, MarketState] = {}
        self._shown: dict[int, datetime] = {}
        self._samples: dict[str, tuple[array[int], array[int]]] = {}

    def listings(self) -> Iterable[Listing]:
        """Name nothing: the pairs of the catalogue are enough."""
        return ()

    def covers(self, state: MarketState) -> str | None:
        """Play every pair; a contract goes with its coins."""
        return f"synthetic:{self._seed}"

    def first_price(self, state: MarketState) -> Decimal:
        """Return the price of step 0."""
        return self._prices(state).at(0)

    def history(self, state: MarketState, now: datetime) -> History:
        """Return the walk before step 0 as it would have been shown."""
        prices = self._prices(state)
        hours, minutes = self._sampled(state)
        this_minute = now.replace(second=0, microsecond=0)
        this_hour = this_minute.replace(minute=0)
        return History(
            _bars(prices, hours, _HOUR_SAMPLES, this_hour, timedelta(hours=1)),
            _bars(prices, minutes, _MINUTE_SAMPLES, this_minute, timedelta(minutes=1)),
            position=0,
        )

    def stale_after_s(self, state: MarketState) -> int:
        """Return the usual time."""
        return STALE_AFTER_S

    def restart(self) -> None:
        """Forget what plays."""
        self._playing.clear()
        self._due = None

    def join(self, state: MarketState, now: datetime) -> None:
        """Go on one step after where the pair stands."""
        self._playing[state.id] = (self._prices(state), state.position)
        self._due = self._due or now
        if state.funding_interval_s is not None:
            self._contracts[state.id] = state
            self._shown.pop(state.id, None)

    def take(self, now: datetime) -> Batch:
        """Return one point of every pair for each second that passed."""
        batch = Batch()
        if self._due is None:
            return batch
        if now - self._due > MOST_BEHIND:
            self._due = now
        while self._due <= now:
            for market_id, (prices, position) in self._playing.items():
                step = position + 1
                due = self._funding_due(market_id, self._due)
                point = NewPoint(self._due, prices.at(step), prices.volume(step), step, due)
                batch.points.setdefault(market_id, []).append(point)
                self._playing[market_id] = (prices, step)
            self._due += STEP
        return batch

    def _funding_due(self, market_id: int, now: datetime) -> Decimal | None:
        """Return what falls due on a contract by the real time, however long the feed slept."""
        state = self._contracts.get(market_id)
        if state is None or state.funding_interval_s is None:
            return None
        before = self._shown.get(market_id, state.last_price_at)
        self._shown[market_id] = now
        times = 0 if before is None else times_between(before, now, state.funding_interval_s)
        return usual_rate(state.funding_interval_s) * times if times else None

    def next_due(self) -> datetime | None:
        """Return the next second."""
        return self._due

    def notes(self) -> Mapping[str, str]:
        """Say nothing: a generator has no trouble."""
        return {}

    def close(self) -> None:
        """Let go of nothing."""

    def _prices(self, state: MarketState) -> _Prices:
        coins = state.symbol.partition(":")[0]
        walk = self._walks.setdefault(state.symbol, Walk(self._seed, coins))
        tick = state.tick or DEFAULT_TICK
        base = BASE_PRICES.get(state.base, DEFAULT_PRICE)
        # Exchanges differ by a hair: up to 5 parts in 10,000.
        name = f"{self._seed}|{state.exchange}|{state.symbol}".encode()
        hair = int.from_bytes(hashlib.blake2b(name, digest_size=4).digest()) % 1001 - 500
        base_ticks = max(1, int(base / tick) * (10**6 + hair) // 10**6)
        usual = (Decimal(2) / base).quantize(Decimal("1e-9"))
        return _Prices(walk, base_ticks, tick, usual)

    def _sampled(self, state: MarketState) -> "tuple[array[int], array[int]]":
        # One walk serves the pair at all exchanges; sampling it is the slow part.
        coins = state.symbol.partition(":")[0]
        known = self._samples.get(coins)
        if known is None:
            walk = Walk(self._seed, coins)
            known = self._samples[coins] = (
                _sample(walk, HISTORY_HOURS, 3600, _HOUR_SAMPLES),
                _sample(walk, HISTORY_MINUTES, 60, _MINUTE_SAMPLES),
            )
        return known


def _sample(walk: Walk, bars: int, seconds: int, samples: int) -> "array[int]":
    """Return a walk at equal distances up to step 0."""
    gap = seconds // samples
    return array("q", (walk.at(-gap * number) for number in range(bars * samples, -1, -1)))


def _bars(
    prices: _Prices, walked: "array[int]", samples: int, end: datetime, length: timedelta
) -> list[Bar]:
    """Make bars of so many samples each; the last one is the bar that `end` opens."""
    count = (len(walked) - 1) // samples
    bars = []
    for number in range(count):
        part = walked[number * samples : (number + 1) * samples + 1]
        opened_at = end - length * (count - 1 - number)
        seconds = int(length.total_seconds())
        volume = prices.volume(number - count) * seconds
        bars.append(
            Bar(
                opened_at,
                prices.price(part[0]),
                prices.price(max(part)),
                prices.price(min(part)),
                prices.price(part[-1]),
                volume,
            )
        )
    return bars
