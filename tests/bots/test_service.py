"""The verbs on bots: what they refuse, what they write, and that twice does nothing more."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts.models import AuditEntry, Role
from app.bots import live, running, service, starting, stopping
from app.bots.funds import Funds, read_funds
from app.bots.live import deciding
from app.bots.metrics import average_invested
from app.bots.models import Bot, BotConfig, BotEvent, BotMetrics
from app.bots.planning import prospect
from app.bots.wake import count_due
from app.db import db, utc_now
from app.errors import (
    Conflict,
    DomainError,
    Forbidden,
    InvalidInput,
    LimitReached,
    NotFound,
    Unavailable,
)
from app.events import publish
from app.exchanges.events import AccountClosing, AccountSwitchedOff
from app.exchanges.models import ExchangeAccount, PaperBalance
from app.i18n import describe
from app.markets.models import MarketRow
from app.subscriptions.rights import give_plan
from app.trades.models import OrderRow
from app.trading.strategy import InvalidParams, StopHow
from app.transactions import transaction
from tests.bots.shop import GRID, Shop
from tests.factories import make_account, make_market, make_user
from tests.long import few


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


def refused(call: Any, kind: type[DomainError]) -> DomainError:
    with pytest.raises(kind) as refusal, transaction():
        call()
    return refusal.value


# --- creating -------------------------------------------------------------------------------------


def test_a_new_bot_is_stopped_and_says_why(shop: Shop) -> None:
    bot = shop.bot(shop.add_bot())
    assert (bot.state, bot.state_reason["code"]) == ("stopped", "not_started_yet")
    assert (bot.mode, bot.currency, bot.symbols) == ("paper", "USDT", ["AAA/USDT"])
    assert bot.plan is not None and bot.plan["investment"] == "1000"


def test_every_bad_field_is_named_at_once(shop: Shop) -> None:
    error = refused(lambda: service.create_bot(
        shop.user_id, shop.account_id, shop.market_id, "grid",
        {**GRID, "grids": Decimal("2.5"), "lower": None}, "x"), InvalidParams)  # fmt: skip
    assert isinstance(error, InvalidParams)
    assert {found.field for found in error.problems} == {"grids", "lower"}


def test_what_cannot_run_yet_is_refused(shop: Shop) -> None:
    error = refused(lambda: shop_create(shop, direction="short"), InvalidParams)
    assert error.code == "spot_is_long_only"


def shop_create(shop: Shop, **changes: Any) -> int:
    return service.create_bot(
        shop.user_id, shop.account_id, shop.market_id, "grid", {**GRID, **changes}, "Grid"
    )


def test_accounts_and_pairs_of_others_do_not_exist(shop: Shop) -> None:
    with transaction():
        strange = make_account(make_user()).id
        elsewhere = make_market("AAA/USDT", "binance").id
    refused(
        lambda: service.create_bot(shop.user_id, strange, shop.market_id, "grid", GRID, "x"),
        NotFound,
    )
    refused(
        lambda: service.create_bot(shop.user_id, shop.account_id, elsewhere, "grid", GRID, "x"),
        NotFound,
    )


def test_an_unknown_strategy_is_refused(shop: Shop) -> None:
    refused(
        lambda: service.create_bot(
            shop.user_id, shop.account_id, shop.market_id, "magic", GRID, "x"
        ),
        InvalidInput,
    )


def test_a_switched_off_account_takes_no_bot(shop: Shop) -> None:
    with transaction():
        shop.account().active = False
    assert refused(lambda: shop_create(shop), Conflict).code == "account_switched_off"


def test_without_any_price_there_is_no_bot(shop: Shop) -> None:
    with transaction():
        db.session.get_one(MarketRow, shop.market_id).last_price = None
    assert refused(lambda: shop_create(shop), Conflict).code == "no_price_yet"


def test_nobody_fills_the_table_with_bots(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_BOTS", 2)
    shop.add_bot()
    shop.add_bot()
    assert refused(lambda: shop_create(shop), Conflict).code == "too_many_bots"


# --- editing --------------------------------------------------------------------------------------


def edit(shop: Shop, bot_id: int, name: str = "My grid", **changes: Any) -> None:
    with transaction():
        service.edit_bot(shop.user_id, bot_id, "grid", {**GRID, **changes}, name)


def test_new_settings_are_added_and_the_old_stay(shop: Shop) -> None:
    bot_id = shop.add_bot()
    edit(shop, bot_id, grids=Decimal(12))
    versions = list(db.session.scalars(select(BotConfig).order_by(BotConfig.version)))
    assert [version.params["grids"] for version in versions] == [10, 12]
    assert shop.bot(bot_id).config_version == 2


def test_the_same_settings_make_no_version(shop: Shop) -> None:
    bot_id = shop.add_bot()
    edit(shop, bot_id)
    edit(shop, bot_id, name="Other name")
    assert shop.bot(bot_id).config_version == 1
    assert shop.bot(bot_id).name == "Other name"


def test_only_a_bot_that_stands_still_is_edited(shop: Shop) -> None:
    bot_id = shop.add_bot()
    for state in ("starting", "active", "paused", "stopping", "locked"):
        shop.set_bot(bot_id, state=state)
        with pytest.raises(Conflict) as refusal:
            edit(shop, bot_id, grids=Decimal(12))
        assert refusal.value.code == "cannot_edit", state
    assert shop.bot(bot_id).config_version == 1


# --- starting -------------------------------------------------------------------------------------


def test_a_start_puts_the_money_in_and_has_it_ticked(shop: Shop) -> None:
    bot_id = shop.add_bot()
    shop.start(bot_id)
    bot, metrics = shop.bot(bot_id), db.session.get_one(BotMetrics, bot_id)
    assert (bot.state, bot.epoch, bot.stop_request) == ("starting", 1, None)
    assert metrics.deposited == metrics.quote == metrics.peak_equity == Decimal(1000)
    assert bot.next_tick_at is not None
    assert count_due() == 1


def test_a_second_start_changes_nothing(shop: Shop) -> None:
    bot_id = shop.add_bot()
    shop.start(bot_id)
    with transaction():
        starting.request_start(shop.user_id, bot_id, None)
    metrics = db.session.get_one(BotMetrics, bot_id)
    assert (shop.bot(bot_id).epoch, metrics.deposited) == (1, Decimal(1000))


def test_nobody_else_starts_it(shop: Shop) -> None:
    bot_id = shop.add_bot()
    with transaction():
        other = make_user().id
    refused(lambda: starting.request_start(other, bot_id, None), NotFound)


def test_money_that_running_bots_hold_is_not_free(shop: Shop) -> None:
    first = shop.add_bot(investment=Decimal(6000))
    second = shop.add_bot(investment=Decimal(4001))
    shop.start(first)
    with pytest.raises(Conflict) as refusal:
        shop.start(second)
    assert refusal.value.code == "not_enough_money"
    assert refusal.value.values["free"] == Decimal(4000)
    assert shop.bot(second).state == "stopped"


def test_what_a_bot_has_bought_is_not_counted_twice(shop: Shop) -> None:
    first = shop.run_bot(investment=Decimal(6000))
    metrics = db.session.get_one(BotMetrics, first)
    assert metrics.base > 0
    with pytest.raises(Conflict) as refusal:
        shop.start(shop.add_bot(investment=Decimal(5000)))
    assert refusal.value.values["free"] == Decimal(4000)


def test_money_and_coins_in_orders_that_a_stopped_bot_has_left_are_not_free(shop: Shop) -> None:
    bot_id = shop.run_bot()
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.LEAVE_ORDERS, by_operator=True)
    shop.tick()
    assert shop.bot(bot_id).state == "stopped"
    with transaction():
        rows = db.session.scalars(select(PaperBalance).filter_by(account_id=shop.account_id))
        unlocked = {row.currency: row.free for row in rows}
    funds = free_money(shop)
    assert {name: funds.free(name) for name in ("USDT", "AAA")} == unlocked


def test_two_starts_at_once_do_not_share_the_same_money(shop: Shop, app: Flask) -> None:
    bots = [shop.add_bot(f"Grid {n}", investment=Decimal(6000)) for n in range(2)]
    db.session.remove()

    def start(bot_id: int) -> str:
        with app.app_context():
            try:
                shop.start(bot_id)
            except Conflict as error:
                return error.code
            finally:
                db.session.remove()
            return "started"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(start, bots))
    assert outcomes == ["not_enough_money", "started"]


def test_the_plan_limits_running_bots(shop: Shop) -> None:
    for number in range(3):
        shop.start(shop.add_bot(f"Grid {number}", investment=Decimal(100)))
    with pytest.raises(LimitReached) as refusal:
        shop.start(shop.add_bot("Fourth", investment=Decimal(100)))
    assert (refusal.value.code, refusal.value.values["better_plan"]) == ("plan_limit", "Pro")


def test_a_free_plan_runs_no_live_bot(shop: Shop) -> None:
    bot_id = shop.add_bot()
    with transaction():
        account = shop.account()
        account.mode, account.exchange = "live", "bybit"
    shop.set_bot(bot_id, mode="live")
    with pytest.raises(LimitReached) as refusal:
        shop.start(bot_id)
    assert refusal.value.code == "live_needs_plan"


def test_a_real_account_whose_money_nobody_knows_starts_nothing(shop: Shop) -> None:
    bot_id = shop.add_bot()
    with transaction():
        account = shop.account()
        account.mode, account.exchange = "live", "bybit"
        give_plan(None, shop.user_id, "pro", None, "for this test")
    shop.set_bot(bot_id, mode="live")
    with pytest.raises(Unavailable):
        shop.start(bot_id)
    with transaction():
        seen = prospect(db.session.get_one(Bot, bot_id)).seen
        starting.request_start(shop.user_id, bot_id, seen, {"USDT": Decimal(5000)})
    assert shop.bot(bot_id).state == "starting"


def test_real_money_is_not_traded_by_an_old_price(shop: Shop) -> None:
    def edit(**changes: Decimal) -> None:
        with transaction():
            seen = running.edit_preview(shop.user_id, bot_id, changes).seen
            running.edit_running(shop.user_id, bot_id, changes, seen, {"USDT": Decimal(5000)})

    bot_id, waiting = shop.run_bot(), shop.add_bot("Waiting")
    with transaction():
        account = shop.account()
        account.mode, account.exchange = "live", "bybit"
        give_plan(None, shop.user_id, "pro", None, "for this test")
        market = db.session.get_one(MarketRow, shop.market_id, populate_existing=True)
        market.last_price_at = utc_now() - timedelta(minutes=5)
    shop.set_bot(waiting, mode="live")
    with transaction():
        seen = prospect(db.session.get_one(Bot, waiting)).seen
    with pytest.raises(Conflict) as refusal, transaction():
        starting.request_start(shop.user_id, waiting, seen, {"USDT": Decimal(5000)})
    assert refusal.value.code == "price_is_stale"
    assert "AAA/USDT" in str(describe(refusal.value))
    with pytest.raises(Conflict, match="price_is_stale"):
        edit(grids=Decimal(7))
    # Exits trade nothing now, so they may be set.
    edit(stop_loss=Decimal(80))
    assert shop.bot(bot_id).config_version == 2


def test_a_start_after_a_stop_keeps_coins_and_cash(shop: Shop) -> None:
    bot_id = shop.run_bot(97, 101)
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
    shop.tick()
    before = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    held = (before.base, before.quote, before.deposited)
    shop.start(bot_id)
    after = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert (after.base, after.quote, after.deposited) == held
    assert shop.bot(bot_id).epoch == 2
    shop.tick()
    assert shop.bot(bot_id).state == "active"


def test_more_capital_is_put_in_and_less_is_taken_out_at_the_next_start(shop: Shop) -> None:
    bot_id = shop.run_bot()
    for capital, deposited, withdrawn in ((1500, 1500, 0), (1200, 1500, 300)):
        with transaction():
            stopping.request_stop(shop.user_id, bot_id, StopHow.SELL)
        shop.tick()
        edit(shop, bot_id, investment=Decimal(capital))
        before = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
        quote, hold = before.quote, before.hold_base
        shop.start(bot_id)
        after = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
        assert (after.deposited, after.withdrawn) == (Decimal(deposited), Decimal(withdrawn))
        assert (after.quote > quote) is (withdrawn == 0)
        assert (after.hold_base > hold) is (withdrawn == 0)
        shop.tick()


def test_the_average_invested_weighs_money_by_time(shop: Shop) -> None:
    from datetime import timedelta

    from app.bots.metrics import flow_money
    from app.db import utc_now
    from app.markets.queries import to_market

    bot_id = shop.add_bot()
    market = to_market(db.session.get_one(MarketRow, shop.market_id))
    row, now = db.session.get_one(BotMetrics, bot_id), utc_now()
    flow_money(row, Decimal(1000), Decimal(100), market, now)
    flow_money(row, Decimal(500), Decimal(100), market, now + timedelta(hours=1))
    assert average_invested(row, now + timedelta(hours=2)) == Decimal(1250)
    assert average_invested(row, now + timedelta(hours=1)) == Decimal(1000)
    db.session.rollback()


# --- stopping -------------------------------------------------------------------------------------


def test_a_stop_may_change_its_mind_until_it_is_done(shop: Shop) -> None:
    bot_id = shop.run_bot()
    for how in (StopHow.KEEP, StopHow.SELL):
        with transaction():
            stopping.request_stop(shop.user_id, bot_id, how)
    bot = shop.bot(bot_id)
    assert (bot.state, bot.stop_request) == ("stopping", "sell")
    shop.tick()
    assert db.session.get_one(BotMetrics, bot_id, populate_existing=True).base < Decimal("0.001")


def test_an_emergency_outranks_every_stop(shop: Shop) -> None:
    bot_id = shop.run_bot()
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
        stopping.emergency_stop(shop.user_id, bot_id)
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
        stopping.emergency_stop(shop.user_id, bot_id)
    assert shop.bot(bot_id).stop_request == "emergency"
    shop.tick()
    bot = shop.bot(bot_id)
    assert (bot.state, bot.state_reason["code"]) == ("locked", "emergency_stop")
    assert db.session.query(OrderRow).filter_by(status="OPEN").count() == 0
    told = list(db.session.scalars(select(BotEvent.code)))
    assert told.count("emergency_requested") == 1


def test_a_stopped_bot_is_locked_at_once_and_needs_its_owner(shop: Shop) -> None:
    bot_id = shop.add_bot()
    with transaction():
        stopping.emergency_stop(shop.user_id, bot_id)
    assert shop.bot(bot_id).state == "locked"
    with pytest.raises(Conflict):
        shop.start(bot_id)
    with transaction():
        stopping.unlock(shop.user_id, bot_id)
        stopping.unlock(shop.user_id, bot_id)
    assert shop.bot(bot_id).state == "stopped"


def test_a_beginner_cannot_leave_orders_and_an_operator_can(shop: Shop) -> None:
    bot_id = shop.run_bot()
    error = refused(
        lambda: stopping.request_stop(shop.user_id, bot_id, StopHow.LEAVE_ORDERS), Forbidden
    )
    assert (error.code, error.field) == ("leave_orders_for_experts", "how")
    assert shop.bot(bot_id).state == "active"
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.LEAVE_ORDERS, by_operator=True)
    assert shop.bot(bot_id).stop_request == "leave_orders"


@pytest.mark.long
def test_an_emergency_takes_back_orders_that_were_left_on_the_exchange(shop: Shop) -> None:
    bot_id = shop.run_bot()
    with transaction():
        shop.user.profile.experience = "expert"
        stopping.request_stop(shop.user_id, bot_id, StopHow.LEAVE_ORDERS)
    shop.tick()
    assert db.session.query(OrderRow).filter_by(status="OPEN").count() > 0
    # Beyond the range no start is possible.
    shop.play(85)
    with transaction():
        stopping.emergency_stop(shop.user_id, bot_id)
    for _ in range(3):
        shop.tick()
    assert shop.bot(bot_id).state == "locked"
    assert db.session.query(OrderRow).filter_by(status="OPEN").count() == 0
    assert db.session.get_one(BotMetrics, bot_id, populate_existing=True).base < Decimal("0.001")


def test_staff_stops_all_bots_of_a_person_or_of_an_exchange_at_once(shop: Shop) -> None:
    running, other = shop.run_bot(), shop.add_bot()
    with transaction():
        staff = make_user(Role.MANAGER).id
        count = stopping.emergency_stop_all(staff, " They  asked us ", user_id=shop.user_id)
        assert count == 1
        assert stopping.emergency_stop_all(staff, "Once more", user_id=shop.user_id) == 0
        assert stopping.emergency_stop_all(staff, "Another", exchange="bybit") == 0
    for _ in range(3):
        shop.tick()
    assert (shop.bot(running).state, shop.bot(other).state) == ("locked", "stopped")
    lines = {e.code: e for e in db.session.query(BotEvent).filter_by(bot_id=running)}
    assert lines["emergency_by_staff"].values == {"reason": "They asked us"}
    assert lines["emergency_by_staff"].actor_id == staff
    entry = db.session.scalars(
        select(AuditEntry).where(AuditEntry.action == "bots.emergency").order_by(AuditEntry.id)
    ).first()
    assert entry is not None
    assert (entry.object_type, entry.object_id) == ("user", str(shop.user_id))
    assert (entry.after, entry.reason) == ({"bots": [running]}, "They asked us")


@pytest.mark.long
def test_an_exchange_is_closed_as_a_whole(shop: Shop) -> None:
    running = shop.run_bot()
    with transaction():
        staff = make_user(Role.MANAGER).id
        assert stopping.emergency_stop_all(staff, "The exchange is broken", exchange="paper") == 1
    for _ in range(3):
        shop.tick()
    assert shop.bot(running).state == "locked"


@pytest.mark.parametrize(
    ("whom", "reason", "code"),
    [
        ({}, "Why", "choose_whom_to_stop"),
        ({"user_id": 1, "exchange": "paper"}, "Why", "choose_whom_to_stop"),
        ({"user_id": 1}, "  ", "bad_stop_reason"),
    ],
)
def test_an_emergency_for_all_names_whom_and_why(
    shop: Shop, whom: dict[str, Any], reason: str, code: str
) -> None:
    error = refused(lambda: stopping.emergency_stop_all(shop.user_id, reason, **whom), InvalidInput)
    assert error.code == code


@pytest.mark.long
def test_free_money_is_right_between_a_fill_at_the_venue_and_its_booking(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.run_bot()
    before = free_money(shop)
    shop.play("97.5", "95.5")
    seen: list[Funds] = []
    real = deciding.decide

    def look_first(*args: Any) -> Any:
        seen.append(free_money(shop))
        return real(*args)

    monkeypatch.setattr(live, "decide", look_first)
    shop.tick()
    assert len(seen) >= 2
    # 1,000 of the bot are neither more nor less its own while a fill waits to be booked.
    for funds in (*seen, free_money(shop)):
        assert {name: funds.free(name) for name in ("USDT", "AAA")} == {
            name: before.free(name) for name in ("USDT", "AAA")
        }
    assert len({funds.totals["USDT"] for funds in seen}) > 1


def free_money(shop: Shop) -> Funds:
    with transaction():
        return read_funds(db.session.get_one(ExchangeAccount, shop.account_id))


@pytest.mark.long
def test_a_bot_that_lost_money_starts_again_with_what_is_left(shop: Shop) -> None:
    bot_id = shop.run_bot(97, 93, 91)
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.SELL)
    shop.tick()
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    left, dust = metrics.quote, metrics.base
    assert left < 1000
    ahead = prospect(shop.bot(bot_id))
    assert ahead.settings.plan.investment == left + dust * 91  # type: ignore[attr-defined]
    assert ahead.needed.quote == left
    shop.start(bot_id)
    shop.tick()
    assert shop.bot(bot_id).state == "active"


def by_quantity(shop: Shop) -> int:
    return shop.add_bot(investment=None, quantity=Decimal("0.5"))


@pytest.mark.long
def test_a_grid_with_a_size_of_orders_starts_above_the_price_of_its_creation(shop: Shop) -> None:
    bot_id = by_quantity(shop)
    planned = shop.bot(bot_id).capital
    shop.play("104.7")
    ahead = prospect(shop.bot(bot_id))
    assert not ahead.settings.plan.errors
    assert ahead.put_in == ahead.settings.capital > planned
    shop.start(bot_id)
    assert shop.bot(bot_id).capital == ahead.settings.capital
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert metrics.deposited == ahead.settings.capital
    shop.tick()
    shop.tick()
    assert shop.bot(bot_id).state == "active"
    sizes = set(db.session.scalars(select(OrderRow.quantity).where(OrderRow.bot_id == bot_id)))
    assert Decimal("0.5") in sizes


@pytest.mark.long
def test_a_grid_with_a_size_of_orders_starts_again_after_a_loss_with_what_it_lacks(
    shop: Shop,
) -> None:
    bot_id = by_quantity(shop)
    shop.start(bot_id)
    for price in (100, 97, 93, 91):
        shop.play(price)
        shop.tick()
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.SELL)
    shop.tick()
    shop.play(109)
    left = db.session.get_one(BotMetrics, bot_id, populate_existing=True).quote
    ahead = prospect(shop.bot(bot_id))
    assert ahead.needed.quote == ahead.settings.capital > left
    shop.start(bot_id)
    shop.tick()
    shop.tick()
    assert shop.bot(bot_id).state == "active"
    codes = select(BotEvent.code).where(BotEvent.bot_id == bot_id)
    assert not [code for code in db.session.scalars(codes) if code.startswith("denied")]


@pytest.mark.long
def test_coins_kept_by_a_grid_with_a_size_of_orders_pay_for_no_buys(shop: Shop) -> None:
    bot_id = by_quantity(shop)
    shop.start(bot_id)
    for price in (100, 97, 93, 91):
        shop.play(price)
        shop.tick()
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
    shop.tick()
    shop.play(109)
    shop.start(bot_id)
    for _ in range(3):
        shop.tick()
    assert shop.bot(bot_id).state == "active"
    codes = select(BotEvent.code).where(BotEvent.bot_id == bot_id)
    assert not [code for code in db.session.scalars(codes) if code.startswith("denied")]


def test_staff_stops_with_a_reason_that_is_audited_and_told(shop: Shop) -> None:
    bot_id = shop.run_bot()
    with transaction():
        actor = make_user().id
    refused(lambda: stopping.staff_stop(actor, bot_id, "  "), InvalidInput)
    with transaction():
        stopping.staff_stop(actor, bot_id, "the pair is being delisted")
    shop.tick()
    bot = shop.bot(bot_id)
    assert bot.state == "stopped"
    assert bot.state_reason["values"]["reason"] == "the pair is being delisted"
    entry = db.session.query(AuditEntry).filter_by(action="bot.stop").one()
    assert (entry.actor_id, entry.reason) == (actor, "the pair is being delisted")


def test_a_key_switched_off_stops_its_bots_with_the_reason(shop: Shop) -> None:
    bot_id = shop.run_bot()
    with transaction():
        publish(AccountSwitchedOff(shop.account_id))
    shop.tick()
    bot = shop.bot(bot_id)
    assert (bot.state, bot.state_reason["code"]) == ("stopped", "key_off")


def test_an_account_is_kept_while_a_bot_runs_on_it(shop: Shop) -> None:
    shop.run_bot()
    assert refused(lambda: publish(AccountClosing(shop.account_id)), Conflict).code == (
        "bot_runs_on_account"
    )


# --- deleting -------------------------------------------------------------------------------------


def test_a_bot_with_orders_on_the_exchange_is_not_deleted(shop: Shop) -> None:
    bot_id = shop.run_bot()
    with transaction():
        shop.user.profile.experience = "expert"
        stopping.request_stop(shop.user_id, bot_id, StopHow.LEAVE_ORDERS)
    shop.tick()
    assert shop.bot(bot_id).state == "stopped"
    error = refused(lambda: service.delete_bot(shop.user_id, bot_id), Conflict)
    assert error.code == "orders_still_open"


@pytest.mark.parametrize("how", few([StopHow.KEEP, StopHow.SELL], 2))
def test_orders_that_were_left_are_taken_back_by_another_stop(shop: Shop, how: StopHow) -> None:
    bot_id = shop.run_bot()
    with transaction():
        shop.user.profile.experience = "expert"
        stopping.request_stop(shop.user_id, bot_id, StopHow.LEAVE_ORDERS)
    shop.tick()
    # Beyond the range no start can take them back.
    shop.play(85)
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.LEAVE_ORDERS)
    assert shop.bot(bot_id).state == "stopped"
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, how)
    for _ in range(3):
        shop.tick()
    assert shop.bot(bot_id).state == "stopped"
    assert db.session.query(OrderRow).filter_by(status="OPEN").count() == 0
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert (metrics.base < Decimal("0.001")) is (how is StopHow.SELL)
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, how)
    assert shop.bot(bot_id).state == "stopped"
    with transaction():
        service.delete_bot(shop.user_id, bot_id)


@pytest.mark.parametrize("how", few(["keep", "sell", "emergency"], 3))
def test_other_settings_and_a_price_beyond_them_keep_no_stop_from_ending_as_asked(
    shop: Shop, how: str
) -> None:
    bot_id = shop.run_bot()
    with transaction():
        shop.user.profile.experience = "expert"
        stopping.request_stop(shop.user_id, bot_id, StopHow.LEAVE_ORDERS)
    shop.tick()
    with transaction():
        service.change_bot(shop.user_id, bot_id, {"grids": 8})
    assert shop.bot(bot_id).strategy_state is None
    # No start could be planned here.
    shop.play(85)
    with transaction():
        if how == "emergency":
            stopping.emergency_stop(shop.user_id, bot_id)
        else:
            stopping.request_stop(shop.user_id, bot_id, StopHow(how))
    for _ in range(4):
        shop.tick()
    assert shop.bot(bot_id).state == ("locked" if how == "emergency" else "stopped")
    assert db.session.query(OrderRow).filter_by(status="OPEN").count() == 0
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert (metrics.base > Decimal("0.001")) is (how == "keep")


def test_a_deleted_bot_is_gone_for_every_verb(shop: Shop) -> None:
    bot_id = shop.add_bot()
    with transaction():
        service.delete_bot(shop.user_id, bot_id)
    for verb in (service.delete_bot, stopping.unlock, stopping.emergency_stop):
        refused(lambda verb=verb: verb(shop.user_id, bot_id), NotFound)


def test_paper_books_and_our_books_agree_after_a_life(shop: Shop) -> None:
    bot_id = shop.run_bot(97, 103, 95, 105, 99)
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.SELL)
    shop.tick()
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    balances = {
        row.currency: row.free + row.locked
        for row in db.session.scalars(
            select(PaperBalance).where(PaperBalance.account_id == shop.account_id)
        )
    }
    assert balances["USDT"] - Decimal(10_000) == metrics.quote - metrics.deposited
    assert balances.get("AAA", Decimal(0)) == metrics.base
    assert db.session.get_one(ExchangeAccount, shop.account_id).mode == "paper"


def test_a_target_inside_the_fee_of_the_first_purchase_is_warned_of(shop: Shop) -> None:
    def warned(**params: Any) -> list[tuple[str, str]]:
        plan = prospect(shop.bot(shop.add_bot(**params))).settings.plan
        return [(w.field, w.code) for w in plan.warnings if w.code == "share_inside_fees"]

    near, far = Decimal("0.0003"), Decimal("0.01")
    assert warned(stop_loss_share=near) == [("stop_loss_share", "share_inside_fees")]
    assert warned(take_profit_share=near) == [("take_profit_share", "share_inside_fees")]
    assert warned(stop_loss_share=far, take_profit_share=far) == []
