"""Orders, fills and round trips by API: the stored books, exact, by cursor, of one person."""

from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.db import db
from app.trades.models import FillRow, OrderRow, TradeRow
from app.transactions import transaction
from tests.api.programs import Program, code_of, field_of, give_token
from tests.bots.shop import Shop
from tests.factories import make_user
from tests.long import few


@pytest.fixture
def bot_id(shop: Shop) -> int:
    """Return a bot that has traded."""
    return shop.run_bot(97, 103, 97)


def read_all(program: Program, path: str, size: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = program.get(f"{path}{'&' if '?' in path else '?'}limit={size}{cursor}").get_json()
        assert len(page["items"]) <= size
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


@pytest.mark.parametrize("size", few([3, 1, 200], 3))
def test_orders_fills_and_trades_are_those_of_the_books(
    program: Program, bot_id: int, size: int
) -> None:
    orders = read_all(program, f"/bots/{bot_id}/orders", size)
    fills = read_all(program, f"/bots/{bot_id}/fills", size)
    trades = read_all(program, "/trades", size)
    for items, table in ((orders, OrderRow), (fills, FillRow), (trades, TradeRow)):
        ids = db.session.scalars(select(table.id).order_by(table.id.desc())).all()
        assert [each["id"] for each in items] == ids and ids


def test_numbers_are_text_and_exact(program: Program, bot_id: int) -> None:
    fills = program.get(f"/bots/{bot_id}/fills").get_json()["items"]
    rows = {row.id: row for row in db.session.scalars(select(FillRow))}
    for fill in fills:
        row = rows[fill["id"]]
        for name, value in (("price", row.price), ("quantity", row.quantity), ("fee", row.fee)):
            assert isinstance(fill[name], str) and Decimal(fill[name]) == value
        assert fill["at"].endswith("Z") and fill["order"] == row.order_id
    trade = program.get("/trades?status=closed").get_json()["items"][0]
    stored = db.session.get_one(TradeRow, trade["id"])
    assert Decimal(trade["profit"]) == stored.profit
    assert trade["reason"] == stored.logic["code"]


@pytest.mark.long
def test_filters_hold(shop: Shop, program: Program, bot_id: int) -> None:
    for status, states in (("open", {"OPEN", "PARTIAL"}), ("filled", {"FILLED"})):
        found = program.get(f"/bots/{bot_id}/orders?status={status}").get_json()["items"]
        assert found and {each["status"] for each in found} <= states
    assert program.get(f"/bots/{bot_id}/orders?status=cancelled").get_json()["items"] == []
    for status in ("open", "closed"):
        found = program.get(f"/trades?status={status}").get_json()["items"]
        assert found and {each["status"] for each in found} == {status}
    assert program.get("/trades?symbol=AAA/USDT").get_json()["items"]
    assert program.get("/trades?symbol=BBB/USDT").get_json()["items"] == []
    assert program.get(f"/trades?bot={bot_id}").get_json()["items"]
    assert program.get("/trades?bot=987654").get_json()["items"] == []


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("status=lost", "status", "not_a_choice"),
        ("bot=x", "bot", "not_whole_id"),
        ("bot=0", "bot", "not_whole_id"),
        ("bot=99999999999999999999", "bot", "not_whole_id"),
        ("symbol=" + "x" * 61, "symbol", "text_too_long"),
        ("user=1", "user", "unknown_parameter"),
    ],
)
def test_odd_filters_are_named(program: Program, query: str, field: str, code: str) -> None:
    answer = program.get(f"/trades?{query}")
    assert (answer.status_code, field_of(answer), code_of(answer)) == (422, field, code)


def test_another_person_sees_no_trade(app: Flask, program: Program, bot_id: int) -> None:
    with transaction():
        user_id = make_user().id
    other = Program(app, give_token(user_id))
    assert program.get("/trades").get_json()["items"]
    for query in ("", f"?bot={bot_id}"):
        assert other.get(f"/trades{query}").get_json() == {"items": [], "next": None}
