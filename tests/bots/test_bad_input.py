"""Bad input of every kind, by page, API and command: a coded error that names the field.

What happens at a running bot behind our back is told in test_live_audit.py and test_ties.py.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts.models import User
from app.bots.models import Bot, BotConfig, BotEvent
from app.db import db
from app.i18n import has_text
from app.markets.models import MarketRow
from app.markets.service import set_blocked
from app.trading.strategies.grid import GRID
from app.trading.strategy import Field, FieldKind
from app.transactions import transaction
from tests.api.programs import Program, give_token
from tests.bots.shop import Shop
from tests.bots.test_pages import form_of
from tests.client import Client
from tests.long import few, thinned

Login = Callable[[User], Client]
# What no number of a bot can be, whatever it counts.
NO_NUMBERS = (
    "NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "-1", "1e30", "9" * 31, "9" * 400,
    "abc", "0x10", "1_000", "--5", "\x00", "😀", "' or 1=1",
)  # fmt: skip
WRONG_TYPES: tuple[Any, ...] = (True, [1], {"a": 1}, 1.5e300)
NUMBERS = {FieldKind.DECIMAL, FieldKind.INTEGER}
FIELDS = [field.name for field in GRID.fields]


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


@pytest.fixture
def client(shop: Shop, login_as: Login) -> Client:
    with transaction():
        shop.user.profile.experience = "expert"
    return login_as(shop.user)


@pytest.fixture
def program(app: Flask, shop: Shop) -> Program:
    return Program(app, give_token(shop.user_id))


def declared(name: str) -> Field:
    return next(field for field in GRID.fields if field.name == name)


def values_for(field: Field) -> tuple[Any, ...]:
    """Return what a field can't be, in text."""
    if field.kind in NUMBERS:
        too_many = () if field.kind is FieldKind.DECIMAL else ("2.5",)
        beyond = () if field.maximum is None else (str(field.maximum * 101),)
        return (*NO_NUMBERS, *too_many, *beyond)
    return ("maybe", "NaN", "-1", "😀", "\x00", "9" * 400)


def errors_of(answer: Any) -> list[dict[str, Any]]:
    """Return what is wrong; a fault of a single field stands in the answer itself."""
    said: dict[str, Any] = answer.get_json(force=True)
    found: list[dict[str, Any]] = said.get("errors") or [said]
    return found


def nothing_was_made() -> bool:
    db.session.rollback()
    return db.session.scalar(select(Bot.id).limit(1)) is None


@thinned(12)
@pytest.mark.parametrize("name", FIELDS)
def test_the_api_names_every_field_that_can_not_be(
    shop: Shop, program: Program, name: str, step: int
) -> None:
    """Each field gets every so-manieth value, not the same ones as the next."""
    whole = {"account": shop.account_id, "symbol": "AAA/USDT", "name": "x", "lower": "90"}
    whole |= {"upper": "110", "grids": 10, "investment": "1000"}
    # A limit is looked at only where the range follows the price that way.
    whole |= {"trailing_up": True, "trailing_down": True} if name.endswith("_limit") else {}
    values = (*values_for(declared(name)), *WRONG_TYPES)
    for value in values[FIELDS.index(name) % step :: step]:
        if declared(name).kind is FieldKind.FLAG and value is True:
            continue
        answer = program.post("/bots", whole | {name: value})
        assert answer.status_code == 422, (name, value, answer.text)
        errors = errors_of(answer)
        assert name in {each["field"] for each in errors}, (name, value, errors)
        assert all(has_text(each["code"]) for each in errors)
    assert nothing_was_made()


# What the page of an ordinary pair asks for; a tick is there or not, whatever is sent for it.
ON_THE_PAGE = [
    field
    for field in GRID.fields
    if field.kind is not FieldKind.FLAG and field.name not in {"direction", "leverage"}
]


