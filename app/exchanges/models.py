"""The catalogue, connected accounts, their leases, and the books of the paper venue."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId


class Exchange(Base):
    """A trading platform of the catalogue; what it can do stands in code, on/off stands here."""

    __tablename__ = "exchanges"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    enabled: Mapped[bool] = mapped_column(default=True)
    note: Mapped[str] = mapped_column(default="")


class ExchangeAccount(Base):
    """A customer's account at an exchange, or a paper account that trades on an exchange's prices.

    `exchange` is where orders go (`paper` or a real one); `venue` is whose prices, rules and fees
    hold. Keys are sealed under the owner's data key.
    """

    __tablename__ = "exchange_accounts"
    __table_args__ = (
        Index(None, "user_id"),
        # One name for each account a person has; one account for each key, whoever holds it.
        Index(
            "uq_exchange_accounts_label",
            "user_id",
            text("lower(label)"),
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "uq_exchange_accounts_key",
            "key_fingerprint",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        # Two keys of one account there would be two writers, and spend its money twice.
        Index(
            "uq_exchange_accounts_account",
            "account_fingerprint",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        CheckConstraint("(mode = 'paper') = (exchange = 'paper')", name="paper_mode"),
    )

    # Taken from the sequence before the insert: the sealed keys are bound to it.
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    exchange: Mapped[str] = mapped_column(ForeignKey("exchanges.code"))
    venue: Mapped[str] = mapped_column(ForeignKey("exchanges.code"))
    label: Mapped[str]
    mode: Mapped[str]
    testnet: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    sealed_key: Mapped[str | None]
    sealed_secret: Mapped[str | None]
    sealed_passphrase: Mapped[str | None]
    last_four: Mapped[str] = mapped_column(default="")
    # Hash of exchange, site and API key: the same key must never have two writers.
    key_fingerprint: Mapped[str | None]
    # The same of the account's number at the exchange, where it is told.
    account_fingerprint: Mapped[str | None]
    # The operator's partner id with which its orders go out; it may be part of their ids, so it
    # never changes.
    partner_id: Mapped[str] = mapped_column(default="")
    permissions: Mapped[dict[str, Any]] = mapped_column(default=dict)
    maker_fee: Mapped[Decimal]
    taker_fee: Mapped[Decimal]
    checked_at: Mapped[datetime | None]
    check_error: Mapped[str | None]
    fills_cursor: Mapped[str] = mapped_column(default="")
    funding_cursor: Mapped[str] = mapped_column(default="")
    # When our books were last compared with all that stands at the venue; None asks for it at once.
    audited_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    deleted_at: Mapped[datetime | None]


class AccountLease(Base):
    """The one writer of an account: a growing token fences off a writer that lost its lease."""

    __tablename__ = "account_leases"

    account_id: Mapped[int] = mapped_column(
        ForeignKey("exchange_accounts.id", ondelete="CASCADE"), primary_key=True
    )
    holder: Mapped[str]
    token: Mapped[int]
    expires_at: Mapped[datetime]


class AccountAudit(Base):
    """The last comparison of what our books and the venue say of an account's money.

    `venue` are the venue's totals by currency, `ours` what our bots have moved since their first
    fill, `foreign_fees` fees in a third currency counted in it, up to `fill_id`. From one
    comparison to the next both sides must move by the same. A difference is `pending` until a
    second comparison finds the same; then it is told and stays in `told` until staff has noted it.
    """

    __tablename__ = "account_audits"

    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"), primary_key=True)
    at: Mapped[datetime]
    venue: Mapped[dict[str, Any]]
    ours: Mapped[dict[str, Any]]
    foreign_fees: Mapped[dict[str, Any]]
    fill_id: Mapped[int] = mapped_column(default=0)
    pending: Mapped[dict[str, Any]] = mapped_column(default=dict)
    told: Mapped[dict[str, Any]] = mapped_column(default=dict)
    told_at: Mapped[datetime | None]


class PaperBalance(Base):
    """What the paper venue holds for an account in one currency.

    `free` is negative while a contract binds more margin than the wallet has left.
    """

    __tablename__ = "paper_balances"
    __table_args__ = (CheckConstraint("locked >= 0", name="locked_not_negative"),)

    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    free: Mapped[Decimal]
    locked: Mapped[Decimal]


class PaperStake(Base):
    """A position in a contract at the paper venue: coins (negative when short) and their cost."""

    __tablename__ = "paper_stakes"

    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"), primary_key=True)
    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"), primary_key=True)
    base: Mapped[Decimal]
    cost: Mapped[Decimal]
    leverage: Mapped[Decimal]


class PaperOrder(Base):
    """An order at the paper venue, as the venue sees it."""

    __tablename__ = "paper_orders"
    __table_args__ = (
        UniqueConstraint("account_id", "client_id"),
        Index("ix_paper_orders_open", "account_id", postgresql_where=text("status = 'open'")),
    )

    id: Mapped[RowId]
    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"))
    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"))
    client_id: Mapped[str]
    side: Mapped[str]
    kind: Mapped[str]
    price: Mapped[Decimal | None]
    quantity: Mapped[Decimal]
    filled: Mapped[Decimal] = mapped_column(default=Decimal(0))
    status: Mapped[str]
    placed_seq: Mapped[int]
    placed_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class PaperFill(Base):
    """A fill at the paper venue; `id` is the cursor by which an account asks for news."""

    __tablename__ = "paper_fills"
    __table_args__ = (
        UniqueConstraint("account_id", "trade_id"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[RowId]
    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"))
    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"))
    trade_id: Mapped[str]
    client_id: Mapped[str]
    side: Mapped[str]
    price: Mapped[Decimal]
    quantity: Mapped[Decimal]
    fee: Mapped[Decimal]
    fee_currency: Mapped[str]
    maker: Mapped[bool]
    point_seq: Mapped[int]
    at: Mapped[datetime]


class PaperFunding(Base):
    """A funding payment at the paper venue; `id` is the cursor by which an account asks for news.

    `amount` is negative when the position paid; `rate` and `price` say how it was counted.
    """

    __tablename__ = "paper_funding"
    __table_args__ = (
        UniqueConstraint("account_id", "market_id", "point_seq"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[RowId]
    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"))
    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"))
    point_seq: Mapped[int]
    at: Mapped[datetime]
    rate: Mapped[Decimal]
    price: Mapped[Decimal]
    amount: Mapped[Decimal]


class PaperCursor(Base):
    """The last price point that an account's book has seen of a market, and its price."""

    __tablename__ = "paper_cursors"

    account_id: Mapped[int] = mapped_column(ForeignKey("exchange_accounts.id"), primary_key=True)
    market_id: Mapped[int] = mapped_column(ForeignKey("markets.id"), primary_key=True)
    point_seq: Mapped[int]
    price: Mapped[Decimal]
    at: Mapped[datetime]
