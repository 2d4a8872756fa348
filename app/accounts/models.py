"""People: users, profiles, data keys, codes, access tokens, the audit trail, the installation."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    FetchedValue,
    ForeignKey,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, CreatedAt, RowId

# Stands as the reason of the block from the moment on at which an account is being erased. Reasons
# that staff give begin with no blank, so none of them is taken for it.
ERASED = " erased"


class Role(StrEnum):
    """What a person is here; rights follow from `permissions.py`."""

    CUSTOMER = "customer"
    SUPPORT = "support"
    MANAGER = "manager"
    ADMIN = "admin"


class User(Base):
    """A person who can sign in. `email` is stored lower-case."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("email = lower(email)", name="email_lower"),
        Index(
            "ix_users_leaving",
            "leaves_at",
            postgresql_where=text("leaves_at is not null and erased_at is null"),
        ),
    )

    id: Mapped[RowId]
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(default=Role.CUSTOMER.value)
    confirmed_at: Mapped[datetime | None]
    # Confirmed by phone only: nobody has shown yet that the address is theirs.
    mail_unproved: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    blocked_at: Mapped[datetime | None]
    blocked_reason: Mapped[str | None]
    last_login_at: Mapped[datetime | None]
    # Sessions that began before this moment are dead, even where Redis did not hear of it.
    sessions_from: Mapped[datetime | None]
    # When the account is to be erased; until then its owner may change their mind.
    leaves_at: Mapped[datetime | None]
    # The row stays, without a name, because books and the audit trail name its number.
    erased_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    profile: Mapped["Profile"] = relationship(
        back_populates="user", lazy="joined", innerjoin=True, cascade="all, delete-orphan"
    )

    # What flask-login asks of a user.
    is_authenticated = True
    is_anonymous = False

    @property
    def is_active(self) -> bool:
        return self.blocked_at is None

    def get_id(self) -> str:
        return str(self.id)

    @property
    def is_confirmed(self) -> bool:
        return self.confirmed_at is not None

    @property
    def has_proved_mail(self) -> bool:
        """Whether a code or link that went to the address has come back."""
        return self.is_confirmed and not self.mail_unproved

    @property
    def language(self) -> str:
        return self.profile.language

    @property
    def timezone(self) -> str:
        return self.profile.timezone


class Profile(Base):
    """How a person wants the product to look and speak."""

    __tablename__ = "profiles"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(default="")
    language: Mapped[str] = mapped_column(default="en")
    timezone: Mapped[str] = mapped_column(default="UTC")
    # Sealed under the owner's data key (keys.py); empty when nothing was given.
    sealed_phone: Mapped[str] = mapped_column(default="")
    phone_confirmed_at: Mapped[datetime | None]
    sealed_contacts: Mapped[str] = mapped_column(default="")
    experience: Mapped[str] = mapped_column(default="beginner")
    theme: Mapped[str] = mapped_column(default="auto")
    palette: Mapped[str] = mapped_column(default="default")
    density: Mapped[str] = mapped_column(default="comfortable")

    user: Mapped[User] = relationship(back_populates="profile")


class OwnerKey(Base):
    """The data key of one owner, sealed under a master key.

    While what it seals is sealed anew under a new key, the previous one is kept to open the rest.
    """

    __tablename__ = "owner_keys"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    sealed_key: Mapped[str]
    generation: Mapped[int] = mapped_column(Integer, default=1, server_default=text("1"))
    sealed_previous: Mapped[str | None]
    rotation_due: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    rotated_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class RoleRight(Base):
    """A right that staff have given to a role, or taken from it, against the map of the code."""

    __tablename__ = "role_rights"

    role: Mapped[str] = mapped_column(primary_key=True)
    permission: Mapped[str] = mapped_column(primary_key=True)
    granted: Mapped[bool]


