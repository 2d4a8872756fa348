"""Sequences of Stripe's events over the real endpoint, worker and books."""

import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, cast, func, select

from app.accounts.models import User
from app.adapters.payments import rails, use_rails
from app.adapters.payments.stripe.rail import StripeRail
from app.db import db
from app.notifications.models import OutboxMessage
from app.payments.models import Checkout, Dispute, Invoice, Payment, RailEvent, Refund
from app.subscriptions.models import PlanPrice, RailPrice, RailSubscription
from app.subscriptions.queries import limits_of
from app.transactions import transaction
from app.wallet.models import LedgerAccount, LedgerEntry, LedgerPosting
from app.wallet.queries import balances_of
from tests.doubles.stripe.sequences import EventSequence, SequenceStripe
from tests.factories import make_user
from tests.payments.stripe_world import SECRET, TAG

PRICES = {
    "pro_monthly": ("pro", "month"),
    "premium_monthly": ("premium", "month"),
    "pro_yearly": ("pro", "year"),
}
TOP_UP = '"wallet_topup": "1"'


@dataclass(frozen=True)
class Stage:
    """A sequence of its own person, ready to be delivered."""

    user_id: int
    sequence: EventSequence
    face: SequenceStripe


def stage(sequence: EventSequence, seed: int) -> Stage:
    """Put a sequence under ids of its own, of a new person, up to now; and behind the rail."""
    with transaction():
        user = make_user()
        checkout = top_up_page(user)
        user_id, checkout_id = user.id, checkout.id
    marks = {"app": TAG, "user_id": str(user_id)}
    ready = sequence.fresh(seed).moved(int(time.time())).adapted(marks)
    reference = f'{TOP_UP}, "app": "{TAG}", "reference": "checkout:{checkout_id}"'
    ready = ready._mapped(lambda thing: json.loads(json.dumps(thing).replace(TOP_UP, reference)))
    map_prices(ready)
    face = SequenceStripe(ready, validate=False)
    use_rails({**rails(), "stripe": rail_of(face)})
    return Stage(user_id, ready, face)


def stage_lately(sequence: EventSequence, seed: int) -> Stage:
    """Put a sequence on the stage with all of its events within the last two hours.

    None is older than what Stripe keeps, and all but the last are too old to be overtaken.
    """
    ready = stage(sequence, seed)
    began = int(time.time()) - 7_200
    for number, note in enumerate(ready.face.account.notes):
        note.created = note.event["created"] = began + number
    return ready


def lose(ready: Stage, lost: Collection[int]) -> None:
    """Let Stripe know that some events, by their places, were not taken; all others were."""
    events = ready.sequence.events
    ready.face.delivered(one["id"] for number, one in enumerate(events) if number not in lost)


def rail_of(face: SequenceStripe) -> StripeRail:
    """Return the rail that asks a Stripe that stands where a sequence ends."""
    return StripeRail(face.client(), (SECRET,), TAG)


def top_up_page(user: User) -> Checkout:
    """Make the page that a person has paid on, in sequences that begin with such a payment."""
    page = Checkout(
        user_id=user.id,
        purpose="top_up",
        rail="stripe",
        amount=Decimal(20),
        currency="USD",
        expires_at=func.now(),
    )
    db.session.add(page)
    db.session.flush()
    return page


def map_prices(sequence: EventSequence) -> None:
    """Say which prices of ours those of a sequence are."""
    known: dict[str, str] = {}
    _find_prices(sequence.objects(), known)
    with transaction():
        for external_id, key in known.items():
            if db.session.get(RailPrice, ("stripe", external_id)) is None:
                plan, period = PRICES[key]
                price = db.session.scalars(
                    select(PlanPrice.id)
                    .where(PlanPrice.plan_code == plan, PlanPrice.period == period)
                    .limit(1)
                ).one()
                db.session.add(RailPrice(rail="stripe", external_id=external_id, price_id=price))


def _find_prices(thing: Any, known: dict[str, str]) -> None:
    if isinstance(thing, list):
        for each in thing:
            _find_prices(each, known)
    elif isinstance(thing, dict):
        if thing.get("object") == "price" and thing.get("lookup_key") in PRICES:
            known[thing["id"]] = thing["lookup_key"]
        for each in thing.values():
            _find_prices(each, known)


