"""Live prices of the exchanges, without keys: one thread for each exchange, asked in turns.

An exchange that does not answer is asked again after growing pauses; its prices grow old and are
shown as stale, the others go on.
"""

import logging
import queue
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app.adapters.exchanges import public
from app.errors import DomainError
from app.markets.catalogue import Rules
from app.markets.sources import Bar, Batch, History, Listing, MarketState, NewPoint
from app.trading.market import Candle, Market, MarketKind, Tier

log = logging.getLogger(__name__)

POLL_S = 2.0
LONGEST_PAUSE_S = 60.0
RULES_EVERY = timedelta(hours=12)
STALE_AFTER_S = 60
HISTORY_DAYS = 90
MINUTES_SHOWN = 1440
# Positions say whether the history of a pair was fetched.
WITHOUT_HISTORY, WITH_HISTORY = 0, 1


class _Poller(threading.Thread):
    """Asks one exchange for the prices of its pairs."""

    def __init__(self, exchange: str, results: "queue.SimpleQueue[Batch]") -> None:
        super().__init__(name=f"prices-{exchange}", daemon=True)
        self.exchange = exchange
        self.trouble = ""
        self._results = results
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._states: dict[int, MarketState] = {}
        self._without_history: set[int] = set()
        self._rules_at: datetime | None = None
        self._announced: dict[int, public.Quote] = {}

    def join_market(self, state: MarketState) -> None:
        """Ask for one more pair."""
        with self._lock:
            self._states[state.id] = state
            if state.position == WITHOUT_HISTORY:
                self._without_history.add(state.id)

    def end(self) -> None:
        """Stop after the call under way."""
        self._stop.set()

    def run(self) -> None:
        """Poll until told to stop."""
        pause = POLL_S
        while not self._stop.wait(pause):
            try:
                self._poll()
                pause, self.trouble = POLL_S, ""
            except DomainError as error:
                pause = min(pause * 2, LONGEST_PAUSE_S)
                if not self.trouble:
                    log.warning("prices_failed exchange=%s error=%s", self.exchange, error.code)
                self.trouble = error.code

    def _poll(self) -> None:
        with self._lock:
            states = list(self._states.values())
        if not states:
            return
        now = datetime.now(UTC)
        if self._rules_at is None or now - self._rules_at > RULES_EVERY:
            self._results.put(self._read_rules(states))
            self._rules_at = now
        quotes = public.quotes(self.exchange, [state.symbol for state in states])
        self._results.put(self._points(states, quotes))
        self._fetch_a_history(states)

    def _points(self, states: Sequence[MarketState], quotes: Mapping[str, public.Quote]) -> Batch:
        batch = Batch()
        at = datetime.now(UTC)
        for state in states:
            quote = quotes.get(state.symbol)
            if quote is not None:
                fetched = state.id not in self._without_history
                position = WITH_HISTORY if fetched else WITHOUT_HISTORY
                due = self._funding_due(state.id, quote)
                batch.points[state.id] = [NewPoint(at, quote.price, Decimal(0), position, due)]
        return batch

    def _funding_due(self, market_id: int, quote: public.Quote) -> Decimal | None:
        """Return the rate that was announced for a funding time, once that time has passed."""
        before = self._announced.get(market_id)
        self._announced[market_id] = quote
        if before is None or before.funding_at is None or quote.funding_at is None:
            return None
        return before.funding if quote.funding_at > before.funding_at else None

    def _read_rules(self, states: Sequence[MarketState]) -> Batch:
        markets = public.markets(self.exchange)
        rules = {state.id: rules_of(markets.get(state.symbol)) for state in states}
        for state in states:
            stated = rules[state.id]
            if stated is not None and ":" in state.symbol:
                rules[state.id] = replace(stated, tiers=self._read_tiers(state.symbol))
        return Batch(rules=rules)

    def _read_tiers(self, symbol: str) -> tuple[Tier, ...]:
        try:
            return public.tiers(self.exchange, symbol)
        except DomainError as error:
            log.warning("tiers_failed exchange=%s error=%s", self.exchange, error.code)
            return ()

    def _fetch_a_history(self, states: Sequence[MarketState]) -> None:
        wanted = next((state for state in states if state.id in self._without_history), None)
        if wanted is None:
            return
        now = datetime.now(UTC)
        hours_from = now - timedelta(days=HISTORY_DAYS)
        minutes_from = now - timedelta(minutes=MINUTES_SHOWN)
        hours = public.candles(self.exchange, wanted.symbol, "1h", hours_from)
        minutes = public.candles(self.exchange, wanted.symbol, "1m", minutes_from)
        history = History(_bars(hours), _bars(minutes), position=WITH_HISTORY)
        self._without_history.discard(wanted.id)
        self._results.put(Batch(histories={wanted.id: history}))


