"""Reads: articles in the reader's language, search, and what staff want to know."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import REGCONFIG

from app.cache import Cache
from app.db import db
from app.faq import rules
from app.faq.models import FaqArticle, FaqSearch, FaqText, FaqVote

MAX_RESULTS = 20
RELATED = 4


@dataclass(frozen=True, slots=True)
class Article:
    """An article in one language; `language` differs from the asked one where a text is missing."""

    id: int
    slug: str
    category: str
    language: str
    question: str
    answer: str
    related: tuple[str, ...]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and the words that were looked for if they differ from the typed."""

    articles: tuple[Article, ...]
    corrected: str | None = None


@dataclass(frozen=True, slots=True)
class Votes:
    """How many voters an article helped, and how many not."""

    helped: int
    not_helped: int


@dataclass(frozen=True, slots=True)
class MissedSearch:
    """A search text that found nothing: how often, and when last."""

    query: str
    language: str
    times: int
    last_at: datetime


def categories(language: str) -> dict[str, list[Article]]:
    """Return all published articles by category, in the order of the shelves."""
    shelves: dict[str, list[Article]] = {category.value: [] for category in rules.Category}
    for article in _published(language):
        shelves.setdefault(article.category, []).append(article)
    return {category: articles for category, articles in shelves.items() if articles}


def article(slug: str, language: str) -> Article | None:
    """Return a published article, in English where the language is missing."""
    if not rules.is_slug(slug):
        return None
    found = db.session.scalar(
        select(FaqArticle).where(FaqArticle.slug == slug, FaqArticle.published)
    )
    return _in_language(found, language) if found is not None and found.texts else None


def related(to: Article, language: str) -> tuple[Article, ...]:
    """Return what to read next: the named articles, then others of the same category."""
    others = [other for other in _published(language) if other.slug != to.slug]
    wanted = {slug: place for place, slug in enumerate(to.related)}
    near = [other for other in others if other.slug in wanted or other.category == to.category]
    near.sort(key=lambda other: wanted.get(other.slug, len(wanted)))
    return tuple(near[:RELATED])


def by_slugs(slugs: Sequence[str], language: str) -> tuple[Article, ...]:
    """Return the published ones of some articles, in the given order."""
    found = {one.slug: one for one in _published(language)}
    return tuple(found[slug] for slug in slugs if slug in found)


def forget_articles() -> None:
    """Make every process read the articles anew; to be called after the commit."""
    _ARTICLES.drop()


def search(query: str, language: str) -> Found:
    """Find articles: the reader's language first, then typing mistakes, then other languages.

    Every step is taken only when the one before found nothing.
    """
    query = rules.tidy_query(query)
    words = rules.words_of(query)
    if not query:
        return Found(())
    ids = _ids(words, query, language)
    if ids:
        return Found(_articles(ids, language))
    corrected = rules.correct_words(words, _vocabulary(language))
    if corrected != words:
        ids = _ids(corrected, " ".join(corrected), language)
        if ids:
            return Found(_articles(ids, language), corrected=" ".join(corrected))
    ids = _ids_by_words(corrected, " | ", language) if len(words) > 1 else []
    if ids:
        return Found(_articles(ids, language))
    for other in rules.SEARCH_CONFIGS:
        ids = _ids(words, query, other) if other != language else []
        if ids:
            return Found(_articles(ids, language))
    return Found(())


def votes(article_id: int) -> Votes:
    """Count an article's votes."""
    helped, total = db.session.execute(
        select(func.count().filter(FaqVote.helped), func.count()).where(
            FaqVote.article_id == article_id
        )
    ).one()
    return Votes(helped, total - helped)


def vote_of(article_id: int, voter: str) -> bool | None:
    """Return what somebody voted, if they did."""
    return db.session.scalar(
        select(FaqVote.helped).where(FaqVote.article_id == article_id, FaqVote.voter == voter)
    )


def missed_searches(limit: int = 100) -> tuple[MissedSearch, ...]:
    """Return what people looked for in vain, the most frequent first."""
    query = func.lower(FaqSearch.query)
    times, last_at = func.count(), func.max(FaqSearch.at)
    rows = db.session.execute(
        select(query, FaqSearch.language, times, last_at)
        .where(FaqSearch.results == 0)
        .group_by(query, FaqSearch.language)
        .order_by(times.desc(), last_at.desc())
        .limit(limit)
    )
    return tuple(MissedSearch(*row) for row in rows)


