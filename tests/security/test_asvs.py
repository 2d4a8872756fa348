"""Lines of OWASP ASVS 5.0, one test each; docs/security.md lists where the rest is proved."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask

from app.accounts import credentials, passwords
from app.accounts.models import Role
from app.errors import InvalidInput
from app.transactions import transaction
from tests.accounts.authenticator import Authenticator
from tests.accounts.people import (
    EMAIL,
    PASSWORD,
    app_code,
    cookie_of,
    is_signed_in,
    log_in,
    mails,
    make_person,
    newest_code,
    turn_factor_on,
)
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_exchange

NEW_PASSWORD = "an umbrella for the moon"


def registered(client: Client, email: str = EMAIL, password: str = PASSWORD) -> int:
    return client.post_form("/register", {"email": email, "password": password}).status_code


# 6: authentication ------------------------------------------------------------------------------


def test_v6_2_1_seven_characters_are_refused_and_64_kept_unmodified(client: Client) -> None:
    assert registered(client, password="7 chars") == 422
    assert "15 or more" in client.get("/register").text
    long = "ab cd Äö 😀 " * 6
    assert len(long) > 64
    assert registered(client, password=long) == 303
    client.post_form("/confirm", {"code": newest_code()})
    client.post_form("/logout")
    assert log_in(client, password=long.strip()) == 422
    assert log_in(client, password=long[:64]) == 422
    assert log_in(client, password=long) == 303


def test_v6_2_4_the_commonest_passwords_are_refused() -> None:
    lines = passwords.LIST_FILE.read_text(encoding="utf-8").splitlines()
    common = [one for one in lines if len(one) >= passwords.MIN_LENGTH and not one.startswith("#")]
    assert len(common) >= 3000
    for password in common:
        with pytest.raises(InvalidInput):
            passwords.check_new_password(password, EMAIL)


def test_v6_3_1_guessing_is_slowed_and_locks_nobody_out(app: Flask, client: Client) -> None:
    user = make_person()
    assert [log_in(client, password="wrong") for _ in range(11)] == [422] * 10 + [429]
    with transaction():
        credentials.mail_reset_link(user.id)
    code = mails()[0].body.split("/reset/new#")[1].split()[0]
    owner = new_client(app)
    owner.post_form("/reset/new", {"code": code, "password": NEW_PASSWORD})
    assert log_in(owner, password=NEW_PASSWORD) == 303


def test_v6_3_1_guessing_does_not_keep_a_passkey_out(app: Flask, client: Client) -> None:
    client.sign_in(make_person())
    device = Authenticator()
    device.add_to(client)
    guesser, owner = new_client(app), new_client(app)
    assert [log_in(guesser, password="wrong") for _ in range(11)] == [422] * 10 + [429]
    assert device.log_in(owner).location == "/dashboard"
    assert is_signed_in(owner)


def test_v6_3_8_known_and_unknown_addresses_get_the_same_answer(app: Flask, client: Client) -> None:
    make_person()
    answers: dict[str, list[tuple[int, str | None]]] = {}
    for email in (EMAIL, "nobody@example.org"):
        for path, password in (
            ("/login", "a wrong one"),
            ("/reset", ""),
            ("/register", NEW_PASSWORD),
        ):
            form = {"email": email, "password": password}
            answer = new_client(app).post_form(path, form)
            answers.setdefault(path, []).append((answer.status_code, answer.location))
    assert all(known == unknown for known, unknown in answers.values()), answers


def test_v6_5_1_a_mailed_code_works_once(app: Flask, client: Client) -> None:
    registered(client)
    other = new_client(app)
    registered(other)
    code = newest_code()
    assert other.post_form("/confirm", {"code": code}).location == "/dashboard"
    other.post_form("/logout")
    registered(other)
    assert other.post_form("/confirm", {"code": code}).status_code == 422


def test_v6_5_5_a_mailed_code_dies_after_ten_minutes(client: Client) -> None:
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        registered(client)
        clock.shift(timedelta(minutes=10, seconds=1))
        assert client.post_form("/confirm", {"code": newest_code()}).status_code == 422


def test_v6_6_3_the_sixth_try_of_a_code_is_refused(client: Client) -> None:
    registered(client)
    code = newest_code()
    wrong = "000000" if code != "000000" else "111111"
    for _ in range(5):
        assert client.post_form("/confirm", {"code": wrong}).status_code == 422
    assert client.post_form("/confirm", {"code": code}).status_code == 422


def test_v6_3_3_staff_needs_a_second_factor(client: Client) -> None:
    make_person(Role.ADMIN)
    log_in(client)
    for path in ("/admin/", "/dashboard", "/profile", "/settings/tokens"):
        assert client.get(path).location == "/settings/second-factor"
    assert client.get("/settings/second-factor").status_code == 200


def test_v6_4_3_after_a_reset_the_second_factor_is_still_asked(client: Client) -> None:
    user = make_person()
    turn_factor_on(user)
    with transaction():
        credentials.mail_reset_link(user.id)
    code = mails()[0].body.split("/reset/new#")[1].split()[0]
    client.post_form("/reset/new", {"code": code, "password": NEW_PASSWORD})
    assert not is_signed_in(client)
    answer = client.post_form("/login", {"email": EMAIL, "password": NEW_PASSWORD})
    assert answer.location == "/login/code"
    assert not is_signed_in(client)


def test_v6_5_1_a_code_of_the_app_works_once(app: Flask, client: Client) -> None:
    secret = turn_factor_on(make_person())
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False):
        log_in(client)
        assert client.post_form("/login/code", {"code": app_code(secret)}).status_code == 303
        other = new_client(app)
        log_in(other)
        assert other.post_form("/login/code", {"code": app_code(secret)}).status_code == 422


def test_v6_5_1_a_challenge_of_a_passkey_works_once(app: Flask, client: Client) -> None:
    client.sign_in(make_person())
    device = Authenticator()
    device.add_to(client)
    visitor = new_client(app)
    asked = visitor.post_form("/login/passkey/options").json
    assert asked is not None
    form = {"credential": device.get(asked)}
    assert visitor.post_form("/login/passkey", form).location == "/dashboard"
    visitor.post_form("/logout")
    assert visitor.post_form("/login/passkey", form).location == "/login"
    assert not is_signed_in(visitor)


def test_v6_5_5_a_code_of_two_steps_ago_fails(client: Client) -> None:
    secret = turn_factor_on(make_person())
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False):
        log_in(client)
        assert client.post_form("/login/code", {"code": app_code(secret, -2)}).status_code == 422


# 7: sessions ------------------------------------------------------------------------------------


def test_v7_2_4_the_session_id_is_new_after_the_log_in(app: Flask, client: Client) -> None:
    make_person()
    client.get("/login")
    before = cookie_of(client)
    log_in(client)
    assert before and cookie_of(client) != before
    old = new_client(app)
    old.set_cookie("session", before)
    assert not is_signed_in(old)


def test_v7_2_4_the_session_id_is_new_after_a_step_up(app: Flask, client: Client) -> None:
    make_person()
    log_in(client)
    before = cookie_of(client)
    client.post_form("/prove", {"password": PASSWORD})
    assert before and cookie_of(client) != before
    old = new_client(app)
    old.set_cookie("session", before)
    assert not is_signed_in(old)


def test_v7_3_2_a_busy_session_ends_at_the_absolute_limit(client: Client) -> None:
    make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        for _ in range(12 * 6 - 1):
            clock.shift(timedelta(minutes=10))
            assert is_signed_in(client)
        clock.shift(timedelta(minutes=10, seconds=1))
        assert not is_signed_in(client)


@pytest.mark.parametrize("act", ["logout", "block", "password"])
def test_v7_4_1_a_copied_cookie_dies_with_the_session(app: Flask, client: Client, act: str) -> None:
    user = make_person()
    log_in(client)
    thief = new_client(app)
    thief.set_cookie("session", cookie_of(client) or "")
    assert is_signed_in(thief)
    if act == "logout":
        client.post_form("/logout")
    elif act == "block":
        user.blocked_at = user.created_at
    else:
        form = {"current": PASSWORD, "password": NEW_PASSWORD}
        assert client.post_form("/settings/password", form).status_code == 303
    assert not is_signed_in(thief)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/settings/password", {"password": NEW_PASSWORD}),
        ("/settings/email", {"email": "new@example.org"}),
        ("/settings/tokens", {"label": "x", "scopes": "bots:read", "days": "30"}),
    ],
)
def test_v7_5_1_what_lasts_asks_for_the_password_in_its_form(
    client: Client, path: str, form: dict[str, str]
) -> None:
    make_person()
    log_in(client)
    assert client.post_form(path, form).status_code == 422
    assert client.post_form(path, form | {"current": "no", "password": "no"}).status_code == 422


def test_v7_5_1_factor_and_keys_ask_for_the_password_again(client: Client) -> None:
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False) as clock:
        make_exchange()
        client.sign_in(make_person())
        clock.shift(timedelta(minutes=10, seconds=1))
        for path in (
            "/settings/second-factor/off",
            "/settings/passkeys/new",
            "/exchanges/new?exchange=bybit",
        ):
            assert client.get(path).location.startswith("/prove?next=")
        for path in ("/settings/second-factor/begin", "/settings/second-factor/codes"):
            assert client.post_form(path).location.startswith("/prove?next=")
        assert client.post_form("/exchanges/1/delete").location.startswith("/prove")
