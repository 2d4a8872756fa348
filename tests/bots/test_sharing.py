"""The link to a result: only its owner makes it, and strangers see no more than they should."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app.accounts.models import User
from app.bots import service, sharing, stopping
from app.bots.models import BotEvent, BotShare
from app.db import db, utc_now
from app.errors import Conflict, NotFound
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.shop import Shop
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user

Login = Callable[[User], Client]


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


@pytest.fixture
def client(shop: Shop, login_as: Login) -> Client:
    return login_as(shop.user)


@pytest.fixture
def visitor(app: Flask, database: None) -> Client:
    return new_client(app)


def shared(client: Client, bot_id: int, **form: str) -> str:
    """Make the link as its owner does, and return its path."""
    assert client.post_form(f"/bots/{bot_id}/share", form).status_code == 303
    page = client.get(f"/bots/{bot_id}/share").text
    found = re.search(r'value="http://[^/"]+(/shared/[^"]+)"', page)
    assert found
    return found.group(1)


def show(visitor: Client, path: str) -> Any:
    """Follow a link as a browser does: the token is traded for a cookie at once."""
    answer = visitor.get(path)
    if answer.status_code != 303:
        return answer
    assert answer.location == "/shared"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    return visitor.get(answer.location)


def test_no_address_keeps_the_token_and_a_cookie_that_is_gone_shows_nothing(
    shop: Shop, client: Client, visitor: Client
) -> None:
    path = shared(client, shop.run_bot(97))
    token = path.rpartition("/")[2]
    answer = visitor.get(path)
    assert token not in answer.text + str(answer.location)
    cookie = visitor.get_cookie("shared")
    assert cookie is not None and cookie.value == token
    assert cookie.http_only and cookie.same_site == "Lax"
    assert token not in visitor.get("/shared").text
    visitor.delete_cookie("shared")
    assert visitor.get("/shared").status_code == 404


def test_a_stranger_sees_shares_but_no_money_and_no_name(
    shop: Shop, client: Client, visitor: Client
) -> None:
    bot_id = shop.run_bot(97, 95, 103, name="My secret plan")
    answer = show(visitor, shared(client, bot_id))
    assert answer.status_code == 200
    page = answer.text
    for shown in ("AAA/USDT", "PAPER", "Total profit", "Buy and hold", "Max drawdown", "%"):
        assert shown in page
    for hidden in ("My secret plan", "1,000", "Invested", f"/bots/{bot_id}", shop.user.email):
        assert hidden not in page
    # The only money that is named is the pair itself.
    assert re.findall(r"[\d.,]+\xa0USDT", page) == []
    assert "yearly" not in page.lower()


def test_money_is_shown_only_where_its_owner_ticked_it(
    shop: Shop, client: Client, visitor: Client
) -> None:
    bot_id = shop.run_bot(97, 103)
    path = shared(client, bot_id, with_money="y")
    assert "1,000.00\xa0USDT" in show(visitor, path).text
    # Unticked later, the same address shows it no more.
    assert shared(client, bot_id) == path
    assert "1,000.00" not in show(visitor, path).text
    told = [each.code for each in db.session.query(BotEvent).order_by(BotEvent.id)]
    assert [code for code in told if code.startswith("share")] == ["shared_with_money", "shared"]


def test_the_card_is_kept_out_of_search_engines_and_referrers(
    shop: Shop, client: Client, visitor: Client
) -> None:
    answer = show(visitor, shared(client, shop.run_bot(97)))
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert '<meta name="robots" content="noindex, nofollow">' in answer.text


@pytest.mark.long
def test_a_withdrawn_link_is_gone_and_the_next_is_another(
    shop: Shop, client: Client, visitor: Client
) -> None:
    bot_id = shop.run_bot(97)
    first = shared(client, bot_id)
    for _ in range(2):
        assert client.post_form(f"/bots/{bot_id}/share/withdraw", {}).status_code == 303
        assert show(visitor, first).status_code == 404
    assert db.session.query(BotEvent).filter_by(code="share_withdrawn").count() == 1
    second = shared(client, bot_id)
    assert second != first
    assert show(visitor, first).status_code == 404
    assert show(visitor, second).status_code == 200


@pytest.mark.long
def test_a_deleted_bot_and_a_blocked_owner_share_nothing(
    shop: Shop, client: Client, visitor: Client
) -> None:
    bot_id = shop.run_bot(97)
    path = shared(client, bot_id)
    with transaction():
        shop.user.blocked_at = utc_now()
    assert show(visitor, path).status_code == 404
    with transaction():
        shop.user.blocked_at = None
        stopping.request_stop(shop.user_id, bot_id, StopHow.KEEP)
    for _ in range(3):
        shop.tick()
    assert show(visitor, path).status_code == 200
    with transaction():
        service.delete_bot(shop.user_id, bot_id)
    assert show(visitor, path).status_code == 404
    assert db.session.query(BotShare).count() == 0


def test_only_the_owner_shares_or_withdraws(shop: Shop, client: Client, login_as: Login) -> None:
    bot_id = shop.run_bot(97)
    path = shared(client, bot_id)
    stranger = make_user()
    other = login_as(stranger)
    assert other.get(f"/bots/{bot_id}/share").status_code == 404
    assert other.post_form(f"/bots/{bot_id}/share", {"with_money": "y"}).status_code == 404
    assert other.post_form(f"/bots/{bot_id}/share/withdraw", {}).status_code == 404
    with pytest.raises(NotFound), transaction():
        sharing.withdraw(stranger.id, bot_id)
    assert show(other, path).status_code == 200


def test_before_its_first_start_a_bot_has_nothing_to_share(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    assert "Nothing to share yet" in client.get(f"/bots/{bot_id}/share").text
    assert client.post_form(f"/bots/{bot_id}/share", {}).status_code == 303
    assert db.session.query(BotShare).count() == 0
    with pytest.raises(Conflict), transaction():
        sharing.share(shop.user_id, bot_id, with_money=False)


def test_the_link_is_made_once_however_often_it_is_asked_for(shop: Shop) -> None:
    bot_id = shop.run_bot(97)
    for _ in range(3):
        with transaction():
            sharing.share(shop.user_id, bot_id, with_money=False)
    link = sharing.share_of(bot_id)
    assert link is not None
    assert len(link.token) >= 22
    assert db.session.query(BotEvent).filter_by(code="shared").count() == 1


@pytest.mark.parametrize("token", ["x", "x" * 5000, "%00", "../admin", "' or 1=1 --", "\U0001f600"])
def test_a_guessed_link_shows_nothing(shop: Shop, visitor: Client, token: str) -> None:
    assert show(visitor, f"/shared/{token}").status_code in {400, 404}
