"""States of invoices and payments, what lines add up to, and what money that came means; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from app.errors import Conflict, InvalidInput
from app.money import CHARGED_DIGITS, COIN_DIGITS, Money

MAX_LINES = 100
MAX_DESCRIPTION = 200
MAX_AMOUNT = Decimal(1_000_000)
# What can be booked at all, whoever asks for it.
LARGEST = Decimal("1e15")


class InvoiceState(StrEnum):
    """DRAFT may still change; OPEN waits for money; UNCOLLECTIBLE was given up, yet may be paid."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


# State -> the states that may follow. Refunds and credit notes are documents of their own, so
# nothing follows a paid invoice. The trigger `invoice_move` of the database holds the same table.
STATE_TABLE: dict[str, frozenset[str]] = {
    InvoiceState.DRAFT: frozenset({InvoiceState.OPEN, InvoiceState.VOID}),
    InvoiceState.OPEN: frozenset(
        {InvoiceState.PAID, InvoiceState.VOID, InvoiceState.UNCOLLECTIBLE}
    ),
    InvoiceState.UNCOLLECTIBLE: frozenset({InvoiceState.PAID, InvoiceState.VOID}),
    InvoiceState.PAID: frozenset(),
    InvoiceState.VOID: frozenset(),
}


# Money for an invoice that was given up is welcome all the same.
PAYABLE = frozenset({InvoiceState.OPEN, InvoiceState.UNCOLLECTIBLE})


class PaymentState(StrEnum):
    """How a try of money stands; what has succeeded never falls back, it is refunded."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class Purpose(StrEnum):
    """What a person pays for on a rail."""

    INVOICE = "invoice"
    TOP_UP = "top_up"
    SUBSCRIPTION = "subscription"


class CheckoutState(StrEnum):
    """How a page to pay on stands; FAILED could not even be made."""

    OPEN = "open"
    COMPLETED = "completed"
    EXPIRED = "expired"
    FAILED = "failed"


class RefundTarget(StrEnum):
    """Where money goes that is given back."""

    RAIL = "rail"
    WALLET = "wallet"


class DisputeState(StrEnum):
    """How a payment stands that a bank takes back, or asks about; an inquiry moves no money."""

    INQUIRY = "inquiry"
    CLOSED = "closed"
    OPEN = "open"
    WON = "won"
    LOST = "lost"


# What a bank has taken, or holds until it has decided.
TAKEN_BY_BANK = frozenset({DisputeState.OPEN, DisputeState.LOST})
# What waits for an answer of ours, or for the bank's.
UNDECIDED = frozenset({DisputeState.INQUIRY, DisputeState.OPEN})


class AlertKind(StrEnum):
    """Why a person has to look into a payment."""

    FRAUD_WARNING = "fraud_warning"
    REFUND_EXCESS = "refund_excess"
    ERASED_PAYER = "erased_payer"
    REFUND_FAILED = "refund_failed"


class AlertState(StrEnum):
    """Whether a person has to look still: OVER says that the provider took it back itself."""

    OPEN = "open"
    OVER = "over"
    SETTLED = "settled"


class Settlement(StrEnum):
    """How a person settles what was found at a payment."""

    NOTED = "noted"
    LOSS = "loss"
    WALLET = "wallet"


class EventState(StrEnum):
    """RECEIVED waits, FAILED waits for its next try, DEAD for a person; the others are ends."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    FAILED = "failed"
    DEAD = "dead"


class Verdict(StrEnum):
    """What news of a rail mean for us.

    HOLD: the money is real, but settles nothing; it goes to the wallet and is told.
    """

    NONE = "none"
    PENDING = "pending"
    CONFIRM = "confirm"
    FAIL = "fail"
    HOLD = "hold"


class Note(StrEnum):
    """What is unusual about money that came."""

    UNDER = "under"
    OVER = "over"
    LATE = "late"
    WRONG_CURRENCY = "wrong_currency"


@dataclass(frozen=True, slots=True)
class Known:
    """What we know: our payment, the invoice it is for (None: a top-up), and what is due."""

    payment: str
    invoice: str | None
    due: Money


