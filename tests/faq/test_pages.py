from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.accounts.models import User
from app.db import db
from app.faq import service
from app.faq.models import FaqSearch, FaqVote
from app.transactions import transaction
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user


@pytest.fixture(autouse=True)
def articles(database: None) -> None:
    with transaction():
        service.seed_faq()


def test_the_help_shows_every_article_in_the_readers_language(client: Client) -> None:
    for language, words in (("en", "What is a grid bot?"), ("ru", "Что такое сеточный бот?")):
        page = client.get("/faq", headers={"Accept-Language": language}).text
        assert words in page
        assert page.count('href="/faq/') >= 19


def test_an_article_shows_its_answer_and_what_to_read_next(client: Client) -> None:
    page = client.get("/faq/fees", headers={"Accept-Language": "pt-BR"}).text
    assert "Como as taxas mudam o resultado?" in page
    assert "<strong>maker</strong>" in page
    assert 'href="/faq/range-and-grids"' in page
    assert "style=" not in page and "onclick" not in page


@pytest.mark.parametrize("slug", ["nothing", "x" * 3_000, "%00", "..%2f..", "😀"])
def test_unknown_articles_are_not_found(client: Client, slug: str) -> None:
    assert client.get(f"/faq/{slug}").status_code == 404


def test_a_search_lists_answers_and_is_remembered(client: Client) -> None:
    page = client.get("/faq?q=tax").text
    assert 'href="/faq/taxes"' in page
    assert client.get("/faq?q=zzzzzzzz").status_code == 200
    rows = db.session.execute(select(FaqSearch.query, FaqSearch.results).order_by(FaqSearch.id))
    (first, first_results), (second, second_results) = rows
    assert (first, second, second_results) == ("tax", "zzzzzzzz", 0)
    assert first_results > 0


@pytest.mark.parametrize("query", ["%0B", "<script>alert(1)</script>", "a" * 9_000, "%F0%9F%98%80"])
def test_hostile_searches_are_answered_and_escaped(client: Client, query: str) -> None:
    answer = client.get(f"/faq?q={query}")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text


def test_looking_without_searching_writes_nothing(client: Client) -> None:
    client.get("/faq")
    client.get("/faq?q=%20%0B")
    assert db.session.scalar(select(func.count(FaqSearch.id))) == 0


def votes() -> list[tuple[str, bool]]:
    rows = db.session.execute(select(FaqVote.voter, FaqVote.helped).order_by(FaqVote.id))
    return [(row.voter, row.helped) for row in rows]


def test_a_visitor_votes_once_and_may_change_it(app: Flask, client: Client) -> None:
    answer = client.post_form("/faq/fees/vote", {"helped": "yes"})
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/faq/fees#vote"
    client.post_form("/faq/fees/vote", {"helped": "no"})
    assert [helped for _, helped in votes()] == [False]
    assert "You can change it" in client.get("/faq/fees").text
    new_client(app).post_form("/faq/fees/vote", {"helped": "yes"})
    assert [helped for _, helped in votes()] == [False, True]


def test_a_person_has_one_vote_in_every_browser(login_as: Callable[[User], Client]) -> None:
    with transaction():
        user = make_user()
    login_as(user).post_form("/faq/fees/vote", {"helped": "yes"})
    login_as(user).post_form("/faq/fees/vote", {"helped": "no"})
    assert votes() == [(f"user:{user.id}", False)]


def test_votes_that_say_nothing_are_refused(client: Client) -> None:
    assert client.post_form("/faq/fees/vote", {"helped": "perhaps"}).status_code == 400
    assert client.post_form("/faq/fees/vote").status_code == 400
    for slug in ("nothing", "%00", "x" * 3_000):
        assert client.post_form(f"/faq/{slug}/vote", {"helped": "yes"}).status_code == 404
    assert votes() == []


def test_a_vote_without_token_is_refused(client: Client) -> None:
    assert client.post("/faq/fees/vote", data={"helped": "yes"}).status_code == 400
    assert votes() == []


def test_signed_in_readers_stay_in_the_cabinet(login_as: Callable[[User], Client]) -> None:
    with transaction():
        user = make_user()
    page = login_as(user).get("/faq").text
    assert "data-events" in page and page.count("<h1") == 1
