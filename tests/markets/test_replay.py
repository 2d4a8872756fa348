from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from app.markets.recordings import choose_recordings
from app.markets.replay import ENDED, GAP, PATH, ReplaySource
from app.markets.sources import NewPoint
from tests.markets.recorded import FIRST_MS, MINUTE_MS, rising_rows, state_of, write_rows

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SPEED = Decimal(60)


def source_of(folder: Path, rows: list[str], speed: Decimal = SPEED) -> ReplaySource:
    file = write_rows(folder / "bybit-BTCUSDT-1m.csv.gz", rows)
    return ReplaySource(choose_recordings(file), speed)


def played(source: ReplaySource, seconds: float, step_s: float = 0.25) -> list[NewPoint]:
    """Return the points of pair 1 over some seconds from now."""
    points: list[NewPoint] = []
    for number in range(int(seconds / step_s) + 1):
        batch = source.take(NOW + timedelta(seconds=number * step_s))
        points += batch.points.get(1, [])
    return points


def test_each_candle_is_played_as_its_path_over_its_length_by_the_speed(tmp_path: Path) -> None:
    falling = f"{FIRST_MS + MINUTE_MS},105,107,103,104,8"
    source = source_of(tmp_path, [*rising_rows(1), falling])
    source.join(state_of(), NOW)
    points = played(source, 2)
    assert [int(point.price) for point in points] == [100, 99, 102, 101, 105, 107, 103, 104]
    # A minute at 60 times its speed: one second for four prices.
    assert [(point.at - NOW).total_seconds() for point in points] == [n / 4 for n in range(8)]
    assert sum(point.volume for point in points) == 16
    assert [point.position for point in points] == list(range(1, 9))


def test_late_look_emits_every_point_with_its_own_time(tmp_path: Path) -> None:
    source = source_of(tmp_path, rising_rows(4))
    source.join(state_of(), NOW)
    (points,) = source.take(NOW + timedelta(seconds=3.99)).points.values()
    assert len(points) == 16
    assert [point.at for point in points] == sorted({point.at for point in points})


def test_restart_goes_on_at_the_position_in_the_middle_of_a_candle(tmp_path: Path) -> None:
    whole = source_of(tmp_path, rising_rows(6))
    whole.join(state_of(), NOW)
    prices = [point.price for point in played(whole, 6)]
    for position in range(24):
        again = source_of(tmp_path, rising_rows(6))
        again.join(state_of(position=position), NOW)
        assert [point.price for point in played(again, 6)] == prices[position:]
        again.close()


def with_gap(missing: int) -> list[str]:
    """Three candles, some that are missing, and one more."""
    return rising_rows(3) + rising_rows(1, first_ms=FIRST_MS + (3 + missing) * MINUTE_MS)


def test_gap_makes_the_pair_stale_for_its_length_by_the_speed_and_goes_on(tmp_path: Path) -> None:
    source = source_of(tmp_path, with_gap(4))
    source.join(state_of(), NOW)
    stale = [source.take(NOW + timedelta(seconds=n / 4)).stale for n in range(12)]
    assert stale == [{}] * 11 + [{1: GAP}]
    assert source.take(NOW + timedelta(seconds=6.9)).is_empty
    due = source.next_due()
    assert due == NOW + timedelta(seconds=7)
    assert [int(point.price) for point in source.take(due).points[1]] == [100]


def test_long_gap_lasts_thirty_seconds_at_most(tmp_path: Path) -> None:
    source = source_of(tmp_path, with_gap(1_000_000))
    source.join(state_of(), NOW)
    source.take(NOW + timedelta(seconds=2.8))
    assert source.next_due() == NOW + timedelta(seconds=33)


