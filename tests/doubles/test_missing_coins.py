"""Coins of a bot that its owner has sold or moved meanwhile, when it is to sell and stop."""

from copy import copy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.bots import jobs, stopping
from app.bots.live import asking
from app.bots.live.booking import Books
from app.bots.live.facts import Seen
from app.bots.live.rows import read_bots
from app.bots.metrics import first_metrics
from app.bots.queries import bot_card, notices_for
from app.db import utc_now
from app.notifications.queries import caught_mails
from app.trading.ports import Balance
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.doubles.fake_stage import KEY, FakeStage
from tests.doubles.live import FIRST
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")

LOT = Decimal("0.0001")


class Stage(FakeStage):
    """A grid that holds coins, and its owner at the exchange."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch, FIRST, {})
        self.live.tick()
        self.live.audit()
        self.held = self.live.world.metrics(self.bot).base
        assert self.held > 4

    @property
    def customer(self) -> Any:
        """Return the account at the exchange."""
        return self.exchange.venue.customers[KEY]

    def sell_by_hand(self, part: str) -> Decimal:
        """Take the bot's sells back and sell a part of its coins; return how many are left."""
        own = {order.client_id for order in self.live.world.open_orders(self.bot)}
        for order in self.customer.open_orders():
            if order.side == "Sell" and order.link_id in own:
                self.exchange.venue.cancel(self.customer, order)
        quantity: Decimal = self.held * Decimal(part) // LOT * LOT
        asked = {
            "category": "spot", "symbol": "AAAUSDT", "side": "Sell", "orderType": "Market",
            "qty": format(quantity, "f"), "marketUnit": "baseCoin",
        }  # fmt: skip
        self.exchange.venue.create(self.customer, asked)
        left: Decimal = self.held - quantity
        return left

    def stop(self) -> Any:
        """Have it sell and stop; return its row."""
        row = self.live.world.bot(self.bot)
        with transaction():
            stopping.request_stop(row.user_id, self.bot, StopHow.SELL)
        self.live.tick()
        for _ in range(2):
            self.live.audit()
        return self.live.world.bot(self.bot)


@pytest.fixture
def stage(database: None, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a grid that holds coins."""
    return Stage(monkeypatch)


@pytest.mark.parametrize("part", few(["0.4", "1"], 2))
def test_what_is_there_is_sold_and_the_rest_is_told_and_counts_as_taken_out(
    stage: Stage, part: str
) -> None:
    before = stage.live.world.metrics(stage.bot)
    left = stage.sell_by_hand(part)
    row = stage.stop()
    assert (row.state, row.state_reason["code"]) == ("stopped", "coins_missing")
    after = stage.live.world.metrics(stage.bot)
    missing = Decimal(row.state_reason["values"]["quantity"])
    assert stage.held - left <= missing < stage.held - left + LOT
    assert stage.customer.wallet["AAA"] < LOT
    assert after.base == stage.customer.wallet["AAA"]
    assert after.withdrawn - before.withdrawn == missing * 100
    with transaction():
        lines = notices_for(bot_card(row.user_id, stage.bot))
    assert "notice_coins_missing" in {line.code for line in lines}
    for _ in range(2):
        jobs.mark_stale()
    with transaction():
        (mail,) = [mail for mail in caught_mails() if mail.template == "coins_missing"]
    assert "AAA" in mail.body
    log = stage.live.world.events(stage.bot)
    assert log.count("coins_missing") == 1 and "closing_sale_failed" not in log


def test_what_was_taken_out_of_the_books_is_no_new_difference(stage: Stage) -> None:
    stage.sell_by_hand("0.5")
    for _ in range(3):
        stage.live.audit()
    told = stage.live.world.events(stage.bot).count("books_differ")
    assert told > 0
    stage.stop()
    stage.live.world.restart_bot(stage.bot)
    for _ in range(4):
        stage.live.audit()
    assert stage.live.world.bot(stage.bot).state == "active"
    assert stage.live.world.events(stage.bot).count("books_differ") == told


@pytest.mark.long
def test_coins_of_another_bot_are_not_sold_in_their_place(stage: Stage) -> None:
    row = stage.live.world.bot(stage.bot)
    other = stage.live.world.add_bot(row.account_id)
    stage.live.world.change_bot(other, mode="live")
    stage.live.audit()
    stage.sell_by_hand("1")
    kept = stage.live.world.metrics(other).base
    assert stage.stop().state_reason["code"] == "coins_missing"
    assert kept - LOT < stage.customer.wallet["AAA"] < kept + LOT


def test_the_money_of_a_bot_that_trades_for_the_same_coin_is_not_sold_either(stage: Stage) -> None:
    with transaction():
        (bot,) = read_bots([stage.live.seats[0].account], ())
    for_coins = copy(bot)
    for_coins.id, for_coins.market = bot.id + 1, replace(bot.market, base="CCC", quote="AAA")
    metrics = {each.id: first_metrics(each.id, Decimal(3)) for each in (bot, for_coins)}
    books = Books(utc_now(), [bot, for_coins], metrics, {})
    there = Seen(
        bot.account_id, "", asks_again=True, balances={"AAA": Balance(Decimal(4), Decimal(1))}
    )
    assert asking._there(books, bot, there) == Balance(Decimal(2), Decimal(0))
