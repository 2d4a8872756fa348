"""A small world for tests: markets, a clock of prices, and a desk that drives one bot on a book."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.trading.engine import Tick, tick
from app.trading.intents import Cancel, Place
from app.trading.market import Candle, FeeSide, Market, MarketKind, PricePoint
from app.trading.orders import Fill, Order, Side, Status, client_order_id
from app.trading.performance import Books, opened
from app.trading.ports import Refused
from app.trading.position import Position
from app.trading.risk import NO_LIMITS, Limits
from app.trading.simulator import Book
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_params import GridParams
from app.trading.strategies.grid_state import GridState, Phase
from app.trading.strategy import LogLine, Match, StopHow, View

D = Decimal
START = datetime(2026, 1, 1, tzinfo=UTC)


def market(**changes: Any) -> Market:
    """Return a spot market with a coarse tick and lot, so that sums can be followed by hand."""
    rules: dict[str, Any] = {
        "symbol": "ABC/USDT",
        "base": "ABC",
        "quote": "USDT",
        "tick": D("0.01"),
        "lot": D("0.001"),
        "min_notional": D(1),
        "maker_fee": D("0.001"),
        "taker_fee": D("0.001"),
        "fee_side": FeeSide.RECEIVED_ASSET,
    }
    return Market(**{**rules, **changes})


def grid(**changes: Any) -> GridParams:
    """Return a grid from 80 to 120 with gaps of 10 and 1000 to spend."""
    values: dict[str, Any] = {"lower": "80", "upper": "120", "grids": 4, "investment": "1000"}
    return GRID.parse({**values, **changes})


def at(seconds: int) -> datetime:
    """Return a moment of the test's clock."""
    return START + timedelta(seconds=seconds)


def candles(*rows: tuple[str, str, str, str], minutes: int = 1) -> list[Candle]:
    """Build candles one after another from open, high, low, close."""
    first = int(START.timestamp() * 1000)
    return [
        Candle(first + number * minutes * 60_000, D(a), D(b), D(c), D(d), D(1))
        for number, (a, b, c, d) in enumerate(rows)
    ]


@dataclass
class Faults:
    """What may go wrong at the venue, decided by a seeded generator."""

    seed: int = 0
    refuse: float = 0.0
    lose_reply: float = 0.0
    hold_back_news: float = 0.0
    partial: bool = False
    source: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.source = random.Random(self.seed)

    def happens(self, chance: float) -> bool:
        """Draw once."""
        return chance > 0 and self.source.random() < chance