def picture(user_id: int) -> dict[str, Any]:
    """Return all of a person that must be the same however the events came."""
    db.session.rollback()
    limits = limits_of(user_id)
    mirrored = db.session.scalars(
        select(RailSubscription)
        .where(RailSubscription.user_id == user_id)
        .order_by(RailSubscription.external_id)
    ).all()
    payments = db.session.scalars(select(Payment).where(Payment.user_id == user_id)).all()
    refunds = db.session.scalars(
        select(Refund)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Payment.user_id == user_id)
    ).all()
    paid, refunded = _booked([row.id for row in payments])
    return {
        "plan": limits.plan,
        "ends": limits.until is not None,
        "states": [row.state for row in mirrored],
        "paid_prices": [row.paid_price_ref for row in mirrored],
        "invoices": sorted(
            (row.external_id, row.state, str(row.total), row.attempts)
            for row in db.session.scalars(select(Invoice).where(Invoice.user_id == user_id))
        ),
        "payments": sorted(
            (row.external_id, row.state, str(row.amount), str(row.refunded), str(row.fee))
            for row in payments
        ),
        "refunds": sorted((str(row.external_id), row.state) for row in refunds),
        # Written by nobody here.
        "mails_due": [
            len([row for row in rows if row.mail_due_at]) for rows in (payments, refunds)
        ],
        "disputes": sorted(
            (external_id, state)
            for external_id, state in db.session.execute(
                select(Dispute.external_id, Dispute.state)
                .join(Payment, Payment.id == Dispute.payment_id)
                .where(Payment.user_id == user_id)
            )
        ),
        "paid": paid,
        "refunded": -refunded,
        "wallet": [(one.currency, str(one.total)) for one in balances_of(user_id)],
        "mails": sum(row.template == "payment_failed" for row in letters(user_id)),
    }


def _booked(payment_ids: Iterable[int]) -> tuple[int, int]:
    """Return what came in by Stripe, and what went out, in cents, by the ledger alone."""
    words = [f"payment:{payment_id}" for payment_id in payment_ids]
    came, went = db.session.execute(
        select(_sum_of("payment:%:settled"), _sum_of("refund:%"))
        .select_from(LedgerEntry)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .join(LedgerPosting, LedgerPosting.id == LedgerEntry.posting_id)
        .where(
            LedgerPosting.refs.op("?|")(cast(words, ARRAY(Text))),
            LedgerAccount.name.in_(("psp:stripe", "expense:fees")),
        )
    ).one()
    return int((came or 0) * 100), int((went or 0) * 100)


def _sum_of(keys: str) -> ColumnElement[Decimal]:
    return func.sum(LedgerEntry.amount).filter(LedgerPosting.key.like(keys))


def letters(user_id: int) -> Sequence[OutboxMessage]:
    """Return all mails to somebody, in order."""
    query = select(OutboxMessage).where(OutboxMessage.user_id == user_id)
    return db.session.scalars(query.order_by(OutboxMessage.id)).all()


def unfinished() -> list[tuple[str, str | None, str | None]]:
    """Return callbacks that are not done with."""
    db.session.rollback()
    rows = db.session.execute(
        select(RailEvent.type, RailEvent.reason, RailEvent.error).where(
            RailEvent.state.in_(("received", "failed", "dead"))
        )
    )
    return [(kind, reason, error) for kind, reason, error in rows]


def check_expected(stage: Stage) -> dict[str, Any]:
    """Check that all is done with, and what a sequence says of its end; return the picture."""
    assert unfinished() == [], stage.sequence.name
    return check_end(stage)


def check_end(stage: Stage) -> dict[str, Any]:
    """Check what a sequence says of its end; return the whole picture."""
    seen, expect = picture(stage.user_id), stage.sequence.expect
    name = stage.sequence.name
    if "plan" in expect:
        # The yearly price is one of the same plan.
        assert seen["plan"] == expect["plan"].removesuffix("_yearly"), name
    if "access" in expect:
        assert (seen["plan"] != "free") == expect["access"], name
    if "status" in expect:
        assert expect["status"] in seen["states"], name
    if "ledger_paid_cents" in expect:
        assert seen["paid"] == expect["ledger_paid_cents"], name
    if "ledger_refunded_cents" in expect:
        assert seen["refunded"] == expect["ledger_refunded_cents"], name
    if "invoices_paid" in expect:
        paid = [row for row in seen["invoices"] if row[1] == "paid"]
        assert len(paid) == expect["invoices_paid"], name
    moved = [[row[1] for row in seen[what]].count("succeeded") for what in ("payments", "refunds")]
    assert seen["mails_due"] == moved, name
    if "dunning_emails_max" in expect:
        assert seen["mails"] <= expect["dunning_emails_max"], name
    if "ledger_disputed_cents" in expect:
        lost = [row for row in seen["disputes"] if row[1] == "lost"]
        assert bool(lost) == bool(expect["ledger_disputed_cents"]), name
    if "wallet_clawback" in expect:
        left = "0" if expect["wallet_clawback"] else "20"
        assert [Decimal(amount) for _, amount in seen["wallet"]] == [Decimal(left)], name
    return seen