class OneTimeCode(Base):
    """A mailed code or link: hashed, bound to a person and a purpose, ten minutes, five tries."""

    __tablename__ = "one_time_codes"
    __table_args__ = (Index(None, "user_id", "purpose"),)

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str]
    code_hash: Mapped[str]
    # The password typed at the registration that asked for this code. It becomes the account's own
    # only when the mailed code proves who typed it, so nobody can prepare an account for somebody.
    password_hash: Mapped[str | None]
    # The address to which the code was mailed, when it is to become the account's own.
    new_email: Mapped[str | None]
    # The number to which the code went, sealed under the owner's data key.
    sealed_phone: Mapped[str | None]
    tries: Mapped[int] = mapped_column(Integer, default=0)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class SecondFactor(Base):
    """The secret of a person's authenticator app; it counts from its first right code on."""

    __tablename__ = "second_factors"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    # Sealed under the owner's data key (keys.py).
    sealed_secret: Mapped[str]
    confirmed_at: Mapped[datetime | None]
    # The half minute of the last used code: none up to it works again.
    last_step: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[CreatedAt]


class RecoveryCode(Base):
    """A code for the day when the authenticator is lost; hashed, works once."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    code_hash: Mapped[str]
    used_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class Invite(Base):
    """An invitation for the time of closed use; only the hash of its code is here."""

    __tablename__ = "invites"

    id: Mapped[RowId]
    code_hash: Mapped[str] = mapped_column(unique=True)
    last_four: Mapped[str]
    note: Mapped[str] = mapped_column(default="")
    uses: Mapped[int] = mapped_column(Integer)
    used: Mapped[int] = mapped_column(Integer, default=0)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]


class InviteUse(Base):
    """Who registered with which invitation."""

    __tablename__ = "invite_uses"
    __table_args__ = (Index(None, "invite_id"),)

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    invite_id: Mapped[int] = mapped_column(ForeignKey("invites.id", ondelete="CASCADE"))
    created_at: Mapped[CreatedAt]


class AccessToken(Base):
    """A key with which a program acts for a person; only its hash is here.

    Rows stay after revocation and expiry: they say what could be done with a key, and until when.
    """

    __tablename__ = "access_tokens"
    __table_args__ = (UniqueConstraint("user_id", "form_key"),)

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    label: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    last_four: Mapped[str]
    scopes: Mapped[list[str]]
    # What it was made for; every other door refuses it.
    audience: Mapped[str] = mapped_column(default="api")
    # The form that asked for it: sent twice it still makes one token.
    form_key: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    # Written at most once a minute.
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class DataExport(Base):
    """A file in which a person takes their data away: asked for, built by a worker, gone soon."""

    __tablename__ = "data_exports"
    __table_args__ = (
        Index(None, "user_id"),
        Index(
            "uq_data_exports_one_at_a_time",
            "user_id",
            unique=True,
            postgresql_where=text("state in ('waiting', 'building')"),
        ),
        CheckConstraint(
            "state in ('waiting', 'building', 'ready', 'failed', 'gone')", name="state"
        ),
    )

    id: Mapped[RowId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(default="waiting")
    # Nobody guesses it, though only its owner can ask for it.
    file_name: Mapped[str] = mapped_column(unique=True)
    bytes: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    begun_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


class AuditEntry(Base):
    """Who did what to which thing, with the values before and after; never edited.

    The database gives number, time and hash, and refuses everything but new rows. The people are
    named by number only: the trail outlives them.
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "object_type", "object_id"), Index(None, "actor_id", "at"))

    id: Mapped[RowId]
    at: Mapped[CreatedAt]
    actor_id: Mapped[int | None]
    # In whose name, when staff act for a customer.
    on_behalf_of_id: Mapped[int | None]
    action: Mapped[str]
    object_type: Mapped[str]
    object_id: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    reason: Mapped[str | None]
    address: Mapped[str | None]
    request_id: Mapped[str | None]
    # Over this row and the hash of the one before it.
    hash: Mapped[str] = mapped_column(server_default=FetchedValue())

    actor: Mapped[User | None] = relationship(
        primaryjoin="foreign(AuditEntry.actor_id) == User.id", viewonly=True, lazy="selectin"
    )
    on_behalf_of: Mapped[User | None] = relationship(
        primaryjoin="foreign(AuditEntry.on_behalf_of_id) == User.id", viewonly=True, lazy="selectin"
    )


class Installation(Base):
    """One row at most: the first-run set-up was done and can never be opened again."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False, server_default=text("1")
    )
    completed_at: Mapped[datetime]
    administrator_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
