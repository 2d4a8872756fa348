"""The paper venue over rows: it goes on where it stood and refuses what a venue refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from app.db import db
from app.exchanges.models import PaperBalance, PaperOrder
from app.exchanges.paper import PaperAccount, PaperVenue
from app.exchanges.paper_rows import fills_after
from app.trading.market import FeeSide, Market, PricePoint, Triggers
from app.trading.orders import Order, OrderKey, OrderKind, Purpose, Side, Status
from app.trading.ports import Accepted, Refused
from app.trading.simulator import Book
from app.transactions import transaction
from tests.factories import make_account, make_market, make_user
from tests.long import few

START = datetime(2026, 1, 5, tzinfo=UTC)


class Desk:
    """One account and two pairs, opened anew for every step."""

    def __init__(self) -> None:
        with transaction():
            self.account_id = make_account(make_user()).id
            rows = [make_market("AAA/USDT"), make_market("BBB/USDT")]
            self.markets = {row.id: _market(row.symbol) for row in rows}
        self.first, self.second = self.markets

    @contextmanager
    def open(self) -> Iterator[PaperAccount]:
        """Read, let something happen, write."""
        with transaction():
            venue = PaperVenue.load({self.account_id: self.markets})
            yield venue.account(self.account_id)
            venue.save()

    def begin(self, price: str = "100") -> None:
        """Let both pairs have a price."""
        with self.open() as account:
            for market_id in self.markets:
                account.begin_at(market_id, point(1, price))

    def balances(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return stored money: free and locked."""
        with transaction():
            rows = db.session.execute(select(PaperBalance.__table__))
            return {row.currency: (row.free, row.locked) for row in rows}


def _market(symbol: str) -> Market:
    return Market(
        symbol,
        symbol[:3],
        "USDT",
        tick=Decimal("0.01"),
        lot=Decimal("0.0001"),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
        fee_side=FeeSide.RECEIVED_ASSET,
    )


def point(seq: int, price: Decimal | str) -> PricePoint:
    """Make a price that happens a second after the one before."""
    return PricePoint(seq, START + timedelta(seconds=seq), Decimal(price))


def order(name: str, side: Side, price: str | None, quantity: str = "1") -> Order:
    """Make an order."""
    return Order(
        client_id=name,
        key=OrderKey(Purpose.GRID, 1, side),
        attempt=0,
        kind=OrderKind.LIMIT if price else OrderKind.MARKET,
        price=Decimal(price) if price else None,
        quantity=Decimal(quantity),
        status=Status.INTENDED,
    )


@pytest.fixture
def desk(database: None) -> Desk:
    """Return an account with 10,000 USDT whose pairs stand at 100."""
    desk = Desk()
    desk.begin()
    return desk


def test_a_resting_order_locks_its_money_and_is_there_when_read_again(desk: Desk) -> None:
    with desk.open() as account:
        assert isinstance(account.place("AAA/USDT", order("b1", Side.BUY, "99")), Accepted)
    assert desk.balances() == {"USDT": (Decimal(9901), Decimal(99))}
    with desk.open() as account:
        (found,) = account.open_orders("AAA/USDT")
        assert (found.client_id, found.price, found.status) == ("b1", Decimal(99), Status.OPEN)
        assert account.find("AAA/USDT", "b1") is not None
        assert account.open_orders("BBB/USDT") == []


def test_a_point_beyond_the_price_fills_and_the_fill_is_told_once_after_its_cursor(
    desk: Desk,
) -> None:
    with desk.open() as account:
        account.place("AAA/USDT", order("b1", Side.BUY, "99"))
    with desk.open() as account:
        progress = account.advance({desk.first: [point(2, "99"), point(3, "98.99")]}, {})
        assert [fill.client_id for fill in progress.fills] == ["b1"]
        assert progress.caught_up
    assert desk.balances() == {
        "USDT": (Decimal(9901), Decimal(0)),
        "AAA": (Decimal("0.999"), Decimal(0)),
    }
    with transaction():
        news = fills_after({desk.account_id: ""})[desk.account_id]
        assert [fill.trade_id for _, fill in news.fills] == ["b1-end"]
        assert fills_after({desk.account_id: news.cursor}) == {}


def test_it_stops_at_the_first_point_that_brings_news(desk: Desk) -> None:
    with desk.open() as account:
        account.place("AAA/USDT", order("b1", Side.BUY, "99"))
        account.place("AAA/USDT", order("b2", Side.BUY, "97"))
    later = [point(2, "98.5"), point(3, "98"), point(4, "96.5"), point(5, "99")]
    with desk.open() as account:
        first = account.advance({desk.first: later}, {})
        assert (len(first.fills), first.caught_up) == (1, False)
        here = account.point(desk.first)
        assert here is not None and here.seq == 2
    with desk.open() as account:
        second = account.advance({desk.first: later[1:]}, {})
        here = account.point(desk.first)
        assert here is not None and here.seq == 4
        assert (len(second.fills), second.caught_up) == (1, False)


def test_a_trigger_stops_it_too_and_tells_where(desk: Desk) -> None:
    with desk.open() as account:
        progress = account.advance(
            {desk.first: [point(2, "101"), point(3, "105"), point(4, "106")]},
            {desk.first: [Triggers(below=Decimal(90), above=Decimal(105))]},
        )
        assert (progress.crossed, progress.caught_up) == (frozenset({desk.first}), False)
        here = account.point(desk.first)
        assert here is not None and here.seq == 3


