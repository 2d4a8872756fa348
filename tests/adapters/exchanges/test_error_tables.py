"""What the tables of codes make of an exchange's answers, sent through the real library."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from app.adapters.exchanges.errors import (
    ClockDiffersError,
    ExchangeError,
    KeyRefusedError,
    RateLimitedError,
    VenueClosedError,
)
from app.adapters.exchanges.quirks import QUIRKS
from app.adapters.exchanges.quirks.kinds import PROVES_REFUSAL, Action, actions
from app.trading.ports import Accepted, Outcome, Refused, Unresolved
from tests.adapters.exchanges.canned import CLIENT_ID, exchange, order
from tests.conftest import shared_folder
from tests.long import few, thinned

NAMES = sorted(QUIRKS)
FOLDER = shared_folder() / "data" / "bybit"
THEIR_NAMES = {"DUP": "duplicate"}


def rows() -> list[tuple[str, Action]]:
    """Return every code of the recorded table with its action; statuses as "HTTP 403"."""
    file = FOLDER / "error_actions.json"
    if not file.is_file():
        return []
    return [
        (code.strip(), Action(THEIR_NAMES.get(row["action"], row["action"].lower())))
        for row in json.loads(file.read_text())["table"]
        for code in re.sub(r"\([^)]*\)", "", row["codes"]).split("/")
    ]


def rows_of_page() -> Iterator[tuple[str, Action]]:
    """Return the same from the page that people read."""
    for line in (FOLDER / "ERRORS.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 3 and re.search(r"\d", cells[0]) and cells[2].isupper():
            for code in re.sub(r"\([^)]*\)", "", cells[0]).split("/"):
                yield code.strip(), Action(THEIR_NAMES.get(cells[2], cells[2].lower()))


def answer_of(code: str) -> Any:
    if code.startswith("HTTP "):
        return int(code.removeprefix("HTTP ")), ""
    return 200, {"retCode": int(code), "retMsg": "as recorded", "result": {}}


def placed(code: str, action: Action) -> Outcome:
    venue, network = exchange("bybit", answer_of(code))
    outcome = venue.place("BTC/USDT", order())
    # Never blindly again: only the clock may have been asked.
    assert [request.method for request in network.sent].count("POST") == 1, action
    return outcome


@pytest.mark.shared
def test_each_recorded_code_asks_for_the_recorded_action() -> None:
    known = QUIRKS["bybit"].actions
    other = {code for code, action in rows() if known[code.removeprefix("HTTP ")] is not action}
    assert other == set()


@pytest.mark.shared
def test_table_and_page_agree_and_nothing_of_them_is_missing() -> None:
    assert dict(rows_of_page()) == dict(rows())
    assert len(dict(rows())) > 100


@pytest.mark.shared
@thinned(4)
def test_order_answered_by_a_recorded_code_ends_as_its_action_says(step: int) -> None:
    for code, action in rows()[::step]:
        outcome = placed(code, action)
        if action in PROVES_REFUSAL or code in QUIRKS["bybit"].refused_when_placing:
            assert isinstance(outcome, Refused), code
        elif action is Action.DUPLICATE:
            assert outcome == Refused("duplicate_client_id", outcome.detail), code  # type: ignore[union-attr]
        else:
            assert isinstance(outcome, Unresolved), code


@pytest.mark.shared
@thinned(4)
def test_cancellation_answered_by_a_recorded_code(step: int) -> None:
    for code, action in rows()[1 % step :: step]:
        venue, _ = exchange("bybit", answer_of(code))
        outcome = venue.cancel("BTC/USDT", CLIENT_ID)
        if action in {Action.GONE, Action.NOOP}:
            assert isinstance(outcome, Accepted), code
        elif action in {Action.UNKNOWN, Action.BACKOFF}:
            assert isinstance(outcome, Unresolved), code
        else:
            assert isinstance(outcome, Refused), code


@pytest.mark.shared
@thinned(4)
def test_reading_answered_by_a_recorded_code_says_what_to_do(step: int) -> None:
    kinds: dict[Action, type[ExchangeError]] = {
        Action.STOP: KeyRefusedError,
        Action.BACKOFF: RateLimitedError,
        Action.CLOCK: ClockDiffersError,
        Action.VENUE: VenueClosedError,
    }
    for code, action in rows()[2 % step :: step]:
        venue, _ = exchange("bybit", answer_of(code))
        with pytest.raises(ExchangeError) as found:
            venue.balances()
        if action in kinds:
            assert isinstance(found.value, kinds[action]), code
        else:
            assert not isinstance(found.value, KeyRefusedError), code


# --- the same on tables of our own ------------------------------------------------------------

BODIES: dict[str, Any] = {
    "bybit": lambda code: {"retCode": code, "retMsg": "told", "result": {}},
    "binance": lambda code: {"code": code, "msg": "told"},
    "okx": lambda code: {"code": code, "msg": "told", "data": []},
    "kucoin": lambda code: {"code": code, "msg": "told"},
    "mexc": lambda code: {"code": code, "msg": "told"},
}


def number_of(name: str, code: str) -> str | int:
    return code if name in {"okx", "kucoin"} else int(code)


@thinned(4)
@pytest.mark.parametrize("name", NAMES)
def test_only_codes_that_mean_a_refusal_prove_one(name: str, step: int) -> None:
    quirks = QUIRKS[name]
    assert len(quirks.actions) > 20
    for code, action in list(quirks.actions.items())[::step]:
        venue, network = exchange(name, (400, BODIES[name](number_of(name, code))))
        outcome = venue.place("BTC/USDT", order())
        refused = action in PROVES_REFUSAL or code in quirks.refused_when_placing
        assert isinstance(outcome, Refused) is (refused or action is Action.DUPLICATE), code
        assert [request.method for request in network.sent].count("POST") == 1, code


@thinned(4)
@pytest.mark.parametrize("name", NAMES)
def test_no_code_proves_anything_beside_a_failure_of_the_server(name: str, step: int) -> None:
    for code in list(QUIRKS[name].actions)[2 % step :: step]:
        venue, _ = exchange(name, (502, BODIES[name](number_of(name, code))))
        assert isinstance(venue.place("BTC/USDT", order()), Unresolved), code


@pytest.mark.parametrize("name", NAMES)
def test_codes_that_disagree_prove_nothing(name: str) -> None:
    codes = {action: code for code, action in QUIRKS[name].actions.items()}
    mixed = {"code": "1", "retCode": 1, "msg": "parts", "result": {}, "data": [
        {"sCode": codes[Action.FIX], "code": codes[Action.FIX]},
        {"sCode": codes[Action.UNKNOWN], "code": codes[Action.UNKNOWN]},
    ]}  # fmt: skip
    venue, _ = exchange(name, (400, mixed))
    assert isinstance(venue.place("BTC/USDT", order()), Unresolved)


PAGES = [
    (200, "<html><body>Please wait</body></html>"),
    (401, "<html>Unauthorized</html>"),
    (403, "<html>Forbidden</html>"),
    (404, "<html>Not Found</html>"),
    (429, "<html>Too many</html>"),
    (500, ""),
    (502, "<html>Bad Gateway</html>"),
    (503, '{"msg": "insufficient balance"}'),
    (200, ""),
    (200, "null"),
    (200, "[]"),
    (200, '"OK"'),
    (200, "0"),
    (200, '{"retCode": 110007, "retMsg": "not eno'),
    (200, "{" * 5000),
    (200, "\x00\x01\x02"),
]


@pytest.mark.parametrize("name", few(NAMES, 2))
@pytest.mark.parametrize("page", PAGES, ids=[f"{n}-{page[0]}" for n, page in enumerate(PAGES)])
def test_page_that_no_exchange_wrote_proves_nothing(name: str, page: tuple[int, str]) -> None:
    venue, network = exchange(name, page)
    assert isinstance(venue.place("BTC/USDT", order()), Unresolved)
    assert len(network.sent) == 1
    venue, _ = exchange(name, page)
    assert isinstance(venue.cancel("BTC/USDT", CLIENT_ID), Unresolved | Refused)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "error",
    [AttributeError("'str' object has no attribute 'get'"), KeyError("result"), TypeError("None"),
     requests.exceptions.ChunkedEncodingError("cut"), RecursionError("deep"), MemoryError()],
)  # fmt: skip
def test_accident_inside_the_library_after_sending_proves_nothing(
    name: str, error: Exception
) -> None:
    venue, network = exchange(name, error)
    assert isinstance(venue.place("BTC/USDT", order()), Unresolved)
    assert len(network.sent) == 1


def test_code_can_not_stand_for_two_actions() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        actions(fix="1 2", gone="2")


@pytest.mark.parametrize("name", NAMES)
def test_codes_that_mean_absence_are_never_refusals(name: str) -> None:
    quirks = QUIRKS[name]
    assert {quirks.actions[code] for code in quirks.absent} <= {Action.GONE}
