"""Money that goes back more than one way: refunds, disputes, and the wallet between them."""

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from app.accounts.deletion.events import PersonErasing
from app.accounts.models import ERASED, User
from app.adapters.payments.port import (
    DisputeState,
    RailDispute,
    RailFraudWarning,
    RailPayment,
    RailRefund,
    RailState,
)
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput
from app.events import publish
from app.money import Money
from app.payments import checkouts, excess, invoices, refunds, wallet_rail
from app.payments.books.sides import sides
from app.payments.checkouts import Step, Want
from app.payments.models import CreditNote, Dispute, Payment, PaymentAlert, Refund
from app.payments.queries import to_look_into, undecided
from app.payments.rules import Purpose, RefundTarget, Settlement
from app.payments.settling import Taken, take
from app.transactions import transaction
from app.wallet import check
from app.wallet.models import LedgerAccount, LedgerEntry
from app.wallet.queries import available
from tests.factories import make_user
from tests.long import few
from tests.payments.world import issue, payments, postings, usd
from tests.subscriptions.billing import take_money


@pytest.fixture
def user(database: None) -> User:
    return make_user()


def pay(user_id: int, want: Want, name: str = "py_1") -> int:
    """Let money for something come by the demonstration; return the payment."""
    with transaction():
        step = checkouts.prepare(user_id, "demo", want)
    return come(step, want, name)


def come(step: Step, want: Want, name: str = "py_1") -> int:
    """Let the money come by a page that was made before; return the payment."""
    with transaction():
        seen = RailPayment(
            id=name,
            state=RailState.SUCCEEDED,
            money=want.money,
            reference=step.reference,
            at=utc_now(),
            method="Visa 4242",
            method_ref="fp_1",
        )
        assert take("demo", seen).applied
    db.session.rollback()
    return db.session.scalars(select(Payment.id).where(Payment.external_id == name)).one()


def top_up(user_id: int, amount: str) -> int:
    return pay(user_id, Want(Purpose.TOP_UP, usd(amount), "Top-up"))


def pay_invoice(user_id: int, amount: str = "29.00") -> int:
    invoice_id = issue(user_id, amount)
    with transaction():
        want = checkouts.want_invoice(user_id, invoice_id)
    return pay(user_id, want)


def refund_there(name: str, amount: str, state: RailState = RailState.SUCCEEDED) -> None:
    """Hear of a refund that somebody made at the provider."""
    seen = RailRefund(id=name, payment_id="py_1", state=state, money=usd(amount), at=utc_now())
    with transaction():
        assert take("demo", seen).applied


def fail_refund(key: str, amount: str, name: str = "re_1") -> None:
    """Hear that a refund that we have asked for did not go through."""
    seen = RailRefund(
        id=name, payment_id="py_1", state=RailState.FAILED, money=usd(amount), at=utc_now(),
        key=key, failure="expired_or_canceled_card",
    )  # fmt: skip
    with transaction():
        assert take("demo", seen).applied
    db.session.rollback()


def refund_too_much(name: str = "re_1", state: RailState = RailState.SUCCEEDED) -> Taken:
    """Hear of a whole refund of what went back to the wallet already."""
    seen = RailRefund(id=name, payment_id="py_1", state=state, money=usd("29.00"), at=utc_now())
    with transaction():
        taken = take("demo", seen)
    db.session.rollback()
    return taken


def alerts_of() -> list[PaymentAlert]:
    db.session.rollback()
    return list(db.session.scalars(select(PaymentAlert).order_by(PaymentAlert.id)))


def settle_alert(how: Settlement) -> None:
    with transaction():
        excess.settle(1, alerts_of()[0].id, how, "looked at it")


