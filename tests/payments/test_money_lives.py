"""Random lives of money at Stripe: whatever happens, our books say what is there."""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import stripe
from sqlalchemy import select

from app.accounts.models import User
from app.db import db
from app.errors import DomainError
from app.payments import jobs, refunds, wallet_rail
from app.payments.models import Checkout, Payment, Refund
from app.payments.rules import RefundTarget
from app.transactions import transaction
from app.wallet import check
from tests.client import Client
from tests.doubles.stripe import FakeStripe
from tests.doubles.stripe.errors import Refused
from tests.payments import world
from tests.payments.stripe_world import settle
from tests.payments.test_stripe_rail import client, fake, press_pay, user
from tests.wallet.books import sums

__all__ = ["client", "fake", "user"]

LIVES, STEPS = 10, 24
OVER = ("won", "lost")


class Life:
    """What a person, staff, Stripe's desk and a bank do, by chance."""

    def __init__(self, client: Client, user_id: int, fake: FakeStripe, seed: int) -> None:
        self._client, self._user_id, self._fake = client, user_id, fake
        self._chance = random.Random(seed)
        self._number = 0

    def step(self) -> None:
        """Do one thing; what is refused is not done."""
        often: dict[Callable[[], object], int] = {
            self.invoice: 2, self.top_up: 2, self.spend: 1, self.refund: 3, self.dispute: 2,
            self.decide: 3, self.win_late: 1, self.refund_there: 1, self.fail_refund: 1,
            self.hear: 2,
        }  # fmt: skip
        act = self._chance.choices(list(often), list(often.values()))[0]
        try:
            act()
        except (DomainError, Refused, stripe.InvalidRequestError):
            pass
        finally:
            db.session.rollback()

    def invoice(self) -> None:
        made = self._issue(self._chance.choice(["29.00", "10.01", "0.75"]))
        self._fake.checkout.pay(press_pay(self._client, made))
        if self._chance.random() < 0.3:
            self._from_wallet(made)

    def top_up(self) -> None:
        self._client.post_form("/wallet/top-up", {"amount": "25.50", "rail": "stripe"})
        newest = select(Checkout.external_id).order_by(Checkout.id.desc())
        self._fake.checkout.pay(str(db.session.scalars(newest).first()))

    def spend(self) -> None:
        self._from_wallet(self._issue("7.00"))

    def refund(self) -> None:
        paid = [one for one in world.payments() if one.state == "succeeded"]
        if not paid:
            return
        chosen = self._chance.choice(paid)
        payment_id, all_of_it = chosen.id, chosen.amount
        amount = self._chance.choice([all_of_it, Decimal("3.33"), Decimal("0.50")])
        db.session.rollback()
        with transaction():
            key, target = self._key(), self._chance.choice(list(RefundTarget))
            made = refunds.ask(key, payment_id, amount, target, None, "asked for")
        if self._chance.random() < 0.7:
            jobs.send_refund(made)

    def refund_there(self) -> None:
        charge = self._any("charge", lambda one: one["amount"] > one["amount_refunded"])
        known = select(Payment).where(Payment.external_id == (charge or {}).get("payment_intent"))
        payment = db.session.scalar(known)
        if charge is None or payment is None:
            return
        most = min(int((payment.amount - payment.refunded) * 100), 333)
        v1: Any = self._fake.client().v1
        v1.refunds.create({"charge": charge["id"], "amount": most})

    def fail_refund(self) -> None:
        refund = self._any("refund", lambda one: one["status"] == "succeeded")
        if refund is not None:
            self._fake.bank.fail_refund(refund["id"])

    def dispute(self) -> None:
        charge = self._any("charge", lambda one: not one["disputed"])
        if charge is not None:
            self._fake.bank.dispute(charge["id"])

    def decide(self) -> None:
        dispute = self._any("dispute", lambda one: one["status"] not in OVER)
        if dispute is not None:
            self._fake.bank.close_dispute(dispute["id"], won=self._chance.random() < 0.5)

    def win_late(self) -> None:
        lost = self._any("dispute", lambda one: one["status"] == "lost")
        if lost is not None:
            self._fake.bank.close_dispute(lost["id"], won=True)

    def hear(self) -> None:
        self._fake.deliver(
            shuffle=self._chance.randrange(99), duplicate=self._chance.choice([1, 2])
        )
        world.work()

    def come_to_rest(self) -> None:
        """Hear of all, and send what waits, until nothing does."""
        settle(self._fake)
        waits = select(Refund.id).where(Refund.state == "pending")
        for refund_id in db.session.scalars(waits).all():
            jobs.send_refund(refund_id)
        settle(self._fake)

    def _any(self, kind: str, fits: Callable[[Any], bool]) -> Any:
        found = [one for one in self._fake.every(kind) if fits(one)]
        return self._chance.choice(found) if found else None

    def _issue(self, amount: str) -> int:
        return world.issue(self._user_id, amount, self._key(), self._chance.choice(["0", "1.37"]))

    def _from_wallet(self, invoice_id: int) -> None:
        with transaction():
            wallet_rail.pay_invoice(self._user_id, invoice_id)

    def _key(self) -> str:
        self._number += 1
        return f"life{self._user_id}.{self._number}"


@pytest.mark.long
def test_after_random_lives_the_books_say_what_is_at_stripe(
    client: Client, user: User, fake: FakeStripe
) -> None:
    for seed in range(LIVES):
        life = Life(client, user.id, fake, seed)
        for _ in range(STEPS):
            life.step()
        life.come_to_rest()
        there = sum(row["net"] for row in fake.every("balance_transaction"))
        held = sum(row["amount"] for row in fake.every("dispute") if row["status"] not in OVER)
        books = sums()
        assert books.get(("psp:stripe", "USD"), 0) == Decimal(there) / 100, seed
        assert books.get(("dispute:stripe", "USD"), 0) == Decimal(held) / 100, seed
        assert not check.verify().differences, seed
        assert {event.state for event in world.events()} <= {"processed", "ignored"}, seed
