"""An exchange makes bots pause: for their key, or for a pair that it has dropped."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from rq import Queue

from app.accounts.models import User
from app.adapters.exchanges import public
from app.bots import jobs, stopping
from app.bots.live import clock
from app.bots.live.rows import pause_bots
from app.bots.queries import bot_card, notices_for
from app.bots.rules import STUCK_AFTER
from app.db import db, utc_now
from app.errors import Conflict
from app.markets import jobs as market_jobs
from app.markets.models import MarketRow
from app.markets.service import set_blocked
from app.notifications.queries import caught_mails
from app.queues import QueueName, queue
from app.trading.ports import Unresolved
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.fake_venue import MARKET
from tests.bots.real_desk import Desk
from tests.bots.shop import Shop
from tests.client import Client

pytestmark = pytest.mark.usefixtures("database")


def mails() -> list[Any]:
    with transaction():
        return [mail for mail in caught_mails() if mail.template == "bots_paused"]


def block(market_id: int, reason: str) -> None:
    with transaction():
        set_blocked(market_id, reason)


def test_bots_that_pause_for_their_key_are_told_by_one_mail_in_their_owners_language() -> None:
    shop = Shop.open()
    bots = [shop.run_bot(), shop.add_bot("Second")]
    shop.start(bots[1])
    with transaction():
        shop.user.profile.language = "ru"
        paused = pause_bots(shop.account_id, "Bybit", "exchange_key_refused", utc_now())
    assert set(paused) == set(bots)
    for _ in range(2):
        jobs.mark_stale()
    (mail,) = mails()
    assert (mail.language, mail.subject.isascii()) == ("ru", False)
    assert "My grid" in mail.body and "Second" in mail.body
    assert "%(" not in mail.body
    # It goes on and pauses once more: that is news.
    with transaction():
        stopping.resume(shop.user_id, bots[0])
        pause_bots(shop.account_id, "Bybit", "exchange_key_refused", utc_now())
    jobs.mark_stale()
    assert len(mails()) == 2
    assert f"/bots/{bots[0]}" in max(mails(), key=lambda one: one.id).body


def test_the_page_of_a_bot_that_paused_for_its_key_names_the_exchange(
    login_as: Callable[[User], Client],
) -> None:
    shop = Shop.open()
    bot = shop.run_bot()
    with transaction():
        pause_bots(shop.account_id, "Bybit", "exchange_key_refused", utc_now())
    page = login_as(shop.user).get(f"/bots/{bot}").text
    assert "Bybit does not accept the key" in page


def test_a_pair_that_is_dropped_pauses_its_bots_until_it_is_back_and_tells_them_once() -> None:
    shop = Shop.open()
    bot = shop.run_bot()
    before = shop.bot(bot).strategy_state
    for _ in range(2):
        block(shop.market_id, "delisted")
        shop.tick()
        jobs.mark_stale()
    row = shop.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("paused", "pair_delisted")
    (mail,) = mails()
    assert "AAA/USDT is not traded any more" in mail.body
    with pytest.raises(Conflict, match="market_delisted"), transaction():
        stopping.resume(shop.user_id, bot)
    block(shop.market_id, "")
    shop.tick()
    row = shop.bot(bot)
    assert row.state == "active"
    assert row.strategy_state is not None and row.strategy_state.keys() == before.keys()  # type: ignore[union-attr]
    assert len(mails()) == 1


@pytest.mark.long
def test_a_bot_whose_pair_is_dropped_can_be_stopped_and_nothing_of_it_is_lost() -> None:
    shop = Shop.open()
    bot = shop.run_bot("97.9", "99.1")
    block(shop.market_id, "delisted")
    with transaction():
        stopping.request_stop(shop.user_id, bot, StopHow.KEEP)
    for _ in range(3):
        shop.tick()
    assert shop.bot(bot).state == "stopped"
    # What its owner asked for stays, whatever becomes of the pair.
    block(shop.market_id, "")
    assert shop.bot(bot).state == "stopped"


def test_a_bot_that_pauses_for_a_limit_is_not_written_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop.open()
    bot = shop.run_bot()
    reason = {"code": "limit_exposure", "values": {}}
    shop.set_bot(bot, state="paused", state_since=utc_now(), state_reason=reason)
    jobs.mark_stale()
    assert mails() == []


# --- stops that come to no good end ---------------------------------------------------------------


def mails_of(template: str) -> list[Any]:
    with transaction():
        return [mail for mail in caught_mails() if mail.template == template]


def notices(bot: int, user_id: int) -> list[str]:
    with transaction():
        return [line.code for line in notices_for(bot_card(user_id, bot))]


@pytest.mark.long
def test_a_sale_that_an_exchange_answers_in_words_we_do_not_know_ends_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "GRACE", timedelta(0))
    desk = Desk(monkeypatch)
    desk.tick()
    desk.venue.lose_requests = True
    reason = {"code": "stopped_by_owner", "values": {"how": "sell"}}
    desk.world.change_bot(desk.bot, state="stopping", stop_request="sell", state_reason=reason)
    sent = len(desk.venue.sent)
    for _ in range(20):
        desk.audit()
    # Each is waited for, some minutes in real life: six make half an hour.
    assert len(desk.venue.sent) - sent == 6
    row = desk.world.bot(desk.bot)
    assert (row.state, row.state_reason["code"]) == ("stopped", "closing_sale_failed")
    assert desk.world.events(desk.bot).count("closing_sale_waits") == 1
    assert "notice_sale_failed" in notices(desk.bot, row.user_id)
    for _ in range(2):
        jobs.mark_stale()
    (mail,) = mails_of("sale_failed")
    assert "could not close" in mail.subject
    # The way out: once more, and this time it is taken.
    desk.venue.lose_requests = False
    with transaction():
        stopping.request_stop(row.user_id, desk.bot, StopHow.SELL)
    for _ in range(4):
        desk.audit()
    assert desk.world.bot(desk.bot).state == "stopped"
    assert desk.world.metrics(desk.bot).base < Decimal("0.0001")
    assert "notice_sale_failed" not in notices(desk.bot, row.user_id)


@pytest.mark.long
def test_a_stop_whose_orders_are_not_taken_back_is_told_to_owner_and_staff(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(monkeypatch)
    desk.tick()
    with monkeypatch.context() as patch:
        patch.setattr(desk.venue, "cancel", lambda symbol, client_id: Unresolved("code 999999"))
        desk.world.change_bot(
            desk.bot, state="stopping", stop_request="keep", state_since=utc_now()
        )
        for _ in range(3):
            desk.tick()
        jobs.mark_stale()
        assert mails_of("stop_stuck") == []
        desk.world.change_bot(desk.bot, state_since=utc_now() - 2 * STUCK_AFTER)
        for _ in range(2):
            desk.tick()
            jobs.mark_stale()
    row = desk.world.bot(desk.bot)
    assert row.state == "stopping"
    assert len(mails_of("stop_stuck")) == desk.world.events(desk.bot).count("stop_stuck") == 1
    assert f"stop_stuck bot={desk.bot}" in caplog.text
    assert "notice_stop_stuck" in notices(desk.bot, row.user_id)
    for _ in range(2):
        desk.audit()
    assert desk.world.bot(desk.bot).state == "stopped"


# --- rules that an order shows to be old ----------------------------------------------------------


def waiting_jobs() -> list[Any]:
    found: Queue = queue(QueueName.ACCOUNTS)
    return [(job.func_name, tuple(job.args)) for job in found.get_jobs()]


def state(monkeypatch: pytest.MonkeyPatch, rules: Any) -> None:
    """Let the exchange tell such rules to everybody."""
    told = {} if rules is None else {MARKET.symbol: rules}
    monkeypatch.setattr(public, "markets", lambda name: told)


def refused_desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A bot with one order refused for its size."""
    desk = Desk(monkeypatch)
    desk.tick()
    with transaction():
        db.session.get_one(MarketRow, desk.world.market_id).exchange = "bybit"
    desk.venue.refuse, desk.venue.misfits = "exchange_170140", True
    desk.play("97.9")
    desk.tick()
    assert desk.orders("REJECTED")
    return desk


