from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from app import events
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.events import on
from app.money import Money
from app.payments import invoices
from app.payments.events import InvoicePaid
from app.payments.models import Invoice, InvoiceEvent
from app.payments.rules import STATE_TABLE, InvoiceState, Line, LineKind, NewInvoice, add_up, way_to
from app.transactions import transaction
from tests.at_once import at_once
from tests.factories import make_user

PRO = Line(LineKind.PLAN, "Pro, 1 month", Money(Decimal("29.00"), "USD"), subject="plan:pro")


@pytest.fixture
def user_id(database: None) -> int:
    with transaction():
        return make_user().id


def issue(user_id: int, key: str = "one") -> int:
    with transaction():
        invoice, _ = invoices.draft(NewInvoice(key, user_id, (PRO,)), "ordered")
        invoices.open_(invoice, "issued")
        return invoice.id


def chain(invoice_id: int) -> list[tuple[str | None, str, str]]:
    events = db.session.scalars(
        select(InvoiceEvent)
        .where(InvoiceEvent.invoice_id == invoice_id)
        .order_by(InvoiceEvent.position)
    )
    return [(event.from_state, event.to_state, event.cause) for event in events]


def test_an_invoice_goes_from_draft_to_paid_and_says_why_at_each_step(user_id: int) -> None:
    invoice_id = issue(user_id)
    with transaction():
        invoices.pay(invoices.lock(invoice_id), "wallet")
    assert chain(invoice_id) == [
        (None, "draft", "ordered"),
        ("draft", "open", "issued"),
        ("open", "paid", "wallet"),
    ]
    invoice = db.session.get_one(Invoice, invoice_id)
    assert (invoice.number, invoice.total) == ("INV-000001", Decimal(29))
    assert invoice.paid_at is not None


@pytest.mark.parametrize("present", list(InvoiceState))
def test_code_and_database_refuse_the_same_moves(user_id: int, present: InvoiceState) -> None:
    with transaction():
        invoice, _ = invoices.draft(NewInvoice("one", user_id, (PRO,)), "ordered")
        if present is not InvoiceState.DRAFT:
            invoices.open_(invoice, "issued")
            invoices.move_to(invoice, present, "told")
        invoice_id = invoice.id
    for wanted in InvoiceState:
        lawful = wanted == present or wanted in STATE_TABLE[present]
        assert _database_takes(invoice_id, wanted) is lawful, wanted
        assert _code_takes(invoice_id, wanted) is (lawful or _over_open(present, wanted)), wanted


def _over_open(present: InvoiceState, wanted: InvoiceState) -> bool:
    return present is InvoiceState.DRAFT and wanted in STATE_TABLE[InvoiceState.OPEN]


class Undone(Exception):
    """Takes a transaction back."""


def _code_takes(invoice_id: int, wanted: InvoiceState) -> bool:
    """Try the move and take it back."""
    try:
        with transaction():
            invoices.move_to(invoices.lock(invoice_id), wanted, "told")
            raise Undone
    except Conflict:
        return False
    except Undone:
        return True


def _database_takes(invoice_id: int, wanted: InvoiceState) -> bool:
    """Try the bare move, with all that other constraints want, and take it back."""
    statement = text(
        "update invoices set state = :wanted, number = coalesce(number, 'X'),"
        " paid_at = case when :wanted = 'paid' then now() end where id = :id"
    )
    try:
        db.session.execute(statement, {"wanted": wanted.value, "id": invoice_id})
    except DatabaseError:
        return False
    finally:
        db.session.rollback()
    return True


def test_the_database_refuses_a_state_that_no_event_tells_of(user_id: int) -> None:
    invoice_id = issue(user_id)
    with pytest.raises(DatabaseError, match="its last event says open"), transaction():
        db.session.execute(
            text("update invoices set state = 'void' where id = :id"), {"id": invoice_id}
        )


@pytest.mark.parametrize(
    "statement",
    [
        "update invoices set total = 1, subtotal = 1 where id = :id",
        "update invoices set user_id = user_id + 1 where id = :id",
        "update invoices set number = 'INV-999999' where id = :id",
        "delete from invoices where id = :id",
        "update invoice_lines set amount = 1 where invoice_id = :id",
        "delete from invoice_lines where invoice_id = :id",
        "update invoice_events set cause = 'nothing' where invoice_id = :id",
        "delete from invoice_events where invoice_id = :id",
        "insert into invoice_lines (invoice_id, position, kind, description, amount)"
        " values (:id, 2, 'other', 'more', 1)",
        "insert into invoice_events (invoice_id, position, from_state, to_state, cause)"
        " values (:id, 3, 'draft', 'paid', 'forged')",
        "insert into invoices (key, user_id, state, currency, subtotal, discount, tax, total,"
        " number, paid_at) select 'two', user_id, 'paid', 'USD', 1, 0, 0, 1, 'INV-2', now()"
        " from invoices where id = :id",
    ],
)
def test_what_was_issued_is_kept_as_it_was(user_id: int, statement: str) -> None:
    invoice_id = issue(user_id)
    with pytest.raises(DatabaseError), transaction():
        db.session.execute(text(statement), {"id": invoice_id})