def refused_beside(client: Client, form: dict[str, Any]) -> set[str]:
    """Send a form that can't be, and return the fields beside which the page says so."""
    answer = client.post_form("/bots/new", form)
    assert answer.status_code == 422, form
    assert "could not be done" not in answer.text
    return set(re.findall(r'id="(\w+)-error"', answer.text))


@pytest.mark.parametrize("field", few(ON_THE_PAGE, 3), ids=lambda field: field.name)
def test_the_page_says_it_beside_the_field(shop: Shop, client: Client, field: Field) -> None:
    more = {"trailing_up": "y", "trailing_down": "y"} if field.name.endswith("_limit") else {}
    if field.name == "step":
        more = {"linked": "step"}
    # Those of all numbers are sent together below.
    own = [value for value in values_for(field) if value not in NO_NUMBERS[1:]]
    for value in own:
        found = refused_beside(client, form_of(shop, **{**more, field.name: value}))
        assert field.name in found, (value, found)
    assert nothing_was_made()


@pytest.mark.parametrize("value", few(NO_NUMBERS, 6))
def test_the_page_says_it_beside_every_number(shop: Shop, client: Client, value: str) -> None:
    numbers = [field.name for field in ON_THE_PAGE if field.kind in NUMBERS]
    assert len(numbers) > 10
    form = form_of(shop, **dict.fromkeys(numbers, value), trailing_up="y", trailing_down="y")
    stepped = refused_beside(client, form | {"linked": "step"})
    assert stepped | refused_beside(client, form) >= set(numbers)
    assert nothing_was_made()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("reserve", "100", "it must be less than 100.00%"),
        ("stop_loss_share", "250", "it must be at most 100.00%"),
    ],
)
def test_bounds_of_a_percentage_are_told_in_percent(
    shop: Shop, client: Client, field: str, value: str, told: str
) -> None:
    """Who typed 100 % was told that it must be less than 1."""
    sent = form_of(shop, **{field: value})
    for path in ("/bots/new/preview", "/bots/new"):
        assert told in client.post_form(path, sent).text, path


@thinned(8)
def test_the_command_changes_nothing_and_names_the_field(app: Flask, shop: Shop, step: int) -> None:
    bot_id = shop.run_bot()
    # No shell can hand a NUL over.
    said = [(name, value) for name in FIELDS for value in values_for(declared(name))]
    for name, value in [each for each in said if "\x00" not in each[1]][::step]:
        more = ("trailing_up=true", "trailing_down=true") if name.endswith("_limit") else ()
        words = ["bots", "change", str(bot_id), f"{name}={value}", *more, "--yes"]
        db.session.commit()
        result = app.test_cli_runner().invoke(args=words)
        db.session.rollback()
        assert isinstance(result.exception, SystemExit), (name, value, result.exception)
        assert result.exit_code != 0, (name, value)
        assert f"{name}: " in result.output, (name, value, result.output)
    assert shop.bot(bot_id).config_version == 1
    with transaction():
        assert db.session.query(BotConfig).count() == 1


def test_unknown_fields_are_named_and_never_swallowed(
    app: Flask, shop: Shop, program: Program
) -> None:
    body = {"account": shop.account_id, "symbol": "AAA/USDT", "lower": "90", "upper": "110"}
    body |= {"grids": 10, "investment": "1000", "colour": "red"}
    errors = errors_of(program.post("/bots", body))
    assert [(each["field"], each["code"]) for each in errors] == [("colour", "unknown_field")]
    bot_id = shop.run_bot()
    db.session.commit()
    result = app.test_cli_runner().invoke(args=["bots", "change", str(bot_id), "colour=red"])
    assert result.exit_code != 0
    assert "colour" in result.output
    result = app.test_cli_runner().invoke(args=["bots", "limits", str(bot_id), "max_fun=1"])
    assert result.exit_code != 0
    assert "max_fun" in result.output