def test_an_order_refused_for_its_size_has_the_rules_read_at_once_and_is_fitted_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = refused_desk(monkeypatch)
    # Refused three times, asked for once.
    assert waiting_jobs() == [("app.markets.jobs.read_rules", (desk.world.market_id,))]
    desk.change_account(audited_at=utc_now())
    state(monkeypatch, replace(MARKET, lot=Decimal("0.01"), min_notional=Decimal(5)))
    desk.venue.refuse, desk.venue.misfits = None, False
    market_jobs.read_rules(desk.world.market_id)
    assert desk.account().audited_at is None
    desk.tick()
    new = [order for order in desk.orders("OPEN") if order.side == "sell"][-1]
    assert new.quantity % Decimal("0.01") == 0
    assert "orders_smaller" in desk.world.events(desk.bot)


def test_rules_that_are_as_we_know_them_wake_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = refused_desk(monkeypatch)
    desk.change_account(audited_at=utc_now())
    with transaction():
        row = db.session.get_one(MarketRow, desk.world.market_id)
        stated = replace(
            MARKET, tick=row.tick, lot=row.lot, min_quantity=row.min_quantity,
            min_notional=row.min_notional,
        )  # fmt: skip
    state(monkeypatch, stated)
    market_jobs.read_rules(desk.world.market_id)
    assert desk.account().audited_at is not None
    assert desk.world.bot(desk.bot).state == "active"


def test_a_refusal_for_a_pair_that_is_gone_pauses_the_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = refused_desk(monkeypatch)
    state(monkeypatch, None)
    market_jobs.read_rules(desk.world.market_id)
    row = desk.world.bot(desk.bot)
    assert (row.state, row.state_reason["code"]) == ("paused", "pair_delisted")


def test_a_refusal_for_any_other_reason_reads_no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.venue.refuse = "insufficient_balance"
    desk.tick()
    assert waiting_jobs() == []
