"""Subscriptions that a provider keeps: copied from what it says now, and what they give.

Any number of times and in any order: nothing here depends on what was heard before, except that
an unknown price changes nothing.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from app.accounts.queries import is_gone
from app.adapters.payments.port import Piece, RailDiscount
from app.adapters.payments.port import RailSubscription as Seen
from app.db import db, utc_now
from app.events import publish
from app.notifications.stream import hint
from app.payments import customers
from app.payments.settling import TAKEN, Taken, takes
from app.subscriptions import history, rights, rules
from app.subscriptions.events import PlanEnded
from app.subscriptions.grace import grace_of, longest
from app.subscriptions.models import (
    Plan,
    PlanKind,
    PlanPrice,
    RailPrice,
    RailSubscription,
    SubscriptionItem,
)
from app.subscriptions.periods import LIFETIME, Period
from app.subscriptions.provider import beside, elsewhere, leaving, promos, store
from app.subscriptions.provider import queries as provider
from app.transactions import after_commit

log = logging.getLogger(__name__)

# Why something moves, in the history: its provider says so, or another one came first.
PROVIDER = "provider"
OTHER = "other_subscription"

# What a provider calls a price -> ours, and whether it is a plan's or an add-on's.
Known = Mapping[str, tuple[PlanPrice, str]]


@takes(Seen)
def take_subscription(rail: str, seen: Seen) -> Taken:
    """Bring our copy of a provider's subscription to what it says, and the plan that it gives."""
    owner = _owner(rail, seen)
    if owner is None:
        return Taken(False, "not_ours")
    row, is_new = _row(owner, rail, seen)
    before = None if is_new else _picture(row)
    _copy(row, seen)
    _find_access(row, seen)
    db.session.flush()
    if is_gone(owner):
        # Begun or renewed behind the back of who has left: it gives nothing, and it ends.
        row.plan_code = row.price_id = row.access_until = None
        leaving.order_ends(owner)
    if is_new:
        beside.refuse_second(row)
    is_refused = beside.is_refused(owner, rail, seen.id)
    if is_refused:
        _give_nothing(row)
    _follow(row, before, seen, OTHER if is_refused else PROVIDER)
    if is_refused:
        beside.give_back(rail, seen.id)
    promos.follow(row)
    return TAKEN


def _give_nothing(row: RailSubscription) -> None:
    row.plan_code = row.price_id = row.access_until = None
    db.session.execute(
        update(SubscriptionItem)
        .where(SubscriptionItem.rail_subscription_id == row.id)
        .values(quantity=0)
    )


def _follow(row: RailSubscription, before: dict[str, Any] | None, seen: Seen, cause: str) -> None:
    """Let rights and history follow what has changed."""
    owner, after = row.user_id, _picture(row)
    source = f"{row.rail}:{row.external_id}"
    what = "began" if before is None else "moved"
    history.note(owner, source, what, before=before, after=after, cause=cause)
    rights.hold_best_paid(owner)
    for code, quantity in (before or {}).get("addons", {}).items():
        if after["addons"].get(code, 0) < quantity:
            publish(PlanEnded(owner, code))
    elsewhere.tell(row, before, after, seen.pieces)
    if before != after:
        elsewhere.log_oversold(row)
    if seen.method and seen.customer_id:
        customers.note_method(owner, row.rail, seen.customer_id, seen.method, seen.method_ref)
    is_second = row.state not in store.OVER and provider.has_several(owner)
    if is_second and cause == PROVIDER:
        log.error("two_subscriptions user=%s rail=%s", owner, row.rail)
    after_commit(lambda: hint(owner, "dashboard"))


def _owner(rail: str, seen: Seen) -> int | None:
    """Return whose it is, under the lock of that person: known ones stay with who had them."""
    known = db.session.scalar(
        select(RailSubscription.user_id).where(
            RailSubscription.rail == rail, RailSubscription.external_id == seen.id
        )
    )
    return customers.lock_payer(rail, seen.customer_id, seen.owner if known is None else known)


