"""Registration and the mailed code."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.accounts import codes, service
from app.accounts.models import OneTimeCode, Profile, User
from app.accounts.service import Attempt, NewPerson
from app.db import db, utc_now
from app.errors import InvalidInput, TooManyTries
from app.transactions import transaction
from tests.accounts.hashing import CountingHasher
from tests.accounts.people import (
    EMAIL,
    PASSWORD,
    is_signed_in,
    log_in,
    mails,
    make_person,
    newest_code,
)
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client

FORM = {"email": EMAIL, "password": PASSWORD, "timezone": "Europe/Moscow"}
OTHER_PASSWORD = "a quite other sentence"


def count(model: type[User] | type[Profile] | type[OneTimeCode]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def register(password: str = PASSWORD, email: str = EMAIL) -> Attempt:
    with transaction():
        return service.register(NewPerson(email=email, password=password))


def confirm(attempt: Attempt, digits: str) -> User | None:
    with transaction():
        return service.confirm(attempt, digits)


def test_registering_makes_user_and_profile_with_a_hash_only(
    client: Client, real_hashes: None
) -> None:
    answer = client.post_form("/register", FORM)
    assert (answer.status_code, answer.location) == (303, "/confirm")
    user = db.session.scalars(select(User)).one()
    assert user.password_hash.startswith("$argon2id$v=19$m=32768,t=3,p=1$")
    assert not user.is_confirmed
    assert (user.profile.timezone, user.profile.language) == ("Europe/Moscow", "en")


def test_a_failing_profile_leaves_no_user(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no profile today")

    monkeypatch.setattr(service, "Profile", fail)
    with pytest.raises(RuntimeError, match="no profile"):
        register()
    assert count(User) == 0


def test_the_code_signs_in_and_leads_to_the_dashboard(client: Client) -> None:
    client.post_form("/register", FORM)
    answer = client.post_form("/confirm", {"code": newest_code()})
    assert (answer.status_code, answer.location) == (303, "/dashboard")
    assert is_signed_in(client)
    assert db.session.scalars(select(User)).one().is_confirmed


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/subscribe/pro?period=year", "/subscribe/pro?period=year"),
        ("//evil.example", "/dashboard"),
    ],
)
def test_who_registers_comes_back_to_what_they_wanted(
    client: Client, wanted: str, reached: str
) -> None:
    page = client.get("/register", query_string={"next": wanted}).text
    [log_in_link] = re.findall(r'href="(/login\?[^"]*)"', page)
    assert parse_qs(urlsplit(log_in_link).query)["next"] == [wanted]
    answer = client.post_form(f"/register?{urlencode({'next': wanted})}", FORM)
    assert answer.status_code == 303 and urlsplit(answer.location).path == "/confirm"
    again = client.post_form(f"/confirm/resend?{urlsplit(answer.location).query}")
    assert again.location == answer.location
    arrived = client.post_form(answer.location, {"code": newest_code()})
    assert (arrived.status_code, arrived.location) == (303, reached)


def test_sending_the_right_code_twice_leads_to_the_dashboard_twice(client: Client) -> None:
    client.post_form("/register", FORM)
    digits = newest_code()
    assert client.post_form("/confirm", {"code": digits}).location == "/dashboard"
    assert client.post_form("/confirm", {"code": digits}).location == "/dashboard"


def test_the_mail_speaks_the_readers_language(client: Client) -> None:
    client.set_cookie("language", "pt_BR")
    client.post_form("/register", FORM)
    assert mails()[0].language == "pt_BR"
    assert db.session.scalars(select(User)).one().language == "pt_BR"


def test_a_known_address_sees_the_same_page_and_makes_no_row(app: Flask, client: Client) -> None:
    make_person()
    unknown = client.post_form("/register", FORM | {"email": "new@example.org"})
    page_of_unknown = client.get("/confirm").text.replace("new@example.org", EMAIL)
    other = new_client(app)
    known = other.post_form("/register", FORM)
    page_of_known = other.get("/confirm").text
    assert (known.status_code, known.location) == (unknown.status_code, unknown.location)
    assert same_page(page_of_known) == same_page(page_of_unknown)
    assert count(User) == 2
    assert {mail.template for mail in mails()} == {"already_registered", "confirm_email"}


def same_page(html: str) -> str:
    """Return a page without what differs in each answer: tokens and nonces."""
    lines = html.splitlines()
    return "\n".join(line for line in lines if "csrf" not in line and "nonce" not in line)


def test_known_and_unknown_addresses_cost_the_same_work(
    database: None, counting_hashes: CountingHasher
) -> None:
    make_person()
    for email in (EMAIL, "new@example.org"):
        before, mailed = counting_hashes.work, len(mails())
        register(email=email)
        assert counting_hashes.work - before == 1
        assert len(mails()) - mailed == 1


def test_no_code_ever_fits_a_known_address(client: Client, app: Flask) -> None:
    make_person()
    client.post_form("/register", FORM)
    wrong_for_known = client.post_form("/confirm", {"code": "123456"})
    other = new_client(app)
    other.post_form("/register", FORM | {"email": "new@example.org"})
    wrong_for_unknown = other.post_form("/confirm", {"code": "000000"})
    assert wrong_for_known.status_code == wrong_for_unknown.status_code == 422
    assert "does not fit" in wrong_for_known.text
    assert "does not fit" in wrong_for_unknown.text


@pytest.mark.parametrize(
    "email",
    [
        "",
        "x",
        "a@b",
        "a b@example.org",
        "a@example.org\0",
        "😀@example.org",
        "a@" + "x" * 300 + ".org",
    ],
)
def test_what_is_no_address_is_refused_by_name(client: Client, email: str) -> None:
    answer = client.post_form("/register", FORM | {"email": email})
    assert answer.status_code == 422
    assert 'href="#email"' in answer.text
    assert count(User) == 0


def test_one_address_in_other_letters_is_one_account(database: None) -> None:
    register()
    register(email=EMAIL.upper())
    assert count(User) == 1


def test_parallel_registrations_of_one_address_make_one_user(app: Flask, database: None) -> None:
    attempts = at_once(app, 4, lambda _: register())
    assert count(User) == count(Profile) == 1
    assert all(attempt.email == EMAIL for attempt in attempts)


def test_a_code_works_once(database: None) -> None:
    attempt = register()
    digits = newest_code()
    assert confirm(attempt, digits) is not None
    assert confirm(attempt, digits) is None


def test_parallel_uses_of_one_code_have_one_success(app: Flask, database: None) -> None:
    attempt = register()
    digits = newest_code()
    outcomes = at_once(app, 8, lambda _: confirm(attempt, digits) is not None)
    assert sorted(outcomes) == [False] * 7 + [True]


def test_the_sixth_try_is_refused_even_with_the_right_code(database: None) -> None:
    attempt = register()
    digits = newest_code()
    wrong = "000000" if digits != "000000" else "111111"
    for _ in range(codes.MAX_TRIES):
        assert confirm(attempt, wrong) is None
    assert confirm(attempt, digits) is None


def test_parallel_guesses_have_five_tries_together(app: Flask, database: None) -> None:
    attempt = register()
    wrong = "000000" if newest_code() != "000000" else "111111"
    at_once(app, 12, lambda _: confirm(attempt, wrong))
    assert db.session.scalars(select(OneTimeCode)).one().tries == codes.MAX_TRIES


def test_a_code_dies_after_ten_minutes(database: None) -> None:
    attempt = register()
    digits = newest_code()
    row = db.session.scalars(select(OneTimeCode)).one()
    assert row.expires_at - utc_now() <= timedelta(minutes=10)
    row.expires_at = utc_now()
    db.session.commit()
    assert confirm(attempt, digits) is None


def test_a_code_fits_only_its_own_row(database: None) -> None:
    first = register()
    first_digits = newest_code()
    second = register(email="bob@example.org")
    if first_digits != newest_code():
        assert confirm(Attempt(EMAIL, second.code_id), first_digits) is None
    assert confirm(first, first_digits) is not None


def test_only_a_hash_of_the_code_is_stored(database: None) -> None:
    register()
    row = db.session.scalars(select(OneTimeCode)).one()
    assert newest_code() not in row.code_hash
    assert len(row.code_hash) == 64


@pytest.mark.parametrize("code", ["", "12345", "😀😀😀", "\0", "9" * 1000, "١٢٣٤٥٦"])
def test_absurd_codes_are_wrong_codes(client: Client, code: str) -> None:
    client.post_form("/register", FORM)
    assert client.post_form("/confirm", {"code": code}).status_code == 422


def test_nobody_prepares_an_account_for_somebody_else(database: None) -> None:
    """The code confirms the password typed with it, not the one of an earlier stranger."""
    register(password=OTHER_PASSWORD)
    owner = register()
    assert confirm(owner, newest_code()) is not None
    with transaction():
        assert service.authenticate(EMAIL, PASSWORD, "10.0.0.1")[0].email == EMAIL
    with pytest.raises(InvalidInput), transaction():
        service.authenticate(EMAIL, OTHER_PASSWORD, "10.0.0.1")


def test_a_later_stranger_does_not_change_what_the_owners_code_confirms(database: None) -> None:
    owner = register()
    digits = newest_code()
    register(password=OTHER_PASSWORD)
    assert confirm(owner, digits) is not None
    with transaction():
        assert service.authenticate(EMAIL, PASSWORD, "10.0.0.1")[0].email == EMAIL


def test_a_stranger_who_was_logged_in_is_out_after_the_owner_confirms(
    app: Flask, client: Client
) -> None:
    stranger = new_client(app)
    stranger.post_form("/register", FORM | {"password": OTHER_PASSWORD})
    assert log_in(stranger, password=OTHER_PASSWORD) == 303
    assert is_signed_in(stranger)
    client.post_form("/register", FORM)
    client.post_form("/confirm", {"code": newest_code()})
    assert is_signed_in(client)
    assert not is_signed_in(stranger)


def test_a_new_code_waits_a_minute(database: None) -> None:
    attempt = register()
    with pytest.raises(TooManyTries) as refused, transaction():
        service.send_code(attempt)
    assert 0 < refused.value.values["retry_after"] <= 60


def test_a_new_code_works_and_keeps_the_password(database: None, redis_db: object) -> None:
    attempt = register()
    forget_pauses()
    with transaction():
        attempt = service.send_code(attempt)
    assert len(mails()) == 2
    assert confirm(attempt, newest_code()) is not None
    with transaction():
        service.authenticate(EMAIL, PASSWORD, "10.0.0.1")


def test_at_most_five_codes_an_hour(database: None) -> None:
    attempt = register()
    for _ in range(5):
        forget_pauses()
        with transaction():
            attempt = service.send_code(attempt)
    forget_pauses()
    with pytest.raises(TooManyTries), transaction():
        service.send_code(attempt)


def forget_pauses() -> None:
    from app.accounts import limits

    limits.forget(limits.RESEND, EMAIL)


def test_a_mailbox_is_not_filled_by_registrations(database: None) -> None:
    make_person()
    for _ in range(8):
        register()
    assert len(mails()) == 5


def test_an_unconfirmed_person_logs_in_and_sees_the_banner(client: Client) -> None:
    make_person(confirmed=False)
    assert log_in(client) == 303
    assert "not confirmed yet" in client.get("/settings").text


def test_an_unconfirmed_person_confirms_after_logging_in(client: Client) -> None:
    make_person(confirmed=False)
    log_in(client)
    assert "Send the code" in client.get("/confirm").text
    assert client.post_form("/confirm/resend").location == "/confirm"
    answer = client.post_form("/confirm", {"code": newest_code()})
    assert answer.location == "/dashboard"
    assert "not confirmed yet" not in client.get("/settings").text


def test_the_confirm_page_without_registration_leads_to_the_log_in(client: Client) -> None:
    assert client.get("/confirm").location == "/login"
    assert client.post_form("/confirm/resend").location == "/login"
