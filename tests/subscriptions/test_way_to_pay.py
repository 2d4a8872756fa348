"""Another card or another way for the next periods, and back while nothing was taken."""

from collections.abc import Callable
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts.models import AuditEntry, User
from app.db import db
from app.errors import Conflict
from app.payments import queries as payments
from app.subscriptions import buying, history
from app.subscriptions import service as plans
from app.subscriptions.kept import ways
from app.transactions import transaction
from app.wallet import service as wallet
from tests.client import Client
from tests.clock import Clock
from tests.factories import make_user
from tests.payments import world
from tests.subscriptions.kept.world import DECLINED, PAYS, Person, choice, usd

VISA, CONFIRMS = "4242424242424242", "4000002500003155"


@pytest.fixture
def person(app: Flask, database: None, monkeypatch: pytest.MonkeyPatch) -> Person:
    """A customer who pays by card and has money in the wallet too."""
    clock = Clock(monkeypatch)
    with transaction():
        plans.seed_plans()
    clock.pass_(days=1)
    one = Person(clock)
    one.fill_wallet("100")
    one.subscribe(rail="demo")
    return one


def go_to_end(person: Person) -> None:
    end = person.kept().period_end
    assert end is not None
    person.live_on(seconds=(end - person.clock.now).total_seconds() + 60)


@pytest.mark.long
def test_the_next_period_is_taken_from_the_wallet_and_no_longer_from_the_card(
    person: Person,
) -> None:
    buying.pay_by(person.id, "wallet")
    buying.pay_by(person.id, "wallet")
    go_to_end(person)
    assert person.wallet() == Decimal(71)
    assert [one.rail for one in person.payments()] == ["demo", "wallet"]
    entries = db.session.scalars(
        select(AuditEntry).where(AuditEntry.action == "subscription.way_changed")
    ).all()
    assert [(one.before, one.after) for one in entries] == [({"rail": "demo"}, {"rail": "wallet"})]
    db.session.rollback()
    with pytest.raises(Conflict, match="way_is_used"):
        buying.take_way_back(person.id)


@pytest.mark.long
def test_it_is_taken_back_while_nothing_was_charged(person: Person) -> None:
    buying.pay_by(person.id, "wallet")
    found = ways.ways_of(person.id)
    assert found is not None and (found.present, found.before) == ("wallet", "demo")
    db.session.rollback()
    buying.take_way_back(person.id)
    go_to_end(person)
    assert [one.rail for one in person.payments()] == ["demo", "demo"]
    told = [change.what for change in history.history_of(person.id)]
    assert told[:3] == ["paid", "way_changed", "way_changed"]


@pytest.mark.long
def test_what_is_overdue_is_taken_the_new_way_at_once(person: Person) -> None:
    person.change_card(DECLINED)
    go_to_end(person)
    assert person.state() == "past_due"
    buying.pay_by(person.id, "wallet")
    person.run()
    assert (person.state(), person.wallet()) == ("active", Decimal(71))


@pytest.mark.long
def test_another_card_of_the_same_rail_pays_what_is_overdue(person: Person) -> None:
    person.change_card(DECLINED)
    go_to_end(person)
    person.change_card(PAYS)
    person.run()
    assert person.state() == "past_due", "until it is said, or the next try"
    buying.pay_by(person.id, "demo")
    person.run()
    assert (person.state(), person.wallet()) == ("active", Decimal(100))


def test_a_way_that_is_not_there_is_refused(person: Person) -> None:
    other = Person(person.clock)
    other.fill_wallet("29")
    other.subscribe()
    with pytest.raises(Conflict, match="no_saved_method"):
        buying.pay_by(other.id, "demo")
    with pytest.raises(Conflict, match="no_saved_method"):
        buying.pay_by(other.id, "stripe")
    other.cancel()
    with pytest.raises(Conflict, match="no_charge_to_come"):
        buying.pay_by(other.id, "wallet")
    db.session.rollback()
    assert ways.ways_of(other.id) is None
    assert ways.ways_of(make_user().id) is None


def test_on_the_pages_another_card_and_another_way(
    app: Flask, database: None, login_as: Callable[[User], Client]
) -> None:
    with transaction():
        plans.seed_plans()
        user = make_user()
        wallet.grant("gift", user.id, usd("29"), actor_id=None, reason="A present")
        db.session.expunge(user)
    client = login_as(user)
    buying.begin(user, choice(), "wallet", "one")
    assert "/subscriptions/payment" in client.get("/subscriptions").text
    page = client.get("/subscriptions/payment").text
    assert "How the next period is paid" in page and "Visa" not in page
    lead = client.post_form("/subscriptions/payment/card/demo")
    path = urlsplit(lead.location).path
    assert path.startswith("/demo-card/") and client.get(path).status_code == 200
    for number in ("1234", DECLINED.number):
        assert client.post_form(path, {"number": number}).status_code == 422
    kept = client.post_form(path, {"number": CONFIRMS})
    assert urlsplit(kept.location).path == "/subscriptions/payment"
    assert client.post_form(path, {"number": VISA}).status_code == 422, "used"
    world.settle(client)
    assert [one.rail for one in payments.saved_methods(user.id)] == ["demo"]
    db.session.rollback()
    page = client.get("/subscriptions/payment").text
    assert "3155" in page and "Back to" not in page
    done = client.post_form("/subscriptions/payment", {"rail": "demo"})
    assert done.status_code == 303
    page = client.get("/subscriptions/payment").text
    assert "Back to Wallet" in page
    assert client.post_form("/subscriptions/payment/undo").status_code == 303
    assert "Back to Test card" in client.get("/subscriptions/payment").text
    for wrong in ("stripe", "gold", ""):
        assert client.post_form("/subscriptions/payment", {"rail": wrong}).status_code == 422
    assert client.post_form("/subscriptions/payment/card/gold").status_code == 303
    stranger = login_as(make_user())
    assert stranger.get("/subscriptions/payment").status_code == 303
    assert stranger.post_form("/subscriptions/payment/undo").status_code == 303
