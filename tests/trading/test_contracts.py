"""Contracts settled in quote: positions, margin, liquidation, funding, and books that agree."""

from dataclasses import replace
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.contracts import (
    OrderSums,
    Stake,
    bankruptcy_price,
    exposure,
    funding_payment,
    liquidation_of,
    liquidation_price,
)
from app.trading.market import FeeSide, Market, MarketKind, PricePoint, Tier, booked, exact
from app.trading.orders import Fill, OrderKind, Side, Status
from app.trading.performance import figures, opened
from app.trading.ports import Accepted, Balance, Outcome, Refused
from app.trading.simulator import LIQUIDATION, Book
from tests.examples import tried
from tests.trading.world import at, market

LIMIT, MARKET, STOP = OrderKind.LIMIT, OrderKind.MARKET, OrderKind.STOP
BUY, SELL = Side.BUY, Side.SELL
FREE = market(kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE, maker_fee=D(0), taker_fee=D(0))
PERP = market(
    kind=MarketKind.LINEAR,
    fee_side=FeeSide.QUOTE,
    maker_fee=D("0.0002"),
    taker_fee=D("0.00055"),
    tiers=(Tier(D(0), D("0.005")), Tier(D(2000), D("0.01"), D(10))),
)


def book_of(
    on: Market = FREE, money: str = "1000", leverage: str = "5", price: str = "100"
) -> Book:
    book = Book([on], {"USDT": D(money)})
    book.set_leverage(on.symbol, D(leverage))
    see(book, price)
    return book


def see(book: Book, price: str) -> list[Fill]:
    last = book.last_price("ABC/USDT")
    seq = 1 if last is None else last.seq + 1
    return list(book.advance("ABC/USDT", PricePoint(seq, at(seq), D(price))))


def put(
    book: Book, name: str, side: Side, price: str | None, quantity: str, kind: OrderKind = LIMIT
) -> Outcome:
    if price is None:
        kind = MARKET
    asked = None if price is None else D(price)
    return book.place("ABC/USDT", name, side, kind, asked, D(quantity), at(1))[0]


def test_a_position_grows_shrinks_and_turns_at_average_cost() -> None:
    stake, profit = Stake().after(BUY, D(100), D(2))
    stake, profit = stake.after(BUY, D(130), D(1))
    assert (stake, profit) == (Stake(D(3), D(330)), D(0))
    stake, profit = stake.after(SELL, D(120), D(1))
    assert (stake, profit) == (Stake(D(2), D(220)), D(10))
    stake, profit = stake.after(SELL, D(100), D(5))
    assert (stake, profit) == (Stake(D(-3), D(300)), D(-20))
    stake, profit = stake.after(BUY, D(90), D(3))
    assert (stake, profit) == (Stake(), D(30))


def test_margin_counts_the_dearer_way_and_closing_orders_for_nothing() -> None:
    orders = OrderSums(D(2), D(180), D(5), D(600))
    assert exposure(Stake(), orders) == 600
    assert exposure(Stake(D(5), D(500)), orders) == 680
    assert exposure(Stake(D(-1), D(110)), orders) == 710


def test_the_example_of_a_venue_is_liquidated_where_it_says() -> None:
    # By hand: (1000 + 5 - 10 * 100) / (10 * 0.02 - 10), and mirrored.
    assert booked(liquidation_price(BUY, D(10), D(100), D(98), D("0.02"))) == booked(
        D(902) / D("9.8")
    )
    short = liquidation_price(SELL, D(10), D(100), D(98), D("0.02"), D(5))
    assert booked(short) == booked(D(1103) / D("10.2"))


def test_the_tier_is_that_of_the_position_at_its_liquidation() -> None:
    stake = Stake(D(100), D(10_000))
    low = (Tier(D(0), D("0.01")), Tier(D(1_000_000), D("0.5"), D(1)))
    assert liquidation_of(stake, D(1000), low) == liquidation_price(
        BUY, D(100), D(100), D(1000), D("0.01")
    )
    high = (Tier(D(0), D("0.01")), Tier(D(5000), D("0.02"), D(50)))
    wanted = liquidation_price(BUY, D(100), D(100), D(1000), D("0.02"), D(50))
    assert liquidation_of(stake, D(1000), high) == wanted


def test_a_position_with_enough_money_is_never_liquidated() -> None:
    assert liquidation_of(Stake(D(1), D(100)), D(100), (Tier(D(0), D("0.01")),)) is None
    assert liquidation_of(Stake(), D(100), ()) is None


