"""Floats are refused by lint where money is handled."""

import pytest

from dev.no_floats import MONEY, ROOT, floats_in, main, money_modules


@pytest.mark.long
def test_no_module_of_money_handles_floats(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().out
    assert len(list(money_modules())) > len(MONEY)


def test_whatever_counts_performance_is_a_module_of_money() -> None:
    checked = set(money_modules())
    counting = {
        path
        for path in (ROOT / "app").rglob("*.py")
        if "app.trading.performance import" in path.read_text()
    }
    assert counting - checked == set()
    assert len(counting) > 4


@pytest.mark.parametrize(
    "line",
    [
        "fee = price * 0.001",
        "fee: float = given",
        "fee = float(text)",
        "import math",
        "from math import sqrt",
        "fees = [1, 2.0]",
        "small = 1e-8",
    ],
)
def test_a_float_among_money_is_found(line: str) -> None:
    assert [number for number, _ in floats_in(f"import decimal\n{line}\n")][:1] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "if isinstance(value, float): raise TypeError",
        "if isinstance(value, int | float): raise TypeError",
        "PAUSE_S = 1.5  # time",
        "fee = price * Decimal('0.001')",
        "share = 1 / whole",
        "from math import ceil",
    ],
)
def test_what_refuses_floats_or_measures_time_is_let_through(line: str) -> None:
    assert floats_in(line) == []
