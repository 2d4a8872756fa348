"""The commands over the core: output, exit codes, and bad input named."""

import gzip
import json
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli.trading import commands as cli_commands
from app.cli.trading import symbol_of
from tests.conftest import shared_folder
from tests.trading.test_vectors import OWN_CASES, agrees, recorded_cases

HEADER = "ts_ms,open,high,low,close,volume\n"
T = 1_767_225_600_000
KEYS = [
    *("levels", "empty_level", "buys", "sells", "quantity", "base_to_buy", "base_cost"),
    *("quote_reserved", "base_reserved", "investment", "minimum_investment"),
    *("profit_per_grid", "warnings", "errors"),
]
GRID = {
    "price": "95",
    "lower": "80",
    "upper": "120",
    "grids": 4,
    "investment": "1000",
    "tick": "0.1",
    "lot": "0.001",
}


def run(*words: str, given: str | None = None) -> Result:
    commands = {command.name: command for command in cli_commands}
    return CliRunner().invoke(commands[words[0]], list(words[1:]), input=given)


def planned(given: Any) -> tuple[dict[str, Any], int]:
    text = given if isinstance(given, str) else json.dumps(given)
    result = run("grid", "plan", "--json", given=text)
    return json.loads(result.output), result.exit_code


def test_a_plan_has_every_key_and_plain_numbers() -> None:
    said, code = planned(GRID)
    assert (list(said), code) == (KEYS, 0)
    assert said["buys"] == [["90", "2.777"], ["80", "2.777"]]
    assert said["levels"] == ["80", "90", "100", "110", "120"]
    assert (said["quantity"], said["base_cost"]) == ("2.777", "527.63")
    assert set(said["profit_per_grid"]) == {"lowest_percent", "highest_percent"}
    assert "E" not in json.dumps(said)


def test_small_numbers_have_no_exponent() -> None:
    small = {
        "price": "0.00000095",
        "lower": "0.0000008",
        "upper": "0.0000012",
        "grids": 4,
        "investment": "0.00001",
        "lot": "0.00000001",
    }
    said, code = planned(small)
    assert code == 0
    assert said["levels"][0] == "0.0000008"
    assert said["buys"][0][0] == "0.0000009"


def test_without_price_and_money_only_levels_are_filled() -> None:
    said, code = planned({"lower": "80", "upper": "120", "grids": 4})
    assert code == 0
    assert said.pop("levels") == ["80", "90", "100", "110", "120"]
    assert said.pop("errors") == []
    assert set(said.values()) == {None}


def test_with_a_quantity_the_investment_is_the_result() -> None:
    given = {name: value for name, value in GRID.items() if name != "investment"}
    said, code = planned({**given, "quantity": "2"})
    assert (code, said["investment"], said["quantity"]) == (0, "720", "2")


def test_taker_fee_defaults_to_the_maker_fee() -> None:
    fees = {"maker_fee": "0.001", "fee_side": "received_asset"}
    same, _ = planned({**GRID, **fees})
    free, _ = planned({**GRID, **fees, "taker_fee": "0"})
    assert (same["base_to_buy"], free["base_to_buy"]) == ("5.554", "5.548")


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ("", "input", "not_json"),
        ("{", "input", "not_json"),
        ("[]", "input", "not_an_object"),
        ('{"lower": NaN}', "input", "not_json"),
        ("[" * 100_000, "input", "not_json"),
        ('{"lower": 1e1000000000}', "lower", "too_many_digits"),
        ({**GRID, "lower": "x"}, "lower", "not_a_number"),
        ({**GRID, "lower": None}, "lower", "missing"),
        ({**GRID, "lower": [1]}, "lower", "not_a_number"),
        ({**GRID, "grids": 1001}, "grids", "grids_out_of_range"),
        ({**GRID, "upper": "80"}, "upper", "invalid_range"),
        ({**GRID, "tick": "0"}, "tick", "too_small"),
        ({**GRID, "fee_side": "both"}, "fee_side", "not_a_choice"),
        ({**GRID, "market_type": "option"}, "market_type", "not_a_choice"),
        ({**GRID, "price": "150"}, "upper", "range_excludes_price"),
        ({**GRID, "tick": "20"}, "grids", "duplicate_levels"),
        ({**GRID, "min_notional": "500"}, "investment", "investment_too_small"),
    ],
)
def test_bad_input_names_the_field_and_exits_with_2(given: Any, field: str, code: str) -> None:
    said, exit_code = planned(given)
    assert (list(said), exit_code) == (KEYS, 2)
    assert (field, code) in [(error["field"], error["code"]) for error in said["errors"]]


def test_bad_market_and_bad_grid_are_named_together() -> None:
    said, _ = planned({**GRID, "lower": "x", "lot": "y"})
    assert [error["field"] for error in said["errors"]] == ["lower", "lot"]