def test_the_same_key_makes_one_invoice(user_id: int) -> None:
    invoice_id = issue(user_id)
    with transaction():
        again, made = invoices.draft(NewInvoice("one", user_id, (PRO,)), "ordered")
        assert (again.id, made) == (invoice_id, False)


def test_numbers_have_no_gap_when_a_transaction_fails(user_id: int) -> None:
    issue(user_id, "one")
    with pytest.raises(RuntimeError), transaction():
        invoice, _ = invoices.draft(NewInvoice("two", user_id, (PRO,)), "ordered")
        invoices.open_(invoice, "issued")
        raise RuntimeError("power cut")
    third = issue(user_id, "three")
    assert db.session.get_one(Invoice, third).number == "INV-000002"


def test_invoices_that_are_issued_at_once_get_numbers_without_gap(app: Flask, user_id: int) -> None:
    at_once(app, 8, lambda number: issue(user_id, f"key{number}"))
    numbers = db.session.scalars(select(Invoice.number).order_by(Invoice.number)).all()
    assert numbers == [f"INV-{number:06d}" for number in range(1, 9)]


def test_a_provider_that_tells_the_last_state_only_leads_over_open(user_id: int) -> None:
    with transaction():
        invoice, _ = invoices.draft(NewInvoice("one", user_id, (PRO,)), "told")
        assert invoices.move_to(invoice, InvoiceState.PAID, "told")
        assert not invoices.move_to(invoice, InvoiceState.PAID, "told again")
    assert [to for _, to, _ in chain(invoice.id)] == ["draft", "open", "paid"]


@pytest.fixture
def paid() -> Iterator[list[int]]:
    """Collect the ids of invoices that are announced as paid."""
    seen: list[int] = []
    handlers = events._handlers[InvoicePaid]

    @on(InvoicePaid)
    def collect(event: InvoicePaid) -> None:
        seen.append(event.invoice_id)

    yield seen
    handlers.remove(collect)


def test_a_paid_invoice_is_announced_once(user_id: int, paid: list[int]) -> None:
    invoice_id = issue(user_id)
    with transaction():
        invoices.pay(invoices.lock(invoice_id), "wallet")
    with pytest.raises(Conflict), transaction():
        invoices.pay(invoices.lock(invoice_id), "wallet")
    assert paid == [invoice_id]


def test_an_invoice_that_was_given_up_may_still_be_paid(user_id: int) -> None:
    invoice_id = issue(user_id)
    with transaction():
        invoices.give_up(invoices.lock(invoice_id), "a year without answer")
    with transaction():
        invoices.pay(invoices.lock(invoice_id), "late transfer")
    invoice = db.session.get_one(Invoice, invoice_id)
    assert (invoice.state, invoice.closed_at) == ("paid", None)


def test_an_unknown_invoice_is_not_found(database: None) -> None:
    with pytest.raises(NotFound), transaction():
        invoices.lock(1)


def test_lines_add_up_to_the_cent() -> None:
    credit = Line(LineKind.PRORATION, "Unused time", Money(Decimal("-20.00"), "USD"))
    totals = add_up(
        [PRO, credit],
        discount=Money(Decimal("1.80"), "USD"),
        tax=Money(Decimal("0.72"), "USD"),
    )
    assert totals.total == Money(Decimal("7.92"), "USD")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (Line(LineKind.OTHER, " ", Money(Decimal(1), "USD")), "invoice_description"),
        (Line(LineKind.OTHER, "a\x00b", Money(Decimal(1), "USD")), "invoice_description"),
        (Line(LineKind.OTHER, "x" * 201, Money(Decimal(1), "USD")), "invoice_description"),
        (Line(LineKind.OTHER, "x", Money(Decimal(1), "EUR")), "invoice_currency"),
        (Line(LineKind.OTHER, "x", Money(Decimal("0.001"), "USD")), "invoice_amount"),
        (Line(LineKind.OTHER, "x", Money(Decimal(10) ** 30, "USD")), "invoice_amount"),
        (Line(LineKind.OTHER, "x", Money(Decimal(1), "USD"), quantity=0), "invoice_quantity"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_by_name(line: Line, code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        add_up([PRO, line])


def test_an_invoice_without_lines_is_refused() -> None:
    with pytest.raises(InvalidInput, match="invoice_lines"):
        add_up([])


def test_every_state_is_reached_from_a_draft_or_refused() -> None:
    assert way_to("draft", InvoiceState.UNCOLLECTIBLE) == (
        InvoiceState.OPEN,
        InvoiceState.UNCOLLECTIBLE,
    )
    assert way_to("paid", InvoiceState.PAID) == ()
    with pytest.raises(Conflict):
        way_to("void", InvoiceState.PAID)


def test_times_of_lines_are_kept(user_id: int) -> None:
    now = utc_now()
    line = Line(
        LineKind.PLAN,
        "Pro",
        Money(Decimal(29), "USD"),
        period_start=now,
        period_end=now + timedelta(days=30),
    )
    with transaction():
        invoice, _ = invoices.draft(NewInvoice("one", user_id, (line,)), "ordered")
    assert invoice.lines[0].period_end == now + timedelta(days=30)
