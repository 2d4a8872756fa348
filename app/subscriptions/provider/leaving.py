"""Who has left, or may not come in any more, is not charged: their subscriptions end there too.

Found by how things stand, not by what was announced: whatever is lost on the way, and whatever
begins afterwards, the next look finds it.
"""

from sqlalchemy import or_, select

from app.accounts.models import User
from app.accounts.queries import gone
from app.adapters.payments.keeping import Verb
from app.db import db
from app.subscriptions.models import RailSubscription
from app.subscriptions.provider import commands, store
from app.subscriptions.provider.models import CommandState, RailCommand

BATCH = 200


def order_ends(user_id: int | None = None) -> int:
    """Order the end of what is still kept for those who left; return how many orders there are.

    At once for whoever is erased; with the paid period for who waits for the end of the account
    or is blocked: staying after all, they may take that back.
    """
    waiting = (
        select(RailCommand.id)
        .where(
            RailCommand.rail == RailSubscription.rail,
            RailCommand.subscription_ref == RailSubscription.external_id,
            RailCommand.state == CommandState.WAITING.value,
            RailCommand.owed,
            or_(
                RailCommand.verb == Verb.END_NOW.value,
                ~gone(),
            ),
        )
        .exists()
    )
    query = (
        select(RailSubscription, gone())
        .join(User, User.id == RailSubscription.user_id)
        .where(
            RailSubscription.state.not_in(store.OVER),
            RailSubscription.rail.in_(store.keepers()),
            or_(
                gone(),
                or_(User.leaves_at.is_not(None), User.blocked_at.is_not(None))
                & RailSubscription.cancel_at.is_(None),
            ),
            ~waiting,
        )
        .order_by(RailSubscription.id)
        .limit(BATCH)
    )
    if user_id is not None:
        query = query.where(RailSubscription.user_id == user_id)
    rows = db.session.execute(query).all()
    for kept, is_gone in rows:
        verb = Verb.END_NOW if is_gone else Verb.END_LATER
        commands.owe(kept.user_id, kept.rail, kept.external_id, verb)
    return len(rows)
