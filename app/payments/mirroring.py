"""Invoices that a provider keeps, and its customers, copied into our own books.

All sums are the provider's. Locks are taken in the order of `accounts.locks`.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select

from app.accounts.queries import is_gone, user_by_id
from app.adapters.payments.port import (
    RailCustomer,
    RailInvoice,
    RailInvoiceState,
    RailLine,
    RailPayment,
    RailState,
    Ref,
)
from app.db import db, utc_now
from app.errors import Conflict
from app.events import publish
from app.formatting.filters import day, money
from app.i18n import written_for
from app.money import Money
from app.notifications.service import send_mail
from app.notifications.stream import hint
from app.payments import customers, invoices
from app.payments.events import PaymentSettled
from app.payments.models import Invoice, Payment
from app.payments.rules import (
    MAX_DESCRIPTION,
    InvoiceState,
    Line,
    LineKind,
    NewInvoice,
    PaymentState,
    Purpose,
    income_shares,
    tax_share,
)
from app.payments.settling import TAKEN, Taken, follow_fee, method_of, references, take_ref, takes
from app.transactions import after_commit
from app.wallet import service as wallet
from app.wallet.rules import Line as Income

log = logging.getLogger(__name__)

ZERO = Decimal(0)
_PAYABLE = frozenset({RailInvoiceState.OPEN, RailInvoiceState.UNCOLLECTIBLE})
UNNAMED = "-"
# What the subjects of lines begin with that rent out single bots.
ADDON = "addon:"


@dataclass(frozen=True, slots=True)
class Sold:
    """What a price of a provider sells here: the subject of a line, our price, and our words.

    Providers write English; `words` says a line in the language of the one who reads it.
    """

    subject: str
    price_id: int
    words: Callable[[RailLine], str]


def _nothing(_rail: str, _names: Collection[str]) -> Mapping[str, Sold]:
    return {}


class _Registered:
    """The function that knows prices, once a subject above this one has given it."""

    names: Callable[[str, Collection[str]], Mapping[str, Sold]] = staticmethod(_nothing)


def name_prices_with(names: Callable[[str, Collection[str]], Mapping[str, Sold]]) -> None:
    """Register the function that says what prices of a provider sell here."""
    _Registered.names = staticmethod(names)


@takes(RailCustomer)
def take_customer(rail: str, seen: RailCustomer) -> Taken:
    """Note who somebody is at a rail; one who was deleted there is made anew when needed."""
    if seen.is_deleted:
        return TAKEN if customers.forget(rail, seen.id) else Taken(False, "not_ours")
    owner = customers.lock_owner(rail, seen.id, seen.owner)
    if owner is None:
        return Taken(False, "not_ours")
    customers.remember(owner, rail, seen.id, seen.method or "", seen.method_ref)
    after_commit(lambda: hint(owner, "dashboard"))
    return TAKEN


@takes(RailInvoice)
def take_invoice(rail: str, seen: RailInvoice) -> Taken:
    """Bring our copy of a provider's invoice to what it says, and book the money that paid it."""
    if seen.state is RailInvoiceState.DRAFT:
        return Taken(False, "draft")
    user_id = customers.lock_payer(rail, seen.customer_id, seen.owner)
    if user_id is None:
        return Taken(False, "not_ours")
    with written_for(user_by_id(user_id)):
        copied = _copy(rail, user_id, seen)
    invoice, _ = invoices.draft(copied, f"{rail}:{seen.id}")
    for payment in seen.payments:
        if payment.state is RailState.SUCCEEDED:
            _settle(rail, invoice, payment)
    invoice.pay_url = _where_to_pay(user_id, seen)
    moved = _move(invoice, seen)
    _note_tries(invoice, seen)
    if moved and seen.subscription_id:
        # What was waited for has come, or will not: the right that hangs on it follows at once.
        take_ref(rail, Ref("subscription", seen.subscription_id))
    return TAKEN


def _where_to_pay(user_id: int, seen: RailInvoice) -> str | None:
    """Return the provider's page that takes the money; nobody is led there who is erased."""
    return seen.pay_url if seen.state in _PAYABLE and not is_gone(user_id) else None


def _copy(rail: str, user_id: int, seen: RailInvoice) -> NewInvoice:
    return NewInvoice(
        key=f"{rail}:{seen.id}",
        user_id=user_id,
        lines=_lines(rail, seen),
        discount=seen.discount,
        discount_name=", ".join(seen.discount_names)[:MAX_DESCRIPTION],
        tax=seen.tax,
        due_at=seen.due_at,
        rail=rail,
        external_id=seen.id,
        subscription_ref=seen.subscription_id,
    )


def _lines(rail: str, seen: RailInvoice) -> tuple[Line, ...]:
    """Return the lines; what they do not tell of the total stands on a line of its own."""
    known = _Registered.names(rail, {line.price_id for line in seen.lines if line.price_id})
    lines = [_line(seen, line, known) for line in seen.lines]
    told = sum((line.amount for line in lines), Money(ZERO, seen.total.currency))
    rest = seen.total - seen.tax + seen.discount - told
    if rest.amount or not lines:
        lines.append(Line(LineKind.OTHER, UNNAMED, rest))
    return tuple(lines)


