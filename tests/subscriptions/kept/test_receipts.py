"""Mails that money has come or gone back: one for each payment and each refund."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from app.accounts.models import User
from app.adapters.payments.port import RailPayment, RailRefund, RailState
from app.db import db, utc_now
from app.payments import checkouts, receipts, refunds, service
from app.payments.checkouts import Want
from app.payments.jobs import look_at_checkout, write_receipts
from app.payments.models import Checkout, CreditNote, Payment
from app.payments.rules import Line, LineKind, NewInvoice, Purpose, RefundTarget
from app.payments.settling import take
from app.subscriptions.coming import next_charge_of
from app.transactions import transaction
from tests.at_once import at_once
from tests.subscriptions.kept.world import Person, choice, usd

CAME, WENT, FAILED = "payment_received", "refund_made", "refund_failed"
_names = itertools.count(1)


def come(person: Person, want: Callable[[], Want], name: str = "") -> int:
    """Let money for something come by the demonstration; return the payment."""
    name = name or f"py_{next(_names)}"
    with transaction():
        wanted = want()
        step = checkouts.prepare(person.id, "demo", wanted)
    return hear(name, wanted, step.reference)


def hear(name: str, wanted: Want, reference: str) -> int:
    with transaction():
        seen = RailPayment(
            id=name, state=RailState.SUCCEEDED, money=wanted.money, reference=reference,
            method="Visa 4242", at=utc_now(),
        )  # fmt: skip
        assert take("demo", seen).applied
    db.session.rollback()
    return db.session.scalars(select(Payment.id).where(Payment.external_id == name)).one()


def top_up(person: Person, amount: str) -> int:
    return come(person, lambda: Want(Purpose.TOP_UP, usd(amount), "Top-up"))


def bill(person: Person, amount: str = "29.00", tax: str = "0") -> int:
    """Issue an invoice by hand."""
    line = Line(LineKind.OTHER, "A bot set up", usd(amount))
    new = NewInvoice(f"bill:{next(_names)}", person.id, (line,), tax=usd(tax))
    with transaction():
        return service.issue(new, "staff").id


def pay_bill(person: Person, invoice_id: int) -> int:
    return come(person, lambda: checkouts.want_invoice(person.id, invoice_id))


def give_back(payment_id: int, amount: str, target: RefundTarget) -> int:
    with transaction():
        key = f"back:{next(_names)}"
        return refunds.ask(key, payment_id, Decimal(amount), target, None, "not for customers")


def hear_of_refund(payment_id: int, amount: str, state: RailState) -> None:
    with transaction():
        payment = db.session.get_one(Payment, payment_id)
        seen = RailRefund(
            id="re_1", payment_id=payment.external_id, state=state, money=usd(amount), at=utc_now()
        )
        assert take("demo", seen).applied


def plain(text: str) -> str:
    return text.replace("\xa0", " ")


def only(person: Person, template: str) -> str:
    """Write what is due, twice; return the one mail of a template."""
    write_receipts()
    write_receipts()
    (letter,) = person.letters(template)
    return plain(letter)


def test_who_pays_by_card_gets_one_receipt_with_all_that_it_says(person: Person) -> None:
    person.subscribe(choice("pro", extra_bot=2), rail="demo")
    end = person.kept().period_end
    assert end is not None
    page = db.session.scalars(select(Checkout.id)).one()
    for _ in range(2):
        look_at_checkout(page)
    letter = only(person, CAME)
    invoice = person.invoices()[0]
    for words in (
        "Amount: 39.00 USD",
        "Paid by: Test card (demonstration), Visa 4242",
        f"Invoice: {invoice.number}",
        "- Pro, 1 month: 29.00 USD (",
        "- Extra bot × 2, 1 month: 10.00 USD (",
        f"Next charge: 39.00 USD, {end:%b} {end.day}, {end.year}",
        f"/invoices/{invoice.id}\n",
    ):
        assert words in letter, letter
    assert "wallet" not in letter and "not paid in full" not in letter
    look_at_checkout(page)
    write_receipts()
    assert person.mails().count(CAME) == 1


def test_each_renewal_has_its_receipt_and_a_cancelled_plan_no_next_charge(person: Person) -> None:
    person.fill_wallet("100")
    person.subscribe()
    person.live_on(days=40)
    write_receipts()
    first, second = (plain(letter) for letter in person.letters(CAME))
    assert "Paid by: Wallet\n" in first and "Next charge: 29.00 USD" in second
    assert first != second
    person.live_on(days=30)
    person.cancel()
    write_receipts()
    assert "Next charge" not in person.letters(CAME)[2]
    assert len(person.payments()) == len(person.letters(CAME)) == 3


def test_who_runs_no_further_has_no_next_charge(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    one = person.standing()
    assert one is not None and next_charge_of(one) is not None
    assert next_charge_of(replace(one, cancel_at=person.clock.now)) is None
    assert next_charge_of(replace(one, state="past_due")) is None


def test_what_costs_nothing_has_no_receipt(trial: Person) -> None:
    trial.start(choice("pro"), "wallet")
    bill(trial, "0.00")
    top_up(trial, "0.00")
    write_receipts()
    assert [(one.state, one.total) for one in trial.invoices()][-1] == ("paid", Decimal(0))
    assert CAME not in trial.mails()


def test_a_top_up_is_told_with_the_way_to_the_wallet(person: Person) -> None:
    top_up(person, "25.00")
    letter = only(person, CAME)
    assert "Amount: 25.00 USD" in letter and letter.endswith("/wallet\n")
    assert "Invoice" not in letter and "What it is for" not in letter


def test_a_tax_is_named(person: Person) -> None:
    pay_bill(person, bill(person, tax="5.80"))
    letter = only(person, CAME)
    assert "Amount: 34.80 USD" in letter
    assert "- A bot set up: 29.00 USD\n- Tax: 5.80 USD\n" in letter


def test_money_that_settles_nothing_says_where_it_is(person: Person) -> None:
    invoice_id = bill(person)
    with transaction():
        wanted = checkouts.want_invoice(person.id, invoice_id)
        step = checkouts.prepare(person.id, "demo", wanted)
    hear("py_a", wanted, step.reference)
    write_receipts()
    hear("py_b", wanted, step.reference)
    write_receipts()
    paid, again = (plain(letter) for letter in person.letters(CAME))
    assert "What it is for" in paid and "wallet" not in paid
    assert "29.00 USD of it went to your wallet." in again and "What it is for" not in again


@pytest.mark.parametrize("target", list(RefundTarget))
def test_each_part_that_goes_back_is_told_once(person: Person, target: RefundTarget) -> None:
    payment_id = pay_bill(person, bill(person))
    write_receipts()
    if target is RefundTarget.WALLET:
        give_back(payment_id, "9.00", target)
    else:
        for _ in range(2):
            hear_of_refund(payment_id, "9.00", RailState.SUCCEEDED)
    letter = only(person, WENT)
    note = db.session.scalars(select(CreditNote.number)).one()
    invoice = person.invoices()[0]
    for words in (
        "Amount: 9.00 USD", f"Credit note: {note}", f"Invoice: {invoice.number}",
        "It is a part of a payment of 29.00 USD.", f"/invoices/{invoice.id}\n",
    ):  # fmt: skip
        assert words in letter, letter
    to_card = target is RefundTarget.RAIL
    way = "Test card (demonstration), Visa 4242" if to_card else "Wallet"
    assert f"Where to: {way}\n" in letter
    assert ("ten days" in letter) == to_card
    assert "not for customers" not in letter, "staff write a reason for staff"
    give_back(payment_id, "20.00", RefundTarget.WALLET)
    write_receipts()
    assert person.mails().count(WENT) == 2 and person.mails().count(CAME) == 1


def test_a_top_up_that_goes_back_says_that_it_was_taken_from_the_wallet(person: Person) -> None:
    payment_id = top_up(person, "25.00")
    hear_of_refund(payment_id, "25.00", RailState.SUCCEEDED)
    letter = only(person, WENT)
    assert "25.00 USD of it was in your wallet and was taken from there." in letter
    assert "part of a payment" not in letter and "Credit note" not in letter
    assert letter.endswith("/wallet\n")


def test_a_refund_that_is_asked_for_or_has_failed_is_not_told(person: Person) -> None:
    payment_id = pay_bill(person, bill(person))
    hear_of_refund(payment_id, "9.00", RailState.PENDING)
    write_receipts()
    hear_of_refund(payment_id, "9.00", RailState.SUCCEEDED)
    hear_of_refund(payment_id, "9.00", RailState.FAILED)
    write_receipts()
    assert not {WENT, FAILED} & set(person.mails())
    assert receipts.due(person.clock.now) == []


def test_who_was_told_of_a_refund_hears_once_that_it_failed(person: Person) -> None:
    payment_id = pay_bill(person, bill(person))
    hear_of_refund(payment_id, "9.00", RailState.SUCCEEDED)
    write_receipts()
    for _ in range(2):
        hear_of_refund(payment_id, "9.00", RailState.FAILED)
    letter = only(person, FAILED)
    assert "we wrote that 9.00 USD goes back to you" in letter
    assert f"Invoice: {person.invoices()[0].number}" in letter and "wallet" not in letter
    assert person.mails().count(WENT) == 1


def test_a_top_up_whose_refund_failed_is_back_in_the_wallet(person: Person) -> None:
    payment_id = top_up(person, "25.00")
    hear_of_refund(payment_id, "25.00", RailState.SUCCEEDED)
    write_receipts()
    hear_of_refund(payment_id, "25.00", RailState.FAILED)
    letter = only(person, FAILED)
    assert "25.00 USD of it is back in your wallet." in letter and letter.endswith("/wallet\n")


def test_a_worker_that_dies_leaves_the_mail_to_the_next_one(person: Person) -> None:
    top_up(person, "25.00")
    (one,) = receipts.due(person.clock.now)
    with pytest.raises(KeyboardInterrupt), transaction():
        receipts.tell(one)
        raise KeyboardInterrupt
    assert person.mails() == []
    assert only(person, CAME)


def test_a_mail_that_can_not_be_written_holds_up_no_other(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, _ = top_up(person, "25.00"), top_up(person, "26.00")
    write = receipts._words_of_payment

    def stumble(reader: User, payment: Payment) -> dict[str, Any]:
        if payment.id == broken:
            raise RuntimeError("a fault of ours")
        return write(reader, payment)

    with monkeypatch.context() as patch:
        patch.setattr(receipts, "_words_of_payment", stumble)
        assert "26.00 USD" in only(person, CAME)
    write_receipts()
    assert len(person.letters(CAME)) == 1, "not again and again"
    person.clock.pass_(hours=2)
    write_receipts()
    assert "25.00 USD" in plain(person.letters(CAME)[1])


def test_many_workers_write_one_mail(app: Flask, person: Person) -> None:
    top_up(person, "25.00")
    pay_bill(person, bill(person))
    db.session.rollback()
    at_once(app, 4, lambda _: write_receipts())
    assert person.mails() == [CAME, CAME]


def test_nobody_writes_to_somebody_who_is_erased(person: Person) -> None:
    payment_id = top_up(person, "25.00")
    give_back(pay_bill(person, bill(person)), "9.00", RefundTarget.WALLET)
    with transaction():
        db.session.execute(update(User).where(User.id == person.id).values(erased_at=utc_now()))
    write_receipts()
    assert payment_id and person.mails() == []
    assert receipts.due(person.clock.now) == []
