"""Questions and answers in several languages, votes, and searches that found nothing."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, CreatedAt, RowId


class FaqArticle(Base):
    """One question; its words stand in the translations."""

    __tablename__ = "faq_articles"

    id: Mapped[RowId]
    slug: Mapped[str] = mapped_column(unique=True)
    category: Mapped[str]
    position: Mapped[int] = mapped_column(Integer, default=0)
    published: Mapped[bool] = mapped_column(default=True)
    # Slugs of the articles to read next.
    related: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    created_at: Mapped[CreatedAt]

    texts: Mapped[list["FaqText"]] = relationship(lazy="selectin", cascade="all, delete-orphan")


class FaqText(Base):
    """Question and answer in one language; the answer is Markdown-like plain text."""

    __tablename__ = "faq_texts"
    __table_args__ = (UniqueConstraint("article_id", "language"),)

    id: Mapped[RowId]
    article_id: Mapped[int] = mapped_column(ForeignKey("faq_articles.id", ondelete="CASCADE"))
    language: Mapped[str]
    question: Mapped[str]
    answer: Mapped[str]
    keywords: Mapped[str] = mapped_column(default="")
    updated_at: Mapped[datetime]


class FaqVote(Base):
    """Helped or did not, one vote a voter and article."""

    __tablename__ = "faq_votes"
    __table_args__ = (UniqueConstraint("article_id", "voter"),)

    id: Mapped[RowId]
    article_id: Mapped[int] = mapped_column(ForeignKey("faq_articles.id", ondelete="CASCADE"))
    voter: Mapped[str]
    helped: Mapped[bool]
    at: Mapped[CreatedAt]


class FaqSearch(Base):
    """What was searched for and how much was found."""

    __tablename__ = "faq_searches"
    __table_args__ = (Index(None, "results", "at"),)

    id: Mapped[RowId]
    query: Mapped[str]
    language: Mapped[str]
    results: Mapped[int] = mapped_column(Integer)
    at: Mapped[CreatedAt]
