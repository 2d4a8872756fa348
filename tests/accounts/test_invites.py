"""Closed use: nobody registers without an invitation, and staff see who used which."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from app.accounts import invites, service
from app.accounts.models import AuditEntry, Invite, Role, User
from app.accounts.service import NewPerson
from app.db import db, utc_now
from app.errors import InvalidInput, NotFound
from app.settings import service as settings
from app.transactions import transaction
from tests.accounts.people import EMAIL, PASSWORD, make_person
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user

FORM = {"email": EMAIL, "password": PASSWORD}
CODE = re.compile(r"(?:[A-Z2-9]{6}-){3}[A-Z2-9]{6}")


@pytest.fixture
def closed(database: None) -> None:
    """Let only invited people register."""
    with transaction():
        settings.change("signup_mode", "invite")


def make(uses: int = 1, days: int = 14) -> str:
    staff = make_user(Role.ADMIN)
    db.session.commit()
    with transaction():
        return invites.make(staff.id, uses, days, "for a friend")


def register(client: Client, code: str, email: str = EMAIL) -> int:
    return client.post_form("/register", FORM | {"email": email, "invite": code}).status_code


def customers() -> int:
    query = select(func.count(User.id)).where(User.role == Role.CUSTOMER.value)
    return db.session.scalar(query) or 0


def test_a_visitor_without_a_code_sees_that_one_is_needed(client: Client, closed: None) -> None:
    assert "Invitation needed" in client.get("/register").text
    assert register(client, "") == 422
    assert customers() == 0


def test_an_invitation_lets_in_and_names_who_used_it(client: Client, closed: None) -> None:
    code = make()
    assert register(client, code.lower().replace("-", " ")) == 303
    (invite,) = invites.newest()
    assert (invite.people, invite.used, invite.is_open) == ((EMAIL,), 1, False)


def test_an_invitation_works_as_often_as_it_says(app: Flask, client: Client, closed: None) -> None:
    code = make(uses=2)
    statuses = [register(new_client(app), code, f"a{number}@example.org") for number in range(3)]
    assert statuses == [303, 303, 422]


def test_the_last_place_of_an_invitation_is_taken_once(app: Flask, closed: None) -> None:
    code = make()

    def use(number: int) -> bool:
        try:
            with transaction():
                service.register(NewPerson(f"a{number}@example.org", PASSWORD, invite=code))
        except InvalidInput:
            return False
        return True

    assert sum(at_once(app, 6, use)) == 1
    assert customers() == 1


@pytest.mark.parametrize("code", ["x", "\0", "😀", "A" * 39, "AAAAAA-AAAAAA-AAAAAA-AAAAAA"])
def test_a_wrong_code_is_refused_by_name(client: Client, closed: None, code: str) -> None:
    make()
    answer = client.post_form("/register", FORM | {"invite": code})
    assert answer.status_code == 422
    assert 'href="#invite"' in answer.text


def test_an_old_or_revoked_invitation_is_refused(client: Client, closed: None) -> None:
    old, revoked = make(days=1), make()
    with transaction():
        invites.revoke(make_user(Role.ADMIN).id, db.session.scalars(select(Invite.id)).all()[-1])
    assert register(client, revoked) == 422
    with time_machine.travel(utc_now() + timedelta(days=1, seconds=1)):
        assert register(client, old) == 422


def test_a_known_address_uses_nothing_up_and_sees_the_same(client: Client, closed: None) -> None:
    make_person()
    code = make()
    assert register(client, code) == 303
    assert invites.newest()[0].used == 0


def test_open_registration_needs_no_restart(client: Client, closed: None) -> None:
    with transaction():
        settings.change("signup_mode", "open")
    assert "Invitation needed" not in client.get("/register").text
    assert register(client, "") == 303


def test_staff_makes_and_revokes_invitations_on_the_page(
    app: Flask, closed: None, login_as: Callable[[User], Client]
) -> None:
    staff = login_as(make_user(Role.MANAGER))
    form = {"note": "Ada", "uses": "1", "days": "7"}
    page = staff.post_form("/admin/invites/make", form).text
    code = CODE.search(page)
    assert code is not None
    assert f"/register#{code.group()}" in page
    assert code.group() not in staff.get("/admin/invites/").text
    assert register(new_client(app), code.group()) == 303
    assert EMAIL in staff.get("/admin/invites/").text
    with transaction():
        other = invites.make(make_user(Role.ADMIN).id, 5, 5, "")
    number = db.session.scalars(select(Invite.id).order_by(Invite.id.desc())).first()
    for _ in range(2):
        assert staff.post_form("/admin/invites/revoke", {"id": str(number)}).status_code == 303
    assert register(new_client(app), other, "b@example.org") == 422
    actions = db.session.scalars(select(AuditEntry.action)).all()
    assert actions.count("accounts.invite_revoked") == 1


@pytest.mark.parametrize(
    "change", [{"uses": "0"}, {"uses": "1001"}, {"uses": "x"}, {"days": "-1"}, {"note": "x" * 101}]
)
def test_an_absurd_invitation_is_refused(
    closed: None, login_as: Callable[[User], Client], change: dict[str, str]
) -> None:
    staff = login_as(make_user(Role.MANAGER))
    form = {"note": "", "uses": "1", "days": "7"} | change
    assert staff.post_form("/admin/invites/make", form).status_code == 422
    assert invites.newest() == []


def test_support_makes_no_invitations(closed: None, login_as: Callable[[User], Client]) -> None:
    staff = login_as(make_user(Role.SUPPORT))
    assert staff.get("/admin/invites/").status_code == 403
    form = {"note": "", "uses": "1", "days": "7"}
    assert staff.post_form("/admin/invites/make", form).status_code == 403


def test_the_service_refuses_what_the_form_would(database: None) -> None:
    staff = make_user(Role.ADMIN)
    db.session.commit()
    for uses, days, note in ((0, 1, ""), (1, 0, ""), (1, 1, "x" * 101), (1, 1, "a\0b")):
        with pytest.raises(InvalidInput), transaction():
            invites.make(staff.id, uses, days, note)
    for number in (0, 7, 2**70):
        with pytest.raises(NotFound), transaction():
            invites.revoke(staff.id, number)