def _ids(words: list[str], query: str, language: str) -> list[int]:
    """Return ids by rank: all words (each also as a beginning), else the text as it stands."""
    found = _ids_by_words(words, " & ", language) if words else []
    return found or _ids_by_part(query, language)


def _ids_by_words(words: list[str], operator: str, language: str) -> list[int]:
    config = cast(rules.SEARCH_CONFIGS[language], REGCONFIG)
    # Words hold letters, digits and _ only, so they can't break the query's grammar.
    wanted = func.to_tsquery(config, operator.join(f"{word}:*" for word in words))
    document = _document(config)
    return list(
        db.session.scalars(
            _searchable(language)
            .where(document.bool_op("@@")(wanted))
            .order_by(func.ts_rank(document, wanted).desc(), FaqArticle.position)
            .limit(MAX_RESULTS)
        )
    )


def _ids_by_part(query: str, language: str) -> list[int]:
    in_question = FaqText.question.icontains(query, autoescape=True)
    anywhere = in_question | FaqText.answer.icontains(query, autoescape=True)
    return list(
        db.session.scalars(
            _searchable(language)
            .where(anywhere | FaqText.keywords.icontains(query, autoescape=True))
            .order_by(case((in_question, 0), else_=1), FaqArticle.position)
            .limit(MAX_RESULTS)
        )
    )


def _document(config: ColumnElement[str]) -> ColumnElement[str]:
    """Weigh the question above the keywords above the answer."""
    parts = ((FaqText.question, "'A'"), (FaqText.keywords, "'B'"), (FaqText.answer, "'C'"))
    vectors = [
        func.setweight(
            func.to_tsvector(config, func.translate(column, "ёЁ", "еЕ")), literal_column(weight)
        )
        for column, weight in parts
    ]
    return vectors[0].op("||")(vectors[1]).op("||")(vectors[2])


def _searchable(language: str) -> Select[int]:
    return (
        select(FaqArticle.id)
        .join(FaqText, FaqText.article_id == FaqArticle.id)
        .where(FaqArticle.published, FaqText.language == language)
    )


def _vocabulary(language: str) -> frozenset[str]:
    texts = db.session.execute(
        select(FaqText.question, FaqText.keywords, FaqText.answer)
        .join(FaqArticle)
        .where(FaqArticle.published, FaqText.language == language)
    )
    return frozenset(word for row in texts for part in row for word in rules.all_words(part))


def _published(language: str) -> tuple[Article, ...]:
    """Return all published articles, by position."""
    return _ARTICLES.get(language, lambda: _read_published(language))


def _read_published(language: str) -> tuple[Article, ...]:
    articles = db.session.scalars(
        select(FaqArticle)
        .where(FaqArticle.published, FaqArticle.texts.any())
        .order_by(FaqArticle.position, FaqArticle.id)
    )
    return tuple(_in_language(found, language) for found in articles)


def _articles(ids: Iterable[int], language: str) -> tuple[Article, ...]:
    found: Mapping[int, FaqArticle] = {
        one.id: one
        for one in db.session.scalars(select(FaqArticle).where(FaqArticle.id.in_(list(ids))))
    }
    return tuple(_in_language(found[one], language) for one in ids)


def _in_language(found: FaqArticle, language: str) -> Article:
    texts = {text.language: text for text in found.texts}
    text = texts.get(language) or texts.get(rules.DEFAULT_LANGUAGE) or found.texts[0]
    return Article(
        id=found.id,
        slug=found.slug,
        category=found.category,
        language=text.language,
        question=text.question,
        answer=text.answer,
        related=tuple(found.related),
        updated_at=text.updated_at,
    )


def _dump_articles(articles: tuple[Article, ...]) -> list[dict[str, Any]]:
    return [{**asdict(one), "updated_at": one.updated_at.isoformat()} for one in articles]


def _load_articles(kept: list[dict[str, Any]]) -> tuple[Article, ...]:
    return tuple(
        Article(
            **one
            | {
                "related": tuple(one["related"]),
                "updated_at": datetime.fromisoformat(one["updated_at"]),
            }
        )
        for one in kept
    )


_ARTICLES = Cache("faq_articles", 60, _dump_articles, _load_articles)