def balances() -> dict[str, Decimal]:
    """Return what stands on our accounts that a lost refund moves."""
    db.session.rollback()
    query = (
        select(LedgerAccount.name, func.sum(LedgerEntry.amount))
        .join(LedgerEntry, LedgerEntry.account_id == LedgerAccount.id)
        .where(LedgerAccount.name.in_(("psp:demo", "loss:refund")))
        .group_by(LedgerAccount.name)
    )
    return {name: total for name, total in db.session.execute(query)}


def notes() -> list[Decimal]:
    """Return the sums of all credit notes, in order."""
    return list(db.session.scalars(select(CreditNote.amount).order_by(CreditNote.id)))


def spend(user_id: int, amount: str) -> None:
    invoice_id = issue(user_id, amount, "spent")
    with transaction():
        wallet_rail.pay_invoice(user_id, invoice_id)
    db.session.rollback()


def dispute(state: DisputeState, amount: str = "29.00", name: str = "dp_1") -> None:
    seen = RailDispute(
        id=name, payment_id="py_1", state=state, money=usd(amount), at=utc_now(), fee=None
    )
    with transaction():
        assert take("demo", seen).applied
    db.session.rollback()


def give_back(payment_id: int, amount: str, target: RefundTarget, key: str = "a") -> None:
    with transaction():
        refunds.ask(key, payment_id, Decimal(amount), target, None, "wished")
    db.session.rollback()


def test_a_spent_top_up_that_goes_back_in_parts_at_the_provider_is_booked_in_full(
    user: User,
) -> None:
    top_up(user.id, "100.00")
    invoice_id = issue(user.id, "80.00")
    with transaction():
        wallet_rail.pay_invoice(user.id, invoice_id)
    refund_there("re_1", "50.00")
    refund_there("re_2", "50.00")
    assert payments()[0].refunded == 100
    assert available(user.id, "USD") == 0


def test_what_was_given_to_the_wallet_is_frozen_and_lost_with_its_payment(user: User) -> None:
    payment_id = pay_invoice(user.id)
    give_back(payment_id, "20.00", RefundTarget.WALLET)
    dispute(DisputeState.OPEN)
    assert available(user.id, "USD") == 0
    dispute(DisputeState.LOST)
    assert available(user.id, "USD") == 0


@pytest.mark.parametrize("end", [DisputeState.OPEN, DisputeState.LOST, DisputeState.WON])
@pytest.mark.parametrize("hears_first", [False, True])
def test_a_refund_that_fails_brings_nothing_into_the_wallet_that_a_bank_has(
    user: User, end: DisputeState, hears_first: bool
) -> None:
    give_back(top_up(user.id, "29.00"), "29.00", RefundTarget.RAIL, "a")
    dispute(DisputeState.OPEN)
    if hears_first:
        dispute(end)
    fail_refund("a", "29.00")
    dispute(end)
    assert available(user.id, "USD") == (29 if end is DisputeState.WON else 0)
    dispute(DisputeState.LOST)
    assert available(user.id, "USD") == (29 if end is DisputeState.WON else 0)
    assert check.verify().is_whole


def test_what_a_failed_refund_brings_back_is_frozen_once(user: User) -> None:
    payment_id = top_up(user.id, "100.00")
    give_back(payment_id, "60.00", RefundTarget.RAIL, "a")
    dispute(DisputeState.OPEN, "40.00")
    fail_refund("a", "60.00")
    assert available(user.id, "USD") == 60


def test_two_disputes_of_a_payment_freeze_what_it_left_in_the_wallet_once(user: User) -> None:
    invoice_id = issue(user.id, "29.00")
    with transaction():
        want = checkouts.want_invoice(user.id, invoice_id)
        step = checkouts.prepare(user.id, "demo", want)
    come(step, replace(want, money=usd("40.00")))
    pay(user.id, Want(Purpose.TOP_UP, usd("50.00"), "Top-up"), "py_2")
    for state in (DisputeState.OPEN, DisputeState.LOST):
        dispute(state, "11.00", "dp_1")
        dispute(state, "29.00", "dp_2")
        assert available(user.id, "USD") == 50


