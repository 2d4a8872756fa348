"""Two processes change one bot at the same moment: one wins, the other gets a clear answer."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from threading import Event, Thread
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.bots import running, service, starting, stopping
from app.bots.live import deciding, tick_accounts
from app.bots.models import Bot, BotConfig
from app.bots.planning import prospect
from app.bots.rules import Seen
from app.db import db
from app.errors import DomainError
from app.exchanges.models import PaperOrder
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.at_once import MOST_WAITING_S, at_once, wait_for_a_lock
from tests.bots.shop import HOLDER, Shop

DONE = "done"
Act = Callable[[], None]


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


def race(app: Flask, *acts: Act) -> list[str]:
    """Do all of this at the same moment; return what each was told."""

    def run(number: int) -> str:
        try:
            with transaction():
                acts[number]()
        except DomainError as error:
            return error.code
        return DONE

    return at_once(app, len(acts), run)


class Acts:
    """What pages, programs and workers ask of one bot, each as read before."""

    def __init__(self, shop: Shop, bot_id: int) -> None:
        self.shop, self.bot_id, self.user = shop, bot_id, shop.user_id
        with transaction():
            bot = db.session.get_one(Bot, bot_id)
            self.plan = prospect(bot).seen if bot.state != "active" else None
            self.version = bot.config_version

    def edit(self, **changes: Any) -> Act:
        """Change its settings while it runs."""
        with transaction():
            cost = running.edit_preview(self.user, self.bot_id, changes)
        seen = Seen(self.version, cost.seen.cost, cost.seen.loss, cost.seen.codes)
        return lambda: running.edit_running(self.user, self.bot_id, changes, seen)

    def start(self) -> None:
        """Start it as its summary was read."""
        assert self.plan is not None
        starting.request_start(self.user, self.bot_id, self.plan)

    def stop(self) -> None:
        """Ask it to sell and stop."""
        stopping.request_stop(self.user, self.bot_id, StopHow.SELL)

    def delete(self) -> None:
        """Delete it."""
        service.delete_bot(self.user, self.bot_id)


def standing(shop: Shop) -> list[tuple[str, Decimal | None]]:
    """Tick until all is done; return what stands at the exchange, whoever's it is."""
    for _ in range(8):
        tick_accounts([shop.account_id], HOLDER)
    with transaction():
        query = select(PaperOrder.side, PaperOrder.price).where(PaperOrder.status == "open")
        return [(side, price) for side, price in db.session.execute(query)]


def assert_one_ladder(shop: Shop, count: int) -> None:
    found = standing(shop)
    assert len(found) == count
    assert max(Counter(found).values(), default=1) == 1


@pytest.mark.long
def test_two_edits_from_one_page_and_one_program_end_as_one_of_them(app: Flask, shop: Shop) -> None:
    bot_id = shop.run_bot()
    acts = Acts(shop, bot_id)
    lowers = (Decimal(80), Decimal(85))
    told = race(app, *(acts.edit(lower=lower) for lower in lowers))
    assert sorted(told) == [DONE, "settings_moved_meanwhile"]
    with transaction():
        versions = db.session.scalars(
            select(BotConfig).where(BotConfig.bot_id == bot_id, BotConfig.version > 1)
        ).all()
        (kept,) = [version.params["lower"] for version in versions]
    assert Decimal(kept) == lowers[told.index(DONE)]
    assert_one_ladder(shop, 10)


def test_two_starts_make_one_ladder(app: Flask, shop: Shop) -> None:
    bot_id = shop.add_bot()
    acts = Acts(shop, bot_id)
    assert set(race(app, acts.start, acts.start)) == {DONE}
    assert shop.bot(bot_id).epoch == 1
    assert_one_ladder(shop, 10)


def test_a_start_and_a_deletion_leave_a_bot_that_runs_or_none(app: Flask, shop: Shop) -> None:
    bot_id = shop.add_bot()
    acts = Acts(shop, bot_id)
    started, deleted = race(app, acts.start, acts.delete)
    assert sorted((started == DONE, deleted == DONE)) == [False, True]
    assert {started, deleted} - {DONE} <= {"bot_not_found", "cannot_delete"}
    assert_one_ladder(shop, 10 if started == DONE else 0)


def test_a_stop_holds_whoever_edits_deletes_or_ticks_meanwhile(app: Flask, shop: Shop) -> None:
    bot_id = shop.run_bot()
    acts = Acts(shop, bot_id)
    told = race(app, acts.edit(lower=Decimal(80)), acts.stop, acts.stop, acts.delete)
    assert told[1:3] == [DONE, DONE]
    assert told[0] in {DONE, "cannot_edit_running"}
    assert told[3] == "cannot_delete"
    assert_one_ladder(shop, 0)
    bot = shop.bot(bot_id)
    assert (bot.state, bot.stop_request) == ("stopped", None)


def test_two_workers_and_an_edit_make_one_ladder(app: Flask, shop: Shop) -> None:
    bot_id = shop.add_bot()
    shop.start(bot_id)
    at_once(app, 3, lambda number: tick_accounts([shop.account_id], f"place-{number}"))
    acts = Acts(shop, bot_id)
    change = acts.edit(upper=Decimal(120)) if shop.bot(bot_id).state == "active" else acts.stop

    def act(number: int) -> None:
        if number == 0:
            with transaction():
                change()
        else:
            tick_accounts([shop.account_id], f"place-{number}")

    at_once(app, 3, act)
    assert_one_ladder(shop, 10)
    assert shop.bot(bot_id).config_version == 2


def test_an_edit_that_is_done_while_a_tick_waits_for_it_fails_no_tick(
    app: Flask, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot_id = shop.run_bot()
    shop.play("97.9")
    edit = Acts(shop, bot_id).edit(lower=Decimal(80))
    edits: list[Thread] = []

    def decide(*args: Any) -> Any:
        if not edits:
            edits.append(Thread(target=edit_slowly))
            edits[0].start()
            assert is_locked.wait(MOST_WAITING_S)
        return deciding.decide(*args)

    def edit_slowly() -> None:
        with app.app_context():
            try:
                with transaction():
                    edit()
                    is_locked.set()
                    wait_for_a_lock()
            finally:
                db.session.remove()

    is_locked = Event()
    monkeypatch.setattr("app.bots.live.decide", decide)
    report = tick_accounts([shop.account_id], HOLDER)
    edits[0].join()
    assert report.failed == 0
    assert (shop.bot(bot_id).config_version, shop.bot(bot_id).failures) == (2, 0)
    assert_one_ladder(shop, 10)