class Desk:
    """Our side of one bot: it keeps the orders, tells the news, and does what is intended."""

    def __init__(
        self,
        params: GridParams,
        on: Market,
        price: Decimal,
        *,
        faults: Faults | None = None,
        limits: Limits = NO_LIMITS,
        touch: bool = False,
    ) -> None:
        self.params, self.market, self.limits = params, on, limits
        self.money = params.investment or D(0)
        self.faults = faults or Faults()
        self.book = Book([on], {on.quote: self.money}, touch=touch)
        if on.kind is MarketKind.LINEAR:
            self.book.set_leverage(on.symbol, params.leverage)
        self.books: Books = opened(self.money, price, on)
        self.state: GridState = GRID.start_state(params, on, price, self.books.position.holdings)
        self.orders: dict[str, Order] = {}
        self.news: list[str] = []
        self.inbox: list[Fill] = []
        self.events: list[LogLine] = []
        self.matches: list[Match] = []
        self.fills: list[Fill] = []
        self.finished: str | None = None
        self.price = price
        self.seq = 0

    # --- driving ------------------------------------------------------------------------------

    def see(
        self,
        price: Decimal | str,
        *,
        stop: StopHow | None = None,
        liquidity: Decimal | None = None,
    ) -> None:
        """Let a price happen, then tick until nothing more is asked for."""
        self.price = D(price)
        self.seq += 1
        if self.faults.partial:
            liquidity = D(self.faults.source.randint(1, 40)) / 100
        point = PricePoint(self.seq, at(self.seq), self.price)
        self.inbox += self.book.advance(self.market.symbol, point, liquidity)
        self.settle(stop)

    def settle(self, stop: StopHow | None = None) -> None:
        """Look up what is unresolved, read the news, tick, and repeat while there are intents."""
        for _ in range(200):
            self._look_up()
            self._read_inbox()
            done = self.tick_once(stop)
            if not done.intents and not done.denied:
                self._check_cap()
                return
        raise AssertionError("the bot does not come to rest")

    def tick_once(self, stop: StopHow | None = None) -> Tick:
        """Tick once, check that it is pure and idempotent, store and act."""
        view = self.view(stop)
        done = tick(GRID, view, self.limits)
        assert tick(GRID, view, self.limits) == done
        taken_back = [each.client_id for each in done.intents if isinstance(each, Cancel)]
        assert len(taken_back) == len(set(taken_back)), "an order was taken back twice at once"
        self.state = GRID.decode_state(GRID.encode_state(done.state))
        assert self.state == done.state
        self.news.clear()
        self.events += done.events
        self.matches += done.matches
        self.finished = done.finished.code if done.finished else self.finished
        self._book_matches(done)
        sent = [self._intend(each, Status.INTENDED) for each in _places(done.intents)]
        self.check_levels()
        if not done.denied:
            self._check_idempotent(stop)
        for denied in done.denied:
            self.news.append(self._intend(denied.intent, Status.DENIED).client_id)
        for order in sent:
            self._send(order)
        for intent in done.intents:
            if isinstance(intent, Cancel):
                self._cancel(intent.client_id)
        return done

    def view(self, stop: StopHow | None = None) -> View:
        """Return what the strategy sees now."""
        told = [self.orders[client_id] for client_id in dict.fromkeys(self.news)]
        live = [order for order in self.orders.values() if order.status.is_live]
        known = {order.client_id for order in live}
        finals = [order for order in told if order.client_id not in known]
        return View(
            time=at(self.seq),
            price=self.price,
            market=self.market,
            params=self.params,
            state=self.state,
            orders=(*finals, *live),
            holdings=self.books.position.holdings,
            investment=self.money,
            stop_request=stop,
        )

    def change_rules(self, **changes: Any) -> None:
        """Let the venue have other rules from now on; what rests there stays."""
        self.market = replace(self.market, **changes)
        self.book._sides[self.market.symbol].market = self.market

    # --- looking ------------------------------------------------------------------------------

    def resting(self) -> list[tuple[str, Decimal, Decimal]]:
        """Return side, price and quantity of live orders, highest price first."""
        live = [order for order in self.orders.values() if order.status.is_live]
        rows = [(o.key.side.value, o.price or D(0), o.remaining) for o in live]
        return sorted(rows, key=lambda row: row[1], reverse=True)

    def codes(self) -> list[str]:
        """Return the codes of the log."""
        return [line.code for line in self.events]

    def check_levels(self) -> None:
        """No order stands twice, and no own buy stands at or above an own sell."""
        live = [o for o in self.orders.values() if o.status.is_live and o.key.level is not None]
        places = [(order.key.level, order.key.side) for order in live]
        assert len(places) == len(set(places)), places
        buys = [o.price for o in live if o.key.side is Side.BUY and o.price is not None]
        sells = [o.price for o in live if o.key.side is Side.SELL and o.price is not None]
        assert max(buys, default=D(0)) < min(sells, default=D("Infinity"))

    # --- inside -------------------------------------------------------------------------------

    def _check_cap(self) -> None:
        live = [o for o in self.orders.values() if o.status.is_live and o.key.level is not None]
        if self.params.max_resting is not None and self.state.phase is Phase.RUNNING:
            assert len(live) <= self.params.max_resting

    def _check_idempotent(self, stop: StopHow | None) -> None:
        again = tick(GRID, self.view(stop), self.limits)
        assert not list(_places(again.intents))
        assert not again.denied
        assert not again.matches
        assert not again.events
        assert again.state == self.state

    def _intend(self, intent: Place, status: Status) -> Order:
        client_id = client_order_id("by", 1, 1, intent.key, intent.attempt)
        assert client_id not in self.orders, "the same order was intended twice"
        order = Order(
            client_id,
            intent.key,
            intent.attempt,
            intent.kind,
            intent.price,
            intent.quantity,
            status,
        )
        self.orders[client_id] = order
        return order

    def _send(self, order: Order) -> None:
        if self.faults.happens(self.faults.refuse):
            self._change(order, Status.REJECTED)
            return
        lost = self.faults.happens(self.faults.lose_reply)
        if lost and self.faults.happens(0.5):
            self._change(order, Status.UNRESOLVED)
            return
        outcome, fills = self.book.place(
            self.market.symbol,
            order.client_id,
            order.key.side,
            order.kind,
            order.price,
            order.quantity,
            at(self.seq),
        )
        if lost:
            self._change(order, Status.UNRESOLVED)
        else:
            refused = isinstance(outcome, Refused)
            self._change(order, Status.REJECTED if refused else Status.OPEN)
        self.inbox += fills

    def _cancel(self, client_id: str) -> None:
        self.book.cancel(client_id, at(self.seq))
        self._read_inbox(only=client_id)
        order = self.orders[client_id]
        if order.status.is_live:
            self._change(order, Status.CANCELLED)

    def _look_up(self) -> None:
        for order in list(self.orders.values()):
            if order.status is Status.UNRESOLVED:
                found = self.book.find(order.client_id)
                self._change(order, Status.REJECTED if found is None else Status.OPEN)

    def _read_inbox(self, only: str | None = None) -> None:
        waiting = []
        if self.faults.hold_back_news > 0:
            self.faults.source.shuffle(self.inbox)
        for fill in self.inbox:
            late = only is None and self.faults.happens(self.faults.hold_back_news)
            if late or only not in (None, fill.client_id):
                waiting.append(fill)
                continue
            order = self.orders[fill.client_id].with_fill(fill, self.market)
            self.orders[fill.client_id] = order
            self.news.append(order.client_id)
            position = self.books.position.after(fill, self.market)
            self.books = Books(**{**_members(self.books), "position": position})
            self.fills.append(fill)
        self.inbox = waiting

    def _change(self, order: Order, status: Status) -> None:
        self.orders[order.client_id] = self.orders[order.client_id].with_status(status)
        self.news.append(order.client_id)

    def _book_matches(self, done: Tick) -> None:
        earned = sum((match.profit for match in done.matches), D(0))
        self.books = Books(
            **{
                **_members(self.books),
                "grid_profit": self.books.grid_profit + earned,
                "matched_trades": self.books.matched_trades + len(done.matches),
            }
        )


def _members(books: Books) -> dict[str, Any]:
    return {name: getattr(books, name) for name in Books.__dataclass_fields__}


def _places(intents: Iterable[Any]) -> list[Place]:
    return [intent for intent in intents if isinstance(intent, Place)]


def position_of(money_put_in: Decimal, fills: Iterable[Fill], market: Market) -> Position:
    """Sum fills, oldest first, on top of the money put in."""
    position = Position(quote=money_put_in)
    for fill in fills:
        position = position.after(fill, market)
    return position
