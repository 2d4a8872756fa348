"""Replay candles through the simulator and `engine.tick`, exactly as paper trading does.

Each candle is walked as four prices (see `market.candle_path`); at each price the venue moves, and
whenever something filled, or the strategy's own trigger was crossed, it decides until it asks for
nothing more. On contracts funding is paid at its times, and a liquidation ends the run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.errors import InvalidInput
from app.trading.engine import Tick, tick
from app.trading.funding import USUAL_INTERVAL_S, FundingRate, usual_funding
from app.trading.intents import Cancel, Place
from app.trading.market import (
    ONE,
    ZERO,
    Candle,
    Market,
    MarketKind,
    PricePoint,
    Triggers,
    booked,
    candle_path,
    exact,
)
from app.trading.orders import Fill, Order, Status, client_order_id
from app.trading.params import read_decimal
from app.trading.performance import Books, Drawdown, Figures, figures, opened
from app.trading.ports import Refused
from app.trading.risk import NO_LIMITS, Denied, Limits
from app.trading.simulator import LIQUIDATION, Book
from app.trading.strategies import strategy_named
from app.trading.strategy import (
    InvalidParams,
    LogLine,
    Match,
    Severity,
    Strategy,
    View,
    log_line,
    problem,
)

# A strategy that never comes to rest at one price is wrong; a grid needs a handful of rounds.
MOST_ROUNDS = 5000
EQUITY_POINTS = 500
MINUTE_MS = 60_000
DAY_MS = Decimal(86_400_000)
LIQUIDATED = "liquidated"


class NoCandles(InvalidInput):
    """There is nothing to replay."""


class PriceLeaps(InvalidInput):
    """One price asks for more decisions than any real one does, as candles that are not real."""


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The value of the bot at the close of a candle, and of the coins bought instead."""

    ts_ms: int
    equity: Decimal
    hold: Decimal


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a replay brought; money in quote, `figures` as everywhere else.

    `orders` are all orders in the order of their making. `equity` is sampled at closes of candles,
    at most about a thousand points; `drawdown` counts every close.
    """

    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    matches: tuple[Match, ...]
    events: tuple[LogLine, ...]
    figures: Figures
    books: Books
    equity: tuple[EquityPoint, ...]
    drawdown: Drawdown
    candles: int
    candles_outside: int
    days_outside: Decimal
    first_ms: int
    last_ms: int
    last_price: Decimal
    finished: str | None


@dataclass(slots=True)
class _Curve:
    """A sample of the equity that stays small: when it is full every second point goes."""

    points: list[EquityPoint]
    every: int = 1
    seen: int = 0

    def wants_next(self) -> bool:
        """Count one more value and say whether it belongs to the sample."""
        self.seen += 1
        return (self.seen - 1) % self.every == 0

    def add(self, point: EquityPoint) -> None:
        """Keep a point of the sample."""
        self.points.append(point)
        if len(self.points) >= 2 * EQUITY_POINTS:
            self.points = self.points[::2]
            self.every *= 2


class Replay:
    """One bot on one pretend account, driven price by price."""

    def __init__(
        self,
        strategy: Strategy[Any, Any],
        params: Any,
        market: Market,
        investment: Decimal,
        *,
        touch: bool = False,
        limits: Limits = NO_LIMITS,
    ) -> None:
        """Open the account with the investment in cash."""
        self.strategy, self.params, self.market = strategy, params, market
        self.investment, self.limits = investment, limits
        self.book = Book([market], {market.quote: investment}, touch=touch)
        if market.kind is MarketKind.LINEAR:
            self.book.set_leverage(market.symbol, getattr(params, "leverage", ONE))
        self.books: Books | None = None
        self.orders: dict[str, Order] = {}
        self.live: dict[str, Order] = {}
        self.fills: list[Fill] = []
        self.matches: list[Match] = []
        self.events: list[LogLine] = []
        self.finished: str | None = None
        self.triggers = Triggers()
        self.state: Any = None

    def concerns(self, price: Decimal) -> bool:
        """Say whether a price fills something or crosses a trigger of the strategy."""
        return self.book.would_fill(self.market.symbol, price) or (
            self.finished is None and self.triggers.crossed(price)
        )

    def see(self, point: PricePoint) -> None:
        """Let one price happen: the venue moves, and the strategy decides."""
        if self.books is None:
            self._start(point)
        fills = self.book.advance(self.market.symbol, point)
        for payment in self.book.take_payments():
            assert self.books is not None  # noqa: S101 - set above
            self.books = self.books.with_funding(payment.amount)
        self._decide(point, fills)

    @property
    def holds_contract(self) -> bool:
        """Say whether a funding time concerns the bot."""
        return self.book.stake(self.market.symbol).base != 0

    def equity(self, price: Decimal) -> Decimal:
        """Return what the bot is worth at a price."""
        assert self.books is not None  # noqa: S101 - set by the first price
        return self.books.position.quote + self.books.position.base * price

    def _start(self, point: PricePoint) -> None:
        self.books = opened(self.investment, point.price, self.market)
        funds = self.books.position.holdings
        self.state = self.strategy.start_state(self.params, self.market, point.price, funds)

    def _decide(self, point: PricePoint, fills: list[Fill]) -> None:
        finals = self._count(fills)
        if any(fill.client_id == LIQUIDATION for fill in fills):
            self._end_liquidated(point)
        for _ in range(MOST_ROUNDS if self.finished != LIQUIDATED else 0):
            done = self._tick(point, finals, fills)
            if done.finished is not None:
                self.finished = done.finished.code
            if not done.intents and not done.denied:
                return
            finals = [self._deny(each) for each in done.denied]
            fills = []
            for intent in done.intents:
                changed, more = self._act(intent, point.time)
                finals += changed
                fills += more
            finals += self._count(fills)
        if self.finished != LIQUIDATED:
            raise PriceLeaps("price_leaps", time=point.time.isoformat(), price=str(point.price))

    def _end_liquidated(self, point: PricePoint) -> None:
        # The venue has closed the position and cancelled every order; nothing is left to decide.
        self.finished, self.triggers = LIQUIDATED, Triggers()
        self.events.append(log_line(LIQUIDATED, Severity.ERROR, price=point.price))
        for order in list(self.live.values()):
            self._keep(order.with_status(Status.CANCELLED))

    def _tick(self, point: PricePoint, finals: list[Order], fills: list[Fill]) -> Tick:
        assert self.books is not None  # noqa: S101 - set by the first price
        view = View(
            time=point.time,
            price=point.price,
            market=self.market,
            params=self.params,
            state=self.state,
            orders=(*finals, *self.live.values()),
            holdings=self.books.position.holdings,
            investment=self.investment,
            fills=tuple(fills),
        )
        done = tick(self.strategy, view, self.limits)
        self.state, self.triggers = done.state, done.triggers
        self.matches += done.matches
        self.events += done.events
        if done.matches:
            earned = sum((match.profit for match in done.matches), ZERO)
            self.books = replace(
                self.books,
                grid_profit=self.books.grid_profit + earned,
                matched_trades=self.books.matched_trades + len(done.matches),
            )
        return done

    def _count(self, fills: list[Fill]) -> list[Order]:
        assert self.books is not None  # noqa: S101 - set by the first price
        finals = []
        for fill in fills:
            position = self.books.position.after(fill, self.market)
            self.books = replace(self.books, position=position)
            if fill.client_id == LIQUIDATION:
                continue
            order = self.live[fill.client_id].with_fill(fill, self.market)
            self._keep(order)
            if order.status.is_final:
                finals.append(order)
        self.fills += fills
        return finals

    def _act(self, intent: Place | Cancel, time: datetime) -> tuple[list[Order], list[Fill]]:
        if isinstance(intent, Cancel):
            self.book.cancel(intent.client_id, time)
            gone = self.live[intent.client_id].with_status(Status.CANCELLED)
            self._keep(gone)
            return [gone], []
        order = self._ordered(intent, Status.INTENDED)
        self._keep(order)
        outcome, fills = self.book.place(
            self.market.symbol,
            order.client_id,
            order.key.side,
            order.kind,
            order.price,
            order.quantity,
            time,
        )
        refused = isinstance(outcome, Refused)
        order = order.with_status(Status.REJECTED if refused else Status.OPEN)
        self._keep(order)
        return ([order] if refused else []), fills

    def _deny(self, denied: Denied) -> Order:
        order = self._ordered(denied.intent, Status.DENIED)
        self._keep(order)
        return order

    def _ordered(self, intent: Place, status: Status) -> Order:
        return Order(
            client_id=client_order_id("by", 0, 1, intent.key, intent.attempt),
            key=intent.key,
            attempt=intent.attempt,
            kind=intent.kind,
            price=intent.price,
            quantity=intent.quantity,
            status=status,
        )

    def _keep(self, order: Order) -> None:
        self.orders[order.client_id] = order
        if order.status.is_live:
            self.live[order.client_id] = order
        else:
            self.live.pop(order.client_id, None)


class _Run:
    """The walk over all candles and what is measured on the way."""

    def __init__(self, replay: Replay, funding: Iterable[FundingRate] | None = ()) -> None:
        self.replay = replay
        # None: the usual rate, from the first candle on.
        self.by_rule = funding is None and replay.market.funding_interval_s is not None
        self.funding = iter(funding or ())
        self.next_rate = next(self.funding, None)
        self.curve = _Curve([])
        self.drawdown = Drawdown()
        self.count = self.outside = 0
        self.first: Candle | None = None
        self.last: Candle | None = None
        self.frame_ms = MINUTE_MS

    def walk(self, candle: Candle) -> None:
        """Let the four prices of a candle happen, then measure at its close."""
        replay = self.replay
        if self.first is None:
            self.first = candle
            if self.by_rule:
                interval = replay.market.funding_interval_s or USUAL_INTERVAL_S
                self.funding = usual_funding(candle.ts_ms, None, interval)
                self.next_rate = next(self.funding)
            replay.see(self._point(candle, 0, candle.open))
        elif self.last is not None and self.count == 1:
            self.frame_ms = candle.ts_ms - self.last.ts_ms
        due = None if self.next_rate is None else self._due_funding(candle)
        for step, price in enumerate(candle_path(candle)):
            rate = due if step == 0 and replay.holds_contract else None
            if rate is not None or replay.concerns(price):
                replay.see(self._point(candle, step, price, rate))
        self.last = candle
        self.count += 1
        self._measure(candle)

    def _due_funding(self, candle: Candle) -> Decimal | None:
        """Return the rate that falls due as a candle opens; what was due before the first is not.

        After a gap several may be due at once: their sum is paid.
        """
        due = None
        while self.next_rate is not None and self.next_rate.ts_ms <= candle.ts_ms:
            due = self.next_rate.rate + (due or ZERO)
            self.next_rate = next(self.funding, None)
        return due if self.count else None

    def _point(
        self, candle: Candle, step: int, price: Decimal, funding: Decimal | None = None
    ) -> PricePoint:
        # The four prices are spread evenly over the candle's time.
        time = _time(candle.ts_ms + step * self.frame_ms // 4)
        return PricePoint(4 * self.count + step + 1, time, price, funding)

    def _measure(self, candle: Candle) -> None:
        replay = self.replay
        equity = replay.equity(candle.close)
        self.outside += replay.strategy.is_outside(replay.params, candle.close, replay.state)
        if self.drawdown.is_news(equity):
            self.drawdown = self.drawdown.after(equity, _time(candle.ts_ms))
        if self.curve.wants_next():
            hold = replay.books.hold_base * candle.close if replay.books else ZERO
            self.curve.add(EquityPoint(candle.ts_ms, equity, hold))

    def result(self) -> BacktestResult:
        """Close the walk; raise NoCandles if there was nothing to walk on."""
        replay = self.replay
        if self.first is None or self.last is None or replay.books is None:
            raise NoCandles("no_candles")
        span = timedelta(milliseconds=self.last.ts_ms - self.first.ts_ms + self.frame_ms)
        return BacktestResult(
            orders=tuple(replay.orders.values()),
            fills=tuple(replay.fills),
            matches=tuple(replay.matches),
            events=tuple(replay.events),
            figures=figures(replay.books, self.last.close, replay.market, run_time=span),
            books=replay.books,
            equity=tuple(self.curve.points),
            drawdown=self.drawdown,
            candles=self.count,
            candles_outside=self.outside,
            days_outside=booked(Decimal(self.outside * self.frame_ms) / DAY_MS),
            first_ms=self.first.ts_ms,
            last_ms=self.last.ts_ms,
            last_price=self.last.close,
            finished=replay.finished,
        )


def _time(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms // 1000, UTC) + timedelta(milliseconds=ts_ms % 1000)


@exact
def run_backtest(
    strategy_name: str,
    params: Mapping[str, object],
    market: Market,
    candles: Iterable[Candle],
    investment: Decimal | None = None,
    *,
    touch: bool = False,
    limits: Limits = NO_LIMITS,
    funding: Iterable[FundingRate] | None = None,
) -> BacktestResult:
    """Replay candles, oldest first; raise InvalidParams if the strategy can't start on them.

    `investment` defaults to the one among the parameters. With `touch` orders fill as soon as the
    price reaches them: the best case beside the cautious default. `funding` are the rates of a
    contract, oldest first; each is paid at the open of the first candle at or after its time.
    Without them the usual rate is paid at the contract's funding times.
    """
    strategy = strategy_named(strategy_name)
    if investment is not None:
        params = {**params, "investment": investment}
    read = strategy.parse(params)
    if not params.get("investment"):
        raise InvalidParams((problem("investment", "missing"),))
    money = read_decimal(params["investment"])
    replay = Replay(strategy, read, market, money, touch=touch, limits=limits)
    run = _Run(replay, funding)
    for candle in candles:
        run.walk(candle)
    return run.result()