def test_longs_pay_positive_funding_and_shorts_receive_it() -> None:
    assert funding_payment(D(2), D(100), D("0.0001")) == D("-0.02")
    assert funding_payment(D(-2), D(100), D("0.0001")) == D("0.02")
    assert funding_payment(D(2), D(100), D("-0.0001")) == D("0.02")


def test_a_contract_binds_margin_and_not_the_whole_value() -> None:
    book = book_of(leverage="5")
    assert put(book, "a", BUY, "90", "10") == Accepted("a")
    assert book.balance("USDT").locked == 180
    assert put(book, "b", SELL, "110", "10") == Accepted("b")
    assert book.balance("USDT").locked == 220
    assert put(book, "c", SELL, "110", "40") == Refused("insufficient_balance")
    assert put(book, "d", SELL, "111", "35") == Accepted("d")
    book.cancel("d", at(2))
    see(book, "89")
    assert book.stake("ABC/USDT") == Stake(D(10), D(900))
    # The sell only closes now: 900 / 5.
    assert book.balance("USDT").locked == 180
    see(book, "111")
    assert book.stake("ABC/USDT") == Stake()
    assert book.balance("USDT").free == 1200
    assert book.balance("USDT").locked == 0


def test_a_short_earns_when_the_price_falls() -> None:
    book = book_of()
    put(book, "a", SELL, None, "10")
    put(book, "b", BUY, "80", "10")
    see(book, "79")
    assert book.balance("USDT").total == 1200


def test_funding_moves_the_wallet() -> None:
    book = book_of()
    put(book, "a", BUY, None, "10")
    assert book.fund("ABC/USDT", D("0.0001"), D(100)) == D("-0.1")
    assert book.balance("USDT").total == D("999.9")


def test_a_liquidation_takes_the_wallet_and_every_order() -> None:
    book = book_of(on=PERP, leverage="10")
    put(book, "a", BUY, None, "50")
    put(book, "b", BUY, "70", "1")
    assert not book.would_fill("ABC/USDT", D(85))
    assert book.would_fill("ABC/USDT", D(80))
    (fill,) = see(book, "80")
    assert fill.client_id == LIQUIDATION
    assert book.stake("ABC/USDT") == Stake()
    assert 0 <= book.balance("USDT").total < D("1e-15")
    found = book.find("b")
    assert found is not None
    assert found.status is Status.CANCELLED
    assert not book.open_orders()


def test_bankruptcy_is_where_the_wallet_is_gone() -> None:
    assert bankruptcy_price(Stake(D(10), D(1000)), D(200)) == 80
    assert bankruptcy_price(Stake(D(-10), D(1000)), D(200)) == 120
    assert bankruptcy_price(Stake(D(10), D(1000)), D(2000)) == 0


steps = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "see", "cancel", "fund", "stop"]),
        st.integers(8000, 12000),
        st.integers(1, 40),
    ),
    min_size=4,
    max_size=60,
)


@tried(50)
@given(steps, st.sampled_from([FREE, PERP]), st.sampled_from(["1", "3", "20"]))
@exact
def test_wallet_and_position_equal_the_books_of_our_side_to_the_last_unit(
    walk: list[tuple[str, int, int]], on: Market, leverage: str
) -> None:
    book = book_of(on=on, leverage=leverage)
    books = opened(D(1000), D(100), on)
    price = D(100)
    for number, (what, cents, size) in enumerate(walk):
        at_price, quantity = D(cents) / 100, D(size) / 10
        fills: list[Fill] = []
        if what in ("buy", "sell"):
            kind = LIMIT if size % 3 else MARKET
            _, fills = book.place(
                on.symbol, f"o{number}", Side(what), kind,
                at_price if kind is LIMIT else None, quantity, at(number),
            )  # fmt: skip
        elif what == "stop":
            book.place(on.symbol, f"o{number}", SELL, STOP, at_price, quantity, at(number))
        elif what == "see":
            price = at_price
            fills = book.advance(on.symbol, PricePoint(number, at(number), price))
        elif what == "fund":
            books = books.with_funding(book.fund(on.symbol, D(size - 20) / 10_000, price))
        elif orders := book.open_orders():
            book.cancel(orders[size % len(orders)].client_id, at(number))
        for fill in fills:
            position = books.position.after(fill, on)
            books = replace(books, position=position)
        again = Book.from_rows([on], book.rows())
        assert again.rows() == book.rows()
        wallet, stake = book.balance("USDT"), book.stake(on.symbol)
        assert Stake(books.position.base, books.position.base_cost) == stake
        assert books.position.holdings.wallet == wallet.total
        assert wallet.locked >= 0
        shown = figures(books, price, on)
        assert (
            shown.value_now == wallet.total + booked(price * stake.base) - stake.sign * stake.cost
        )
        assert shown.total == shown.grid + shown.price_change + shown.funding


