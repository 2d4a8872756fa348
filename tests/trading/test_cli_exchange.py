"""`flask grid plan` for a pair of an exchange: its rules, fees and last price from the platform."""

import json
from decimal import Decimal
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from app.transactions import transaction
from tests.factories import make_market

pytestmark = pytest.mark.usefixtures("database")
GRID = {"lower": "80", "upper": "120", "grids": 4, "investment": "1000"}


def plan(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["grid", "plan", "--json", *words])


def said(result: Result) -> Any:
    return json.loads(result.stdout)


def test_the_pair_of_an_exchange_is_planned_with_its_rules(app: Flask) -> None:
    add_pair(app)
    found = plan(app, "--exchange", "bybit", "--symbol", "AAA/USDT", "--params", json.dumps(GRID))
    assert found.exit_code == 0, found.output
    whole = said(found)
    assert whole["errors"] == []
    assert whole["empty_level"] == "100"
    assert whole["orders_resting"] == 4
    assert whole["seconds_to_place"] is not None
    assert whole["worst_case"]["price"] == "80"


def test_parameters_replace_what_the_platform_knows(app: Flask) -> None:
    add_pair(app)
    params = json.dumps({**GRID, "price": "85"})
    words = ("--exchange", "bybit", "--symbol", "AAA/USDT", "--params", params)
    whole = said(plan(app, *words, "--orders-per-second", "2"))
    assert whole["empty_level"] == "90"
    assert whole["seconds_to_place"] == "2"


def test_an_unknown_pair_is_named(app: Flask) -> None:
    found = plan(app, "--exchange", "bybit", "--symbol", "NO/USDT", "--params", "{}")
    assert found.exit_code == 1
    assert "bybit has no pair NO/USDT" in found.output


def test_exchange_and_pair_belong_together(app: Flask) -> None:
    assert plan(app, "--exchange", "bybit", "--params", "{}").exit_code == 2


def add_pair(app: Flask) -> None:
    with app.app_context(), transaction():
        make_market("AAA/USDT").last_price = Decimal(95)
