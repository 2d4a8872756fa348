"""One person, two ways to begin a plan in the same moment: one holds, nobody pays twice."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.accounts.models import User
from app.db import db
from app.errors import Conflict, DomainError
from app.money import Money
from app.payments import jobs as payments
from app.payments import wallet_rail
from app.payments.models import Checkout
from app.subscriptions import buying, history
from app.subscriptions.kept import queries as kept_queries
from app.subscriptions.kept import service as kept
from app.subscriptions.models import KeptSubscription
from app.subscriptions.periods import MONTH
from app.subscriptions.provider import jobs, store
from app.subscriptions.provider import queries as provider
from app.subscriptions.queries import limits_of
from app.subscriptions.terms import Choice
from app.transactions import transaction
from app.wallet import queries as wallets
from app.wallet import service as wallet
from tests.at_once import at_once
from tests.doubles.stripe import FakeStripe
from tests.factories import make_user
from tests.long import few
from tests.payments.stripe_world import settle
from tests.subscriptions.provider_world import mirrored, orders, stand_in

PRO, PREMIUM = Choice("pro", MONTH), Choice("premium", MONTH)


@pytest.fixture
def fake(app: Flask, database: None) -> Iterator[FakeStripe]:
    with stand_in(app) as stripe:
        yield stripe


@pytest.fixture
def user(fake: FakeStripe) -> User:
    """Somebody with money in the wallet."""
    person = make_user()
    with transaction():
        wallet.top_up("gift", person.id, "demo", Money(Decimal(100), "USD"))
    found = db.session.get_one(User, person.id)
    db.session.expunge_all()
    db.session.rollback()
    return found


def page_of(user_id: int) -> Checkout:
    db.session.rollback()
    query = select(Checkout).where(Checkout.user_id == user_id, Checkout.purpose == "subscription")
    found = db.session.scalars(query.order_by(Checkout.id.desc()).limit(1)).one()
    db.session.expunge_all()
    db.session.rollback()
    return found


def order_here(user: User) -> int:
    with transaction():
        invoice_id = kept.start(user.id, PRO, "wallet", "here")
    assert invoice_id is not None
    return invoice_id


def pay_here(user: User, invoice_id: int) -> None:
    with transaction():
        wallet_rail.pay_invoice(user.id, invoice_id)


def in_wallet(user_id: int) -> Decimal:
    db.session.rollback()
    return wallets.available(user_id, "USD")


def test_of_an_order_here_and_one_at_a_provider_in_one_moment_one_is_left(
    app: Flask, fake: FakeStripe, user: User
) -> None:
    buying.begin(make_user(), PRO, "stripe", "first")
    db.session.remove()
    for turn in range(3):

        def order(number: int, turn: int = turn) -> str:
            choice, rail = ((PRO, "demo"), (PREMIUM, "stripe"))[number]
            try:
                buying.begin(user, choice, rail, f"key-{turn}")
            except DomainError as error:
                return error.code
            return ""

        allowed = {"", "ordered_elsewhere", "page_replaced", "invoice_not_open"}
        assert set(at_once(app, 2, order)) <= allowed | {"subscription_moved"}
        orders_here = db.session.scalar(
            select(func.count())
            .select_from(KeptSubscription)
            .where(KeptSubscription.user_id == user.id, KeptSubscription.state == "incomplete")
        )
        pages = db.session.scalar(
            select(func.count())
            .select_from(Checkout)
            .where(
                Checkout.user_id == user.id,
                Checkout.purpose == "subscription",
                Checkout.state == "open",
            )
        )
        assert (orders_here or 0) + (pages or 0) == 1
        db.session.rollback()


def test_an_order_that_was_paid_meanwhile_is_not_cancelled_by_another_one(
    fake: FakeStripe, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice_id = order_here(user)
    seen = buying.standing(user.id)
    db.session.rollback()
    pay_here(user, invoice_id)
    monkeypatch.setattr(buying, "standing", lambda _user_id: seen)
    with pytest.raises(Conflict, match="subscription_exists"):
        buying.begin(user, PREMIUM, "stripe", "there")
    with pytest.raises(Conflict, match="subscription_exists"):
        buying.cancel(user.id)
    db.session.rollback()
    present = kept_queries.standing(user.id)
    assert present is not None and (present.state, present.cancel_at) == ("active", None)


def test_an_order_here_takes_the_place_of_the_page_of_a_provider(
    fake: FakeStripe, user: User
) -> None:
    buying.begin(user, PREMIUM, "stripe", "there")
    buying.begin(user, PRO, "demo", "here")
    page = page_of(user.id)
    assert page.state == "expired"
    payments.close_page(page.id)
    assert fake.get(str(page.external_id))["status"] == "expired"


def test_a_page_that_is_made_too_late_leads_nobody_to_pay(
    fake: FakeStripe, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = type(store.keeper("stripe"))
    subscribe = keeper.subscribe

    def slowly(self: Any, order: Any) -> Any:
        made = subscribe(self, order)
        buying.begin(user, PRO, "demo", "here")
        return made

    monkeypatch.setattr(keeper, "subscribe", slowly)
    with pytest.raises(Conflict, match="page_replaced"):
        buying.begin(user, PREMIUM, "stripe", "there")
    page = page_of(user.id)
    assert (page.state, bool(page.external_id)) == ("expired", True)
    payments.close_page(page.id)
    assert fake.get(str(page.external_id))["status"] == "expired"


@pytest.mark.parametrize("order", few([3, None], 2))
def test_what_begins_at_a_provider_beside_a_paid_plan_ends_and_its_money_is_in_the_wallet(
    fake: FakeStripe, user: User, order: int | None
) -> None:
    buying.begin(user, PREMIUM, "stripe", "there")
    page = page_of(user.id)
    pay_here(user, order_here(user))
    # The page was still open at the provider, and somebody paid there.
    fake.checkout.pay(str(page.external_id))
    settle(fake, shuffle=order)
    assert limits_of(user.id).plan == "pro"
    assert in_wallet(user.id) == Decimal(100 - 29 + 79)
    (command,) = orders()
    assert (command.verb, command.owed) == ("end_now", True)
    number = command.id
    db.session.rollback()
    jobs.send_command(number)
    settle(fake, duplicate=2)
    assert mirrored(user.id).state == "canceled" and provider.doubles() == ()
    assert limits_of(user.id).plan == "pro"
    assert in_wallet(user.id) == Decimal(100 - 29 + 79)
    told = {change.cause for change in history.history_of(user.id) if "stripe" in change.source}
    assert told == {"other_subscription"}
    present = kept_queries.standing(user.id)
    assert present is not None and present.state == "active"
