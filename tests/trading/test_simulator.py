"""The pretend venue: when orders fill, at what price and fee, and that money is never lost."""

import random
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.market import FeeSide, Market, PricePoint, exact
from app.trading.orders import Fill, OrderKind, Side, Status
from app.trading.ports import Accepted, Balance, Outcome, Refused
from app.trading.simulator import Book
from tests.examples import tried
from tests.trading.world import at, market

LIMIT, MARKET = OrderKind.LIMIT, OrderKind.MARKET
BUY, SELL = Side.BUY, Side.SELL


def opened(on: Market | None = None, *, touch: bool = False, price: str = "100") -> Book:
    """Return a book with 1000 USDT and 10 ABC that has seen a price."""
    on = on or market()
    book = Book([on], {"USDT": D(1000), "ABC": D(10)}, touch=touch)
    see(book, price)
    return book


def see(book: Book, price: str, liquidity: str | None = None) -> list[Fill]:
    limit = None if liquidity is None else D(liquidity)
    return book.advance("ABC/USDT", PricePoint(1, at(1), D(price)), limit)


def put(
    book: Book, name: str, side: Side, price: str | None, quantity: str
) -> tuple[Outcome, list[Fill]]:
    kind = MARKET if price is None else LIMIT
    asked = None if price is None else D(price)
    return book.place("ABC/USDT", name, side, kind, asked, D(quantity), at(2))


@pytest.mark.parametrize(
    ("on", "touch", "price", "fills"),
    [
        (market(), False, "90", 0),
        (market(), False, "89.995", 0),
        (market(), False, "89.99", 1),
        (market(), False, "50", 1),
        (market(), True, "90", 1),
        (market(), True, "90.01", 0),
        (market(tick=None), False, "90", 0),
        (market(tick=None), False, "89.9999", 1),
        (market(tick=None), True, "90", 1),
    ],
)
def test_a_buy_fills_when_the_price_trades_through_it(
    on: Market, touch: bool, price: str, fills: int
) -> None:
    book = opened(on, touch=touch)
    put(book, "a", BUY, "90", "1")
    assert book.would_fill("ABC/USDT", D(price)) is bool(fills)
    assert len(see(book, price)) == fills


@pytest.mark.parametrize(
    ("on", "touch", "price", "fills"),
    [
        (market(), False, "110", 0),
        (market(), False, "110.01", 1),
        (market(), True, "110", 1),
        (market(tick=None), False, "110", 0),
        (market(tick=None), False, "110.0001", 1),
    ],
)
def test_a_sell_fills_when_the_price_trades_through_it(
    on: Market, touch: bool, price: str, fills: int
) -> None:
    book = opened(on, touch=touch)
    put(book, "a", SELL, "110", "1")
    assert book.would_fill("ABC/USDT", D(price)) is bool(fills)
    assert len(see(book, price)) == fills


def test_a_resting_order_fills_at_its_own_price_as_maker() -> None:
    book = opened(market(maker_fee=D("0.002")))
    put(book, "a", BUY, "90", "2")
    (fill,) = see(book, "80")
    assert (fill.price, fill.quantity, fill.maker) == (D(90), D(2), True)
    assert (fill.fee, fill.fee_currency) == (D("0.004"), "ABC")
    assert book.balances() == {"USDT": Balance(D(820)), "ABC": Balance(D("11.996"))}


def test_a_sell_pays_its_fee_in_quote() -> None:
    book = opened()
    put(book, "a", SELL, "110", "2")
    assert book.balance("ABC") == Balance(D(8), D(2))
    (fill,) = see(book, "111")
    assert (fill.fee, fill.fee_currency) == (D("0.22"), "USDT")
    assert book.balances() == {"USDT": Balance(D("1219.78")), "ABC": Balance(D(8))}


def test_a_buy_with_its_fee_in_quote_locks_the_fee_too() -> None:
    book = opened(market(fee_side=FeeSide.QUOTE))
    put(book, "a", BUY, "90", "2")
    assert book.balance("USDT") == Balance(D("819.82"), D("180.18"))
    see(book, "80")
    assert book.balances() == {"USDT": Balance(D("819.82")), "ABC": Balance(D(12))}


