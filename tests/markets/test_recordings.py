from decimal import Decimal
from pathlib import Path

import pytest

from app.errors import ConfigError
from app.markets.recordings import BadRecordingError, choose_recordings, scan
from app.trading.market import MarketKind
from tests.markets.recorded import FIRST_MS, MINUTE_MS, rising_rows, write_rows


def test_name_says_exchange_pair_kind_and_timeframe(tmp_path: Path) -> None:
    write_rows(tmp_path / "bybit-BTCUSDT-5m.csv.gz", rising_rows(3, 5 * MINUTE_MS))
    write_rows(tmp_path / "binanceusdm-FILUSDT-1m-2024.csv", rising_rows(3))
    found = {one.symbol: one for one in choose_recordings(tmp_path).chosen}
    spot, linear = found["BTC/USDT"], found["FIL/USDT:USDT"]
    assert (spot.exchange, spot.kind, spot.timeframe_ms) == ("bybit", MarketKind.SPOT, 300_000)
    assert (linear.exchange, linear.kind, linear.base) == ("binance", MarketKind.LINEAR, "FIL")


def test_finest_timeframe_of_a_pair_wins_and_the_newest_era_among_equals(tmp_path: Path) -> None:
    for name, step in (("1h-2017", 60), ("5m-2023", 5), ("5m-2024", 5), ("1h-2024", 60)):
        write_rows(tmp_path / f"binance-BTCUSDT-{name}.csv", rising_rows(3, step * MINUTE_MS))
    choice = choose_recordings(tmp_path)
    assert [one.path.name for one in choice.chosen] == ["binance-BTCUSDT-5m-2024.csv"]
    assert set(choice.skipped.values()) == {"finer_or_newer_file"}
    assert len(choice.skipped) == 3


def test_unknown_names_are_skipped_with_a_reason(tmp_path: Path) -> None:
    write_rows(tmp_path / "bybit-ETHUSDT-1m.csv", rising_rows(2))
    for name in ("coinbase-BTCUSD-1h.csv", "bybit-ABCXYZ-1m.csv", "notes.csv"):
        write_rows(tmp_path / name, rising_rows(2))
    (tmp_path / "readme.txt").write_text("nothing")
    assert choose_recordings(tmp_path).skipped == {
        "coinbase-BTCUSD-1h.csv": "unknown_exchange",
        "bybit-ABCXYZ-1m.csv": "unknown_pair",
        "notes.csv": "unknown_name",
    }


def test_nothing_left_to_play_refuses_and_names_the_files(tmp_path: Path) -> None:
    write_rows(tmp_path / "coinbase-BTCUSD-1h.csv", rising_rows(2))
    with pytest.raises(ConfigError) as caught:
        choose_recordings(tmp_path)
    assert caught.value.code == "nothing_to_replay"
    assert "coinbase-BTCUSD-1h.csv" in caught.value.values["skipped"]


def test_path_that_is_not_there_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no_such_path"):
        choose_recordings(tmp_path / "absent")


BAD_ROWS = [
    ("1700000100000,1,2,1,1", "wrong_number_of_columns"),
    ("soon,1,2,1,1,1", "not_a_time"),
    ("1700000100000,one,2,1,1,1", "not_a_number"),
    ("1700000100000,nan,2,1,1,1", "not_finite"),
    ("1700000100000,1,2,-1,1,1", "negative"),
    ("1700000100000,5,2,1,1,1", "outside_high_low"),
    (f"{FIRST_MS + MINUTE_MS},1,2,1,1,1", "duplicate_row"),
    (f"{FIRST_MS},1,2,1,1,1", "unsorted_row"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS, ids=[reason for _, reason in BAD_ROWS])
def test_bad_row_is_named_and_nothing_is_played(tmp_path: Path, row: str, reason: str) -> None:
    file = write_rows(tmp_path / "bybit-BTCUSDT-1m.csv", [*rising_rows(2), row])
    with pytest.raises(BadRecordingError) as caught:
        scan(choose_recordings(file).chosen[0])
    values = caught.value.values
    assert (values["file"], values["row"], values["reason"]) == (file.name, 3, reason)


def test_wrong_columns_and_wrong_timeframe_and_empty_files_refuse(tmp_path: Path) -> None:
    file = tmp_path / "bybit-BTCUSDT-1m.csv"
    write_rows(file, rising_rows(2), header="time,open,high,low,close,volume")
    with pytest.raises(BadRecordingError, match="bad_recording.*wrong_columns"):
        scan(choose_recordings(file).chosen[0])
    write_rows(file, rising_rows(4, 5 * MINUTE_MS))
    with pytest.raises(BadRecordingError, match="wrong_timeframe"):
        scan(choose_recordings(file).chosen[0])
    write_rows(file, [])
    with pytest.raises(BadRecordingError, match="empty_recording"):
        scan(choose_recordings(file).chosen[0])


@pytest.mark.parametrize("content", [b"not gzip", b"\x1f\x8b\x08\x00cut"])
def test_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bybit-BTCUSDT-1m.csv.gz"
    file.write_bytes(content)
    with pytest.raises(BadRecordingError) as caught:
        scan(choose_recordings(file).chosen[0])
    assert caught.value.code == "unreadable_recording"
    assert caught.value.values["file"] == file.name


def test_start_is_after_90_days_or_half_of_the_file(tmp_path: Path) -> None:
    day = 24 * 60 * MINUTE_MS
    short = write_rows(tmp_path / "bybit-BTCUSDT-1d.csv", rising_rows(100, day))
    long = write_rows(tmp_path / "bybit-ETHUSDT-1d.csv", rising_rows(400, day))
    assert scan(choose_recordings(short).chosen[0]).start_row == 50
    assert scan(choose_recordings(long).chosen[0]).start_row == 90


def test_tick_is_the_finest_step_of_the_prices(tmp_path: Path) -> None:
    rows = [f"{FIRST_MS},1.5,2.25,1.125,2,1", f"{FIRST_MS + MINUTE_MS},1.0625,2,1,2,1"]
    file = write_rows(tmp_path / "bybit-BTCUSDT-1m.csv", rows)
    assert scan(choose_recordings(file).chosen[0]).tick == Decimal("0.0001")


def test_content_not_name_tells_recordings_apart(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "bybit-BTCUSDT-1m.csv", rising_rows(2))
    before = choose_recordings(file).chosen[0].identity
    write_rows(file, rising_rows(3))
    assert choose_recordings(file).chosen[0].identity != before
