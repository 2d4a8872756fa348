"""Ticks on a real exchange that loses answers, forgets, refuses and goes away."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from app.bots import wake
from app.bots.live import clock, real_side
from app.db import db
from app.errors import Unavailable
from app.trading.orders import Order
from app.trading.ports import Balance
from app.transactions import transaction
from tests.bots.real_desk import Desk

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def desk(database: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a bot that wants to start at 100."""
    return Desk(monkeypatch)


def test_a_grid_starts_and_answers_its_fills(desk: Desk) -> None:
    desk.tick()
    assert desk.world.bot(desk.bot).state == "active"
    assert len(desk.orders("OPEN")) == 10
    desk.play("97.9")
    desk.tick()
    desk.play("100.1")
    desk.tick()
    assert len(desk.world.trades(desk.bot)) == 1
    assert desk.world.metrics(desk.bot).matched_trades == 1
    desk.assert_one_chain()


def test_a_first_start_whose_money_has_gone_sends_nothing_and_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody took it out after the request, which had found it on the account."""
    monkeypatch.setattr(desk.venue, "balances", lambda: {"USDT": Balance(Decimal("999.99"))})
    desk.tick()
    bot = desk.world.bot(desk.bot)
    assert (bot.state, bot.state_reason["code"]) == ("error", "not_enough_money")
    assert desk.venue.sent == []


def test_trades_of_two_orders_may_have_one_number(desk: Desk) -> None:
    """Some venues number the trades of each pair for themselves, and accounts trade several."""
    desk.tick()
    for price in ("97.9", "95.9", "100.1"):
        desk.play(price)
        desk.venue.fills[-1] = replace(desk.venue.fills[-1], trade_id="4711")
        desk.tick()
        desk.audit()
    fills = desk.world.fills(desk.bot)
    assert len(fills) == len(desk.venue.fills)
    assert len({fill.trade_id for fill in fills}) == len(fills)
    assert desk.world.metrics(desk.bot).base == desk.venue.balances()["AAA"].total


def test_a_quiet_tick_sends_nothing(desk: Desk) -> None:
    desk.tick()
    sent = list(desk.venue.sent)
    for _ in range(3):
        desk.tick()
    assert desk.venue.sent == sent
    desk.assert_one_chain()


def test_an_order_whose_answer_was_lost_is_found_and_not_sent_again(desk: Desk) -> None:
    desk.tick()
    desk.play("97.9")
    desk.venue.lose_answers = True
    desk.tick()
    (doubtful,) = desk.orders("UNRESOLVED")
    assert doubtful.client_id in desk.venue.standing()
    desk.venue.lose_answers = False
    desk.tick()
    assert desk.orders("UNRESOLVED") == []
    desk.assert_one_chain()


def test_a_level_stays_frozen_while_nobody_knows_and_is_tried_anew_when_it_is_certain(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tick()
    desk.play("97.9")
    desk.venue.lose_requests = True
    desk.tick()
    (doubtful,) = desk.orders("UNRESOLVED")
    desk.venue.lose_requests = False
    for _ in range(3):
        desk.tick()
        assert len(desk.orders("UNRESOLVED")) == 1
        assert len(desk.venue.standing()) == 9
    monkeypatch.setattr(clock, "GRACE", timedelta(0))
    desk.tick()
    (gone,) = desk.orders("REJECTED")
    assert (gone.id, gone.error) == (doubtful.id, "never_arrived")
    again = desk.world.orders(desk.bot)[-1]
    assert (again.level, again.side, again.attempt) == (gone.level, gone.side, 1)
    desk.assert_one_chain()


def test_binance_is_given_longer_to_remember(desk: Desk) -> None:
    assert clock.grace_of("binance") >= timedelta(minutes=30)
    assert clock.grace_of("bybit") == clock.GRACE


def test_an_order_that_vanished_is_doubted_and_comes_back(desk: Desk) -> None:
    desk.tick()
    desk.venue.forgets = True
    desk.tick()
    assert len(desk.orders("UNRESOLVED")) == 10
    desk.venue.forgets = False
    desk.tick()
    assert len(desk.orders("OPEN")) == 10
    desk.assert_one_chain()


class Killed(BaseException):
    """The process is gone."""


def die_after_sending(desk: Desk, patch: pytest.MonkeyPatch) -> Any:
    """End a tick right after its order has reached the venue; return the order."""
    place = desk.venue.place

    def placed(symbol: str, order: Order) -> Any:
        place(symbol, order)
        raise Killed

    with patch.context() as inner:
        inner.setattr(desk.venue, "place", placed)
        with pytest.raises(Killed):
            desk.tick()
    (intended,) = desk.orders("INTENDED")
    return intended


def test_a_crash_right_after_a_sending_leaves_no_twin(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tick()
    desk.play("97.9")
    intended = die_after_sending(desk, monkeypatch)
    assert intended.client_id in desk.venue.standing()
    desk.tick()
    assert desk.orders("INTENDED") == []
    assert desk.venue.sent.count(intended.client_id) == 1
    desk.assert_one_chain()


@pytest.mark.parametrize("marked", [True, False])
def test_an_order_that_was_about_to_go_when_its_worker_died_is_not_sent_again_unseen(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    """The venue forgets it for a while; without the mark it is sent twice."""
    desk.tick()
    desk.play("97.9")
    if not marked:
        monkeypatch.setattr(real_side, "set_out", lambda own: None)
    intended = die_after_sending(desk, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(desk.venue, "find", lambda symbol, client_id: None)
        patch.setattr(desk.venue, "open_orders", lambda symbol: [])
        desk.tick()
    assert desk.venue.sent.count(intended.client_id) == (1 if marked else 2)
    if marked:
        assert intended.client_id in {order.client_id for order in desk.orders("UNRESOLVED")}
        desk.tick()
        assert desk.orders("UNRESOLVED") == []
        desk.assert_one_chain()


def test_an_order_whose_sending_had_not_begun_goes_out_at_once_after_a_crash(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tick()
    desk.play("97.9")

    def die(*_args: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(real_side, "act", die)
        with pytest.raises(Killed):
            desk.tick()
    (intended,) = desk.orders("INTENDED")
    assert intended.sent_at is None
    desk.tick()
    assert desk.venue.sent.count(intended.client_id) == 1
    desk.assert_one_chain()


def test_an_order_that_was_put_off_counts_as_never_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tick()
    desk.play("97.9")

    def not_now(symbol: str, order: Order) -> Any:
        raise Unavailable("exchange_rate_limited", exchange="bybit")

    with monkeypatch.context() as patch:
        patch.setattr(desk.venue, "place", not_now)
        desk.tick()
    (intended,) = desk.orders("INTENDED")
    assert intended.sent_at is None
    desk.tick()
    assert desk.orders("INTENDED") == desk.orders("UNRESOLVED") == []
    desk.assert_one_chain()


def test_a_venue_that_is_away_changes_nothing_and_is_asked_again(desk: Desk) -> None:
    desk.tick()
    before = desk.world.orders(desk.bot)
    desk.play("97.9")
    desk.venue.is_away = True
    report = desk.tick()
    assert report.put_off == {77}
    # So the sweep for silent bots blames the exchange, not them.
    assert wake.away_of([77, 78]) == {77}
    assert desk.world.orders(desk.bot) == before
    assert desk.world.bot(desk.bot).failures == 0
    desk.venue.is_away = False
    desk.tick()
    assert len(desk.orders("OPEN")) == 10
    desk.assert_one_chain()


def test_a_level_that_is_refused_three_times_rests(desk: Desk) -> None:
    desk.tick()
    desk.play("97.9")
    desk.venue.refuse = "post_only"
    desk.tick()
    refused = desk.orders("REJECTED")
    assert [order.attempt for order in refused] == [0, 1, 2]
    assert {order.error for order in refused} == {"post_only"}
    assert "level_paused" in desk.world.events(desk.bot)


def test_a_fill_that_is_told_late_is_waited_for(desk: Desk) -> None:
    desk.tick()
    desk.play("97.9")
    desk.venue.hidden_fills = 1
    desk.tick()
    assert len(desk.orders("OPEN")) == 10
    assert desk.world.metrics(desk.bot).fills == 1
    desk.venue.hidden_fills = 0
    desk.tick()
    desk.assert_one_chain()


@pytest.mark.parametrize("how", ["keep", "sell", "emergency"])
def test_stops_take_everything_back(desk: Desk, how: str) -> None:
    desk.tick()
    desk.play("97.9")
    desk.world.change_bot(desk.bot, state="stopping", stop_request=how)
    for _ in range(3):
        desk.tick()
    assert desk.world.bot(desk.bot).state == ("locked" if how == "emergency" else "stopped")
    assert desk.venue.standing() == set()
    base = desk.venue.balances()["AAA"].total
    assert (base > 1) if how == "keep" else (base < Decimal("0.001"))
    desk.assert_one_chain()


def test_a_fill_on_its_way_while_the_order_is_taken_back_is_not_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tick()
    real = desk.venue.cancel
    played: list[bool] = []

    def fill_first(symbol: str, client_id: str) -> Any:
        if not played:
            played.append(True)
            desk.venue.play("93.9")
        return real(symbol, client_id)

    monkeypatch.setattr(desk.venue, "cancel", fill_first)
    desk.world.change_bot(desk.bot, state="stopping", stop_request="keep")
    for _ in range(3):
        desk.tick()
    assert desk.world.bot(desk.bot).state == "stopped"
    desk.assert_one_chain()


def test_whoever_lost_the_lease_before_sending_sends_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tick()
    desk.play("97.9")
    sent = list(desk.venue.sent)
    real = real_side.act

    def act_late(*args: Any) -> Any:
        with transaction():
            db.session.execute(
                text("update account_leases set token = token + 1, holder = 'place-2'")
            )
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(real_side, "act", act_late)
        desk.tick()
    assert desk.venue.sent == sent
    assert len(desk.orders("INTENDED")) == 1
    with transaction():
        db.session.execute(text("update account_leases set expires_at = now()"))
    desk.tick()
    assert desk.orders("INTENDED") == []
    desk.assert_one_chain()


def test_trades_of_other_programs_on_the_account_are_left_alone(desk: Desk) -> None:
    desk.tick()
    foreign = desk.venue.fills[0]
    desk.venue.fills.append(
        type(foreign)(
            trade_id="foreign",
            client_id="somebody-else",
            side=foreign.side,
            price=foreign.price,
            quantity=foreign.quantity,
            fee=foreign.fee,
            fee_currency=foreign.fee_currency,
            time=foreign.time,
            maker=False,
        )
    )
    desk.tick()
    assert {fill.trade_id for fill in desk.world.fills(desk.bot)} == {foreign.trade_id}


# --- the last sale --------------------------------------------------------------------------------


def ask_to_sell(desk: Desk) -> None:
    desk.tick()
    desk.venue.refuse = "insufficient_balance"
    desk.world.change_bot(desk.bot, state="stopping", stop_request="sell")
    for _ in range(3):
        desk.tick()


def test_a_last_sale_that_is_refused_for_a_while_is_tried_again_after_comparisons(
    desk: Desk,
) -> None:
    ask_to_sell(desk)
    assert desk.world.bot(desk.bot).state == "stopping"
    assert len(desk.orders("REJECTED")) == 3
    desk.audit()
    desk.audit()
    assert len(desk.orders("REJECTED")) == 5
    desk.venue.refuse = None
    desk.audit()
    desk.tick()
    assert desk.world.bot(desk.bot).state == "stopped"
    assert desk.world.metrics(desk.bot).base < Decimal("0.0001")
    assert desk.world.events(desk.bot).count("closing_sale_waits") == 1
    desk.assert_one_chain()


def test_a_last_sale_that_is_refused_for_good_ends_by_itself_or_when_coins_are_to_be_kept(
    desk: Desk,
) -> None:
    ask_to_sell(desk)
    for _ in range(28):
        desk.audit()
    assert desk.world.bot(desk.bot).state == "stopped"
    assert len(desk.orders("REJECTED")) == 30
    assert "closing_sale_failed" in desk.world.events(desk.bot)
    desk.world.restart_bot(desk.bot)
    desk.venue.refuse = None
    for _ in range(3):
        desk.tick()
    ask_to_sell(desk)
    desk.world.change_bot(desk.bot, stop_request="keep")
    desk.tick()
    assert desk.world.bot(desk.bot).state == "stopped"
