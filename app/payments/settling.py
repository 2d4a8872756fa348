"""How news of a rail become money in our books: the one way for callbacks, looks and replays.

Everything here runs in the transaction of its caller, under the locks of the person, the invoice,
the checkout and the payment, in this order.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.accounts.locks import lock_person
from app.accounts.queries import is_gone
from app.adapters.payments import rail_named
from app.adapters.payments.port import RailCheckout, RailPayment, RailState, Ref
from app.db import db, utc_now
from app.events import publish
from app.money import Money, exact_text
from app.notifications.stream import hint
from app.payments import checkouts, customers, invoices
from app.payments.events import PaymentFailed, PaymentSettled
from app.payments.models import Checkout, Invoice, Payment
from app.payments.rules import (
    CheckoutState,
    Decision,
    InvoiceState,
    Known,
    PaymentState,
    Purpose,
    Seen,
    Verdict,
    decide,
    income_shares,
)
from app.transactions import after_commit
from app.wallet import service as wallet
from app.wallet.rules import Line

log = logging.getLogger(__name__)

S = TypeVar("S")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether a piece of news was for us, and if not, why."""

    applied: bool
    reason: str = ""


TAKEN = Taken(True)
_takers: dict[type[Any], Callable[[str, Any], Taken]] = {}
_looked: ContextVar[set[tuple[str, Ref]] | None] = ContextVar("looked", default=None)


def takes(kind: type[S]) -> Callable[[Callable[[str, S], Taken]], Callable[[str, S], Taken]]:
    """Register the decorated function for pictures of one class; it gets the rail's name too."""

    def register(taker: Callable[[str, S], Taken]) -> Callable[[str, S], Taken]:
        _takers[kind] = taker
        return taker

    return register


def take(rail: str, snapshot: object) -> Taken:
    """Bring our rows to what a rail says of one object; any number of times, in any order."""
    taker = _takers.get(type(snapshot))
    return taker(rail, snapshot) if taker else Taken(False, "unknown_kind")


def take_ref(rail: str, ref: Ref) -> Taken:
    """Fetch an object and take it; what was taken in the same look is not taken again."""
    looked = _looked.get()
    if looked is not None and (rail, ref) in looked:
        return TAKEN
    snapshot = rail_named(rail).fetch(ref)
    taken = Taken(False, "unknown_object") if snapshot is None else take(rail, snapshot)
    if looked is not None and taken.applied:
        looked.add((rail, ref))
    return taken


@contextmanager
def one_look() -> Iterator[None]:
    """Fetch each object once in here: inside one transaction, which takes all or nothing."""
    token = _looked.set(set())
    try:
        yield
    finally:
        _looked.reset(token)


def known_payment(rail: str, external_id: str) -> Payment | None:
    """Return a payment of ours under its lock; one whose news did not come yet is fetched first.

    None if the payment is not ours.
    """
    owner = _payer(rail, external_id)
    if owner is None and take_ref(rail, Ref("payment", external_id)).applied:
        owner = _payer(rail, external_id)
    if owner is None:
        return None
    lock_person(owner)
    return _locked_payment(rail, external_id)


@takes(RailCheckout)
def take_checkout(rail: str, seen: RailCheckout) -> Taken:
    """Note how a page to pay on stands; its payments come as news of their own."""
    found = checkouts.find(rail, seen.id, seen.reference)
    if found is None:
        return Taken(False, "not_ours")
    lock_person(found.user_id)
    checkout = checkouts.lock(found.id)
    checkout.external_id = seen.id
    checkout.subscription_ref = seen.subscription_id
    told = CheckoutState(seen.state.value)
    if checkout.state == CheckoutState.OPEN and told is not CheckoutState.OPEN:
        checkouts.close(checkout, told)
    return TAKEN


@takes(RailPayment)
def take_payment(rail: str, seen: RailPayment) -> Taken:
    """Bring a payment of ours to what the rail says, and book money that came."""
    found = checkouts.find(rail, None, seen.reference)
    if found is None and seen.invoice_id:
        # Money for an invoice that the provider keeps: all that was paid of it is taken with it.
        return take_ref(rail, Ref("invoice", seen.invoice_id))
    if found is None:
        return Taken(False, "not_ours")
    lock_person(found.user_id)
    invoice = invoices.lock(found.invoice_id) if found.invoice_id else None
    checkout = checkouts.lock(found.id)
    payment = _own_row(checkout, seen)
    if seen.customer_id:
        # A card that was refused, or waits for its bank, was not kept to pay with.
        kept = seen.method if seen.state is RailState.SUCCEEDED else ""
        customers.remember(checkout.user_id, rail, seen.customer_id, kept, seen.method_ref)
    due = Money(invoice.total, invoice.currency) if invoice else seen.money
    decision = decide(
        Known(payment.state, invoice.state if invoice else None, due),
        Seen(seen.state.value, seen.money),
    )
    _copy_details(payment, seen)
    _act(decision, payment, invoice, checkout, seen)
    return TAKEN


def _act(
    decision: Decision,
    payment: Payment,
    invoice: Invoice | None,
    checkout: Checkout,
    seen: RailPayment,
) -> None:
    if decision.verdict is Verdict.NONE:
        return
    if decision.verdict is Verdict.PENDING:
        payment.state, payment.failure = PaymentState.PENDING.value, None
    elif decision.verdict is Verdict.FAIL:
        _fail(payment, invoice, seen)
    else:
        payment.amount, payment.currency = seen.money.amount, seen.money.currency
        payment.notes = [note.value for note in decision.notes]
        if checkout.state == CheckoutState.OPEN:
            checkouts.close(checkout, CheckoutState.COMPLETED)
        settle(payment, invoice if decision.verdict is Verdict.CONFIRM else None)
        if decision.notes:
            log.warning("unusual_payment payment=%s notes=%s", payment.id, payment.notes)
    _tell(payment)