class PublicSource:
    """Prices as the exchanges tell them to everybody."""

    def __init__(self) -> None:
        self.name = "ccxt"
        self._pollers: dict[str, _Poller] = {}
        self._results: queue.SimpleQueue[Batch] = queue.SimpleQueue()

    def listings(self) -> Iterable[Listing]:
        """Name nothing: the pairs of the catalogue are enough."""
        return ()

    def covers(self, state: MarketState) -> str | None:
        """Play the coins of every exchange that can be asked, and contracts where bots trade."""
        if not public.is_known(state.exchange):
            return None
        wanted = MarketKind.SPOT if ":" not in state.symbol else MarketKind.LINEAR
        return f"ccxt:{state.exchange}" if public.offers(state.exchange, wanted) else None

    def first_price(self, state: MarketState) -> Decimal | None:
        """Return None: only the exchange knows."""
        return None

    def history(self, state: MarketState, now: datetime) -> History | None:
        """Return None: it is fetched beside the prices, and comes with a batch."""
        return None

    def stale_after_s(self, state: MarketState) -> int:
        """Return the usual time."""
        return STALE_AFTER_S

    def restart(self) -> None:
        """End the threads and forget what they had found."""
        for poller in self._pollers.values():
            poller.end()
        self._pollers.clear()
        self._results = queue.SimpleQueue()

    def join(self, state: MarketState, now: datetime) -> None:
        """Ask for the pair from now on."""
        poller = self._pollers.get(state.exchange)
        if poller is None:
            poller = self._pollers[state.exchange] = _Poller(state.exchange, self._results)
            poller.start()
        poller.join_market(state)

    def take(self, now: datetime) -> Batch:
        """Return what the threads have found."""
        whole: dict[int, list[NewPoint]] = defaultdict(list)
        batch = Batch()
        while True:
            try:
                part = self._results.get_nowait()
            except queue.Empty:
                break
            for market_id, points in part.points.items():
                whole[market_id] += points
            batch.rules.update(part.rules)
            batch.histories.update(part.histories)
        batch.points.update(whole)
        return batch

    def next_due(self) -> datetime | None:
        """Return None: nobody knows when an exchange answers."""
        return None

    def notes(self) -> Mapping[str, str]:
        """Name the exchanges that don't answer."""
        return {
            poller.exchange: poller.trouble for poller in self._pollers.values() if poller.trouble
        }

    def close(self) -> None:
        """End the threads."""
        self.restart()


def rules_of(market: Market | None) -> Rules | None:
    """Return what is stored of a pair's rules; None for a pair that is not traded."""
    if market is None:
        return None
    return Rules(
        tick=market.tick,
        lot=market.lot,
        min_quantity=market.min_quantity,
        min_notional=market.min_notional,
        maker_fee=market.maker_fee,
        taker_fee=market.taker_fee,
        fee_side=market.fee_side.value,
        max_leverage=market.max_leverage,
        funding_interval_s=market.funding_interval_s,
    )


def _bars(candles: Iterable[Candle]) -> list[Bar]:
    epoch = datetime.fromtimestamp(0, UTC)
    return [Bar(epoch + timedelta(milliseconds=one.ts_ms), *one[1:]) for one in candles]
