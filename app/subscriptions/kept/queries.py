"""How somebody's subscription stands that we keep."""

from datetime import datetime

from app.db import db
from app.money import Money
from app.payments import customers
from app.payments.models import Invoice
from app.subscriptions.kept import baskets, discounts, store
from app.subscriptions.kept.baskets import Basket
from app.subscriptions.kept.rules import InvoiceKind, Reason
from app.subscriptions.models import KeptState, KeptSubscription
from app.subscriptions.terms import IfKept, Source, Standing, Verb
from app.subscriptions.texts import plan_label
from app.wallet.service import WALLET


def standing(user_id: int) -> Standing | None:
    """Return how a person's subscription stands; None where there is none."""
    kept = store.live(user_id)
    if kept is None:
        return None
    invoice_id = store.open_invoice_id(kept.id)
    invoice = db.session.get(Invoice, invoice_id) if invoice_id is not None else None
    present = baskets.present_of(kept)
    plan = present.plan
    charge, charge_at = _next_charge(kept, invoice)
    is_past_due = kept.state == KeptState.PAST_DUE
    return Standing(
        source=Source.KEPT,
        id=kept.id,
        rail=kept.rail,
        state=kept.state,
        plan_code=plan.plan_code if plan else None,
        plan_name=plan_label(plan.name) if plan else "",
        addons=present.addons,
        period=present.period,
        period_end=kept.period_end,
        next_charge=charge,
        next_at=charge_at,
        trial_end=kept.trial_end if kept.state == KeptState.TRIALING else None,
        cancel_at=kept.period_end if kept.cancel_at_period_end else None,
        is_past_due=is_past_due,
        unpaid_since=kept.period_end if is_past_due else None,
        failure=invoice.failure if invoice else None,
        next_attempt_at=invoice.next_attempt_at if invoice else None,
        pay_invoice_id=invoice.id if invoice else None,
        pay_url=None,
        has_portal=False,
        may=_may(kept, invoice),
        lowered=discounts.lowered(kept),
        is_asked=charge is not None and not _is_charged(kept),
        following=present.followed_by(baskets.next_of(kept), kept.change_at)
        if kept.change_at is not None and not kept.cancel_at_period_end
        else None,
        if_kept=_if_kept(kept, present) if kept.cancel_at_period_end else None,
    )


def _if_kept(kept: KeptSubscription, present: Basket) -> IfKept:
    following = baskets.next_of(kept)
    charge = discounts.next_sum(kept, following)
    return IfKept(following.names, following.period, charge, not following.is_like(present))


def _is_charged(kept: KeptSubscription) -> bool:
    """Tell whether there is something that may be charged without asking."""
    saved = (one.rail for one in customers.saved_methods(kept.user_id))
    return kept.rail == WALLET or kept.rail in saved


def _next_charge(
    kept: KeptSubscription, invoice: Invoice | None
) -> tuple[Money | None, datetime | None]:
    """Return what is asked for next and when; nothing where it ends or is for life."""
    if kept.cancel_at_period_end:
        return None, None
    reason = Reason.parse(invoice.key) if invoice is not None else None
    if invoice is not None and reason is not None and reason.kind is InvoiceKind.PERIOD:
        return Money(invoice.total, invoice.currency), invoice.next_attempt_at or invoice.due_at
    if kept.period_end is None:
        return None, None
    return discounts.next_sum(kept, baskets.next_of(kept)), kept.period_end


def _may(kept: KeptSubscription, invoice: Invoice | None) -> frozenset[Verb]:
    pay = {Verb.PAY} if invoice is not None else set()
    if kept.state in {KeptState.INCOMPLETE, KeptState.PAST_DUE}:
        return frozenset({Verb.CANCEL} | pay)
    if kept.cancel_at_period_end:
        return frozenset({Verb.UNDO})
    if kept.period_end is None:
        return frozenset(pay)
    return frozenset({Verb.CHANGE, Verb.CANCEL} | pay)
