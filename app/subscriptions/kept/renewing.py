"""What time brings about: invoices for coming periods, and the end of what nobody pays."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, or_, select

from app.accounts import queries as people
from app.accounts.models import User
from app.db import db, utc_now
from app.i18n import written_for
from app.payments import invoices
from app.payments import service as payments
from app.payments.models import Invoice
from app.payments.rules import InvoiceState, NewInvoice
from app.subscriptions.kept import baskets, discounts, rules, store
from app.subscriptions.kept.rules import Event
from app.subscriptions.kept.service import end_now
from app.subscriptions.kept.store import Held, writing
from app.subscriptions.models import KeptState, KeptSubscription
from app.wallet.service import WALLET

BATCH = 200
_RUNNING = (KeptState.TRIALING.value, KeptState.ACTIVE.value, KeptState.PAST_DUE.value)


def due_ids(now: datetime) -> list[int]:
    """Return the subscriptions for which something is to be done; longest overdue first."""
    return list(db.session.scalars(_DUE, {"now": now}))


def _query_of_due() -> Select[int]:
    kept = KeptSubscription
    waits = (
        select(Invoice.id)
        .where(Invoice.kept_id == kept.id, Invoice.state == InvoiceState.OPEN.value)
        .exists()
    )
    late = (
        select(Invoice.id)
        .where(
            Invoice.kept_id == kept.id,
            Invoice.state == InvoiceState.OPEN.value,
            Invoice.due_at <= store.NOW,
            or_(kept.state == KeptState.INCOMPLETE.value, kept.pending.is_not(None)),
        )
        .exists()
    )
    return (
        select(kept.id)
        .where(
            kept.state != KeptState.ENDED.value,
            or_(
                and_(~waits, _is_to_be_asked()),
                and_(kept.change_at <= store.NOW, kept.period_end > kept.change_at),
                and_(kept.state != KeptState.PAST_DUE.value, kept.period_end <= store.NOW),
                kept.access_until <= store.NOW,
                late,
            ),
        )
        .order_by(kept.period_end, kept.id)
        .limit(BATCH)
    )


def _is_to_be_asked() -> ColumnElement[bool]:
    kept = KeptSubscription
    return and_(
        kept.state.in_(_RUNNING),
        ~kept.cancel_at_period_end,
        store.is_near(kept.period_end, kept.period_start, rules.LEAD),
        select(User.id).where(User.id == kept.user_id, store.is_charged()).exists(),
    )


# Asked again and again, so it is put together once.
_DUE = _query_of_due()


def tend(kept_id: int) -> None:
    """Do what is due for one subscription; any number of times, under its locks."""
    held, now = store.hold(kept_id), utc_now()
    kept = held.kept
    if kept.state == KeptState.ENDED:
        return
    # What is not paid for does not begin, not even for the days of grace.
    if baskets.next_is_paid(kept) and kept.change_at is not None and kept.change_at <= now:
        with writing(kept, "changed", cause="period_began"):
            baskets.begin_next(kept)
    if _is_for_nothing(held, now):
        return
    if kept.state != KeptState.INCOMPLETE and kept.period_end is not None:
        _go_on(held, now)


def _is_for_nothing(held: Held, now: datetime) -> bool:
    """Take a first invoice back, or that of a change, that nobody has paid in time."""
    kept, invoice = held.kept, held.invoice
    first_or_change = kept.state == KeptState.INCOMPLETE or kept.pending is not None
    if invoice is None or not first_or_change or invoice.due_at is None or invoice.due_at > now:
        return False
    invoices.void(invoice, "expired")
    return True


def _go_on(held: Held, now: datetime) -> None:
    kept, invoice = held.kept, held.invoice
    if kept.period_end is None:
        return
    is_left = invoice is None and not store.may_charge(kept.user_id)
    if kept.cancel_at_period_end or (is_left and kept.state != KeptState.PAST_DUE):
        if kept.period_end <= now:
            end_now(held, Event.OVER, cause="period_over")
        return
    if store.is_given_up(kept, now):
        end_now(held, Event.GIVEN_UP, cause="unpaid", give_up=True)
        return
    if store.is_missed(kept, now):
        _begin_late(held, now)
        invoice = None
    elif kept.state != KeptState.PAST_DUE and invoice is not None and kept.period_end <= now:
        _fall_behind(held, invoice, now)
        return
    if invoice is None and kept.period_end - rules.lead_of(length_of(kept)) <= now:
        _ask(kept)


def _begin_late(held: Held, now: datetime) -> None:
    """Let the next period begin now: what nobody asked for in time is not charged afterwards."""
    kept, invoice = held.kept, held.invoice
    with writing(kept, "put_off", cause="not_asked"):
        kept.revision += 1
        kept.period_end = kept.anchor = now
        kept.anchor_number = kept.number
        if kept.change_at is not None:
            kept.change_at = now
    if invoice is not None:
        invoices.void(invoice, "period_missed")


def _fall_behind(held: Held, invoice: Invoice, now: datetime) -> None:
    """Let an unpaid subscription go on for the grace; a trial only if a card was declined."""
    kept = held.kept
    if _ends_unpaid(kept) and _is_still_asked(kept, invoice, now):
        return
    if kept.state == KeptState.TRIALING and (not invoice.attempts or kept.rail == WALLET):
        end_now(held, Event.OVER, cause="trial_over")
        return
    with writing(kept, "past_due", cause="unpaid"):
        store.move(kept, Event.UNPAID, now)


def _ends_unpaid(kept: KeptSubscription) -> bool:
    """Tell whether there may be no grace: then a rail that is away for a moment is waited for."""
    return kept.state == KeptState.TRIALING or store.grace_end(kept) == kept.period_end


def _is_still_asked(kept: KeptSubscription, invoice: Invoice, now: datetime) -> bool:
    was_asked = invoice.next_attempt_at is None or invoice.next_attempt_at > now
    is_fresh = kept.period_end is not None and now < kept.period_end + rules.PATIENCE
    return is_fresh and not was_asked


def length_of(kept: KeptSubscription) -> timedelta:
    """Return how long the period lasts whose end is the next one's beginning."""
    if kept.period_start is None or kept.period_end is None:
        return timedelta(0)
    return kept.period_end - kept.period_start


def _ask(kept: KeptSubscription) -> None:
    """Open the invoice for the next period; it is due when that begins."""
    if kept.period_end is None or not store.may_charge(kept.user_id):
        return
    basket, start = baskets.next_of(kept), kept.period_end
    with written_for(people.user_by_id(kept.user_id)):
        lines = baskets.period_lines(basket, start, store.next_end(kept))
    discount, discount_name = discounts.of_next(kept, basket)
    invoice = payments.issue(
        NewInvoice(
            key=store.reason_of_next(kept).key,
            user_id=kept.user_id,
            lines=lines,
            discount=discount,
            discount_name=discount_name,
            due_at=start,
            kept_id=kept.id,
        ),
        "renewed",
    )
    if invoice.state == InvoiceState.OPEN:
        invoice.next_attempt_at = start
        db.session.flush()