def test_a_market_order_fills_at_the_last_price_as_taker() -> None:
    book = opened(market(taker_fee=D("0.01")))
    outcome, (fill,) = put(book, "a", BUY, None, "2")
    assert isinstance(outcome, Accepted)
    assert (fill.price, fill.fee, fill.maker) == (D(100), D("0.02"), False)


@pytest.mark.parametrize(("side", "price"), [(BUY, "100"), (BUY, "105"), (SELL, "95")])
def test_a_limit_order_that_could_trade_at_once_takes_the_last_price(
    side: Side, price: str
) -> None:
    _, (fill,) = put(opened(), "a", side, price, "1")
    assert (fill.price, fill.maker) == (D(100), False)


def test_several_orders_fill_best_price_first_and_older_first() -> None:
    book = opened()
    for name, price in (("low", "85"), ("old", "90"), ("new", "90"), ("mid", "88")):
        put(book, name, BUY, price, "1")
    assert [fill.client_id for fill in see(book, "80")] == ["old", "new", "mid", "low"]
    book = opened()
    for name, price in (("high", "120"), ("old", "110"), ("new", "110")):
        put(book, name, SELL, price, "1")
    assert [fill.client_id for fill in see(book, "130")] == ["old", "new", "high"]


def test_little_liquidity_fills_in_parts() -> None:
    book = opened()
    put(book, "a", BUY, "90", "2")
    (first,) = see(book, "80", "0.5")
    found = book.find("a")
    assert found is not None
    assert (first.quantity, found.status, found.filled) == (D("0.5"), Status.PARTIAL, D("0.5"))
    assert book.balance("USDT") == Balance(D(820), D(135))
    (second,) = see(book, "80")
    assert second.quantity == D("1.5")
    assert first.trade_id != second.trade_id
    assert book.balance("USDT") == Balance(D(820), D(0))


@pytest.mark.parametrize(
    ("side", "price", "quantity", "code"),
    [
        (BUY, "90", "11.112", "insufficient_balance"),
        (SELL, "110", "10.001", "insufficient_balance"),
        (BUY, None, "10.001", "insufficient_balance"),
        (BUY, "90.001", "1", "price_off_tick"),
        (BUY, "0", "1", "bad_price"),
        (BUY, "-1", "1", "bad_price"),
        (BUY, "90", "0.0001", "quantity_off_lot"),
        (BUY, "90", "0", "quantity_off_lot"),
        (BUY, "90", "0.011", "below_minimum_order"),
    ],
)
def test_a_bad_order_is_refused_and_changes_nothing(
    side: Side, price: str | None, quantity: str, code: str
) -> None:
    book = opened()
    before = book.rows()
    assert put(book, "a", side, price, quantity) == (Refused(code), [])
    assert book.rows() == before


def test_a_twin_is_refused_even_after_the_first_has_closed() -> None:
    book = opened()
    put(book, "a", BUY, "90", "1")
    assert put(book, "a", BUY, "90", "1")[0] == Refused("duplicate_client_id")
    book.cancel("a", at(3))
    assert put(book, "a", BUY, "90", "1")[0] == Refused("duplicate_client_id")


def test_no_more_orders_than_the_venue_takes() -> None:
    book = opened(market(max_orders=1))
    put(book, "a", BUY, "90", "1")
    assert put(book, "b", BUY, "91", "1")[0] == Refused("too_many_open_orders")


def test_without_a_price_a_market_order_is_refused() -> None:
    book = Book([market()], {"USDT": D(1000)})
    assert put(book, "a", BUY, None, "1")[0] == Refused("no_price")


def test_an_unknown_market_is_refused() -> None:
    outcome, _ = opened().place("X/Y", "a", BUY, LIMIT, D(1), D(1), at(2))
    assert outcome == Refused("unknown_symbol")


def test_cancelling_frees_what_is_left_and_may_be_repeated() -> None:
    book = opened()
    put(book, "a", BUY, "90", "2")
    see(book, "80", "0.5")
    for _ in range(2):
        assert isinstance(book.cancel("a", at(3)), Accepted)
    found = book.find("a")
    assert found is not None
    assert (found.status, found.closed_at) == (Status.CANCELLED, at(3))
    assert book.balance("USDT") == Balance(D(955), D(0))
    assert see(book, "50") == []
    assert book.cancel("b", at(3)) == Refused("unknown_order")


