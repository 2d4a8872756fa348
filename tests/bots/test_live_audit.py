"""What ticks on a real account ask for, and how they bring both books together again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from app.bots import stopping
from app.bots.live import clock, outcomes, real_side, tick_accounts
from app.bots.live.facts import Account
from app.bots.upkeep import find_due_accounts
from app.db import db, utc_now
from app.errors import Unavailable
from app.exchanges import leases
from app.exchanges.models import ExchangeAccount
from app.trades.models import OrderRow
from app.trades.service import NewOrder, insert_orders, unsettled_orders
from app.trading.intents import Reason
from app.trading.orders import (
    Fill,
    Order,
    OrderKey,
    OrderKind,
    Purpose,
    Side,
    Status,
    client_order_id,
)
from app.trading.ports import AccountLook, Refused, VenueOrder
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.fake_venue import SYMBOL
from tests.bots.live_world import HOLDER
from tests.bots.real_desk import Desk
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def desk(database: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a bot that runs at 100, whose account was compared a moment ago."""
    desk = Desk(monkeypatch)
    desk.tick()
    assert len(desk.orders("OPEN")) == 10
    return desk


def stranger(number: int, side: Side = Side.BUY, price: str = "80") -> Order:
    """Return an order under an id of ours that stands in no book of ours."""
    key = OrderKey(Purpose.GRID, 3, side)
    client_id = client_order_id("by", 999_000 + number, 1, key, 0)
    return Order(
        client_id, key, 0, OrderKind.LIMIT, Decimal(price), Decimal("0.1"), Status.INTENDED
    )


# --- what a look costs ----------------------------------------------------------------------------


def test_a_tick_that_finds_nothing_asks_once_and_looks_nothing_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("look", "find", "open_orders", "fills_since", "balances", "order_fills"):
        real = getattr(desk.venue, name)
        if name in {"look", "find", "balances", "order_fills"}:
            monkeypatch.setattr(desk.venue, name, noting(asked, name, real))
    desk.tick()
    assert asked == ["look"]
    asked.clear()
    desk.audit()
    assert asked == ["look", "balances"]


