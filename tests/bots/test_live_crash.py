"""A worker dies between any two commits, is paused beyond its lease, or meets another worker.

In every case the next tick repairs what was left: no order twice, no fill lost, and our books and
the venue's agree. Where one thing protects against it, a test takes that thing away and sees the
damage, so that the protection can't be lost unseen.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from flask import current_app
from sqlalchemy import text

from app.bots.live import deciding, paper_side, tick_accounts
from app.db import db
from app.exchanges import leases
from app.exchanges.paper import PaperVenue
from app.transactions import transaction
from tests.bots.live_world import World, wander
from tests.long import few, thinned

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def world(database: None) -> World:
    """Return a world with a pair."""
    return World.make()


class Killed(BaseException):
    """The process is gone: nothing of it runs any more, not even its clean-up."""


@contextmanager
def killed_at(number: int, *, after: bool) -> Iterator[list[int]]:
    """Die at the commit with this number, before or after it; all later commits fail as well."""
    session = db.session()
    real: Callable[[], None] = session.commit
    count = [0]

    def commit() -> None:
        count[0] += 1
        if count[0] == number and after:
            real()
        if count[0] >= number:
            raise Killed
        real()

    session.commit = commit  # type: ignore[method-assign]
    try:
        yield count
    finally:
        session.commit = real  # type: ignore[method-assign]


# --- kill between any two statements --------------------------------------------------------------


@pytest.mark.parametrize("after", few([False, True], 2))
def test_a_kill_at_any_commit_of_a_start_leaves_one_ladder(world: World, after: bool) -> None:
    bot = world.add_bot()
    world.play(100)
    number = 0
    while world.bot(bot).state == "starting" or number < 3:
        number += 1
        assert number < 100, "it never starts"
        with killed_at(number % 9 + 1, after=after):
            try:
                world.tick()
            except Killed:
                continue
    world.tick()
    assert number > 2
    assert len(world.open_orders(bot)) == 10
    assert [order.purpose for order in world.orders(bot)].count("entry") == 1
    assert len(world.orders(bot)) == 11
    world.assert_books_agree()


@thinned(5)
@pytest.mark.parametrize("after", few([True, False], 2))
def test_kills_at_every_commit_change_nothing_about_what_is_traded(
    world: World, after: bool, step: int
) -> None:
    calm, shaken = world.add_bot(), world.add_bot()
    quiet, victim = world.bot(calm).account_id, world.bot(shaken).account_id
    prices = wander(4, 60)[::step]
    world.play(100)
    world.tick()
    kills = 0
    for number, price in enumerate(prices):
        world.play(price)
        for commit in range(1, 12):
            with killed_at(commit, after=after):
                try:
                    tick_accounts([victim], "place-1")
                except Killed:
                    kills += 1
                    continue
            break
        if number % 7 == 0:
            tick_accounts([quiet], "place-2")
    world.tick()
    assert kills > 200 // step
    assert len(world.fills(shaken)) > 10 // step
    assert _traded(world, shaken) == _traded(world, calm)
    # All sums; the largest fall of the value depends on when one looks.
    assert world.metrics(shaken)[1:12] == world.metrics(calm)[1:12]
    world.assert_books_agree()


def _traded(world: World, bot: int) -> list[tuple[Any, ...]]:
    return [
        (o.purpose, o.level, o.side, o.cycle, o.attempt, o.price, o.quantity, o.status, o.filled)
        for o in world.orders(bot)
    ]


# --- one writer -----------------------------------------------------------------------------------


@contextmanager
def meanwhile(patch: pytest.MonkeyPatch, module: Any, name: str, what: Callable[[], None]) -> Any:
    """Let something happen once, just before a function of the tick is called."""
    real = getattr(module, name)
    happened: list[bool] = []

    def first_something(*args: Any, **kwargs: Any) -> Any:
        if not happened:
            happened.append(True)
            what()
        return real(*args, **kwargs)

    with patch.context() as inner:
        inner.setattr(module, name, first_something)
        yield
    assert happened


def expire_leases() -> None:
    """Let as much time pass as a lease lasts."""
    with transaction():
        db.session.execute(
            text("update account_leases set expires_at = now() - interval '1 second'")
        )


@pytest.mark.parametrize("part", few(["decide", "act"], 2))
def test_a_worker_paused_beyond_its_lease_writes_and_sends_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.play("97.9")
    seen_by_other: list[Any] = []

    def other_worker_takes_over() -> None:
        expire_leases()
        world.tick(holder="place-2")
        seen_by_other.append(_traded(world, bot))

    module: Any = deciding if part == "decide" else paper_side
    with meanwhile(monkeypatch, module, "still_held", _nested(other_worker_takes_over)):
        world.tick(holder="place-1")
    assert seen_by_other == [_traded(world, bot)]
    assert len(world.open_orders(bot)) == 10
    world.assert_books_agree()


def _nested(what: Callable[[], None]) -> Callable[[], None]:
    """Run something while a transaction of the paused worker is open, as another process would."""

    def run() -> None:
        app = current_app._get_current_object()  # type: ignore[attr-defined]

        def work() -> None:
            with app.app_context():
                what()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(work).result(30)

    return run


def test_without_the_fencing_check_the_paused_worker_does_harm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the token is what protects: taken away, the old worker decides on old news."""
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.play("97.9")
    after_other: list[int] = []

    def other_worker_takes_over() -> None:
        expire_leases()
        world.tick(holder="place-2")
        after_other.append(world.bot(bot).tick_number)

    for module in (deciding, paper_side):
        monkeypatch.setattr(module, "still_held", lambda tokens, margin_s=0: set(tokens))
    with meanwhile(monkeypatch, deciding, "open_books", _nested(other_worker_takes_over)):
        world.tick(holder="place-1")
    assert world.bot(bot).tick_number > after_other[0]


