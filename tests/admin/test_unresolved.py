"""The desk of unclear orders and the emergency stop for all, as staff clicks through them."""

import re
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import select, text

from app.accounts.models import AuditEntry, Role, User
from app.bots import unresolved
from app.bots.models import Bot
from app.db import db
from app.trades.models import OrderRow
from app.transactions import transaction
from tests.answering import answering
from tests.bots.real_desk import Desk
from tests.client import Client
from tests.factories import make_user

Login = Callable[[User], Client]
LIST, ORDER = "/admin/unclear-orders/", "/admin/unclear-orders/order?id="


@pytest.fixture
def desk(app: Flask, client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Return a bot with one order whose request was lost on its way."""
    desk = Desk(monkeypatch)
    monkeypatch.setattr(unresolved, "open_venue", lambda account_id: desk.venue)
    desk.tick()
    desk.play("97.9")
    desk.venue.lose_requests = True
    desk.tick()
    desk.venue.lose_requests = False
    with answering(app):
        yield desk


def test_staff_looks_and_resolves_an_unclear_order(desk: Desk, login_as: Login) -> None:
    (order,) = desk.orders("UNRESOLVED")
    client = login_as(make_user(Role.SUPPORT))
    page = client.get(LIST).text
    assert f"order?id={order.id}" in page and "time-out" in page
    shown = client.get(ORDER + str(order.id)).text
    assert "does not know this order" in shown
    owner = db.session.get_one(User, order.user_id)
    assert f'details/?id={owner.id}">{owner.email}</a>' in shown
    answer = client.post_form(LIST + "look", data={"id": order.id})
    assert answer.status_code == 302
    assert desk.account().audited_at is None
    data = {"verdict": "cancelled", "reason": "Asked the exchange"}
    assert client.post_form(ORDER + str(order.id), data=data).status_code == 302
    (gone,) = desk.orders("CANCELLED")
    assert gone.id == order.id
    # Sent twice, it is done once.
    assert client.post_form(ORDER + str(order.id), data=data).status_code == 404


def test_what_can_not_be_is_refused_with_a_sentence(desk: Desk, login_as: Login) -> None:
    (order,) = desk.orders("UNRESOLVED")
    client = login_as(make_user(Role.SUPPORT))
    data = {"verdict": "filled", "reason": "I am sure"}
    page = client.post_form(ORDER + str(order.id), data=data)
    assert "shows no fill" in page.text
    assert client.post_form(ORDER + str(order.id), data={"verdict": "open"}).status_code == 200
    # Nothing is chosen for whoever only writes a reason.
    data = {"verdict": "", "reason": "I looked"}
    assert 'name="verdict"' in client.post_form(ORDER + str(order.id), data=data).text
    assert re.search(r'<option[^>]* value=""', client.get(ORDER + str(order.id)).text)
    assert client.get(ORDER + "99999999999999999999").status_code == 404
    assert len(desk.orders("UNRESOLVED")) == 1


def test_customers_find_nothing_there(desk: Desk, login_as: Login) -> None:
    client = login_as(make_user())
    for path in (LIST, ORDER + "1", "/admin/emergency/"):
        assert client.get(path).status_code == 404
    assert client.post_form(LIST + "look", data={"id": 1}).status_code == 404


def test_staff_closes_all_bots_of_a_person(desk: Desk, login_as: Login) -> None:
    with transaction():
        owner = db.session.scalars(select(Bot.user_id)).one()
    client = login_as(make_user(Role.SUPPORT))
    data = {"user_id": owner, "exchange": "", "reason": "Key was stolen", "count": ""}
    asked = client.post_form("/admin/emergency/", data=data)
    assert asked.status_code == 200
    assert "1 bot would be closed" in asked.text
    assert "It belongs to 1 person" in asked.text
    wrong = client.post_form("/admin/emergency/", data={**data, "count": "2"})
    assert "The number of bots is 1" in wrong.text
    assert desk.world.bot(desk.bot).stop_request is None
    assert client.post_form("/admin/emergency/", data={**data, "count": "1"}).status_code == 302
    for _ in range(4):
        desk.audit()
    with transaction():
        live = select(OrderRow.id).where(OrderRow.status.in_(("OPEN", "PARTIAL")))
        assert db.session.scalars(live).all() == []
        entries = select(AuditEntry).where(AuditEntry.action == "bots.emergency")
        assert db.session.scalars(entries).one().reason == "Key was stolen"


def test_an_exchange_as_a_whole_needs_the_right_to_manage_exchanges(
    desk: Desk, login_as: Login
) -> None:
    data = {"user_id": "", "exchange": "bybit", "reason": "It is broken", "count": "1"}
    client = login_as(make_user(Role.SUPPORT))
    assert client.post_form("/admin/emergency/", data=data).status_code == 200
    assert desk.world.bot(desk.bot).stop_request is None
    client = login_as(make_user(Role.MANAGER))
    assert client.post_form("/admin/emergency/", data=data).status_code == 302
    assert desk.world.bot(desk.bot).stop_request == "emergency"


@pytest.mark.long
def test_books_that_differ_stand_there_until_somebody_looked_into_it(
    desk: Desk, login_as: Login
) -> None:
    desk.audit()
    with transaction():
        db.session.execute(text("update bot_metrics set base = base + 1.5"))
    for _ in range(2):
        desk.audit()
    client = login_as(make_user(Role.SUPPORT))
    assert "1.5" in client.get(LIST).text
    assert client.post_form(LIST + "note", data={"id": 77}).status_code == 302
    assert "All books agree" in client.get(LIST).text
