"""What the provider of the demonstration keeps; nothing of ours refers to it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt


class DemoObject(Base):
    """A page, a payment, a refund, a dispute or a customer; amounts are texts in `data`."""

    __tablename__ = "demo_objects"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    parent: Mapped[str] = mapped_column(default="", server_default="", index=True)
    data: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class DemoEvent(Base):
    """A callback that is to be delivered, and delivered again until it is taken."""

    __tablename__ = "demo_events"
    __table_args__ = (
        Index("ix_demo_events_due", "due_at", postgresql_where=text("delivered_at is null")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[str]
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
