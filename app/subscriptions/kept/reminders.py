"""Mails before and after the day on which an invoice is due, and before a trial ends.

A row for each is stored with the mail, so that none is sent twice; after a run that was missed the
newest one is sent and those before it are not made up.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Interval, Select, and_, delete, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert

from app.accounts import queries as people
from app.accounts.deletion import service as deletion
from app.db import db, utc_now
from app.formatting.filters import day, money
from app.i18n import written_for
from app.notifications.service import send_mail
from app.payments import customers, invoices
from app.payments.models import Invoice
from app.payments.rules import InvoiceState
from app.subscriptions.kept import baskets, rules, store
from app.subscriptions.kept.renewing import length_of
from app.subscriptions.kept.rules import InvoiceKind, Reason, Reminder
from app.subscriptions.models import (
    KeptState,
    KeptSubscription,
    Plan,
    PlanKind,
    PlanPrice,
    RailSubscription,
    SubscriptionItem,
    SubscriptionReminder,
)
from app.subscriptions.texts import plan_label
from app.wallet.service import WALLET

TRIAL = "trial_ends"
BATCH = 500
_REMINDED = (KeptState.ACTIVE.value, KeptState.PAST_DUE.value)


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial that ends soon, whoever keeps it; `source` names it in every list."""

    source: str
    user_id: int
    plan: str
    ends_at: datetime


def due_invoices(now: datetime) -> list[int]:
    """Return open invoices of running subscriptions of which a reminder was not noted yet."""
    return list(db.session.scalars(_INVOICES, {"now": now}))


def _query_of_invoices() -> Select[int]:
    return (
        select(Invoice.id)
        .join(KeptSubscription, KeptSubscription.id == Invoice.kept_id)
        .where(
            Invoice.state == InvoiceState.OPEN.value,
            KeptSubscription.state.in_(_REMINDED),
            KeptSubscription.pending.is_(None),
            or_(
                *(
                    and_(
                        Invoice.due_at <= store.NOW - literal(shift, Interval),
                        _not_noted(func.concat("invoice:", Invoice.id), kind),
                    )
                    for kind, shift in rules.WHEN.items()
                )
            ),
        )
        .order_by(Invoice.due_at)
        .limit(BATCH)
    )


def remind_of_invoice(invoice_id: int) -> None:
    """Send the newest reminder of an invoice whose time has come; again: nothing."""
    invoice = invoices.lock(invoice_id)
    reason = Reason.parse(invoice.key)
    if invoice.state != InvoiceState.OPEN or reason is None or invoice.due_at is None:
        return
    kept = store.lock(reason.kept_id)
    if kept.state not in _REMINDED or reason.kind is not InvoiceKind.PERIOD:
        return
    passed = rules.reminders_passed(invoice.due_at, utc_now())
    new = [kind for kind in passed if _is_first(f"invoice:{invoice.id}", kind, kept.user_id)]
    if new and new[-1] is passed[-1] and _is_worth_a_mail(kept, invoice, new[-1]):
        _send(kept, invoice, new[-1])


def _is_worth_a_mail(kept: KeptSubscription, invoice: Invoice, kind: Reminder) -> bool:
    ends, due_at = store.grace_end(kept), invoice.due_at or utc_now()
    grace = ends - due_at if ends else timedelta(0)
    if not rules.is_wanted(kind, rules.lead_of(length_of(kept)), grace):
        return False
    if kind is Reminder.DUE and invoice.attempts and kept.rail != WALLET:
        # Who was told that a card was declined needs no second mail on the same day.
        return False
    return not deletion.is_leaving(kept.user_id)


def due_trials(now: datetime) -> list[Trial]:
    """Return trials that go on by themselves and end soon, of which nobody was told yet."""
    return [
        Trial(source, user_id, name, end)
        for query in _TRIALS
        for source, user_id, name, end in db.session.execute(query, {"now": now})
        if end is not None
    ]


def _queries_of_trials() -> tuple[Select[str, int, str, datetime | None], ...]:
    """Return what asks for the trials that we keep, and for those that others keep."""
    kept, there = KeptSubscription, RailSubscription
    ours = (
        select(func.concat("kept:", kept.id), kept.user_id, Plan.name, kept.trial_end)
        .join(SubscriptionItem, SubscriptionItem.kept_id == kept.id)
        .join(PlanPrice, PlanPrice.id == SubscriptionItem.price_id)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(
            kept.state == KeptState.TRIALING.value,
            ~kept.cancel_at_period_end,
            kept.trial_end > store.NOW,
            store.is_near(kept.trial_end, kept.started_at, rules.TRIAL_NOTICE),
            Plan.kind == PlanKind.PLAN.value,
            SubscriptionItem.quantity > 0,
            _not_noted(func.concat("kept:", kept.id), TRIAL),
        )
        .limit(BATCH)
    )
    named = func.concat(there.rail, ":", there.external_id)
    theirs = (
        select(named, there.user_id, Plan.name, there.trial_end)
        .join(PlanPrice, PlanPrice.id == there.price_id)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(
            there.state == KeptState.TRIALING.value,
            there.cancel_at.is_(None),
            there.trial_end > store.NOW,
            store.is_near(there.trial_end, there.started_at, rules.TRIAL_NOTICE),
            _not_noted(named, TRIAL),
        )
        .limit(BATCH)
    )
    return ours, theirs


def _not_noted(source: ColumnElement[str], kind: str) -> ColumnElement[bool]:
    noted = select(SubscriptionReminder.kind).where(
        SubscriptionReminder.source == source, SubscriptionReminder.kind == kind
    )
    return ~noted.exists()


# Asked again and again, so they are put together once.
_INVOICES = _query_of_invoices()
_TRIALS = _queries_of_trials()


def remind_of_trial(trial: Trial) -> None:
    """Tell somebody once that a trial ends."""
    if not _is_first(trial.source, TRIAL, trial.user_id) or deletion.is_leaving(trial.user_id):
        return
    person = people.user_by_id(trial.user_id)
    with written_for(person):
        values = {"plan": plan_label(trial.plan), "until": day(trial.ends_at)}
    send_mail(person, "trial_ends", **values)


def forget_trial(source: str) -> None:
    """Let the end of a trial be told of again: it is another day than was told."""
    told = SubscriptionReminder.source == source, SubscriptionReminder.kind == TRIAL
    db.session.execute(delete(SubscriptionReminder).where(*told))


def _is_first(source: str, kind: str, user_id: int) -> bool:
    """Note a reminder; tell whether it had not been noted yet."""
    statement = insert(SubscriptionReminder).values(source=source, kind=kind, user_id=user_id)
    noted = db.session.scalar(
        statement.on_conflict_do_nothing().returning(SubscriptionReminder.kind)
    )
    return noted is not None


def _send(kept: KeptSubscription, invoice: Invoice, kind: Reminder) -> None:
    person = people.user_by_id(kept.user_id)
    saved = {one.rail: one.method for one in customers.saved_methods(kept.user_id)}
    due_at, ends = invoice.due_at or utc_now(), store.grace_end(kept)
    with written_for(person):
        values = {
            "plan": baskets.next_of(kept).names,
            "total": money(invoice.total, invoice.currency),
            "due": day(due_at),
            "until": day(ends) if ends else "",
            "method": saved.get(kept.rail, ""),
            "from_wallet": kept.rail == WALLET,
            "is_overdue": kind is Reminder.OVERDUE,
        }
    send_mail(person, "renewal_due", invoice_id=invoice.id, **values)
