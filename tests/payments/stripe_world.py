"""Stripe's stand-in behind the real rail, its endpoint and its worker."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import select

from app.adapters.payments.stripe.rail import StripeRail
from app.db import db
from app.payments.models import Checkout
from tests.client import Client
from tests.doubles.stripe import FakeStripe
from tests.payments.world import work

SECRET = "whsec_of_the_endpoint"
TAG = "botyard"
# What is applied may bring more news; so many times in a row it never does.
MOST_ROUNDS = 20


def rail_over(fake: FakeStripe) -> StripeRail:
    """Return the rail that talks to a stand-in."""
    return StripeRail(fake.client(), (SECRET,), TAG)


def post(client: Client, raw: bytes, headers: dict[str, str]) -> int:
    """Post a callback like a stranger; return the status."""
    return client.post("/webhooks/stripe", data=raw, headers=headers).status_code


def door(client: Client) -> Callable[[bytes, dict[str, str]], int]:
    """Return what the stand-in delivers to."""
    return lambda raw, headers: post(client, raw, headers)


def post_all(client: Client, deliveries: Iterable[tuple[bytes, dict[str, str]]]) -> None:
    """Post signed callbacks; every one is taken."""
    for raw, headers in deliveries:
        assert post(client, raw, headers) == 200


def session_of(user_id: int) -> str:
    """Return somebody's newest checkout at Stripe."""
    db.session.rollback()
    query = select(Checkout.external_id).where(Checkout.user_id == user_id)
    return str(db.session.scalars(query.order_by(Checkout.id.desc())).first())


def settle(fake: FakeStripe, **how: Any) -> None:
    """Deliver and apply until nothing is left."""
    for _ in range(MOST_ROUNDS):
        if not fake.deliver(**how):
            db.session.rollback()
            return
        work()
    left = [(note.type, note.delivered) for note in fake.pump.pending()]
    raise AssertionError(f"news without end, or not taken: {left}")
