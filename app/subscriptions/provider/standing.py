"""How somebody's subscription stands that a provider keeps."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select

from app.adapters.payments.port import RailSubscriptionState as State
from app.db import db
from app.money import Money
from app.payments import customers
from app.payments.models import Invoice
from app.payments.rules import PAYABLE
from app.subscriptions.kept import baskets
from app.subscriptions.kept.baskets import Basket
from app.subscriptions.models import PlanPrice, RailSubscription, SubscriptionItem
from app.subscriptions.periods import MONTH, Period
from app.subscriptions.promotions import queries as codes
from app.subscriptions.provider import store
from app.subscriptions.terms import Following, IfKept, Lowered, Source, Standing, Verb
from app.subscriptions.texts import plan_label

_LATE = (State.PAST_DUE.value, State.UNPAID.value)
_RUNNING = (State.ACTIVE.value, State.TRIALING.value)


def standing(user_id: int) -> Standing | None:
    """Return how a person's subscription stands; None where no provider keeps one."""
    row = store.live_of(user_id)
    if row is None:
        return None
    ordered = _ordered(row)
    plan = ordered.plan if ordered else None
    invoice = _open_invoice(row)
    charge, charge_at = _next_charge(row, ordered)
    has_portal = customers.customer_of(user_id, row.rail) is not None
    return Standing(
        source=Source.PROVIDER,
        id=row.id,
        rail=row.rail,
        state=row.state,
        plan_code=plan.plan_code if plan else None,
        plan_name=plan_label(plan.name) if plan else "",
        addons=ordered.addons if ordered else {},
        period=ordered.period if ordered else MONTH,
        period_end=row.period_end,
        next_charge=charge,
        next_at=charge_at,
        trial_end=row.trial_end if row.state == State.TRIALING else None,
        cancel_at=row.cancel_at,
        is_past_due=row.state in _LATE,
        unpaid_since=invoice.opened_at if invoice and row.state in _LATE else None,
        failure=invoice.failure if invoice else None,
        next_attempt_at=invoice.next_attempt_at if invoice else None,
        pay_invoice_id=invoice.id if invoice else None,
        pay_url=invoice.pay_url if invoice else None,
        has_portal=has_portal,
        may=_may(row, invoice, has_portal=has_portal),
        lowered=_lowered(row),
        following=_following(row),
        if_kept=_if_kept(row, ordered) if row.cancel_at is not None else None,
    )


def present_of(row: RailSubscription) -> Basket | None:
    """Return what is subscribed to and paid; None where we do not know its prices."""
    return _basket((item.price_id, item.quantity) for item in _rows(row))


def next_of(row: RailSubscription) -> Basket | None:
    """Return what follows at the end of the period; None where nothing else does."""
    return _basket((item.price_id, item.next_quantity or 0) for item in _rows(row))


def _following(row: RailSubscription) -> Following | None:
    present, wanted = present_of(row), next_of(row)
    if present is None or wanted is None or row.period_end is None or row.cancel_at is not None:
        return None
    return present.followed_by(wanted, row.period_end)


def _ordered(row: RailSubscription) -> Basket | None:
    """Return what is paid, or else what was ordered and waits for its first payment."""
    present = present_of(row)
    if present is not None:
        return present
    rows = [item for item in _rows(row) if not item.next_quantity]
    return _basket((item.price_id, row.quantity) for item in rows)


def _rows(row: RailSubscription) -> list[SubscriptionItem]:
    query = select(SubscriptionItem).where(SubscriptionItem.rail_subscription_id == row.id)
    return list(db.session.scalars(query.order_by(SubscriptionItem.id)))


def _basket(counts: Iterable[tuple[int, int]]) -> Basket | None:
    items = [baskets.item_of(price_id, quantity) for price_id, quantity in counts if quantity]
    if not items:
        return None
    items.sort(key=lambda item: (item.is_addon, item.plan_code))
    price = db.session.get_one(PlanPrice, items[0].price_id)
    return Basket(tuple(items), Period.parse(price.period), price.currency)


def _open_invoice(row: RailSubscription) -> Invoice | None:
    return db.session.scalar(
        select(Invoice)
        .where(
            Invoice.rail == row.rail,
            Invoice.subscription_ref == row.external_id,
            Invoice.state.in_(PAYABLE),
        )
        .order_by(Invoice.id.desc())
        .limit(1)
    )


def _next_charge(
    row: RailSubscription, present: Basket | None
) -> tuple[Money | None, datetime | None]:
    """Return what is charged next and when, before taxes; nothing where it ends."""
    is_running = row.state in {*_RUNNING, State.PAST_DUE.value}
    if row.cancel_at is not None or row.is_collection_paused or not is_running:
        return None, None
    following = next_of(row) or present
    return _sum_of(row, following) if following is not None else None, row.period_end


def _sum_of(row: RailSubscription, following: Basket) -> Money:
    total = following.total
    for one in _going_on(row, following):
        total -= one.off(total, row.period_end)
    return total


def _if_kept(row: RailSubscription, present: Basket | None) -> IfKept | None:
    """Return what goes on once the end is taken back: what is had, for nothing else may wait."""
    if present is None or row.is_collection_paused:
        return None
    return IfKept(present.names, present.period, _sum_of(row, present), is_other=False)


def _going_on(row: RailSubscription, following: Basket) -> Iterable[Lowered]:
    """Return what lowers what follows: our code only where it is for that."""
    plan = following.plan.plan_code if following.plan else None
    if codes.goes_on(row.reference, plan, following.period.code):
        return _lowered(row)
    ours = codes.code_of(row.reference)
    return (one for one in _lowered(row) if one.name != ours)


def _lowered(row: RailSubscription) -> tuple[Lowered, ...]:
    """Return what the provider takes off, as it was told last."""
    return tuple(
        Lowered(
            name=one["name"],
            percent=Decimal(one["percent"]) if one["percent"] else None,
            amount=Money(Decimal(one["amount"]), one["currency"]) if one["amount"] else None,
            until=datetime.fromisoformat(one["until"]) if one["until"] else None,
            is_once=one["is_once"],
        )
        for one in row.discounts
    )


def _may(row: RailSubscription, invoice: Invoice | None, *, has_portal: bool) -> frozenset[Verb]:
    may = {Verb.PORTAL} if has_portal else set()
    if invoice is not None and invoice.pay_url:
        may.add(Verb.PAY)
    if row.state == State.PAUSED or row.is_collection_paused:
        return frozenset(may | {Verb.RESUME, Verb.CANCEL})
    if row.cancel_at is not None:
        return frozenset(may | {Verb.UNDO})
    may.add(Verb.CANCEL)
    if row.state in _RUNNING and not row.has_pending_update:
        may |= {Verb.CHANGE, Verb.PAUSE}
        if next_of(row) is not None:
            may.add(Verb.UNDO)
    return frozenset(may)
