"""Money that goes back more than one way: refunds, disputes, and the wallet between them."""

from decimal import Decimal

import pytest
from sqlalchemy import select

from app.accounts.models import User
from app.adapters.payments.port import (
    DisputeState,
    RailDispute,
    RailPayment,
    RailRefund,
    RailState,
)
from app.db import db, utc_now
from app.errors import Conflict
from app.payments import checkouts, refunds, wallet_rail
from app.payments.checkouts import Want
from app.payments.models import CreditNote, Payment
from app.payments.rules import Purpose, RefundTarget
from app.payments.settling import take
from app.transactions import transaction
from app.wallet.queries import available
from tests.factories import make_user
from tests.payments.world import issue, payments, usd


@pytest.fixture
def user(database: None) -> User:
    return make_user()


def pay(user_id: int, want: Want, name: str = "py_1") -> int:
    """Let money for something come by the demonstration; return the payment."""
    with transaction():
        step = checkouts.prepare(user_id, "demo", want)
        seen = RailPayment(
            id=name,
            state=RailState.SUCCEEDED,
            money=want.money,
            reference=step.reference,
            at=utc_now(),
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


def refund_there(name: str, amount: str) -> None:
    """Hear of a refund that somebody made at the provider."""
    seen = RailRefund(
        id=name, payment_id="py_1", state=RailState.SUCCEEDED, money=usd(amount), at=utc_now()
    )
    with transaction():
        assert take("demo", seen).applied


def dispute(state: DisputeState, amount: str = "29.00") -> None:
    seen = RailDispute(
        id="dp_1", payment_id="py_1", state=state, money=usd(amount), at=utc_now(), fee=None
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
