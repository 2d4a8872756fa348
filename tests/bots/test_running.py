"""Changing a bot while it trades: settings, more money, profit taken out, a pause ended."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.bots import running, service, stopping
from app.bots.models import Bot, BotConfig, BotEvent, BotMetrics
from app.bots.planning import prospect
from app.bots.queries import levels_of
from app.bots.rules import Seen
from app.db import db, utc_now
from app.errors import Conflict, DomainError, InvalidInput, NotFound
from app.exchanges.models import PaperBalance
from app.markets.models import MarketRow
from app.trades.models import OrderRow, TradeRow
from app.trades.queries import TradeFilter, trade_totals
from app.trading.strategy import InvalidParams, StopHow
from app.transactions import transaction
from tests.at_once import at_once
from tests.bots.shop import Shop
from tests.factories import make_user


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


def edit(shop: Shop, bot_id: int, version: int = 1, **changes: Any) -> None:
    with transaction():
        ask(shop, bot_id, version, **changes)


def ask(shop: Shop, bot_id: int, version: int = 1, **changes: Any) -> None:
    try:
        seen = replace(running.edit_preview(shop.user_id, bot_id, changes).seen, version=version)
    except DomainError:
        seen = Seen(version, Decimal(0), Decimal(0), ())
    running.edit_running(shop.user_id, bot_id, changes, seen)


def refused(call: Any, kind: type[DomainError]) -> DomainError:
    with pytest.raises(kind) as refusal, transaction():
        call()
    return refusal.value


def standing(bot_id: int) -> list[OrderRow]:
    with transaction():
        query = select(OrderRow).where(OrderRow.bot_id == bot_id, OrderRow.status == "OPEN")
        return list(db.session.scalars(query.order_by(OrderRow.price)))


def assert_money_agrees(shop: Shop, bot_id: int) -> None:
    with transaction():
        metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
        rows = db.session.scalars(
            select(PaperBalance)
            .where(PaperBalance.account_id == shop.account_id)
            .execution_options(populate_existing=True)
        )
        held = {row.currency: row.free + row.locked for row in rows}
        moved = metrics.quote - metrics.deposited + metrics.withdrawn
        assert held["USDT"] - Decimal(10_000) == moved
        assert held.get("AAA", Decimal(0)) == metrics.base


def change_rules(shop: Shop, **rules: Decimal) -> None:
    with transaction():
        market = db.session.get_one(MarketRow, shop.market_id, populate_existing=True)
        for name, value in rules.items():
            setattr(market, name, value)


def ticks(shop: Shop, count: int = 4) -> None:
    for _ in range(count):
        shop.tick()


def test_a_wider_range_takes_the_orders_back_and_begins_anew_with_what_is_there(
    shop: Shop,
) -> None:
    bot_id = shop.run_bot("97.5", 99)
    with transaction():
        cost = running.edit_preview(shop.user_id, bot_id, {"lower": Decimal(80)}).edit
    assert len(cost.cancels) >= 9
    assert cost.money_in == 0
    edit(shop, bot_id, lower=Decimal(80))
    ticks(shop)
    orders = standing(bot_id)
    assert orders[0].price == Decimal(80)
    assert len(orders) == 10
    assert {order.config_version for order in orders} == {2}
    bot = shop.bot(bot_id)
    assert (bot.state, bot.config_version) == ("active", 2)
    with transaction():
        version = db.session.get_one(BotConfig, (bot_id, 2))
        assert version.params["lower"] == "80"
        codes = [e.code for e in db.session.query(BotEvent).filter_by(bot_id=bot_id)]
    assert "edited_while_running" in codes
    assert_money_agrees(shop, bot_id)


def test_exits_alone_move_no_order(shop: Shop) -> None:
    bot_id = shop.run_bot()
    before = {order.client_id for order in standing(bot_id)}
    edit(shop, bot_id, stop_loss=Decimal(85))
    ticks(shop)
    assert before <= {order.client_id for order in standing(bot_id)}
    shop.play("84")
    ticks(shop)
    assert shop.bot(bot_id).state == "stopped"
    assert_money_agrees(shop, bot_id)


@pytest.mark.long
def test_levels_keep_what_they_have_earned_when_an_edit_leaves_them_where_they_are(
    shop: Shop,
) -> None:
    def earned() -> dict[Decimal, int]:
        return {level.price: level.trades for level in levels_of(bot_id) if level.trades}

    bot_id = shop.run_bot("97.5", "100.5", "97.5")
    before = earned()
    assert before
    # Exits move no level, and the sell that is closed now is of the first version.
    edit(shop, bot_id, stop_loss=Decimal(85))
    ticks(shop)
    assert earned() == before
    shop.play("100.5")
    ticks(shop)
    assert sum(earned().values()) > sum(before.values())
    kept = earned()
    # Lines that lie elsewhere have earned nothing yet.
    edit(shop, bot_id, version=2, lower=Decimal("89.7"), upper=Decimal("109.7"))
    ticks(shop)
    assert earned() == {}
    assert kept


@pytest.mark.long
@pytest.mark.parametrize("direction", ["neutral", "long", "short"])
def test_each_trip_counts_on_its_own_level_whoever_closes_it_and_whatever_is_edited(
    shop: Shop, direction: str
) -> None:
    as_contract(shop)
    size = {"quantity": Decimal(1), "investment": None, "leverage": Decimal(2)}
    bot_id = shop.run_bot("103", "99", "101", "97", "101", direction=direction, **size)
    assert earned_by_prices(bot_id) == closed_by_prices(bot_id) != {}
    # Lines that are added below leave orders where they are, and the numbers of the others.
    edit(shop, bot_id, lower=Decimal(86), grids=Decimal(12))
    ticks(shop)
    for price in ("105", "101", "97", "101"):
        shop.play(price)
        shop.tick()
    # Without their state the lines are numbered from the lowest.
    shop.set_bot(bot_id, strategy_state=None)
    assert sum(closed_by_prices(bot_id).values()) >= 4
    assert earned_by_prices(bot_id) == closed_by_prices(bot_id)


def as_contract(shop: Shop) -> None:
    with transaction():
        market = db.session.get_one(MarketRow, shop.market_id)
        market.kind, market.fee_side, market.symbol = "linear", "quote", "AAA/USDT:USDT"
        market.max_leverage, market.tiers = Decimal(50), [["0", "0.01", "0"]]


def earned_by_prices(bot_id: int) -> dict[Decimal, int]:
    """Return the trips of each gap by the price of its lower level, as the table shows them."""
    with transaction():
        return {level.price: level.trades for level in levels_of(bot_id) if level.trades}


def closed_by_prices(bot_id: int) -> dict[Decimal, int]:
    """Return the same from the trades: what a sell has closed was bought a step of 2 lower."""
    with transaction():
        query = (
            select(OrderRow.side, OrderRow.price)
            .join(TradeRow, TradeRow.exit_order_id == OrderRow.id)
            .where(TradeRow.bot_id == bot_id, TradeRow.status == "closed")
        )
        closed = [(side, price or Decimal(0)) for side, price in db.session.execute(query)]
    return dict(Counter(price - 2 if side == "sell" else price for side, price in closed))


@pytest.mark.long
@pytest.mark.parametrize("how", ["edit", "restart"])
def test_coins_that_go_over_to_other_orders_are_sold_by_one_trade_alone(
    shop: Shop, how: str
) -> None:
    bot_id = shop.run_bot("94", "91")
    if how == "edit":
        edit(shop, bot_id, grids=7)
    else:
        with transaction():
            stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
        shop.tick()
        shop.start(bot_id)
    ticks(shop)
    shop.play("112")
    ticks(shop)
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.SELL)
    ticks(shop)
    with transaction():
        rows = db.session.scalars(select(TradeRow).where(TradeRow.bot_id == bot_id)).all()
        carried = [row for row in rows if row.status == "carried"]
        closed = [row for row in rows if row.status == "closed"]
        sums = db.session.get_one(BotMetrics, bot_id)
        sold = db.session.scalars(
            select(OrderRow.filled).where(OrderRow.bot_id == bot_id, OrderRow.side == "sell")
        )
        assert len(closed) + len(carried) == len(rows)
        assert [row.profit for row in carried] == [None] * 4
        assert sum(row.quantity for row in closed) <= sum(sold)
        assert sum(row.profit or 0 for row in closed) == sums.grid_profit
    totals = trade_totals(shop.user_id, TradeFilter())
    assert [(line.closed, line.open, line.profit) for line in totals] == [
        (len(closed), 0, sums.grid_profit)
    ]


@pytest.mark.long
@pytest.mark.parametrize("direction", [None, "long", "short"])
def test_larger_orders_of_a_fixed_size_bring_the_money_that_they_need(
    shop: Shop, direction: str | None
) -> None:
    more: dict[str, Any] = {}
    if direction is not None:
        as_contract(shop)
        more = {"direction": direction, "leverage": Decimal(2)}
    bot_id = shop.run_bot("97.5", "101", investment=None, quantity=Decimal(1), **more)
    capital = shop.bot(bot_id).capital
    with transaction():
        found = running.edit_preview(shop.user_id, bot_id, {"quantity": Decimal(3)}).edit
    assert capital < found.money_in <= found.plan.investment
    edit(shop, bot_id, quantity=Decimal(3))
    ticks(shop)
    bot = shop.bot(bot_id)
    assert (bot.state, bot.capital) == ("active", capital + found.money_in)
    assert len(standing(bot_id)) == 10
    assert {order.quantity for order in standing(bot_id) if order.side == "buy"} == {Decimal(3)}
    # The money is there already: what is smaller takes none and gives none.
    edit(shop, bot_id, version=2, quantity=Decimal(2))
    ticks(shop)
    assert shop.bot(bot_id).capital == bot.capital
    refusal = refused(lambda: ask(shop, bot_id, 3, quantity=Decimal(60)), Conflict)
    assert refusal.code == "not_enough_money"
    assert shop.bot(bot_id).config_version == 3


def test_the_same_settings_change_nothing(shop: Shop) -> None:
    bot_id = shop.run_bot()
    edit(shop, bot_id, lower=Decimal(90))
    assert shop.bot(bot_id).config_version == 1


def test_what_its_owner_read_must_still_hold(shop: Shop) -> None:
    bot_id = shop.run_bot()
    edit(shop, bot_id, lower=Decimal(85))
    error = refused(lambda: ask(shop, bot_id, lower=Decimal(80)), Conflict)
    assert error.code == "settings_moved_meanwhile"
    # The same form once more finds its work done.
    edit(shop, bot_id, lower=Decimal(85))
    assert shop.bot(bot_id).config_version == 2


def test_a_change_that_would_trade_otherwise_by_now_is_read_again(shop: Shop) -> None:
    bot_id = shop.run_bot()
    changes = {"upper": Decimal(140), "grids": Decimal(50)}
    with transaction():
        seen = running.edit_preview(shop.user_id, bot_id, changes).seen
    shop.play(91)
    error = refused(lambda: running.edit_running(shop.user_id, bot_id, changes, seen), Conflict)
    assert error.code == "plan_moved"
    refused(lambda: running.edit_running(shop.user_id, bot_id, changes, None), Conflict)
    assert shop.bot(bot_id).config_version == 1


def test_a_bot_that_does_not_trade_or_is_not_theirs_is_not_changed_so(shop: Shop) -> None:
    bot_id = shop.add_bot()
    error = refused(lambda: ask(shop, bot_id, lower=Decimal(80)), Conflict)
    assert error.code == "cannot_edit_running"
    # Money is another matter: the sentence does not speak of changes that are possible.
    for move in (
        lambda: running.money_limits(shop.user_id, bot_id),
        lambda: running.add_money(shop.user_id, bot_id, Decimal(10)),
        lambda: running.take_out(shop.user_id, bot_id, Decimal(10)),
    ):
        assert refused(move, Conflict).code == "money_moves_while_active"
    with transaction():
        stranger = make_user().id
    refused(lambda: running.edit_preview(stranger, bot_id, {}), NotFound)
    refused(lambda: running.take_out(stranger, bot_id, Decimal(1)), NotFound)


def test_settings_that_can_not_be_are_named(shop: Shop) -> None:
    bot_id = shop.run_bot()
    error = refused(lambda: ask(shop, bot_id, lower=Decimal(120)), InvalidParams)
    assert isinstance(error, InvalidParams)
    error = refused(lambda: ask(shop, bot_id, lower=Decimal(101)), InvalidParams)
    assert error.code
    assert shop.bot(bot_id).config_version == 1


@pytest.mark.long
def test_a_bot_with_a_fixed_order_size_gets_what_was_added_and_no_more(shop: Shop) -> None:
    bot_id = shop.run_bot(investment=None, quantity=Decimal("0.5"))
    capital = shop.bot(bot_id).capital
    with transaction():
        running.add_money(shop.user_id, bot_id, Decimal(500))
    assert shop.bot(bot_id).capital == capital + 500
    assert db.session.get_one(BotMetrics, bot_id).deposited == capital + 500
    ticks(shop)
    assert_money_agrees(shop, bot_id)
    buys = [order.quantity for order in standing(bot_id) if order.side == "buy"]
    assert set(buys) == {Decimal("0.5")}


def test_more_money_makes_larger_orders_and_is_taken_from_what_is_free(shop: Shop) -> None:
    bot_id = shop.run_bot()
    before = standing(bot_id)
    with transaction():
        limits = running.money_limits(shop.user_id, bot_id)
        assert limits.most_in == Decimal(9_000)
        running.add_money(shop.user_id, bot_id, Decimal(500))
    ticks(shop)
    after = standing(bot_id)
    assert len(after) == len(before)
    assert after[0].quantity > before[0].quantity * Decimal("1.4")
    bot = shop.bot(bot_id)
    assert bot.capital == Decimal(1500)
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert metrics.deposited == Decimal(1500)
    assert_money_agrees(shop, bot_id)
    error = refused(lambda: running.add_money(shop.user_id, bot_id, Decimal(9_000)), Conflict)
    assert error.code == "not_enough_money"


def test_earned_money_is_taken_out_and_nothing_more(shop: Shop) -> None:
    bot_id = shop.run_bot("97.9", "100.1", "97.9", "100.1")
    with transaction():
        most = running.money_limits(shop.user_id, bot_id).most_out
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert 0 < most <= metrics.grid_profit
    orders = {order.client_id for order in standing(bot_id)}
    error = refused(
        lambda: running.take_out(shop.user_id, bot_id, most + Decimal("0.01")), Conflict
    )
    assert error.code == "too_much_to_take_out"
    if most >= running.LEAST_FLOW:
        with transaction():
            running.take_out(shop.user_id, bot_id, most)
    ticks(shop)
    assert {order.client_id for order in standing(bot_id)} == orders
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert metrics.withdrawn == most
    assert_money_agrees(shop, bot_id)


def test_the_same_money_moves_once_however_often_the_form_is_sent(shop: Shop) -> None:
    bot_id = shop.run_bot("97.9", "100.1", "97.9", "100.1")
    with transaction():
        seen = running.money_limits(shop.user_id, bot_id).seen
        running.add_money(shop.user_id, bot_id, Decimal(500), seen=seen)
    for again in (
        lambda: running.add_money(shop.user_id, bot_id, Decimal(500), seen=seen),
        lambda: running.take_out(shop.user_id, bot_id, Decimal("0.01"), seen=seen),
        lambda: running.add_money(shop.user_id, bot_id, Decimal(500), seen=""),
    ):
        assert refused(again, Conflict).code == "money_moved_meanwhile"
    with transaction():
        seen = running.money_limits(shop.user_id, bot_id).seen
        running.take_out(shop.user_id, bot_id, Decimal("0.01"), seen=seen)
    again = lambda: running.take_out(shop.user_id, bot_id, Decimal("0.01"), seen=seen)  # noqa: E731
    assert refused(again, Conflict).code == "money_moved_meanwhile"
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert (metrics.deposited, metrics.withdrawn) == (Decimal(1500), Decimal("0.01"))


def test_money_sent_twice_at_once_moves_once(shop: Shop, app: Flask) -> None:
    bot_id = shop.run_bot()
    with transaction():
        seen = running.money_limits(shop.user_id, bot_id).seen

    def send(_: int) -> str:
        try:
            with transaction():
                running.add_money(shop.user_id, bot_id, Decimal(500), seen=seen)
        except Conflict as error:
            return error.code
        return "moved"

    assert sorted(at_once(app, 4, send)) == [*["money_moved_meanwhile"] * 3, "moved"]
    db.session.rollback()
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert metrics.deposited == Decimal(1500)


def test_amounts_that_nobody_means_are_refused(shop: Shop) -> None:
    bot_id = shop.run_bot()
    for verb in (running.add_money, running.take_out):
        for amount in map(Decimal, ("0", "-1", "0.001", "NaN", "Infinity", "1e30")):
            ask = partial(verb, shop.user_id, bot_id, amount)
            refused(ask, InvalidInput)


def test_a_stop_while_it_changes_ends_it_as_ever(shop: Shop) -> None:
    bot_id = shop.run_bot()
    edit(shop, bot_id, lower=Decimal(80))
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.SELL)
    ticks(shop)
    assert shop.bot(bot_id).state == "stopped"
    assert standing(bot_id) == []
    assert_money_agrees(shop, bot_id)


def test_a_paused_bot_keeps_what_closes_and_goes_on_where_it_was(shop: Shop) -> None:
    bot_id = shop.run_bot()
    shop.set_bot(bot_id, state="paused")
    ticks(shop, 2)
    assert {order.side for order in standing(bot_id)} == {"sell"}
    # A sell is filled meanwhile; it is booked now and answered when the bot goes on.
    shop.play("102.1")
    ticks(shop, 2)
    assert {order.side for order in standing(bot_id)} == {"sell"}
    assert_money_agrees(shop, bot_id)
    with transaction():
        stopping.resume(shop.user_id, bot_id)
        stopping.resume(shop.user_id, bot_id)
    ticks(shop)
    orders = standing(bot_id)
    assert shop.bot(bot_id).state == "active"
    assert len(orders) == 10
    assert len({(order.level, order.side) for order in orders}) == 10
    assert_money_agrees(shop, bot_id)


def test_a_pause_that_nobody_has_read_of_is_not_ended_by_an_old_page(shop: Shop) -> None:
    bot_id = shop.run_bot()
    shop.set_bot(bot_id, state="paused")
    read = shop.bot(bot_id).state_since.isoformat()
    with transaction():
        stopping.resume(shop.user_id, bot_id, read)
    shop.set_bot(bot_id, state="paused", state_since=utc_now())
    error = refused(lambda: stopping.resume(shop.user_id, bot_id, read), Conflict)
    assert error.code == "paused_anew"
    assert shop.bot(bot_id).state == "paused"


def test_only_a_paused_bot_is_resumed(shop: Shop) -> None:
    bot_id = shop.add_bot()
    assert refused(lambda: stopping.resume(shop.user_id, bot_id), Conflict).code == "cannot_resume"


# --- limits ---------------------------------------------------------------------------------------


def limit(shop: Shop, bot_id: int, **limits: Any) -> None:
    with transaction():
        service.set_limits(shop.user_id, bot_id, limits)


def test_a_loss_beyond_the_days_limit_pauses_the_bot_and_says_why(shop: Shop) -> None:
    bot_id = shop.run_bot()
    limit(shop, bot_id, max_daily_loss=Decimal(10))
    ticks(shop, 1)
    shop.play("95.9", "92.5")
    ticks(shop, 2)
    bot = shop.bot(bot_id)
    assert (bot.state, bot.state_reason["code"]) == ("paused", "limit_daily_loss")
    assert {order.side for order in standing(bot_id)} == {"sell"}
    with transaction():
        codes = [e.code for e in db.session.query(BotEvent).filter_by(bot_id=bot_id)]
    assert codes.count("limit_daily_loss") == 1
    # Whoever lets it go on counts from here.
    with transaction():
        stopping.resume(shop.user_id, bot_id)
    ticks(shop, 3)
    assert shop.bot(bot_id).state == "active"
    assert_money_agrees(shop, bot_id)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_capital": "900"}, "limit_max_capital"),
        ({"max_open_orders": "5"}, "limit_open_orders"),
    ],
)
def test_each_limit_pauses(shop: Shop, limits: dict[str, Any], code: str) -> None:
    bot_id = shop.run_bot()
    limit(shop, bot_id, **limits)
    ticks(shop, 2)
    assert shop.bot(bot_id).state_reason["code"] == code


def test_limits_within_bounds_change_nothing_and_can_be_taken_away(shop: Shop) -> None:
    bot_id = shop.run_bot()
    limit(shop, bot_id, max_daily_loss="500", max_leverage="3")
    limit(shop, bot_id, max_daily_loss="500", max_leverage="3")
    ticks(shop, 2)
    assert shop.bot(bot_id).state == "active"
    assert shop.bot(bot_id).guard == {"max_daily_loss": "500", "max_leverage": "3"}
    limit(shop, bot_id)
    assert shop.bot(bot_id).guard is None
    error = refused(
        lambda: service.set_limits(
            shop.user_id, bot_id, {"max_daily_loss": "5"}, "max_daily_loss=500"
        ),
        Conflict,
    )
    assert error.code == "limits_moved_meanwhile"
    error = refused(
        lambda: service.set_limits(shop.user_id, bot_id, {"max_daily_loss": "-1", "x": 1}),
        InvalidParams,
    )
    assert isinstance(error, InvalidParams)


@pytest.mark.long
@pytest.mark.parametrize("direction", ["short", "long", "neutral"])
def test_money_goes_into_a_contract_bot_and_out_of_it_as_its_margin_allows(
    shop: Shop, direction: str
) -> None:
    as_contract(shop)
    bot_id = shop.run_bot(
        *["99", "101", "103", "101", "97", "101"] * 3, direction=direction, leverage=Decimal(5)
    )
    with transaction():
        running.add_money(shop.user_id, bot_id, Decimal(500))
    ticks(shop)
    assert (shop.bot(bot_id).state, shop.bot(bot_id).capital) == ("active", Decimal(1500))
    assert len(standing(bot_id)) >= 10
    for price in ["103", "101", "97", "101"] * 3:
        shop.play(price)
        shop.tick()
    with transaction():
        most = running.money_limits(shop.user_id, bot_id).most_out
        metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
        wallet = metrics.quote + (1 if metrics.base > 0 else -1) * metrics.base_cost
        assert 1 < most <= metrics.grid_profit
        assert wallet - most >= Decimal(1500) * Decimal("0.95")
    before = {order.client_id for order in standing(bot_id)}
    with transaction():
        running.take_out(shop.user_id, bot_id, most)
    ticks(shop)
    assert {order.client_id for order in standing(bot_id)} == before
    error = refused(lambda: running.take_out(shop.user_id, bot_id, Decimal(50)), Conflict)
    assert error.code == "too_much_to_take_out"


@pytest.mark.long
@pytest.mark.parametrize(("direction", "upper"), [("neutral", 110), ("long", 102)])
def test_a_start_closes_what_a_position_has_more_than_the_plan(
    shop: Shop, direction: str, upper: int
) -> None:
    as_contract(shop)
    bot_id = shop.run_bot("97", "93", direction=direction, leverage=Decimal(2))
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
    ticks(shop)
    assert db.session.get_one(BotMetrics, bot_id, populate_existing=True).base > 0
    with transaction():
        service.change_bot(shop.user_id, bot_id, {"upper": Decimal(upper)})
    shop.start(bot_id)
    ticks(shop)
    bot = shop.bot(bot_id)
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert bot.plan is not None
    assert metrics.base == Decimal(str(bot.plan["base_to_buy"]))


@pytest.mark.long
def test_a_start_with_a_position_brings_the_margin_of_all_orders_of_a_fixed_size(
    shop: Shop,
) -> None:
    as_contract(shop)
    size = {"quantity": Decimal(1), "investment": None, "reserve": Decimal("0.01")}
    bot_id = shop.run_bot("97", "101", "97", direction="long", leverage=Decimal(5), **size)
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
    ticks(shop)
    shop.play("96.5")
    with transaction():
        ahead = prospect(db.session.get_one(Bot, bot_id))
        assert ahead.held.base > 0
        assert ahead.held.wallet + ahead.put_in >= ahead.settings.capital
    shop.start(bot_id)
    ticks(shop)
    assert shop.bot(bot_id).state == "active"
    assert len(standing(bot_id)) == 10


def test_an_edit_that_by_now_takes_more_money_is_read_again(shop: Shop) -> None:
    as_contract(shop)
    size = {"quantity": Decimal(1), "investment": None, "reserve": Decimal("0.01")}
    bot_id = shop.run_bot(direction="short", leverage=Decimal(5), **size)
    wish = {"quantity": Decimal(2)}
    with transaction():
        cost = running.edit_preview(shop.user_id, bot_id, wish)
    cheaper = replace(cost.seen, put_in=cost.edit.money_in / 2)
    error = refused(lambda: running.edit_running(shop.user_id, bot_id, wish, cheaper), Conflict)
    assert error.code == "plan_moved"
    with transaction():
        running.edit_running(shop.user_id, bot_id, wish, cost.seen)


@pytest.mark.long
def test_a_leverage_at_which_the_position_lacks_margin_is_refused_before_anything_moves(
    shop: Shop,
) -> None:
    as_contract(shop)
    bot_id = shop.run_bot("103", "107", direction="short", leverage=Decimal(5))
    with transaction():
        cost = running.edit_preview(shop.user_id, bot_id, {"leverage": Decimal(1)})
    assert [each.code for each in cost.edit.errors] == ["leverage_below_position"]
    before = {order.client_id for order in standing(bot_id)}
    error = refused(lambda: ask(shop, bot_id, leverage=Decimal(1)), InvalidParams)
    assert error.code == "leverage_below_position"
    ticks(shop)
    assert {order.client_id for order in standing(bot_id)} == before
    assert shop.bot(bot_id).state == "active"


@pytest.mark.long
def test_coins_too_few_for_a_lot_of_the_purchase_save_no_money_at_a_start(shop: Shop) -> None:
    size = {"quantity": Decimal("0.5001"), "investment": None, "reserve": Decimal(0)}
    bot_id = shop.run_bot("97.5", **size)
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.SELL)
    ticks(shop)
    held = db.session.get_one(BotMetrics, bot_id, populate_existing=True).base
    assert 0 < held < Decimal("0.0001") * 10
    shop.play("94.78")
    shop.start(bot_id)
    ticks(shop)
    assert len(standing(bot_id)) == 10


# --- what holds while it is paused ----------------------------------------------------------------


@pytest.mark.parametrize("at_exit", ["sell", "keep"])
def test_a_stop_loss_that_is_reached_in_a_pause_ends_the_bot(shop: Shop, at_exit: str) -> None:
    bot_id = shop.run_bot(stop_loss=Decimal(80), at_exit=at_exit)
    limit(shop, bot_id, max_open_orders=1)
    ticks(shop, 1)
    assert shop.bot(bot_id).state == "paused"
    shop.play("85", "79", "95")
    ticks(shop, 2)
    bot = shop.bot(bot_id)
    assert (bot.state, bot.state_reason["code"]) == ("stopped", "stop_loss_reached")
    assert standing(bot_id) == []
    with transaction():
        held = db.session.get_one(BotMetrics, bot_id, populate_existing=True).base
    assert (held < Decimal("0.0001")) is (at_exit == "sell")
    assert_money_agrees(shop, bot_id)


@pytest.mark.long
def test_a_price_that_breaks_a_limit_and_reaches_the_stop_loss_ends_the_bot(shop: Shop) -> None:
    bot_id = shop.run_bot(stop_loss=Decimal(80), at_exit="sell")
    limit(shop, bot_id, max_daily_loss=Decimal(10))
    ticks(shop, 1)
    shop.play("75")
    ticks(shop, 2)
    bot = shop.bot(bot_id)
    assert (bot.state, bot.state_reason["code"]) == ("stopped", "stop_loss_reached")
    assert_money_agrees(shop, bot_id)


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [("97.5", "112"), ("102.5", "88"), ("100", "112")])
def test_a_paused_neutral_grid_closes_its_position_and_opens_none(
    shop: Shop, before: str, after: str
) -> None:
    as_contract(shop)
    bot_id = shop.run_bot(before, direction="neutral", leverage=Decimal(2))
    limit(shop, bot_id, max_open_orders=1)
    ticks(shop, 2)
    shop.play(after)
    ticks(shop, 2)
    assert shop.bot(bot_id).state == "paused"
    with transaction():
        assert db.session.get_one(BotMetrics, bot_id, populate_existing=True).base == 0
    limit(shop, bot_id)
    shop.play("100")
    with transaction():
        stopping.resume(shop.user_id, bot_id)
    ticks(shop)
    assert shop.bot(bot_id).state == "active"
    assert len(standing(bot_id)) >= 10


@pytest.mark.long
def test_a_grid_that_pauses_often_has_its_whole_ladder_each_time_it_goes_on(shop: Shop) -> None:
    bot_id = shop.run_bot()
    for _ in range(4):
        shop.set_bot(bot_id, state="paused")
        ticks(shop, 1)
        with transaction():
            stopping.resume(shop.user_id, bot_id)
        ticks(shop, 2)
        assert len(standing(bot_id)) == 10


@pytest.mark.long
def test_orders_fit_a_coarser_lot_of_the_exchange_and_the_log_says_so_once(shop: Shop) -> None:
    bot_id = shop.run_bot("97.5")
    before = len(standing(bot_id))
    change_rules(shop, lot=Decimal("0.1"), min_quantity=Decimal("0.1"))
    for price in ("93.5", "106.5", "93.5", 103):
        shop.play(price)
        ticks(shop)
    with transaction():
        orders = db.session.scalars(select(OrderRow).where(OrderRow.bot_id == bot_id)).all()
        assert {order.status for order in orders} <= {"OPEN", "FILLED"}
        lines = select(BotEvent).where(BotEvent.bot_id == bot_id, BotEvent.code == "orders_smaller")
        assert len(db.session.scalars(lines).all()) == 1
    assert len(standing(bot_id)) == before
    assert_money_agrees(shop, bot_id)
