"""Tickets, what both sides wrote in them, and what only staff see."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId
from app.support.rules import State, Topic


def _one_of(column: str, words: Iterable[StrEnum]) -> CheckConstraint:
    known = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} in ({known})", name=column)


class Ticket(Base):
    """A customer's matter. `key` names the form it came from: sent twice, it is one ticket.

    `waiting_since` is when the customer wrote what nobody has answered; the queue is in its order.
    """

    __tablename__ = "support_tickets"
    __table_args__ = (
        UniqueConstraint("user_id", "key"),
        _one_of("state", State),
        _one_of("topic", Topic),
        CheckConstraint("(state = 'open') = (waiting_since is not null)", name="waiting_since"),
        CheckConstraint("(state = 'closed') = (closed_at is not null)", name="closed_at"),
        Index(None, "state", "waiting_since"),
        Index(None, "user_id", "updated_at"),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    key: Mapped[str]
    subject: Mapped[str]
    topic: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=State.OPEN.value)
    bot_id: Mapped[int | None] = mapped_column(ForeignKey("bots.id"), index=True)
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    waiting_since: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    # When either side wrote last.
    updated_at: Mapped[datetime]


class TicketMessage(Base):
    """What the customer or staff wrote; never changed afterwards."""

    __tablename__ = "support_messages"
    __table_args__ = (UniqueConstraint("ticket_id", "key"),)

    id: Mapped[RowId]
    ticket_id: Mapped[int] = mapped_column(ForeignKey("support_tickets.id"))
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    from_staff: Mapped[bool]
    key: Mapped[str]
    text: Mapped[str]
    at: Mapped[CreatedAt]


class TicketNote(Base):
    """What staff write for staff. A table of its own, so that no page of a customer reads it."""

    __tablename__ = "support_notes"
    __table_args__ = (UniqueConstraint("ticket_id", "key"),)

    id: Mapped[RowId]
    ticket_id: Mapped[int] = mapped_column(ForeignKey("support_tickets.id"))
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    key: Mapped[str]
    text: Mapped[str]
    at: Mapped[CreatedAt]
