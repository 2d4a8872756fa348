"""The ledger: accounts, postings of balanced entries, kept balances, holds.

Postings and entries are only added; triggers of the database balance them, refuse changes and move
the kept balances (the migration `ledger` has them).
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId
from app.wallet.rules import HoldState

_NOW = func.clock_timestamp()


class LedgerAccount(Base):
    """One account in one commodity; `guard` is -1 for a liability that may not be overdrawn."""

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        UniqueConstraint("name", "commodity"),
        # What entries refer to, so that no line names another commodity than its account has.
        UniqueConstraint("id", "commodity"),
        CheckConstraint(r"name ~ '^[a-z]+\:[a-z0-9_.-]{1,40}$'", name="name"),
        CheckConstraint(r"kind = split_part(name, '\:', 1)", name="kind_of_name"),
        CheckConstraint("commodity ~ '^[A-Z][A-Za-z0-9_]{1,15}$'", name="commodity"),
        CheckConstraint(
            "guard = case when kind in ('wallet', 'frozen', 'points') then -1 else 0 end",
            name="guard",
        ),
        CheckConstraint(
            r"case when kind in ('wallet', 'frozen', 'points', 'referral')"
            r" then user_id is not null and split_part(name, '\:', 2) = 'u' || user_id"
            r" else user_id is null end",
            name="owner",
        ),
        Index(None, "user_id", postgresql_where=text("user_id is not null")),
        Index(None, "kind"),
    )

    id: Mapped[RowId]
    name: Mapped[str]
    kind: Mapped[str]
    commodity: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    guard: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[CreatedAt]


class LedgerPosting(Base):
    """One movement of money, under a key that books it once; never changed."""

    __tablename__ = "ledger_postings"
    __table_args__ = (
        CheckConstraint("length(key) between 1 and 200", name="key"),
        CheckConstraint("lines between 2 and 100", name="lines"),
        Index(None, "at"),
        Index("ix_ledger_postings_kind_at", "kind", "at"),
        Index(
            "ix_ledger_postings_refs",
            "refs",
            postgresql_using="gin",
            postgresql_ops={"refs": "jsonb_path_ops"},
        ),
    )

    id: Mapped[RowId]
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    rail: Mapped[str] = mapped_column(default="")
    # What it is about: "invoice:12", "payment:34", "stripe:ch_1".
    refs: Mapped[list[str]]
    # How it came about: rates, sources, reasons. No part of what is booked.
    details: Mapped[dict[str, Any]]
    # The posting that this one undoes; once.
    reverses_id: Mapped[int | None] = mapped_column(ForeignKey("ledger_postings.id"), unique=True)
    lines: Mapped[int] = mapped_column(SmallInteger)
    content_hash: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=_NOW)


class LedgerEntry(Base):
    """One line of a posting, debit positive; never changed."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("posting_id", "account_id"),
        ForeignKeyConstraint(
            ["account_id", "commodity"], ["ledger_accounts.id", "ledger_accounts.commodity"]
        ),
        CheckConstraint("amount <> 0", name="amount_not_zero"),
        Index(None, "account_id", "posting_id"),
    )

    id: Mapped[RowId]
    posting_id: Mapped[int] = mapped_column(ForeignKey("ledger_postings.id"))
    account_id: Mapped[int]
    commodity: Mapped[str]
    amount: Mapped[Decimal]


class LedgerBalance(Base):
    """What a guarded account holds, and how much of that is held: moved by triggers only."""

    __tablename__ = "ledger_balances"
    __table_args__ = (
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint("guard * posted >= held", name="not_overdrawn"),
        CheckConstraint("guard in (-1, 1)", name="guard"),
    )

    account_id: Mapped[int] = mapped_column(
        ForeignKey("ledger_accounts.id"), primary_key=True, autoincrement=False
    )
    guard: Mapped[int] = mapped_column(SmallInteger)
    posted: Mapped[Decimal]
    held: Mapped[Decimal]


class LedgerHold(Base):
    """Money of a guarded account that is set aside until it is taken, let go or expires."""

    __tablename__ = "ledger_holds"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("state in ('pending', 'captured', 'released', 'expired')", name="state"),
        CheckConstraint(
            "(state = 'pending') = (closed_at is null)"
            " and (state = 'captured') = (posting_key is not null)",
            name="closed",
        ),
        Index(
            "ix_ledger_holds_expiring",
            "expires_at",
            postgresql_where=text("state = 'pending'"),
        ),
        Index(None, "account_id"),
    )

    id: Mapped[RowId]
    key: Mapped[str] = mapped_column(unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("ledger_accounts.id"))
    amount: Mapped[Decimal]
    state: Mapped[str] = mapped_column(default=HoldState.PENDING.value)
    refs: Mapped[list[str]]
    expires_at: Mapped[datetime]
    # Of the posting that took it; named before that is written, which only then finds it free.
    posting_key: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    closed_at: Mapped[datetime | None]
