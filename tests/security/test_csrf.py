"""No form without its token, and no token of another session."""

import pytest
from flask import Flask

from app.accounts import queries
from app.accounts.models import Profile
from app.db import db
from tests.accounts.people import is_signed_in, log_in, make_person
from tests.client import Client
from tests.conftest import new_client

FORM = {"name": "Changed", "language": "en", "timezone": "UTC", "experience": "expert"}


@pytest.mark.parametrize("path", ["/login", "/register", "/confirm", "/confirm/resend", "/logout"])
def test_a_visitors_form_without_token_is_refused(client: Client, path: str) -> None:
    assert client.post(path, data={"email": "a@example.org"}).status_code == 400


def test_the_set_up_without_token_is_refused(client: Client) -> None:
    assert client.post("/setup", data={"code": "x"}).status_code == 400


@pytest.mark.parametrize("token", [None, "", "wrong", "😀", "\0", "x" * 10_000])
def test_a_signed_in_form_needs_its_token(client: Client, token: str | None) -> None:
    user = make_person()
    log_in(client)
    data = FORM if token is None else FORM | {"csrf_token": token}
    assert client.post("/profile", data=data).status_code == 400
    assert client.post("/logout", data={"csrf_token": token or ""}).status_code == 400
    assert is_signed_in(client)
    assert queries.own_profile(user.id).name != "Changed"


def test_another_persons_token_is_refused(app: Flask, client: Client) -> None:
    user = make_person()
    make_person(email="eve@example.org")
    eve = new_client(app)
    log_in(client)
    log_in(eve, "eve@example.org")
    stolen = eve.csrf_token()
    assert client.post("/profile", data=FORM | {"csrf_token": stolen}).status_code == 400
    assert db.session.get_one(Profile, user.id).name != "Changed"


def test_a_token_from_before_the_log_in_is_refused_after_it(client: Client) -> None:
    make_person()
    before = client.csrf_token()
    log_in(client)
    assert client.post("/profile", data=FORM | {"csrf_token": before}).status_code == 400


def test_the_header_is_taken_too(client: Client) -> None:
    make_person()
    log_in(client)
    answer = client.post("/profile", data=FORM, headers={"X-CSRFToken": client.csrf_token()})
    assert answer.status_code == 303