def _line(seen: RailInvoice, line: RailLine, known: Mapping[str, Sold]) -> Line:
    sold = known.get(line.price_id or "")
    kind = LineKind.OTHER
    if seen.subscription_id and line.is_proration:
        kind = LineKind.PRORATION
    elif seen.subscription_id:
        kind = LineKind.BOT if sold and sold.subject.startswith(ADDON) else LineKind.PLAN
    words = sold.words(line) if sold else line.description
    text = words.replace("\x00", "").strip()[:MAX_DESCRIPTION].strip()
    return Line(
        kind=kind,
        description=text or UNNAMED,
        amount=line.money,
        quantity=line.quantity,
        subject=sold.subject if sold else f"price:{line.price_id}" if line.price_id else "",
        price_id=sold.price_id if sold else None,
        period_start=line.period_start,
        period_end=line.period_end,
    )


def _settle(rail: str, invoice: Invoice, seen: RailPayment) -> None:
    """Book money that came through the provider, once for each payment there."""
    known = db.session.scalar(
        select(Payment)
        .where(Payment.rail == rail, Payment.external_id == seen.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if known is not None:
        follow_fee(known, seen)
        return
    now = utc_now()
    method, method_ref = method_of(invoice.user_id, seen)
    payment = Payment(
        user_id=invoice.user_id,
        invoice_id=invoice.id,
        purpose=Purpose.SUBSCRIPTION.value,
        rail=rail,
        external_id=seen.id,
        intent_id=seen.intent_id,
        charge_id=seen.charge_id,
        state=PaymentState.SUCCEEDED.value,
        amount=seen.money.amount,
        currency=seen.money.currency,
        fee=seen.fee.amount if seen.fee else ZERO,
        method=method,
        method_ref=method_ref,
        settled_at=now,
        mail_due_at=now,
    )
    before = _paid_before(invoice)
    db.session.add(payment)
    db.session.flush()
    if seen.method and seen.customer_id:
        customers.note_method(invoice.user_id, rail, seen.customer_id, seen.method, seen.method_ref)
    _book(invoice, payment, before)
    publish(PaymentSettled(payment.id, payment.user_id, invoice.id, payment.purpose))


def _paid_before(invoice: Invoice) -> Decimal:
    amounts = db.session.scalars(select(Payment.amount).where(Payment.invoice_id == invoice.id))
    return sum(amounts, ZERO)


def _book(invoice: Invoice, payment: Payment, before: Decimal) -> None:
    if not payment.amount:
        return
    owed = min(payment.amount, max(invoice.total - before, ZERO))
    in_all = Money(invoice.tax, invoice.currency)
    tax = tax_share(in_all, invoice.total, owed, before) if owed else ZERO
    # What an earlier credit or another payment has covered is no income of this one.
    elsewhere = invoice.total - invoice.tax - (owed - tax)
    lines = [(line.kind, line.amount) for line in invoice.lines]
    shares = income_shares(lines, invoice.discount + elsewhere) if owed else {}
    payment.surplus = payment.amount - sum(shares.values(), tax if owed else ZERO)
    money_in = Money(payment.amount, payment.currency)
    key, refs = f"payment:{payment.id}:settled", references(payment)
    if not shares:
        payment.surplus = payment.amount
        wallet.top_up(key, payment.user_id, payment.rail, money_in, fee=payment.fee, refs=refs)
        return
    incomes = [Income(name, amount) for name, amount in shares.items()]
    wallet.settle_payment(
        key, payment.user_id, payment.rail, money_in, incomes, tax=tax, fee=payment.fee, refs=refs
    )


def _move(invoice: Invoice, seen: RailInvoice) -> bool:
    try:
        return invoices.move_to(
            invoice, InvoiceState(seen.state.value), f"{invoice.rail}:{seen.id}"
        )
    except Conflict:
        # For example voided here by staff and paid there: a person has to look at it.
        log.error(
            "invoice_drifts invoice=%s here=%s there=%s", invoice.id, invoice.state, seen.state
        )
        return False


def _note_tries(invoice: Invoice, seen: RailInvoice) -> None:
    """Note tries that came to nothing; each one is told to the owner once."""
    if invoice.state != InvoiceState.OPEN:
        return
    is_new = seen.attempts > invoice.attempts
    invoice.next_attempt_at = seen.next_attempt_at
    if not is_new:
        return
    invoice.attempts, invoice.failure = seen.attempts, "card_refused"
    if is_gone(invoice.user_id):
        return
    person = user_by_id(invoice.user_id)
    with written_for(person):
        again = day(seen.next_attempt_at) if seen.next_attempt_at else ""
        total = money(invoice.total, invoice.currency)
    send_mail(person, "payment_failed", total=total, again=again, pay_url=seen.pay_url or "")