def test_with_the_fencing_check_the_paused_worker_decides_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.play("97.9")
    after_other: list[int] = []

    def other_worker_takes_over() -> None:
        expire_leases()
        world.tick(holder="place-2")
        after_other.append(world.bot(bot).tick_number)

    with meanwhile(monkeypatch, deciding, "still_held", _nested(other_worker_takes_over)):
        world.tick(holder="place-1")
    assert world.bot(bot).tick_number == after_other[0]


def test_a_worker_restarted_in_its_place_goes_on_at_once_and_another_has_to_wait(
    world: World,
) -> None:
    bots = [world.add_bot() for _ in range(3)]
    world.play(100)
    world.tick()
    world.play("97.9")
    with killed_at(4, after=True), pytest.raises(Killed):
        world.tick(holder="place-1")
    assert world.tick(holder="place-2").busy == set(world.accounts())
    assert world.tick(holder="place-1").accounts == 3
    for bot in bots:
        assert len(world.open_orders(bot)) == 10
    world.assert_books_agree()


# --- fills once -----------------------------------------------------------------------------------


def test_a_fill_told_again_is_not_counted_again(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.play("97.9")
    world.tick()
    before = world.fills(bot), world.metrics(bot), _traded(world, bot), world.trades(bot)
    with transaction():
        db.session.execute(text("update exchange_accounts set fills_cursor = ''"))
    world.tick()
    assert (world.fills(bot), world.metrics(bot), _traded(world, bot), world.trades(bot)) == before


def test_without_the_unique_key_on_fills_nothing_is_booked(
    world: World, as_owner: Callable[[str], None]
) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.play("97.9")
    name = "uq_fills_account_id_trade_id"
    db.session.commit()
    as_owner(f"alter table fills drop constraint {name}")
    try:
        assert world.tick().put_off == set(world.accounts())
        assert world.bot(bot).failures == 1
    finally:
        db.session.commit()
        as_owner(f"alter table fills add constraint {name} unique (account_id, trade_id)")
    assert len(world.fills(bot)) == 1


# --- look before sending again --------------------------------------------------------------------


def lose_the_answer(world: World, bot: int) -> None:
    """Leave orders that the venue has, while our books only say that they were intended."""
    world.play("97.9")
    world.tick()
    with transaction():
        db.session.execute(
            text(
                "update orders set status = 'INTENDED', sent_at = null, exchange_order_id = null"
                " where bot_id = :bot and status = 'OPEN'"
            ),
            {"bot": bot},
        )


def test_an_intended_order_is_looked_up_before_it_is_sent_again(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    lose_the_answer(world, bot)
    world.tick()
    assert len(world.open_orders(bot)) == 10
    world.assert_books_agree()


def test_without_the_look_up_the_venue_would_be_sent_twins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    lose_the_answer(world, bot)
    with transaction():
        # The venue's open orders are known to its book; closed ones only through the look-up.
        db.session.execute(
            text("update paper_orders set status = 'cancelled' where status = 'open'")
        )
        db.session.execute(text("update paper_balances set free = free + locked, locked = 0"))
    with monkeypatch.context() as patch:
        patch.setattr(PaperVenue, "look_up", lambda self, wanted: None)
        # Only the venue's own unique key stands between us and the twins.
        assert world.tick().put_off == set(world.accounts())
    assert {order.status for order in world.orders(bot)} >= {"INTENDED"}
    assert world.tick().put_off == set()
    assert world.bot(bot).state == "active"


# --- stops win ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["keep", "sell", "emergency"])
def test_a_stop_that_comes_between_deciding_and_sending_wins(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.play("97.9")
    sent = {order.client_id for order in world.orders(bot)}

    def stop() -> None:
        world.change_bot(bot, state="stopping", stop_request=how)

    real = paper_side.act

    def act(*args: Any) -> Any:
        stop()
        monkeypatch.setattr(paper_side, "act", real)
        return real(*args)

    monkeypatch.setattr(paper_side, "act", act)
    world.tick()
    assert world.bot(bot).state == ("locked" if how == "emergency" else "stopped")
    assert world.open_orders(bot) == []
    new = [order for order in world.orders(bot) if order.client_id not in sent]
    assert {(order.purpose, order.status) for order in new if order.purpose == "grid"} == {
        ("grid", "CANCELLED")
    }
    assert not any(order.sent_at for order in new if order.purpose == "grid")
    if how != "keep":
        assert world.metrics(bot).base < Decimal("0.001")


def test_a_stop_and_a_new_start_while_a_tick_runs_leave_one_chain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.play("97.9")
    real = paper_side.act

    def act(*args: Any) -> Any:
        monkeypatch.setattr(paper_side, "act", real)
        world.restart_bot(bot)
        return real(*args)

    monkeypatch.setattr(paper_side, "act", act)
    world.tick()
    world.tick()
    orders = world.open_orders(bot)
    assert {order.epoch for order in orders} == {2}
    assert len({(order.level, order.side) for order in orders}) == len(orders)
    assert len(orders) >= 9


def test_leases_are_given_back_after_a_tick(world: World) -> None:
    world.add_bot()
    world.play(100)
    world.tick(holder="place-1")
    assert world.tick(holder="place-2").busy == set()
    accounts = world.accounts()
    with transaction():
        tokens = leases.acquire(accounts, "place-3")
    assert len(tokens) == 1
