"""Another choice for a running subscription at its provider: what it costs, and ordering it.

The steps of an edge: the calls stand between transactions of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.accounts.deletion import service as deletion
from app.adapters.payments.keeping import ChangeOrder, RailPreview, Verb
from app.adapters.payments.port import Piece, RailLine, RailSubscriptionState
from app.db import db, utc_now
from app.errors import Conflict
from app.payments.mirroring import Sold
from app.payments.models import Invoice
from app.payments.rules import InvoiceState
from app.subscriptions import seats
from app.subscriptions.kept import baskets, rules
from app.subscriptions.kept.baskets import Basket
from app.subscriptions.models import RailSubscription
from app.subscriptions.provider import commands, prices, promos, standing, store
from app.subscriptions.seeds import CURRENCY
from app.subscriptions.terms import Choice, Preview, PreviewLine
from app.transactions import transaction

_RUNNING = (RailSubscriptionState.ACTIVE.value, RailSubscriptionState.TRIALING.value)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be ordered: `order` is None where what waits is dropped."""

    rail: str
    verb: Verb
    order: ChangeOrder
    wanted: Basket
    had: tuple[rules.Item, ...]
    state: str
    takes_effect: datetime


def preview(user_id: int, choice: Choice) -> Preview:
    """Say what another choice costs by the provider's own reckoning, and when it begins to hold."""
    at = utc_now().replace(microsecond=0)
    return _preview(_plan(user_id, choice, at))


def change(user_id: int, choice: Choice, token: str) -> str | None:
    """Order what was shown; return where the owner has to pay, if anything waits for that.

    Raises Conflict when it would cost something else by now.
    """
    plan = _plan(user_id, choice, rules.moment_of(token, utc_now()))
    if _preview(plan).token != token:
        raise Conflict("preview_changed")
    with transaction():
        command_id = commands.order(
            user_id,
            plan.rail,
            plan.order.subscription_id,
            plan.verb,
            _params(plan) if plan.verb is not Verb.GO_ON else None,
        )
        seats.take(
            plan.wanted.items, holder=seats.kept_there(plan.order.subscription_id), had=plan.had
        )
    commands.send(command_id)
    with transaction():
        return _where_to_pay(plan.rail, plan.order.subscription_id)


def _plan(user_id: int, choice: Choice, at: datetime) -> _Plan:
    """Say what a choice means: dearer for the same period at once, all else when it ends.

    While something is tried all waits for the end of that: it would be had for nothing.
    """
    with transaction():
        row = store.own(user_id)
        _check(row)
        present = standing.present_of(row)
        same = present is not None and present.period == choice.period
        kept = present.items if present is not None and same else ()
        wanted = baskets.choose(choice, present.currency if present else CURRENCY, utc_now(), kept)
        verb = _verb(row, present, wanted)
        without = promos.not_for(row, choice.plan, choice.period)
        rail, ref, state, end = row.rail, row.external_id, row.state, row.period_end
    names = prices.ensure(rail, [item.price_id for item in wanted.items])
    pieces = tuple(Piece(names[item.price_id], item.quantity) for item in wanted.items)
    is_later = verb is Verb.CHANGE_LATER
    order = ChangeOrder(ref, pieces, at, is_later, without)
    had = present.items if present is not None else ()
    return _Plan(rail, verb, order, wanted, had, state, end if is_later else at)


def _check(row: RailSubscription) -> None:
    if deletion.is_leaving(row.user_id):
        raise Conflict("account_is_leaving")
    if row.state not in _RUNNING or row.has_pending_update:
        raise Conflict("pay_first")
    if row.cancel_at is not None:
        raise Conflict("subscription_ends")
    if row.is_collection_paused:
        raise Conflict("subscription_paused")


def _verb(row: RailSubscription, present: Basket | None, wanted: Basket) -> Verb:
    following = standing.next_of(row)
    if following is not None and wanted.same_as(following):
        raise Conflict("nothing_changes")
    if present is None:
        return Verb.CHANGE_LATER
    if wanted.same_as(present):
        if following is None:
            raise Conflict("nothing_changes")
        return Verb.GO_ON
    is_trial = row.state == RailSubscriptionState.TRIALING
    is_dearer = wanted.total.amount >= present.total.amount
    same_period = wanted.period == present.period
    is_now = same_period and is_dearer and not is_trial
    return Verb.CHANGE if is_now else Verb.CHANGE_LATER


def _preview(plan: _Plan) -> Preview:
    told = store.keeper(plan.rail).preview(_as_asked(plan))
    with transaction():
        names = {line.price_id for line in told.lines if line.price_id}
        known = prices.what_is_sold(plan.rail, names)
    lines = [PreviewLine(_words(line, known), line.money) for line in told.lines]
    if told.discount.amount:
        lines.append(PreviewLine(_("Discount"), -told.discount))
    return Preview(
        lines=tuple(lines),
        due_now=told.due_now,
        next_charge=told.next_charge,
        next_at=told.next_at,
        takes_effect=plan.takes_effect,
        token=_token(plan, told),
    )


def _words(line: RailLine, known: Mapping[str, Sold]) -> str:
    sold = known.get(line.price_id or "")
    return sold.words(line) if sold else line.description


def _as_asked(plan: _Plan) -> ChangeOrder:
    """Return what is reckoned: for what is only taken back, the next renewal."""
    order = plan.order
    is_later = plan.verb is not Verb.CHANGE
    return replace(order, is_later=is_later)


def _token(plan: _Plan, told: RailPreview) -> str:
    shown: dict[str, Any] = {
        "subscription": [plan.rail, plan.order.subscription_id, plan.state],
        "verb": plan.verb,
        "pieces": [[piece.price, piece.quantity] for piece in plan.order.pieces],
        "without": plan.order.without,
        "lines": [str(line.money.amount) for line in told.lines],
        "due": str(told.due_now.amount),
        "next": str(told.next_charge.amount) if told.next_charge else None,
    }
    return rules.token_of(plan.order.at, shown)


def _params(plan: _Plan) -> dict[str, Any]:
    return {
        "pieces": [[piece.price, piece.quantity] for piece in plan.order.pieces],
        "at": int(plan.order.at.timestamp()),
        "without": list(plan.order.without),
    }


def _where_to_pay(rail: str, subscription_ref: str) -> str | None:
    return db.session.scalar(
        select(Invoice.pay_url)
        .where(
            Invoice.rail == rail,
            Invoice.subscription_ref == subscription_ref,
            Invoice.state == InvoiceState.OPEN.value,
        )
        .order_by(Invoice.id.desc())
        .limit(1)
    )
