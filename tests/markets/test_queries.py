from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from app.db import db, utc_now
from app.errors import InvalidInput, NotFound
from app.exchanges.service import seed_exchanges
from app.markets import queries, service, store
from app.markets.models import CandleRow, MarketRow
from app.markets.sources import Bar
from app.trading.market import FeeSide
from tests.factories import make_market

pytestmark = pytest.mark.usefixtures("database")


def names(words: str, **options: object) -> list[str]:
    found = queries.search_markets(words, **options)  # type: ignore[arg-type]
    return [f"{row.exchange} {row.symbol}" for row in found]


def add(market: MarketRow, timeframe: str, minutes_ago: int, prices: str, volume: int = 1) -> None:
    opened = utc_now().replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    first, high, low, last = map(Decimal, prices.split())
    store.write_bars(market.id, timeframe, [Bar(opened, first, high, low, last, Decimal(volume))])


@pytest.mark.parametrize("words", ["btc", " BTC ", "BTC/USDT", "btcusdt", "btc/", "bt"])
def test_pair_is_found_by_coin_or_name(words: str) -> None:
    make_market("BTC/USDT")
    make_market("ETH/USDT")
    assert names(words) == ["bybit BTC/USDT"]


def test_exact_coin_comes_first() -> None:
    make_market("BTCST/USDT")
    make_market("BTC/USDT")
    assert names("btc") == ["bybit BTC/USDT", "bybit BTCST/USDT"]


@pytest.mark.parametrize(
    "words", ["%", "_", "'; drop table markets", "\x00", "🚀", "///", "x" * 10_000]
)
def test_absurd_words_find_nothing_and_break_nothing(words: str) -> None:
    make_market("BTC/USDT")
    assert names(words) in ([], ["bybit BTC/USDT"] if not words.strip("\x00 ") else [])


def test_search_keeps_to_exchanges_and_to_pairs_that_can_be_traded() -> None:
    make_market("BTC/USDT", "okx")
    blocked = make_market("BTC/USDT")
    assert names("btc", exchanges=["bybit"]) == ["bybit BTC/USDT"]
    service.set_blocked(blocked.id, "no_prices")
    assert names("btc") == ["okx BTC/USDT"]
    assert len(names("btc", tradable_only=False)) == 2
    assert names("btc", exchanges=[]) == []


@pytest.mark.parametrize("number", [0, -1, 10**30, 99_999_999])
def test_unknown_pair_is_not_found(number: int) -> None:
    with pytest.raises(NotFound):
        queries.market_row(number)
    with pytest.raises(NotFound):
        queries.last_price(number)


def test_market_has_the_rules_of_the_pair_and_the_fees_of_the_account() -> None:
    row = make_market()
    own = SimpleNamespace(maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005"))
    market = queries.to_market(row, own)
    assert (market.symbol, market.tick, market.fee_side) == (
        "BTC/USDT", Decimal("0.01"), FeeSide.RECEIVED_ASSET,
    )  # fmt: skip
    assert (market.maker_fee, market.taker_fee) == (Decimal("0.0002"), Decimal("0.0005"))
    assert queries.to_market(row).maker_fee == Decimal("0.001")


def test_price_is_stale_by_age_or_by_reason() -> None:
    row = make_market()
    assert not queries.last_price(row.id).is_stale
    row.last_price_at = utc_now() - timedelta(seconds=61)
    db.session.flush()
    old = queries.last_price(row.id)
    assert old.is_stale
    assert old.age is not None
    assert old.age >= timedelta(seconds=61)
    row.stale_after_s = 600
    db.session.flush()
    assert not queries.last_price(row.id).is_stale
    row.stale_reason = "gap"
    db.session.flush()
    assert queries.last_price(row.id).is_stale
    assert queries.last_price(row.id).stale_reason == "gap"


def test_pair_without_price_is_stale_and_has_none() -> None:
    row = make_market()
    row.last_price = row.last_price_at = None
    db.session.flush()
    price = queries.last_price(row.id)
    assert (price.price, price.age, price.is_stale, price.stale_reason) == (
        None,
        None,
        True,
        "no_prices",
    )


def test_longer_candles_are_summed_from_the_stored_ones() -> None:
    row = make_market()
    opened = utc_now().replace(second=0, microsecond=0) - timedelta(hours=2)
    opened = opened.replace(minute=0)
    bars = [
        Bar(
            opened + timedelta(minutes=n),
            Decimal(10 + n),
            Decimal(20 + n),
            Decimal(5 - n),
            Decimal(11 + n),
            Decimal(n),
        )
        for n in range(5)
    ]
    store.write_bars(row.id, "1m", bars)
    (candle,) = queries.candles(row.id, "5m")
    assert candle.ts_ms == int(opened.timestamp() * 1000)
    assert tuple(map(int, candle[1:])) == (10, 24, 1, 15, 10)
    assert [one.close for one in queries.candles(row.id, "1m")] == [11, 12, 13, 14, 15]
    assert queries.candles(row.id, "1h") == []


@pytest.mark.parametrize(("timeframe", "count"), [("1h", 48), ("4h", 12), ("1d", 2)])
def test_hours_become_longer_candles(timeframe: str, count: int) -> None:
    row = make_market()
    day = utc_now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
    price = Decimal(7)
    bars = [
        Bar(day + timedelta(hours=n), price, price, price, price, Decimal(1)) for n in range(48)
    ]
    store.write_bars(row.id, "1h", bars)
    found = queries.candles(row.id, timeframe)
    assert len(found) == count
    assert sum(one.volume for one in found) == 48
    assert [one.ts_ms for one in found] == sorted(one.ts_ms for one in found)


def test_limit_keeps_the_newest_candles() -> None:
    row = make_market()
    for ago in (30, 20, 10):
        add(row, "1m", ago, f"{ago} {ago} {ago} {ago}")
    assert [one.open for one in queries.candles(row.id, "1m", 2)] == [20, 10]


@pytest.mark.parametrize("timeframe", ["", "1w", "1m'; --", "1M"])
def test_other_timeframes_are_refused(timeframe: str) -> None:
    with pytest.raises(InvalidInput):
        queries.candles(make_market().id, timeframe)


def test_change_of_a_day_is_against_the_first_price_of_24_hours() -> None:
    row = make_market()
    row.last_price = Decimal(110)
    db.session.flush()
    add(row, "1h", 30 * 60, "50 50 50 50", 9)
    add(row, "1h", 20 * 60, "100 105 95 101", 2)
    add(row, "1h", 10, "105 110 100 110", 3)
    day = queries.day_figures([row.id])[row.id]
    assert day.change == Decimal("0.1")
    assert day.volume == 2 * 101 + 3 * 110
    other = make_market("ETH/USDT")
    assert queries.day_figures([other.id])[other.id].change is None


def test_candles_of_a_minute_are_kept_for_a_week() -> None:
    row = make_market()
    add(row, "1m", 9 * 24 * 60, "1 1 1 1")
    add(row, "1m", 60, "2 2 2 2")
    add(row, "1h", 40 * 24 * 60, "3 3 3 3")
    service.prune_points({})
    assert sorted(one.open for one in db.session.query(CandleRow).all()) == [2, 3]


def test_seeded_markets_are_found() -> None:
    seed_exchanges()
    service.seed_markets()
    assert len(names("pepe")) == 5
    assert len(queries.search_markets("", limit=1000)) == 70
