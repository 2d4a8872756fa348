from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import event, insert

from app.db import db, utc_now
from app.markets import points
from app.markets.models import PricePointRow
from app.markets.points import PointCache, points_after
from app.trading.market import PricePoint
from tests.factories import make_market

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    points.forget_points()


def add(market_id: int, first: int, last: int) -> None:
    now = utc_now()
    rows = [
        {
            "market_id": market_id,
            "seq": seq,
            "at": now + timedelta(seconds=seq),
            "price": Decimal(seq),
        }
        for seq in range(first, last + 1)
    ]
    db.session.execute(insert(PricePointRow), rows)


def seqs(found: list[PricePoint]) -> list[int]:
    return [point.seq for point in found]


def test_points_after_a_number_come_in_order_and_new_ones_are_seen() -> None:
    market_id = make_market().id
    add(market_id, 1, 5)
    assert seqs(points_after(market_id, 2)) == [3, 4, 5]
    add(market_id, 6, 7)
    assert seqs(points_after(market_id, 5)) == [6, 7]
    assert points_after(market_id, 7) == []
    assert points_after(market_id, 99) == []
    first = points_after(market_id, 6)[0]
    assert first.price == 7
    assert first.time.tzinfo is not None


def test_account_that_is_far_behind_gets_all_of_it() -> None:
    market_id = make_market().id
    add(market_id, 1, 50)
    assert seqs(points_after(market_id, 40)) == list(range(41, 51))
    assert seqs(points_after(market_id, 0)) == list(range(1, 51))


@pytest.mark.parametrize("kept", [1, 3, 10, 100])
def test_memory_is_bounded_and_nothing_is_lost_by_it(kept: int) -> None:
    market_id = make_market().id
    cache = PointCache(kept)
    for last in range(10, 101, 10):
        add(market_id, last - 9, last)
        cache.load([(market_id, 0)])
        for seq in (0, last - 15, last - 3, last - 1):
            assert seqs(cache.after(market_id, max(0, seq))) == list(
                range(max(0, seq) + 1, last + 1)
            )
        assert len(cache._points[market_id]) <= 2 * kept + 1


def test_deleted_points_leave_a_hole_and_no_wrong_place() -> None:
    market_id = make_market().id
    cache = PointCache()
    add(market_id, 1, 3)
    cache.load([(market_id, 0)])
    add(market_id, 10, 12)
    cache.load([(market_id, 0)])
    assert seqs(cache.after(market_id, 9)) == [10, 11, 12]
    assert seqs(cache.after(market_id, 10)) == [11, 12]


def test_one_query_serves_all_bots_of_a_batch() -> None:
    first, second = make_market().id, make_market("ETH/USDT").id
    add(first, 1, 20)
    add(second, 1, 20)
    db.session.flush()
    statements: list[str] = []

    def note(*args: object) -> None:
        statements.append(str(args[2]))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        points.load_points([(first, 3), (second, 5), (first, 9)])
        for _ in range(50):
            assert len(points.loaded_after(first, 3)) == 17
            assert len(points.loaded_after(second, 5)) == 15
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert len(statements) == 1


def test_newest_point_is_none_before_the_first_price() -> None:
    market_id = make_market().id
    assert points.newest_point(market_id) is None
    add(market_id, 1, 3)
    newest = points.newest_point(market_id)
    assert newest is not None
    assert newest.seq == 3