def test_a_name_that_means_nothing_is_warned_of() -> None:
    said, code = planned({**GRID, "colour": "red"})
    assert code == 0
    assert said["warnings"] == [{"field": "colour", "code": "unknown_field", "values": {}}]


def test_a_plan_can_be_read_by_people() -> None:
    assert 'empty_level: "100"' in run("grid", "plan", given=json.dumps(GRID)).output


@pytest.mark.shared
@pytest.mark.parametrize("case", list(recorded_cases()))
def test_the_command_agrees_with_every_published_case(case: dict[str, Any]) -> None:
    check_command(case)


@pytest.mark.parametrize("case", OWN_CASES, ids=lambda case: case["id"])
def test_the_command_agrees_with_cases_computed_by_hand(case: dict[str, Any]) -> None:
    check_command(case)


def check_command(case: dict[str, Any]) -> None:
    if case["kind"] == "profit":
        fees = {"maker_fee": case["input"]["fee"], "price": case["input"]["lower"]}
        said, code = planned({**case["input"], **fees})
        lowest = case["expected"].get("lowest_percent") or case["expected"]["profit_percent"]
        assert agrees(lowest, D(said["profit_per_grid"]["lowest_percent"]))
    said, code = planned(case["input"])
    assert (code, said["errors"]) == (0, [])
    parts = case["expected"] if case["kind"] == "trailing" else {"": case["expected"]}
    for part, expected in parts.items():
        compare(said[part] if part else said, expected)


def compare(said: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name == "sell_count":
            assert len(said["sells"]) == value
        elif isinstance(value, list):
            assert len(said[name]) == len(value)
            for wanted, found in zip(value, said[name], strict=True):
                assert _agree(wanted, found), (name, wanted, found)
        else:
            assert agrees(value, D(said[name])), name


def _agree(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, list):
        return all(agrees(a, D(b)) for a, b in zip(wanted, found, strict=True))
    return agrees(wanted, D(found[0] if isinstance(found, list) else found))


# --- files of candles -------------------------------------------------------------------------


def write(folder: Path, *rows: str, name: str = "x-ABCUSDT-1m.csv") -> Path:
    path = folder / name
    lines = [f"{T + number * 60_000},{row}\n" for number, row in enumerate(rows)]
    text = HEADER + "".join(lines)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


GOOD = ("95,96,89,95,1", "95,101,94,100,1", "100,111,99,111,1")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_good_file_passes(tmp_path: Path, name: str) -> None:
    result = run("candles", "check", str(write(tmp_path, *GOOD, name=name)), "--strict")
    assert result.exit_code == 0
    assert "good: 3 rows, timeframe 60 s" in result.output


def test_a_bad_row_is_named_and_the_exit_code_is_1(tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD, "95,94,96,95,1")
    result = run("candles", "check", str(path))
    assert result.exit_code == 1
    assert "row 4 (line 5): high_below_low high=94 low=96" in result.output
    said = json.loads(run("candles", "check", str(path), "--json").output)
    assert (said["good"], said["bad"][0]["row"], said["bad"][0]["line"]) == (False, 4, 5)


def test_a_row_with_bytes_that_are_no_text_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD)
    path.write_bytes(path.read_bytes() + b"17000000\xff0000,1,2,1,2,5\n")
    found = run("candles", "check", str(path))
    assert found.exit_code == 1
    assert "row 4 (line 5)" in found.output


def test_a_gap_is_listed_and_refused_only_when_strict(tmp_path: Path) -> None:
    path = tmp_path / "gap.csv"
    rows = [f"{T + minute * 60_000},{GOOD[0]}\n" for minute in (0, 1, 2, 9)]
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    loose, strict = (
        run("candles", "check", str(path)),
        run("candles", "check", str(path), "--strict"),
    )
    assert (loose.exit_code, strict.exit_code) == (0, 1)
    assert "gap before row 4 (line 5): candles missing: 6" in loose.output


@pytest.mark.parametrize("content", [b"\x1f\x8b broken", b"plain text", b""])
def test_a_file_that_is_not_what_its_name_says_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.csv.gz"
    path.write_bytes(content)
    result = run("candles", "check", str(path))
    assert result.exit_code == 1
    assert "broken.csv.gz" in result.output
    assert "Traceback" not in result.output


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = run("candles", "check", str(tmp_path / "none.csv"))
    assert result.exit_code == 2
    assert "none.csv" in result.output


# --- back-test --------------------------------------------------------------------------------

PARAMS = {"lower": "80", "upper": "120", "grids": 4, "investment": "1000", "lot": "0.001"}


def backtest(path: Path, params: Any, *more: str) -> Result:
    text = params if isinstance(params, str) else json.dumps(params)
    words = ("--candles", str(path), "--strategy", "grid", "--params", text, "--json")
    return run("backtest", *words, *more)


