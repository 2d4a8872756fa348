"""Orders to providers, stored before they are sent, and promotion codes of ours there."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId


class CommandState(StrEnum):
    """WAITING is still to be confirmed; REFUSED was answered no; DROPPED gave way to another."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    DROPPED = "dropped"


class PromoState(StrEnum):
    """WAITING is to be made there and ENDING to be switched off; REFUSED was answered no."""

    WAITING = "waiting"
    MADE = "made"
    ENDING = "ending"
    ENDED = "ended"
    REFUSED = "refused"


class RailPromo(Base):
    """A promotion code of ours at a provider; its id makes the key, so that it is made once.

    `months` is for how long it holds there; 0: as often as the code itself says, once or for ever.
    """

    __tablename__ = "rail_promos"
    __table_args__ = (
        CheckConstraint("state in ('waiting', 'made', 'ending', 'ended', 'refused')", name="state"),
        CheckConstraint("months >= 0", name="months"),
        UniqueConstraint("rail", "code_id", "months"),
        Index(
            "ix_rail_promos_due",
            "due_at",
            postgresql_where=text("state in ('waiting', 'ending')"),
        ),
    )

    id: Mapped[RowId]
    rail: Mapped[str]
    code_id: Mapped[int] = mapped_column(ForeignKey("promo_codes.id"), index=True)
    months: Mapped[int] = mapped_column(Integer)
    external_id: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default=PromoState.WAITING.value)
    round: Mapped[int] = mapped_column(Integer, server_default="0")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]


class RailCommand(Base):
    """An order about a subscription at its provider; its id makes the key, so that it acts once.

    One that is `owed` is sent until the provider confirms it; others wait for their person to ask
    again. `round` is part of the key: it grows when the provider keeps a fault for the old one.
    """

    __tablename__ = "rail_commands"
    __table_args__ = (
        CheckConstraint("state in ('waiting', 'done', 'refused', 'dropped')", name="state"),
        Index(
            "uq_rail_commands_one_waiting",
            "rail",
            "subscription_ref",
            unique=True,
            postgresql_where=text("state = 'waiting'"),
        ),
        Index(
            "ix_rail_commands_due", "due_at", postgresql_where=text("state = 'waiting' and owed")
        ),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    rail: Mapped[str]
    subscription_ref: Mapped[str]
    verb: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    owed: Mapped[bool]
    state: Mapped[str] = mapped_column(server_default=CommandState.WAITING.value)
    round: Mapped[int] = mapped_column(Integer, server_default="0")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    done_at: Mapped[datetime | None]
