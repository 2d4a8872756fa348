"""By which way later periods are paid: the wallet, or a card that a rail keeps."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app.accounts import audit
from app.db import db, utc_now
from app.errors import Conflict
from app.money import Money
from app.payments import queries as payments
from app.payments.models import Invoice
from app.subscriptions.kept import queries, store
from app.subscriptions.kept.rules import InvoiceKind, Reason
from app.subscriptions.kept.store import hold_live, writing
from app.subscriptions.models import KeptState, KeptSubscription, SubscriptionChange
from app.wallet.service import WALLET

CHANGED = "way_changed"
# After these the way before is no longer taken back: money was taken by the new one.
_ENDS = (CHANGED, "paid", "revived")
_CHARGED = (KeptState.TRIALING.value, KeptState.ACTIVE.value, KeptState.PAST_DUE.value)


@dataclass(frozen=True, slots=True)
class Means:
    """A way to pay later periods; `method` is the card in words, empty for the wallet."""

    rail: str
    method: str = ""


@dataclass(frozen=True, slots=True)
class Ways:
    """How a subscription is paid, what else it could be paid by, and what may be taken back."""

    present: str
    means: tuple[Means, ...]
    before: str | None
    is_overdue: bool
    next_charge: Money | None
    next_at: datetime | None


def ways_of(user_id: int) -> Ways | None:
    """Return by which ways a person can pay later periods; None where no charge is to come."""
    kept = store.live(user_id)
    standing = queries.standing(user_id)
    if kept is None or standing is None or not _is_charged(kept):
        return None
    saved = (Means(one.rail, one.method) for one in payments.saved_methods(user_id))
    means = (*saved, Means(WALLET))
    before = _before(kept)
    return Ways(
        present=kept.rail,
        means=means,
        before=before if before in {one.rail for one in means} else None,
        is_overdue=standing.is_past_due,
        next_charge=standing.next_charge,
        next_at=standing.next_at,
    )


def pay_by(user_id: int, rail: str, *, actor_id: int | None = None) -> None:
    """Let later periods be paid by another way; audited. The same one again changes nothing.

    What is overdue is asked for with the next run, by another card of the same rail too.
    """
    held = hold_live(user_id)
    kept, invoice = held.kept, held.invoice
    if not _is_charged(kept):
        raise Conflict("no_charge_to_come")
    if rail != WALLET and rail not in {one.rail for one in payments.saved_methods(user_id)}:
        raise Conflict("no_saved_method")
    if rail != kept.rail:
        _write(kept, rail, actor_id)
    if invoice is not None:
        _ask_if_overdue(invoice)


def _write(kept: KeptSubscription, rail: str, actor_id: int | None) -> None:
    before = kept.rail
    with writing(kept, CHANGED, cause="asked", actor_id=actor_id):
        kept.rail = rail
    audit.record(
        "subscription.way_changed",
        "user",
        kept.user_id,
        actor_id=actor_id,
        before={"rail": before},
        after={"rail": rail},
    )


def _ask_if_overdue(invoice: Invoice) -> None:
    now, reason = utc_now(), Reason.parse(invoice.key)
    is_period = reason is not None and reason.kind is InvoiceKind.PERIOD
    if is_period and invoice.due_at is not None and invoice.due_at <= now:
        invoice.next_attempt_at = now


def take_back(user_id: int, *, actor_id: int | None = None) -> None:
    """Pay by the way before the last change again, while nothing was taken by the new one."""
    before = _before(hold_live(user_id).kept)
    if before is None:
        raise Conflict("way_is_used")
    pay_by(user_id, before, actor_id=actor_id)


def _is_charged(kept: KeptSubscription) -> bool:
    goes_on = kept.period_end is not None and not kept.cancel_at_period_end
    return kept.state in _CHARGED and goes_on


def _before(kept: KeptSubscription) -> str | None:
    """Return the way before the last change, if nothing was paid since."""
    last = db.session.scalar(
        select(SubscriptionChange)
        .where(
            SubscriptionChange.user_id == kept.user_id,
            SubscriptionChange.source == store.source_of(kept),
            SubscriptionChange.what.in_(_ENDS),
        )
        .order_by(SubscriptionChange.id.desc())
        .limit(1)
    )
    if last is None or last.what != CHANGED or last.before is None:
        return None
    before = str(last.before["rail"])
    return before if before != kept.rail else None