def test_end_of_the_recording_is_stale_with_its_reason_once(tmp_path: Path) -> None:
    source = source_of(tmp_path, rising_rows(1))
    source.join(state_of(), NOW)
    batch = source.take(NOW + timedelta(seconds=2))
    assert batch.stale == {1: ENDED}
    assert source.next_due() is None
    assert source.take(NOW + timedelta(seconds=60)).is_empty
    again = source_of(tmp_path, rising_rows(1))
    again.join(state_of(position=PATH), NOW)
    assert again.take(NOW).stale == {1: ENDED}


def test_feed_that_slept_leaves_no_point_out(tmp_path: Path) -> None:
    source = source_of(tmp_path, rising_rows(40))
    source.join(state_of(), NOW)
    before = source.take(NOW).points[1]
    later = NOW + timedelta(hours=1)
    after = source.take(later).points[1]
    assert [point.position for point in before + after] == [1, 2]
    assert after[0].at == later


def test_history_is_what_was_before_the_start_and_ends_now(tmp_path: Path) -> None:
    source = source_of(tmp_path, rising_rows(240))
    history = source.history(state_of(), NOW)
    this_minute = NOW.replace(second=0)
    assert history.position == 120 * PATH
    assert len(history.minutes) == 120
    assert history.minutes[-1].opened_at == this_minute - timedelta(minutes=1)
    assert history.last_price == 220
    assert source.first_price(state_of()) == 220
    assert sum(bar.volume for bar in history.hours) == 120 * 8
    assert all(bar.opened_at.minute == 0 for bar in history.hours)
    assert history.hours[0].open == 100
    assert max(bar.high for bar in history.hours) == 221


def test_minutes_of_longer_candles_follow_their_path(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "bybit-BTCUSDT-5m.csv", rising_rows(8, 5 * MINUTE_MS))
    source = ReplaySource(choose_recordings(file), SPEED)
    history = source.history(state_of(), NOW)
    # Four prices of five minutes: at 0, 1:15, 2:30 and 3:45.
    assert [int(bar.close) for bar in history.minutes[:4]] == [100, 99, 102, 101]
    assert [bar.opened_at.minute for bar in history.minutes[:5]] == [46, 47, 48, 49, 51]


def test_stale_time_grows_with_the_distance_of_the_points(tmp_path: Path) -> None:
    fast = source_of(tmp_path, rising_rows(4))
    assert fast.stale_after_s(state_of()) == 60
    file = write_rows(tmp_path / "bybit-ETHUSDT-1h.csv", rising_rows(4, 60 * MINUTE_MS))
    slow = ReplaySource(choose_recordings(file), Decimal(1))
    assert slow.stale_after_s(state_of("ETH/USDT")) == 2250


def test_recording_that_was_played_before_is_not_checked_again(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "bybit-BTCUSDT-1m.csv", ["broken"])
    choice = choose_recordings(file)
    ReplaySource(choice, SPEED, frozenset({choice.chosen[0].identity}))


def test_a_recorded_contract_pays_at_the_times_of_its_recording(tmp_path: Path) -> None:
    hours = rising_rows(6, 60 * MINUTE_MS)
    file = write_rows(tmp_path / "bybitlinear-BTCUSDT-1h.csv", hours)
    source = ReplaySource(choose_recordings(file), Decimal(3600))
    state = replace(state_of("BTC/USDT:USDT"), funding_interval_s=7200, position=4)
    source.join(state, NOW)
    points = played(source, 6)
    opens = [point for number, point in enumerate(points) if number % 4 == 0]
    due = [point.funding for point in opens]
    assert all(p.funding is None for n, p in enumerate(points) if n % 4)
    opened = [int(row.split(",")[0]) for row in hours]
    passed = [after // 7_200_000 - before // 7_200_000 for before, after in pairwise(opened)]
    assert sorted({*passed}) == [0, 1]
    expected = [Decimal("0.000025") if times else None for times in passed]
    assert due == expected
    # A feed that begins in the middle of a candle knows that its opening was shown.
    source.restart()
    source.join(replace(state, position=6), NOW)
    assert [point.funding for point in played(source, 6)][2::4] == expected[1:]
