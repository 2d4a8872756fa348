"""Pages of a bot that trades: other settings with their cost, money in and out, going on."""

import re
from collections.abc import Callable
from decimal import Decimal
from html import unescape

import pytest

from app.accounts.models import User
from app.bots.models import BotConfig, BotMetrics
from app.db import db
from tests.bots.shop import Shop
from tests.client import Client
from tests.factories import make_user

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
    fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)
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
    assert (sent["grids"], sent["version"]) == ("5", "1")
    assert client.post_form(address, sent).status_code == 303
    assert shop.bot(bot_id).config_version == 2
    for _ in range(4):
        shop.tick()
    assert shop.bot(bot_id).state == "active"
    # What was read belongs to the version of then.
    assert client.post_form(address, {**sent, "grids": "6"}).location == address
    assert shop.bot(bot_id).config_version == 2


def test_money_goes_in_and_no_more_comes_out_than_was_earned(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97, 101)
    address = f"/bots/{bot_id}/money"
    assert "Can be taken out" in client.get(address).text
    assert client.post_form(address, {"way": "in", "amount": "500"}).status_code == 303
    assert db.session.get_one(BotMetrics, bot_id, populate_existing=True).deposited == 1500
    shop.tick()
    for way, amount in (
        ("out", "100000"),
        ("in", "99999999"),
        ("in", "abc"),
        ("", "5"),
        ("in", "-5"),
    ):
        assert client.post_form(address, {"way": way, "amount": amount}).status_code == 422, amount
    assert db.session.get_one(BotMetrics, bot_id, populate_existing=True).deposited == Decimal(1500)


def test_nobody_changes_the_bot_of_another(shop: Shop, login_as: Login) -> None:
    bot_id = shop.run_bot(97)
    stranger = login_as(make_user())
    assert stranger.get(f"/bots/{bot_id}/change").status_code == 404
    assert stranger.post_form(f"/bots/{bot_id}/change", FORM).status_code == 404
    assert (
        stranger.post_form(f"/bots/{bot_id}/money", {"way": "in", "amount": "5"}).status_code == 404
    )
    assert stranger.post_form(f"/bots/{bot_id}/resume", {}).status_code == 404


def test_a_paused_bot_offers_to_go_on(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97)
    shop.set_bot(bot_id, state="paused")
    page = client.get(f"/bots/{bot_id}").text
    assert f"/bots/{bot_id}/resume" in page
    assert client.post_form(f"/bots/{bot_id}/resume", {}).status_code == 303
    assert shop.bot(bot_id).state == "active"


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
    sent = {"max_capital": "2 000,5", "max_daily_loss": "50", "max_open_orders": "30"}
    assert client.post_form(address, sent).status_code == 303
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
    assert client.post_form(address, {}).status_code == 303
    assert shop.bot(bot_id).guard is None
