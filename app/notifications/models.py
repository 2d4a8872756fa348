"""The outbox: messages that wait for the commit that caused them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt


class MessageState(StrEnum):
    """PENDING waits, SENT left, CAUGHT stays here (no mail server set), FAILED gave up."""

    PENDING = "pending"
    SENT = "sent"
    CAUGHT = "caught"
    FAILED = "failed"


class OutboxMessage(Base):
    """One message to one person; subject and body are sealed, because codes stand in them."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_due", "next_try_at", postgresql_where=text("state = 'pending'")),
    )

    # Taken from the sequence before the insert: the sealed body is bound to it.
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    channel: Mapped[str] = mapped_column(default="email")
    # For a text message only enough of the number to recognise it; the number itself is sealed.
    recipient: Mapped[str]
    sealed_recipient: Mapped[str | None]
    template: Mapped[str]
    language: Mapped[str]
    sealed_subject: Mapped[str]
    sealed_body: Mapped[str]
    state: Mapped[str] = mapped_column(default=MessageState.PENDING.value)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    next_try_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
