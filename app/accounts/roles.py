"""Roles as staff have set them: the map of `permissions.py` and what was changed in it.

Only differences are stored, so that a new right of the code reaches the roles it is meant for.
What customers and administrators may do is fixed: nobody can lock everybody out, or open the desk
to customers.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, select, text

from app.accounts import audit, queries, session_store
from app.accounts.models import Role, RoleRight, User
from app.accounts.permissions import RIGHTS, Permission
from app.accounts.reasons import checked_reason
from app.db import db, utc_now
from app.errors import Conflict, Forbidden, InvalidInput
from app.transactions import after_commit

EDITABLE = (Role.SUPPORT, Role.MANAGER)
# A role of staff without these would be none.
ALWAYS = RIGHTS[Role.CUSTOMER] | {Permission.DESK}
_LOCK = 7_205_003
SHOWN_PEOPLE = 20

Rights = frozenset[Permission]


@dataclass(frozen=True, slots=True)
class RoleChange:
    """What a role would gain and lose, and whom that concerns."""

    role: Role
    gained: tuple[Permission, ...]
    lost: tuple[Permission, ...]
    people: int
    addresses: tuple[str, ...]


def lock() -> None:
    """Let nobody else change roles, or the number of administrators, until the commit."""
    db.session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def rights_of(role: str) -> Rights:
    """Return what a role may do now; an unknown role may nothing."""
    try:
        known = Role(role)
    except ValueError:
        return frozenset()
    return _present()[known] if known in EDITABLE else RIGHTS[known]


def may(role: str, permission: Permission) -> bool:
    """Tell whether a role has a right now."""
    return permission in rights_of(role)


def matrix() -> Mapping[Role, Rights]:
    """Return what every role may do now."""
    present = _present()
    return {role: present.get(role, RIGHTS[role]) for role in Role}


def digest_of(rights: Mapping[Role, Rights]) -> str:
    """Return a short text that differs for every other matrix."""
    plain = ";".join(f"{role}:{','.join(sorted(rights[role]))}" for role in EDITABLE)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def plan_changes(actor_id: int, wanted: Mapping[Role, Rights]) -> tuple[RoleChange, ...]:
    """Return what would change and whom it concerns; raise Forbidden for what the actor lacks."""
    own = rights_of(queries.user_by_id(actor_id).role)
    if Permission.ROLES_MANAGE not in own:
        raise Forbidden("not_your_right")
    changes = []
    for role, present in _present().items():
        asked = (wanted.get(role, present) | ALWAYS) & RIGHTS[Role.ADMIN]
        if asked == present:
            continue
        if not asked ^ present <= own:
            raise Forbidden("right_not_yours")
        changes.append(_change(role, present, asked))
    return tuple(changes)


def change_roles(
    actor_id: int, wanted: Mapping[Role, Rights], seen: str, reason: str
) -> tuple[RoleChange, ...]:
    """Store the rights of the roles; `seen` is the digest of the matrix the actor looked at."""
    reason = checked_reason(reason)
    lock()
    before = _present()
    changes = plan_changes(actor_id, wanted)
    if not changes:
        return ()
    if digest_of(before) != seen:
        raise Conflict("roles_changed_meanwhile")
    for change in changes:
        after = before[change.role] | set(change.gained)
        _store(change.role, after - set(change.lost))
        audit.record(
            "role.changed",
            "role",
            change.role.value,
            actor_id=actor_id,
            before={"rights": sorted(before[change.role])},
            after={"rights": sorted(after - set(change.lost))},
            reason=reason,
        )
    return changes


def give_role(actor_id: int, user_id: int, role: str, reason: str) -> None:
    """Give a person another role; nobody gives or takes rights that they lack themselves."""
    reason = checked_reason(reason)
    if role not in set(Role):
        raise InvalidInput("unknown_choice", field="role")
    lock()
    actor, user = queries.user_by_id(actor_id), queries.user_by_id(user_id)
    db.session.refresh(user, with_for_update=True)
    if user.erased_at is not None:
        raise Conflict("account_erased")
    if user.role == role:
        return
    own = rights_of(actor.role)
    if Permission.ROLES_MANAGE not in own or not (rights_of(role) | rights_of(user.role)) <= own:
        raise Forbidden("right_not_yours")
    if user.role == Role.ADMIN.value and _administrators() == 1:
        raise Conflict("last_administrator")
    before, user.role = user.role, role
    user.sessions_from = utc_now()
    audit.record(
        "accounts.role_given",
        "user",
        user_id,
        actor_id=actor_id,
        before={"role": before},
        after={"role": role},
        reason=reason,
    )
    # Other limits hold for staff: the person logs in anew.
    after_commit(lambda: session_store.end_all(user_id))


def _administrators() -> int:
    query = select(func.count()).where(
        User.role == Role.ADMIN.value, User.blocked_at.is_(None), User.leaves_at.is_(None)
    )
    return db.session.scalar(query) or 0


def _present() -> dict[Role, Rights]:
    present: dict[str, set[Permission]] = {role: set(RIGHTS[role]) for role in EDITABLE}
    rows = db.session.execute(select(RoleRight.role, RoleRight.permission, RoleRight.granted))
    for role, permission, granted in rows:
        # A right or role that the code does not know any more says nothing.
        if role in present and permission in set(Permission):
            (present[role].add if granted else present[role].discard)(Permission(permission))
    return {Role(role): frozenset(rights | ALWAYS) for role, rights in present.items()}


def _store(role: Role, rights: Rights) -> None:
    db.session.execute(delete(RoleRight).where(RoleRight.role == role.value))
    for permission in rights ^ RIGHTS[role]:
        db.session.add(
            RoleRight(role=role.value, permission=permission.value, granted=permission in rights)
        )


def _change(role: Role, present: Rights, asked: Rights) -> RoleChange:
    holders = select(User.email).where(User.role == role.value)
    people = db.session.scalar(select(func.count()).select_from(holders.subquery())) or 0
    shown = db.session.scalars(holders.order_by(User.id).limit(SHOWN_PEOPLE)).all()
    order = list(Permission)
    return RoleChange(
        role,
        tuple(sorted(asked - present, key=order.index)),
        tuple(sorted(present - asked, key=order.index)),
        people,
        tuple(shown),
    )
