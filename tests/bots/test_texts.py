"""Every code that the core, the ticks and the services can say has a sentence."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from flask import Flask

from app.bots import contract_texts, grid_texts, texts
from app.bots.labels import CHOICE_LABELS, FIELD_LABELS, ORDER_STATUS_LABELS, STATE_LABELS
from app.bots.models import BotState
from app.bots.rules import Action
from app.bots.texts import TEXTS
from app.bots.wording import say
from app.i18n import _texts, has_text, use_locale
from app.trades.owners import Pair
from app.trades.queries import Line
from app.trading.orders import Status
from app.trading.strategies import STRATEGIES
from app.trading.strategy import InvalidParams, problem

ROOT = Path(__file__).resolve().parents[2] / "app"
# The function that takes the code, and the place of the code among its arguments.
SPEAKERS = {
    "log_line": 0, "reason": 0, "Reason": 0, "LogLine": 0, "BadValue": 0, "Line": 0,
    "problem": 1, "Problem": 1, "Event": 1, "NoPreset": 1, "_tell": 1, "system_stop": 1,
    "Conflict": 0, "InvalidInput": 0, "NotFound": 0, "Unavailable": 0, "Forbidden": 0,
    "_stop": 3, "turn": 3, "tell": 1,
}  # fmt: skip
ORDER_SPEAKERS = {"Refused": 0, "Denied": 1, "_deny": 1}
FOLDERS = ("trading", "bots", "trades")
# Codes of files and commands, which speak English to whoever runs them.
COMMANDS_ONLY = {"backtest.py", "candles.py", "inputs.py", "codec.py", "ports.py"}
PAIR = Pair(1, "AAA/USDT", "AAA", "USDT", None, None)


@cache
def nodes(folder: str) -> list[ast.Call | ast.Assign]:
    """Return what a folder calls and assigns."""
    return [
        node
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name not in COMMANDS_ONLY
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call | ast.Assign)
    ]


def calls(folder: str) -> Iterator[tuple[str, list[ast.expr]]]:
    for node in nodes(folder):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            yield name, node.args


def spoken(speakers: dict[str, int]) -> set[str]:
    found = set()
    for folder in FOLDERS:
        for name, arguments in calls(folder):
            place = speakers.get(name)
            if place is None or len(arguments) <= place:
                continue
            code = arguments[place]
            either = [code.body, code.orelse] if isinstance(code, ast.IfExp) else [code]
            for each in either:
                if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value:
                    found.add(each.value)
    return found


def chosen() -> set[str]:
    """Return what is put into a variable called code before it is spoken."""
    found = set()
    for folder in FOLDERS:
        for node in nodes(folder):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
                if not isinstance(node.value, ast.IfExp):
                    continue
                either = (node.value.body, node.value.orelse)
                found |= {each.value for each in either if isinstance(each, ast.Constant)}
    return {code for code in found if isinstance(code, str) and code}


def with_values() -> Iterator[tuple[str, frozenset[str]]]:
    """Return each code that is spoken with the names of its values, where both are written out."""
    speakers = {**SPEAKERS, "LimitReached": 0}
    for path in sorted(ROOT.rglob("*.py")):
        if path.name in COMMANDS_ONLY or path.parent.name == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            place = speakers.get(name)
            # The others take their values as one mapping.
            if place is None or name in {"Reason", "LogLine", "Line", "Problem", "Event", "_tell"}:
                continue
            given = [keyword.arg for keyword in node.keywords]
            if name in {"_stop", "turn", "tell", "NoPreset"}:
                continue
            if len(node.args) <= place or None in given:
                continue
            code = node.args[place]
            for each in [code.body, code.orelse] if isinstance(code, ast.IfExp) else [code]:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each.value, frozenset(filter(None, given))


@cache
def all_codes() -> set[str]:
    return spoken(SPEAKERS) | chosen()


@cache
def order_codes() -> set[str]:
    return spoken(ORDER_SPEAKERS)


ROOMS = (
    *(getattr(texts, name) for name in ("_FORM", "_PLAN", "_REFUSALS", "_LOG", "_STATES")),
    texts._REASONS, texts._NOTICES, grid_texts.TEXTS, contract_texts.TEXTS,
)  # fmt: skip


def test_no_sentence_hides_another_of_the_same_code() -> None:
    codes = Counter(code for room in ROOMS for code in room)
    assert [code for code, rooms in codes.items() if rooms > 1] == []
    assert set(codes) <= set(TEXTS)


def test_the_walk_finds_the_codes() -> None:
    assert {
        "level_bought",
        "range_excludes_price",
        "answers_buy",
        "not_enough_money",
    } <= all_codes()
    assert {"over_budget", "insufficient_balance"} <= order_codes()
    assert len(all_codes()) > 70


def test_every_code_has_a_sentence(app: Flask) -> None:
    assert {code for code in all_codes() if not has_text(code)} == set()


def test_every_refusal_of_an_order_has_a_sentence(app: Flask) -> None:
    assert {code for code in order_codes() if not has_text(f"order_{code}")} == set()


def test_codes_that_are_put_together_have_sentences(app: Flask) -> None:
    together = {f"cannot_{action.value}" for action in Action}
    together |= {f"bot_{state}" for state in ("stopped", "locked")}
    together |= {f"rule_{rule}" for rule in ("min_notional", "min_quantity", "lot", "none")}
    together |= {f"market_{reason}" for reason in ("no_prices", "delisted")}
    together |= {f"denied_{code}" for code in spoken({"_deny": 1, "Denied": 1})}
    together |= {"price_below_range", "price_above_range", "price_back_in_range"}
    together |= {"order_rejected", "order_denied", "order_cancelled_outside"}
    together |= {"order_no_clear_answer", "order_unknown_to_venue", "order_never_arrived"}
    assert {code for code in together if not has_text(code)} == set()


def test_every_state_field_choice_and_status_has_a_name() -> None:
    assert set(STATE_LABELS) == {state.value for state in BotState}
    assert set(ORDER_STATUS_LABELS) == {status.value for status in Status}
    for strategy in STRATEGIES.values():
        for field in strategy.fields:
            assert field.name in FIELD_LABELS
            assert all(choice in CHOICE_LABELS for choice in field.choices)


def test_every_sentence_can_be_written_with_its_values(app: Flask) -> None:
    unfinished = {}
    with app.test_request_context(), use_locale("en"):
        for code, sentence in TEXTS.items():
            names = set(re.findall(r"%\((\w+)\)s", str(sentence)))
            said = say(Line(code, dict.fromkeys(names, "12345.678")), PAIR)
            if "%(" in said or "could not be done" in said:
                unfinished[code] = said
    assert unfinished == {}


def test_every_code_is_spoken_with_the_values_that_its_sentence_names(app: Flask) -> None:
    found = sorted({each for each in with_values() if has_text(each[0])}, key=str)
    assert len(found) > 100
    with app.test_request_context(), use_locale("en"):
        lacking = [
            (code, sorted(names))
            for code, names in found
            if "could not be done ()" in say(Line(code, dict.fromkeys(names, "12345.678")), PAIR)
        ]
    assert lacking == []


def test_a_bound_says_whether_it_may_be_reached(app: Flask) -> None:
    def said(name: str, value: str) -> str:
        with pytest.raises(InvalidParams) as bad:
            STRATEGIES["grid"].parse({"lower": "90", "upper": "110", "grids": 10, name: value})
        found = next(each for each in bad.value.problems if each.field == name)
        with app.test_request_context(), use_locale("en"):
            return say(found, PAIR)

    assert said("lower", "0") == "This is too small: it must be more than 0."
    assert said("leverage", "0.5") == "This is too small: it must be at least 1."


def test_an_old_line_without_a_value_still_says_something(app: Flask) -> None:
    with app.test_request_context(), use_locale("en"):
        assert say(Line("level_bought", {}), PAIR)
        assert say(Line("never_heard_of", {"x": 1}), PAIR)
        assert "refused" in say(Line("order_exchange_110007", {}), PAIR)


def test_numbers_are_written_with_the_pair_s_steps_and_codes(app: Flask) -> None:
    from decimal import Decimal

    pair = Pair(1, "BTC/USDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.000001"))
    line = Line(
        "level_sold", {"level": 3, "price": "60000", "quantity": "0.0015", "profit": "1.25"}
    )
    with app.test_request_context(), use_locale("en"):
        said = say(line, pair).replace("\xa0", " ")
    assert said == "Level 3 sold 0.0015 BTC at 60,000.0. Profit: 1.25 USDT."


def test_fees_that_eat_the_grid_are_told_in_percent(app: Flask) -> None:
    values = {"lowest": "-0.0005", "highest": "-0.0001", "fee": "0.001"}
    with app.test_request_context(), use_locale("en"):
        said = say(Line("fees_exceed_profit", values), PAIR)
        some = say(Line("fees_exceed_profit", {**values, "highest": "0.01"}), PAIR)
    assert "earns 0.15% and costs 0.20%" in said
    assert "lose on every trade" in said
    assert "uppermost" in some


def test_no_code_has_two_sentences() -> None:
    from app.accounts import texts as accounts
    from app.exchanges import texts as exchanges
    from app.faq import texts as faq
    from app.formatting import texts as formatting
    from app.subscriptions import texts as subscriptions

    for other in (accounts, exchanges, faq, formatting, subscriptions):
        assert set(other.TEXTS) & set(TEXTS) == set()
    assert set(TEXTS) <= set(_texts)


def test_typed_nonsense_in_a_value_is_repeated_not_computed(app: Flask) -> None:
    with app.test_request_context(), use_locale("en"):
        for value in ("1e400", "NaN", "9" * 300, "%s", "%(x)s", "\x00"):
            assert say(Line("too_small", {"minimum": value}), PAIR)
            assert say(Line("level_sold", {"price": value, "quantity": value}), PAIR)


def test_values_that_were_computed_are_written_as_numbers_of_the_pair(app: Flask) -> None:
    third = Decimal(100) / 3
    problems = (
        problem("grids", "fees_exceed_profit", lowest=-third / 10**6, highest=third, fee=third),
        problem(
            "investment", "investment_too_small", value=third, minimum=third, rule="min_notional",
            min_notional=third, min_quantity=None, lot=None,
        ),
    )  # fmt: skip
    with app.test_request_context():
        said = [say(each, PAIR) for each in problems]
    assert not [text for text in said if "33333" in text or "could not be done" in text]
    # What must be reached at least is rounded up.
    assert "Invest at least 33.34\N{NO-BREAK SPACE}USDT" in said[1]
    assert "The exchange takes no order below 33.33\N{NO-BREAK SPACE}USDT." in said[1]


def test_a_minimum_without_a_known_rule_is_said_in_general(app: Flask) -> None:
    line = problem("investment", "investment_too_small", value=1, minimum=2, rule="lot")
    with app.test_request_context():
        assert say(line, PAIR).endswith("The exchange sets this limit.")


def test_a_stop_names_the_position_of_a_contract_and_the_coins_of_others(app: Flask) -> None:
    future = Pair(1, "AAA/USDT:USDT", "AAA", "USDT", None, None, kind="linear")
    stop = Line("stopped_by_owner", {"how": "sell"})
    with app.test_request_context(), use_locale("en"):
        assert "Close the position at market" in say(stop, future)
        assert "Sell the coins at market" in say(stop, PAIR)
