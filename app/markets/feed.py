"""The price feed: one process that numbers and stores every price and tells who waits for it.

PostgreSQL or Redis may be away for a while: the feed waits and goes on where the rows say that it
stood, so no number is given twice and no recorded price is left out.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError

from app import events, health
from app.config import current_config
from app.db import db, utc_now
from app.markets import service, store
from app.markets.events import Move, PricesMoved
from app.markets.opening import open_source
from app.markets.sources import Batch, MarketState, Source
from app.markets.store import SecondFeed, Standing
from app.notifications.stream import hint_everybody
from app.transactions import transaction

log = logging.getLogger(__name__)

# Points that become due within a round are stored together.
ROUND_S = 0.2
LONGEST_ROUND_S = 1.0
BEAT_EVERY_S = 5.0
HINT_EVERY_S = 1.0
LONGEST_PAUSE_S = 10.0
LOCK_RETRY_S = 1.0


def run(stop: threading.Event) -> None:
    """Feed prices until told to stop; call it in an app context, without open transaction."""
    with transaction():
        known = service.read_known_sources()
    source = open_source(current_config(), known)
    try:
        _run_source(source, stop)
    finally:
        source.close()


def _run_source(source: Source, stop: threading.Event) -> None:
    pause = 1.0
    while not stop.is_set():
        try:
            with _only_feed(stop) as alone:
                if alone:
                    feed = Feed(source)
                    feed.start(utc_now())
                    pause = 1.0
                    feed.go(stop)
        except (OperationalError, InterfaceError, SecondFeed) as error:
            log.warning("feed_interrupted error=%s pause_s=%s", type(error).__name__, pause)
            db.session.remove()
            stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
    db.session.remove()


@contextmanager
def _only_feed(stop: threading.Event) -> Iterator[bool]:
    """Wait until no other feed runs; the lock ends with its connection."""
    said = False
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = {"key": store.FEED_LOCK}
        while not connection.scalar(text("select pg_try_advisory_lock(:key)"), key):
            if not said:
                log.warning("feed_waits reason=another_feed_runs")
                said = True
            if stop.wait(LOCK_RETRY_S):
                yield False
                return
        try:
            yield True
        finally:
            # A connection that went back to the pool would keep the lock.
            connection.invalidate()


class Feed:
    """One run of the feed between two interruptions."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._standing: dict[int, Standing] = {}
        self._waiting: list[MarketState] = []
        self._beat_at = 0.0
        self._hinted_at: dict[int, float] = {}

    def start(self, now: datetime) -> None:
        """Read where the pairs stand; those that were played before go on at once."""
        with transaction():
            states = service.settle_markets(self._source)
        self._source.restart()
        for state in states:
            if state.source == self._source.covers(state):
                self._join(state, now)
            else:
                self._waiting.append(state)
        log.info(
            "feed_started source=%s markets=%s new=%s",
            self._source.name, len(states), len(self._waiting),
        )  # fmt: skip

    def go(self, stop: threading.Event) -> None:
        """Take, store and tell, round by round."""
        while not stop.is_set():
            self.play(utc_now())
            # New pairs one by one and with pauses: bots on the others need the processor too.
            self.begin_one(utc_now())
            stop.wait(self._pause())

    def _pause(self) -> float:
        due = self._source.next_due()
        if due is None or self._waiting:
            return ROUND_S
        ahead = (due - utc_now()).total_seconds()
        return min(max(ahead, ROUND_S), LONGEST_ROUND_S)

    def play(self, now: datetime) -> None:
        """Store and tell what became due."""
        batch = self._source.take(now)
        beats = time.monotonic() - self._beat_at > BEAT_EVERY_S
        if batch.is_empty and not beats:
            return
        with transaction():
            moves = self._write(batch)
            if beats:
                notes = json.dumps(dict(self._source.notes()))
                store.beat(self._source.name, notes)
        for move in moves:
            self._standing[move.market_id] = Standing(move.seq, move.last)
        if beats:
            self._beat_at = time.monotonic()
            health.beat("feed")
        self._tell(moves, batch)

    def _write(self, batch: Batch) -> list[Move]:
        service.apply_rules(batch.rules)
        for market_id, history in batch.histories.items():
            store.add_history(market_id, history)
        moves = store.write_round(batch.points, self._standing)
        store.mark_stale(batch.stale)
        return moves

    def _tell(self, moves: list[Move], batch: Batch) -> None:
        now = time.monotonic()
        told = [move.market_id for move in moves] + list(batch.stale)
        due = [one for one in told if now - self._hinted_at.get(one, 0.0) >= HINT_EVERY_S]
        try:
            if moves:
                events.publish(PricesMoved(tuple(moves)))
        except RedisError as error:
            # Bots are looked at every few seconds anyway.
            log.warning("wake_lost error=%s", type(error).__name__)
        if due:
            hint_everybody(f"price:{market_id}" for market_id in due)
            self._hinted_at.update(dict.fromkeys(due, now))

    def begin_one(self, now: datetime) -> bool:
        """Give the next new pair its history: one a round, so that nobody waits long."""
        if not self._waiting:
            return False
        state = self._waiting[0]
        with transaction():
            service.begin_market(self._source, state, now)
            begun = store.read_state(state.id)
        self._waiting.pop(0)
        self._join(begun, now)
        return True

    def _join(self, state: MarketState, now: datetime) -> None:
        self._standing[state.id] = Standing(state.last_seq, state.last_price)
        self._source.join(state, now)
