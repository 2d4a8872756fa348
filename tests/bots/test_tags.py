"""Tags: what may be one, whose bots get them, and finding bots by them."""

from collections.abc import Callable

import pytest

from app.accounts.models import User
from app.bots import queries, service, tags
from app.bots.queries import BotFilter
from app.errors import InvalidInput, NotFound
from app.transactions import transaction
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


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", []),
        (" , ,, ", []),
        ("long  term, #BTC ,btc,Long Term", ["long term", "BTC"]),
        ("долго, ДОЛГО, não", ["долго", "não"]),
        ("e\u0301te\u0301, été", ["été"]),
        ("x" * 24, ["x" * 24]),
        (",".join(f"t{number}" for number in range(10)), [f"t{number}" for number in range(10)]),
    ],
)
def test_tags_are_read_once_each_in_the_order_of_typing(text: str, kept: list[str]) -> None:
    assert tags.read_tags(text) == kept


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x" * 25, "tag_too_long"),
        (",".join(f"t{number}" for number in range(11)), "too_many_tags"),
        ("," * 2000, "too_many_tags"),
        ("a\u202eb", "tag_unprintable"),
        ("a\u200bb", "tag_unprintable"),
    ],
)
def test_what_cannot_be_a_tag_is_refused_with_its_reason(text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        tags.read_tags(text)
    assert refusal.value.code == code


def test_bots_are_found_by_a_tag_in_whatever_case(shop: Shop, client: Client) -> None:
    first, second = shop.add_bot("One"), shop.add_bot("Two")
    for bot_id, words in ((first, "Long term, side"), (second, "side")):
        answer = client.post_form(f"/bots/{bot_id}/tags", {"tags": words})
        assert answer.status_code == 303
    found = queries.list_bots(shop.user_id, BotFilter(tag="long TERM"))
    assert [card.name for card in found.bots] == ["One"]
    assert found.choices.tags == ("Long term", "side")
    # The field for words finds them too.
    assert queries.list_bots(shop.user_id, BotFilter(text="long")).count == 1
    page = client.get("/bots?tag=long+term").text
    assert "One</a>" in page
    assert "Two</a>" not in page
    assert '<option value="Long term" selected>' in page
    assert "Long term" in client.get(f"/bots/{first}").text


def test_a_refused_tag_keeps_what_was_typed(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    answer = client.post_form(f"/bots/{bot_id}/tags", {"tags": "<b>&" + "x" * 30})
    assert answer.status_code == 422
    assert "A tag has at most 24 characters." in answer.text
    assert 'value="&lt;b&gt;&amp;xxx' in answer.text
    assert shop.bot(bot_id).tags == []


def test_tags_can_be_taken_off_again(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    client.post_form(f"/bots/{bot_id}/tags", {"tags": "a, b"})
    assert 'value="a, b"' in client.get(f"/bots/{bot_id}/tags").text
    client.post_form(f"/bots/{bot_id}/tags", {"tags": ""})
    assert shop.bot(bot_id).tags == []


def test_only_the_owner_tags_a_bot(shop: Shop, login_as: Login) -> None:
    bot_id = shop.add_bot()
    stranger = make_user()
    client = login_as(stranger)
    assert client.get(f"/bots/{bot_id}/tags").status_code == 404
    assert client.post_form(f"/bots/{bot_id}/tags", {"tags": "mine"}).status_code == 404
    with pytest.raises(NotFound), transaction():
        tags.set_tags(stranger.id, bot_id, "mine")
    assert shop.bot(bot_id).tags == []


def test_several_bots_get_a_tag_at_once_and_keep_their_own(shop: Shop, client: Client) -> None:
    first, second = shop.add_bot("One"), shop.add_bot("Two")
    client.post_form(f"/bots/{first}/tags", {"tags": "own"})
    form = {"do": "tag", "id": [str(first), str(second)]}
    assert "Tag 2 bots" in client.get(f"/bots/bulk?do=tag&id={first}&id={second}").text
    assert client.post_form("/bots/bulk", {**form, "tags": ""}).status_code == 422
    assert client.post_form("/bots/bulk", {**form, "tags": "new, Own"}).status_code == 303
    assert (shop.bot(first).tags, shop.bot(second).tags) == (["own", "new"], ["new", "Own"])
    assert "2 bots are tagged" in client.get("/bots").text


def test_a_bot_that_would_have_too_many_is_named_and_the_others_are_tagged(
    shop: Shop, client: Client
) -> None:
    full, free = shop.add_bot("Full"), shop.add_bot("Free")
    client.post_form(f"/bots/{full}/tags", {"tags": ",".join(f"t{each}" for each in range(10))})
    client.post_form("/bots/bulk", {"do": "tag", "id": [str(full), str(free)], "tags": "more"})
    assert shop.bot(free).tags == ["more"]
    assert len(shop.bot(full).tags) == 10
    assert "Full: A bot has at most 10 tags." in client.get("/bots").text


def test_the_palette_names_own_bots_only(shop: Shop, client: Client, login_as: Login) -> None:
    bot_id, gone = shop.add_bot("Mine <i>"), shop.add_bot("Gone")
    with transaction():
        tags.set_tags(shop.user_id, bot_id, "quiet")
        service.delete_bot(shop.user_id, gone)
    page = client.get("/bots/palette").text
    assert f'data-go="/bots/{bot_id}"' in page
    assert "Mine &lt;i&gt;" in page
    assert "quiet" in page
    assert "Gone" not in page
    assert "Mine" not in login_as(make_user()).get("/bots/palette").text
