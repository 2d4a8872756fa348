import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import func, select, update

from app import events
from app.db import db, utc_now
from app.errors import ConfigError
from app.exchanges.service import seed_exchanges
from app.markets import feed, service, store, synthetic
from app.markets.catalogue import known_pairs
from app.markets.events import PricesMoved
from app.markets.feed import Feed
from app.markets.models import CandleRow, FeedState, MarketRow, PricePointRow
from app.markets.recordings import choose_recordings
from app.markets.replay import ReplaySource
from app.markets.sources import Source
from app.markets.store import SecondFeed
from app.markets.synthetic import SyntheticSource
from app.transactions import transaction
from tests.markets.recorded import rising_rows, write_rows

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _markets(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave four of the seventy pairs, and them a short past, so that it is quickly made."""
    few = [
        pair
        for pair in known_pairs()
        if pair.exchange in {"bybit", "okx"} and pair.symbol in {"BTC/USDT", "ETH/USDT"}
    ]
    monkeypatch.setattr(service, "known_pairs", lambda: few)
    monkeypatch.setattr(synthetic, "HISTORY_HOURS", 48)
    monkeypatch.setattr(synthetic, "HISTORY_MINUTES", 60)
    with transaction():
        seed_exchanges()
        service.seed_markets()


@pytest.fixture
def heard() -> Iterator[list[PricesMoved]]:
    """Return what the feed announces."""
    found: list[PricesMoved] = []

    def hear(event: PricesMoved) -> None:
        found.append(event)

    events.on(PricesMoved)(hear)
    yield found
    events._handlers[PricesMoved].remove(hear)


def replay(folder: Path, rows: int = 40, name: str = "bybit-BTCUSDT-1m.csv") -> ReplaySource:
    file = folder / name
    if not file.exists():
        write_rows(file, rising_rows(rows))
    return ReplaySource(choose_recordings(file), Decimal(60), service.read_known_sources())


def started(source: Source, now: datetime = NOW) -> Feed:
    """Return a feed whose pairs all have their history."""
    one = Feed(source)
    one.start(now)
    while one.begin_one(now):
        pass
    return one


def btc() -> MarketRow:
    query = select(MarketRow).where(MarketRow.exchange == "bybit", MarketRow.symbol == "BTC/USDT")
    row = db.session.scalar(query.execution_options(populate_existing=True))
    assert row is not None
    return row


def points(market_id: int) -> list[tuple[int, Decimal]]:
    rows = db.session.execute(
        select(PricePointRow.seq, PricePointRow.price)
        .where(PricePointRow.market_id == market_id)
        .order_by(PricePointRow.seq)
    )
    return [(row.seq, row.price) for row in rows]


def test_seed_gives_fourteen_pairs_of_each_exchange_a_first_price_any_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    with transaction():
        service.seed_markets()
    rows = db.session.execute(
        select(MarketRow.exchange, func.count(), func.count(MarketRow.last_price)).group_by(
            MarketRow.exchange
        )
    ).all()
    assert {row[0] for row in rows} == {"bybit", "binance", "okx", "kucoin", "mexc"}
    contracts = {"bybit": 9}
    assert all(row[1:] == (14 + contracts.get(row[0], 0),) * 2 for row in rows)
    assert db.session.scalar(select(func.count()).select_from(PricePointRow)) == 79
    assert btc().blocked_reason == ""


def test_rules_read_from_an_exchange_survive_the_seed() -> None:
    with transaction():
        db.session.execute(update(MarketRow).values(tick=Decimal("0.5")))
        service.seed_markets()
    assert btc().tick == Decimal("0.5")


def test_points_are_numbered_without_gaps_and_prices_announced_after_the_commit(
    heard: list[PricesMoved],
) -> None:
    one = started(SyntheticSource(7))
    for second in range(6):
        one.play(NOW + second * SECOND)
    row = btc()
    numbered = points(row.id)
    assert [seq for seq, _ in numbered] == list(range(1, row.last_seq + 1))
    assert numbered[-1] == (row.last_seq, row.last_price)
    moves = [move for event in heard for move in event.moves if move.market_id == row.id]
    assert [move.seq for move in moves] == list(range(3, row.last_seq + 1))
    assert [(move.low, move.last) for move in moves] == [
        (price, price) for _, price in numbered[2:]
    ]


def test_new_pair_gets_its_history_in_hours_and_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    one = Feed(SyntheticSource(7))
    one.start(NOW)
    while not btc().source:
        assert one.begin_one(NOW)
    counts = dict(
        db.session.execute(
            select(CandleRow.timeframe, func.count())
            .where(CandleRow.market_id == btc().id)
            .group_by(CandleRow.timeframe)
        ).all()
    )
    assert counts == {"1h": 2160, "1m": 1440}


def test_candles_are_those_of_the_points_shown(tmp_path: Path) -> None:
    one = started(replay(tmp_path))
    start = NOW.replace(second=0) + timedelta(minutes=1)
    market_id = btc().id
    with transaction():
        db.session.query(CandleRow).delete()
    before = btc().last_seq
    for quarter in range(40):
        one.play(NOW + quarter * timedelta(seconds=0.25))
    shown = [price for seq, price in points(market_id) if seq > before]
    candle = db.session.scalars(
        select(CandleRow).where(CandleRow.market_id == market_id, CandleRow.timeframe == "1m")
    ).one()
    assert candle.opened_at == start - timedelta(minutes=1)
    assert (candle.open, candle.close) == (shown[0], shown[-1])
    assert (candle.high, candle.low) == (max(shown), min(shown))
    assert candle.volume == len(shown) * 2


def test_restart_goes_on_where_the_rows_say_without_a_double_number(tmp_path: Path) -> None:
    one = started(replay(tmp_path, rows=60))
    first = btc().last_seq
    one.play(NOW + 3 * SECOND)
    assert btc().source_position == 30 * 4 + 13
    later = NOW + timedelta(hours=2)
    again = started(replay(tmp_path), later)
    again.play(later + 3 * SECOND)
    played = [int(price) for seq, price in points(btc().id) if seq > first]
    path = [price for n in range(30, 60) for price in (100 + n, 99 + n, 102 + n, 101 + n)]
    assert played == path[:26]
    assert [seq for seq, _ in points(btc().id)] == list(range(1, btc().last_seq + 1))


def test_changed_recording_begins_anew_with_its_own_history(tmp_path: Path) -> None:
    started(replay(tmp_path)).play(NOW + 3 * SECOND)
    last = btc().last_seq
    write_rows(tmp_path / "bybit-BTCUSDT-1m.csv", rising_rows(20))
    started(replay(tmp_path), NOW + 9 * SECOND)
    assert btc().source_position == 10 * 4
    assert btc().last_seq == last + 1
    assert btc().last_price == 110


def test_with_recordings_only_recorded_pairs_can_be_traded(tmp_path: Path) -> None:
    started(replay(tmp_path))
    blocked = dict(
        db.session.execute(
            select(MarketRow.blocked_reason, func.count()).group_by(MarketRow.blocked_reason)
        ).all()
    )
    assert blocked == {"": 1, "no_prices": 3}
    assert btc().blocked_reason == ""
    started(SyntheticSource(7))
    assert (
        db.session.scalar(
            select(func.count()).select_from(MarketRow).where(MarketRow.blocked_reason == "")
        )
        == 4
    )


def test_delisted_pair_stays_blocked_whatever_the_source() -> None:
    service.set_blocked(btc().id, "delisted")
    db.session.commit()
    started(SyntheticSource(7))
    assert btc().blocked_reason == "delisted"


def test_recording_brings_its_own_pair(tmp_path: Path) -> None:
    started(replay(tmp_path, name="binanceusdm-FILUSDT-1m.csv"))
    row = db.session.scalars(select(MarketRow).where(MarketRow.symbol == "FIL/USDT:USDT")).one()
    assert (row.exchange, row.kind, row.tick) == ("binance", "linear", Decimal(1))
    assert row.last_price == 120


def test_gap_marks_the_pair_stale_at_once_and_the_next_price_clears_it(tmp_path: Path) -> None:
    rows = rising_rows(8)
    del rows[5]
    write_rows(tmp_path / "bybit-BTCUSDT-1m.csv", rows)
    one = started(replay(tmp_path))
    for quarter in range(8):
        one.play(NOW + quarter * timedelta(seconds=0.25))
    assert btc().stale_reason == "gap"
    one.play(NOW + 3 * SECOND)
    assert btc().stale_reason == ""
    one.play(NOW + 6 * SECOND)
    assert btc().stale_reason == "recording_ended"


def test_second_feed_is_noticed_and_changes_nothing() -> None:
    first, second = started(SyntheticSource(7)), started(SyntheticSource(7))
    first.play(NOW + SECOND)
    before = points(btc().id)
    with pytest.raises(SecondFeed):
        second.play(NOW + SECOND)
    assert points(btc().id) == before


def test_run_feeds_until_told_to_stop_and_beats(redis_db: Redis) -> None:
    stop = threading.Event()
    last = btc().last_seq
    db.session.commit()
    thread = threading.Timer(2.5, stop.set)
    thread.start()
    began = time.monotonic()
    feed.run(stop)
    thread.join(30)
    assert time.monotonic() - began < 8
    assert btc().last_seq > last
    assert float(redis_db.get("feed:heartbeat") or 0) > time.time() - 60
    state = db.session.scalars(select(FeedState)).one()
    assert state.source == "synthetic"
    assert utc_now() - state.beat_at < timedelta(minutes=1)


def test_second_process_waits_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    db.session.commit()
    monkeypatch.setattr(feed, "LOCK_RETRY_S", 0.05)
    stop, entered = threading.Event(), []
    with feed._only_feed(stop) as first:
        assert first

        def try_it() -> None:
            stop.wait(0.2)
            stop.set()

        waiter = threading.Thread(target=try_it)
        waiter.start()
        with feed._only_feed(stop) as second:
            entered.append(second)
        waiter.join(30)
    assert entered == [False]
    with feed._only_feed(threading.Event()) as third:
        assert third


def test_bad_recording_starts_nothing(tmp_path: Path) -> None:
    write_rows(tmp_path / "bybit-BTCUSDT-1m.csv", [*rising_rows(3), "rubbish"])
    with pytest.raises(Exception, match="bad_recording.*row=4"):
        replay(tmp_path)
    write_rows(tmp_path / "coinbase-BTCUSD-1m.csv", rising_rows(3))
    with pytest.raises(ConfigError):
        replay(tmp_path, name="coinbase-BTCUSD-1m.csv")


def test_prune_keeps_what_a_slow_account_has_not_seen() -> None:
    one = started(SyntheticSource(7))
    for second in range(1, 20):
        one.play(NOW + second * SECOND)
    followed = btc()
    other = followed.id + 1
    with transaction():
        db.session.execute(update(PricePointRow).values(at=utc_now() - timedelta(hours=49)))
        service.prune_points({followed.id: 5})
    assert [seq for seq, _ in points(followed.id)] == list(range(6, followed.last_seq + 1))
    assert points(other) == []


def test_prune_keeps_two_days_of_followed_pairs_and_an_hour_of_others() -> None:
    one = started(SyntheticSource(7))
    one.play(NOW + 3 * SECOND)
    followed = btc()
    count, other = len(points(followed.id)), followed.id + 1
    with transaction():
        db.session.execute(update(PricePointRow).values(at=utc_now() - timedelta(hours=2)))
        service.prune_points({followed.id: 10_000})
    assert len(points(followed.id)) == count
    assert points(other) == []


def test_prune_keeps_no_more_than_so_many_points_of_a_fast_recording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "MOST_POINTS", 4)
    one = started(SyntheticSource(7))
    for second in range(1, 20):
        one.play(NOW + second * SECOND)
    with transaction():
        db.session.execute(update(PricePointRow).values(at=utc_now()))
        service.prune_points({btc().id: 10_000})
    last = btc().last_seq
    assert [seq for seq, _ in points(btc().id)] == list(range(last - 3, last + 1))


def test_histories_are_begun_one_a_round_so_that_prices_come_at_once() -> None:
    one = Feed(SyntheticSource(7))
    one.start(NOW)
    assert one.begin_one(NOW)
    one.play(NOW + SECOND)
    assert btc().source == "synthetic:7"
    waiting = db.session.scalar(
        select(func.count()).select_from(MarketRow).where(MarketRow.source == "")
    )
    assert waiting == 3


def test_standing_numbers_outlive_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    one = started(SyntheticSource(7))
    one.play(NOW + SECOND)
    before = btc().last_seq

    def lost(reasons: object) -> None:
        raise RuntimeError("gone in the middle of a round")

    with monkeypatch.context() as patch:
        patch.setattr(store, "mark_stale", lost)
        with pytest.raises(RuntimeError, match="in the middle"):
            one.play(NOW + 2 * SECOND)
    assert btc().last_seq == before
    one.start(NOW + 3 * SECOND)
    one.play(NOW + 3 * SECOND)
    assert [seq for seq, _ in points(btc().id)] == list(range(1, before + 2))