@dataclass(frozen=True, slots=True)
class Seen:
    """What the rail says now: the state, and the money received or asked for."""

    state: str
    received: Money


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and what is to be told about it."""

    verdict: Verdict
    notes: tuple[Note, ...] = ()


def decide(known: Known, seen: Seen) -> Decision:
    """Say what news of a rail mean; the same for a callback, a look of ours and a replay.

    Later news win, except over a success: that is final, whatever comes after it.
    """
    if known.payment == PaymentState.SUCCEEDED:
        return Decision(Verdict.NONE)
    if seen.state == PaymentState.PENDING:
        moved = known.payment != PaymentState.PENDING
        return Decision(Verdict.PENDING if moved else Verdict.NONE)
    if seen.state in {PaymentState.FAILED, PaymentState.CANCELED}:
        same = known.payment == seen.state
        return Decision(Verdict.NONE if same else Verdict.FAIL)
    return _decide_on_money(known, seen.received)


def _decide_on_money(known: Known, received: Money) -> Decision:
    if known.invoice is None:
        return Decision(Verdict.CONFIRM)
    late = () if known.invoice == InvoiceState.OPEN else (Note.LATE,)
    if received.currency != known.due.currency:
        return Decision(Verdict.HOLD, (Note.WRONG_CURRENCY, *late))
    if known.invoice not in PAYABLE:
        return Decision(Verdict.HOLD, late)
    if received.amount < known.due.amount:
        return Decision(Verdict.HOLD, (Note.UNDER, *late))
    over = (Note.OVER,) if received.amount > known.due.amount else ()
    return Decision(Verdict.CONFIRM, (*over, *late))


class LineKind(StrEnum):
    """What a line of an invoice is for."""

    PLAN = "plan"
    BOT = "bot"
    TOP_UP = "top_up"
    SHOP = "shop"
    COURSE = "course"
    PROMOTION = "promotion"
    PRORATION = "proration"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `amount` is for the whole quantity, before discount and tax; a credit is negative.

    `subject` names what is paid for in words of the one who asked, such as `plan:pro`.
    """

    kind: LineKind
    description: str
    amount: Money
    quantity: int = 1
    subject: str = ""
    period_start: datetime | None = None
    period_end: datetime | None = None
    price_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewInvoice:
    """An invoice to be made; `key` names its reason, so that it is made once.

    `rail` and `external_id` name the provider's own invoice, where it keeps one.
    """

    key: str
    user_id: int
    lines: tuple[Line, ...]
    discount: Money | None = None
    tax: Money | None = None
    due_at: datetime | None = None
    subscription_id: int | None = None
    kept_id: int | None = None
    rail: str = ""
    external_id: str | None = None
    subscription_ref: str | None = None
    discount_name: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """What an invoice comes to: `total` is `subtotal` less `discount` plus `tax`."""

    subtotal: Money
    discount: Money
    tax: Money

    @property
    def total(self) -> Money:
        """Return what is to be paid."""
        return self.subtotal - self.discount + self.tax


def shown_state(
    state: str,
    total: Decimal,
    given_back: Decimal,
    due_at: datetime | None,
    now: datetime,
    *,
    failed: bool,
) -> str:
    """Return the state that people read: refunds, the due date and tries are no states of ours."""
    if state == InvoiceState.PAID and given_back:
        return "refunded" if given_back >= total else "partly_refunded"
    if state == InvoiceState.OPEN and due_at is not None and due_at < now:
        return "overdue"
    if state == InvoiceState.OPEN and failed:
        return "payment_failed"
    return state


def check_move(state: str, wanted: InvoiceState) -> None:
    """Raise Conflict unless an invoice in this state may come into the wanted one."""
    if wanted not in STATE_TABLE[state]:
        raise Conflict("invoice_move", state=state, wanted=wanted.value)


def way_to(state: str, wanted: InvoiceState) -> tuple[InvoiceState, ...]:
    """Return the lawful moves from one state to another, none if it is reached already.

    A provider may tell of the last state only: a draft that it paid at once was open in between.
    Raises Conflict where no way leads there.
    """
    if state == wanted:
        return ()
    if wanted in STATE_TABLE[state]:
        return (wanted,)
    if state == InvoiceState.DRAFT and wanted in STATE_TABLE[InvoiceState.OPEN]:
        return (InvoiceState.OPEN, wanted)
    raise Conflict("invoice_move", state=state, wanted=wanted.value)