def test_a_backtest_prints_its_profit_and_speed(tmp_path: Path) -> None:
    result = backtest(write(tmp_path, *GOOD), {**PARAMS, "reserve": "0", "tick": "0.01"}, "--full")
    assert result.exit_code == 0
    said = json.loads(result.output)
    assert said["symbol"] == "ABC/USDT"
    assert (said["candles"], said["fills"], said["matched_trades"]) == (3, 4, 2)
    assert said["profit"]["grid"] == "55.54"
    total, change = D(said["profit"]["total"]), D(said["profit"]["price_change"])
    assert total == D("55.54") + change
    assert said["speed"]["candles_per_second"] > 0
    assert len(said["fill_list"]) == 4
    assert said["match_list"][0]["profit"] == "27.77"


def test_a_backtest_may_fill_at_a_touch(tmp_path: Path) -> None:
    path = write(tmp_path, "95,96,90,95,1", name="abc.csv")
    fills = [
        json.loads(backtest(path, PARAMS, *more).output)["fills"] for more in ((), ("--touch",))
    ]
    assert fills == [1, 2]


def test_a_backtest_can_be_read_by_people(tmp_path: Path) -> None:
    words = ("--candles", str(write(tmp_path, *GOOD)), "--params", json.dumps(PARAMS))
    result = run("backtest", *words)
    assert result.exit_code == 0
    assert "candles: 3" in result.output


@pytest.mark.parametrize(
    ("params", "field", "code"),
    [
        ("{", "params", "not_json"),
        ({**PARAMS, "lower": "x"}, "lower", "not_a_number"),
        ({**PARAMS, "girds": 3}, "girds", "unknown_field"),
        ({**PARAMS, "investment": None}, "investment", "missing"),
        ({**PARAMS, "lot": "-1"}, "lot", "too_small"),
        ({**PARAMS, "lower": "100"}, "lower", "range_excludes_price"),
        ({**PARAMS, "direction": "short"}, "direction", "spot_is_long_only"),
        ({**PARAMS, "investment": None, "quantity": "1"}, "investment", "missing"),
    ],
)
def test_bad_parameters_are_named_and_exit_with_2(
    tmp_path: Path, params: Any, field: str, code: str
) -> None:
    result = backtest(write(tmp_path, *GOOD), params)
    assert result.exit_code == 2
    errors = json.loads(result.output)["errors"]
    assert (field, code) in [(error["field"], error["code"]) for error in errors]


@pytest.mark.parametrize(
    ("rows", "code"), [((GOOD[0], "5,4,6,5,1"), "high_below_low"), ((), "no_candles")]
)
def test_bad_candles_are_named_and_exit_with_2(
    tmp_path: Path, rows: tuple[str, ...], code: str
) -> None:
    result = backtest(write(tmp_path, *rows), PARAMS)
    assert result.exit_code == 2
    (error,) = json.loads(result.output)["errors"]
    assert (error["field"], error["code"]) == ("candles", code)


def test_a_price_that_leaps_over_more_levels_than_any_real_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.trading.backtest.MOST_ROUNDS", 20)
    leap = "9000,9000,9000,9000,1"
    path = write(tmp_path, "100,100,100,100,1", leap)
    result = backtest(path, {**PARAMS, "trailing_up": "on"})
    assert result.exit_code == 2
    (error,) = json.loads(result.output)["errors"]
    assert (error["field"], error["code"]) == ("candles", "price_leaps")
    assert error["values"]["price"] == "9000"


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("bybit-BTCUSDT-5m.csv.gz", "BTC/USDT"),
        ("octobot-binance-ETHBTC-1h.csv.gz", "ETH/BTC"),
        ("prices.csv", "BASE/QUOTE"),
    ],
)
def test_the_pair_is_read_from_the_name_of_the_file(name: str, symbol: str) -> None:
    assert symbol_of(Path(name)) == symbol


@pytest.mark.long
@pytest.mark.shared
def test_a_recorded_year_of_hours_gives_a_profit_that_adds_up() -> None:
    path = shared_folder() / "data" / "candles" / "bybitlinear-BTCUSDT-1h.csv.gz"
    params = {"lower": "30000", "upper": "120000", "grids": 100, "spacing": "geometric"}
    fees = {"maker_fee": "0.001", "fee_side": "received_asset", "tick": "0.1", "lot": "0.000001"}
    said = json.loads(backtest(path, {**params, **fees, "investment": "10000"}).output)
    profit = {name: D(value) for name, value in said["profit"].items()}
    assert said["fills"] > 100
    assert profit["total"] == profit["grid"] + profit["price_change"] + profit["funding"]
    assert D(said["value_now"]) == 10_000 + profit["total"]
