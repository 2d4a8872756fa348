"""How far missed callbacks were looked for, and what came of comparing books with providers."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId


class RailBackfill(Base):
    """Up to which callback of a rail everything that was missed has been fetched, and when."""

    __tablename__ = "rail_backfills"

    rail: Mapped[str] = mapped_column(primary_key=True)
    last_id: Mapped[str | None]
    looked_at: Mapped[datetime]


class Reconciliation(Base):
    """One comparison of our books with those of a rail; it goes on where it stopped.

    `kind` and `after` say what is to be compared next. `others` counts what is nobody's here,
    `fixed` what was brought in line, `differences` what could not be.
    """

    __tablename__ = "reconciliations"
    __table_args__ = (
        Index(
            "uq_reconciliations_running",
            "rail",
            unique=True,
            postgresql_where=text("ended_at is null"),
        ),
        Index("ix_reconciliations_started_at", "started_at"),
    )

    id: Mapped[RowId]
    rail: Mapped[str]
    since: Mapped[datetime]
    kind: Mapped[str | None]
    after: Mapped[str | None]
    compared: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    others: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    fixed: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    differences: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    started_at: Mapped[CreatedAt]
    moved_at: Mapped[CreatedAt]
    ended_at: Mapped[datetime | None]


class ReconciliationDifference(Base):
    """A figure that was not the same on both sides, and whether it is now."""

    __tablename__ = "reconciliation_differences"
    __table_args__ = (UniqueConstraint("run_id", "kind", "external_id", "field"),)

    id: Mapped[RowId]
    run_id: Mapped[int] = mapped_column(ForeignKey("reconciliations.id", ondelete="CASCADE"))
    kind: Mapped[str]
    external_id: Mapped[str]
    field: Mapped[str]
    here: Mapped[str]
    there: Mapped[str]
    is_fixed: Mapped[bool]
    reason: Mapped[str | None]
    created_at: Mapped[CreatedAt]


class ReconciliationAwaited(Base):
    """An object that our books have, and that was not met yet in those of the rail."""

    __tablename__ = "reconciliation_awaited"

    run_id: Mapped[int] = mapped_column(
        ForeignKey("reconciliations.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
