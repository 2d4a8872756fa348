"""The back-test card of the create page: figures of a direct back-test, or why there are none."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete

from app.accounts.models import User
from app.bots.grounds import find_grounds
from app.bots.models import Bot
from app.bots.queries import make_draft
from app.bots.queries.pastrun import (
    FEW_TRADES,
    MOST_GRIDS,
    NoPastRun,
    PastRun,
    last_days,
    past_run,
)
from app.bots.routes.pastrun import PAST_RUNS
from app.db import db, utc_now
from app.markets.models import CandleRow, MarketRow
from app.trading.backtest import run_backtest
from app.trading.market import Market
from app.transactions import transaction
from tests.bots.shop import GRID, Shop
from tests.bots.test_pages import HOSTILE, form_of
from tests.client import Client
from tests.factories import make_account, make_market, make_user
from tests.long import thinned

PATH = "/bots/new/past"
Login = Callable[[User], Client]


@pytest.fixture
def shop(database: None) -> Shop:
    shop = Shop.open()
    shop.add_history(12)
    return shop


@pytest.fixture
def client(shop: Shop, login_as: Login) -> Client:
    return login_as(shop.user)


def count(shop: Shop, preset: str = "own", **changes: Any) -> PastRun | NoPastRun:
    budget_s = changes.pop("budget_s", 60.0)
    draft = make_draft(shop.user_id, shop.account_id, shop.market_id)
    values = {**GRID, **changes}
    return past_run(shop.user_id, draft, "grid", values, preset, budget_s=budget_s)


def counted(shop: Shop, preset: str = "own", **changes: Any) -> PastRun:
    found = count(shop, preset, **changes)
    assert isinstance(found, PastRun), found
    return found


def market_of(shop: Shop) -> Market:
    return find_grounds(shop.account(), shop.market_id).market


def lose_candles(shop: Shop, *hours_ago: int) -> None:
    now = utc_now().replace(minute=0, second=0, microsecond=0)
    times = [now - timedelta(hours=hours) for hours in hours_ago]
    with transaction():
        db.session.execute(
            delete(CandleRow).where(
                CandleRow.market_id == shop.market_id, CandleRow.opened_at.in_(times)
            )
        )


# --- the figures ----------------------------------------------------------------------------------


def test_the_figures_are_those_of_a_direct_back_test(shop: Shop) -> None:
    found = counted(shop)
    candles = last_days(shop.market_id)
    inside = next(n for n, each in enumerate(candles) if 90 <= each.open <= 110)
    for figures, touch in ((found.figures, False), (found.best, True)):
        direct = run_backtest("grid", GRID, market_of(shop), candles[inside:], touch=touch)
        assert figures == direct.figures
    cautious = run_backtest("grid", GRID, market_of(shop), candles[inside:])
    assert found.drawdown == cautious.drawdown.largest
    assert found.days_outside == Decimal(cautious.candles_outside) / 24
    assert found.figures.matched_trades > FEW_TRADES
    assert found.figures.fees > 0
    assert found.candles == len(candles) - inside


def test_only_the_last_thirty_days_count(database: None) -> None:
    shop = Shop.open()
    shop.add_history(31)
    # Few grids in a range that holds every price are quickly counted.
    found = counted(shop, lower=Decimal(80), upper=Decimal(130), grids=Decimal(2))
    assert found.days == 30
    assert utc_now() - found.first_at <= timedelta(days=30)


def test_it_is_told_how_few_days_there_are(database: None) -> None:
    shop = Shop.open()
    shop.add_history(4)
    assert counted(shop).days == 4


@pytest.mark.long
def test_the_fees_are_those_of_the_account(shop: Shop) -> None:
    before = counted(shop).figures.fees
    with transaction():
        shop.account().maker_fee = Decimal("0.0001")
        shop.account().taker_fee = Decimal("0.0001")
    assert counted(shop).figures.fees < before / 5


@pytest.mark.long
def test_the_count_begins_when_the_price_is_in_the_range(shop: Shop) -> None:
    found = counted(shop, lower=Decimal(106), upper=Decimal(112), grids=Decimal(3))
    history = last_days(shop.market_id)
    assert history[0].open < 106
    inside = next(each for each in history if each.open >= 106)
    assert found.first_at.timestamp() * 1000 == inside.ts_ms
    assert "started_late" in found.warnings
    assert "started_late" not in counted(shop).warnings
    assert found.days_outside > 5


# --- warnings -------------------------------------------------------------------------------------


@pytest.mark.long
def test_few_trades_are_warned_of(shop: Shop) -> None:
    assert "few_trades" not in counted(shop).warnings
    few = counted(shop, lower=Decimal(50), upper=Decimal(200), grids=Decimal(3))
    assert few.figures.matched_trades < FEW_TRADES
    assert "few_trades" in few.warnings


@pytest.mark.long
def test_missing_candles_are_counted_and_warned_of(shop: Shop) -> None:
    assert counted(shop).missing == 0
    lose_candles(shop, 100, 101, 205)
    found = counted(shop)
    assert found.missing == 3
    assert "missing_candles" in found.warnings


@pytest.mark.long
def test_days_that_made_the_preset_are_warned_of(database: None) -> None:
    shop = Shop.open()
    shop.add_history(2)
    for preset in ("careful", "balanced", "active"):
        assert "same_days" in counted(shop, preset).warnings, preset
    assert "same_days" not in counted(shop, "own").warnings


def test_counts_that_differ_in_sign_are_warned_of(database: None) -> None:
    shop = Shop.open()
    with transaction():
        now = utc_now().replace(minute=0, second=0, microsecond=0)
        # Down to a line without going past it, and up to the next one: a trade only at best.
        closes = ["100", "98", "100", "98", "100", "98", "100", "98", "100", "99.99"]
        for age, close in enumerate(reversed(closes)):
            price = Decimal(close)
            db.session.add(
                CandleRow(
                    market_id=shop.market_id, timeframe="1h", opened_at=now - timedelta(hours=age),
                    open=price, high=price, low=price, close=price, volume=Decimal(1),
                )
            )  # fmt: skip
    found = counted(shop)
    assert found.best is not None
    assert found.figures.total < 0 < found.best.total
    assert "signs_differ" in found.warnings


def test_an_end_by_stop_loss_is_told(shop: Shop, client: Client) -> None:
    found = counted(shop, lower=Decimal(95), stop_loss=Decimal(92))
    assert found.finished == "stop_loss_reached"
    assert "ended_early" in found.warnings
    page = client.post_form(PATH, form_of(shop, lower="95", stop_loss="92")).text
    assert "The stop-loss would have ended the run early." in page


# --- refusals -------------------------------------------------------------------------------------


def test_fewer_than_two_candles_are_no_history(database: None) -> None:
    shop = Shop.open()
    assert count(shop) == NoPastRun("too_short")
    shop.add_history(1)
    lose_candles(shop, *range(1, 24))
    assert len(last_days(shop.market_id)) == 1
    assert count(shop) == NoPastRun("too_short")


def test_an_unknown_price_has_no_result(shop: Shop) -> None:
    with transaction():
        db.session.get_one(MarketRow, shop.market_id).last_price = None
    assert count(shop) == NoPastRun("no_price")


def test_a_range_that_was_never_reached_is_told(shop: Shop) -> None:
    assert count(shop, lower=Decimal(500), upper=Decimal(900)) == NoPastRun("never_inside")


def test_too_many_grids_are_not_counted(shop: Shop) -> None:
    assert count(shop, grids=Decimal(MOST_GRIDS + 1)) == NoPastRun("too_many_grids")


def test_time_that_is_up_ends_the_count(shop: Shop) -> None:
    assert count(shop, budget_s=0.0) == NoPastRun("too_much")


def test_a_wrong_setting_is_named_with_its_field(shop: Shop) -> None:
    found = count(shop, investment=Decimal(1))
    assert isinstance(found, NoPastRun) and found.entry is not None
    assert found.entry.field == "investment"


# --- the page -------------------------------------------------------------------------------------


def test_the_card_says_it_in_a_sentence_and_stores_nothing(shop: Shop, client: Client) -> None:
    answer = client.post_form(PATH, form_of(shop, preset="balanced"))
    text = answer.text.replace("\xa0", " ")
    assert answer.status_code == 200
    assert "<html" not in text
    assert "In the last 12 days these settings would have made" in text
    assert "at best" in text and "Buy and hold" in text
    assert "These days also made the preset" in text
    assert db.session.query(Bot).count() == 0


@pytest.mark.long
def test_without_scripts_the_page_comes_with_the_card_and_what_was_typed(
    shop: Shop, client: Client
) -> None:
    page = client.post_form("/bots/new", form_of(shop, past="1", name="Kept name"))
    assert page.status_code == 200
    assert "<html" in page.text and "Kept name" in page.text
    assert "these settings would have made" in page.text
    assert "these settings would have made" not in client.get("/bots/new").text


@pytest.mark.long
def test_new_settings_of_a_bot_can_be_counted_too(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    sent = {**form_of(shop), "bot_id": str(bot_id)}
    assert "these settings would have made" in client.post_form(PATH, sent).text
    page = client.post_form(f"/bots/{bot_id}/edit", {**sent, "past": "1"})
    assert "these settings would have made" in page.text


def test_foreign_accounts_pairs_and_bots_do_not_exist(shop: Shop, client: Client) -> None:
    with transaction():
        other = make_user()
        account = make_account(other, Decimal(10))
        market = make_market("BBB/USDT", "okx")
        account_id, market_id = account.id, market.id
    bot_id = shop.add_bot()
    with transaction():
        db.session.get_one(Bot, bot_id).user_id = other.id
    for changes in (
        {"account_id": str(account_id)},
        {"market_id": str(market_id)},
        {"account_id": "999999"},
        {"market_id": "9" * 30},
        {"bot_id": str(bot_id)},
    ):
        assert client.post_form(PATH, {**form_of(shop), **changes}).status_code == 404, changes


@thinned(15)
@pytest.mark.parametrize(
    "field", ["lower", "upper", "grids", "investment", "stop_loss", "reserve", "spacing", "preset",
              "strategy", "account_id", "market_id", "step", "bot_id"]
)  # fmt: skip
def test_hostile_values_never_break_the_card(
    database: None, login_as: Login, monkeypatch: pytest.MonkeyPatch, field: str, step: int
) -> None:
    """Each field gets every so-manieth value, not the same ones as the next."""
    shop = Shop.open()
    shop.add_history(1)
    client = login_as(shop.user)
    monkeypatch.setattr("app.bots.routes.pastrun.is_within", lambda *_: True)
    for value in HOSTILE[len(field) % step :: step]:
        answer = client.post_form(PATH, {**form_of(shop), "linked": "step", field: value})
        assert answer.status_code in {200, 404}, value


def test_counting_is_rationed(shop: Shop, client: Client) -> None:
    sent = form_of(shop, lower="")
    for _ in range(PAST_RUNS.count):
        assert "often in a short time" not in client.post_form(PATH, sent).text
    assert "often in a short time" in client.post_form(PATH, sent).text


def test_a_plan_rations_a_day_and_the_refusal_names_a_larger_one(
    shop: Shop, client: Client
) -> None:
    from app.subscriptions import service
    from app.subscriptions.rules import FREE_LIMITS, Allowance

    with transaction():
        service.seed_plans()
        little = {**FREE_LIMITS.allowed, Allowance.PAST_RUNS: 1}
        service.change_plan(None, "free", replace(FREE_LIMITS, allowed=little), visible=True)
    sent = form_of(shop, lower="")
    assert "Back-tests a day" not in client.post_form(PATH, sent).text
    refused = client.post_form(PATH, sent).text
    assert "Back-tests a day on your plan Free: 1." in refused and "Pro" in refused


@pytest.mark.long
def test_a_second_count_in_a_process_waits_for_the_first(
    shop: Shop, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.bots.routes import pastrun

    monkeypatch.setattr(pastrun, "WAIT_S", 0.01)
    with pastrun._turn:
        assert "counting for somebody else" in client.post_form(PATH, form_of(shop)).text
    assert "these settings would have made" in client.post_form(PATH, form_of(shop)).text
