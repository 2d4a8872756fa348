"""Rules for new passwords, and their hashes."""

import pytest
from argon2 import PasswordHasher, extract_parameters
from flask import Flask
from sqlalchemy import select

from app.accounts import passwords, service
from app.accounts.models import User
from app.adapters import breached
from app.db import db
from app.errors import InvalidInput
from app.settings import service as settings
from app.settings.rules import PASSWORD_LOOK_UP
from app.transactions import transaction
from tests.accounts.people import EMAIL, PASSWORD, log_in, mails, make_person, work_off
from tests.client import Client

BREACHED = "lamps that leaked in March"


def refused(password: str, email: str = EMAIL) -> str | None:
    try:
        passwords.check_new_password(password, email)
    except InvalidInput as error:
        assert error.field == "password"
        return error.code
    return None


@pytest.mark.parametrize(
    "password",
    [
        "gK8$wq!z",
        "correct horse battery staple",
        "seven crows fly north",
        "семь ворон летят на юг",
        "😀😃😄😁🚀🪐🦊🐙",
        "x" * 20 + "y" * 20 + "zw\0 and more",
        "four lamps " * 20,
    ],
)
def test_good_passwords_pass_unmodified(password: str) -> None:
    assert refused(password) is None
    assert passwords.matches(passwords.hash_password(password), password)
    assert not passwords.matches(passwords.hash_password(password), password + " ")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password_too_short"),
        ("7 chars", "password_too_short"),
        ("x1" * 129, "password_too_long"),
        ("ada lovel\ud800", "password_not_text"),
        ("password", "password_common"),
        ("Password1", "password_common"),
        ("P@ssw0rd2031!", "password_common"),
        ("qwertyuiop", "password_common"),
        ("1q2w3e4r", "password_common"),
        ("12345678", "password_common"),
        ("aaaaaaaaaaaa", "password_common"),
        ("abababababab", "password_common"),
        ("abcdefghijkl", "password_common"),
        ("dragondragon", "password_common"),
        ("Summer2027!", "password_common"),
        ("пароль123", "password_common"),
        ("ghbdtn123", "password_common"),
        (EMAIL, "password_common"),
    ],
)
def test_bad_passwords_are_refused_with_the_reason(password: str, code: str) -> None:
    assert refused(password) == code


def test_the_own_name_is_no_password() -> None:
    assert refused("lovelace1815", "lovelace@example.org") == "password_common"
    assert refused("ada lives in this sentence", "ada@example.org") is None


def test_every_listed_password_that_is_long_enough_is_refused() -> None:
    listed = [word for word in passwords._common() if len(word) >= passwords.MIN_LENGTH]
    assert len(listed) >= 3000
    assert [word for word in listed if refused(word, "somebody@example.org") is None] == []


def test_hashes_are_at_least_as_strong_as_the_standard_asks(real_hashes: None) -> None:
    parameters = extract_parameters(passwords.hash_password(PASSWORD))
    assert parameters.type.name == "ID"
    assert parameters.time_cost >= 3
    assert parameters.memory_cost >= 12 * 1024


@pytest.mark.long
def test_a_weaker_hash_is_renewed_at_the_next_log_in(
    app: Flask, database: None, real_hashes: None
) -> None:
    user = make_person()
    user.password_hash = PasswordHasher(time_cost=1, memory_cost=8192).hash(PASSWORD)
    weak = user.password_hash
    with transaction():
        service.authenticate(EMAIL, PASSWORD, "10.0.0.1")
    stored = db.session.scalars(select(User.password_hash)).one()
    assert stored != weak
    assert not passwords.is_outdated(stored)
    assert passwords.matches(stored, PASSWORD)


def test_a_damaged_hash_matches_nothing() -> None:
    assert not passwords.matches("!", PASSWORD)
    assert not passwords.matches("", "")


@pytest.mark.parametrize("is_on", [False, True])
def test_a_breached_password_is_refused_where_one_is_chosen_if_staff_want_that(
    client: Client, monkeypatch: pytest.MonkeyPatch, is_on: bool
) -> None:
    asked: list[str] = []

    def is_known(password: str) -> bool:
        asked.append(password)
        return password == BREACHED

    monkeypatch.setattr(breached, "is_known", is_known)
    with transaction():
        settings.change(PASSWORD_LOOK_UP.name, is_on)
    form = {"email": "new@example.org", "password": BREACHED}
    registered = client.post_form("/register", form)
    make_person()
    client.post_form("/reset", {"email": EMAIL})
    work_off()
    code = mails()[0].body.split("#")[1].split()[0]
    reset = client.post_form("/reset/new", {"code": code, "password": BREACHED})
    log_in(client, EMAIL, PASSWORD if is_on else BREACHED)
    present = PASSWORD if is_on else BREACHED
    chosen = BREACHED if is_on else "something else entirely"
    changed = client.post_form("/settings/password", {"current": present, "password": chosen})
    answers = [registered, reset, changed]
    assert [answer.status_code for answer in answers] == [422 if is_on else 303] * 3
    assert all(("breach of another site" in answer.text) is is_on for answer in answers)
    assert asked == ([BREACHED] * 3 if is_on else [])
    if is_on:
        client.post_form("/logout")
        form["password"] = "a word that nobody has lost"
        assert client.post_form("/register", form).status_code == 303


@pytest.mark.usefixtures("real_hashes")
def test_a_stronger_hash_stays_and_a_weaker_or_foreign_one_is_renewed() -> None:
    stronger = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
    weaker = PasswordHasher(time_cost=3, memory_cost=12 * 1024, parallelism=1)
    assert not passwords.is_outdated(stronger.hash(PASSWORD))
    assert passwords.is_outdated(weaker.hash(PASSWORD))
    assert passwords.is_outdated("$2b$12$nothing-of-ours")
    assert passwords.is_outdated("$argon2i$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaGhhc2g")
