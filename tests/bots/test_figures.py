"""The figures that are shown: their parts add up, and every page says the same."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import delete

from app.bots import stopping
from app.bots.figures import Range
from app.bots.inventory import inventory
from app.bots.models import Bot, BotEquity, BotMetrics
from app.bots.queries import (
    BotFilter,
    bot_card,
    dashboard,
    levels_of,
    list_bots,
    open_orders,
    stop_choices,
)
from app.bots.queries.cards import BotCard, svg_points
from app.bots.statistics import bots_by_state, profit_per_day
from app.bots.upkeep import sample_equity
from app.db import db, utc_now
from app.exchanges.models import ExchangeAccount
from app.trades.models import FillRow, TradeRow
from app.trades.queries import TradeFilter, trade_totals
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.shop import Shop

PATH = (97, 103, 95, 105, 99, 101)


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


def card(shop: Shop, bot_id: int) -> BotCard:
    db.session.rollback()
    return bot_card(shop.user_id, bot_id)


def test_before_the_first_start_there_are_no_figures(shop: Shop) -> None:
    assert card(shop, shop.add_bot()).figures is None


def test_the_parts_add_up_to_the_total_and_to_the_tables(shop: Shop) -> None:
    bot_id = shop.run_bot(*PATH)
    found = card(shop, bot_id).figures
    assert found is not None
    assert found.total == found.grid + found.price_change + found.funding
    trades = db.session.query(TradeRow).filter_by(status="closed").all()
    assert found.matched == len(trades) > 0
    assert found.grid == sum(trade.profit for trade in trades if trade.profit is not None)
    fills = db.session.query(FillRow).all()
    assert found.fills == len(fills)
    assert found.fees == sum(fill.fee_quote for fill in fills)
    bought = sum(fill.quantity - fill.fee for fill in fills if fill.side == "buy")
    sold = sum(fill.quantity for fill in fills if fill.side == "sell")
    assert found.coins == bought - sold
    assert found.value_now == found.cash + found.coins * found.price
    assert found.total == found.value_now - 1000


def test_list_page_dashboard_and_command_say_the_same(shop: Shop) -> None:
    bot_id = shop.run_bot(*PATH)
    shown = card(shop, bot_id).figures
    assert shown is not None
    listed = list_bots(shop.user_id, BotFilter())
    board = dashboard(shop.user_id, "paper", utc_now() - timedelta(hours=1))
    told = next(iter(inventory(bot_id)))
    assert listed.bots[0].figures is not None
    assert shown.total == listed.bots[0].figures.total == listed.totals[0].total
    assert shown.total == board.totals[0].total == board.totals[0].today == told.total
    assert (told.grid, told.price_change, told.fees) == (shown.grid, shown.price_change, shown.fees)
    assert told.orders_open > 0 and told.fills == shown.fills


def test_paper_and_live_and_currencies_are_never_summed(shop: Shop) -> None:
    first, second, third = (shop.add_bot(f"Grid {n}", investment=Decimal(100)) for n in range(3))
    for bot_id in (first, second, third):
        shop.start(bot_id)
    shop.tick()
    shop.set_bot(second, mode="live")
    shop.set_bot(third, currency="EUR")
    totals = list_bots(shop.user_id, BotFilter()).totals
    assert [(line.mode, line.currency, line.bots) for line in totals] == [
        ("live", "USDT", 1),
        ("paper", "EUR", 1),
        ("paper", "USDT", 1),
    ]
    board = dashboard(shop.user_id, "paper", utc_now())
    assert {line.currency for line in board.totals} == {"EUR", "USDT"}
    assert second not in {shown.id for shown in board.bots}
    assert board.modes == {"paper": 2, "testnet": 0, "live": 1}


@pytest.mark.long
def test_today_begins_where_the_last_day_ended(shop: Shop) -> None:
    bot_id = shop.run_bot(*PATH)
    with transaction():
        sample_equity()
    with transaction():
        db.session.query(BotEquity).update({"at": utc_now() - timedelta(hours=2)})
    before = card(shop, bot_id).figures
    shop.play(108)
    after = card(shop, bot_id).figures
    assert before is not None and after is not None
    board = dashboard(shop.user_id, "paper", utc_now() - timedelta(hours=1))
    assert board.totals[0].today == after.total - before.total != after.total


@pytest.mark.long
def test_today_counts_no_money_that_was_put_in_or_taken_out(shop: Shop) -> None:
    bot_id = shop.run_bot(*PATH)
    with transaction():
        row = db.session.get_one(BotMetrics, bot_id)
        row.quote -= 300
        row.withdrawn += 300
    with transaction():
        sample_equity()
    sample = db.session.query(BotEquity).one()
    found = card(shop, bot_id).figures
    assert found is not None
    assert sample.equity - sample.invested == found.total


def test_the_yearly_pace_waits_for_seven_days(shop: Shop) -> None:
    bot_id = shop.run_bot(*PATH)
    found = card(shop, bot_id).figures
    assert found is not None and found.yearly_pace is None
    shop.set_bot(bot_id, started_at=utc_now() - timedelta(days=8))
    with transaction():
        db.session.get_one(BotMetrics, bot_id).invested_at = utc_now() - timedelta(days=8)
    later = card(shop, bot_id).figures
    assert later is not None and later.yearly_pace is not None
    assert abs(later.yearly_pace - later.grid / 1000 / 8 * 365) < Decimal("0.000001")


@pytest.mark.long
def test_the_run_time_leaves_pauses_out(shop: Shop) -> None:
    bot_id = shop.run_bot()
    now = utc_now()
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
    shop.tick()
    shop.set_bot(bot_id, started_at=now - timedelta(hours=5), stopped_at=now - timedelta(hours=3))
    stopped = card(shop, bot_id).figures
    assert stopped is not None and stopped.run_time == timedelta(hours=2)
    shop.start(bot_id)
    shop.tick()
    shop.set_bot(bot_id, started_at=utc_now() - timedelta(hours=1))
    again = card(shop, bot_id).figures
    assert again is not None and again.run_time is not None
    assert timedelta(hours=3) <= again.run_time < timedelta(hours=3, minutes=1)
    assert shop.bot(bot_id).ran_before_s == 7200


@pytest.mark.long
def test_a_price_below_the_range_is_told_first(shop: Shop) -> None:
    bot_id = shop.run_bot(97, 93, 85)
    shown = card(shop, bot_id)
    assert shown.figures is not None
    assert shown.figures.range_side == "below"
    assert shown.figures.range_position == Decimal(0)
    assert shown.needs_attention
    board = dashboard(shop.user_id, "paper", utc_now())
    assert [alert.line.code for alert in board.alerts] == ["notice_below_range"]


@pytest.mark.long
def test_a_stop_choice_says_what_will_be_held(shop: Shop) -> None:
    bot_id = shop.run_bot(97, 95)
    shown = card(shop, bot_id)
    keep, sell, _ = stop_choices(shown)
    assert shown.figures is not None
    assert (keep.coins_after, keep.total_after) == (shown.figures.coins, shown.figures.total)
    assert sell.coins_after == 0
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.SELL)
    shop.tick()
    after = card(shop, bot_id).figures
    assert after is not None
    # What is smaller than a lot stays.
    assert abs(after.total - sell.total_after) < Decimal("0.01")


def test_a_silent_bot_and_an_old_price_are_stale(shop: Shop) -> None:
    bot_id = shop.run_bot()
    assert not card(shop, bot_id).stale
    shop.set_bot(bot_id, last_tick_at=utc_now() - timedelta(minutes=5))
    assert card(shop, bot_id).stale


@pytest.mark.long
def test_the_curve_and_the_small_curve_come_from_samples(shop: Shop) -> None:
    bot_id = shop.run_bot(*PATH)
    assert card(shop, bot_id).spark is None
    now = utc_now()
    with transaction():
        db.session.execute(delete(BotEquity))
        for hours, equity in ((30, 1000), (20, 990), (10, 1005), (0, 1010)):
            db.session.add(
                BotEquity(
                    bot_id=bot_id,
                    at=now - timedelta(hours=hours),
                    equity=Decimal(equity),
                    invested=Decimal(1000),
                    hold=Decimal(1000),
                )
            )
    spark = card(shop, bot_id).spark
    assert spark is not None and spark.trend == "profit"
    assert len(spark.points.split()) == 4
    board = dashboard(shop.user_id, "paper", now, period="7d")
    assert board.curve is not None
    # Profit, not value: the samples less what was put in, and at the end the total of now.
    assert board.curve.low == Decimal(-10)
    assert board.curve.high == max(Decimal(10), board.totals[0].total)
    assert dashboard(shop.user_id, "paper", now, period="nonsense").period == "7d"


def test_points_of_a_curve_fill_their_box() -> None:
    now = utc_now()
    curve = [(now, Decimal(1)), (now + timedelta(hours=1), Decimal(3))]
    assert svg_points(curve, 120, 32) == "0.0,31.0 120.0,1.0"
    flat = [(now, Decimal(1)), (now + timedelta(hours=1), Decimal(1))]
    assert svg_points(flat, 120, 32) == "0.0,16.0 120.0,16.0"


def test_a_position_in_a_range_is_a_share_of_it() -> None:
    bounds = Range(Decimal(90), Decimal(110))
    assert bounds.position(Decimal(95)) == Decimal("0.25")
    assert (bounds.side(Decimal(89)), bounds.side(Decimal(111))) == ("below", "above")
    assert Range(None, None).position(Decimal(1)) is None


def test_attention_comes_first_then_value(shop: Shop) -> None:
    rich = shop.add_bot("Rich", investment=Decimal(3000))
    poor = shop.add_bot("Poor", investment=Decimal(100))
    broken = shop.add_bot("Broken", investment=Decimal(100))
    for bot_id in (rich, poor):
        shop.start(bot_id)
    shop.tick()
    shop.set_bot(broken, state="error")
    names = [shown.name for shown in list_bots(shop.user_id, BotFilter()).bots]
    assert names == ["Broken", "Rich", "Poor"]
    assert db.session.query(Bot).count() == 3


@pytest.mark.long
def test_the_range_is_where_the_grid_has_followed_the_price_to(shop: Shop) -> None:
    bot_id = shop.run_bot(*range(101, 126), trailing_up=True)
    found = card(shop, bot_id)
    assert found.lower is not None and found.upper is not None
    assert found.lower > 100 and found.upper > 120
    levels = levels_of(bot_id)
    assert (levels[0].price, levels[-1].price) == (found.upper, found.lower)
    standing = [level for level in levels if level.side is not None]
    assert len(standing) == open_orders(bot_id)
    below = {level.side for level in standing if level.price < 125}
    assert below == {"buy"}


@pytest.mark.long
def test_money_of_a_test_site_is_neither_paper_nor_real(shop: Shop) -> None:
    mine, other = shop.run_bot(97, 101), shop.add_bot("Real")
    shop.set_bot(mine, mode="live")
    with transaction():
        db.session.get_one(ExchangeAccount, shop.account_id).testnet = True
    found = list_bots(shop.user_id, BotFilter())
    assert [line.mode for line in found.totals] == ["testnet"]
    assert found.counts_by_mode == {"paper": 0, "testnet": 2, "live": 0}
    assert list_bots(shop.user_id, BotFilter(mode="live")).bots == ()
    assert {card.id for card in list_bots(shop.user_id, BotFilter(mode="testnet")).bots} == {
        mine,
        other,
    }
    assert [line.mode for line in trade_totals(shop.user_id, TradeFilter())] == ["testnet"]
    assert trade_totals(shop.user_id, TradeFilter(mode="live")) == ()
    overview = dashboard(shop.user_id, "live", utc_now())
    assert (overview.totals, overview.bots, overview.modes["testnet"]) == ((), (), 2)
    assert dashboard(shop.user_id, "testnet", utc_now()).totals
    assert {line.mode for line in bots_by_state()} == {"testnet"}
    assert {line.mode for line in profit_per_day(7)} == {"testnet"}