def test_a_delisted_pair_is_named_by_page_api_and_command(
    app: Flask, shop: Shop, client: Client, program: Program
) -> None:
    running, resting = shop.run_bot(), shop.add_bot("Other")
    with transaction():
        db.session.get_one(MarketRow, shop.market_id).blocked_reason = "delisted"
    body = {"account": shop.account_id, "symbol": "AAA/USDT", "lower": "90", "upper": "110"}
    refused = program.post("/bots", body | {"grids": 10, "investment": "1000"})
    assert (refused.status_code, errors_of(refused)[0]["code"]) == (
        409, "market_delisted",
    )  # fmt: skip
    words = "AAA/USDT is not traded any more."
    assert words in client.get(f"/bots/{resting}/start").text
    started = program.post(f"/bots/{resting}/start")
    assert started.status_code == 409
    money = client.get(f"/bots/{running}/money", follow_redirects=True)
    assert money.status_code < 500
    assert words in money.text
    change = client.post_form(
        f"/bots/{running}/change", form_of(shop, grids="5"), follow_redirects=True
    )
    assert words in change.text
    assert shop.bot(running).config_version == 1
    db.session.commit()
    result = app.test_cli_runner().invoke(args=["bots", "start", str(resting)])
    assert result.exit_code != 0
    assert "not traded any more" in result.output
    # The bot that ran goes on as long as there is a price, and can be stopped.
    shop.tick()
    assert shop.bot(running).state == "active"
    assert program.post(f"/bots/{running}/stop").status_code == 202


@pytest.mark.parametrize("reason", few(["delisted", "no_prices"], 2))
def test_a_pair_that_is_blocked_and_comes_back_is_told_once_each_in_the_log(
    shop: Shop, reason: str
) -> None:
    running, resting = shop.run_bot(), shop.add_bot("Other")
    for turned_to in (reason, reason, "", ""):
        with transaction():
            set_blocked(shop.market_id, turned_to)
        shop.tick()
    told = select(BotEvent.bot_id, BotEvent.code).where(BotEvent.code.startswith("pair_"))
    assert [tuple(row) for row in db.session.execute(told.order_by(BotEvent.id))] == [
        (running, f"pair_{reason}"),
        (running, "pair_is_back"),
    ]
    assert shop.bot(resting).state == "stopped"


def test_a_price_of_nothing_is_no_price(shop: Shop) -> None:
    bot_id = shop.run_bot()
    before = shop.bot(bot_id).tick_number
    with transaction():
        market = db.session.get_one(MarketRow, shop.market_id)
        market.last_price = None
    shop.tick()
    row = shop.bot(bot_id)
    assert row.state == "active"
    assert row.tick_number >= before
    other = shop.add_bot  # without a price no bot is made
    with pytest.raises(Exception, match="no_price_yet"):
        other("Other")


def test_settings_at_the_edge_of_what_can_be_are_taken_or_named(
    shop: Shop, program: Program
) -> None:
    body = {"account": shop.account_id, "symbol": "AAA/USDT", "lower": "90", "upper": "110"}
    body |= {"grids": 10, "investment": "1000"}
    for changes, field in (
        ({"lower": "0.0000000000000000001"}, "lower"),
        ({"lower": "0.001"}, "lower"),
        ({"upper": "90"}, "upper"),
        ({"grids": 1}, "grids"),
        ({"grids": 100_000}, "grids"),
        ({"investment": "0.01"}, "investment"),
        ({"reserve": "1"}, "reserve"),
        ({"leverage": "2"}, "leverage"),
        ({"direction": "short"}, "direction"),
        ({"stop_loss": "100"}, "stop_loss"),
        ({"lower": "101"}, "lower"),
        ({"max_resting": 1}, "max_resting"),
    ):
        answer = program.post("/bots", body | changes)
        assert answer.status_code == 422, (changes, answer.text)
        fields = {each["field"] for each in errors_of(answer)}
        assert field in fields, (changes, fields)
    assert nothing_was_made()
