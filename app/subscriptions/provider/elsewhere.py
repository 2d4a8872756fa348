"""What somebody has less of because a subscription was changed at its provider, past our pages.

There nobody names the bots that would stop, and nobody counts the seats of a price.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from app.accounts import queries as people
from app.accounts.deletion import service as deletion
from app.adapters.payments.keeping import Verb
from app.adapters.payments.port import Piece
from app.db import db
from app.i18n import written_for
from app.notifications.service import send_mail
from app.subscriptions import queries, seats, usage
from app.subscriptions.models import Plan, PlanPrice, RailSubscription, SubscriptionItem
from app.subscriptions.provider.models import CommandState, RailCommand
from app.subscriptions.retelling import contents

log = logging.getLogger(__name__)

_CHANGES = (Verb.CHANGE.value, Verb.CHANGE_LATER.value)
_ORDERED = (CommandState.WAITING.value, CommandState.DONE.value)
_RUNNING = ("active", "trialing")

Picture = Mapping[str, Any]


def tell(
    row: RailSubscription, before: Picture | None, after: Picture, pieces: Sequence[Piece]
) -> None:
    """Tell the owner by mail if there is less now that was not ordered here; after the rights."""
    if before is None or row.state not in _RUNNING or not _is_less(before, after):
        return
    if not _was_ordered(row, pieces) and not deletion.is_leaving(row.user_id):
        _send(row.user_id, before, after)


def log_oversold(row: RailSubscription) -> None:
    """Log each price of a subscription of which more was sold at the provider than there is."""
    prices = db.session.scalars(
        select(PlanPrice)
        .join(SubscriptionItem, SubscriptionItem.price_id == PlanPrice.id)
        .where(SubscriptionItem.rail_subscription_id == row.id, PlanPrice.seats.is_not(None))
    )
    for price in prices:
        if seats.is_oversold(price):
            log.error("seats_oversold price=%s subscription=%s", price.id, row.external_id)


def _is_less(before: Picture, after: Picture) -> bool:
    """Tell whether something else is had that is less; what is gone altogether has ended."""
    if not after["plan"] and not after["addons"]:
        return False
    ranks = _ranks({before["plan"], after["plan"]})
    is_smaller = ranks.get(after["plan"], -1) < ranks.get(before["plan"], -1)
    had, has = before["addons"], after["addons"]
    return is_smaller or any(has.get(code, 0) < count for code, count in had.items())


def _ranks(codes: set[str | None]) -> dict[str | None, int]:
    query = select(Plan.code, Plan.position).where(Plan.code.in_([code for code in codes if code]))
    return {code: position for code, position in db.session.execute(query)}


def _was_ordered(row: RailSubscription, pieces: Sequence[Piece]) -> bool:
    """Tell whether what is subscribed to is what was ordered here last."""
    params = db.session.scalar(
        select(RailCommand.params)
        .where(
            RailCommand.rail == row.rail,
            RailCommand.subscription_ref == row.external_id,
            RailCommand.verb.in_(_CHANGES),
            RailCommand.state.in_(_ORDERED),
        )
        .order_by(RailCommand.id.desc())
        .limit(1)
    )
    wanted = (params or {}).get("pieces", [])
    return Counter(map(tuple, wanted)) == Counter((one.price, one.quantity) for one in pieces)


def _send(user_id: int, before: Picture, after: Picture) -> None:
    person = people.user_by_id(user_id)
    # A bot that is told to stop counts until it has.
    bots = usage.bots_beyond(user_id, queries.limits_of(user_id))
    with written_for(person):
        values = {"before": contents(before), "now": contents(after)}
    send_mail(person, "plan_switched", bots=bots, **values)
