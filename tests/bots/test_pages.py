"""The pages of bots as a customer sees them, over a real database and real ticks."""

import json
import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from app.accounts.models import User
from app.bots import stopping
from app.bots.models import Bot, BotConfig, BotMetrics
from app.bots.queries.lists import SORT_KEYS
from app.db import db
from app.exchanges.models import Exchange, ExchangeAccount
from app.markets.models import MarketRow
from app.trades.models import FillRow, OrderRow, TradeRow
from app.trading.strategies import STRATEGIES
from app.trading.strategies.grid import GridStrategy
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.shop import Shop
from tests.client import Client
from tests.factories import make_account, make_market, make_user
from tests.long import few, thinned

Login = Callable[[User], Client]
FORM = {
    "strategy": "grid",
    "name": "First grid",
    "lower": "90",
    "upper": "110",
    "grids": "10",
    "spacing": "arithmetic",
    "sizing": "equal_base",
    "investment": "1000",
    "reserve": "5",
    "at_exit": "keep",
    "preset": "own",
    "linked": "grids",
}
VERBS = ("start", "stop", "emergency", "unlock", "delete", "edit")
HOSTILE = [
    "", " ", "abc", "-5", "1e400", "NaN", "Infinity", "\x00", "😀" * 50, "9" * 500, "9" * 20,
    "1,2,3", "0.000000000000000001", "' or 1=1",
]  # fmt: skip


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


@pytest.fixture
def client(shop: Shop, login_as: Login) -> Client:
    return login_as(shop.user)


def form_of(shop: Shop, **changes: str) -> dict[str, str]:
    return {**FORM, "account_id": str(shop.account_id), "market_id": str(shop.market_id), **changes}


