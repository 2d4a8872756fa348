"""Access tokens: made with the password, shown once, stored as a hash, ended by time or by hand.

A change of the password leaves them alone, as people expect of keys that run in programs; the
page lists them all with their last use, and blocking a person stops every one of them at once.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import func, or_, select, update

from app.accounts import audit, identity
from app.accounts.models import AccessToken, User
from app.db import db, utc_now
from app.errors import Conflict, DomainError, Forbidden, InvalidInput, NotFound
from app.names import is_visible
from app.notifications.service import send_mail

PREFIX = "botyard_"
# 256 random bits as text.
_SHAPE = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}", re.ASCII)
_FORM_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
MAX_LABEL = 60
MOST_LIVE = 20
LIVES = (1, 30, 90, 365)
USUAL_LIFE = 90
# Within this the same form may be sent again, and the page that is seen last shows what works.
SECOND_PRESS = timedelta(minutes=1)
USE_STEP = timedelta(minutes=1)
ENDED_SHOWN = timedelta(days=90)
MAX_ID = 2**63 - 1


class Scope(StrEnum):
    """What a token may be good for. Keys, money and the staff desk have no scope."""

    BOTS_READ = "bots:read"
    BOTS_WRITE = "bots:write"
    BOTS_RUN = "bots:run"
    TRADES_READ = "trades:read"


class Audience(StrEnum):
    """The doors that tokens are made for."""

    API = "api"


class TokenRefused(DomainError):
    """The token opens nothing (any more); the code says why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks of a new token; `form_key` names the form that asks."""

    label: str
    scopes: tuple[str, ...]
    days: int
    form_key: str


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token as its owner sees it; the token itself is nowhere."""

    id: int
    label: str
    hint: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    is_live: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a program calls, and what its token allows."""

    token_id: int
    user_id: int
    role: str
    language: str
    scopes: frozenset[str]


def new_form_key() -> str:
    """Return a name for one more form."""
    return secrets.token_urlsafe(16)


def create_token(user_id: int, wish: Wish, password: str) -> str:
    """Make a token after the person typed the password again; return it, for this once.

    Raise InvalidInput naming the field, Conflict over the number of tokens. The owner gets a mail.
    """
    label = _tidy_label(wish.label)
    scopes = _known_scopes(wish.scopes)
    if wish.days not in LIVES:
        raise InvalidInput("unknown_choice", field="days")
    if not _FORM_KEY.fullmatch(wish.form_key):
        raise InvalidInput("token_form_used")
    identity.check_password(user_id, password)
    user = _locked(user_id)
    if not user.has_proved_mail:
        raise Forbidden("token_for_unconfirmed")
    secret = PREFIX + secrets.token_urlsafe(32)
    if _renewed(user_id, wish, label, scopes, secret):
        return secret
    if _count_live(user_id) >= MOST_LIVE:
        raise Conflict("too_many_tokens", maximum=MOST_LIVE)
    now = utc_now()
    token = AccessToken(
        user_id=user_id,
        label=label,
        token_hash=_hash(secret),
        last_four=secret[-4:],
        scopes=scopes,
        audience=Audience.API.value,
        form_key=wish.form_key,
        created_at=now,
        expires_at=now + timedelta(days=wish.days),
    )
    db.session.add(token)
    db.session.flush()
    audit.record(
        "accounts.token_created",
        "access_token",
        token.id,
        actor_id=user_id,
        after={"scopes": scopes, "expires_at": token.expires_at.isoformat()},
    )
    send_mail(user, "token_created", label=label, scopes=", ".join(scopes), days=wish.days)
    return secret


def revoke_token(user_id: int, token_id: int) -> None:
    """End a token of one's own for good; a second time changes nothing."""
    token = _own(user_id, token_id, lock=True)
    if token.revoked_at is not None:
        return
    token.revoked_at = utc_now()
    # Not its name: what people write themselves stays out of what can't be erased.
    audit.record("accounts.token_revoked", "access_token", token.id, actor_id=user_id)


def own_token(user_id: int, token_id: int) -> TokenView:
    """Return a token of one's own; raise NotFound for any other."""
    return _view(_own(user_id, token_id), utc_now())


def own_tokens(user_id: int) -> list[TokenView]:
    """Return a person's tokens: live ones first, then those that ended in the last 90 days."""
    now = utc_now()
    rows = db.session.scalars(
        select(AccessToken)
        .where(
            AccessToken.user_id == user_id,
            AccessToken.expires_at > now - ENDED_SHOWN,
            or_(AccessToken.revoked_at.is_(None), AccessToken.revoked_at > now - ENDED_SHOWN),
        )
        .order_by(AccessToken.id.desc())
    )
    return sorted((_view(row, now) for row in rows), key=lambda view: not view.is_live)


