"""Verbs: fill in the articles that come with the product, vote, remember searches."""

import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from app.db import db, utc_now
from app.errors import NotFound
from app.faq import queries, rules
from app.faq.models import FaqArticle, FaqSearch, FaqText, FaqVote
from app.transactions import after_commit

CONTENT = Path(__file__).resolve().parent / "content"
SEARCHES_KEPT = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class ArticleText:
    """One article in one language as its file has it."""

    question: str
    keywords: str
    answer: str


def seed_faq() -> None:
    """Add the articles and translations that are missing; what stands is left alone."""
    index = tomllib.loads((CONTENT / "articles.toml").read_text(encoding="utf-8"))
    now = utc_now()
    for position, entry in enumerate(index["article"]):
        article_id = _article_id(entry, position)
        for language in rules.SEARCH_CONFIGS:
            text = read_text(entry["slug"], language)
            values = {
                "article_id": article_id,
                "language": language,
                "question": text.question,
                "answer": text.answer,
                "keywords": text.keywords,
                "updated_at": now,
            }
            db.session.execute(insert(FaqText).values(values).on_conflict_do_nothing())
    after_commit(queries.forget_articles)


def read_text(slug: str, language: str) -> ArticleText:
    """Read an article's file: `# question`, `Keywords: …`, and the answer."""
    path = CONTENT / slug / f"{language}.md"
    title, keywords, answer = path.read_text(encoding="utf-8").split("\n", 2)
    if not title.startswith("# ") or not keywords.startswith("Keywords: "):
        raise ValueError(f"{path.name} of {slug} does not begin with a question and keywords")
    return ArticleText(title[2:].strip(), keywords.partition(": ")[2].strip(), answer.strip())


def vote(slug: str, voter: str, helped: bool) -> None:
    """Count a voter's word on an article; a second one replaces the first."""
    if not rules.is_slug(slug):
        raise NotFound("unknown_article")
    article_id = db.session.scalar(
        select(FaqArticle.id).where(FaqArticle.slug == slug, FaqArticle.published)
    )
    if article_id is None:
        raise NotFound("unknown_article")
    statement = insert(FaqVote).values(article_id=article_id, voter=voter, helped=helped)
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=["article_id", "voter"], set_={"helped": helped}
        )
    )


def record_search(query: str, language: str, results: int) -> None:
    """Remember what was searched for and how much was found."""
    query = rules.tidy_query(query)
    if query:
        db.session.add(FaqSearch(query=query, language=language, results=results))


def purge_searches(now: datetime | None = None) -> None:
    """Forget searches older than SEARCHES_KEPT."""
    oldest = (now or utc_now()) - SEARCHES_KEPT
    db.session.execute(delete(FaqSearch).where(FaqSearch.at < oldest))


def _article_id(entry: dict[str, str | list[str]], position: int) -> int:
    values = {
        "slug": entry["slug"],
        "category": entry["category"],
        "position": position,
        "related": entry.get("related", []),
        "published": True,
    }
    statement = insert(FaqArticle).values(values)
    # Setting the slug to itself makes an existing row come back, too.
    slug = {"slug": statement.excluded.slug}
    added = statement.on_conflict_do_update(index_elements=["slug"], set_=slug)
    return int(db.session.execute(added.returning(FaqArticle.id)).scalar_one())