def hidden(html: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', html)
    assert found, f"no {name} in the page"
    return found[1]


# --- creating -------------------------------------------------------------------------------------


@thinned(3)
def test_limits_are_set_with_the_bot_and_refused_beside_their_field(
    shop: Shop, client: Client, step: int
) -> None:
    page = client.get("/bots/new").text
    assert 'name="max_daily_loss"' in page
    limits = {"max_capital": "1500", "max_daily_loss": "50,5", "max_open_orders": "30"}
    assert client.post_form("/bots/new", form_of(shop, **limits)).status_code == 303
    bot = db.session.query(Bot).one()
    assert bot.guard == {"max_capital": "1500", "max_daily_loss": "50.5", "max_open_orders": 30}
    # A copy begins with the limits of its original.
    assert 'value="50.5"' in client.get(f"/bots/new?from={bot.id}").text
    for field, values in {
        # Fewer than the bot needs from its start, or nothing that a limit can be.
        "max_capital": ("999", "-1", "abc", "NaN", "0", "1e30", "9" * 60),
        "max_daily_loss": ("-1", "abc", "NaN", "0"),
        "max_open_orders": ("9", "-1", "1.5", "abc", "10001"),
        "max_leverage": ("0.5", "201", "abc"),
    }.items():
        for value in values[::step]:
            answer = client.post_form("/bots/new", form_of(shop, **{field: value}))
            assert answer.status_code == 422, (field, value)
            if field != "max_leverage":
                assert re.findall(r'id="(\w+)-error"', answer.text) == [field], (field, value)
    both = client.post_form("/bots/new", form_of(shop, max_capital="abc", lower="abc"))
    assert set(re.findall(r'id="(\w+)-error"', both.text)) == {"max_capital", "lower"}
    both = client.post_form("/bots/new", form_of(shop, max_capital="-1", grids="1"))
    assert set(re.findall(r'id="(\w+)-error"', both.text)) == {"max_capital", "grids"}
    assert db.session.query(Bot).count() == 1


@pytest.mark.long
def test_experts_may_give_the_size_of_each_order(shop: Shop, client: Client) -> None:
    assert 'name="quantity"' not in client.get("/bots/new").text
    with transaction():
        db.session.get_one(User, shop.user_id).profile.experience = "expert"
    page = client.get("/bots/new").text
    assert 'name="quantity"' in page
    sized = form_of(shop, quantity="0.5")
    assert client.post_form("/bots/new", sized).status_code == 303
    bot = db.session.query(Bot).one()
    assert bot.plan is not None and bot.plan["quantity"] == "0.5"
    # The size alone says how much money it takes.
    assert client.post_form("/bots/new", form_of(shop, quantity="0.5", investment="")).location
    alone = db.session.query(Bot).order_by(Bot.id.desc()).first()
    assert alone is not None and 400 < alone.capital < 600
    for changes, field in (
        ({"quantity": "5"}, "investment"),
        ({"quantity": "-5"}, "quantity"),
        ({"quantity": "NaN"}, "quantity"),
        ({"quantity": "0.5", "sizing": "equal_quote"}, "quantity"),
        ({"quantity": "0.00001"}, "quantity"),
    ):
        answer = client.post_form("/bots/new", form_of(shop, **changes))
        assert answer.status_code == 422, changes
        assert re.findall(r'id="(\w+)-error"', answer.text) == [field], changes


def test_a_finished_form_makes_a_stopped_bot_and_asks_for_confirmation(
    shop: Shop, client: Client
) -> None:
    answer = client.post_form("/bots/new", form_of(shop))
    bot = db.session.query(Bot).one()
    assert answer.status_code == 303
    assert answer.location == f"/bots/{bot.id}/start"
    assert (bot.state, bot.name, bot.capital) == ("stopped", "First grid", Decimal(1000))
    page = client.get("/bots")
    assert "First grid" in page.text
    assert "Stopped" in page.text


def test_every_value_is_kept_exactly_as_it_was_typed(shop: Shop, client: Client) -> None:
    client.post_form(
        "/bots/new",
        form_of(shop, lower="90.12", upper="110.345678", investment="1234.567", stop_loss="80.01"),
    )
    params = db.session.query(BotConfig).one().params
    assert (params["lower"], params["upper"]) == ("90.12", "110.345678")
    assert (params["investment"], params["stop_loss"]) == ("1234.567", "80.01")
    assert params["take_profit"] is None


@thinned(12)
@pytest.mark.parametrize(
    "field", ["lower", "upper", "grids", "investment", "stop_loss", "reserve", "spacing"]
)
def test_hostile_values_are_refused_beside_their_field_or_taken_as_empty(
    shop: Shop, client: Client, field: str, step: int
) -> None:
    """Each field gets every so-manieth value, not the same ones as the next."""
    for value in HOSTILE[len(field) % step :: step]:
        answer = client.post_form("/bots/new", form_of(shop, **{field: value}))
        assert answer.status_code in {303, 422}, value
        if answer.status_code == 422:
            assert 'role="alert"' in answer.text, value
        preview = client.post_form("/bots/new/preview", form_of(shop, **{field: value}))
        assert preview.status_code == 200, value


@thinned(18)
@pytest.mark.parametrize(
    ("turn", "field"),
    [*enumerate(("account_id", "market_id", "strategy", "preset", "name", "step"))],
)
def test_hostile_choices_never_break_the_page(
    shop: Shop, client: Client, turn: int, field: str, step: int
) -> None:
    """Each field gets every value on every page, or every so-manieth of these in turn."""
    pages = ("/bots/new", "/bots/new/preview", "/bots/new/form")
    tried = [(value, path) for value in HOSTILE for path in pages]
    for value, path in tried[turn % step :: step]:
        sent = {**form_of(shop, linked="step"), field: value}
        assert client.post_form(path, sent).status_code < 500, (path, value)


def test_a_comma_is_read_as_decimals_and_an_ambiguous_number_is_asked_about(
    shop: Shop, client: Client
) -> None:
    assert client.post_form("/bots/new", form_of(shop, lower="90,5")).status_code == 303
    asked = client.post_form("/bots/new", form_of(shop, investment="1,234"))
    assert asked.status_code == 422
    assert "Do you mean" in asked.text


def test_too_small_a_deposit_names_what_is_needed(shop: Shop, client: Client) -> None:
    answer = client.post_form("/bots/new", form_of(shop, investment="5"))
    assert answer.status_code == 422
    assert "is not enough for this grid" in answer.text
    assert "Invest at least" in answer.text


def test_more_money_than_is_free_is_named_in_the_preview(shop: Shop, client: Client) -> None:
    answer = client.post_form("/bots/new/preview", form_of(shop, investment="20000"))
    assert "20,000.00" in answer.text.replace("\xa0", " ")
    assert "is free on this account" in answer.text


def test_the_preview_follows_what_is_typed_and_stores_nothing(shop: Shop, client: Client) -> None:
    few = client.post_form("/bots/new/preview", form_of(shop, grids="10"))
    many = client.post_form("/bots/new/preview", form_of(shop, grids="40"))
    assert "Profit per grid after fees" in few.text
    assert few.text != many.text
    assert db.session.scalar(select(func.count(Bot.id))) == 0


@pytest.mark.parametrize(
    ("step", "told"),
    few(
        [
            ("abc", "This is not a number"),
            ("1,234", "1.234"),
            ("-5", "more than zero"),
            ("0", "more"),
        ],
        4,
    ),
)
def test_a_step_that_cannot_be_read_is_refused_and_never_ignored(
    shop: Shop, client: Client, step: str, told: str
) -> None:
    sent = form_of(shop, grids="10", step=step, linked="step")
    answer = client.post_form("/bots/new", sent)
    assert answer.status_code == 422
    assert re.search(r'id="step-error"[^>]*>.*?' + told, answer.text, re.DOTALL)
    assert told in client.post_form("/bots/new/preview", sent).text
    assert db.session.query(Bot).count() == 0
    # While the number of grids counts, the step is a figure that follows from it.
    assert client.post_form("/bots/new", {**sent, "linked": "grids"}).status_code == 303


def test_a_typed_step_sets_the_number_of_grids(shop: Shop, client: Client) -> None:
    answer = client.post_form("/bots/new", form_of(shop, grids="10", step="5", linked="step"))
    assert answer.status_code == 303
    assert db.session.query(BotConfig).one().params["grids"] == 4


def test_the_form_offers_presets_of_the_days_it_has(shop: Shop, client: Client) -> None:
    shop.add_history(days=31)
    page = client.get("/bots/new").text
    assert "Needs 90 days" in page
    assert "made from" in page
    assert hidden(page, "lower") != ""


def test_a_preset_fills_the_fields(shop: Shop, client: Client) -> None:
    shop.add_history(days=31)
    answer = client.post_form("/bots/new/form", form_of(shop, preset="active", use_preset="1"))
    assert hidden(answer.text, "grids") != "10"
    assert hidden(answer.text, "stop_loss") != ""


def test_pairs_are_found_by_coin_and_blocked_ones_say_why(shop: Shop, client: Client) -> None:
    found = client.get(f"/bots/new/pairs?account_id={shop.account_id}&q=aaa")
    assert "AAA/USDT" in found.text
    with transaction():
        db.session.get_one(MarketRow, shop.market_id).blocked_reason = "delisted"
    blocked = client.get(f"/bots/new/pairs?account_id={shop.account_id}&q=aaa")
    assert "is not traded any more" in blocked.text
    refused = client.post_form("/bots/new", form_of(shop))
    assert refused.status_code == 422
    assert "is not traded any more" in refused.text


@pytest.mark.parametrize("field", few(["account_id", "market_id", "strategy"], 3))
def test_a_bot_is_never_made_on_another_choice_than_the_posted_one(
    shop: Shop, client: Client, field: str
) -> None:
    before = db.session.scalar(select(func.count(Bot.id)))
    for value in ("", "0", "999999", "garbage", "1e3"):
        answer = client.post_form("/bots/new", form_of(shop, **{field: value}))
        assert answer.status_code == 422, value
    assert db.session.scalar(select(func.count(Bot.id))) == before


@pytest.mark.parametrize("field", few(["spacing", "sizing", "at_exit", "preset", "linked"], 3))
def test_absurd_choices_are_no_reason_to_fail(shop: Shop, client: Client, field: str) -> None:
    for path in ("/bots/new", "/bots/new/form", "/bots/new/preview"):
        answer = client.post_form(path, form_of(shop, **{field: "1e999"}))
        assert answer.status_code < 500, path


def test_a_lower_price_that_rounds_to_nothing_is_refused(shop: Shop, client: Client) -> None:
    for path in ("/bots/new", "/bots/new/form", "/bots/new/preview"):
        answer = client.post_form(path, form_of(shop, lower="0.0000000000000001"))
        assert answer.status_code < 500, path


def test_a_disabled_exchange_is_refused(shop: Shop, client: Client) -> None:
    with transaction():
        db.session.get_one(Exchange, "bybit").enabled = False
    answer = client.post_form("/bots/new", form_of(shop))
    assert answer.status_code == 422
    assert "switched off" in answer.text
    # With no other account to begin with the empty form says why, too.
    assert "switched off" in client.get("/bots/new").text


def test_without_an_account_the_page_leads_to_one(database: None, login_as: Login) -> None:
    with transaction():
        user = make_user()
    page = login_as(user).get("/bots/new")
    assert page.status_code == 200
    assert "/exchanges/new" in page.text


# --- starting and stopping ------------------------------------------------------------------------


def test_only_a_confirmed_summary_starts_the_bot(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    summary = client.get(f"/bots/{bot_id}/start")
    assert "If the price falls to" in summary.text
    assert shop.bot(bot_id).state == "stopped"
    unread = client.post_form(f"/bots/{bot_id}/start", {"seen": ""})
    assert unread.status_code == 409
    assert shop.bot(bot_id).state == "stopped"
    read = client.post_form(f"/bots/{bot_id}/start", {"seen": hidden(summary.text, "seen")})
    assert read.status_code == 303
    assert shop.bot(bot_id).state == "starting"
    shop.tick()
    assert shop.bot(bot_id).state == "active"


def test_a_summary_that_the_price_left_behind_is_shown_again(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    summary = client.get(f"/bots/{bot_id}/start")
    shop.play(106)
    answer = client.post_form(f"/bots/{bot_id}/start", {"seen": hidden(summary.text, "seen")})
    assert answer.status_code == 409
    assert "The price has moved" in answer.text
    again = client.post_form(f"/bots/{bot_id}/start", {"seen": hidden(answer.text, "seen")})
    assert again.status_code == 303
    assert shop.bot(bot_id).state == "starting"


def test_a_small_movement_does_not_ask_again(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    summary = client.get(f"/bots/{bot_id}/start")
    shop.play("100.05")
    answer = client.post_form(f"/bots/{bot_id}/start", {"seen": hidden(summary.text, "seen")})
    assert answer.status_code == 303


def test_a_start_with_coins_and_little_cash_tells_what_its_orders_are_made_of(
    shop: Shop, client: Client
) -> None:
    # At 91.5 nine of ten lines have bought; back at 100 only five of them are sells.
    bot_id = shop.run_bot("91.5")
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
    shop.tick()
    shop.play(100)
    page = client.get(f"/bots/{bot_id}/start").text.replace("\xa0", " ")
    assert "A start sells no coins" in page
    assert "Start with 1,000.00 USDT" not in page
    offered = re.search(r"Start with ([\d.]+) USDT", page)
    assert offered is not None
    with transaction():
        metrics = db.session.get_one(BotMetrics, bot_id)
        held, cash = metrics.base, metrics.quote
    assert cash < Decimal(offered[1]) < Decimal(600)
    # What lies idle falls as well: at 90 all coins are there, and those that the cash buys.
    shown = re.search(r"You would hold ([\d.]+) AAA", page)
    assert shown is not None
    assert Decimal(shown[1]) >= held


def test_a_start_with_what_it_holds_tells_the_whole_investment(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot()
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
    shop.tick()
    page = client.get(f"/bots/{bot_id}/start").text.replace("\xa0", " ")
    assert "A start sells no coins" not in page
    assert "Start with 1,000.00 USDT" in page


def test_a_price_outside_of_the_range_is_named_in_the_summary(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    shop.play(120)
    page = client.get(f"/bots/{bot_id}/start")
    assert page.status_code == 200
    assert "lies outside of your range" in page.text
    refused = client.post_form(f"/bots/{bot_id}/start", {"seen": "1|0|0|0|"})
    assert refused.status_code == 409
    assert shop.bot(bot_id).state == "stopped"


def test_over_the_plan_limit_the_page_names_the_plan_that_allows_more(
    shop: Shop, client: Client
) -> None:
    for number in range(3):
        shop.start(shop.add_bot(f"Grid {number}"))
    fourth = shop.add_bot("Fourth")
    summary = client.get(f"/bots/{fourth}/start")
    answer = client.post_form(f"/bots/{fourth}/start", {"seen": hidden(summary.text, "seen")})
    assert answer.status_code == 409
    assert "Pro" in answer.text
    assert shop.bot(fourth).state == "stopped"


def test_stop_asks_what_becomes_of_the_coins_and_stops(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot()
    page = client.get(f"/bots/{bot_id}/stop")
    assert "Keep the coins" in page.text
    assert "checked" not in page.text.split("<fieldset", 1)[1]
    unchosen = client.post_form(f"/bots/{bot_id}/stop", {})
    assert unchosen.status_code == 422
    assert client.post_form(f"/bots/{bot_id}/stop", {"how": "sell"}).status_code == 303
    assert shop.bot(bot_id).state == "stopping"
    shop.tick()
    bot = shop.bot(bot_id)
    assert (bot.state, bot.state_reason["code"]) == ("stopped", "stopped_by_owner")
    assert "stopped by you" in client.get(f"/bots/{bot_id}").text


def test_an_emergency_stop_locks_until_the_owner_unlocks(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot()
    assert client.get(f"/bots/{bot_id}/emergency").status_code == 200
    client.post_form(f"/bots/{bot_id}/emergency")
    shop.tick()
    assert shop.bot(bot_id).state == "locked"
    summary = client.get(f"/bots/{bot_id}/start")
    assert summary.status_code == 303
    client.post_form(f"/bots/{bot_id}/unlock")
    assert shop.bot(bot_id).state == "stopped"


@pytest.mark.long
def test_a_deleted_bot_leaves_its_trades(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(98, 100, 102, 104)
    client.post_form(f"/bots/{bot_id}/stop", {"how": "sell"})
    shop.tick()
    trades = db.session.query(TradeRow).count()
    assert trades > 0
    assert client.post_form(f"/bots/{bot_id}/delete").status_code == 303
    assert client.get(f"/bots/{bot_id}").status_code == 404
    assert "My grid" not in client.get("/bots/rows").text
    assert "My grid" in client.get("/trades").text
    assert db.session.query(TradeRow).count() == trades


def test_a_running_bot_asks_to_be_stopped_before_it_is_edited(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot()
    answer = client.get(f"/bots/{bot_id}/edit", follow_redirects=True)
    assert "Stop it first" in answer.text
    assert client.post_form(f"/bots/{bot_id}/edit", form_of(shop)).status_code == 303
    assert shop.bot(bot_id).config_version == 1


def test_new_settings_are_a_new_version_with_its_difference(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    page = client.get(f"/bots/{bot_id}/edit")
    assert hidden(page.text, "lower") == "90"
    answer = client.post_form(f"/bots/{bot_id}/edit", form_of(shop, grids="12", bot_id=str(bot_id)))
    assert answer.status_code == 303
    assert shop.bot(bot_id).config_version == 2
    history = client.get(f"/bots/{bot_id}?tab=settings").text
    assert "Version 2" in history
    assert re.search(r"diff-old.*10.*diff-new.*12", history, re.DOTALL)


def test_settings_that_changed_meanwhile_are_not_overwritten_unseen(
    shop: Shop, client: Client
) -> None:
    bot_id = shop.add_bot()
    path = f"/bots/{bot_id}/edit"
    seen = hidden(client.get(path).text, "seen")
    first = form_of(shop, grids="12", bot_id=str(bot_id), seen=seen)
    assert client.post_form(path, first).status_code == 303
    # The same once more does no harm; other settings from a page of before are asked about.
    assert client.post_form(path, first).status_code == 303
    other = form_of(shop, grids="14", bot_id=str(bot_id), seen=seen)
    refused = client.post_form(path, other)
    assert refused.status_code == 422 and "other settings since you opened" in refused.text
    assert shop.bot(bot_id).config_version == 2
    again = {**other, "seen": hidden(refused.text, "seen")}
    assert client.post_form(path, again).status_code == 303
    assert shop.bot(bot_id).config_version == 3


@pytest.mark.long
def test_another_strategy_is_a_new_version_that_names_both(
    shop: Shop, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ladder(GridStrategy):
        name = "ladder"

    monkeypatch.setitem(STRATEGIES, "ladder", Ladder())
    bot_id = shop.add_bot()
    assert "Strategy" not in client.get(f"/bots/{bot_id}?tab=settings").text.split("Version 1")[1]
    sent = form_of(shop, strategy="ladder", bot_id=str(bot_id))
    assert client.post_form(f"/bots/{bot_id}/edit", sent).status_code == 303
    bot = shop.bot(bot_id)
    assert (bot.strategy, bot.config_version) == ("ladder", 2)
    history = client.get(f"/bots/{bot_id}?tab=settings").text
    assert re.search(r"Version 2.*diff-old.*Grid.*diff-new.*ladder.*Version 1", history, re.DOTALL)
    # One that runs asks to be stopped first.
    shop.start(bot_id)
    shop.tick()
    back = client.post_form(f"/bots/{bot_id}/edit", form_of(shop, bot_id=str(bot_id)))
    assert back.location == f"/bots/{bot_id}"
    assert "Stop it first" in client.get(f"/bots/{bot_id}").text
    assert shop.bot(bot_id).strategy == "ladder"


# --- the bot's page -------------------------------------------------------------------------------


def test_the_page_shows_orders_trades_levels_log_and_settings(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(98, 96, 98, 100, 102, 104)
    for tab in ("orders", "trades", "levels", "log", "settings"):
        page = client.get(f"/bots/{bot_id}?tab={tab}")
        assert page.status_code == 200
        assert "This could not be done" not in page.text
    for status in ("open", "filled", "cancelled"):
        page = client.get(f"/bots/{bot_id}?tab=orders&status={status}")
        assert page.status_code == 200
        assert "This could not be done" not in page.text
    for name in ("head", "figures", "orders", "trades", "levels", "log", "settings"):
        assert client.get(f"/bots/{bot_id}/part/{name}").status_code == 200
    assert client.get(f"/bots/{bot_id}/part/nothing").status_code == 404
    assert client.get(f"/bots/{bot_id}/log").status_code == 200


def test_the_log_is_filtered_by_level_and_searched(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(98, 100)
    assert "bought" in client.get(f"/bots/{bot_id}?tab=log&q=level_bought").text
    assert "No lines here" in client.get(f"/bots/{bot_id}?tab=log&level=error").text
    assert "No lines here" in client.get(f"/bots/{bot_id}?tab=log&q=%25").text
    assert client.get(f"/bots/{bot_id}?tab=log&page=zz&level=zz").status_code == 200


def test_orders_on_the_page_equal_those_of_the_table(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(98, 100)
    opened = db.session.query(OrderRow).filter_by(bot_id=bot_id, status="OPEN").count()
    page = client.get(f"/bots/{bot_id}/part/orders").text
    body = page.split("<tbody>", 1)[1]
    assert body.count("<tr") == opened


def test_the_chart_gives_candles_bounds_levels_and_fills(shop: Shop, client: Client) -> None:
    shop.add_history(days=2)
    bot_id = shop.run_bot(98, 100)
    chart = json.loads(client.get(f"/bots/{bot_id}/chart?timeframe=1h").text)
    assert chart["timeframe"] == "1h"
    assert 0 < len(chart["candles"]) <= 500
    assert chart["bounds"]["lower"] == "90"
    assert {side for _, side in chart["levels"]} == {"buy", "sell"}
    assert len(chart["fills"]) == db.session.query(FillRow).count()
    assert chart["summary"]
    assert client.get(f"/bots/{bot_id}/chart?timeframe=2y").status_code == 400
    assert client.get(f"/bots/new/chart/{shop.market_id}?timeframe=4h").status_code == 200
    assert client.get("/bots/new/chart/999999").status_code == 404


def test_strategies_show_their_settings_and_how_many_bots_run_them(
    shop: Shop, client: Client
) -> None:
    shop.run_bot()
    page = client.get("/strategies")
    assert "1 bot runs it now" in page.text
    assert "Lower price" in page.text


def test_the_list_filters_sorts_and_sums_by_mode_and_currency(shop: Shop, client: Client) -> None:
    shop.run_bot(98, 100, 102)
    shop.add_bot("Sleeping")
    assert "Sleeping" not in client.get("/bots?state=active").text
    assert "Sleeping" in client.get("/bots?q=sleep").text
    assert "My grid" not in client.get("/bots?q=sleep").text
    for key in (*SORT_KEYS, "x"):
        assert client.get(f"/bots?sort={key}&dir=desc").status_code == 200
    assert "No bot fits" in client.get("/bots?mode=live").text


# --- whose bots -----------------------------------------------------------------------------------


def test_nobody_reaches_the_bots_of_others(shop: Shop, login_as: Login) -> None:
    bot_id = shop.run_bot(97, 101, 103)
    trade_id = db.session.query(TradeRow).first().id  # type: ignore[union-attr]
    with transaction():
        other = make_user()
    stranger = login_as(other)
    paths = [
        f"/bots/{bot_id}",
        f"/bots/{bot_id}/chart",
        f"/bots/{bot_id}/log",
        f"/bots/{bot_id}/part/orders",
        *(f"/bots/{bot_id}/{verb}" for verb in VERBS),
        f"/bots/new?from={bot_id}",
        f"/bots/new/pairs?account_id={shop.account_id}",
        f"/trades/{trade_id}",
    ]
    for path in paths:
        assert stranger.get(path).status_code == 404, path
    for verb in VERBS:
        assert stranger.post_form(f"/bots/{bot_id}/{verb}", {"how": "sell"}).status_code == 404
    sent = form_of(shop, bot_id=str(bot_id))
    assert stranger.post_form("/bots/new/preview", sent).status_code == 404
    assert shop.bot(bot_id).state == "active"
    created = stranger.post_form("/bots/new", form_of(shop))
    assert created.status_code == 422


def test_ids_beyond_the_range_of_the_database_are_not_found(client: Client) -> None:
    for path in ("/bots/99999999999999999999", "/trades/99999999999999999999"):
        assert client.get(path).status_code == 404


def test_every_post_needs_its_token(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot()
    for verb in ("stop", "emergency"):
        assert client.post(f"/bots/{bot_id}/{verb}", data={"how": "sell"}).status_code == 400
    assert shop.bot(bot_id).state == "active"


def test_a_second_stop_changes_nothing(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot()
    for _ in range(3):
        assert client.post_form(f"/bots/{bot_id}/stop", {"how": "keep"}).status_code == 303
    shop.tick()
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
    assert shop.bot(bot_id).stop_request is None
    # But the coins that it has kept are sold when asked for, once.
    for _ in range(2):
        assert client.post_form(f"/bots/{bot_id}/stop", {"how": "sell"}).status_code == 303
        shop.tick()
        assert shop.bot(bot_id).state == "stopped"
    assert shop.bot(bot_id).epoch == 2


@pytest.mark.long
def test_a_locked_bot_offers_no_emergency_stop(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97)
    address = f"/bots/{bot_id}/emergency"
    assert address in client.get(f"/bots/{bot_id}").text
    client.post_form(address, {})
    shop.tick()
    shop.tick()
    assert shop.bot(bot_id).state == "locked"
    page = client.get(f"/bots/{bot_id}").text
    assert address not in page
    assert f"/bots/{bot_id}/unlock" in page


def test_the_line_that_stays_empty_is_named_before_the_start(shop: Shop, client: Client) -> None:
    html = client.post_form("/bots/new/preview", form_of(shop)).text
    assert "the line at 100.00 stays empty at first" in html
    client.post_form("/bots/new", form_of(shop))
    bot = db.session.query(Bot).one()
    assert "The line at 100.00 stays empty" in client.get(f"/bots/{bot.id}/start").text


# --- what experts are asked for -------------------------------------------------------------------


def test_the_preview_says_how_long_placing_takes_at_the_pace_of_the_exchange(
    shop: Shop, client: Client
) -> None:
    # 50 grids leave 50 orders; Bybit takes ten of an account in a second.
    sent = form_of(shop, grids="50", investment="5000")
    assert "placed in about 5 s" in client.post_form("/bots/new/preview", sent).text


def make_expert(shop: Shop) -> None:
    with transaction():
        shop.user.profile.experience = "expert"


def test_beginners_see_the_simple_settings_and_experts_all_of_the_strategy(
    shop: Shop, client: Client
) -> None:
    simple = client.get("/bots/new").text
    assert 'name="trailing_up"' not in simple
    assert 'name="lower"' in simple
    make_expert(shop)
    full = client.get("/bots/new").text
    assert 'name="trailing_up"' in full
    # The spot market knows neither.
    assert 'name="leverage"' not in full
    assert 'name="direction"' not in full


def test_a_futures_pair_offers_direction_and_leverage(shop: Shop, client: Client) -> None:
    make_expert(shop)
    with transaction():
        db.session.get_one(MarketRow, shop.market_id).kind = "linear"
    page = client.post_form("/bots/new/form", form_of(shop)).text
    assert 'name="leverage"' in page
    assert 'name="direction"' in page
    assert "Futures" in client.get(f"/bots/new/pairs?account_id={shop.account_id}&q=AAA").text


def test_shares_are_written_in_percent_and_stored_as_fractions(shop: Shop, client: Client) -> None:
    client.post_form("/bots/new", form_of(shop, reserve="2,5"))
    bot = db.session.query(Bot).one()
    assert db.session.query(BotConfig).one().params["reserve"] == "0.025"
    page = client.get(f"/bots/{bot.id}/edit").text
    assert re.search(r'name="reserve"[^>]*value="2\.5"', page)


@pytest.mark.long
def test_an_expert_keeps_a_typed_step_exactly(shop: Shop, client: Client) -> None:
    make_expert(shop)
    sent = form_of(shop, grids="10", step="3", linked="step")
    assert client.post_form("/bots/new", sent).status_code == 303
    params = db.session.query(BotConfig).one().params
    assert (params["step"], params["grids"]) == ("3", None)
    bot = db.session.query(Bot).one()
    page = client.get(f"/bots/{bot.id}/edit").text
    assert re.search(r'name="step"[^>]*value="3"', page)
    assert hidden(page, "linked") == "step"
    assert client.get(f"/bots/{bot.id}/start").status_code == 200
    assert client.get(f"/bots/{bot.id}").status_code == 200


def test_an_expert_makes_a_grid_without_an_end_that_waits_for_its_price(
    shop: Shop, client: Client
) -> None:
    make_expert(shop)
    sent = form_of(
        shop, upper="", grids="", step="1,5", spacing="geometric", infinity="y",
        trigger_price="95", max_resting="4", take_profit_share="20", profit_use="reinvest",
    )  # fmt: skip
    preview = client.post_form("/bots/new/preview", sent)
    assert preview.status_code == 200
    assert client.post_form("/bots/new", sent).status_code == 303
    params = db.session.query(BotConfig).one().params
    assert (params["infinity"], params["upper"], params["step"]) == (True, None, "0.015")
    assert (params["take_profit_share"], params["max_resting"]) == ("0.2", 4)
    bot = db.session.query(Bot).one()
    summary = client.get(f"/bots/{bot.id}/start")
    assert "Wait until the price reaches 95.00" in summary.text
    shop.start(bot.id)
    shop.tick()
    parts = ("", "?tab=levels", "?tab=settings", "/chart?timeframe=1h", "/stop", "/part/figures")
    for path in parts:
        assert client.get(f"/bots/{bot.id}{path}").status_code == 200, path
    for path in ("/bots", "/dashboard", f"/bots/new?from={bot.id}"):
        assert client.get(path).status_code == 200, path


@thinned(20)
def test_hostile_expert_settings_are_refused_with_sentences(
    shop: Shop, client: Client, step: int
) -> None:
    make_expert(shop)
    fields = (
        "trigger_price", "take_profit_share", "stop_loss_share", "trailing_up_limit",
        "trailing_down_limit", "max_resting", "profit_use", "infinity", "trailing_down",
    )  # fmt: skip
    for field, value in [(field, value) for field in fields for value in HOSTILE][::step]:
        answer = client.post_form("/bots/new/preview", form_of(shop, **{field: value}))
        assert answer.status_code == 200, (field, value)
        assert "could not be done" not in answer.text, (field, value)


def test_the_form_opens_on_an_account_that_trades_the_wanted_pair(
    shop: Shop, login_as: Login
) -> None:
    with transaction():
        other = make_market("BBB/USDT", exchange="binance")
        second = make_account(shop.user, Decimal(500))
        second.venue = "binance"
        wanted, account_id = other.id, second.id
    client = login_as(shop.user)
    page = client.get(f"/bots/new?market={wanted}").text
    assert f'<option selected value="{account_id}">' in page
    assert "BBB/USDT" in page
    with transaction():
        db.session.get_one(ExchangeAccount, account_id).active = False
    page = client.get(f"/bots/new?market={wanted}").text
    assert "None of your accounts trades that pair." in page
    assert "AAA/USDT" in page


@pytest.mark.long
def test_orders_that_a_stopped_bot_has_left_are_cancelled_from_its_page(
    shop: Shop, client: Client
) -> None:
    bot_id = shop.run_bot()
    with transaction():
        shop.user.profile.experience = "expert"
        stopping.request_stop(shop.user_id, bot_id, StopHow.LEAVE_ORDERS)
    shop.tick()
    page = client.get(f"/bots/{bot_id}")
    assert "Nobody watches them." in page.text
    assert f'href="/bots/{bot_id}/stop"' in page.text
    question = client.get(f"/bots/{bot_id}/stop")
    assert 'value="keep"' in question.text
    assert 'value="leave_orders"' not in question.text
    assert client.post_form(f"/bots/{bot_id}/stop", {"how": "keep"}).status_code == 303
    for _ in range(3):
        shop.tick()
    page = client.get(f"/bots/{bot_id}")
    assert "Nobody watches them." not in page.text
    # Its coins are left, and can be sold.
    assert "Cancel its orders" not in page.text
    assert "Sell its coins" in page.text
    question = client.get(f"/bots/{bot_id}/stop")
    assert 'value="sell"' in question.text
    assert 'value="keep"' not in question.text


def test_a_bot_that_could_not_begin_does_not_say_that_its_orders_are_taken_back(
    shop: Shop, client: Client
) -> None:
    bot_id = shop.add_bot()
    shop.start(bot_id)
    shop.play(120)
    shop.tick()
    assert shop.bot(bot_id).state == "error"
    page = client.get(f"/bots/{bot_id}").text
    assert "could not begin" in page
    assert "lies outside of your range" in page
    assert "gave up after" not in page


@pytest.mark.parametrize(
    ("reason", "words"),
    few(
        [("delisted", "AAA/USDT is not traded any more."), ("no_prices", "There are no prices of")],
        2,
    ),
)
def test_a_bot_whose_pair_is_blocked_says_so_on_its_page(
    shop: Shop, client: Client, reason: str, words: str
) -> None:
    bot_id = shop.run_bot()
    assert words not in client.get(f"/bots/{bot_id}").text
    with transaction():
        db.session.get_one(MarketRow, shop.market_id).blocked_reason = reason
    assert words in client.get(f"/bots/{bot_id}").text


@pytest.mark.long
def test_an_account_of_a_test_site_is_named_on_its_bots_and_trades(
    shop: Shop, client: Client
) -> None:
    bot_id = shop.run_bot(97, "101.5", 97)
    trade = db.session.scalars(select(TradeRow.id).where(TradeRow.status == "closed")).first()
    pages = (f"/bots/{bot_id}", "/bots", "/trades", f"/trades/{trade}")
    assert not any("badge-testnet" in client.get(page).text for page in pages)
    shop.set_bot(bot_id, mode="live")
    with transaction():
        db.session.get_one(ExchangeAccount, shop.account_id).testnet = True
    for page in pages:
        assert "badge-testnet" in client.get(page).text, page
