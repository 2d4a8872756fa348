"""The captcha: asked where it should be, taken once, bound to form, session and time."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from app.accounts import captcha
from app.accounts.captcha import Provider
from app.accounts.limits import Limit
from app.accounts.models import User
from app.adapters import recaptcha
from app.config import Config, current_config, use_config
from app.db import db
from app.faq import search_gate
from app.settings import service as settings
from app.transactions import transaction
from tests.accounts.captcha import solved, with_captcha
from tests.accounts.people import EMAIL, PASSWORD, log_in, make_person
from tests.client import Client
from tests.conftest import new_client
from tests.long import few

__all__ = ["with_captcha"]
pytestmark = pytest.mark.usefixtures("with_captcha")

FORM = {"email": EMAIL, "password": PASSWORD}


def register(client: Client, answer: str, email: str = EMAIL) -> int:
    return client.post_form("/register", FORM | {"email": email, "altcha": answer}).status_code


def choose(name: str, value: str) -> None:
    with transaction():
        settings.change(name, value)


def people() -> int:
    return db.session.scalar(select(func.count()).select_from(User)) or 0


def test_a_solved_task_lets_the_form_through(client: Client) -> None:
    assert "<altcha-widget" in client.get("/register").text
    assert register(client, solved(client, "register")) == 303
    assert people() == 1


@pytest.mark.parametrize(
    "answer", ["", "x", "\0", "😀", "e30=", "bnVsbA==", "W10=", "MQ==", "x" * 9000, "A" * 7999]
)
def test_what_is_no_solution_is_refused(client: Client, answer: str) -> None:
    answered = client.post_form("/register", FORM | {"altcha": answer})
    assert answered.status_code == 422
    assert "has not solved the small task" in answered.text
    assert people() == 0


def test_a_solution_is_taken_once(client: Client) -> None:
    answer = solved(client, "register")
    assert register(client, answer) == 303
    assert register(client, answer, "other@example.org") == 422
    assert people() == 1


def test_a_solution_dies_after_ten_minutes(client: Client) -> None:
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        answer = solved(client, "register")
        clock.shift(timedelta(minutes=10, seconds=1))
        answered = client.post_form("/register", FORM | {"altcha": answer})
        assert "too long ago" in answered.text


@pytest.mark.long
def test_a_solution_of_another_form_or_session_is_refused(app: Flask, client: Client) -> None:
    assert register(client, solved(client, "reset")) == 422
    assert register(client, solved(new_client(app), "register")) == 422


@pytest.mark.parametrize(
    "change",
    few(
        [
            {"expiresAt": 4102444800},
            {"data": {"action": "register", "sid": "0" * 32}},
            {"cost": 1},
            {"keyPrefix": ""},
            {"nonce": "00" * 16},
        ],
        3,
    ),
)
def test_a_changed_task_is_refused(client: Client, change: dict[str, Any]) -> None:
    payload = json.loads(base64.b64decode(solved(client, "register")))
    payload["challenge"]["parameters"] |= change
    forged = base64.b64encode(json.dumps(payload).encode()).decode()
    assert register(client, forged) == 422


def test_a_guessed_key_is_refused(client: Client) -> None:
    payload = json.loads(base64.b64decode(solved(client, "register")))
    payload["solution"] = {"counter": 7, "derivedKey": "00" * 32}
    forged = base64.b64encode(json.dumps(payload).encode()).decode()
    assert register(client, forged) == 422


def test_a_forgotten_password_asks_for_it(client: Client) -> None:
    assert "<altcha-widget" in client.get("/reset").text
    assert client.post_form("/reset", {"email": EMAIL}).status_code == 422
    form = {"email": EMAIL, "altcha": solved(client, "reset")}
    assert client.post_form("/reset", form).status_code == 303


def test_a_log_in_asks_after_three_wrong_passwords(app: Flask, client: Client) -> None:
    make_person()
    assert "<altcha-widget" not in client.get("/login").text
    assert [log_in(client, password="wrong") for _ in range(2)] == [422] * 2
    third = client.post_form("/login", {"email": EMAIL, "password": "wrong"})
    assert "<altcha-widget" in third.text
    assert "<altcha-widget" in new_client(app).get("/login").text
    assert log_in(client) == 422
    form = {"email": EMAIL, "password": PASSWORD, "altcha": solved(client, "login")}
    assert client.post_form("/login", form).location == "/dashboard"


@pytest.mark.long
def test_a_wrong_form_asks_for_a_new_task(client: Client) -> None:
    answer = solved(client, "register")
    form = FORM | {"password": "short", "altcha": answer}
    assert client.post_form("/register", form).status_code == 422
    assert register(client, answer) == 422
    assert register(client, solved(client, "register")) == 303


def test_staff_switch_it_off_and_make_it_harder(client: Client) -> None:
    choose("captcha_cost", "20000")
    assert client.get("/captcha/register").get_json()["parameters"]["cost"] == 20_000
    choose("captcha_provider", "off")
    assert "altcha" not in client.get("/register").text
    assert client.get("/captcha/register").status_code == 404
    assert register(client, "") == 303


@pytest.mark.parametrize("action", ["nothing", "..", "REGISTER"])
def test_there_is_no_task_for_other_forms(client: Client, action: str) -> None:
    assert client.get(f"/captcha/{action}").status_code == 404


def test_recaptcha_without_keys_is_altcha(client: Client) -> None:
    choose("captcha_provider", "recaptcha")
    assert captcha.provider() is Provider.ALTCHA
    assert "<altcha-widget" in client.get("/register").text


def test_recaptcha_shows_its_widget_and_asks_its_server(
    client: Client, with_captcha: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose("captcha_provider", "recaptcha")
    config = replace(current_config(), recaptcha_site_key="site-key", recaptcha_secret="s" * 20)
    use_config(config)
    page = client.get("/register")
    assert 'data-sitekey="site-key"' in page.text
    assert "s" * 20 not in page.text
    assert "https://www.google.com/recaptcha/" in page.headers["Content-Security-Policy"]
    assert "google" not in client.get("/login").headers["Content-Security-Policy"]
    asked: list[tuple[str, str, str]] = []

    def is_human(answer: str, secret: str, address: str) -> bool:
        asked.append((answer, secret, address))
        return answer == "a person"

    monkeypatch.setattr(recaptcha, "is_human", is_human)
    for answer, status in (("", 422), ("a program", 422), ("a person", 303)):
        form = FORM | {"g-recaptcha-response": answer}
        assert client.post_form("/register", form).status_code == status
    assert asked == [(one, "s" * 20, "127.0.0.1") for one in ("a program", "a person")]


@pytest.mark.long
def test_much_searching_in_the_help_asks_visitors_for_it(
    client: Client, login_as: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_gate, "EASY_SEARCHES", Limit("easy-searches", 2, 600))
    for _ in range(2):
        assert "<altcha-widget" not in client.get("/faq?q=grid").text
    page = client.get("/faq?q=grid").text
    assert "/captcha/search" in page and 'value="grid"' in page
    assert "answer found" not in page and "answers found" not in page
    # The shelves stay open to everybody, and people who are signed in search on.
    assert "<altcha-widget" not in client.get("/faq").text
    assert "<altcha-widget" not in login_as(make_person()).get("/faq?q=grid").text
    refused = client.post_form("/faq", {"q": "grid", "altcha": ""})
    assert (refused.status_code, "/captcha/search" in refused.text) == (422, True)
    done = client.post_form("/faq", {"q": "grid", "altcha": solved(client, "search")})
    assert (done.status_code, done.location) == (303, "/faq?q=grid")
    assert "<altcha-widget" not in client.get("/faq?q=grid").text
