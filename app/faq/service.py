"""Verbs: fill in the articles that come with the product, vote, remember searches."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

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
    ids = _article_ids(index["article"])
    texts = [
        {
            "article_id": article_id,
            "language": language,
            "question": text.question,
            "answer": text.answer,
            "keywords": text.keywords,
            "updated_at": now,
        }
        for slug, article_id in ids.items()
        for language in rules.SEARCH_CONFIGS
        for text in [read_text(slug, language)]
    ]
    db.session.execute(insert(FaqText).on_conflict_do_nothing(), texts)
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


def _article_ids(entries: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Add the articles that are missing; return the ids of all by slug, in order."""
    rows = [
        {
            "slug": entry["slug"],
            "category": entry["category"],
            "position": position,
            "related": entry.get("related", []),
            "published": True,
        }
        for position, entry in enumerate(entries)
    ]
    statement = insert(FaqArticle).values(rows)
    # Setting the slug to itself makes an existing row come back, too.
    slug = {"slug": statement.excluded.slug}
    added = statement.on_conflict_do_update(index_elements=["slug"], set_=slug)
    found = db.session.execute(added.returning(FaqArticle.slug, FaqArticle.id))
    ids = {name: int(article_id) for name, article_id in found}
    return {entry["slug"]: ids[entry["slug"]] for entry in entries}
