"""The table of states and what it takes to confirm anew; pure."""

from dataclasses import replace
from decimal import Decimal

import pytest

from app.bots.models import BotState
from app.bots.rules import (
    ALREADY,
    MAX_NAME,
    STATE_TABLE,
    Action,
    changed_materially,
    grids_for_step,
    may,
    next_state,
    read_seen,
    seen_of,
    tidy_name,
)
from app.errors import Conflict, InvalidInput

STATES = [state.value for state in BotState]


def test_every_state_stands_in_the_table_and_leads_to_a_state() -> None:
    assert set(STATE_TABLE) == set(STATES)
    for actions in STATE_TABLE.values():
        assert set(actions.values()) <= set(STATES)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", list(Action))
def test_each_action_moves_is_done_already_or_is_refused(state: str, action: Action) -> None:
    if may(state, action):
        assert next_state(state, action) == STATE_TABLE[state][action]
    elif state in ALREADY.get(action, frozenset()):
        assert next_state(state, action) is None
    else:
        with pytest.raises(Conflict) as refusal:
            next_state(state, action)
        assert refusal.value.code == f"cannot_{action.value}"
        assert refusal.value.values == {"state": state}


def test_only_stopped_and_failed_bots_start() -> None:
    assert {state for state in STATES if may(state, Action.START)} == {"stopped", "error"}


def test_only_a_stopped_bot_is_deleted() -> None:
    assert {state for state in STATES if may(state, Action.DELETE)} == {"stopped"}


def test_an_emergency_stop_is_possible_in_every_state() -> None:
    assert all(may(state, Action.EMERGENCY) for state in STATES)


def test_nothing_leads_out_of_locked_but_the_owner() -> None:
    assert {
        action for action in Action if STATE_TABLE["locked"].get(action) not in {None, "locked"}
    } == {Action.UNLOCK}


@pytest.mark.parametrize("name", ["", "   ", "\x00", "a\x00b", "x" * (MAX_NAME + 1), "\u202eabc"])
def test_names_that_cannot_be_shown_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        tidy_name(name)


def test_blanks_around_a_name_fall_away() -> None:
    assert tidy_name("  My \t grid 🐢 ") == "My grid 🐢"


SEEN = seen_of(1, Decimal(500), Decimal(100), ["reserve_below_fees"])
MONEY = Decimal(1000)


def test_what_was_read_travels_through_the_form() -> None:
    assert read_seen(SEEN.text()) == SEEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "a|b|c|d|e",
        "1|NaN|0|0|",
        "1|1|Infinity|0|",
        "1|1|0|-Infinity|",
        "1|1e99999999|0|0|",
        "1|500|100|reserve_below_fees",
        "1|2|3|4|5|6",
        "9" * 5000,
        "1|\x00|0|0|",
    ],
)
def test_what_cannot_be_read_counts_as_unread(text: str) -> None:
    assert changed_materially(read_seen(text), SEEN, MONEY)


@pytest.mark.parametrize(
    ("cost", "loss", "codes", "version", "changed"),
    [
        ("500", "100", ["reserve_below_fees"], 1, False),
        ("600", "120", ["reserve_below_fees"], 1, False),
        ("601", "100", ["reserve_below_fees"], 1, True),
        ("399", "100", ["reserve_below_fees"], 1, True),
        ("500", "121", ["reserve_below_fees"], 1, True),
        ("500", "10", ["reserve_below_fees"], 1, False),
        ("500", "100", [], 1, True),
        ("500", "100", ["reserve_below_fees", "stop_loss_inside_range"], 1, True),
        ("500", "100", ["reserve_below_fees"], 2, True),
    ],
)
def test_another_plan_asks_again_and_a_little_movement_does_not(
    cost: str, loss: str, codes: list[str], version: int, changed: bool
) -> None:
    now = seen_of(version, Decimal(cost), Decimal(loss), codes)
    assert changed_materially(SEEN, now, MONEY) is changed


@pytest.mark.parametrize(("put_in", "changed"), [(-300, False), (220, False), (221, True)])
def test_more_money_than_was_read_asks_again_and_a_little_more_does_not(
    put_in: int, changed: bool
) -> None:
    seen = replace(SEEN, put_in=Decimal(200))
    assert read_seen(seen.text()) == seen
    assert changed_materially(seen, replace(seen, put_in=Decimal(put_in)), MONEY) is changed


@pytest.mark.parametrize(
    ("lower", "upper", "step", "geometric", "grids"),
    [
        ("90", "110", "2", False, 10),
        ("90", "110", "3", False, 7),
        ("100", "200", "7.1773", True, 10),
        ("90", "110", "1000", False, 1),
        ("90", "110", "0", False, None),
        ("90", "110", "-1", False, None),
        ("110", "90", "1", False, None),
        ("1", "99999999999999999999", "0.000000000000000001", False, 1_000_000),
        ("1", "2", "0.000000000000000001", True, 1_000_000),
        ("1", "2", "99999999999999999999", True, 1),
    ],
)
def test_a_step_becomes_the_nearest_number_of_grids(
    lower: str, upper: str, step: str, geometric: bool, grids: int | None
) -> None:
    found = grids_for_step(Decimal(lower), Decimal(upper), Decimal(step), geometric=geometric)
    assert found == grids
