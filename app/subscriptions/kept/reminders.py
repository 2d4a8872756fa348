"""Mails before and after the day on which an invoice is due, and before a trial ends.

A row for each is stored with the mail, so that none is sent twice; after a run that was missed the
newest one is sent and those before it are not made up.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert

from app.accounts import queries as people
from app.accounts.deletion import service as deletion
from app.db import db, utc_now
from app.formatting.filters import day, money
from app.i18n import use_locale
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


def due_invoices() -> list[int]:
    """Return open invoices of coming or overdue periods, the first due first."""
    rows = db.session.execute(
        select(Invoice.id, Invoice.key)
        .join(KeptSubscription, KeptSubscription.id == Invoice.kept_id)
        .where(
            Invoice.state == InvoiceState.OPEN.value,
            Invoice.due_at.is_not(None),
            KeptSubscription.state.in_(_REMINDED),
            ~KeptSubscription.cancel_at_period_end,
        )
        .order_by(Invoice.due_at)
        .limit(BATCH)
    )
    found = ((invoice_id, Reason.parse(key)) for invoice_id, key in rows)
    return [one for one, reason in found if reason and reason.kind is InvoiceKind.PERIOD]


def remind_of_invoice(invoice_id: int) -> None:
    """Send the newest reminder of an invoice whose time has come; again: nothing."""
    invoice, now = invoices.lock(invoice_id), utc_now()
    reason = Reason.parse(invoice.key)
    if invoice.state != InvoiceState.OPEN or reason is None or invoice.due_at is None:
        return
    kept = store.lock(reason.kept_id)
    if kept.state not in _REMINDED or kept.cancel_at_period_end:
        return
    if deletion.is_leaving(kept.user_id):
        return
    due = rules.reminders_due(invoice.due_at, rules.lead_of(length_of(kept)), now)
    new = [kind for kind in due if _is_first(f"invoice:{invoice.id}", kind, kept.user_id)]
    if not new or new[-1] is not due[-1]:
        return
    # Who was told that a card was declined needs no second mail on the same day.
    if new[-1] is Reminder.DUE and invoice.attempts and kept.rail != WALLET:
        return
    _send(kept, invoice, new[-1])


def due_trials(now: datetime) -> list[Trial]:
    """Return trials that go on by themselves and end soon, of which nobody was told yet."""
    kept, there = KeptSubscription, RailSubscription
    ours = db.session.execute(
        select(kept.id, kept.user_id, Plan.name, kept.started_at, kept.trial_end)
        .join(SubscriptionItem, SubscriptionItem.kept_id == kept.id)
        .join(PlanPrice, PlanPrice.id == SubscriptionItem.price_id)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(
            kept.state == KeptState.TRIALING.value,
            ~kept.cancel_at_period_end,
            kept.trial_end > now,
            Plan.kind == PlanKind.PLAN.value,
            SubscriptionItem.quantity > 0,
            _not_told(func.concat("kept:", kept.id)),
        )
        .limit(BATCH)
    )
    theirs = db.session.execute(
        select(there.rail, there.external_id, there.user_id, Plan.name)
        .add_columns(there.started_at, there.trial_end)
        .join(PlanPrice, PlanPrice.id == there.price_id)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(
            there.state == KeptState.TRIALING.value,
            there.cancel_at.is_(None),
            there.trial_end > now,
            _not_told(func.concat(there.rail, ":", there.external_id)),
        )
        .limit(BATCH)
    )
    trials = [
        (Trial(f"kept:{number}", user_id, name, end), start)
        for number, user_id, name, start, end in ours
        if end is not None
    ] + [
        (Trial(f"{rail}:{external_id}", user_id, name, end), start)
        for rail, external_id, user_id, name, start, end in theirs
        if end is not None
    ]
    return [one for one, start in trials if rules.trial_reminder_at(start, one.ends_at) <= now]


def _not_told(source: ColumnElement[str]) -> ColumnElement[bool]:
    told = select(SubscriptionReminder.kind).where(
        SubscriptionReminder.source == source, SubscriptionReminder.kind == TRIAL
    )
    return ~told.exists()


def remind_of_trial(trial: Trial) -> None:
    """Tell somebody once that a trial ends."""
    if deletion.is_leaving(trial.user_id) or not _is_first(trial.source, TRIAL, trial.user_id):
        return
    person = people.user_by_id(trial.user_id)
    with use_locale(person.language):
        values = {"plan": plan_label(trial.plan), "until": day(trial.ends_at)}
    send_mail(person, "trial_ends", **values)


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
    due_at = invoice.due_at or utc_now()
    with use_locale(person.language):
        values = {
            "plan": baskets.next_of(kept).names,
            "total": money(invoice.total, invoice.currency),
            "due": day(due_at),
            "until": day(due_at + store.grace()),
            "method": saved.get(kept.rail, ""),
            "from_wallet": kept.rail == WALLET,
            "is_overdue": kind is Reminder.OVERDUE,
        }
    send_mail(person, "renewal_due", invoice_id=invoice.id, **values)
