"""A payment for holding a contract falls due just before its bot ends."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from app.bots import stopping
from app.bots.upkeep import find_due_accounts
from app.db import db
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.doubles.fake_stage import FakeStage
from tests.doubles.live import CONTRACT, DEPOSIT

pytestmark = pytest.mark.usefixtures("database")

NEUTRAL = {"direction": "neutral", "leverage": "5"}


def test_a_payment_at_the_second_of_a_stop_is_counted_by_one_more_comparison(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = FakeStage(monkeypatch, CONTRACT, NEUTRAL)
    live = stage.live
    live.tick()
    live.play("95", symbol=CONTRACT)
    live.tick()
    live.hand.do("fund", symbol="AAAUSDT", rate="0.001")
    owner = live.world.bot(stage.bot).user_id
    with transaction():
        stopping.request_stop(owner, stage.bot, StopHow.SELL)
    for _ in range(3):
        live.tick()
    assert live.world.bot(stage.bot).state == "stopped"
    assert live.world.metrics(stage.bot).base == 0
    later(minutes=2)
    with transaction():
        assert find_due_accounts(10) == {live.seats[0].account}
    live.tick()
    metrics = live.world.metrics(stage.bot)
    assert metrics.funding != 0
    wallet = stage.exchange.balances()["USDT"].total
    assert metrics.quote - metrics.deposited == wallet - DEPOSIT
    later(minutes=2)
    with transaction():
        assert find_due_accounts(10) == set()


def later(**pause: int) -> None:
    """Let all that has happened so far be so long ago."""
    with transaction():
        for column in ("bots.last_tick_at", "bots.stopped_at", "exchange_accounts.audited_at"):
            table, _, name = column.partition(".")
            change = f"update {table} set {name} = {name} - :pause"  # noqa: S608 - our own names
            db.session.execute(text(change), {"pause": timedelta(**pause)})