def test_where_nothing_waits_only_the_last_point_counts(desk: Desk) -> None:
    with desk.open() as account:
        progress = account.advance({desk.first: [point(n, "50") for n in range(2, 500)]}, {})
        assert progress.caught_up and not progress.fills
    with desk.open() as account:
        here = account.point(desk.first)
        assert here is not None and (here.seq, here.price) == (499, Decimal(50))


def test_two_pairs_are_walked_in_the_order_of_time(desk: Desk) -> None:
    with desk.open() as account:
        account.place("AAA/USDT", order("a1", Side.BUY, "99"))
        account.place("BBB/USDT", order("b1", Side.BUY, "99"))
    ahead = [PricePoint(2, START + timedelta(seconds=9), Decimal(98))]
    earlier = [PricePoint(2, START + timedelta(seconds=5), Decimal(98))]
    with desk.open() as account:
        progress = account.advance({desk.first: ahead, desk.second: earlier}, {})
        assert [fill.client_id for fill in progress.fills] == ["b1"]
        assert not progress.caught_up


def test_a_market_order_fills_at_once_at_the_last_price(desk: Desk) -> None:
    with desk.open() as account:
        account.place("AAA/USDT", order("m1", Side.BUY, None, "2"))
        assert account.has_new_fills
    assert desk.balances()["AAA"] == (Decimal("1.998"), Decimal(0))


def test_cancelling_frees_the_money_and_twice_is_accepted(desk: Desk) -> None:
    with desk.open() as account:
        account.place("AAA/USDT", order("b1", Side.BUY, "99"))
    for _ in range(2):
        with transaction():
            venue = PaperVenue.load({desk.account_id: desk.markets})
            venue.look_up({(desk.account_id, "b1")})
            account = venue.account(desk.account_id)
            assert isinstance(account.cancel("AAA/USDT", "b1"), Accepted)
            venue.save()
    assert desk.balances() == {"USDT": (Decimal(10_000), Decimal(0))}
    with desk.open() as account:
        assert account.cancel("AAA/USDT", "unheard") == Refused("unknown_order")


def test_a_twin_of_a_closed_order_is_refused_once_it_was_looked_up(desk: Desk) -> None:
    with desk.open() as account:
        account.place("AAA/USDT", order("m1", Side.BUY, None))
    with transaction():
        venue = PaperVenue.load({desk.account_id: desk.markets})
        venue.look_up({(desk.account_id, "m1")})
        account = venue.account(desk.account_id)
        found = account.find("AAA/USDT", "m1")
        assert found is not None and found.status is Status.FILLED
        answer = account.place("AAA/USDT", order("m1", Side.BUY, None))
        assert answer == Refused("duplicate_client_id")


def test_without_money_an_order_is_refused_and_nothing_is_written(desk: Desk) -> None:
    with desk.open() as account:
        answer = account.place("AAA/USDT", order("b1", Side.BUY, "99", "1000"))
        assert answer == Refused("insufficient_balance")
        answer = account.place("AAA/USDT", order("s1", Side.SELL, "101"))
        assert answer == Refused("insufficient_balance")
    with transaction():
        assert db.session.scalars(select(PaperOrder)).all() == []


def test_without_a_price_there_is_no_trading(database: None) -> None:
    with Desk().open() as account:
        assert account.place("AAA/USDT", order("b1", Side.BUY, "99")) == Refused("no_price")


@pytest.mark.parametrize("seed", few(range(4), 4))
def test_rows_read_back_at_every_step_trade_as_one_book_in_memory(desk: Desk, seed: int) -> None:
    random = Random(seed)
    book = Book(desk.markets.values(), {"USDT": Decimal(10_000)})
    for market in desk.markets.values():
        book.advance(market.symbol, point(1, "100"))
    expected: list[Any] = []
    seqs = dict.fromkeys(desk.markets, 1)
    for step in range(60):
        market_id = random.choice(list(desk.markets))
        symbol = desk.markets[market_id].symbol
        at = START + timedelta(seconds=seqs[market_id])
        with desk.open() as account:
            if random.random() < 0.5:
                side = random.choice(list(Side))
                price = str(100 + random.randint(-300, 300) / Decimal(100))
                new = order(f"o{step}", side, price, "0.5")
                answer, fills = book.place(
                    symbol, new.client_id, side, new.kind, new.price, new.quantity, at
                )
                assert type(account.place(symbol, new)) is type(answer)
            elif random.random() < 0.3:
                name = f"o{random.randrange(step + 1)}"
                if (known := book.find(name)) and known.status.is_live:
                    book.cancel(name, at)
                    account.cancel(known.symbol, name)
                fills = []
            else:
                seqs[market_id] += 1
                price = str(100 + random.randint(-300, 300) / Decimal(100))
                here = point(seqs[market_id], price)
                fills = book.advance(symbol, here)
                account.advance({market_id: [here]}, {})
            expected += fills
    with transaction():
        news = fills_after({desk.account_id: ""}).get(desk.account_id)
    told = [fill for _, fill in news.fills] if news else []
    assert told == expected
    assert desk.balances() == {name: tuple(each) for name, each in book.balances().items()}
