"""Orders: the whole table of changes, sums of fills, and ids."""

from decimal import Decimal as D
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import DomainError
from app.trading.market import FeeSide
from app.trading.orders import (
    Fill,
    ImpossibleChange,
    Order,
    OrderKey,
    OrderKind,
    Purpose,
    Side,
    Status,
    check_change,
    client_order_id,
    fee_currency,
    fee_in_quote,
)
from tests.trading.world import at, market

ALLOWED = {
    "INTENDED": "OPEN PARTIAL FILLED CANCELLED REJECTED DENIED UNRESOLVED",
    "OPEN": "PARTIAL FILLED CANCELLED REJECTED UNRESOLVED",
    "PARTIAL": "FILLED CANCELLED UNRESOLVED",
    "FILLED": "",
    "CANCELLED": "FILLED",
    "REJECTED": "OPEN PARTIAL FILLED CANCELLED",
    "DENIED": "",
    "UNRESOLVED": "OPEN PARTIAL FILLED CANCELLED REJECTED",
}


@pytest.mark.parametrize(("old", "new"), list(product(Status, Status)))
def test_every_pair_of_states_is_allowed_or_raises(old: Status, new: Status) -> None:
    if old is new or new.value in ALLOWED[old.value].split():
        check_change(old, new)
    else:
        with pytest.raises(ImpossibleChange) as caught:
            check_change(old, new)
        assert caught.value.values == {"old": old.value, "new": new.value}


def test_the_table_knows_every_state() -> None:
    assert set(ALLOWED) == {status.value for status in Status}


def test_only_states_without_a_future_are_final() -> None:
    final = {status for status in Status if status.is_final}
    assert final == {Status.FILLED, Status.CANCELLED, Status.REJECTED, Status.DENIED}
    assert all(status.is_live is not status.is_final for status in Status)


KEY = OrderKey(Purpose.GRID, 3, Side.BUY, 2)


def order(status: Status = Status.OPEN, quantity: str = "2") -> Order:
    return Order("by1", KEY, 0, OrderKind.LIMIT, D(10), D(quantity), status)


def fill(quantity: str, fee: str = "0", currency: str = "USDT", price: str = "10") -> Fill:
    return Fill("t", "by1", Side.BUY, D(price), D(quantity), D(fee), currency, at(0), True)


def test_fills_add_up_to_partial_then_filled() -> None:
    first = order().with_fill(fill("0.5", "0.002", "ABC"), market())
    assert first.status is Status.PARTIAL
    assert (first.filled, first.value, first.fee_base) == (D("0.5"), D(5), D("0.002"))
    second = first.with_fill(fill("1.5", "0.01", price="9"), market())
    assert second.status is Status.FILLED
    assert (second.value, second.fee_quote, second.remaining) == (D("18.5"), D("0.01"), D(0))


def test_a_late_partial_fill_leaves_a_cancelled_order_cancelled() -> None:
    assert order(Status.CANCELLED).with_fill(fill("1"), market()).status is Status.CANCELLED


def test_a_late_whole_fill_fills_a_cancelled_order() -> None:
    assert order(Status.CANCELLED).with_fill(fill("2"), market()).status is Status.FILLED


def test_a_fill_of_a_filled_order_is_impossible() -> None:
    with pytest.raises(ImpossibleChange):
        order(Status.DENIED).with_fill(fill("2"), market())


def test_a_fee_in_coins_is_valued_at_the_price_of_its_time() -> None:
    assert fee_in_quote(fill("1", "0.1", "ABC", "12"), market()) == D("1.2")


def test_a_fee_in_a_third_currency_needs_its_price() -> None:
    assert fee_in_quote(fill("1", "0.1", "BNB"), market(), D(500)) == D(50)
    with pytest.raises(DomainError, match="fee_rate_missing"):
        fee_in_quote(fill("1", "0.1", "BNB"), market())


def test_only_a_buy_that_pays_in_what_it_receives_pays_in_coins() -> None:
    received, quote = market(), market(fee_side=FeeSide.QUOTE)
    assert fee_currency(received, Side.BUY) == "ABC"
    assert fee_currency(received, Side.SELL) == "USDT"
    assert fee_currency(quote, Side.BUY) == fee_currency(quote, Side.SELL) == "USDT"


keys = st.builds(
    OrderKey,
    st.sampled_from(Purpose),
    st.none() | st.integers(0, 1000),
    st.sampled_from(Side),
    st.integers(0, 10**6),
)
identities = st.tuples(st.integers(1, 2**63), st.integers(0, 10**6), keys, st.integers(0, 99))


@given(st.lists(identities, min_size=2, max_size=30, unique=True))
def test_different_orders_have_different_ids_that_every_venue_takes(
    many: list[tuple[int, int, OrderKey, int]],
) -> None:
    ids = [client_order_id("by", *each) for each in many]
    assert len(set(ids)) == len(ids)
    assert all(len(name) <= 32 and name.isalnum() and name.islower() for name in ids)
    assert all(name.startswith("by") for name in ids)


def test_an_id_is_the_same_in_every_process() -> None:
    assert client_order_id("by", 7, 1, KEY, 0) == client_order_id("by", 7, 1, KEY, 0)
    assert client_order_id("by", 7, 1, KEY, 0) == "by7dxsd77aepdtqd4bwbkgm5og"


@pytest.mark.parametrize("prefix", ["", "by-", "ninechars", "é"])
def test_a_prefix_that_venues_refuse_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        client_order_id(prefix, 7, 1, KEY, 0)