@pytest.mark.parametrize("state", [DisputeState.OPEN, DisputeState.LOST])
def test_what_a_bank_takes_back_is_not_given_back_once_more(
    user: User, state: DisputeState
) -> None:
    payment_id = pay_invoice(user.id)
    dispute(state, "20.00")
    with pytest.raises(Conflict, match="refund_too_much"):
        give_back(payment_id, "10.00", RefundTarget.WALLET)
    give_back(payment_id, "9.00", RefundTarget.WALLET)
    assert available(user.id, "USD") == 9
    assert list(db.session.scalars(select(CreditNote.amount))) == [Decimal(9)]


def test_a_payment_whose_dispute_was_won_may_be_given_back(user: User) -> None:
    payment_id = pay_invoice(user.id)
    dispute(DisputeState.OPEN)
    dispute(DisputeState.WON)
    give_back(payment_id, "29.00", RefundTarget.WALLET)
    assert available(user.id, "USD") == 29


def test_an_inquiry_of_a_bank_moves_nothing_and_lets_the_money_go_back(user: User) -> None:
    payment_id = pay_invoice(user.id)
    before = postings()
    dispute(DisputeState.INQUIRY)
    dispute(DisputeState.INQUIRY)
    assert postings() == before and undecided().count == 1
    give_back(payment_id, "9.00", RefundTarget.WALLET)
    dispute(DisputeState.CLOSED)
    assert available(user.id, "USD") == 9 and undecided().count == 0
    assert db.session.scalars(select(Dispute.state)).all() == ["closed"]


@pytest.mark.parametrize("first", few([DisputeState.INQUIRY, DisputeState.CLOSED], 2))
@pytest.mark.parametrize(
    ("end", "left"),
    few([(DisputeState.OPEN, 9), (DisputeState.LOST, 9), (DisputeState.WON, 20)], 2),
)
def test_an_inquiry_that_becomes_a_dispute_is_booked_then(
    user: User, first: DisputeState, end: DisputeState, left: int
) -> None:
    payment_id = pay_invoice(user.id)
    give_back(payment_id, "20.00", RefundTarget.WALLET)
    dispute(first)
    assert available(user.id, "USD") == 20
    dispute(end, "11.00")
    dispute(end, "11.00")
    assert available(user.id, "USD") == left
    found = db.session.scalars(select(Dispute)).one()
    assert found.state == end.value and found.amount == 11


def test_what_was_booked_as_a_dispute_and_was_an_inquiry_comes_back(user: User) -> None:
    """Rows from before inquiries were known apart."""
    give_back(pay_invoice(user.id), "20.00", RefundTarget.WALLET)
    dispute(DisputeState.OPEN)
    dispute(DisputeState.INQUIRY)
    dispute(DisputeState.CLOSED)
    assert available(user.id, "USD") == 20


def test_a_lost_dispute_that_is_called_an_inquiry_later_stays_lost(user: User) -> None:
    """Else what the bank has taken for good could be given back once more."""
    payment_id = pay_invoice(user.id)
    dispute(DisputeState.LOST)
    dispute(DisputeState.CLOSED)
    with pytest.raises(Conflict, match="refund_too_much"):
        give_back(payment_id, "29.00", RefundTarget.WALLET)


def test_a_warning_of_fraud_is_noted_once_and_moves_nothing(user: User) -> None:
    pay_invoice(user.id)
    before = postings()
    for is_open in (True, True, False):
        seen = RailFraudWarning("fw_1", "py_1", "made_with_stolen_card", is_open, utc_now())
        with transaction():
            assert take("demo", seen).applied
        assert to_look_into().count == int(is_open)
    with transaction():
        unknown = RailFraudWarning("fw_2", "py_9", "misc", True, utc_now())
        assert not take("demo", unknown).applied
    assert [one.state for one in alerts_of()] == ["over"] and postings() == before


