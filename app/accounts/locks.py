"""The lock of one person: what of theirs must not happen twice at once waits for it."""

from sqlalchemy import select

from app.accounts.models import User
from app.db import db


def lock_person(user_id: int) -> bool:
    """Hold a person's row until the commit; tell whether there is such a person.

    It comes after the locks of an invoice and of a subscription that we keep, and before those of
    a page to pay on, so that nobody waits in a circle.
    """
    found = select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    return db.session.scalar(found) is not None
