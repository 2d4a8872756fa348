"""A chaos run passes only if every fault and habit struck and bots traded all along."""

from collections import Counter
from typing import Any

import pytest

from tests.chaos.campaign import HABITS, Result, never_struck, phases, table, too_little


def counts(**habits: int) -> dict[str, Any]:
    """Return counts as the stand-in tells them, every fault among them."""
    names = {fault.name: 1 for phase in phases() for fault in phase.faults}
    return {"by_name": names, "faults": {}, "habits": {"private calls": 9, **habits}}


def busy(**changed: Any) -> Result:
    """Return a run with enough of everything."""
    result = Result(Counter({"kill": 100}), fills=50, funding=1)
    for name, value in changed.items():
        setattr(result, name, value)
    return result


def test_every_fault_and_habit_must_have_struck() -> None:
    assert never_struck(phases(), counts(**dict.fromkeys(HABITS, 1))) == []


@pytest.mark.parametrize("name", HABITS)
def test_a_habit_that_never_struck_is_named(name: str) -> None:
    struck = {habit: 1 for habit in HABITS if habit != name}
    assert never_struck(phases(), counts(**struck)) == [name]
    result = busy(never_struck=[name])
    assert not result.passed
    assert f"  {name:<32}{0:>8}" in table(result, counts(**struck), 0).splitlines()


def test_a_fault_that_never_struck_is_named() -> None:
    told = counts(**dict.fromkeys(HABITS, 1))
    del told["by_name"]["forget"]
    assert never_struck(phases(), told) == ["forget"]


def test_only_what_was_on_is_asked_for() -> None:
    chosen = [phase for phase in phases() if phase.name in {"kills alone", "late fills"}]
    assert never_struck(chosen, {"by_name": {}, "habits": {}}) == ["late fills"]


def test_a_run_in_which_bots_traded_enough_is_not_idle() -> None:
    assert too_little(busy(), [], contracts=3) == []
    assert busy().passed


@pytest.mark.parametrize(
    ("result", "ended", "contracts", "told"),
    [
        (busy(fills=49), [], 3, "only 49 fills"),
        (busy(funding=0), [], 3, "no funding"),
        (busy(), ["bot 1 has ended as stopped: {}"], 3, "has ended"),
    ],
)
def test_an_ended_bot_few_fills_or_no_funding_fail_a_run(
    result: Result, ended: list[str], contracts: int, told: str
) -> None:
    result.idle = too_little(result, ended, contracts)
    assert told in result.idle[0]
    assert not result.passed


def test_without_contracts_there_is_no_funding_to_ask_for() -> None:
    assert too_little(busy(funding=0), [], contracts=0) == []