def test_a_warning_of_fraud_books_nothing_when_it_is_settled(user: User) -> None:
    pay_invoice(user.id)
    with transaction():
        take("demo", RailFraudWarning("fw_1", "py_1", "misc", True, utc_now()))
    with pytest.raises(InvalidInput, match="payment_alert_moves_nothing"):
        settle_alert(Settlement.LOSS)
    settle_alert(Settlement.NOTED)
    assert to_look_into().count == 0


@pytest.mark.parametrize(
    ("how", "provider", "lost", "wallet"),
    few(
        [
            (Settlement.WALLET, 0, 5, 0),
            (Settlement.NOTED, 29, None, 20),
            (Settlement.LOSS, 0, 20, 20),
        ],
        3,
    ),
)
def test_a_refund_larger_than_the_books_allow_is_booked_as_a_person_says(
    user: User, how: Settlement, provider: int, lost: int | None, wallet: int
) -> None:
    """Nine of the refund were owed still; of the twenty that were not the wallet has spent five."""
    payment_id = pay_invoice(user.id)
    give_back(payment_id, "20.00", RefundTarget.WALLET)
    assert refund_too_much() == Taken(False, "refund_exceeds_payment")
    refund_too_much()
    shown = excess.excess_of(alerts_of()[0])
    assert shown == excess.Excess(Decimal(9), Decimal(20), Decimal(20), "USD")
    assert to_look_into().count == 1 and balances() == {"psp:demo": 29}
    assert sides()["refund"].figures("demo", ["re_1"]) == {}
    if how is Settlement.WALLET:
        spend(user.id, "5.00")
        shown = excess.excess_of(alerts_of()[0])
        assert shown is not None and (int(shown.in_wallet), int(shown.lost)) == (15, 5)
    settle_alert(how)
    settle_alert(how)
    owed = 0 if how is Settlement.NOTED else 9
    assert payments()[0].refunded == 20 + owed
    assert notes() == ([20, 9] if owed else [20])
    if owed:
        with pytest.raises(Conflict, match="refund_too_much"):
            give_back(payment_id, "0.01", RefundTarget.RAIL, "one more")
    assert refund_too_much().applied and to_look_into().count == 0
    assert balances().get("psp:demo") == provider and balances().get("loss:refund") == lost
    assert available(user.id, "USD") == wallet
    settled = {"state": "succeeded", "amount": "29.00", "currency": "USD"}
    assert sides()["refund"].figures("demo", ["re_1"]) == {"re_1": settled}
    refund_too_much(state=RailState.FAILED)
    refund_too_much(state=RailState.FAILED)
    assert balances().get("psp:demo") == 29 and not balances().get("loss:refund")
    assert available(user.id, "USD") == (15 if how is Settlement.WALLET else 20)
    assert payments()[0].refunded == 20


def test_a_refund_that_came_back_or_fits_by_now_waits_for_nobody(user: User) -> None:
    payment_id = pay_invoice(user.id)
    with transaction():
        refund_id = refunds.ask("a", payment_id, Decimal(20), RefundTarget.RAIL, None, "wished")
    refund_too_much()
    refund_too_much("re_2", RailState.PENDING)
    with pytest.raises(Conflict, match="payment_alert_pending"), transaction():
        excess.settle(1, alerts_of()[1].id, Settlement.LOSS, "too early")
    refund_too_much("re_2", RailState.CANCELED)
    with transaction():
        refunds.refuse(refund_id, "card_refused")
    assert refund_too_much() == Taken(True)
    assert [(one.kind, one.state, one.told) for one in alerts_of()] == [
        ("refund_excess", "over", "succeeded"), ("refund_excess", "over", "failed"),
        ("refund_failed", "over", "failed"),
    ]  # fmt: skip
    assert payments()[0].refunded == 29
    with pytest.raises(Conflict, match="payment_alert_over"):
        settle_alert(Settlement.LOSS)


