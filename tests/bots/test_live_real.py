"""Ticks on a real exchange that loses answers, forgets, refuses and goes away."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from decimal import Decimal as D
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.bots import running, stopping, wake
from app.bots.live import asking, clock, real_side, rows
from app.bots.queries import bot_card, notices_for
from app.db import db, utc_now
from app.errors import Unavailable
from app.exchanges import service
from app.markets.models import MarketRow
from app.trades.queries import trade_page
from app.trading.orders import Order
from app.trading.ports import Balance
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.live_world import World
from tests.bots.real_desk import Desk
from tests.long import few

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


STOP: dict[str, Any] = {"stop_loss": "85", "at_exit": "sell"}


def assert_stopped_at(world: World, bot: int, price: str) -> None:
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("stopped", "stop_loss_reached")
    assert row.state_reason["values"] == {"price": price, "limit": "85"}


@pytest.mark.parametrize("changed", few([False, True], 2))
def test_a_stop_that_was_reached_while_nobody_looked_holds(
    database: None, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    desk = Desk(monkeypatch, **{**STOP, "stop_loss": "80" if changed else "85"})
    desk.tick()
    desk.venue.is_away = True
    for price in ("84.5", "92"):
        desk.play(price)
        desk.tick()
    if changed:
        # The price was there before its owner named that stop.
        owner, named = desk.world.bot(desk.bot).user_id, {"stop_loss": "85"}
        with transaction():
            cost = running.edit_preview(owner, desk.bot, named)
            running.edit_running(owner, desk.bot, named, cost.seen)
    desk.venue.is_away = False
    for _ in range(3):
        desk.audit()
    if changed:
        assert desk.world.bot(desk.bot).state == "active"
        return
    assert_stopped_at(desk.world, desk.bot, "84.5")
    assert desk.venue.standing() == set()


@pytest.mark.parametrize("trouble", few(["failed", "late", "paused"], 3))
def test_a_stop_holds_that_was_reached_while_a_tick_failed_or_was_under_way(
    database: None, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    desk = Desk(monkeypatch, **STOP)
    desk.tick()
    if trouble == "paused":
        desk.world.change_bot(desk.bot, state="paused", state_since=utc_now())
    for price in ("84.5", "92"):
        desk.play(price, liquidity=Decimal(0))
    if trouble == "failed":
        with monkeypatch.context() as broken:
            broken.setattr(asking, "tick", lambda *_: 1 / 0)
            assert desk.tick().failed == 1
        assert desk.world.bot(desk.bot).failures == 1
    elif trouble == "late":
        # They came after the last tick had looked, and before it was noted.
        desk.world.change_bot(desk.bot, last_tick_at=utc_now() + timedelta(seconds=1))
    for _ in range(3):
        desk.audit()
    assert_stopped_at(desk.world, desk.bot, "84.5")


@pytest.mark.parametrize("is_emergency", few([True, False], 1))
def test_a_bot_that_gave_up_while_it_stopped_is_stopped_when_asked_once_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, is_emergency: bool
) -> None:
    desk.tick()
    owner = desk.world.bot(desk.bot).user_id

    def ask() -> None:
        with transaction():
            if is_emergency:
                stopping.emergency_stop(owner, desk.bot)
            else:
                stopping.request_stop(owner, desk.bot, StopHow.SELL)

    ask()
    with monkeypatch.context() as broken:
        broken.setattr(real_side, "look", lambda *_: 1 / 0)
        for _ in range(rows.MOST_FAILURES):
            desk.tick()
    assert desk.world.bot(desk.bot).state == "error"
    ask()
    desk.audit()
    assert desk.world.bot(desk.bot).state == ("locked" if is_emergency else "stopped")
    assert desk.venue.standing() == set()
    assert desk.venue.balances()["AAA"].total < Decimal("0.0001")


def test_a_worker_that_dies_while_it_takes_orders_back_blames_nobody_else(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tick()
    owner, wanted = desk.world.bot(desk.bot).user_id, {"grids": 8}
    with transaction():
        cost = running.edit_preview(owner, desk.bot, wanted)
        running.edit_running(owner, desk.bot, wanted, cost.seen)
    with monkeypatch.context() as broken:
        broken.setattr(real_side, "update_orders", _lose_database)
        with pytest.raises(OperationalError):
            desk.tick()
    assert 0 < len(desk.venue.standing()) < 10
    for _ in range(2):
        desk.audit()
    assert "order_cancelled_outside" not in desk.world.events(desk.bot)
    assert len(desk.venue.standing()) == 8
    desk.assert_one_chain()


def _lose_database(*_: Any) -> None:
    raise OperationalError("update orders", None, Exception("server closed the connection"))


@pytest.mark.parametrize("place", ["before", "within", "long_ago"])
def test_a_bot_that_goes_on_ends_by_the_stop_that_was_reached_in_its_pause(
    database: None, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    desk = Desk(monkeypatch, **STOP)
    desk.tick()
    desk.venue.is_away = True
    prices = ("84.5", "92")
    if place == "before":
        desk.world.play(*prices)
    with transaction():
        rows.pause_bots(77, "Bybit", "exchange_key_refused", utc_now())
    if place != "before":
        desk.world.play(*prices)
    desk.tick()
    if place == "long_ago":
        # What nobody needs any more of old prices is deleted.
        with transaction():
            db.session.execute(text("delete from price_points"))
        desk.world.play("92.1")
    owner = desk.world.bot(desk.bot).user_id
    with transaction():
        stopping.resume(owner, desk.bot)
    desk.venue.is_away = False
    desk.venue.play("92")
    for _ in range(3):
        desk.audit()
    assert_stopped_at(desk.world, desk.bot, "84.5")


def test_on_paper_a_stop_that_was_reached_in_a_pause_holds_too() -> None:
    world = World.make()
    bot = world.add_bot(**STOP)
    world.play(100)
    world.tick()
    world.change_bot(bot, state="paused", state_since=utc_now())
    world.play("84.5", "92")
    owner = world.bot(bot).user_id
    with transaction():
        stopping.resume(owner, bot)
    world.tick()
    assert_stopped_at(world, bot, "84.5")


def test_a_grid_begins_whose_start_price_was_touched_between_two_looks(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(monkeypatch, trigger_price="95")
    desk.tick()
    assert desk.world.bot(desk.bot).strategy_state["phase"] == "waiting"
    for price in ("94.9", "97.5"):
        desk.play(price)
    desk.tick()
    assert desk.world.bot(desk.bot).strategy_state["start_price"] == "97.5"
    (begun,) = [line for line in desk.world.log(desk.bot) if line.code == "grid_started"]
    assert begun.values["price"] == "94.9"
    assert len(desk.orders("OPEN")) == 10


def test_an_edit_begins_with_the_next_price_where_prices_have_stopped_meanwhile(
    desk: Desk,
) -> None:
    desk.tick()
    owner, wider = desk.world.bot(desk.bot).user_id, {"lower": "85", "upper": "115"}
    desk.world.change_bot(desk.bot, mode="live")
    with transaction():
        cost = running.edit_preview(owner, desk.bot, wider)
        running.edit_running(owner, desk.bot, wider, cost.seen)
    limit_age(desk, 60)
    sent = len(desk.venue.sent)
    for _ in range(3):
        desk.tick()
    row = desk.world.bot(desk.bot)
    assert (row.state, row.strategy_state["phase"]) == ("active", "editing")
    assert len(desk.venue.sent) == sent
    with transaction():
        assert [line.code for line in notices_for(bot_card(owner, desk.bot))] == [
            "notice_edit_waits"
        ]
    limit_age(desk, 10**9)
    desk.play("101")
    desk.tick()
    row = desk.world.bot(desk.bot)
    assert (row.strategy_state["phase"], row.strategy_state["start_price"]) == ("running", "101")
    desk.assert_one_chain()


def limit_age(desk: Desk, seconds: int) -> None:
    with transaction():
        db.session.get_one(MarketRow, desk.world.market_id).stale_after_s = seconds


@pytest.mark.parametrize("asked", ["start", "stop"])
def test_a_start_waits_for_a_price_that_is_not_old(desk: Desk, asked: str) -> None:
    desk.world.change_bot(desk.bot, mode="live")
    limit_age(desk, 60)
    if asked == "stop":
        desk.world.change_bot(desk.bot, state="stopping", stop_request="keep")
        desk.tick()
        assert desk.world.bot(desk.bot).state == "stopped"
        return
    desk.tick()
    row = desk.world.bot(desk.bot)
    assert (row.state, row.strategy_state, desk.venue.sent) == ("starting", None, [])
    with transaction():
        notices = [line.code for line in notices_for(bot_card(row.user_id, desk.bot))]
    assert notices == ["notice_start_waits"]
    limit_age(desk, 10**9)
    desk.tick()
    assert desk.world.bot(desk.bot).state == "active"
    assert len(desk.orders("OPEN")) == 10


@pytest.mark.parametrize("how", few(["sell", "keep"], 2))
def test_what_a_sell_had_filled_when_its_bot_ended_was_sold_by_the_grid(
    desk: Desk, how: str
) -> None:
    desk.tick()
    desk.play("97.9")
    desk.tick()
    desk.play("100.1", liquidity=Decimal("0.4"))
    desk.tick()
    (bought,) = desk.world.trades(desk.bot)
    assert bought.status == "open"
    desk.play("95.5", liquidity=Decimal(0))
    desk.world.change_bot(desk.bot, state="stopping", stop_request=how)
    for _ in range(3):
        desk.tick()
    assert desk.world.bot(desk.bot).state == "stopped"
    sold, rest = desk.world.trades(desk.bot)
    assert (sold.status, sold.quantity, sold.exit_price) == ("closed", Decimal("0.4"), 100)
    assert sold.profit == desk.world.metrics(desk.bot).grid_profit > 0
    assert rest.quantity == bought.quantity - Decimal("0.4")
    assert rest.entry_order_id == sold.entry_order_id
    left = ("closed", Decimal("95.5")) if how == "sell" else ("open", None)
    assert (rest.status, rest.exit_price) == left
    assert sold.fees + rest.fees == pytest.approx(_fees(desk, sold, rest), abs=Decimal("0.000001"))


@pytest.mark.parametrize("end", few(["sell", "keep", "gone"], 3))
def test_each_try_of_the_last_sale_closes_its_part_at_its_own_price(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    desk.tick()
    for price in ("97.9", "95.9", "93.9"):
        desk.play(price)
        desk.tick()
    bought = desk.world.trades(desk.bot)
    assert [row.status for row in bought] == ["open"] * 3
    desk.venue.thin = D("1.5")
    desk.world.change_bot(desk.bot, state="stopping", stop_request="sell")
    desk.tick()
    rows = desk.world.trades(desk.bot)
    part = D("1.5") - bought[0].quantity
    assert told(rows) == [
        ("closed", bought[0].quantity, D("93.9")), ("closed", part, D("93.9")),
        ("open", bought[2].quantity, None), ("open", bought[1].quantity - part, None),
    ]  # fmt: skip
    desk.play("93.5", liquidity=D(0))
    if end == "keep":
        desk.world.change_bot(desk.bot, stop_request="keep")
        desk.tick()
        assert desk.world.bot(desk.bot).state == "stopped"
        assert desk.world.trades(desk.bot) == rows
        return
    if end == "gone":
        monkeypatch.setattr(desk.venue, "balances", lambda: {"USDT": Balance(D(9_500))})
    else:
        desk.venue.thin = None
    desk.audit()
    desk.audit()
    assert desk.world.bot(desk.bot).state == "stopped"
    rest = desk.world.trades(desk.bot)[2:]
    ended: tuple[str, D | None] = ("closed", D("93.5")) if end == "sell" else ("carried", None)
    assert told(rest) == [(ended[0], row.quantity, ended[1]) for row in rows[2:]]
    total = sum(row.quantity for row in [*rows[:2], *rest])
    assert total == sum(row.quantity for row in bought)


def told(trades: list[Any]) -> list[tuple[str, Decimal, Decimal | None]]:
    return [(row.status, row.quantity, row.exit_price) for row in trades]


@pytest.mark.long
def test_what_was_taken_to_another_level_closes_the_trade_that_its_purchase_opened(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(monkeypatch, trailing_down=True)
    desk.tick()
    for price in ("110.1", "107.9", "89"):
        desk.play(price)
        desk.tick()
    (moved,) = [row for row in desk.world.trades(desk.bot) if row.status == "open"][:1]
    for price in ("87.9", "90.1"):
        desk.play(price)
        desk.tick()
    trades = desk.world.trades(desk.bot)
    (closed,) = [row for row in trades if row.id == moved.id]
    assert (closed.status, closed.entry_order_id) == ("closed", moved.entry_order_id)
    assert closed.exit_price == 90
    assert closed.logic["exit"]["inputs"]["level"] != moved.logic["inputs"]["level"]
    closed_ones = [row for row in trades if row.status == "closed"]
    assert len(closed_ones) == desk.world.metrics(desk.bot).matched_trades
    waiting = sum(row.quantity for row in trades if row.status == "open")
    assert waiting == pytest.approx(desk.world.metrics(desk.bot).base, abs=D("0.001"))


def test_an_account_that_is_deleted_while_it_is_ticked_stays_as_its_owner_left_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tick()
    standing = desk.venue.standing()
    desk.world.change_bot(desk.bot, state="error")
    owner = desk.world.bot(desk.bot).user_id
    cancel, asked = desk.venue.cancel, []

    def delete_meanwhile(symbol: str, client_id: str) -> Any:
        asked.append(client_id)
        if len(asked) == 1:
            with transaction():
                service.delete(owner, 77, leaves_stops=True, leaves_orders=True)
            # The next call asks for its permit again.
            monkeypatch.setattr(real_side, "FRESH_S", 0)
        return cancel(symbol, client_id)

    monkeypatch.setattr(desk.venue, "cancel", delete_meanwhile)
    desk.tick()
    looks = len(desk.venue.looks)
    assert desk.tick().failed == 0
    assert len(desk.venue.looks) == looks
    assert asked and desk.venue.standing() == standing.difference(asked[:1])
    left = [order for order in desk.world.orders(desk.bot) if order.error == "left_with_account"]
    assert {order.client_id for order in left} == standing
    assert {(order.status, order.settled) for order in left} == {("CANCELLED", True)}


@pytest.mark.long
def test_a_trade_shows_the_fills_of_each_try_to_sell(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "RESTORE_AFTER", timedelta(0))
    desk.tick()
    desk.play("97.9")
    desk.tick()
    desk.play("100.1", liquidity=Decimal("0.4"))
    desk.tick()
    (sell,) = desk.orders("PARTIAL")
    desk.venue.take_away(sell.client_id)
    desk.audit()
    desk.play("100.1")
    desk.tick()
    (trade,) = desk.world.trades(desk.bot)
    with transaction():
        page = trade_page(trade.user_id, trade.id)
    assert sum(fill.quantity for fill in page.fills if fill.side == "sell") == trade.quantity


def _fees(desk: Desk, *trades: Any) -> Decimal:
    """Return what the fills of trades have cost, of a sale at the end by their share."""
    orders = {order.id: order for order in desk.world.orders(desk.bot)}
    bought = orders[trades[0].entry_order_id]
    fee: Decimal = bought.fee_base * bought.price
    for trade in trades:
        if trade.exit_order_id is not None:
            sale = orders[trade.exit_order_id]
            fee += sale.fee_quote * trade.quantity / sale.filled
    return fee


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


@pytest.mark.long
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


@pytest.mark.long
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
