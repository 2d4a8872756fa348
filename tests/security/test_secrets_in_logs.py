"""Secrets planted in every input appear in no log line and no address."""

import logging

import pytest

from app.accounts import setup
from app.logs import mask_secrets
from tests.accounts.people import EMAIL, log_in, make_person, newest_code
from tests.client import Client

PLANTED = "planted-secret-4711-lamps"


def test_no_log_line_holds_a_secret(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client.post_form("/register", {"email": EMAIL, "password": PLANTED})
        code = newest_code()
        client.post_form("/confirm", {"code": PLANTED})
        client.post_form("/confirm", {"code": code})
        token = client.get_cookie("session")
        client.post_form("/profile", {"phone": PLANTED, "contacts": PLANTED})
        client.post_form("/logout")
        log_in(client, EMAIL, PLANTED)
        client.post_form("/logout")
        log_in(client, PLANTED, "wrong")
        log_in(client, EMAIL, PLANTED + "x")
        client.get("/login", query_string={"next": "/x"})
    lines = "\n".join(mask_secrets(record.getMessage()) for record in caplog.records)
    assert "log_in_refused" in lines
    assert token is not None
    for secret in (PLANTED, code, token.value):
        assert secret not in lines


def test_a_wrong_set_up_code_is_not_logged(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.post_form("/setup", {"email": EMAIL, "password": PLANTED, "code": PLANTED})
    assert PLANTED not in caplog.text
    assert setup.setup_code() in caplog.text


def test_no_redirect_carries_a_secret(client: Client) -> None:
    make_person()
    places = [
        client.post_form("/register", {"email": "new@example.org", "password": PLANTED}).location,
        client.post_form("/confirm", {"code": newest_code()}).location,
        client.post_form("/logout").location,
    ]
    assert places == ["/confirm", "/dashboard", "/login"]