def test_changes_are_told_once() -> None:
    book = opened()
    put(book, "a", BUY, "90", "1")
    see(book, "80")
    assert [(o.client_id, o.status) for o in book.take_changes()] == [("a", Status.FILLED)]
    assert book.take_changes() == []


def test_markets_of_one_account_share_its_money() -> None:
    other = market(symbol="XYZ/USDT", base="XYZ")
    book = Book([market(), other], {"USDT": D(100)})
    put(book, "a", BUY, "90", "1")
    outcome, _ = book.place("XYZ/USDT", "b", BUY, LIMIT, D(90), D(1), at(2))
    assert outcome == Refused("insufficient_balance")
    assert [order.symbol for order in book.open_orders("ABC/USDT")] == ["ABC/USDT"]
    assert book.open_orders("XYZ/USDT") == []


moves = st.lists(
    st.one_of(
        st.tuples(st.just("see"), st.integers(60, 140), st.sampled_from([None, "0.3", "2.5"])),
        st.tuples(st.just("put"), st.integers(60, 140), st.integers(1, 4000)),
        st.tuples(st.just("market"), st.integers(0, 1), st.integers(1, 3000)),
        st.tuples(st.just("cancel"), st.integers(0, 50), st.none()),
    ),
    max_size=60,
)
any_market = st.builds(
    market,
    fee_side=st.sampled_from(FeeSide),
    maker_fee=st.sampled_from([D(0), D("0.001"), D("0.000123456789"), D("-0.0001")]),
    taker_fee=st.sampled_from([D(0), D("0.001"), D("0.0006789123")]),
    tick=st.sampled_from([D("0.01"), D(1), None]),
    lot=st.sampled_from([D("0.001"), None]),
)


def play(book: Book, move: Any, number: int) -> list[Fill]:
    kind, first, second = move
    if kind == "see":
        return see(book, str(first), second)
    if kind == "cancel":
        names = [order.client_id for order in book.open_orders()]
        if names:
            book.cancel(names[first % len(names)], at(number))
        return []
    quantity = D(second) / 1000
    if kind == "market":
        side, price, how = (BUY if first else SELL), None, MARKET
    else:
        side, price, how = (BUY if first < 100 else SELL), D(first), LIMIT
    return book.place("ABC/USDT", f"o{number}", side, how, price, quantity, at(number))[1]


@tried(50)
@given(moves, any_market)
@exact
def test_money_is_never_negative_and_only_moves_by_fills(played: list[Any], on: Market) -> None:
    book = opened(on)
    base, quote = D(10), D(1000)
    seen: set[str] = set()
    for number, move in enumerate(played):
        for fill in play(book, move, number):
            assert fill.trade_id not in seen
            seen.add(fill.trade_id)
            sign = 1 if fill.side is BUY else -1
            base += sign * fill.quantity - (fill.fee if fill.fee_currency == "ABC" else 0)
            quote -= sign * fill.price * fill.quantity
            quote -= fill.fee if fill.fee_currency == "USDT" else 0
        coins, cash = book.balance("ABC"), book.balance("USDT")
        assert min(coins.free, coins.locked, cash.free, cash.locked) >= 0
        assert (coins.total, cash.total) == (base, quote)
    for order in book.open_orders():
        book.cancel(order.client_id, at(99))
    assert book.balance("ABC").locked == book.balance("USDT").locked == 0


@tried(20)
@given(moves, any_market, st.integers(0, 10**6))
def test_a_book_read_back_from_rows_goes_on_the_same(
    played: list[Any], on: Market, seed: int
) -> None:
    stays, stored = opened(on), opened(on)
    source = random.Random(seed)
    for number, move in enumerate(played):
        assert play(stays, move, number) == play(stored, move, number)
        if source.random() < 0.3:
            stored = Book.from_rows([on], stored.rows())
        assert without_ranks(stored) == without_ranks(stays)


def without_ranks(book: Book) -> tuple[Any, ...]:
    """Return the rows of a book; ranks only order what stands, so they may start anew."""
    rows = book.rows()
    orders = [replace(order, rank=0) for order in rows.orders]
    return rows.balances, orders, rows.last_prices
