"""Trades that a former version has counted twice are found by their orders, and carried over."""

from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.bots import running, stopping
from app.bots.live.trips import RoundTrips
from app.bots.mending import bots_with_trades, mend_trades
from app.db import db
from app.trades.models import TradeRow
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.shop import Shop
from tests.long import few

LIVES = ["edit", "restart", "open", "kept", "trailing", "enough"]


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


def play(shop: Shop, *prices: str) -> None:
    for price in prices:
        shop.play(price)
        for _ in range(2):
            shop.tick()


def stop(shop: Shop, bot_id: int, how: StopHow) -> None:
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, how)
    for _ in range(2):
        shop.tick()


def edit(shop: Shop, bot_id: int, **changes: Any) -> None:
    with transaction():
        seen = running.edit_preview(shop.user_id, bot_id, changes).seen
        running.edit_running(shop.user_id, bot_id, changes, seen)
    for _ in range(2):
        shop.tick()


def live(shop: Shop, life: str) -> int:
    """Let a bot buy, deal its coins out anew, sell some of them, and end."""
    play(shop, "100")
    if life == "trailing":
        bot_id = shop.run_bot("110.1", "107.9", "89", "87.9", "90.1", trailing_down=True)
        stop(shop, bot_id, StopHow.SELL)
        return bot_id
    bot_id = shop.run_bot("94", "91")
    if life == "edit":
        edit(shop, bot_id, grids=7)
    elif life == "kept":
        # Lines that are added below leave the orders above where they are.
        edit(shop, bot_id, lower=Decimal(86), grids=12)
    else:
        stop(shop, bot_id, StopHow.KEEP)
        shop.start(bot_id)
        shop.tick()
    play(shop, "93" if life == "enough" else "107")
    if life != "open":
        stop(shop, bot_id, StopHow.SELL)
    return bot_id


def rows_of(bot_id: int) -> list[tuple[Any, ...]]:
    db.session.rollback()
    rows = db.session.scalars(select(TradeRow).where(TradeRow.bot_id == bot_id))
    return sorted(
        (
            row.status, row.entry_price, row.quantity, str(row.exit_price), str(row.profit),
            round(row.fees, 9), len(row.logic["orders"]), row.logic.get("exit", {}).get("code"),
        )
        for row in rows
    )  # fmt: skip


@pytest.mark.parametrize("life", few(LIVES, 3))
def test_what_was_counted_twice_becomes_what_is_written_now(
    shop: Shop, app: Flask, monkeypatch: pytest.MonkeyPatch, life: str
) -> None:
    sound = live(shop, life)
    right = rows_of(sound)
    if life == "open":
        stop(shop, sound, StopHow.KEEP)
    with monkeypatch.context() as former:
        former.setattr(RoundTrips, "carry_over", lambda *_: None)
        former.setattr(RoundTrips, "_opened_by", lambda *_: None)
        bot_id = live(shop, life)
    wrong = rows_of(bot_id)
    assert wrong != right
    found = app.test_cli_runner().invoke(args=["bots", "mend-trades"])
    assert rows_of(bot_id) == wrong, found.output
    done = app.test_cli_runner().invoke(args=["bots", "mend-trades", "--write"])
    assert done.exit_code == 0, done.output
    if life == "enough":
        # The last sale has sold as much as its trades claim: nobody can say that they are wrong.
        assert rows_of(bot_id) == wrong
        return
    assert f"Bot {bot_id}: " in done.output
    if life == "trailing":
        # The row of the sell that answered it stays beside it.
        assert [row[1:6] for row in rows_of(bot_id) if row[0] == "closed"] == [
            row[1:6] for row in right
        ]
    else:
        assert rows_of(bot_id) == right
    # What ticks write now is left alone, and so is what was mended.
    with transaction():
        for number in bots_with_trades():
            assert mend_trades(number, write=True) is None