def authenticate(secret: str, audience: Audience) -> Caller:
    """Return for whom a token speaks; raise TokenRefused or Forbidden.

    The caller commits: the time of the last use is written, at most once a minute.
    """
    found = _find(secret)
    if found is None or found[0].audience != audience.value:
        raise TokenRefused("token_invalid")
    token, user = found
    now = utc_now()
    if token.revoked_at is not None:
        raise TokenRefused("token_revoked")
    if token.expires_at <= now:
        raise TokenRefused("token_expired")
    if not user.is_active:
        raise Forbidden("account_blocked")
    if not user.is_confirmed:
        raise Forbidden("token_owner_unconfirmed")
    _note_use(token, now)
    return Caller(token.id, user.id, user.role, user.language, frozenset(token.scopes))


def _own(user_id: int, token_id: int, *, lock: bool = False) -> AccessToken:
    known = 0 < token_id <= MAX_ID
    token = db.session.get(AccessToken, token_id, with_for_update=lock) if known else None
    if token is None or token.user_id != user_id:
        raise NotFound("unknown_token")
    return token


def _find(secret: str) -> tuple[AccessToken, User] | None:
    if not _SHAPE.fullmatch(secret):
        return None
    query = (
        select(AccessToken, User)
        .join(User, User.id == AccessToken.user_id)
        .where(AccessToken.token_hash == _hash(secret))
    )
    row = db.session.execute(query).unique().one_or_none()
    return None if row is None else (row[0], row[1])


def _note_use(token: AccessToken, now: datetime) -> None:
    if token.last_used_at is not None and now - token.last_used_at < USE_STEP:
        return
    used = AccessToken.last_used_at
    db.session.execute(
        update(AccessToken)
        .where(AccessToken.id == token.id, or_(used.is_(None), used < now))
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )


def _renewed(user_id: int, wish: Wish, label: str, scopes: list[str], secret: str) -> bool:
    """Give the token of a form that is sent again at once this secret; False for a new form."""
    token = db.session.scalar(
        select(AccessToken)
        .where(AccessToken.user_id == user_id, AccessToken.form_key == wish.form_key)
        .with_for_update()
    )
    if token is None:
        return False
    asked = (label, scopes, timedelta(days=wish.days))
    # Another wish on the same form is no second press: it must not end the token that was shown.
    is_another = asked != (token.label, token.scopes, token.expires_at - token.created_at)
    was_needed = token.last_used_at is not None or token.revoked_at is not None
    if is_another or was_needed or utc_now() - token.created_at > SECOND_PRESS:
        raise Conflict("token_form_used")
    token.token_hash, token.last_four = _hash(secret), secret[-4:]
    return True


def _locked(user_id: int) -> User:
    # One form of a person at a time, so that two can't both be the last of the allowed number.
    user = db.session.scalar(select(User).where(User.id == user_id).with_for_update(of=User))
    if user is None:
        raise NotFound("unknown_user")
    return user


def _count_live(user_id: int) -> int:
    query = select(func.count(AccessToken.id)).where(
        AccessToken.user_id == user_id,
        AccessToken.revoked_at.is_(None),
        AccessToken.expires_at > utc_now(),
    )
    return db.session.scalar(query) or 0


def _known_scopes(given: tuple[str, ...]) -> list[str]:
    if not given:
        raise InvalidInput("token_without_scopes", field="scopes")
    if any(scope not in set(Scope) for scope in given):
        raise InvalidInput("unknown_choice", field="scopes")
    return [scope.value for scope in Scope if scope in given]


def _tidy_label(text: str) -> str:
    label = " ".join(text.split())
    if not label:
        raise InvalidInput("token_label_missing", field="label")
    if len(label) > MAX_LABEL:
        raise InvalidInput("text_too_long", field="label", maximum=MAX_LABEL)
    if not is_visible(label):
        raise InvalidInput("control_characters", field="label")
    return label


def _view(row: AccessToken, now: datetime) -> TokenView:
    return TokenView(
        id=row.id,
        label=row.label,
        hint=f"{PREFIX}…{row.last_four}",
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        is_live=row.revoked_at is None and row.expires_at > now,
    )


def _hash(secret: str) -> str:
    # 256 random bits can't be guessed, so a fast hash without salt is enough.
    return hashlib.sha256(secret.encode()).hexdigest()
