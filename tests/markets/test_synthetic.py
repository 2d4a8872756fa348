from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median

import pytest

from app.markets.catalogue import known_pairs
from app.markets.sources import MarketState
from app.markets.synthetic import PART, SyntheticSource, Walk

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def states(exchange: str = "bybit") -> list[MarketState]:
    pairs = [pair for pair in known_pairs() if pair.exchange == exchange]
    return [
        MarketState(number, pair.exchange, pair.symbol, pair.base, pair.rules.tick, "", 0, 0, None)
        for number, pair in enumerate(pairs, 1)
    ]


def test_same_seed_symbol_and_step_give_the_same_price_in_any_order() -> None:
    forwards = [Walk(7, "BTC/USDT").at(step) for step in range(-50, 50)]
    walk = Walk(7, "BTC/USDT")
    backwards = [walk.at(step) for step in range(49, -51, -1)]
    assert forwards == backwards[::-1]
    # Pinned: a restart with a newer version must not show another past.
    assert Walk(7, "BTC/USDT").at(0) == -7_929_414


@pytest.mark.parametrize("other", [Walk(8, "BTC/USDT"), Walk(7, "ETH/USDT")])
def test_another_seed_or_symbol_walks_elsewhere(other: Walk) -> None:
    steps = range(100)
    assert [Walk(7, "BTC/USDT").at(step) for step in steps] != [other.at(step) for step in steps]


def test_price_stays_within_a_tenth_of_its_base() -> None:
    walk = Walk(7, "SOL/USDT")
    assert all(abs(walk.at(step)) < PART // 10 for step in range(0, 3_000_000, 997))


def test_grid_of_twenty_on_five_percent_fills_within_two_minutes_usually() -> None:
    walk = Walk(7, "BTC/USDT")
    waits = []
    for start in range(0, 200_000, 1009):
        first = walk.at(start)
        # Half a percent between the levels: the nearest order is at most that far away.
        waits.append(
            next(
                (
                    after
                    for after in range(1, 3600)
                    if abs(walk.at(start + after) - first) >= PART // 250
                ),
                3600,
            )
        )
    assert median(waits) < 120


def test_every_pair_has_one_point_a_second_on_its_tick() -> None:
    source = SyntheticSource(7)
    for state in states():
        source.join(state, NOW)
    points = source.take(NOW + timedelta(seconds=3)).points
    assert {len(row) for row in points.values()} == {4}
    for state in states():
        assert state.tick is not None
        assert all(point.price % state.tick == 0 for point in points[state.id])
        assert [point.position for point in points[state.id]] == [1, 2, 3, 4]
    assert source.take(NOW + timedelta(seconds=3)).is_empty


def test_feed_that_slept_goes_on_from_now_without_a_flood() -> None:
    source = SyntheticSource(7)
    source.join(states()[0], NOW)
    source.take(NOW)
    later = NOW + timedelta(hours=5)
    (points,) = source.take(later).points.values()
    assert [(point.at, point.position) for point in points] == [(later, 2)]


def test_history_ends_at_the_price_of_step_0_and_now() -> None:
    source = SyntheticSource(7)
    state = states()[0]
    history = source.history(state, NOW)
    assert len(history.hours) == 90 * 24
    assert len(history.minutes) == 24 * 60
    assert history.hours[-1].opened_at == NOW.replace(minute=0, second=0)
    assert history.minutes[-1].opened_at == NOW.replace(second=0)
    assert history.hours[-1].close == history.minutes[-1].close == source.first_price(state)
    for bars, length in (
        (history.hours, timedelta(hours=1)),
        (history.minutes, timedelta(minutes=1)),
    ):
        assert all(
            b.opened_at - a.opened_at == length for a, b in zip(bars, bars[1:], strict=False)
        )
        assert all(bar.low <= min(bar.open, bar.close) for bar in bars)
        assert all(bar.high >= max(bar.open, bar.close) for bar in bars)
        assert all(a.close == b.open for a, b in zip(bars, bars[1:], strict=False))
        assert all(bar.volume > 0 for bar in bars)


def test_exchanges_differ_by_a_hair() -> None:
    source = SyntheticSource(7)
    bybit, okx = source.first_price(states("bybit")[0]), source.first_price(states("okx")[0])
    assert bybit != okx
    assert abs(bybit / okx - 1) < Decimal("0.002")


def contract_state(shown_at: datetime | None) -> MarketState:
    return MarketState(
        9, "bybit", "BTC/USDT:USDT", "BTC", Decimal("0.1"), "", 0, 0, Decimal(97_000), shown_at,
        28_800,
    )  # fmt: skip


def test_a_contract_goes_with_its_coins_and_pays_funding_at_the_real_times() -> None:
    source = SyntheticSource(7)
    before = NOW.replace(hour=7, minute=59, second=58)
    source.join(states()[0], before)
    source.join(contract_state(before), before)
    points = source.take(before + timedelta(seconds=4)).points
    assert [point.funding for point in points[1]] == [None] * 5
    assert [point.funding for point in points[9]] == [None, None, Decimal("0.0001"), None, None]
    for coins, contract in zip(points[1], points[9], strict=True):
        assert abs(contract.price / coins.price - 1) < Decimal("0.002")


def test_funding_that_fell_due_while_the_feed_slept_is_paid_when_it_wakes() -> None:
    source = SyntheticSource(7)
    source.join(contract_state(NOW - timedelta(hours=22)), NOW)
    (points,) = source.take(NOW).points.values()
    # 8:00, 16:00 and midnight.
    assert [point.funding for point in points] == [Decimal("0.0003")]
