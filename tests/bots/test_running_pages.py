"""Pages of a bot that trades: other settings with their cost, money in and out, going on."""

import re
from collections.abc import Callable
from decimal import Decimal
from html import unescape

import pytest

from app.accounts.models import User
from app.bots.models import BotConfig, BotEvent, BotMetrics
from app.db import db, utc_now
from tests.bots.shop import Shop
from tests.bots.test_running import assert_money_agrees, standing
from tests.client import Client
from tests.factories import make_user
from tests.long import few

Login = Callable[[User], Client]
FORM = {
    "strategy": "grid", "name": "My grid", "lower": "90", "upper": "110", "grids": "10",
    "spacing": "arithmetic", "sizing": "equal_base", "investment": "1000", "reserve": "5",
    "at_exit": "keep", "linked": "grids",
}  # fmt: skip


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


@pytest.fixture
def client(shop: Shop, login_as: Login) -> Client:
    return login_as(shop.user)


def confirmed(page: str) -> dict[str, str]:
    """Return what the page of the cost would send."""
    fields = re.findall(r'name="(\w+)" type="hidden" value="([^"]*)"', page)
    fields += re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in fields if name != "csrf_token"}


def test_a_running_grid_is_changed_after_its_cost_was_read(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97)
    address = f"/bots/{bot_id}/change"
    assert address in client.get(f"/bots/{bot_id}").text
    assert client.get(address).status_code == 200
    cost = client.post_form(address, {**FORM, "grids": "5"})
    assert cost.status_code == 200
    assert "Orders taken back" in cost.text
    assert db.session.query(BotConfig).count() == 1
    sent = confirmed(cost.text)
    assert (sent["grids"], sent["seen"][:2]) == ("5", "1|")
    for _ in range(2):
        assert client.post_form(address, sent).location == f"/bots/{bot_id}"
        assert shop.bot(bot_id).config_version == 2
    for _ in range(4):
        shop.tick()
    assert shop.bot(bot_id).state == "active"
    # What was read belongs to the version of then.
    assert client.post_form(address, {**sent, "grids": "6"}).location == address
    assert shop.bot(bot_id).config_version == 2


@pytest.mark.long
def test_the_form_of_a_change_says_what_it_would_trade_at_once(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97)
    page = client.get(f"/bots/{bot_id}/change").text
    assert "First purchase" not in page
    assert "Traded at once" in page
    typed = {**FORM, "bot_id": str(bot_id), "market_id": str(shop.market_id)}
    for upper, words in (("110", "nothing"), ("150", "buys"), ("99", "sells")):
        shown = client.post_form("/bots/new/preview", {**typed, "upper": upper}).text
        figure = shown[shown.index("Traded at once") :][:900]
        assert words in figure, upper
        assert "First purchase" not in shown
    shown = client.post_form("/bots/new/preview", {**typed, "upper": "80"}).text
    assert "Traded at once" in shown


@pytest.mark.long
def test_a_change_shows_the_orders_with_the_profit_that_is_reinvested_in_them(
    shop: Shop, client: Client
) -> None:
    bot_id = shop.run_bot(*["97.9", "100.1"] * 3, profit_use="reinvest")
    earned = db.session.get_one(BotMetrics, bot_id, populate_existing=True).grid_profit
    typed = {**FORM, "profit_use": "reinvest", "upper": "112"}
    about = {"bot_id": str(bot_id), "market_id": str(shop.market_id)}
    shown = client.post_form("/bots/new/preview", {**typed, **about}).text
    (told,) = re.findall(r"with (\S+)\sUSDT of reinvested profit", shown)
    assert told == f"{earned:.2f}"
    # The sum that its owner puts in is the one that was typed.
    assert "1,000.00" in shown[shown.index("sticky-summary") :]
    cost = client.post_form(f"/bots/{bot_id}/change", typed).text
    assert "Profit in the orders" in cost
    assert f"{earned:.2f}" in cost
    aside = {**typed, "profit_use": "set_aside"}
    assert "reinvested" not in client.post_form("/bots/new/preview", {**aside, **about}).text
    assert "Profit in the orders" not in client.post_form(f"/bots/{bot_id}/change", aside).text