def settle(payment: Payment, invoice: Invoice | None) -> None:
    """Book money that came: for the invoice, if it settles one, and what is left to the wallet."""
    payment.state, payment.failure = PaymentState.SUCCEEDED.value, None
    payment.settled_at = payment.mail_due_at = utc_now()
    _book(payment, invoice)
    if invoice is not None:
        invoices.move_to(invoice, InvoiceState.PAID, f"payment:{payment.id}")
    publish(PaymentSettled(payment.id, payment.user_id, payment.invoice_id, payment.purpose))


def _book(payment: Payment, invoice: Invoice | None) -> None:
    money = Money(payment.amount, payment.currency)
    key = f"payment:{payment.id}:settled"
    refs = references(payment)
    if not money.amount:
        return
    lines = income_lines(invoice) if invoice else ()
    if invoice is None or not lines:
        payment.surplus = money.amount
        wallet.top_up(key, payment.user_id, payment.rail, money, fee=payment.fee, refs=refs)
        return
    earned = sum((line.amount for line in lines), invoice.tax)
    payment.surplus = money.amount - earned
    wallet.settle_payment(
        key,
        payment.user_id,
        payment.rail,
        money,
        lines,
        tax=invoice.tax,
        fee=payment.fee,
        refs=refs,
    )


def follow_fee(payment: Payment, seen: RailPayment) -> None:
    """Book what a rail tells of its fee only after the payment; again: nothing."""
    fee = seen.fee.amount if seen.fee else ZERO
    if payment.state != PaymentState.SUCCEEDED or fee <= payment.fee:
        return
    wallet.record_fee(
        f"payment:{payment.id}:fee:{exact_text(fee)}",
        payment.rail,
        Money(fee - payment.fee, payment.currency),
        refs=references(payment),
    )
    payment.fee = fee
    db.session.flush()


def method_of(user_id: int, seen: RailPayment) -> tuple[str, str]:
    """Return what somebody paid with and its name at the rail; of who is erased none is kept."""
    return ("", "") if is_gone(user_id) else (seen.method, seen.method_ref)


def income_lines(invoice: Invoice) -> tuple[Line, ...]:
    """Return what an invoice is income of, for the ledger; tax is apart."""
    lines = [(line.kind, line.amount) for line in invoice.lines]
    shares = income_shares(lines, invoice.discount)
    return tuple(Line(income, amount) for income, amount in shares.items())


def references(payment: Payment) -> tuple[str, ...]:
    """Return the words under which the ledger finds what belongs to a payment."""
    told = [f"payment:{payment.id}", f"{payment.rail}:{payment.external_id}"]
    if payment.invoice_id is not None:
        told.append(f"invoice:{payment.invoice_id}")
    return tuple(told)


def _fail(payment: Payment, invoice: Invoice | None, seen: RailPayment) -> None:
    payment.state = seen.state.value
    payment.failure = seen.failure or seen.state.value
    if invoice is not None and invoice.state == InvoiceState.OPEN:
        invoice.attempts += 1
        invoice.failure = payment.failure
    publish(PaymentFailed(payment.id, payment.user_id, payment.invoice_id, payment.failure))


def _own_row(checkout: Checkout, seen: RailPayment) -> Payment:
    known = _locked_payment(checkout.rail, seen.id)
    if known is not None:
        return known
    statement = insert(Payment).values(
        user_id=checkout.user_id,
        invoice_id=checkout.invoice_id,
        checkout_id=checkout.id,
        purpose=checkout.purpose,
        rail=checkout.rail,
        external_id=seen.id,
        amount=seen.money.amount,
        currency=seen.money.currency,
    )
    db.session.execute(
        statement.on_conflict_do_nothing(index_elements=[Payment.rail, Payment.external_id])
    )
    found = _locked_payment(checkout.rail, seen.id)
    if found is None:
        raise RuntimeError("the row was stored just now")
    return found


def _payer(rail: str, external_id: str) -> int | None:
    return db.session.scalar(
        select(Payment.user_id).where(Payment.rail == rail, Payment.external_id == external_id)
    )


def _locked_payment(rail: str, external_id: str) -> Payment | None:
    return db.session.scalar(
        select(Payment)
        .where(Payment.rail == rail, Payment.external_id == external_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _copy_details(payment: Payment, seen: RailPayment) -> None:
    payment.intent_id = seen.intent_id or payment.intent_id
    payment.charge_id = seen.charge_id or payment.charge_id
    method, method_ref = method_of(payment.user_id, seen)
    payment.method = method or payment.method
    payment.method_ref = method_ref or payment.method_ref
    if payment.state == PaymentState.SUCCEEDED:
        follow_fee(payment, seen)
    elif seen.fee is not None:
        payment.fee = seen.fee.amount


def _tell(payment: Payment) -> None:
    user_id, invoice_id = payment.user_id, payment.invoice_id
    topic = f"invoice:{invoice_id}" if payment.purpose == Purpose.INVOICE else "wallet"
    after_commit(lambda: hint(user_id, topic))
