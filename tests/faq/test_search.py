from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.db import db, utc_now
from app.errors import NotFound
from app.faq import jobs, queries, rules, service
from app.faq.models import FaqArticle, FaqSearch, FaqText, FaqVote
from app.transactions import transaction
from tests.long import few


@pytest.fixture(autouse=True)
def articles(database: None) -> None:
    with transaction():
        service.seed_faq()


@pytest.mark.parametrize(
    ("query", "language", "slug"),
    few(
        [
            ("stop loss", "en", "stop-loss"),
            ("commissions", "en", "fees"),
            ("how are my keys kept", "en", "keys-are-kept"),
            ("tax", "en", "taxes"),
            ("emergenc", "en", "emergency-stop"),
            ("комиссия", "ru", "fees"),
            ("налоги", "ru", "taxes"),
            ("как хранятся ключи", "ru", "keys-are-kept"),
            ("аварийн", "ru", "emergency-stop"),
            ("imposto", "pt_BR", "taxes"),
            ("parada de emergência", "pt_BR", "emergency-stop"),
            ("taxas", "pt_BR", "fees"),
            ("chaves", "pt_BR", "keys-are-kept"),
        ],
        2,
    ),
)
def test_search_knows_the_forms_of_words_in_each_language(
    query: str, language: str, slug: str
) -> None:
    found = [article.slug for article in queries.search(query, language).articles]
    assert slug in found[:3], found


@pytest.mark.parametrize(
    ("query", "language", "slug"),
    [
        ("emergancy", "en", "emergency-stop"),
        ("искуственные", "ru", "demo-prices"),
        ("комисии", "ru", "fees"),
        ("emergencia", "pt_BR", "emergency-stop"),
        ("impostto", "pt_BR", "taxes"),
    ],
)
def test_typing_mistakes_are_forgiven(query: str, language: str, slug: str) -> None:
    found = [article.slug for article in queries.search(query, language).articles]
    assert slug in found[:4], found


def test_a_corrected_search_says_what_was_searched_for() -> None:
    assert queries.search("witdrawal", "en").corrected == "withdrawal"
    assert queries.search("withdrawal", "en").corrected is None


def test_words_of_another_language_find_the_article_in_the_readers() -> None:
    found = queries.search("налоги", "en").articles
    assert (found[0].slug, found[0].language) == ("taxes", "en")


def test_all_words_count_before_any_word() -> None:
    found = [one.slug for one in queries.search("emergency helicopter", "en").articles]
    assert "emergency-stop" in found


def test_yo_is_found_as_ye() -> None:
    text = db.session.scalars(select(FaqText).where(FaqText.language == "ru").limit(1)).one()
    text.question = "Что такое ёлочка?"
    db.session.commit()
    for query in ("елочка", "ёлочка", "Ёлочка"):
        assert queries.search(query, "ru").articles[0].question == text.question


@pytest.mark.parametrize(
    "query",
    few(["", "   ", "the", "&", "!!", "a:*b", "'); drop table users; --", "%", "_", "\\", "\x00",
     "😀", "x" * 100_000, "a " * 5_000, "(((", ":*", "<->", "\u0000\u202e"], 4),
)  # fmt: skip
def test_odd_searches_do_no_harm(query: str) -> None:
    for language in rules.SEARCH_CONFIGS:
        queries.search(query, language)


def test_percent_and_underscore_are_no_wildcards() -> None:
    assert queries.search("_%_%_", "en").articles == ()


def test_unpublished_articles_are_nowhere() -> None:
    taxes = db.session.scalars(select(FaqArticle).where(FaqArticle.slug == "taxes")).one()
    taxes.published = False
    db.session.commit()
    assert queries.article("taxes", "en") is None
    assert "taxes" not in [one.slug for one in queries.search("tax", "en").articles]
    shelves = queries.categories("en")
    assert "taxes" not in [one.slug for articles in shelves.values() for one in articles]
    risk = queries.article("risk", "en")
    assert risk is not None
    assert "taxes" not in [one.slug for one in queries.related(risk, "en")]
    with pytest.raises(NotFound), transaction():
        service.vote("taxes", "user:1", True)


def test_a_missing_language_falls_back_to_english() -> None:
    taxes = db.session.scalars(select(FaqArticle).where(FaqArticle.slug == "taxes")).one()
    taxes.texts = [text for text in taxes.texts if text.language != "ru"]
    db.session.commit()
    article = queries.article("taxes", "ru")
    assert article is not None and article.language == "en"


def test_related_articles_come_in_the_named_order_and_never_the_article_itself() -> None:
    fees = queries.article("fees", "en")
    assert fees is not None
    slugs = [one.slug for one in queries.related(fees, "en")]
    assert slugs[:2] == ["range-and-grids", "grid-profit-and-total"]
    assert "fees" not in slugs and len(slugs) == 4


def test_seeding_again_keeps_what_staff_wrote_and_adds_what_is_missing() -> None:
    texts = db.session.scalars(
        select(FaqText).join(FaqArticle).where(FaqArticle.slug == "taxes")
    ).all()
    by_language = {text.language: text for text in texts}
    articles = db.session.scalar(select(func.count(FaqArticle.id)))
    by_language["en"].question = "Our own question?"
    db.session.delete(by_language["ru"])
    db.session.commit()
    with transaction():
        service.seed_faq()
    english, russian = queries.article("taxes", "en"), queries.article("taxes", "ru")
    assert english is not None and english.question == "Our own question?"
    assert russian is not None and russian.language == "ru"
    assert db.session.scalar(select(func.count(FaqArticle.id))) == articles


def test_one_vote_a_voter_and_the_last_word_counts() -> None:
    with transaction():
        service.vote("fees", "user:1", True)
        service.vote("fees", "user:1", False)
        service.vote("fees", "reader:abc", True)
    fees = queries.article("fees", "en")
    assert fees is not None
    assert queries.votes(fees.id) == queries.Votes(helped=1, not_helped=1)
    assert queries.vote_of(fees.id, "user:1") is False
    assert queries.vote_of(fees.id, "user:2") is None
    assert db.session.scalar(select(func.count(FaqVote.id))) == 2


def test_staff_see_what_was_searched_in_vain_most_frequent_first() -> None:
    with transaction():
        for query in ("Leverage", "leverage", "futures"):
            service.record_search(query, "en", 0)
        service.record_search("fees", "en", 3)
        service.record_search(" \x00 ", "en", 0)
    missed = queries.missed_searches()
    assert [(one.query, one.times) for one in missed] == [("leverage", 2), ("futures", 1)]


def test_old_searches_are_forgotten() -> None:
    with transaction():
        service.record_search("old", "en", 0)
        service.record_search("new", "en", 0)
        old = db.session.scalars(select(FaqSearch).where(FaqSearch.query == "old")).one()
        old.at = utc_now() - service.SEARCHES_KEPT - timedelta(seconds=1)
    jobs.purge_searches()
    assert db.session.scalars(select(FaqSearch.query)).all() == ["new"]
