"""What follows for a subscription when its invoice is paid, closed, or could not be paid."""

import logging
from datetime import datetime

from app.accounts import queries as people
from app.db import db, utc_now
from app.formatting.filters import day, money
from app.i18n import written_for
from app.notifications.service import send_mail
from app.payments import invoices, refunds
from app.payments.models import Invoice, Payment
from app.payments.rules import InvoiceState, RefundTarget
from app.payments.texts import failure_label
from app.subscriptions import rights
from app.subscriptions.kept import baskets, rules, store
from app.subscriptions.kept.baskets import Basket
from app.subscriptions.kept.rules import Course, Event, InvoiceKind, Reason
from app.subscriptions.kept.store import writing
from app.subscriptions.models import KeptState, KeptSubscription
from app.subscriptions.periods import Period
from app.subscriptions.promotions import queries as codes
from app.subscriptions.promotions import service as promotions

log = logging.getLogger(__name__)


def follow_paid(invoice_id: int) -> None:
    """Let the period or the change that was paid for begin."""
    invoice, reason = _own(invoice_id)
    if reason is None:
        return
    # Under the lock of its owner: a provider that begins another one now is seen, or sees this one.
    kept, now = store.lock(reason.kept_id), utc_now()
    if reason.kind is InvoiceKind.PERIOD:
        promotions.use(store.source_of(kept))
    if reason.kind is InvoiceKind.CHANGE:
        _begin_change(kept, reason, now)
    elif reason != store.reason_of_next(kept):
        log.error("period_paid_twice kept=%s invoice=%s", kept.id, invoice.id)
    elif kept.state == KeptState.ENDED:
        if _has_its_code(kept, invoice):
            _revive(kept, invoice, now)
    elif kept.state == KeptState.INCOMPLETE and store.lives_at_provider(kept.user_id):
        with writing(kept, "ended", cause="other_subscription"):
            store.move(kept, Event.GIVEN_UP, now)
    else:
        _begin_period(kept, invoice, now)


def _has_its_code(kept: KeptSubscription, invoice: Invoice) -> bool:
    """Tell whether the code that lowered an invoice is still taken for it, and not for another."""
    return not invoice.discount or bool(codes.code_of(store.source_of(kept)))


def _begin_change(kept: KeptSubscription, reason: Reason, now: datetime) -> None:
    pending = kept.pending
    if pending is None or kept.revision != reason.revision:
        log.error("change_paid_in_vain kept=%s number=%s", kept.id, reason.number)
        return
    items = tuple(baskets.item_of(price, quantity) for price, quantity in pending["items"])
    basket = Basket(items, Period.parse(pending["period"]), kept.currency)
    with writing(kept, "changed", cause="paid"):
        kept.pending = None
        if basket.period.is_endless:
            store.move(kept, Event.PAID, now)
            kept.number += 1
            kept.anchor, kept.anchor_number = now, kept.number - 1
            kept.period_start, kept.period_end = now, None
            # There is no period left for it to lower; what was used before stays so.
            promotions.release(store.source_of(kept))
        baskets.put(kept, basket)


def _begin_period(kept: KeptSubscription, invoice: Invoice, now: datetime) -> None:
    with writing(kept, "paid", cause="paid"):
        if kept.state == KeptState.INCOMPLETE:
            kept.anchor = now
        baskets.fix_next(kept)
        _count_on(kept)
        # A short period may be over already when it is paid at last.
        if kept.period_end is None or kept.period_end > now:
            store.move(kept, Event.PAID, now)
        if kept.change_at is not None and kept.change_at <= now:
            baskets.begin_next(kept)
    invoices.note_period(invoice, kept.period_start, kept.period_end)


def _count_on(kept: KeptSubscription) -> None:
    """Number the period that was paid, and say when it begins and ends."""
    following = baskets.next_of(kept).period
    if following.code != kept.period and kept.period_end is not None:
        kept.anchor, kept.anchor_number = kept.period_end, kept.number
        kept.period = following.code
    kept.number += 1
    course = store.course_of(kept)
    kept.period_start, kept.period_end = course.start(kept.number), course.end(kept.number)