def test_a_part_that_no_bank_takes_is_not_sent_to_one(user: User) -> None:
    """Somebody pays in dinars at the provider; its API takes no finer steps than ten fils."""
    payment_id = pay(user.id, Want(Purpose.TOP_UP, Money(Decimal("12.340"), "KWD"), "Top-up"))

    def back(amount: str, target: RefundTarget, key: str) -> int:
        with transaction():
            return refunds.ask(key, payment_id, Decimal(amount), target, None, "asked for")

    with pytest.raises(InvalidInput, match="not_chargeable") as caught:
        back("1.234", RefundTarget.RAIL, "fine")
    assert caught.value.values == {"currency": "KWD", "step": Decimal("0.01")}
    assert back("1.23", RefundTarget.RAIL, "coarse")


def failed_ones() -> list[tuple[Decimal, str]]:
    """Return the sums of refunds that failed, with how each alert stands."""
    query = select(PaymentAlert).where(PaymentAlert.kind == "refund_failed")
    db.session.rollback()
    return [(one.amount, one.state) for one in db.session.scalars(query.order_by(PaymentAlert.id))]


def test_a_refund_that_failed_waits_for_a_person_until_it_is_made_good(user: User) -> None:
    payment_id = pay_invoice(user.id)
    for key in ("a", "b"):
        give_back(payment_id, "9.00", RefundTarget.RAIL, key)
        for _ in range(2):
            fail_refund(key, "9.00", f"re_{key}")
    assert failed_ones() == [(Decimal(9), "open")] * 2
    assert to_look_into().count == 2
    give_back(payment_id, "5.00", RefundTarget.WALLET, "too little")
    assert failed_ones() == [(Decimal(9), "open")] * 2
    give_back(payment_id, "10.00", RefundTarget.WALLET, "enough for one")
    assert failed_ones() == [(Decimal(9), "over"), (Decimal(9), "open")]


def test_a_refund_that_failed_may_be_settled_with_a_word(user: User) -> None:
    give_back(pay_invoice(user.id), "9.00", RefundTarget.RAIL, "a")
    fail_refund("a", "9.00")
    alert_id = db.session.scalars(select(PaymentAlert.id)).one()
    with pytest.raises(InvalidInput), transaction():
        excess.settle(1, alert_id, Settlement.LOSS, "they do not want it")
    with transaction():
        excess.settle(1, alert_id, Settlement.NOTED, "they do not want it")
    assert failed_ones() == [(Decimal(9), "settled")]


def test_a_refund_that_failed_leaves_no_tax_too_much_in_the_later_ones(user: User) -> None:
    """Of 3.00 with 1.00 of tax the parts have 0.33, 0.34 and 0.33: the first one comes back."""
    invoice_id = issue(user.id, "2.00", tax="1.00")
    with transaction():
        want = checkouts.want_invoice(user.id, invoice_id)
    payment_id = pay(user.id, want)
    give_back(payment_id, "1", RefundTarget.RAIL, "first")
    give_back(payment_id, "1", RefundTarget.WALLET, "second")
    with transaction():
        refunds.refuse(
            db.session.scalars(select(Refund.id).where(Refund.key == "first")).one(), "no"
        )
    for key in ("third", "fourth"):
        give_back(payment_id, "1", RefundTarget.WALLET, key)
    noted = db.session.execute(select(func.sum(CreditNote.amount), func.sum(CreditNote.tax))).one()
    assert tuple(noted) == (Decimal(3), Decimal(1))


def test_a_payment_of_a_part_of_an_invoice_gives_back_its_part_of_the_tax(user: User) -> None:
    """A credit at the provider has paid the rest of it."""
    invoice_id = issue(user.id, "20.00", tax="10.00")
    with transaction():
        invoices.pay(invoices.lock(invoice_id), "paid")
    parts = [(take_money(invoice_id, one), one) for one in ("10.00", "15.00")]
    for number, (payment_id, amount) in enumerate(parts):
        give_back(payment_id, amount, RefundTarget.WALLET, f"part {number}")
    noted = db.session.scalars(select(CreditNote.tax).order_by(CreditNote.id))
    assert list(noted) == [Decimal("3.33"), Decimal("5.00")]


