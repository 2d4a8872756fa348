"""Recorded candles played at a multiple of their speed, each as the four prices of its path.

`position` counts path points from the first row: row × 4 + place. After a pause (a restart, a
database that was away) a recording goes on where it stood; nothing is skipped.
"""

import heapq
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from math import ceil

from app.markets.recordings import Choice, Recording, Scan, scan
from app.markets.sources import Bar, Batch, History, Listing, MarketState, NewPoint
from app.trading.funding import usual_funding
from app.trading.market import Candle, candle_path

log = logging.getLogger(__name__)

PATH = 4
LONGEST_GAP_S = 30.0
# A feed that fell behind further than this goes on from now instead of catching up.
MOST_BEHIND_S = 5.0
STALE_AFTER_S = 60
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
MINUTES_SHOWN_MS = 24 * HOUR_MS
GAP, ENDED = "gap", "recording_ended"


class _Player:
    """One recording on its way: which point comes next, and when (seconds of the epoch)."""

    def __init__(
        self,
        recording: Recording,
        speed: float,
        position: int,
        now: float,
        funding_interval_s: int | None = None,
    ) -> None:
        self._length_ms = recording.timeframe_ms
        self._funding_interval_s = funding_interval_s
        self._speed = speed
        row, self._place = divmod(position, PATH)
        self._position = position
        self._rows: Iterator[Candle] = recording.candles(max(0, row - 1))
        before = next(self._rows, None) if row else None
        self._candle = next(self._rows, None)
        # Since when funding may fall due: the last candle whose opening was shown.
        opened = before if self._place == 0 else self._candle
        self._before_ms = None if opened is None else opened.ts_ms
        self._next = next(self._rows, None)
        # The candle's opening lies so far back that its next point is due now.
        self._opened = now - self._place * self._step
        self._gap_until = 0.0

    @property
    def _step(self) -> float:
        return self._length_ms / PATH / self._speed / 1000

    @property
    def due(self) -> float | None:
        """Return when the next point is due; None at the end."""
        return None if self._candle is None else self._opened + self._place * self._step

    def take(self, now: float) -> list[NewPoint]:
        """Return what became due."""
        due = self.due
        if due is not None and now - due > MOST_BEHIND_S:
            self._opened += now - due
        points = []
        while self._candle is not None and (due := self.due) is not None and due <= now:
            points.append(self._point(self._candle, due))
            self._go_on(self._candle)
        return points

    def stale_reason(self, now: float) -> str | None:
        """Say why there are no prices now, if there are none."""
        if self._candle is None:
            return ENDED
        return GAP if self._place == 0 and now < self._gap_until else None

    def close(self) -> None:
        """Close the file."""
        close = getattr(self._rows, "close", None)
        if close is not None:
            close()

    def _point(self, candle: Candle, due: float) -> NewPoint:
        price = candle_path(candle)[self._place]
        at = datetime.fromtimestamp(due, UTC)
        funding = self._funding(candle) if self._place == 0 else None
        return NewPoint(at, price, candle.volume / PATH, self._position + 1, funding)

    def _funding(self, candle: Candle) -> Decimal | None:
        """Return what falls due as a candle opens, by the times of the recording."""
        before, self._before_ms = self._before_ms, candle.ts_ms
        if self._funding_interval_s is None or before is None:
            return None
        rates = usual_funding(before, candle.ts_ms, self._funding_interval_s)
        return sum((each.rate for each in rates), Decimal(0)) or None

    def _go_on(self, before: Candle) -> None:
        self._position += 1
        self._place += 1
        if self._place < PATH:
            return
        self._place = 0
        self._candle = self._next
        self._next = next(self._rows, None)
        ended = self._opened + self._length_ms / self._speed / 1000
        self._opened = ended
        if self._candle is not None:
            missing_ms = self._candle.ts_ms - before.ts_ms - self._length_ms
            if missing_ms > 0:
                self._opened += min(missing_ms / self._speed / 1000, LONGEST_GAP_S)
                self._gap_until = self._opened


