"""The pages of a plan that Stripe keeps: ordered there, shown, changed and left here."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from app.accounts.models import Role, User
from app.db import db
from app.payments.models import Checkout, InvoiceLine
from app.transactions import transaction
from tests.client import Client
from tests.doubles.stripe import FakeStripe
from tests.factories import make_user
from tests.payments.stripe_world import settle
from tests.subscriptions.test_buying_pages import ORDER, plan_of, token_on

STRIPE = {**ORDER, "rail": "stripe", "seen": "29 USD 29 USD"}


@pytest.fixture
def user(fake: FakeStripe) -> User:
    with transaction():
        make_user(Role.ADMIN)
        return make_user()


@pytest.fixture
def client(login_as: Callable[[User], Client], user: User) -> Client:
    return login_as(user)


def session_of(user: User) -> Checkout:
    db.session.rollback()
    return db.session.scalars(select(Checkout).where(Checkout.user_id == user.id)).one()


def subscribe(fake: FakeStripe, client: Client, user: User) -> str:
    """Order by card and pay there; return the page of ours that waits."""
    answer = client.post_form("/subscribe/pro", STRIPE)
    assert answer.status_code == 303 and answer.location.startswith("https://")
    page = session_of(user)
    back, external_id = f"/checkouts/{page.id}", page.external_id or ""
    db.session.rollback()
    assert plan_of(user) == "free" and "To your plan" in client.get(back).text
    fake.checkout.pay(external_id, "4242424242424242")
    settle(fake)
    return back


def test_ordered_by_card_the_waiting_page_leads_on_when_it_holds(
    fake: FakeStripe, client: Client, user: User
) -> None:
    back = subscribe(fake, client, user)
    assert plan_of(user) == "pro"
    assert client.get(back).location.startswith("/subscriptions?paid=")
    page = client.get("/subscriptions").text
    for words in ("It renews by itself on", "Cards and receipts at the provider", "Pause"):
        assert words in page


@pytest.mark.long
def test_a_change_is_read_and_agreed_to(fake: FakeStripe, client: Client, user: User) -> None:
    subscribe(fake, client, user)
    page = client.get("/subscriptions/change?plan=premium").text
    assert "and change now" in page
    client.post_form(
        "/subscriptions/change", {"plan": "premium", "period": "month", "token": token_on(page)}
    )
    settle(fake)
    assert plan_of(user) == "premium"


def test_it_is_cancelled_kept_paused_and_goes_on(
    fake: FakeStripe, client: Client, user: User
) -> None:
    subscribe(fake, client, user)
    steps = {
        "cancel": "will not renew",
        "go-on": "It renews by itself",
        "pause": "nothing is charged until you go on",
        "resume": "It renews by itself",
    }
    for verb, words in steps.items():
        answer = client.post_form(f"/subscriptions/{verb}", follow_redirects=True)
        settle(fake)
        assert words in client.get("/subscriptions").text, (verb, answer.text)


@pytest.mark.long
def test_the_page_for_cards_is_the_own_one(
    fake: FakeStripe, client: Client, user: User, login_as: Callable[[User], Client]
) -> None:
    subscribe(fake, client, user)
    assert client.post_form("/subscriptions/portal").location.startswith("https://")
    with transaction():
        stranger = make_user()
    assert login_as(stranger).post_form("/subscriptions/portal").location == "/subscriptions"


@pytest.mark.long
def test_what_stripe_writes_in_english_is_read_in_the_language_of_its_reader(
    fake: FakeStripe, client: Client, user: User
) -> None:
    subscribe(fake, client, user)
    client.post_form("/language", {"language": "ru", "next": "/subscriptions"})
    page = client.get("/subscriptions/change?plan=premium").text
    assert "Неиспользованная часть: Pro" in page and "Unused" not in page
    client.post_form(
        "/subscriptions/change", {"plan": "premium", "period": "month", "token": token_on(page)}
    )
    settle(fake)
    db.session.rollback()
    lines = db.session.scalars(select(InvoiceLine.description).order_by(InvoiceLine.invoice_id))
    first, *changed = lines.all()
    assert first == "Pro, 1 month" and any(line.startswith("Premium до") for line in changed)