def _revive(kept: KeptSubscription, invoice: Invoice, now: datetime) -> None:
    """Give a period from now on for money that came after the end, unless another one lives.

    Nobody is left to have it once its owner is erased.
    """
    if people.is_gone(kept.user_id):
        return
    if store.live_id(kept.user_id) is not None or store.lives_at_provider(kept.user_id):
        return
    with writing(kept, "revived", cause="paid"):
        # The money was asked for what was to follow; what follows now has no old price.
        baskets.begin_next(kept)
        baskets.price_anew(kept, now)
        store.move(kept, Event.REVIVED, now)
        kept.ended_at, kept.cancel_at_period_end = None, False
        kept.anchor, kept.anchor_number = now, kept.number
        kept.number += 1
        course = Course(Period.parse(kept.period), now, kept.anchor_number)
        kept.period_start, kept.period_end = now, course.end(kept.number)
    invoices.note_period(invoice, kept.period_start, kept.period_end)


def follow_closed(invoice_id: int) -> None:
    """Let a subscription end, or a change be dropped, whose invoice nobody is to pay any more.

    An invoice for a coming period that staff take back means that there is to be no such period.
    """
    _, reason = _own(invoice_id)
    if reason is None:
        return
    kept = store.lock(reason.kept_id)
    if kept.state == KeptState.ENDED or kept.revision != reason.revision:
        return
    if reason.kind is InvoiceKind.CHANGE:
        with writing(kept, "change_dropped", cause="invoice_closed"):
            kept.pending, kept.revision = None, kept.revision + 1
        return
    if kept.state in {KeptState.INCOMPLETE, KeptState.PAST_DUE}:
        with writing(kept, "ended", cause="invoice_closed"):
            store.move(kept, Event.GIVEN_UP, utc_now())
        return
    with writing(kept, "canceled", cause="invoice_closed"):
        kept.cancel_at_period_end, kept.revision = True, kept.revision + 1


def follow_settled(payment_id: int, invoice_id: int) -> None:
    """Remember by which rail a subscription is paid; give back what came for nothing."""
    invoice, reason = _own(invoice_id)
    if reason is None or invoice.state != InvoiceState.PAID:
        return
    kept, payment = store.lock(reason.kept_id), db.session.get_one(Payment, payment_id)
    if payment.surplus == payment.amount:
        # Paid before by another payment: this one went to the wallet.
        return
    if kept.state == KeptState.ENDED or not _began(kept, reason):
        # Another subscription lives, or what the invoice was for was given up and dropped.
        refunds.ask(
            f"kept:{payment.id}",
            payment.id,
            payment.amount - payment.surplus,
            # Nobody would ever look into the wallet of somebody who is erased.
            RefundTarget.RAIL if people.is_gone(kept.user_id) else RefundTarget.WALLET,
            None,
            "subscription_ended",
        )
    elif kept.rail != payment.rail:
        kept.rail = payment.rail
        db.session.flush()
        rights.hold_best_paid(kept.user_id)


def _began(kept: KeptSubscription, reason: Reason) -> bool:
    """Tell whether what an invoice was for has begun, now that it is paid."""
    if kept.revision != reason.revision:
        return False
    return reason.kind is InvoiceKind.CHANGE or kept.number == reason.number


def follow_failed(invoice_id: int) -> None:
    """Plan when the money is asked for again, and tell the owner of this try."""
    invoice, reason = _own(invoice_id)
    now = utc_now()
    if reason is None or invoice.due_at is None or invoice.state != InvoiceState.OPEN:
        return
    if reason.kind is InvoiceKind.CHANGE or now < invoice.due_at:
        # Somebody tries by themselves and sees on the page what became of it.
        return
    kept = store.lock(reason.kept_id)
    if kept.state in {KeptState.INCOMPLETE, KeptState.ENDED}:
        return
    invoice.next_attempt_at = rules.next_try(invoice.due_at, now, store.grace_end(kept))
    db.session.flush()
    _tell_of_failure(kept, invoice)


def _tell_of_failure(kept: KeptSubscription, invoice: Invoice) -> None:
    person, ends = people.user_by_id(kept.user_id), store.grace_end(kept)
    with written_for(person):
        values = {
            "total": money(invoice.total, invoice.currency),
            "reason": failure_label(invoice.failure or ""),
            "again": day(invoice.next_attempt_at) if invoice.next_attempt_at else "",
            "plan": baskets.next_of(kept).names,
            "until": day(ends) if ends else "",
        }
    send_mail(person, "renewal_failed", invoice_id=invoice.id, **values)


def _own(invoice_id: int) -> tuple[Invoice, Reason | None]:
    """Return an invoice, locked if it is one of a subscription that we keep, and its reason."""
    invoice = db.session.get_one(Invoice, invoice_id)
    if invoice.kept_id is None:
        return invoice, None
    invoice = invoices.lock(invoice_id)
    return invoice, Reason.parse(invoice.key)
