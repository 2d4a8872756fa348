"""Several bots at once: one question, each bot by itself, nothing of anybody else's."""

import re
from collections.abc import Callable

import pytest

from app.accounts.models import User
from tests.bots.shop import Shop
from tests.client import Client
from tests.factories import make_user

Login = Callable[[User], Client]


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


@pytest.fixture
def client(shop: Shop, login_as: Login) -> Client:
    return login_as(shop.user)


def sent(client: Client, verb: str, *ids: int, **more: str) -> dict[str, object]:
    """Return what the question's form would send."""
    chosen = "&".join(f"id={each}" for each in ids)
    page = client.get(f"/bots/bulk?do={verb}&{chosen}").text
    seen = {
        f"seen_{number}": value.replace("&#34;", '"').replace("&quot;", '"')
        for number, value in re.findall(r'name="seen_(\d+)" value="([^"]*)"', page)
    }
    return {"do": verb, "id": [str(each) for each in ids], **seen, **more}


def test_stopped_bots_start_together(shop: Shop, client: Client) -> None:
    first, second = shop.add_bot("One"), shop.add_bot("Two")
    answer = client.post_form("/bots/bulk", sent(client, "start", first, second))
    assert answer.status_code == 303
    assert [shop.bot(each).state for each in (first, second)] == ["starting", "starting"]


def test_what_cannot_is_left_out_with_its_reason_and_the_others_go_on(
    shop: Shop, client: Client
) -> None:
    runs, stands = shop.run_bot(97), shop.add_bot("Stands")
    page = client.get(f"/bots/bulk?do=stop&id={runs}&id={stands}").text
    assert "Stop 1 bot" in page
    assert "Left out: A bot that is stopped can" in page
    unanswered = client.post_form("/bots/bulk", sent(client, "stop", runs, stands))
    assert unanswered.status_code == 422
    assert shop.bot(runs).state == "active"
    client.post_form("/bots/bulk", sent(client, "stop", runs, stands, how="keep"))
    assert shop.bot(runs).state == "stopping"
    assert shop.bot(stands).state == "stopped"
    assert "1 bot stops" in client.get("/bots").text


def test_leaving_orders_is_no_answer_for_many(shop: Shop, client: Client) -> None:
    runs = shop.run_bot(97)
    answer = client.post_form("/bots/bulk", sent(client, "stop", runs, how="leave_orders"))
    assert answer.status_code == 422
    assert shop.bot(runs).state == "active"


def test_real_money_starts_from_its_own_summary_only(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    shop.set_bot(bot_id, mode="live")
    assert "started from its own page" in client.get(f"/bots/bulk?do=start&id={bot_id}").text
    client.post_form("/bots/bulk", {"do": "start", "id": str(bot_id), f"seen_{bot_id}": ""})
    assert shop.bot(bot_id).state == "stopped"


@pytest.mark.long
def test_bots_of_others_and_nonsense_are_not_touched(
    shop: Shop, client: Client, login_as: Login
) -> None:
    runs = shop.run_bot(97)
    stranger = login_as(make_user())
    for form in (
        {"do": "stop", "id": str(runs), "how": "sell"},
        {"do": "delete", "id": str(runs)},
        {"do": "stop", "id": "x' or 1=1"},
        {"do": "stop"},
        {},
    ):
        assert stranger.post_form("/bots/bulk", form).status_code == 303
    assert shop.bot(runs).state == "active"
    assert client.post_form("/bots/bulk", {"do": "drop", "id": str(runs)}).status_code == 303
    assert client.get("/bots/bulk?do=stop&id=9999999999999999999999").status_code == 303
