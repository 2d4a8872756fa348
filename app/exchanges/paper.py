"""The paper venue: balances, orders and fills as rows, moved price by price by the simulator.

Its rows are the venue's truth and independent of our own books. A late look sees every price point
since the account's cursor one by one and stops at the first that changes anything, so the bot
answers each fill at the price of its time, however late the tick comes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge

from app.exchanges.paper_rows import (
    NO_NEWS,
    AccountRows,
    Changes,
    fills_after,
    read_accounts,
    read_orders,
)
from app.trading.market import ONE, Market, MarketKind, PricePoint, Triggers, first_of
from app.trading.orders import Fill, Order
from app.trading.ports import Accepted, Balance, FillPage, Outcome, Refused, VenueOrder
from app.trading.risk import CLOSING
from app.trading.simulator import Book, BookOrder, BookRows, Payment

Markets = Mapping[int, Market]


@dataclass(frozen=True, slots=True)
class Progress:
    """What moving an account forward has met; `caught_up` when no later point is known.

    With `funded` a position has paid or received funding.
    """

    fills: tuple[Fill, ...]
    crossed: frozenset[int]
    caught_up: bool
    funded: bool = False


class PaperAccount:
    """One account at the paper venue: an `Exchange` whose rows the venue writes in `save`."""

    def __init__(self, account_id: int, markets: Markets, rows: AccountRows) -> None:
        self.account_id = account_id
        self._markets = markets
        self._market_ids = {market.symbol: number for number, market in markets.items()}
        self._points = rows.points
        self._stored_balances = {
            currency: (free, locked) for currency, free, locked in rows.balances
        }
        last = ((markets[m].symbol, point.price, point.seq) for m, point in rows.points.items())
        orders = (order for _, order in rows.orders)
        stakes = [
            (markets[number].symbol, base, cost, leverage)
            for number, base, cost, leverage in rows.stakes
            if number in markets
        ]
        self._book = Book.from_rows(
            markets.values(),
            BookRows(tuple(rows.balances), tuple(orders), tuple(last), tuple(stakes)),
        )
        self._contracts = [n for n, m in markets.items() if m.kind is MarketKind.LINEAR]
        self._leverage = {number: leverage for number, _, _, leverage in rows.stakes}
        self._stored_stakes = {number: tuple(stake) for number, *stake in rows.stakes}
        self._moved: set[int] = set()
        self._placed: dict[str, tuple[int, int]] = {}
        self._fills: list[tuple[int, int, Fill]] = []
        self._payments: list[tuple[int, Payment]] = []
        self._known: dict[str, VenueOrder] = {}

    # --- the port -----------------------------------------------------------------------------

    def place(self, symbol: str, order: Order) -> Outcome:
        """Take an order in at the point where the account stands."""
        market_id = self._market_ids[symbol]
        if order.client_id in self._known:
            return Refused("duplicate_client_id")
        point = self._points.get(market_id)
        if point is None:
            return Refused("no_price")
        outcome, fills = self._book.place(
            symbol,
            order.client_id,
            order.key.side,
            order.kind,
            order.price,
            order.quantity,
            point.time,
            closes=order.key.purpose in CLOSING,
        )
        if isinstance(outcome, Accepted):
            self._placed[order.client_id] = (market_id, point.seq)
        self._keep(market_id, point, fills)
        return outcome

    def cancel(self, symbol: str, client_id: str) -> Outcome:
        """Take an order back; Accepted also if it was already closed."""
        if self._book.find(client_id) is None:
            closed = self._known.get(client_id)
            return Accepted(closed.venue_id) if closed else Refused("unknown_order")
        return self._book.cancel(client_id, self._points[self._market_ids[symbol]].time)

    def find(self, symbol: str, client_id: str) -> VenueOrder | None:
        """Look an order up: open ones, those of this look, and those made known by `look_up`."""
        order = self._book.find(client_id)
        return _venue_order(order, client_id) if order is not None else self._known.get(client_id)

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        """List what stands in the book."""
        return [_venue_order(order, order.client_id) for order in self._book.open_orders(symbol)]

    def fills_since(self, symbol: str, cursor: str) -> FillPage:
        """List stored fills after a cursor; call it after the venue's `save`."""
        news = fills_after({self.account_id: cursor}).get(self.account_id, NO_NEWS)
        market_id = self._market_ids[symbol]
        fills = tuple(fill for number, fill in news.fills if number == market_id)
        return FillPage(fills, news.cursor or cursor)

    def balances(self) -> Mapping[str, Balance]:
        """Return free and locked money by currency."""
        return self._book.balances()

    def position(self, symbol: str) -> Decimal:
        """Return how many coins of a contract are held, negative when owed."""
        return self._book.stake(symbol).base

    def market(self, symbol: str) -> Market:
        """Return the pair's rules with the account's fees."""
        return self._markets[self._market_ids[symbol]]

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Set how many times its margin the position in a contract may be worth."""
        market_id = self._market_ids[symbol]
        if self._leverage.get(market_id) != leverage and self._book.set_leverage(symbol, leverage):
            self._leverage[market_id] = leverage

    # --- time ---------------------------------------------------------------------------------

    def point(self, market_id: int) -> PricePoint | None:
        """Return where the account stands in a market: the last price that it has seen."""
        return self._points.get(market_id)

    @property
    def has_new_fills(self) -> bool:
        """Say whether something was filled since the account was read or written."""
        return bool(self._fills)

    def begin_at(self, market_id: int, point: PricePoint) -> None:
        """Let a market that the account never looked at begin at this point."""
        if market_id not in self._points:
            self._book.advance(self._markets[market_id].symbol, point)
            self._stand_at(market_id, point)

    def advance(
        self, points: Mapping[int, Sequence[PricePoint]], triggers: Mapping[int, Sequence[Triggers]]
    ) -> Progress:
        """Walk through points until one fills, pays, or reaches a trigger, or none is left.

        `points` are those after the account's cursor, by market; several markets are walked in
        the order of time. Where nothing rests and nothing waits, the last point is all that counts.
        """
        walked = {}
        for market_id, later in points.items():
            if not later:
                continue
            symbol = self._markets[market_id].symbol
            waiting = first_of(triggers.get(market_id, ()))
            # A position may be liquidated at any price.
            held = self._book.stake(symbol).base != 0
            if waiting != Triggers() or held or self._book.open_orders(symbol):
                walked[market_id] = (symbol, later, waiting)
            else:
                self._book.advance(symbol, later[-1])
                self._stand_at(market_id, later[-1])
        return self._walk(walked)

    def _walk(self, walked: Mapping[int, tuple[str, Sequence[PricePoint], Triggers]]) -> Progress:
        # Where each market stands is noted once, at the end: most points change nothing.
        reached: dict[int, PricePoint] = {}
        steps = _in_order_of_time(walked)
        progress = None
        for market_id, point in steps:
            symbol, _, waiting = walked[market_id]
            fills = self._book.advance(symbol, point)
            reached[market_id] = point
            crossed = waiting.crossed(point.price)
            payments = [] if point.funding is None else self._book.take_payments()
            if fills or crossed or payments:
                self._keep(market_id, point, fills)
                self._payments += [(market_id, payment) for payment in payments]
                caught_up = next(iter(steps), None) is None
                touched = frozenset({market_id} if crossed else ())
                progress = Progress(tuple(fills), touched, caught_up, bool(payments))
                break
        for market_id, point in reached.items():
            self._stand_at(market_id, point)
        return progress or Progress((), frozenset(), True)

    def _stand_at(self, market_id: int, point: PricePoint) -> None:
        self._points[market_id] = point
        self._moved.add(market_id)

    def _keep(self, market_id: int, point: PricePoint, fills: Iterable[Fill]) -> None:
        self._fills += [(market_id, point.seq, fill) for fill in fills]

    # --- rows ---------------------------------------------------------------------------------

    def know(self, order: VenueOrder) -> None:
        """Remember an order that the venue has or had."""
        self._known[order.client_id] = order

    def hand_over(self, changes: Changes) -> None:
        """Give what changed since the account was read, or handed over last, to be written."""
        number = self.account_id
        for order in self._book.take_changes():
            place = self._placed.pop(order.client_id, None)
            if place is None:
                changes.add_changed(number, order)
            else:
                changes.add_placed(number, *place, order)
        for fill in self._fills:
            changes.add_fill(number, *fill)
        self._fills.clear()
        for market_id, payment in self._payments:
            changes.add_payment(number, market_id, payment)
        self._payments.clear()
        for currency, balance in self._book.balances().items():
            if self._stored_balances.get(currency) != balance:
                changes.balances.append((number, currency, *balance))
                self._stored_balances[currency] = balance
        for market_id in self._contracts:
            stake = self._book.stake(self._markets[market_id].symbol)
            now = (stake.base, stake.cost, self._leverage.get(market_id, ONE))
            if self._stored_stakes.get(market_id) != now:
                changes.stakes.append((number, market_id, *now))
                self._stored_stakes[market_id] = now
        for market_id in sorted(self._moved):
            point = self._points[market_id]
            changes.cursors.append((number, market_id, point.seq, point.price, point.time))
        self._moved.clear()


class PaperVenue:
    """Many accounts of the paper venue, read and written with a few statements for all of them."""

    def __init__(self, accounts: dict[int, PaperAccount]) -> None:
        self._accounts = accounts

    @classmethod
    def load(cls, markets: Mapping[int, Markets]) -> "PaperVenue":
        """Read accounts, each with its markets, and lock them to the transaction's end."""
        rows = read_accounts(_symbols(markets))
        return cls(
            {number: PaperAccount(number, markets[number], rows[number]) for number in markets}
        )

    def account(self, account_id: int) -> PaperAccount:
        """Return one account."""
        return self._accounts[account_id]

    def look_up(self, wanted: Collection[tuple[int, str]]) -> None:
        """Make orders known by (account, client id), closed ones too, for `find` and `place`."""
        if not wanted:
            return
        markets = {number: account._markets for number, account in self._accounts.items()}
        for known in read_orders(wanted, _symbols(markets)):
            order = _venue_order(known.order, str(known.id))
            self._accounts[known.account_id].know(order)

    def save(self) -> None:
        """Write all that changed since `load`, each table with one statement."""
        changes = Changes()
        for account in self._accounts.values():
            account.hand_over(changes)
        changes.write()


def _symbols(markets: Mapping[int, Markets]) -> dict[int, dict[int, str]]:
    return {
        number: {market_id: market.symbol for market_id, market in given.items()}
        for number, given in markets.items()
    }


def _venue_order(order: BookOrder, venue_id: str) -> VenueOrder:
    return VenueOrder(
        client_id=order.client_id,
        symbol=order.symbol,
        side=order.side,
        kind=order.kind,
        price=order.price,
        quantity=order.quantity,
        filled=order.filled,
        status=order.status,
        venue_id=venue_id,
        time=order.placed_at,
    )


def _in_order_of_time(
    walked: Mapping[int, tuple[str, Sequence[PricePoint], Triggers]],
) -> Iterator[tuple[int, PricePoint]]:
    if len(walked) == 1:
        [(market_id, (_, later, _))] = walked.items()
        yield from ((market_id, point) for point in later)
        return
    roads = [
        [(point.time, market_id, point) for point in later]
        for market_id, (_, later, _) in walked.items()
    ]
    for _, market_id, point in merge(*roads, key=lambda step: step[:2]):
        yield market_id, point