def test_money_of_somebody_erased_waits_for_a_person_and_goes_back(user: User) -> None:
    """The page to pay on was taken back too late: the wallet that it filled is nobody's."""
    want = Want(Purpose.TOP_UP, usd("29.00"), "Top-up")
    with transaction():
        step = checkouts.prepare(user.id, "demo", want)
        db.session.get_one(User, user.id).blocked_reason = ERASED
    payment_id = come(step, want)
    (alert,) = db.session.scalars(select(PaymentAlert)).all()
    assert (alert.kind, alert.payment_id, alert.amount) == (
        "erased_payer",
        payment_id,
        Decimal(29),
    )
    payment = db.session.get_one(Payment, payment_id)
    assert (payment.method, payment.method_ref) == ("", ""), "nothing more is kept of them"
    assert to_look_into().count == 1
    give_back(payment_id, "29.00", RefundTarget.RAIL)
    assert available(user.id, "USD") == 0
    assert to_look_into().count == 1, "on its way only"
    with transaction():
        excess.settle(1, alert.id, Settlement.NOTED, "given back to the card")
    assert to_look_into().count == 0


def test_money_that_comes_when_erasing_is_due_waits_for_a_person_too(user: User) -> None:
    """The job comes every few minutes, and until then its page takes money."""
    before = pay(user.id, Want(Purpose.TOP_UP, usd("5.00"), "Top-up"), "py_0")
    with transaction():
        db.session.get_one(User, user.id).leaves_at = utc_now()
    late = pay(user.id, Want(Purpose.TOP_UP, usd("29.00"), "Top-up"))
    for _ in range(2):
        with transaction():
            publish(PersonErasing(user.id))
    assert [(one.kind, one.payment_id) for one in alerts_of()] == [("erased_payer", late)]
    refund_there("re_1", "29.00")
    assert before != late and to_look_into().count == 0


def money_of_nobody(user: User, amount: str = "29.00") -> int:
    """Let money come of somebody who is erased; return the payment."""
    want = Want(Purpose.TOP_UP, usd(amount), "Top-up")
    with transaction():
        step = checkouts.prepare(user.id, "demo", want)
        db.session.get_one(User, user.id).blocked_reason = ERASED
    return come(step, want)


def test_money_of_somebody_erased_waits_for_nobody_once_all_of_it_has_gone_back(
    user: User,
) -> None:
    """Made at the provider or here, in parts; a part that comes back to us waits again."""
    money_of_nobody(user)
    refund_there("re_1", "9.00")
    assert to_look_into().count == 1
    refund_there("re_2", "20.00")
    assert to_look_into().count == 0
    assert [(one.state, one.closed_at is not None) for one in alerts_of()] == [("over", True)]
    refund_there("re_2", "20.00", RailState.FAILED)
    assert to_look_into().count == 1
    assert alerts_of()[0].closed_at is None


@pytest.mark.parametrize(
    ("end", "waits"), [(DisputeState.OPEN, 1), (DisputeState.WON, 1), (DisputeState.LOST, 0)]
)
def test_money_of_somebody_erased_that_a_bank_took_for_good_waits_for_nobody(
    user: User, end: DisputeState, waits: int
) -> None:
    money_of_nobody(user)
    for state in (DisputeState.OPEN, end):
        seen = RailDispute("dp_1", "py_1", state, usd("29.00"), utc_now(), None)
        with transaction():
            assert take("demo", seen).applied
    assert to_look_into().count == waits


def test_money_of_somebody_who_stays_waits_for_nobody(user: User) -> None:
    top_up(user.id, "29.00")
    assert to_look_into().count == 0
