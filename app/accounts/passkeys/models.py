"""The table of passkeys."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, CreatedAt, RowId


class Passkey(Base):
    """The public half of a key pair whose private half never leaves the person's device.

    Ids, keys and handles are base64url, as browsers send them.
    """

    __tablename__ = "passkeys"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    credential_id: Mapped[str] = mapped_column(unique=True)
    public_key: Mapped[str]
    # What the device knows the person by: random, the same for all passkeys of a person.
    user_handle: Mapped[str]
    # The host for which browsers use it (party.py).
    rp_id: Mapped[str]
    # How often it was used, as the device says; many devices always say 0.
    sign_count: Mapped[int] = mapped_column(default=0)
    # Whether the owner's other devices have it too.
    backed_up: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[datetime | None]
    # Since when it opens nothing: its count went back, so somebody may hold a copy.
    locked_at: Mapped[datetime | None]
