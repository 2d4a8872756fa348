"""The stop that rests at the venue: it follows the position, and sells when nobody decides."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from app.bots.live import protect
from app.bots.wording import say
from app.db import db, utc_now
from app.trades.queries import Line
from app.trading.ports import Refused
from app.transactions import transaction
from tests.bots.live_world import World
from tests.bots.real_desk import Desk
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")
STOP: dict[str, Any] = {"stop_loss": "85", "at_exit": "sell"}
# Only the orders nearest to the price rest, so that coins are left which no sell locks.
NEAR: dict[str, Any] = {**STOP, "max_resting": 4}


@pytest.fixture
def world(database: None) -> World:
    return World.make()


def stops(world: World, bot: int, *statuses: str) -> list[Any]:
    wanted = statuses or ("OPEN", "PARTIAL")
    return [o for o in world.orders(bot) if o.purpose == "protect" and o.status in wanted]


def resting_sells(world: World, bot: int) -> Decimal:
    sells = (o for o in world.open_orders(bot) if o.side == "sell" and o.purpose == "grid")
    return sum((order.quantity - order.filled for order in sells), Decimal(0))


def assert_in_step(world: World, bot: int) -> None:
    """See that the stop covers all coins that no sell locks, but for less than a lot."""
    (stop,) = stops(world, bot)
    free = world.metrics(bot).base - resting_sells(world, bot)
    assert 0 <= free - (stop.quantity - stop.filled) < Decimal("0.0001")
    assert (stop.kind, stop.side, stop.price) == ("stop", "sell", Decimal(85))
    shown = world.bot(bot).protection
    assert (shown["trigger"], shown["side"]) == ("85", "sell")
    assert Decimal(shown["resting"]) == stop.quantity
    covered = Decimal(shown["resting"]) + Decimal(shown["by_engine"])
    assert covered == world.metrics(bot).base


def test_a_stop_rests_for_the_coins_that_no_sell_locks_and_follows_within_a_tick(
    world: World,
) -> None:
    bot = world.add_bot(**NEAR)
    world.play(100)
    world.tick()
    assert_in_step(world, bot)
    for price in ("97.9", "95.9", "98.1", "100.1", "93.9", "104.1"):
        world.play(price)
        world.tick()
        assert_in_step(world, bot)
    world.assert_books_agree()


def test_with_the_platform_off_the_venue_sells_and_the_bot_then_closes(world: World) -> None:
    bot = world.add_bot(**NEAR)
    world.play(100)
    world.tick()
    # Down through the stop and back up while nobody ticks: a late look sees each price in order.
    world.play("91", "84.5", "99")
    for _ in range(3):
        world.tick()
    assert len(stops(world, bot, "FILLED")) == 1
    row = world.bot(bot)
    assert row.state == "stopped"
    assert row.state_reason["code"] in {"protection_fired", "stop_loss_reached"}
    assert world.open_orders(bot) == []
    assert world.metrics(bot).base < Decimal("0.001")
    assert {trade.status for trade in world.trades(bot)} <= {"closed"}
    world.assert_books_agree()


@pytest.mark.parametrize("how", few(["keep", "sell", "leave_orders", "emergency"], 2))
def test_a_stop_of_the_bot_takes_it_back_first(world: World, how: str) -> None:
    bot = world.add_bot(**NEAR)
    world.play(100)
    world.tick()
    world.change_bot(bot, state="stopping", stop_request=how)
    world.tick()
    assert stops(world, bot) == []
    assert world.bot(bot).state == ("locked" if how == "emergency" else "stopped")
    if how in {"sell", "emergency"}:
        assert world.metrics(bot).base < Decimal("0.001")
    world.assert_books_agree()


def test_a_bot_that_keeps_its_coins_at_the_end_has_no_stop(world: World) -> None:
    bot = world.add_bot(**{**NEAR, "at_exit": "keep"})
    world.play(100)
    world.tick()
    assert stops(world, bot, "OPEN", "INTENDED", "REJECTED") == []


def test_where_sells_lock_every_coin_nothing_is_left_to_protect(world: World) -> None:
    bot = world.add_bot(**STOP)
    world.play(100)
    world.tick()
    free = world.metrics(bot).base - resting_sells(world, bot)
    assert free < Decimal("0.01")
    # The engine sells them when the price gets there.
    world.play("84.9")
    world.tick()
    assert world.bot(bot).state == "stopped"
    assert world.bot(bot).state_reason["code"] == "stop_loss_reached"
    assert world.metrics(bot).base < Decimal("0.001")
    world.assert_books_agree()


# --- on a real account ----------------------------------------------------------------------------


@pytest.fixture
def desk(database: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch, **NEAR)


def test_the_venue_sells_while_nobody_looks_and_the_bot_closes_although_the_price_is_back(
    desk: Desk,
) -> None:
    desk.tick()
    assert len(stops(desk.world, desk.bot)) == 1
    # Only the venue sees this: our feed was away.
    desk.venue.play("91")
    desk.venue.play("84.5")
    desk.play("99")
    for _ in range(3):
        desk.audit()
    row = desk.world.bot(desk.bot)
    assert (row.state, row.state_reason["code"]) == ("stopped", "protection_fired")
    assert "stop_fired" in desk.world.events(desk.bot)
    assert desk.venue.standing() == set()
    assert desk.venue.balances()["AAA"].total < Decimal("0.001")
    desk.assert_one_chain()


def test_a_refused_stop_is_told_once_and_the_grid_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = desk.venue.place

    def refuse_stops(symbol: str, order: Any) -> Any:
        if order.kind == "stop":
            return Refused("stop_not_supported")
        return real(symbol, order)

    monkeypatch.setattr(desk.venue, "place", refuse_stops)
    for _ in range(4):
        desk.tick()
    assert desk.world.events(desk.bot).count("protection_refused") == 1
    assert desk.world.bot(desk.bot).protection["refused"] == "stop_not_supported"
    assert desk.world.bot(desk.bot).state == "active"
    assert len(desk.orders("OPEN")) == 4


@pytest.mark.long
def test_a_stop_that_is_refused_again_and_again_is_asked_for_less_and_less_often(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = desk.venue.place
    asked: list[str] = []
    refusing = True

    def refuse_stops(symbol: str, order: Any) -> Any:
        if order.kind != "stop":
            return real(symbol, order)
        asked.append(order.client_id)
        return Refused("insufficient_balance") if refusing else real(symbol, order)

    monkeypatch.setattr(desk.venue, "place", refuse_stops)
    # The tick that follows a refusal takes it in, the next one asks again: twice at once ...
    for _ in range(12):
        desk.tick()
    assert len(asked) == protect.AT_ONCE + 1
    # ... then each time after a longer pause.
    pauses = []
    for _ in range(7):
        pauses.append(wait_is_over(desk))
        desk.tick()
        desk.tick()
    assert len(asked) == protect.AT_ONCE + 1 + 7
    assert [round(pause / 30) for pause in pauses] == [1, 2, 4, 8, 16, 30, 30]
    assert desk.world.events(desk.bot).count("protection_refused") == 1
    event = next(e for e in desk.world.log(desk.bot) if e.code == "protection_refused")
    assert "does not hold enough" in say(Line(event.code, event.values))
    refusing = False
    wait_is_over(desk)
    desk.tick()
    assert len(stops(desk.world, desk.bot)) == 1
    desk.tick()
    kept = desk.world.bot(desk.bot).protection
    assert kept["refused"] is None and "asked_again" not in kept
    assert len(asked) == len(set(asked))


def wait_is_over(desk: Desk) -> float:
    """Let the pause after a refusal be over; return how many seconds it had."""
    kept = dict(desk.world.bot(desk.bot).protection)
    until = datetime.fromisoformat(kept["asked_again"])
    desk.world.change_bot(desk.bot, protection={**kept, "asked_again": utc_now().isoformat()})
    return (until - utc_now()).total_seconds()


def test_a_stop_whose_answer_was_lost_is_not_placed_twice(desk: Desk) -> None:
    desk.venue.lose_answers = True
    for _ in range(6):
        desk.audit()
    desk.venue.lose_answers = False
    for _ in range(3):
        desk.audit()
    desk.assert_one_chain()
    assert len(stops(desk.world, desk.bot)) == 1


def test_a_stop_that_its_owner_took_back_is_told(desk: Desk) -> None:
    desk.tick()
    (stop,) = stops(desk.world, desk.bot)
    desk.venue.take_away(stop.client_id)
    desk.audit()
    assert "order_cancelled_elsewhere" in desk.world.events(desk.bot)
    assert stops(desk.world, desk.bot) == []
    with transaction():
        db.session.execute(text("update orders set final_at = final_at - interval '61 s'"))
    desk.tick()
    assert len(stops(desk.world, desk.bot)) == 1


def answered_by_sells(desk: Desk) -> set[str]:
    """Return the purchases whose coins a resting sell locks."""
    sells = (o for o in desk.world.open_orders(desk.bot) if o.side == "sell")
    return {o.reason["values"]["order"] for o in sells if o.reason["code"] == "answers_buy"}


@pytest.mark.long
def test_a_stop_closes_only_its_own_part_in_the_list_of_trades(desk: Desk) -> None:
    desk.tick()
    for price in ("97.9", "95.9", "93.9"):
        desk.play(price)
        desk.tick()
    (stop,) = stops(desk.world, desk.bot)
    locked = answered_by_sells(desk)
    assert len(locked) == 2
    desk.venue.play("84.5")
    desk.play("87", liquidity=Decimal(0))
    for _ in range(3):
        desk.audit()
    assert desk.world.bot(desk.bot).state == "stopped"
    trades = desk.world.trades(desk.bot)
    assert {trade.status for trade in trades} == {"closed"}
    at_stop = [trade for trade in trades if trade.exit_price == Decimal("84.5")]
    assert 0 < sum(trade.quantity for trade in at_stop) <= stop.quantity
    assert all(locked.isdisjoint(trade.logic["orders"]) for trade in at_stop)
    later = [trade for trade in trades if trade.exit_price == Decimal(87)]
    assert [trade.logic["orders"][0] for trade in later if trade not in at_stop] == sorted(
        locked, key=[trade.logic["orders"][0] for trade in trades].index
    )


def test_a_stop_leaves_a_trade_open_that_waits_on_another_level_for_its_sell(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(monkeypatch, **NEAR, trailing_down=True)
    desk.tick()
    for price in ("110.1", "107.9", "89", "87.9"):
        desk.play(price)
        desk.tick()
    moved = next(trade for trade in desk.world.trades(desk.bot) if trade.status == "open")
    (answer,) = [o for o in desk.orders("OPEN") if o.level == 0 and o.side == "sell"]
    assert moved.logic["orders"] == [answer.reason["values"]["order"]]
    assert moved.logic["inputs"]["level"] == 9
    desk.venue.play("84.5")
    desk.play("87", liquidity=Decimal(0))
    for _ in range(3):
        desk.audit()
    assert desk.world.bot(desk.bot).state == "stopped"
    (closed,) = [trade for trade in desk.world.trades(desk.bot) if trade.id == moved.id]
    assert (closed.status, closed.exit_price) == ("closed", Decimal(87))
