"""Promotion codes, and who has taken one for which purchase."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId


class RedemptionState(StrEnum):
    """RESERVED waits for its purchase to be paid, USED is paid, RELEASED came to nothing."""

    RESERVED = "reserved"
    USED = "used"
    RELEASED = "released"


class PromoCode(Base):
    """A code that takes a share or an amount off the first periods, or off all of them.

    `periods` is off how many; None: off all. `redeemed` counts what is reserved or used.
    """

    __tablename__ = "promo_codes"
    __table_args__ = (
        UniqueConstraint("code"),
        CheckConstraint("code ~ '^[A-Z0-9][A-Z0-9_-]{2,39}$'", name="code"),
        CheckConstraint("num_nonnulls(percent, amount) = 1", name="one_value"),
        CheckConstraint("percent > 0 and percent <= 100", name="percent"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("(amount is null) = (currency is null)", name="currency"),
        CheckConstraint("periods >= 1", name="periods"),
        CheckConstraint("max_redemptions >= 1", name="max_redemptions"),
        CheckConstraint("redeemed >= 0", name="redeemed"),
    )

    id: Mapped[RowId]
    code: Mapped[str]
    percent: Mapped[Decimal | None]
    amount: Mapped[Decimal | None]
    currency: Mapped[str | None]
    periods: Mapped[int | None] = mapped_column(Integer)
    max_redemptions: Mapped[int | None] = mapped_column(Integer)
    redeemed: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    # For which plans; an empty list: for all that is sold.
    plans: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    expires_at: Mapped[datetime | None]
    active: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    created_at: Mapped[CreatedAt]


class PromoRedemption(Base):
    """A person's one use of a code, and the purchase that it is for.

    `period` is that of the purchase: later periods of another length cost their full price.
    """

    __tablename__ = "promo_redemptions"
    __table_args__ = (
        UniqueConstraint("user_id", "code_id"),
        UniqueConstraint("key"),
        CheckConstraint("state in ('reserved', 'used', 'released')", name="state"),
    )

    id: Mapped[RowId]
    code_id: Mapped[int] = mapped_column(ForeignKey("promo_codes.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    key: Mapped[str]
    state: Mapped[str] = mapped_column(default=RedemptionState.RESERVED.value)
    period: Mapped[str]
    reserved_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    released_at: Mapped[datetime | None]
