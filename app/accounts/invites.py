"""Invitations: while the product is closed, nobody registers without one."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from app.accounts import audit, plain_codes
from app.accounts.models import Invite, InviteUse, User
from app.db import db, utc_now
from app.errors import InvalidInput, NotFound
from app.names import is_visible
from app.settings import queries as settings
from app.settings.rules import SIGNUP_MODE

MOST_USES = 1000
MOST_DAYS = 365
LONGEST_NOTE = 100
LISTED = 200
MAX_ID = 2**63 - 1
_OWNER = "invite"


@dataclass(frozen=True, slots=True)
class InviteView:
    """An invitation as staff sees it; the code itself is nowhere."""

    id: int
    hint: str
    note: str
    uses: int
    used: int
    expires_at: datetime
    is_open: bool
    people: tuple[str, ...]


def is_needed() -> bool:
    """Tell whether registration asks for an invitation at the moment."""
    return settings.text_of(SIGNUP_MODE) == "invite"


def make(actor_id: int, uses: int, days: int, note: str) -> str:
    """Make an invitation; return its code, for this once."""
    if not 1 <= uses <= MOST_USES:
        raise InvalidInput("invitation_number", field="uses", minimum=1, maximum=MOST_USES)
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput("invitation_number", field="days", minimum=1, maximum=MOST_DAYS)
    note = " ".join(note.split())
    if len(note) > LONGEST_NOTE:
        raise InvalidInput("text_too_long", field="note", maximum=LONGEST_NOTE)
    if not is_visible(note):
        raise InvalidInput("control_characters", field="note")
    code = plain_codes.new_code()
    invite = Invite(
        code_hash=plain_codes.hash_of(code, _OWNER),
        last_four=code[-4:],
        note=note,
        uses=uses,
        used=0,
        expires_at=utc_now() + timedelta(days=days),
        created_by=actor_id,
    )
    db.session.add(invite)
    db.session.flush()
    after = {"uses": uses, "days": days, "note": note}
    audit.record("accounts.invited", "invite", invite.id, actor_id=actor_id, after=after)
    return code


def open_invite(code: str) -> Invite:
    """Return the invitation of a code, locked; raise InvalidInput when it does not work."""
    # Two who use the last place at once: the second waits here and then finds it taken.
    invite = db.session.scalar(
        select(Invite)
        .where(Invite.code_hash == plain_codes.hash_of(code, _OWNER))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if invite is None or not _is_open(invite):
        raise InvalidInput("bad_invite", field="invite")
    return invite


def use(invite: Invite, user_id: int) -> None:
    """Write down that somebody registered with an invitation."""
    invite.used += 1
    db.session.add(InviteUse(user_id=user_id, invite_id=invite.id))


def revoke(actor_id: int, invite_id: int) -> None:
    """Let nobody use an invitation any more; a second time changes nothing."""
    known = 0 < invite_id <= MAX_ID
    invite = db.session.get(Invite, invite_id, with_for_update=True) if known else None
    if invite is None:
        raise NotFound("unknown_invite")
    if invite.revoked_at is None:
        invite.revoked_at = utc_now()
        audit.record("accounts.invite_revoked", "invite", invite_id, actor_id=actor_id)


def newest() -> list[InviteView]:
    """Return the newest invitations with the people who used them."""
    query = select(Invite).order_by(Invite.id.desc()).limit(LISTED)
    invites = db.session.scalars(query).all()
    people: dict[int, list[str]] = {invite.id: [] for invite in invites}
    uses = (
        select(InviteUse.invite_id, User.email)
        .join(User, User.id == InviteUse.user_id)
        .where(InviteUse.invite_id.in_(people))
        .order_by(InviteUse.created_at)
    )
    for invite_id, email in db.session.execute(uses):
        people[invite_id].append(email)
    return [
        InviteView(
            id=invite.id,
            hint=f"…{invite.last_four}",
            note=invite.note,
            uses=invite.uses,
            used=invite.used,
            expires_at=invite.expires_at,
            is_open=_is_open(invite),
            people=tuple(people[invite.id]),
        )
        for invite in invites
    ]


def _is_open(invite: Invite) -> bool:
    return invite.revoked_at is None and invite.expires_at > utc_now() and invite.used < invite.uses