# --- closing ----------------------------------------------------------------------------------


def close(book: Book, name: str, side: Side, quantity: str) -> Outcome:
    return book.place("ABC/USDT", name, side, MARKET, None, D(quantity), at(1), closes=True)[0]


@pytest.mark.parametrize(("opened", "side"), [(BUY, SELL), (SELL, BUY)])
def test_an_order_that_closes_fills_no_more_than_the_position(opened: Side, side: Side) -> None:
    book = book_of()
    assert close(book, "early", side, "1") == Refused("nothing_to_close")
    put(book, "open", opened, None, "2")
    assert close(book, "wrong", opened, "1") == Refused("nothing_to_close")
    assert close(book, "part", side, "0.5") == Accepted("part")
    assert close(book, "rest", side, "5") == Accepted("rest")
    part, rest = book.find("part"), book.find("rest")
    assert part is not None and rest is not None
    assert (part.filled, part.status) == (D("0.5"), Status.FILLED)
    assert (rest.filled, rest.status) == (D("1.5"), Status.CANCELLED)
    assert book.stake("ABC/USDT").base == 0
    assert book.balance("USDT") == Balance(D(1000))


# --- stops ------------------------------------------------------------------------------------


def test_a_stop_on_spot_locks_the_coins_and_sells_at_the_price_that_reaches_it() -> None:
    on = market(maker_fee=D(0), taker_fee=D(0))
    book = Book([on], {"ABC": D(10), "USDT": D(0)})
    see(book, "100")
    assert put(book, "s", SELL, "95", "4", STOP) == Accepted("s")
    assert book.balance("ABC") == Balance(D(6), D(4))
    assert [order.kind for order in book.open_orders()] == [STOP]
    assert not see(book, "95.01")
    again = Book.from_rows([on], book.rows())
    assert again.would_fill("ABC/USDT", D(94))
    (fill,) = see(book, "94")
    assert (fill.price, fill.maker, fill.client_id) == (D(94), False, "s")
    assert book.balance("ABC") == Balance(D(6))
    assert book.balance("USDT").free == 376


def test_a_stop_can_be_cancelled_and_gives_the_coins_back() -> None:
    book = Book([market()], {"ABC": D(10)})
    see(book, "100")
    put(book, "s", SELL, "95", "4", STOP)
    book.cancel("s", at(2))
    assert book.balance("ABC") == Balance(D(10))
    assert not see(book, "90")


def test_a_stop_that_the_price_has_passed_is_refused() -> None:
    book = Book([market()], {"ABC": D(10), "USDT": D(5000)})
    see(book, "100")
    assert put(book, "s", SELL, "100", "4", STOP) == Refused("would_trigger_now")
    assert put(book, "b", BUY, "99", "4", STOP) == Refused("would_trigger_now")


def test_a_buy_stop_that_became_too_dear_is_cancelled() -> None:
    book = Book([market()], {"USDT": D(450)})
    see(book, "100")
    put(book, "b", BUY, "110", "4", STOP)
    assert not see(book, "120")
    found = book.find("b")
    assert found is not None
    assert found.status is Status.CANCELLED
    assert book.balance("USDT") == Balance(D(450))


@pytest.mark.parametrize(("held", "closed"), [("10", 4), ("3", 3), (None, 0)])
def test_a_stop_on_a_contract_binds_nothing_and_closes_at_most_the_position(
    held: str | None, closed: int
) -> None:
    book = book_of()
    if held:
        put(book, "a", BUY, None, held)
    bound = book.balance("USDT").locked
    put(book, "s", SELL, "95", "4", STOP)
    assert book.balance("USDT").locked == bound
    fills = see(book, "94")
    assert sum(fill.quantity for fill in fills) == closed
    assert book.stake("ABC/USDT").base == D(held or 0) - closed
    found = book.find("s")
    assert found is not None
    assert found.status is (Status.FILLED if closed == 4 else Status.CANCELLED)
