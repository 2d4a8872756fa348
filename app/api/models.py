"""Answers that a program may ask for a second time."""

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId


class KeptAnswer(Base):
    """What was answered to a request with an Idempotency-Key; written with what it did."""

    __tablename__ = "api_answers"
    __table_args__ = (UniqueConstraint("user_id", "key"),)

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str]
    fingerprint: Mapped[str]
    body: Mapped[str | None]
    created_at: Mapped[CreatedAt]
