"""States of an invoice, what a line may be, and how lines add up; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from app.errors import Conflict, InvalidInput
from app.money import Money

MAX_LINES = 100
MAX_DESCRIPTION = 200
MAX_AMOUNT = Decimal(1_000_000)


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
    rail: str = ""
    external_id: str | None = None


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


def check_issued(totals: Totals) -> None:
    """Raise InvalidInput unless this can be asked of a person: no less than nothing."""
    if not 0 <= totals.total.amount <= MAX_AMOUNT or totals.discount.amount < 0:
        raise InvalidInput("invoice_total", field="amount", maximum=MAX_AMOUNT)


def _check_line(line: Line, currency: str) -> None:
    text = line.description.strip()
    if not text or len(text) > MAX_DESCRIPTION or "\x00" in text:
        raise InvalidInput("invoice_description", field="description", maximum=MAX_DESCRIPTION)
    if line.amount.currency != currency:
        raise InvalidInput("invoice_currency", field="currency")
    if abs(line.amount.amount) > MAX_AMOUNT or line.amount != line.amount.rounded():
        raise InvalidInput("invoice_amount", field="amount", maximum=MAX_AMOUNT)
    if line.quantity < 1:
        raise InvalidInput("invoice_quantity", field="quantity")
