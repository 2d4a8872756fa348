"""The one place that makes invoices and moves them from state to state."""

from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert

from app.accounts.locks import lock_person
from app.db import db, utc_now
from app.errors import Conflict, NotFound
from app.events import publish
from app.payments.events import InvoiceClosed, InvoiceOpened, InvoicePaid
from app.payments.models import DocumentSeries, Invoice, InvoiceEvent, InvoiceLine
from app.payments.rules import InvoiceState, Line, NewInvoice, Totals, add_up, check_move, way_to

INVOICE_SERIES = "INV"
NUMBER_DIGITS = 6


def draft(new: NewInvoice, cause: str, *, actor_id: int | None = None) -> tuple[Invoice, bool]:
    """Make a draft and return it with True, or with False the invoice that its key made before."""
    lock_person(new.user_id)
    totals = add_up(new.lines, new.discount, new.tax)
    made = db.session.scalar(
        insert(Invoice)
        .values(_columns(new, totals))
        .on_conflict_do_nothing(index_elements=[Invoice.key])
        .returning(Invoice.id)
    )
    if made is None:
        return _by_key(new.key), False
    for position, line in enumerate(new.lines, 1):
        db.session.add(_line_row(made, position, line))
    invoice = _locked(Invoice.id == made)
    if invoice is None:
        raise RuntimeError("the row was stored just now")
    _note(invoice, None, cause, actor_id)
    return invoice, True


def open_(invoice: Invoice, cause: str, *, actor_id: int | None = None) -> None:
    """Give a draft its number; from here on neither its lines nor its sums change."""
    _move(invoice, InvoiceState.OPEN, cause, actor_id)


def move_to(
    invoice: Invoice, wanted: InvoiceState, cause: str, *, actor_id: int | None = None
) -> bool:
    """Lead an invoice to a state over every state between; tell whether anything changed.

    Raises Conflict where no way leads there.
    """
    way = way_to(invoice.state, wanted)
    for state in way:
        _move(invoice, state, cause, actor_id)
    return bool(way)


def void(invoice: Invoice, cause: str, *, actor_id: int | None = None) -> None:
    """Take an invoice back before it is paid; paying it is refused from here on."""
    _move(invoice, InvoiceState.VOID, cause, actor_id)


def pay(invoice: Invoice, cause: str, *, actor_id: int | None = None) -> None:
    """Note that an open invoice, or one that was given up, has been settled in full."""
    _move(invoice, InvoiceState.PAID, cause, actor_id)


def give_up(invoice: Invoice, cause: str, *, actor_id: int | None = None) -> None:
    """Note that nobody expects the money any more; it may come all the same."""
    _move(invoice, InvoiceState.UNCOLLECTIBLE, cause, actor_id)


def note_period(invoice: Invoice, start: datetime | None, end: datetime | None) -> None:
    """Note which period a paid invoice gives; nothing if it is the one it was issued for."""
    issued = {(line.period_start, line.period_end) for line in invoice.lines}
    if end is not None and issued != {(start, end)}:
        invoice.given_from, invoice.given_until = start, end
        db.session.flush()


def lock(invoice_id: int) -> Invoice:
    """Return an invoice under its row's lock, and its owner's; raise NotFound if there is none."""
    owner = db.session.scalar(select(Invoice.user_id).where(Invoice.id == invoice_id))
    if owner is not None:
        lock_person(owner)
    found = _locked(Invoice.id == invoice_id)
    if found is None:
        raise NotFound("unknown_invoice")
    return found


def next_number(series: str) -> str:
    """Take the next number of a series, such as `INV-000123`.

    Its row stays locked until the commit: a transaction that fails gives its number back.
    """
    last = db.session.scalar(
        insert(DocumentSeries)
        .values(code=series, last=1)
        .on_conflict_do_update(
            index_elements=[DocumentSeries.code], set_={"last": DocumentSeries.last + 1}
        )
        .returning(DocumentSeries.last)
    )
    return f"{series}-{last:0{NUMBER_DIGITS}d}"


def _move(invoice: Invoice, wanted: InvoiceState, cause: str, actor_id: int | None) -> None:
    check_move(invoice.state, wanted)
    before, now = invoice.state, utc_now()
    if wanted is InvoiceState.OPEN:
        invoice.number, invoice.opened_at = next_number(INVOICE_SERIES), now
    elif wanted is InvoiceState.PAID:
        invoice.paid_at, invoice.closed_at = now, None
        invoice.next_attempt_at, invoice.failure = None, None
    else:
        invoice.closed_at, invoice.next_attempt_at = now, None
    invoice.state = wanted.value
    _note(invoice, before, cause, actor_id)
    _announce(invoice, wanted)


def _announce(invoice: Invoice, state: InvoiceState) -> None:
    if state is InvoiceState.OPEN:
        publish(InvoiceOpened(invoice.id, invoice.user_id))
    elif state is InvoiceState.PAID:
        publish(InvoicePaid(invoice.id, invoice.user_id))
    else:
        publish(InvoiceClosed(invoice.id, invoice.user_id, state.value))


def _note(invoice: Invoice, before: str | None, cause: str, actor_id: int | None) -> None:
    chain = select(func.coalesce(func.max(InvoiceEvent.position), 0) + 1)
    event = InvoiceEvent(
        invoice_id=invoice.id,
        # Counted by the statement that stores it: the invoice is locked.
        position=chain.where(InvoiceEvent.invoice_id == invoice.id).scalar_subquery(),
        from_state=before,
        to_state=invoice.state,
        cause=cause,
        actor_id=actor_id,
    )
    db.session.add(event)
    db.session.flush()


def _by_key(key: str) -> Invoice:
    found = _locked(Invoice.key == key)
    if found is None:
        raise Conflict("invoice_taken")
    return found


def _locked(which: ColumnElement[bool]) -> Invoice | None:
    return db.session.scalar(
        select(Invoice).where(which).with_for_update().execution_options(populate_existing=True)
    )


def _line_row(invoice_id: int, position: int, line: Line) -> InvoiceLine:
    return InvoiceLine(
        invoice_id=invoice_id,
        position=position,
        kind=line.kind.value,
        description=line.description.strip(),
        subject=line.subject,
        quantity=line.quantity,
        amount=line.amount.amount,
        period_start=line.period_start,
        period_end=line.period_end,
        price_id=line.price_id,
    )


def _columns(new: NewInvoice, totals: Totals) -> dict[str, object]:
    return {
        "key": new.key,
        "user_id": new.user_id,
        "subscription_id": new.subscription_id,
        "kept_id": new.kept_id,
        "rail": new.rail,
        "external_id": new.external_id,
        "subscription_ref": new.subscription_ref,
        "due_at": new.due_at,
        "currency": totals.total.currency,
        "subtotal": totals.subtotal.amount,
        "discount": totals.discount.amount,
        "discount_name": new.discount_name,
        "tax": totals.tax.amount,
        "total": totals.total.amount,
    }