def _row(user_id: int, rail: str, seen: Seen) -> tuple[RailSubscription, bool]:
    made = db.session.scalar(
        insert(RailSubscription)
        .values(user_id=user_id, rail=rail, external_id=seen.id, **_values(seen))
        .on_conflict_do_nothing(
            index_elements=[RailSubscription.rail, RailSubscription.external_id]
        )
        .returning(RailSubscription.id)
    )
    query = (
        select(RailSubscription)
        .where(RailSubscription.rail == rail, RailSubscription.external_id == seen.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return db.session.scalars(query).one(), made is not None


def _copy(row: RailSubscription, seen: Seen) -> None:
    for name, value in _values(seen).items():
        setattr(row, name, value)
    row.updated_at = utc_now()


def _values(seen: Seen) -> dict[str, object]:
    return {
        "state": seen.state.value,
        "price_ref": seen.price_id,
        "paid_price_ref": seen.paid_price_id,
        "quantity": seen.quantity,
        "started_at": seen.started_at,
        "period_end": seen.period_end,
        "trial_end": seen.trial_end,
        "cancel_at": seen.cancel_at,
        "is_collection_paused": seen.is_collection_paused,
        "has_pending_update": seen.has_pending_update,
        "reference": seen.reference,
        "discounts": [_lowered(one) for one in seen.discounts],
    }


def _lowered(seen: RailDiscount) -> dict[str, Any]:
    """Return a discount as plain values."""
    return {
        "name": seen.name,
        "percent": str(seen.percent) if seen.percent is not None else None,
        "amount": str(seen.money.amount) if seen.money else None,
        "currency": seen.money.currency if seen.money else None,
        "until": _stamp(seen.until),
        "is_once": seen.is_once,
    }


def _find_access(row: RailSubscription, seen: Seen) -> None:
    """Find the plan and the add-ons that are paid for.

    Nobody loses or gains anything because of a price that we were not told of; what is had ends
    when it would at any other price.
    """
    known = _known_prices(row.rail, seen)
    access = _access_of(row.user_id, seen, known)
    unknown = [piece.price for piece in seen.pieces if piece.price not in known]
    if unknown:
        log.error("unknown_rail_price rail=%s price=%s", row.rail, unknown[0])
    if access is None:
        _give_nothing(row)
    else:
        row.access_until = access.until
    if unknown:
        return
    plan = _paid_plan(seen, known) if access is not None else None
    row.plan_code = plan.plan_code if plan else None
    row.price_id = plan.id if plan else None
    paid = _paid_counts(seen) if access is not None else {}
    _put_items(row, seen, known, paid)


def _access_of(user_id: int, seen: Seen, known: Known) -> rules.Access | None:
    return rules.access_of(
        seen.state.value,
        seen.paid_price_id,
        seen.cancel_at,
        _grace_end(user_id, seen, known),
        utc_now(),
        _paused_from(seen),
    )


def _grace_end(user_id: int, seen: Seen, known: Known) -> datetime:
    """Return until when an unpaid plan goes on; how long an unknown price lasts nobody can tell."""
    since = seen.unpaid_since or utc_now()
    price, _kind = known.get(seen.paid_price_id or "", (None, ""))
    period = Period.parse(price.period) if price is not None else LIFETIME
    return since + (longest() if period.is_endless else grace_of(user_id, period, since))


def _paused_from(seen: Seen) -> datetime | None:
    return seen.paid_until if seen.is_collection_paused or seen.is_unpaid else None


def _known_prices(rail: str, seen: Seen) -> Known:
    """Return what is ours of all prices that are spoken of."""
    named = {piece.price for piece in (*seen.pieces, *seen.next_pieces)}
    named |= {piece.price for pieces in seen.settled for piece in pieces}
    rows = db.session.execute(
        select(RailPrice.external_id, PlanPrice, Plan.kind)
        .join(PlanPrice, PlanPrice.id == RailPrice.price_id)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(RailPrice.rail == rail, RailPrice.external_id.in_(named))
    )
    return {name: (price, kind) for name, price, kind in rows}


def _paid_plan(seen: Seen, known: Known) -> PlanPrice | None:
    """Return the plan that the newest paid invoice with a plan was for."""
    for pieces in seen.settled:
        for piece in pieces:
            price, kind = known.get(piece.price, (None, ""))
            if price is not None and kind == PlanKind.PLAN and piece.quantity:
                return price
    return None


def _paid_counts(seen: Seen) -> dict[str, int]:
    """Return how many of each price the newest paid invoice that knows it has settled."""
    paid: dict[str, int] = {}
    for pieces in seen.settled:
        for price, quantity in _counts(pieces).items():
            paid.setdefault(price, quantity)
    return paid


def _counts(pieces: Iterable[Piece]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for piece in pieces:
        counts[piece.price] = max(piece.quantity, counts.get(piece.price, 0))
    return counts


def _put_items(row: RailSubscription, seen: Seen, known: Known, paid: Mapping[str, int]) -> None:
    """Keep what is subscribed to: of each price what is paid for, and what follows it."""
    db.session.execute(
        delete(SubscriptionItem).where(SubscriptionItem.rail_subscription_id == row.id)
    )
    present, following = _counts(seen.pieces), _counts(seen.next_pieces)
    for name in {**present, **following}:
        if name not in known:
            log.error("unknown_rail_price rail=%s price=%s", row.rail, name)
            continue
        db.session.add(
            SubscriptionItem(
                rail_subscription_id=row.id,
                price_id=known[name][0].id,
                quantity=min(present.get(name, 0), paid.get(name, 0)),
                next_quantity=following.get(name, 0) if following else None,
            )
        )
    db.session.flush()


def _picture(row: RailSubscription) -> dict[str, Any]:
    """Return what the history tells of a subscription."""
    return {
        "state": row.state,
        "plan": row.plan_code,
        "addons": store.addons_of(row.id),
        "period_end": _stamp(row.period_end),
        "trial_end": _stamp(row.trial_end),
        "cancel_at": _stamp(row.cancel_at),
        "paused": row.is_collection_paused,
        "waits_for_payment": row.has_pending_update,
    }


def _stamp(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