class ReplaySource:
    """Plays one recording for each pair; pairs without one have no prices."""

    def __init__(self, choice: Choice, speed: Decimal, known: frozenset[str] = frozenset()) -> None:
        self.name = "replay"
        self._speed = float(speed)
        self._skipped = choice.skipped
        self._recordings = {(one.exchange, one.symbol): one for one in choice.chosen}
        # What was played before was checked before; anything else is, before a price is shown.
        self._scans = {
            one.identity: scan(one) for one in choice.chosen if one.identity not in known
        }
        self._players: dict[int, _Player] = {}
        self._told: dict[int, str] = {}
        self._queue: list[tuple[float, int]] = []
        for name, reason in choice.skipped.items():
            log.warning("recording_skipped file=%s reason=%s", name, reason)

    def listings(self) -> Iterable[Listing]:
        """Name the recorded pairs."""
        for one in self._recordings.values():
            found = self._scans.get(one.identity)
            tick = found.tick if found else None
            yield Listing(one.exchange, one.symbol, one.base, one.quote, one.kind.value, tick)

    def covers(self, state: MarketState) -> str | None:
        """Play what is recorded."""
        recording = self._recordings.get((state.exchange, state.symbol))
        return recording.identity if recording else None

    def first_price(self, state: MarketState) -> Decimal | None:
        """Return the opening price of the first candle that will be played."""
        recording = self._recordings[state.exchange, state.symbol]
        rows = recording.candles(self._scan(recording).start_row)
        candle = next(rows, None)
        return candle.open if candle else None

    def history(self, state: MarketState, now: datetime) -> History:
        """Return the rows before the start, moved so that they end now."""
        recording = self._recordings[state.exchange, state.symbol]
        start_row = self._scan(recording).start_row
        bars = _History(recording, start_row, now)
        return History(bars.hours(), bars.minutes(), position=start_row * PATH)

    def stale_after_s(self, state: MarketState) -> int:
        """Return 60 seconds, or more where the points of a recording are far apart."""
        recording = self._recordings[state.exchange, state.symbol]
        between = recording.timeframe_ms / PATH / self._speed / 1000
        return max(STALE_AFTER_S, ceil(between * 2.5))

    def restart(self) -> None:
        """Close what plays."""
        for player in self._players.values():
            player.close()
        self._players.clear()
        self._told.clear()
        self._queue.clear()

    def join(self, state: MarketState, now: datetime) -> None:
        """Go on from the pair's position."""
        recording = self._recordings[state.exchange, state.symbol]
        player = _Player(
            recording, self._speed, state.position, now.timestamp(), state.funding_interval_s
        )
        self._players[state.id] = player
        heapq.heappush(self._queue, (player.due or 0.0, state.id))

    def take(self, now: datetime) -> Batch:
        """Return the points that became due, and pairs that came to a gap or the end."""
        moment = now.timestamp()
        batch = Batch()
        while self._queue and self._queue[0][0] <= moment:
            _, market_id = heapq.heappop(self._queue)
            player = self._players[market_id]
            points = player.take(moment)
            if points:
                batch.points[market_id] = points
                self._told.pop(market_id, None)
            due = player.due
            if due is not None:
                heapq.heappush(self._queue, (due, market_id))
            self._look_for_silence(market_id, moment, batch)
        return batch

    def next_due(self) -> datetime | None:
        """Return when the earliest point of all is due."""
        return datetime.fromtimestamp(self._queue[0][0], UTC) if self._queue else None

    def notes(self) -> Mapping[str, str]:
        """Name the files that are not played."""
        return self._skipped

    def close(self) -> None:
        """Close all files."""
        self.restart()

    def _look_for_silence(self, market_id: int, moment: float, batch: Batch) -> None:
        reason = self._players[market_id].stale_reason(moment)
        if reason and self._told.get(market_id) != reason:
            self._told[market_id] = reason
            batch.stale[market_id] = reason

    def _scan(self, recording: Recording) -> Scan:
        found = self._scans.get(recording.identity)
        if found is None:
            found = self._scans[recording.identity] = scan(recording)
        return found


class _History:
    """The rows before the start as bars of the present calendar, read once as a stream."""

    def __init__(self, recording: Recording, rows: int, now: datetime) -> None:
        self._length_ms = recording.timeframe_ms
        self._late: list[Candle] = []
        last = next(recording.candles(rows - 1), None) if rows else None
        end_ms = last.ts_ms + self._length_ms if last else 0
        now_ms = int(now.timestamp() * 1000) // MINUTE_MS * MINUTE_MS
        self._shift_ms = now_ms - end_ms
        self._late_from_ms = end_ms - MINUTES_SHOWN_MS
        self._hours = _summed(self._shifted(recording, rows), HOUR_MS)

    def hours(self) -> list[Bar]:
        """Return bars of an hour; candles longer than an hour fill the hour they open in."""
        return self._hours

    def minutes(self) -> list[Bar]:
        """Return bars of a minute for the last day, from the path of longer candles."""
        if self._length_ms == MINUTE_MS:
            return _summed(self._late, MINUTE_MS)
        return _summed((point for candle in self._late for point in self._path(candle)), MINUTE_MS)

    def _shifted(self, recording: Recording, rows: int) -> Iterator[Candle]:
        for candle in islice(recording.candles(), rows):
            moved = candle._replace(ts_ms=candle.ts_ms + self._shift_ms)
            if candle.ts_ms >= self._late_from_ms:
                self._late.append(moved)
            yield moved

    def _path(self, candle: Candle) -> Iterator[Candle]:
        for place, price in enumerate(candle_path(candle)):
            at = candle.ts_ms + place * self._length_ms // PATH
            yield Candle(at, price, price, price, price, candle.volume / PATH)


def _summed(candles: Iterable[Candle], length_ms: int) -> list[Bar]:
    bars: list[Bar] = []
    opened_ms = -1
    for candle in candles:
        bucket_ms = candle.ts_ms // length_ms * length_ms
        if bucket_ms != opened_ms:
            opened_ms = bucket_ms
            opened_at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=bucket_ms)
            bars.append(Bar(opened_at, *candle[1:]))
            continue
        bar = bars[-1]
        bars[-1] = bar._replace(
            high=max(bar.high, candle.high),
            low=min(bar.low, candle.low),
            close=candle.close,
            volume=bar.volume + candle.volume,
        )
    return bars
