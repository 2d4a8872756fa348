"""People whose subscriptions Stripe keeps, and what comes of callbacks and jobs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import select

from app.accounts.models import User
from app.adapters.payments import rails, use_rails
from app.db import db
from app.payments.models import Checkout
from app.subscriptions import service
from app.subscriptions.models import PlanPrice, RailPrice, RailSubscription
from app.subscriptions.provider import service as provider
from app.subscriptions.provider.models import RailCommand
from app.subscriptions.terms import Choice
from app.transactions import transaction
from tests.conftest import new_client
from tests.doubles.stripe import FakeStripe
from tests.payments.stripe_world import SECRET, TAG, door, rail_over, settle

GOOD_CARD = "4242424242424242"


@contextmanager
def stand_in(app: Flask) -> Iterator[FakeStripe]:
    """Put Stripe's stand-in behind the rails of the process and its callbacks to our endpoint."""
    before = dict(rails())
    fake = FakeStripe(now=int(time.time()))
    fake.settings.draft_seconds = 0
    fake.endpoint(door(new_client(app)), [SECRET])
    use_rails({**before, "stripe": rail_over(fake)})
    with transaction():
        service.seed_plans()
    yield fake
    use_rails(before)


def price_of(fake: FakeStripe, plan: str = "pro", amount: int = 2_900) -> str:
    """Make a price there that is the monthly one of a plan here."""
    v1: Any = fake.client().v1
    product = v1.products.create({"name": plan})
    made = v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": amount,
            "recurring": {"interval": "month"},
        }
    )
    with transaction():
        price_id = db.session.scalars(
            select(PlanPrice.id).where(PlanPrice.plan_code == plan, PlanPrice.period == "month")
        ).one()
        db.session.add(RailPrice(rail="stripe", external_id=made.id, price_id=price_id))
    return str(made.id)


def subscribed(fake: FakeStripe, user_id: int, price: str, card: str = "pm_card_visa") -> str:
    """Have a person subscribe there, and hear of it."""
    v1: Any = fake.client().v1
    marks = {"app": TAG, "user_id": str(user_id)}
    customer = v1.customers.create(
        {
            "metadata": marks,
            "payment_method": card,
            "invoice_settings": {"default_payment_method": card},
        }
    )
    made = v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price}], "metadata": marks}
    )
    settle(fake)
    return str(made.id)


def mirrored(user_id: int) -> RailSubscription:
    """Return our copy of a person's only subscription."""
    db.session.rollback()
    return db.session.scalars(
        select(RailSubscription).where(RailSubscription.user_id == user_id)
    ).one()


def orders() -> list[RailCommand]:
    """Return all orders to providers."""
    db.session.rollback()
    return list(db.session.scalars(select(RailCommand).order_by(RailCommand.id)))


def session_of(user_id: int) -> str:
    """Return the newest page of a person at Stripe."""
    db.session.rollback()
    query = select(Checkout.external_id).where(Checkout.user_id == user_id)
    found = db.session.scalars(query.order_by(Checkout.id.desc())).first()
    db.session.rollback()
    return str(found)


def begin(fake: FakeStripe, user: User, choice: Choice, card: str | None = GOOD_CARD) -> str:
    """Begin a subscription on Stripe's page; return its name there."""
    provider.start(user, choice, "/pricing")
    done = fake.checkout.pay(session_of(user.id), card)
    settle(fake)
    return str(done["subscription"])
