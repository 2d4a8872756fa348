"""The lock of one person: what of theirs must not happen twice at once waits for it."""

from sqlalchemy import select

from app.accounts.models import User
from app.db import db

_HELD = "persons_held"


def lock_person(user_id: int) -> bool:
    """Hold a person's row until the commit; tell whether there is such a person.

    It is the first lock of whatever moves a person's money or plan: before those of invoices,
    subscriptions, pages to pay on, payments and accounts of the ledger. So nobody waits in a
    circle. Held already it costs nothing.
    """
    held = _held()
    if held is not None and user_id in held:
        return True
    found = select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    exists = db.session.scalar(found) is not None
    if exists and held is not None:
        held.add(user_id)
    return exists


def _held() -> set[int] | None:
    """Return whom this transaction holds; None where that may be undone before its end."""
    session = db.session()
    if session.in_nested_transaction():
        return None
    running = session.get_transaction()
    known, held = session.info.get(_HELD, (None, set()))
    if running is None or known is not running:
        held = set()
        session.info[_HELD] = (running or session.begin(), held)
    return held  # type: ignore[no-any-return]  # what we have put there
