from collections.abc import Callable

import pytest

from app.accounts.models import User
from app.bots.models import BotConfig
from app.db import db
from app.subscriptions import service as subscriptions
from app.transactions import transaction
from tests import factories
from tests.client import Client
from tests.factories import make_user


@pytest.fixture
def user(database: None) -> User:
    with transaction():
        subscriptions.seed_plans()
        return make_user()


def add_bot(user: User, symbol: str, name: str) -> None:
    bot = factories.make_bot(user, market=factories.make_market(symbol), name=name)
    params = {"lower": "50000", "upper": "70000", "grids": 10, "investment": "1000"}
    db.session.add(
        BotConfig(bot_id=bot.id, version=1, strategy="grid", params=params, capital=bot.capital)
    )


def test_visitors_are_asked_to_log_in(client: Client) -> None:
    for path in ("/dashboard", "/dashboard/live"):
        answer = client.get(path)
        assert answer.status_code == 302 and "/login" in answer.headers["Location"]


def test_a_new_person_is_led_to_a_first_bot(user: User, login_as: Callable[[User], Client]) -> None:
    page = login_as(user).get("/dashboard").text
    assert 'href="/bots/new"' in page and "No bots yet" in page


def test_the_dashboard_shows_own_bots_of_the_chosen_mode_only(
    user: User, login_as: Callable[[User], Client]
) -> None:
    with transaction():
        add_bot(user, "BTC/USDT", "My own grid")
        add_bot(make_user(), "ETH/USDT", "Not mine")
    client = login_as(user)
    page = client.get("/dashboard").text
    assert "My own grid" in page and "Not mine" not in page
    assert "My own grid" not in client.get("/dashboard?mode=live").text


def test_the_chosen_mode_is_remembered(user: User, login_as: Callable[[User], Client]) -> None:
    client = login_as(user)
    client.get("/dashboard?mode=live")
    assert "No live bots" in client.get("/dashboard").text
    assert "No live bots" in client.get("/dashboard?mode=nonsense").text
    assert "No bots yet" in client.get("/dashboard?mode=paper").text


def test_the_live_block_is_a_fragment(user: User, login_as: Callable[[User], Client]) -> None:
    page = login_as(user).get("/dashboard/live?mode=paper&period=30d").text
    assert "<html" not in page and "No bots yet" in page


@pytest.mark.parametrize(
    "query", ["mode=x&mode=live", "period=1e99", "period=%F0%9F%98%80", "mode="]
)
def test_odd_wishes_show_the_usual_page(
    user: User, login_as: Callable[[User], Client], query: str
) -> None:
    assert login_as(user).get(f"/dashboard?{query}").status_code == 200