def add_up(
    lines: Sequence[Line], discount: Money | None = None, tax: Money | None = None
) -> Totals:
    """Return the totals of lines in one currency; raise InvalidInput naming what is wrong."""
    if not 1 <= len(lines) <= MAX_LINES:
        raise InvalidInput("invoice_lines", field="lines", maximum=MAX_LINES)
    for line in lines:
        _check_line(line, lines[0].amount.currency)
    nothing = Money(Decimal(0), lines[0].amount.currency)
    return Totals(
        subtotal=sum((line.amount for line in lines), nothing),
        discount=discount or nothing,
        tax=tax or nothing,
    )


def check_issued(lines: Sequence[Line], totals: Totals) -> None:
    """Raise InvalidInput unless we may ask this of a person: no less than nothing, nor too much.

    What a provider asks for is copied, whatever it comes to: a million of some is not much.
    """
    if any(abs(line.amount.amount) > MAX_AMOUNT for line in lines):
        raise InvalidInput("invoice_amount", field="amount", maximum=MAX_AMOUNT)
    if not 0 <= totals.total.amount <= MAX_AMOUNT or totals.discount.amount < 0:
        raise InvalidInput("invoice_total", field="amount", maximum=MAX_AMOUNT)
    check_chargeable(totals.total)


def check_chargeable(money: Money) -> None:
    """Raise InvalidInput for an amount that is finer than what banks take."""
    if money != money.chargeable():
        step = Decimal(1).scaleb(-CHARGED_DIGITS.get(money.currency, COIN_DIGITS))
        raise InvalidInput("not_chargeable", field="amount", currency=money.currency, step=step)


def _check_line(line: Line, currency: str) -> None:
    text = line.description.strip()
    if not text or len(text) > MAX_DESCRIPTION or "\x00" in text:
        raise InvalidInput("invoice_description", field="description", maximum=MAX_DESCRIPTION)
    if line.amount.currency != currency:
        raise InvalidInput("invoice_currency", field="currency")
    if abs(line.amount.amount) > LARGEST or line.amount != line.amount.rounded():
        raise InvalidInput("invoice_amount", field="amount", maximum=MAX_AMOUNT)
    if line.quantity < 1:
        raise InvalidInput("invoice_quantity", field="quantity")


# Kind of a line -> the account of our income that it counts to. What tops a wallet up is no income.
REVENUE: dict[str, str] = {
    LineKind.PLAN: "subscription",
    LineKind.PRORATION: "subscription",
    LineKind.BOT: "rental",
    LineKind.COURSE: "course",
    LineKind.PROMOTION: "promotion",
    LineKind.SHOP: "shop",
    LineKind.OTHER: "one_off",
}


def income_shares(lines: Sequence[tuple[str, Decimal]], discount: Decimal) -> dict[str, Decimal]:
    """Return how much each kind of income gets of an invoice, by its (kind, amount) lines.

    Discounts and credits lower the largest shares first; the sum is what the lines come to less
    the discount, never below nothing.
    """
    shares: dict[str, Decimal] = {}
    less = discount
    for kind, amount in lines:
        income = REVENUE.get(kind)
        if income is not None:
            shares[income] = shares.get(income, Decimal(0)) + amount
    for income, amount in shares.items():
        if amount < 0:
            less, shares[income] = less - amount, Decimal(0)
    for income in sorted(shares, key=lambda one: (-shares[one], one)):
        taken = min(less, shares[income])
        shares[income] -= taken
        less -= taken
    return {income: amount for income, amount in shares.items() if amount}


def tax_share(
    tax: Money, total: Decimal, part: Decimal, before: Decimal, taxed: Decimal | None = None
) -> Decimal:
    """Return how much tax is in a part of a total, when `before` of it came or went already.

    Parts are whole units of the currency, and add up to exactly the tax once all are there:
    `taxed` is what is in the earlier ones, where one that failed may have left a gap.
    """
    if not total:
        return Decimal(0)

    def until(amount: Decimal) -> Decimal:
        return Money(tax.amount * amount / total, tax.currency).rounded().amount

    known = until(before) if taxed is None else taxed
    return min(max(until(before + part) - known, Decimal(0)), part)