@pytest.mark.long
def test_orders_that_stay_are_named_in_the_cost(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(investment=Decimal(2000), quantity=Decimal("0.5"))
    before = {order.client_id for order in standing(bot_id)}
    sent = {**FORM, "investment": "2000", "quantity": "0.5", "lower": "86", "grids": "12"}
    cost = client.post_form(f"/bots/{bot_id}/change", sent)
    assert "Orders that stay" in cost.text
    assert client.post_form(f"/bots/{bot_id}/change", confirmed(cost.text)).status_code == 303
    for _ in range(4):
        shop.tick()
    after = {order.client_id for order in standing(bot_id)}
    assert before < after
    assert len(after - before) == 2
    assert_money_agrees(shop, bot_id)


def test_money_goes_in_and_no_more_comes_out_than_was_earned(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97, 101)
    address = f"/bots/{bot_id}/money"
    page = client.get(address).text
    assert "Can be taken out" in page
    sent = {**confirmed(page), "way": "in", "amount": "500"}
    assert client.post_form(address, sent).status_code == 303
    assert db.session.get_one(BotMetrics, bot_id, populate_existing=True).deposited == 1500
    shop.tick()
    seen = confirmed(client.get(address).text)
    for way, amount, field in (
        ("out", "100000", "amount"),
        ("in", "99999999", "amount"),
        ("in", "abc", "amount"),
        ("in", "", "amount"),
        ("in", "NaN", "amount"),
        ("in", "9" * 31, "amount"),
        ("", "5", "way"),
        ("sideways", "5", "way"),
        ("in", "-5", "amount"),
    ):
        answer = client.post_form(address, {**seen, "way": way, "amount": amount})
        assert answer.status_code == 422, amount
        assert re.findall(r'id="(\w+)-error"', answer.text) == [field], (way, amount)
    assert db.session.get_one(BotMetrics, bot_id, populate_existing=True).deposited == Decimal(1500)


@pytest.mark.parametrize("way", few(["in", "out"], 2))
def test_a_money_form_sent_twice_moves_the_money_once(shop: Shop, client: Client, way: str) -> None:
    bot_id = shop.run_bot("97.9", "100.1", "97.9", "100.1")
    address = f"/bots/{bot_id}/money"
    sent = {**confirmed(client.get(address).text), "way": way, "amount": "0.5"}
    assert client.post_form(address, sent).status_code == 303
    again = client.post_form(address, sent)
    assert again.status_code == 409
    assert "has moved since you opened this page" in again.text
    assert 'value="0.5"' not in again.text
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert metrics.deposited - 1000 + metrics.withdrawn == Decimal("0.5")
    # The page that was shown then is one of now: whoever means it does it once more.
    anew = {**confirmed(again.text), "way": way, "amount": "0.5"}
    assert client.post_form(address, anew).status_code == 303
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert metrics.deposited - 1000 + metrics.withdrawn == 1
    # A form without the field was never shown by us.
    assert client.post_form(address, {"way": way, "amount": "0.5"}).status_code == 409


def test_nobody_changes_the_bot_of_another(shop: Shop, login_as: Login) -> None:
    bot_id = shop.run_bot(97)
    stranger = login_as(make_user())
    assert stranger.get(f"/bots/{bot_id}/change").status_code == 404
    assert stranger.post_form(f"/bots/{bot_id}/change", FORM).status_code == 404
    assert (
        stranger.post_form(f"/bots/{bot_id}/money", {"way": "in", "amount": "5"}).status_code == 404
    )
    assert stranger.post_form(f"/bots/{bot_id}/resume", {}).status_code == 404


@pytest.mark.long
def test_a_paused_bot_offers_to_go_on(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97)
    shop.set_bot(bot_id, state="paused")
    page = client.get(f"/bots/{bot_id}").text
    assert f"/bots/{bot_id}/resume" in page
    sent = confirmed(page)
    for _ in range(2):
        assert client.post_form(f"/bots/{bot_id}/resume", sent).status_code == 303
        assert shop.bot(bot_id).state == "active"
    shop.set_bot(bot_id, state="paused", state_since=utc_now())
    assert client.post_form(f"/bots/{bot_id}/resume", sent).status_code == 303
    assert shop.bot(bot_id).state == "paused"
    assert "has paused once more" in client.get(f"/bots/{bot_id}").text


def test_the_stop_says_what_rests_and_what_is_only_watched(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97)
    kept = {"trigger": "85", "side": "sell", "resting": "0.5", "by_engine": "1.2", "refused": None}
    shop.set_bot(bot_id, protection=kept)
    page = client.get(f"/bots/{bot_id}").text
    assert "A stop at 85.00 rests on the exchange for 0.5" in page
    assert "Botyard itself watches the stop at 85.00 for 1.2" in page


def test_limits_are_set_and_refused_beside_their_field(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97)
    address = f"/bots/{bot_id}/limits"
    assert address in client.get(f"/bots/{bot_id}?tab=settings").text
    sent = {
        **confirmed(client.get(address).text),
        "max_capital": "2 000,5",
        "max_daily_loss": "50",
        "max_open_orders": "30",
    }
    for _ in range(2):
        assert client.post_form(address, sent).status_code == 303
    old = client.post_form(address, {**sent, "max_daily_loss": "5"})
    assert old.status_code == 422
    assert "has got other limits" in old.text
    assert shop.bot(bot_id).guard == {
        "max_capital": "2000.5",
        "max_daily_loss": "50",
        "max_open_orders": 30,
    }
    assert 'value="2000.5"' in client.get(address).text
    for field in ("max_capital", "max_daily_loss", "max_open_orders", "max_leverage"):
        for value in ("-1", "abc", "NaN", "9" * 60, "1e400", "\x00"):
            answer = client.post_form(address, {field: value})
            assert answer.status_code == 422, (field, value)
    seen = confirmed(client.get(address).text)["seen"]
    assert client.post_form(address, {"seen": seen}).status_code == 303
    assert shop.bot(bot_id).guard is None


@pytest.mark.long
def test_an_emergency_stop_or_a_bulk_stop_sent_twice_is_one(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97)
    for _ in range(2):
        sent = {"do": "stop", "id": str(bot_id), "how": "keep"}
        assert client.post_form("/bots/bulk", sent).status_code == 303
    for _ in range(2):
        assert client.post_form(f"/bots/{bot_id}/emergency", {}).status_code == 303
    for _ in range(3):
        shop.tick()
    assert client.post_form(f"/bots/{bot_id}/emergency", {}).status_code == 303
    assert shop.bot(bot_id).state == "locked"
    db.session.rollback()
    codes = [e.code for e in db.session.query(BotEvent).filter_by(bot_id=bot_id)]
    assert codes.count("stopped_by_owner") == codes.count("emergency_requested") == 1
    metrics = db.session.get_one(BotMetrics, bot_id, populate_existing=True)
    assert metrics.base < Decimal("0.001")