def noting(asked: list[str], name: str, real: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        asked.append(name)
        return real(*args, **kwargs)

    return call


def test_all_is_compared_at_the_start_on_the_clock_and_when_the_venue_is_back(desk: Desk) -> None:
    assert desk.venue.looks[0] is True
    compared = desk.account().audited_at
    desk.tick()
    assert desk.venue.looks[-1] is False
    assert desk.account().audited_at == compared
    desk.change_account(audited_at=datetime.now(UTC) - timedelta(seconds=61))
    desk.tick()
    assert desk.venue.looks[-1] is True
    desk.venue.is_away = True
    desk.tick()
    assert desk.account().audited_at is None
    desk.venue.is_away = False
    desk.tick()
    assert desk.venue.looks[-1] is True


def test_the_clock_spreads_accounts_between_one_and_two_lengths() -> None:
    now = datetime.now(UTC)
    due = [
        clock.audit_is_due(
            Account(number, 1, "bybit", "", audited_at=now - timedelta(seconds=45)), now
        )
        for number in range(200)
    ]
    assert 60 < sum(due) < 140


def test_a_clock_that_was_set_back_an_hour_keeps_no_bot_waiting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.audit()
    assert not find_due_accounts(10)
    later = utc_now() - timedelta(hours=1)
    monkeypatch.setattr("app.bots.upkeep.utc_now", lambda: later)
    assert find_due_accounts(10) == {77}
    assert clock.audit_is_due(Account(77, 1, "bybit", "", audited_at=utc_now()), later)
    own = unsettled_orders([77])[0]
    own.turn(Status.CANCELLED, "cancelled_outside")
    own.final_at = utc_now()
    assert outcomes.rests_for_now(own, utc_now())
    assert not outcomes.rests_for_now(own, later)


# --- orders that somebody else took back ----------------------------------------------------------


def test_an_order_taken_back_by_others_is_logged_and_not_placed_anew_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = desk.orders("OPEN")[0]
    desk.venue.take_away(victim.client_id)
    for _ in range(3):
        desk.tick()
        desk.audit()
    (gone,) = desk.orders("CANCELLED")
    assert (gone.client_id, gone.error) == (victim.client_id, "cancelled_outside")
    assert desk.world.events(desk.bot).count("order_cancelled_outside") == 1
    assert len(desk.orders("OPEN")) == 9
    # Somebody may want it so for a moment: it comes back a minute later.
    monkeypatch.setattr("app.bots.live.clock.RESTORE_AFTER", timedelta(0))
    desk.tick()
    again = desk.world.orders(desk.bot)[-1]
    assert (again.level, again.side, again.attempt) == (victim.level, victim.side, 1)
    assert desk.world.events(desk.bot).count("order_cancelled_outside") == 1
    desk.assert_one_chain()


def test_a_level_that_is_taken_back_three_times_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bots.live.clock.RESTORE_AFTER", timedelta(0))
    victim = desk.orders("OPEN")[0]
    for _ in range(3):
        desk.venue.take_away(victim.client_id)
        desk.tick()
        desk.tick()
        victim = desk.world.orders(desk.bot)[-1]
    assert len(desk.orders("OPEN")) == 9
    assert "level_paused" in desk.world.events(desk.bot)
    desk.tick()
    assert len(desk.orders("OPEN")) == 9
    desk.assert_one_chain()


def test_an_order_made_smaller_by_hand_ends_when_its_part_is_filled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = next(order for order in desk.orders("OPEN") if order.side == "buy")
    half = victim.quantity / 2
    real = desk.venue.find
    shown = real(SYMBOL, victim.client_id)
    assert shown is not None
    smaller = replace(shown, quantity=half, filled=half, status=Status.FILLED)

    def find(symbol: str, client_id: str) -> VenueOrder | None:
        return smaller if client_id == victim.client_id else real(symbol, client_id)

    monkeypatch.setattr(desk.venue, "find", find)
    desk.venue.hidden.add(victim.client_id)
    now = datetime.now(UTC)
    desk.venue.fills.append(
        Fill(
            "by-hand", victim.client_id, Side.BUY, victim.price, half, Decimal(0), "USDT", now, True
        )
    )
    desk.tick()
    (ended,) = desk.orders("CANCELLED")
    assert (ended.client_id, ended.filled, ended.error) == (
        victim.client_id, half, "cancelled_outside"
    )  # fmt: skip
    # It does not hold up a stop either.
    desk.world.change_bot(desk.bot, state="stopping", stop_request="keep")
    for _ in range(2):
        desk.tick()
    assert desk.world.bot(desk.bot).state == "stopped"


def test_a_stop_does_not_wait_for_an_order_that_others_took_back(desk: Desk) -> None:
    desk.venue.take_away(desk.orders("OPEN")[0].client_id)
    desk.tick()
    desk.world.change_bot(desk.bot, state="stopping", stop_request="keep")
    desk.tick()
    assert desk.world.bot(desk.bot).state == "stopped"


def test_an_order_that_we_took_back_is_not_blamed_on_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = desk.venue.find

    def unreachable(symbol: str, client_id: str) -> Any:
        raise Unavailable("exchange_unreachable", exchange="bybit")

    monkeypatch.setattr(desk.venue, "find", unreachable)
    desk.world.change_bot(desk.bot, state="stopping", stop_request="keep")
    desk.tick()
    assert desk.venue.standing() == set()
    assert desk.world.bot(desk.bot).state == "stopping"
    monkeypatch.setattr(desk.venue, "find", real)
    desk.audit()
    assert desk.world.bot(desk.bot).state == "stopped"
    assert "order_cancelled_outside" not in desk.world.events(desk.bot)


# --- orders that stand without being expected -----------------------------------------------------


def test_an_unknown_order_under_an_id_of_ours_is_taken_back_and_told(desk: Desk) -> None:
    unknown = stranger(1)
    desk.venue.place(SYMBOL, unknown)
    desk.venue.sent.clear()
    desk.tick()
    assert unknown.client_id not in desk.venue.standing()
    assert "stray_cancelled" in desk.world.events(desk.bot)
    desk.assert_one_chain()


def test_orders_of_other_programs_are_left_alone(desk: Desk) -> None:
    foreign = replace(stranger(2), client_id="x-somebody-else")
    desk.venue.place(SYMBOL, foreign)
    for _ in range(2):
        desk.audit()
    assert foreign.client_id in desk.venue.standing()
    assert "stray_cancelled" not in desk.world.events(desk.bot)


def test_orders_of_another_account_with_a_key_of_the_same_owner_there_are_left_alone(
    desk: Desk,
) -> None:
    """Two keys of one account at an exchange show each other's orders."""
    theirs = stranger(3)
    with transaction():
        first = db.session.get_one(ExchangeAccount, 77)
        second = ExchangeAccount(
            id=78,
            user_id=first.user_id,
            exchange="bybit",
            venue="bybit",
            label="Other key",
            mode="live",
            maker_fee=first.maker_fee,
            taker_fee=first.taker_fee,
        )
        db.session.add(second)
        owner, market = first.user_id, desk.world.market_id
    other = desk.world.add_bot(78)
    desk.world.change_bot(other, state="stopped")
    with transaction():
        insert_orders(
            [
                NewOrder(
                    owner, 78, other, market, SYMBOL, 1, theirs, Reason("level_empty"), 1, "tick"
                )
            ]
        )
    desk.venue.place(SYMBOL, theirs)
    for _ in range(2):
        assert not tick_accounts([77], HOLDER).failed
        desk.change_account(audited_at=None)
    assert theirs.client_id in desk.venue.standing()
    assert "stray_cancelled" not in desk.world.events(desk.bot)
    # Without the other account nobody minds it any more.
    with transaction():
        db.session.get_one(ExchangeAccount, 78).deleted_at = utc_now()
    tick_accounts([77], HOLDER)
    assert theirs.client_id not in desk.venue.standing()


@pytest.mark.long
def test_an_order_taken_as_absent_that_turns_up_is_adopted_and_makes_room(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.play("97.9")
    desk.venue.lose_answers = desk.venue.forgets = True
    monkeypatch.setattr(clock, "GRACE", timedelta(0))
    desk.tick()
    desk.venue.lose_answers = False
    desk.audit()
    desk.audit()
    assert "never_arrived" in {order.error for order in desk.orders("REJECTED")}
    desk.venue.forgets = False
    monkeypatch.setattr(clock, "GRACE", timedelta(minutes=5))
    for _ in range(4):
        desk.audit()
    assert "order_adopted" in desk.world.events(desk.bot)
    assert desk.orders("UNRESOLVED", "INTENDED") == []
    desk.assert_one_chain()


@pytest.mark.parametrize("is_emergency", few([True, False], 1))
def test_an_order_that_turns_up_when_its_bot_has_ended_is_taken_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, is_emergency: bool
) -> None:
    desk.world.change_bot(desk.world.add_bot(77), mode="live")
    desk.tick()
    late = desk.orders("OPEN")[0]
    with transaction():
        never = {"status": "REJECTED", "error": "never_arrived", "settled": True}
        db.session.execute(update(OrderRow).where(OrderRow.id == late.id).values(**never))
    desk.venue.hidden = {late.client_id}
    owner = desk.world.bot(desk.bot).user_id
    with transaction():
        if is_emergency:
            stopping.emergency_stop(owner, desk.bot)
        else:
            stopping.request_stop(owner, desk.bot, StopHow.KEEP)
    desk.audit()
    assert desk.world.bot(desk.bot).state == ("locked" if is_emergency else "stopped")
    assert late.client_id in desk.venue.standing()
    desk.venue.hidden.clear()
    desk.audit()
    assert late.client_id not in desk.venue.standing()
    assert desk.orders("OPEN", "UNRESOLVED", "INTENDED") == []
    assert desk.world.events(desk.bot)[-1] == "late_order_cancelled"


# --- doubt ----------------------------------------------------------------------------------------


@pytest.mark.long
def test_an_order_that_vanishes_after_days_is_doubted_as_long_as_a_new_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction():
        db.session.execute(update(OrderRow).values(sent_at=utc_now() - timedelta(days=3)))
    desk.venue.forgets = True
    for _ in range(3):
        desk.audit()
        assert len(desk.orders("UNRESOLVED")) == 10
    monkeypatch.setattr(clock, "GRACE", timedelta(0))
    desk.audit()
    gone = desk.orders("CANCELLED")
    assert {order.error for order in gone} == {"vanished"}


def test_a_look_up_that_fails_spoils_nothing_for_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.play("97.9")
    desk.venue.lose_requests = True
    desk.tick()
    (doubtful,) = desk.orders("UNRESOLVED")
    desk.venue.lose_requests = False
    real = desk.venue.find

    def garbled(symbol: str, client_id: str) -> VenueOrder | None:
        if client_id == doubtful.client_id:
            raise Unavailable("exchange_failed", exchange="bybit")
        return real(symbol, client_id)

    monkeypatch.setattr(desk.venue, "find", garbled)
    monkeypatch.setattr(clock, "GRACE", timedelta(0))
    desk.play("95.9")
    report = desk.tick()
    assert report.put_off == set()
    assert len(desk.world.fills(desk.bot)) == 3
    # Nobody has said that it is not there.
    assert [order.id for order in desk.orders("UNRESOLVED")] == [doubtful.id]


def test_a_refusal_as_known_already_takes_the_order_in(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = desk.venue.place

    def twice(symbol: str, order: Order) -> Any:
        real(symbol, order)
        return Refused("duplicate_client_id")

    desk.play("97.9")
    monkeypatch.setattr(desk.venue, "place", twice)
    desk.tick()
    assert desk.orders("REJECTED", "UNRESOLVED") == []
    desk.assert_one_chain()


def test_fills_that_the_list_does_not_tell_are_asked_of_the_order(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = desk.venue.fills_since

    def tells_nothing(symbol: str, cursor: str) -> Any:
        return replace(real(symbol, cursor), fills=())

    monkeypatch.setattr(desk.venue, "fills_since", tells_nothing)
    desk.play("97.9")
    desk.tick()
    assert desk.world.metrics(desk.bot).fills == 2
    desk.assert_one_chain()


def test_a_brake_sends_nothing_and_the_orders_wait_as_they_are(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def brake(symbol: str, order: Order) -> Any:
        raise Unavailable("exchange_rate_limited", exchange="bybit")

    with monkeypatch.context() as patch:
        patch.setattr(desk.venue, "place", brake)
        desk.play("95.9")
        report = desk.tick()
        assert report.put_off == {77}
        assert len(desk.orders("INTENDED")) == 2
    desk.tick()
    assert desk.orders("INTENDED", "UNRESOLVED") == []
    desk.assert_one_chain()


def test_bots_of_a_key_that_the_exchange_refuses_pause_and_go_on_when_it_is_taken_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise Unavailable("exchange_key_refused", exchange="bybit")

    with monkeypatch.context() as patch:
        patch.setattr(desk.venue, "look", refuse)
        for refusals in range(1, 6):
            desk.tick()
            assert desk.world.bot(desk.bot).state == ("active" if refusals < 3 else "paused")
    assert desk.world.bot(desk.bot).state_reason["code"] == "exchange_key_refused"
    assert desk.world.events(desk.bot).count("paused_exchange_key_refused") == 1
    owner = desk.world.bot(desk.bot).user_id
    with transaction():
        stopping.resume(owner, desk.bot)
    for _ in range(2):
        desk.tick()
    assert desk.world.bot(desk.bot).state == "active"
    assert len(desk.orders("OPEN")) == 10
    desk.assert_one_chain()


def test_a_bot_that_was_to_stop_says_so_where_the_key_is_refused_for_good(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise Unavailable("exchange_key_refused", exchange="bybit")

    desk.world.change_bot(desk.bot, state="stopping", stop_request="keep")
    with monkeypatch.context() as patch:
        patch.setattr(desk.venue, "look", refuse)
        for _ in range(4):
            desk.tick()
    row = desk.world.bot(desk.bot)
    assert (row.state, row.state_reason["code"]) == ("error", "stop_without_key")
    assert desk.world.events(desk.bot).count("stop_without_key") == 1
    # With the key back its orders are taken back all the same.
    for _ in range(2):
        desk.tick()
    assert desk.venue.standing() == set()


def test_a_bot_whose_key_may_read_but_not_trade_pauses_and_its_stop_says_what_it_waits_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.venue.refuse = "key_refused"
    desk.play("97.9")
    for _ in range(3):
        desk.tick()
    row = desk.world.bot(desk.bot)
    assert (row.state, row.state_reason["code"]) == ("paused", "exchange_key_refused")
    assert desk.world.events(desk.bot).count("paused_exchange_key_refused") == 1
    monkeypatch.setattr(desk.venue, "cancel", lambda symbol, client_id: Refused("key_refused"))
    desk.world.change_bot(desk.bot, state="stopping", stop_request="sell")
    for _ in range(9):
        desk.tick()
    assert desk.world.bot(desk.bot).state == "stopping"
    assert desk.world.events(desk.bot).count("stop_key_refused") == 1
    # With its rights back the key is used again, and the stop ends as it was asked to.
    monkeypatch.undo()
    monkeypatch.setattr(real_side, "open_venue", lambda account_id: desk.venue)
    desk.venue.refuse = None
    for _ in range(3):
        desk.audit()
    assert desk.world.bot(desk.bot).state == "stopped"
    assert desk.venue.standing() == set()
    assert desk.venue.balances()["AAA"].total < Decimal("0.0001")


@pytest.mark.long
def test_orders_that_never_arrived_do_not_count_as_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "GRACE", timedelta(0))
    desk.play("97.9")
    desk.venue.lose_requests = True
    for _ in range(9):
        desk.tick()
    assert len(desk.orders("REJECTED")) >= 3
    assert "level_paused" not in desk.world.events(desk.bot)
    desk.venue.lose_requests = False
    for _ in range(3):
        desk.tick()
    assert len(desk.orders("OPEN")) == 10
    desk.assert_one_chain()


# --- the lease ------------------------------------------------------------------------------------


def test_the_token_is_asked_again_between_slow_calls(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    now = [0.0]

    def renew_and_note(token: Any) -> Any:
        asked.append(now[0])
        return leases.renew(token)

    monkeypatch.setattr(real_side, "time", Clock(now))
    monkeypatch.setattr(real_side, "renew", renew_and_note)
    place = desk.venue.place

    def slow(symbol: str, order: Order) -> Any:
        now[0] += 8
        return place(symbol, order)

    monkeypatch.setattr(desk.venue, "place", slow)
    desk.play("91.9")
    desk.tick()
    sent = int(now[0] / 8)
    assert sent >= 4
    assert len(asked) >= sent


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self, now: list[float]) -> None:
        self._now = now

    def monotonic(self) -> float:
        """Return the time."""
        return self._now[0]


def test_only_ids_of_our_own_making_are_own() -> None:
    own = client_order_id("by", 1, 1, OrderKey(Purpose.GRID, 1, Side.BUY), 0)
    assert outcomes.is_own_id(own)
    for other in ("", "by", own[:-1], own + "a", "BY" + own[2:], "x-" + own, own + "\n"):
        assert not outcomes.is_own_id(other)


# --- more to read than one look can ---------------------------------------------------------------


def test_a_long_past_is_read_in_parts_that_are_kept_and_compared_when_all_is_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner has traded so much that reading it all would outlast the lease."""
    desk.play("97.9")
    real, cursors = desk.venue.look, list[str]()

    def look(expected: Any, cursor: str, *, whole: bool = False) -> AccountLook:
        cursors.append(cursor)
        told = real(expected, cursor, whole=whole)
        part = len(cursors)
        return told if part > 6 else replace(told, cursor=f"partial={part}", is_partial=True)

    monkeypatch.setattr(desk.venue, "look", look)
    before = desk.account().audited_at
    assert desk.tick().unfinished == {77}
    row = desk.account()
    assert (row.fills_cursor, row.audited_at) == ("partial=4", None)
    assert before is not None
    assert {fill.trade_id for fill in desk.world.fills(desk.bot)} == {
        fill.trade_id for fill in desk.venue.fills
    }
    desk.tick()
    assert desk.account().audited_at is not None
    assert cursors[1:7] == [f"partial={part}" for part in range(1, 7)]
    desk.assert_one_chain()


def test_a_bot_starts_when_the_past_of_its_account_is_known(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(monkeypatch)
    real = desk.venue.look
    monkeypatch.setattr(
        desk.venue,
        "look",
        lambda *asked, whole=False: replace(
            real(*asked, whole=whole), cursor="partial=1", is_partial=True
        ),
    )
    assert desk.tick().unfinished == {77}
    assert desk.venue.sent == []
    monkeypatch.setattr(desk.venue, "look", real)
    desk.tick()
    assert len(desk.orders("OPEN")) == 10
