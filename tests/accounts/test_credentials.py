"""A forgotten password, a new password, a new address."""

import re
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from app.accounts import credentials, passwords, queries, session_store
from app.accounts.emails import masked
from app.accounts.models import AuditEntry, OneTimeCode, Role, User
from app.db import db, utc_now
from app.errors import InvalidInput
from app.transactions import transaction
from tests.accounts.people import (
    EMAIL,
    PASSWORD,
    cookie_of,
    is_signed_in,
    log_in,
    mails,
    make_person,
    newest_code,
    work_off,
)
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client
from tests.long import few

NEW = "an umbrella for the moon"
OTHER_EMAIL = "new-ada@example.org"


def ask(client: Client, email: str = EMAIL) -> int:
    return client.post_form("/reset", {"email": email}).status_code


def link_code() -> str:
    """Return the code of the newest mail's link."""
    found = re.search(r"/reset/new#(\S+)", mails()[0].body)
    assert found is not None
    return found.group(1)


def mailed_code(client: Client) -> str:
    ask(client)
    work_off()
    return link_code()


def reset(client: Client, code: str, password: str = NEW) -> int:
    return client.post_form("/reset/new", {"code": code, "password": password}).status_code


def actions() -> list[str]:
    return list(db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


# Forgotten --------------------------------------------------------------------------------------


def test_the_mailed_link_changes_the_password_and_ends_all_sessions(
    app: Flask, client: Client
) -> None:
    make_person()
    other = new_client(app)
    log_in(other)
    copied = cookie_of(other)
    assert copied
    assert reset(client, mailed_code(client)) == 303
    assert not is_signed_in(other)
    thief = new_client(app)
    thief.set_cookie("session", copied)
    assert not is_signed_in(thief)
    assert log_in(new_client(app), password=PASSWORD) == 422
    assert log_in(new_client(app), password=NEW) == 303
    assert mails()[0].template == "password_changed"
    assert "accounts.password_reset" in actions()


def test_a_reset_does_not_sign_in(client: Client) -> None:
    make_person()
    answer = client.post_form("/reset/new", {"code": mailed_code(client), "password": NEW})
    assert answer.location == "/login"
    assert not is_signed_in(client)


def test_a_link_works_once(client: Client) -> None:
    make_person()
    code = mailed_code(client)
    assert reset(client, code) == 303
    assert reset(client, code, "another one of the lamps") == 422
    assert log_in(client, password=NEW) == 303


def test_of_parallel_uses_of_a_link_one_succeeds(app: Flask, client: Client) -> None:
    make_person()
    code = mailed_code(client)

    def use(number: int) -> bool:
        try:
            with transaction():
                credentials.reset_password(code, f"{NEW} {number}", "10.0.0.1")
        except InvalidInput:
            return False
        return True

    assert sum(at_once(app, 6, use)) == 1


def test_one_used_link_ends_the_others(client: Client) -> None:
    user = make_person()
    codes = []
    for _ in range(2):
        with transaction():
            credentials.mail_reset_link(user.id)
        codes.append(link_code())
    assert reset(client, codes[0]) == 303
    assert reset(client, codes[1]) == 422


def test_a_link_dies_after_ten_minutes(client: Client) -> None:
    make_person()
    with time_machine.travel(utc_now(), tick=False) as clock:
        code = mailed_code(client)
        clock.shift(timedelta(minutes=10, seconds=1))
        assert reset(client, code) == 422
    assert log_in(client, password=PASSWORD) == 303


def test_a_bad_password_does_not_use_the_link_up(client: Client) -> None:
    make_person()
    code = mailed_code(client)
    for bad in ("short", "password123", EMAIL, "x" * 300, ""):
        assert reset(client, code, bad) == 422
    assert reset(client, code) == 303


@pytest.mark.parametrize(
    "code",
    few(
        ["", "x", "1", "1-", "-1-abc", "\0", "😀", "9" * 18 + "-" + "a" * 43, "1" * 99, "x" * 9999],
        4,
    ),
)
def test_what_is_no_code_of_a_link_is_refused(client: Client, code: str) -> None:
    make_person()
    mailed_code(client)
    assert reset(client, code) == 422
    assert log_in(client, password=PASSWORD) == 303


def test_wrong_guesses_do_not_use_somebodys_link_up(client: Client) -> None:
    make_person()
    code = mailed_code(client)
    number = code.split("-")[0]
    for _ in range(10):
        assert reset(client, f"{number}-{'a' * 43}") == 422
    assert reset(client, code) == 303


def test_a_code_for_something_else_does_not_reset(client: Client) -> None:
    user = make_person()
    with transaction():
        change = credentials.ask_new_email(user.id, OTHER_EMAIL, PASSWORD)
    assert reset(client, f"{change.code_id}-{newest_code()}") == 422


def test_known_unknown_and_blocked_addresses_get_the_same_answer(
    app: Flask, client: Client
) -> None:
    make_person()
    make_person(email="blocked@example.org").blocked_at = utc_now()
    db.session.commit()
    answers = []
    for email in (EMAIL, "nobody@example.org", "blocked@example.org"):
        one = new_client(app)
        answer = one.post_form("/reset", {"email": email})
        answers.append((answer.status_code, answer.location))
        work = work_off()
        assert work == ["app.accounts.jobs.mail_reset_link"]
    assert set(answers) == {(303, "/reset/asked")}
    assert [mail.recipient for mail in mails()] == [EMAIL]


def test_the_request_does_the_same_work_for_known_and_unknown(client: Client) -> None:
    """What differs is left to a worker, so that the time of the answer tells nothing."""
    make_person()
    for email in (EMAIL, "nobody@example.org"):
        ask(client, email)
    assert mails() == []
    assert db.session.scalar(select(func.count(OneTimeCode.id))) == 0


@pytest.mark.parametrize("email", ["", "x", "a@b", "\0@example.org", "😀@example.org", "a" * 400])
def test_what_is_no_address_is_refused_by_name(client: Client, email: str) -> None:
    answer = client.post_form("/reset", {"email": email})
    assert answer.status_code == 422
    assert 'href="#email"' in answer.text


def test_nobodys_mailbox_is_filled(client: Client) -> None:
    make_person()
    for _ in range(9):
        assert ask(client) == 303
        work_off()
    assert len(mails()) == 5


def test_asking_ends_no_session_and_changes_nothing(client: Client) -> None:
    make_person()
    log_in(client)
    mailed_code(client)
    assert is_signed_in(client)


def test_a_reset_proves_the_address(client: Client) -> None:
    make_person(confirmed=False)
    reset(client, mailed_code(client))
    assert db.session.scalars(select(User)).one().is_confirmed


def test_a_password_that_somebody_prepared_is_gone_after_a_reset(
    app: Flask, client: Client
) -> None:
    """A waiting registration code must not bring a stranger's password back."""
    client.post_form("/register", {"email": EMAIL, "password": "the password of a stranger"})
    registration = newest_code()
    owner = new_client(app)
    assert reset(owner, mailed_code(owner)) == 303
    assert client.post_form("/confirm", {"code": registration}).status_code == 422
    assert log_in(owner, password=NEW) == 303


def test_an_owner_held_up_by_a_guesser_gets_in_by_reset(client: Client) -> None:
    make_person()
    for _ in range(11):
        log_in(client, password="wrong password")
    assert log_in(client, password=PASSWORD) == 429
    assert reset(client, mailed_code(client)) == 303
    assert log_in(client, password=NEW) == 303


def test_the_code_stands_in_no_address_of_the_server(client: Client) -> None:
    """The part after # stays in the browser; no answer leads to an address with it."""
    make_person()
    code = mailed_code(client)
    answer = client.post_form("/reset/new", {"code": code, "password": NEW})
    assert code not in str(answer.headers)
    assert client.get("/reset/new").headers["Referrer-Policy"] == "no-referrer"


def test_the_mail_speaks_the_readers_language(client: Client) -> None:
    user = make_person()
    user.profile.language = "ru"
    db.session.commit()
    ask(client)
    work_off()
    assert mails()[0].language == "ru"


# Changed ----------------------------------------------------------------------------------------


def change(client: Client, current: str = PASSWORD, password: str = NEW) -> int:
    form = {"current": current, "password": password}
    return client.post_form("/settings/password", form).status_code


def test_changing_the_password_signs_the_other_devices_out(app: Flask, client: Client) -> None:
    make_person()
    other = new_client(app)
    log_in(other)
    log_in(client)
    before = cookie_of(client)
    assert change(client) == 303
    assert is_signed_in(client)
    assert cookie_of(client) != before
    assert not is_signed_in(other)
    assert mails()[0].template == "password_changed"
    assert log_in(new_client(app), password=PASSWORD) == 422
    assert log_in(new_client(app), password=NEW) == 303


def test_the_present_password_is_asked(client: Client) -> None:
    make_person()
    log_in(client)
    answer = client.post_form("/settings/password", {"current": "wrong", "password": NEW})
    assert answer.status_code == 422
    assert 'href="#current"' in answer.text
    assert log_in(client, password=PASSWORD) == 303


def test_the_present_password_is_not_to_be_guessed(client: Client) -> None:
    make_person()
    log_in(client)
    assert [change(client, "wrong") for _ in range(11)] == [422] * 11
    assert change(client) == 422
    assert log_in(new_client(client.application), password=PASSWORD) == 303


@pytest.mark.parametrize(
    "bad", few(["", "short", "password123", EMAIL, "12345678", "x" * 257, "\0"], 3)
)
def test_a_bad_new_password_is_refused(client: Client, bad: str) -> None:
    make_person()
    log_in(client)
    assert change(client, password=bad) == 422
    assert is_signed_in(client)


def test_a_new_password_ends_waiting_links(client: Client) -> None:
    make_person()
    code = mailed_code(client)
    log_in(client)
    change(client)
    assert reset(client, code, "another one of the lamps") == 422


def test_sessions_end_even_if_redis_did_not_hear_of_it(client: Client) -> None:
    user = make_person()
    log_in(client)
    user.sessions_from = utc_now()
    db.session.commit()
    assert not is_signed_in(client)
    assert log_in(client) == 303
    assert is_signed_in(client)


# Moved ------------------------------------------------------------------------------------------


def ask_move(client: Client, email: str = OTHER_EMAIL, password: str = PASSWORD) -> int:
    form = {"email": email, "password": password}
    return client.post_form("/settings/email", form).status_code


def confirm_move(client: Client, code: str) -> int:
    return client.post_form("/settings/email/confirm", {"code": code}).status_code


def test_an_account_moves_to_another_address(app: Flask, client: Client) -> None:
    user = make_person()
    other = new_client(app)
    log_in(other)
    log_in(client)
    assert ask_move(client) == 303
    assert queries.user_by_id(user.id).email == EMAIL
    assert [(mail.template, mail.recipient) for mail in mails()] == [
        ("confirm_new_email", OTHER_EMAIL),
        ("email_change_asked", EMAIL),
    ]
    assert confirm_move(client, newest_code()) == 303
    db.session.expire_all()
    assert queries.user_by_id(user.id).email == OTHER_EMAIL
    assert {(mail.template, mail.recipient) for mail in mails()[:2]} == {
        ("email_changed", OTHER_EMAIL),
        ("email_changed", EMAIL),
    }
    assert is_signed_in(client)
    assert not is_signed_in(other)
    assert log_in(new_client(app), EMAIL) == 422
    assert log_in(new_client(app), OTHER_EMAIL) == 303
    entry = db.session.scalars(
        select(AuditEntry).where(AuditEntry.action == "accounts.email_changed")
    ).one()
    # Only as much as may stay for good.
    assert (entry.before, entry.after) == ({"email": masked(EMAIL)}, {"email": masked(OTHER_EMAIL)})


def test_moving_asks_for_the_password(client: Client) -> None:
    make_person()
    log_in(client)
    assert ask_move(client, password="wrong") == 422
    assert mails() == []


def test_an_address_of_somebody_else_gets_the_same_answer_and_no_code(
    app: Flask, client: Client
) -> None:
    make_person()
    make_person(email=OTHER_EMAIL)
    log_in(client)
    assert ask_move(client) == 303
    assert [mail.template for mail in mails()] == ["address_in_use", "email_change_asked"]
    known = client.get("/settings/email/confirm")
    assert ask_move(client, "third@example.org") == 303
    unknown = client.get("/settings/email/confirm")
    assert known.status_code == unknown.status_code == 200
    assert OTHER_EMAIL in known.text
    assert ask_move(client) == 303
    assert confirm_move(client, "123456") == 422


def test_an_address_that_is_taken_meanwhile_is_refused(client: Client) -> None:
    user = make_person()
    log_in(client)
    ask_move(client)
    code = newest_code()
    make_person(email=OTHER_EMAIL)
    answer = client.post_form("/settings/email/confirm", {"code": code})
    assert answer.status_code == 422
    db.session.expire_all()
    assert queries.user_by_id(user.id).email == EMAIL


def test_the_sixth_try_of_a_code_is_refused(client: Client) -> None:
    user = make_person()
    log_in(client)
    ask_move(client)
    code = newest_code()
    wrong = "000000" if code != "000000" else "111111"
    for _ in range(5):
        assert confirm_move(client, wrong) == 422
    assert confirm_move(client, code) == 422
    assert queries.user_by_id(user.id).email == EMAIL


def test_another_persons_code_does_not_fit(app: Flask, client: Client) -> None:
    user, eve = make_person(), make_person(email="eve@example.org")
    with transaction():
        change = credentials.ask_new_email(user.id, OTHER_EMAIL, PASSWORD)
    with transaction():
        assert credentials.confirm_new_email(eve.id, change, newest_code(), "10.0.0.1") is None
    assert queries.user_by_id(eve.id).email == "eve@example.org"


@pytest.mark.parametrize("email", ["", "x", EMAIL, EMAIL.upper(), "\0", "a@" + "b" * 300 + ".org"])
def test_what_can_not_be_a_new_address_is_refused(client: Client, email: str) -> None:
    make_person()
    log_in(client)
    assert ask_move(client, email) == 422
    assert mails() == []


def test_a_link_to_the_old_mailbox_dies_with_the_move(client: Client) -> None:
    make_person()
    code = mailed_code(client)
    log_in(client)
    ask_move(client)
    confirm_move(client, newest_code())
    client.post_form("/logout")
    assert reset(client, code) == 422


def test_the_confirm_page_without_a_change_leads_back(client: Client) -> None:
    make_person(Role.CUSTOMER)
    log_in(client)
    assert client.get("/settings/email/confirm").location == "/settings/email"


def test_the_new_password_is_hashed_as_all_are(client: Client, real_hashes: None) -> None:
    user = make_person()
    with transaction():
        credentials.change_password(user.id, PASSWORD, NEW, "10.0.0.1")
    assert passwords.is_outdated(user.password_hash) is False
    assert session_store.list_sessions(user.id) == []
