"""Passkeys: adding, the three uses, every refusal with the same answer, and the last factor."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select
from webauthn.helpers import base64url_to_bytes
from werkzeug.test import TestResponse

from app.accounts import second_factor, session_store
from app.accounts.access import PROOF_SECONDS
from app.accounts.models import AuditEntry, RecoveryCode, Role, User
from app.accounts.passkeys import ceremony, challenges
from app.accounts.passkeys.challenges import Purpose
from app.accounts.passkeys.models import Passkey
from app.accounts.passkeys.party import Party, party_of
from app.config import Config, current_config, use_config
from app.db import db, utc_now
from tests.accounts.authenticator import Authenticator, options_of
from tests.accounts.people import (
    EMAIL,
    PASSWORD,
    app_code,
    cookie_of,
    is_signed_in,
    log_in,
    mails,
    make_person,
    turn_factor_on,
)
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_account
from tests.long import few

PAGE = "/settings/passkeys"
RECOVERY = re.compile(r"\b(?:[A-Z2-9]{6}-){3}[A-Z2-9]{6}\b")
PAST_PROOF = timedelta(seconds=PROOF_SECONDS + 1)
Login = Callable[[User], Client]


@pytest.fixture
def noon() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False) as clock:
        yield clock


def add(client: Client, device: Authenticator, name: str = "phone") -> TestResponse:
    return device.add_to(client, name)


def with_passkey(user: User, login_as: Login) -> Authenticator:
    """Give a person a passkey through the pages."""
    device = Authenticator()
    assert add(login_as(user), device).status_code in {200, 303}
    return device


def actions() -> list[str]:
    return list(db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


# Adding -----------------------------------------------------------------------------------------


def test_a_person_adds_a_passkey_and_gets_recovery_codes_once(client: Client) -> None:
    user = make_person()
    log_in(client)
    answer = add(client, Authenticator(), "phone")
    assert answer.status_code == 200
    assert len(set(RECOVERY.findall(answer.text))) == 10
    assert "phone" in answer.text
    assert add(client, Authenticator(), "key").location == PAGE
    assert [mail.template for mail in mails()] == ["passkey_added", "passkey_added"]
    assert "phone" in mails()[1].body
    assert actions().count("accounts.passkey_added") == 2
    assert second_factor.standing(user.id).passkeys == 2
    page = client.get(PAGE).text
    assert "phone" in page and "key" in page and not RECOVERY.search(page)


def test_adding_asks_for_a_fresh_proof(login_as: Login, noon: time_machine.Traveller) -> None:
    client = login_as(make_person())
    noon.shift(PAST_PROOF)
    assert client.get(f"{PAGE}/new").location == "/prove?next=/settings/passkeys/new"
    assert client.post_form(f"{PAGE}/new", {"name": "x"}).location.startswith("/prove")
    assert client.post_form(f"{PAGE}/new/options").location.startswith("/prove")


def test_a_session_older_than_the_factor_proves_itself_with_it(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    """Whoever got in by the password alone must not add a factor of their own afterwards."""
    user = make_person()
    log_in(client)
    secret = turn_factor_on(user)
    assert client.get(f"{PAGE}/new").location.startswith("/prove")
    assert client.post_form("/settings/second-factor/codes").location.startswith("/prove")
    client.post_form("/prove", {"password": PASSWORD, "code": app_code(secret)})
    assert client.get(f"{PAGE}/new").status_code == 200


def test_the_options_keep_the_person_unnamed_and_leave_known_devices_out(client: Client) -> None:
    make_person()
    log_in(client)
    first = options_of(client, f"{PAGE}/new/options")
    assert first["rp"]["id"] == "localhost"
    assert first["authenticatorSelection"]["userVerification"] == "preferred"
    assert first["authenticatorSelection"]["residentKey"] == "required"
    assert first["excludeCredentials"] == []
    assert len(base64url_to_bytes(first["user"]["id"])) == 32
    device = Authenticator()
    add(client, device)
    second = options_of(client, f"{PAGE}/new/options")
    assert second["user"]["id"] == first["user"]["id"] == device.handle
    assert len(second["excludeCredentials"]) == 1


@pytest.mark.parametrize("name", few(["", "  ", "x" * 61, "a\u202eb", "\0", "\u200b"], 3))
def test_a_name_must_be_readable(client: Client, name: str) -> None:
    make_person()
    log_in(client)
    assert add(client, Authenticator(), name).status_code == 422
    assert db.session.scalars(select(Passkey)).all() == []


def test_an_unconfirmed_person_confirms_the_address_first(client: Client) -> None:
    make_person(confirmed=False)
    log_in(client)
    answer = client.post_form(f"{PAGE}/new/options", headers={"Accept": "application/json"})
    assert answer.status_code == 403


def test_a_passkey_belongs_to_one_person(client: Client, app: Flask) -> None:
    make_person()
    make_person(email="eve@example.org")
    device = Authenticator()
    log_in(client)
    add(client, device)
    eve = new_client(app)
    log_in(eve, "eve@example.org")
    assert add(eve, replace(device)).status_code == 422
    assert add(client, replace(device)).status_code == 422
    assert len(db.session.scalars(select(Passkey)).all()) == 1


def test_there_is_an_end_to_their_number(client: Client) -> None:
    user = make_person()
    log_in(client)
    db.session.add_all(row(user.id, str(number)) for number in range(20))
    db.session.commit()
    client.sign_in(user)
    answer = client.post_form(f"{PAGE}/new/options", headers={"Accept": "application/json"})
    assert answer.status_code == 409


def row(user_id: int, name: str) -> Passkey:
    return Passkey(
        user_id=user_id, name=name, credential_id=f"id-{name}", public_key="x", user_handle="h",
        rp_id="localhost",
    )  # fmt: skip


@pytest.mark.parametrize(
    "bent",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:81"},
        {"rp_id": "evil.example"},
        {"present": False},
        {"kind": "webauthn.get"},
    ],
)
def test_a_bent_creation_is_refused(client: Client, bent: dict[str, Any]) -> None:
    make_person()
    log_in(client)
    answer = add(client, replace(Authenticator(), **bent))
    assert answer.status_code == 422
    assert "was not taken" in answer.text
    assert db.session.scalars(select(Passkey)).all() == []


def test_a_challenge_adds_one_passkey(client: Client) -> None:
    make_person()
    log_in(client)
    asked = options_of(client, f"{PAGE}/new/options")
    for status in (200, 422):
        form = {"name": "x", "credential": Authenticator().create(asked)}
        assert client.post_form(f"{PAGE}/new", form).status_code == status


GARBAGE = [
    "", "x", "{}", "[]", "null", "\0", "😀", '{"id": 1}', "9" * 5000, '{"id":"a","rawId":"a"}',
    "[" * 9000, "x" * 900_000,
    json.dumps({"id": "YQ", "rawId": "YQ", "type": "public-key", "response": {}}),
    json.dumps({"id": "YQ", "rawId": "YQ", "type": "public-key", "response": {
        "clientDataJSON": "e30", "attestationObject": "AAAA", "authenticatorData": "AA",
        "signature": "AA", "userHandle": "AA"}}),
    json.dumps({"id": "YQ", "rawId": "YQ", "type": "public-key", "response": {
        "clientDataJSON": "a", "attestationObject": "é", "authenticatorData": "=",
        "signature": None}}),
]  # fmt: skip


def test_garbage_is_refused_everywhere_alike(app: Flask, client: Client) -> None:
    visitor = new_client(app)
    client.sign_in(make_person())
    for text in GARBAGE:
        shown = text[:40]
        answer = visitor.post_form("/login/passkey", {"credential": text})
        assert answer.location == "/login", shown
        form = {"name": "x", "credential": text}
        assert client.post_form(f"{PAGE}/new", form).status_code == 422, shown
    for text in GARBAGE[:8]:
        assert client.post_form("/prove", {"credential": text}).status_code == 422, text


def test_bytes_that_anybody_may_bend_are_refused_without_an_accident() -> None:
    """Every byte of a right answer, bent one by one."""
    party = Party("localhost", "http://localhost")
    device = Authenticator()
    made = device.create({"user": {"id": "aA"}, "challenge": "Y2hhbGxlbmdl"})
    answer = ceremony.read_new(made)
    assert answer is not None and ceremony.verify_new(answer, party, verify=True) is not None
    bent = [made[:at] + letter + made[at + 1 :] for at in range(len(made)) for letter in "A}9"]
    for text in bent:
        read = ceremony.read_new(text)
        if read is not None:
            ceremony.verify_new(read, party, verify=True)
        ceremony.read_use(text)


# Signing in -------------------------------------------------------------------------------------


def test_a_passkey_alone_signs_in(app: Flask, client: Client, login_as: Login) -> None:
    user = make_person()
    device = with_passkey(user, login_as)
    before = cookie_of(client)
    answer = device.log_in(client)
    assert answer.location == "/dashboard"
    assert is_signed_in(client)
    assert cookie_of(client) != before
    used = db.session.scalars(select(Passkey)).one()
    assert used.last_used_at is not None and used.sign_count == 1
    assert actions().count("accounts.logged_in") == 1


def test_the_way_back_stays_on_the_site(client: Client, login_as: Login) -> None:
    device = with_passkey(make_person(), login_as)
    credential = device.get(options_of(client, "/login/passkey/options"))
    answer = client.post_form("/login/passkey?next=//evil.example", {"credential": credential})
    assert answer.location == "/dashboard"


def test_the_log_in_tells_nothing_about_who_has_passkeys(client: Client) -> None:
    asked = options_of(client, "/login/passkey/options")
    assert asked["allowCredentials"] == []
    assert asked["userVerification"] == "preferred"


def test_without_a_check_of_the_person_the_password_is_asked_too(
    client: Client, login_as: Login
) -> None:
    device = replace(with_passkey(make_person(), login_as), verifies=False)
    answer = device.log_in(client)
    assert answer.location == "/login/passkey/password"
    assert not is_signed_in(client)
    assert client.post_form("/login/passkey/password", {"password": "no"}).status_code == 422
    assert not is_signed_in(client)
    # The password alone would have needed a code: the passkey stands for it.
    assert client.get("/login/code").location == "/login"
    form = {"password": PASSWORD}
    assert client.post_form("/login/passkey/password", form).location == "/dashboard"
    assert is_signed_in(client)


def test_the_password_beside_a_passkey_is_not_to_be_guessed(
    client: Client, login_as: Login
) -> None:
    device = replace(with_passkey(make_person(), login_as), verifies=False)
    device.log_in(client)
    wrong = [client.post_form("/login/passkey/password", {"password": "no"}) for _ in range(11)]
    assert [one.status_code for one in wrong] == [422] * 10 + [429]


def test_the_password_step_needs_the_passkey_and_ends(
    client: Client, login_as: Login, noon: time_machine.Traveller
) -> None:
    form = {"password": PASSWORD}
    assert client.post_form("/login/passkey/password", form).location == "/login"
    device = replace(with_passkey(make_person(), login_as), verifies=False)
    device.log_in(client)
    noon.shift(timedelta(minutes=5, seconds=1))
    assert client.post_form("/login/passkey/password", form).location == "/login"
    assert not is_signed_in(client)


REFUSALS: dict[str, dict[str, Any]] = {
    "wrong origin": {"origin": "https://evil.example"},
    "wrong site": {"rp_id": "evil.example"},
    "nobody touched it": {"present": False},
    "a creation": {"kind": "webauthn.create"},
    "unknown passkey": {"credential_id": b"u" * 32},
    "another person's handle": {"handle": "YW5vdGhlcg"},
    "no handle": {"handle": ""},
    "another key": {"key": Authenticator().key},
}


@pytest.mark.parametrize("bent", few(REFUSALS.values(), 3), ids=REFUSALS.keys())
def test_whatever_is_not_right_gets_the_same_answer(
    client: Client, login_as: Login, bent: dict[str, Any]
) -> None:
    device = replace(with_passkey(make_person(), login_as), **bent)
    refused(client, device.log_in(client))


def refused(client: Client, answer: Any) -> None:
    assert (answer.status_code, answer.location) == (303, "/login")
    assert "This passkey was not taken." in client.get("/login").text
    assert not is_signed_in(client)


def test_a_challenge_works_once(app: Flask, client: Client, login_as: Login) -> None:
    device = with_passkey(make_person(), login_as)
    credential = device.get(options_of(client, "/login/passkey/options"))
    assert client.post_form("/login/passkey", {"credential": credential}).location == "/dashboard"
    client.post_form("/logout")
    options_of(client, "/login/passkey/options")
    refused(client, client.post_form("/login/passkey", {"credential": credential}))


def test_of_parallel_uses_of_a_challenge_one_succeeds(app: Flask, database: None) -> None:
    challenge = challenges.issue(Purpose.LOG_IN, "one")
    takes = at_once(app, 6, lambda _: challenges.take(challenge, Purpose.LOG_IN, "one"))
    assert sum(takes) == 1


def test_a_challenge_of_another_browser_purpose_or_time_is_refused(
    app: Flask, client: Client, login_as: Login, noon: time_machine.Traveller
) -> None:
    user = make_person()
    device = with_passkey(user, login_as)
    own = login_as(user)
    for asked in (
        options_of(new_client(app), "/login/passkey/options"),
        options_of(own, "/prove/passkey/options"),
        {"challenge": "bWFkZS11cA"},
    ):
        client.get("/login")
        refused(client, client.post_form("/login/passkey", {"credential": device.get(asked)}))
    late = options_of(client, "/login/passkey/options")
    db.session.rollback()
    expire_challenges()
    refused(client, client.post_form("/login/passkey", {"credential": device.get(late)}))


def expire_challenges() -> None:
    """Let the time of every challenge run out."""
    from app.extensions import redis_client

    for key in redis_client.client.scan_iter("passkey:*"):
        assert 0 < redis_client.client.ttl(key) <= challenges.LIFE_SECONDS
        redis_client.client.delete(key)


def test_a_count_that_goes_back_locks_the_passkey_and_a_mail_tells(
    app: Flask, client: Client, login_as: Login
) -> None:
    user = make_person()
    device = with_passkey(user, login_as)
    copy = replace(device)
    device.log_in(client)
    client.post_form("/logout")
    refused(client, copy.log_in(client))
    assert mails()[0].template == "passkey_copied"
    assert actions().count("accounts.passkey_copied") == 1
    # Nobody knows which of the two is the copy.
    refused(client, device.log_in(client))
    assert actions().count("accounts.passkey_copied") == 1
    assert "not in use" in login_as(user).get(PAGE).text
    # ... and the password alone is still not enough.
    assert client.post_form("/login", {"email": EMAIL, "password": PASSWORD}).location == (
        "/login/code"
    )


def test_a_device_that_does_not_count_works_again_and_again(
    client: Client, login_as: Login
) -> None:
    device = replace(with_passkey(make_person(), login_as), counts=False)
    for _ in range(3):
        assert device.log_in(client).location == "/dashboard"
        client.post_form("/logout")


def test_a_blocked_person_stays_out(client: Client, login_as: Login) -> None:
    user = make_person()
    device = with_passkey(user, login_as)
    user.blocked_at = utc_now()
    db.session.commit()
    assert device.log_in(client).location == "/login"
    assert not is_signed_in(client)


def test_wrong_passwords_do_not_lock_the_owner_out_of_the_passkey(
    app: Flask, client: Client, login_as: Login
) -> None:
    device = with_passkey(make_person(), login_as)
    guesser = new_client(app)
    assert [log_in(guesser, password="wrong") for _ in range(11)][-1] == 429
    assert device.log_in(client).location == "/dashboard"


# Second factor ----------------------------------------------------------------------------------


def second_step(client: Client, device: Authenticator) -> Any:
    credential = device.get(options_of(client, "/login/code/passkey/options"))
    return client.post_form("/login/code/passkey", {"credential": credential})


def test_a_log_in_by_password_asks_for_the_passkey(client: Client, login_as: Login) -> None:
    device = replace(with_passkey(make_person(), login_as), verifies=False, handle="")
    answer = client.post_form("/login?next=/profile", {"email": EMAIL, "password": PASSWORD})
    assert answer.location == "/login/code?next=/profile"
    page = client.get("/login/code").text
    assert "Use a passkey" in page and "Recovery code" in page and "six digits" not in page
    assert not is_signed_in(client)
    assert second_step(client, device).location == "/dashboard"
    assert is_signed_in(client)


def test_a_recovery_code_replaces_the_passkey_once(app: Flask, client: Client) -> None:
    make_person()
    log_in(client)
    codes = RECOVERY.findall(add(client, Authenticator()).text)
    for status in (303, 422):
        other = new_client(app)
        log_in(other)
        assert other.post_form("/login/code", {"code": codes[0]}).status_code == status


def test_the_second_step_needs_the_password_and_takes_ones_own_passkey_only(
    app: Flask, client: Client, login_as: Login
) -> None:
    make_person()
    device = with_passkey(make_person(email="eve@example.org"), login_as)
    with_passkey(db.session.scalars(select(User).where(User.email == EMAIL)).one(), login_as)
    answer = client.post_form("/login/code/passkey/options", headers={"Accept": "application/json"})
    assert answer.status_code == 403
    assert client.post_form("/login/code/passkey", {"credential": "x"}).location == "/login"
    log_in(client)
    assert second_step(client, device).location == "/login/code"
    assert not is_signed_in(client)


def test_an_app_and_a_passkey_stand_for_each_other(
    app: Flask, client: Client, login_as: Login, noon: time_machine.Traveller
) -> None:
    user = make_person()
    secret = turn_factor_on(user)
    device = with_passkey(user, login_as)
    log_in(client)
    assert second_step(client, device).location == "/dashboard"
    other = new_client(app)
    log_in(other)
    assert other.post_form("/login/code", {"code": app_code(secret)}).location == "/dashboard"


# Step-up ----------------------------------------------------------------------------------------


def prove(client: Client, device: Authenticator, password: str = "") -> Any:
    credential = device.get(options_of(client, "/prove/passkey/options"))
    form = {"credential": credential, "password": password}
    return client.post_form("/prove?next=/profile", form)


def test_a_passkey_proves_who_is_there(login_as: Login, noon: time_machine.Traveller) -> None:
    user = make_person()
    device = with_passkey(user, login_as)
    client = login_as(user)
    noon.shift(PAST_PROOF)
    assert "Use a passkey" in client.get("/prove").text
    before = cookie_of(client)
    assert prove(client, device).location == "/profile"
    assert cookie_of(client) != before
    assert client.get(f"{PAGE}/new").status_code == 200


def test_one_that_checked_nobody_needs_the_password_beside_it(
    login_as: Login, noon: time_machine.Traveller
) -> None:
    user = make_person()
    device = replace(with_passkey(user, login_as), verifies=False)
    client = login_as(user)
    noon.shift(PAST_PROOF)
    assert prove(client, device).status_code == 422
    assert prove(client, device, "wrong").status_code == 422
    assert prove(client, device, PASSWORD).location == "/profile"


def test_another_persons_passkey_proves_nothing(
    login_as: Login, noon: time_machine.Traveller
) -> None:
    device = with_passkey(make_person(email="eve@example.org"), login_as)
    client = login_as(make_person())
    noon.shift(PAST_PROOF)
    assert prove(client, device, PASSWORD).status_code == 422
    assert client.get(f"{PAGE}/new").status_code == 303


# Names and removal ------------------------------------------------------------------------------


def test_a_passkey_is_renamed_and_removed(client: Client) -> None:
    make_person()
    log_in(client)
    device = Authenticator()
    add(client, device, "phone")
    number = db.session.scalars(select(Passkey.id)).one()
    assert client.post_form(f"{PAGE}/{number}/name", {"name": ""}).status_code == 422
    assert client.post_form(f"{PAGE}/{number}/name", {"name": "blue  key"}).location == PAGE
    assert "blue key" in client.get(f"{PAGE}/{number}/remove").text
    assert client.post_form(f"{PAGE}/{number}/remove").location == PAGE
    assert mails()[0].template == "passkey_removed"
    assert "accounts.passkey_removed" in actions()
    assert client.post_form(f"{PAGE}/{number}/remove").status_code == 404
    client.post_form("/logout")
    refused(client, device.log_in(client))
    # It was the last factor: nothing is left of it.
    assert db.session.scalars(select(RecoveryCode)).all() == []
    assert log_in(client) == 303 and is_signed_in(client)


def test_removing_asks_for_a_fresh_proof(login_as: Login, noon: time_machine.Traveller) -> None:
    user = make_person()
    with_passkey(user, login_as)
    client = login_as(user)
    number = db.session.scalars(select(Passkey.id)).one()
    noon.shift(PAST_PROOF)
    assert client.post_form(f"{PAGE}/{number}/remove").location.startswith("/prove")
    assert db.session.scalars(select(Passkey.id)).all() == [number]


def test_recovery_codes_stay_while_there_is_another_factor(client: Client) -> None:
    user = make_person()
    log_in(client)
    add(client, Authenticator())
    turn_factor_on(user)
    client.post_form("/settings/second-factor/off")
    assert second_factor.standing(user.id).codes_left == 10
    assert not second_factor.standing(user.id).has_app


@pytest.mark.parametrize("who", few(["staff", "keys"], 2))
def test_the_last_factor_of_who_needs_one_stays(login_as: Login, who: str) -> None:
    user = make_person(Role.SUPPORT if who == "staff" else Role.CUSTOMER)
    if who == "keys":
        make_account(user).sealed_key = "v1:sealed"
        db.session.commit()
    device = with_passkey(user, login_as)
    client = login_as(user)
    first = db.session.scalars(select(Passkey.id)).one()
    client.post_form(f"{PAGE}/{first}/remove")
    assert second_factor.standing(user.id).passkeys == 1
    turn_factor_on(user)
    client.post_form(f"{PAGE}/{first}/remove")
    assert second_factor.standing(user.id).passkeys == 0
    client.post_form("/settings/second-factor/off")
    assert second_factor.is_on(user.id)
    add(client, replace(device))
    client.post_form("/settings/second-factor/off")
    assert second_factor.standing(user.id).passkeys == 1
    assert not second_factor.standing(user.id).has_app


def test_of_two_last_passkeys_removed_at_once_one_stays(app: Flask, login_as: Login) -> None:
    user = make_person(Role.SUPPORT)
    db.session.add_all([row(user.id, "a"), row(user.id, "b")])
    db.session.commit()
    clients = [login_as(user), login_as(user)]
    numbers = db.session.scalars(select(Passkey.id)).all()
    db.session.commit()

    def remove(which: int) -> int:
        return clients[which].post_form(f"{PAGE}/{numbers[which]}/remove").status_code

    at_once(app, 2, remove)
    assert len(db.session.scalars(select(Passkey.id)).all()) == 1


def test_an_operator_takes_lost_passkeys_away(app: Flask, client: Client, login_as: Login) -> None:
    with_passkey(make_person(), login_as)
    run = app.test_cli_runner().invoke
    assert "gone" in run(args=["forget-second-factor", EMAIL]).output
    assert log_in(client) == 303 and is_signed_in(client)


# Staff ------------------------------------------------------------------------------------------


def test_staff_enrols_and_works_with_a_passkey_that_checks_the_person(
    app: Flask, client: Client
) -> None:
    make_person(Role.ADMIN)
    log_in(client)
    assert client.get("/admin/").location == "/settings/second-factor"
    asked = options_of(client, f"{PAGE}/new/options")
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert add(client, replace(Authenticator(), verifies=False)).status_code == 422
    device = Authenticator()
    assert add(client, device).status_code == 200
    assert client.get("/admin/").status_code == 200
    other = new_client(app)
    assert device.log_in(other).location == "/dashboard"
    assert other.get("/admin/").status_code == 200


def test_staff_is_refused_with_one_that_checked_nobody(client: Client, login_as: Login) -> None:
    device = replace(with_passkey(make_person(Role.ADMIN), login_as), verifies=False)
    refused(client, device.log_in(client))
    log_in(client)
    assert second_step(client, device).location == "/login/code"
    assert not is_signed_in(client)


# Addresses --------------------------------------------------------------------------------------


@pytest.fixture
def configured(app: Flask) -> Iterator[Callable[..., Config]]:
    """Return a function that changes the configuration of this test."""
    before = current_config()

    def change(**values: Any) -> Config:
        use_config(replace(before, **values))
        return current_config()

    yield change
    use_config(before)


@pytest.mark.parametrize(
    ("base", "admin", "host", "party"),
    [
        ("https://bots.example", None, "bots.example", ("bots.example", "https://bots.example")),
        ("https://bots.example", None, "BOTS.example", ("bots.example", "https://bots.example")),
        ("https://bots.example", None, "evil.example", None),
        ("https://bots.example", None, "bots.example:444", None),
        (
            "https://bots.example",
            "desk.bots.example",
            "desk.bots.example",
            ("bots.example", "https://desk.bots.example"),
        ),
        (
            "https://bots.example",
            "desk.example",
            "desk.example",
            ("desk.example", "https://desk.example"),
        ),
        ("https://bots.example", "xbots.example", "xbots.example", ("xbots.example",) * 2),
        (
            "http://localhost:8000",
            "desk.localhost",
            "desk.localhost:8000",
            ("localhost", "http://desk.localhost:8000"),
        ),
        ("http://127.0.0.1:8000", None, "127.0.0.1:8000", None),
        ("http://[::1]:8000", None, "[::1]:8000", None),
    ],
)
def test_the_site_and_its_desk_are_the_only_places(
    configured: Callable[..., Config],
    base: str,
    admin: str | None,
    host: str,
    party: tuple[str, str] | None,
) -> None:
    configured(base_url=base, admin_host=admin)
    found = party_of(host)
    if party is None:
        assert found is None
    else:
        origin = party[1] if "://" in party[1] else f"https://{party[1]}"
        assert found == Party(party[0], origin)


def test_elsewhere_no_page_offers_passkeys(
    client: Client, configured: Callable[..., Config], login_as: Login
) -> None:
    user = make_person()
    configured(base_url="http://bots.example")
    assert "/login/passkey" not in client.get("/login").text
    answer = client.post_form("/login/passkey/options", headers={"Accept": "application/json"})
    assert answer.status_code == 409
    assert client.post_form("/login/passkey", {"credential": "x"}).location == "/login"
    own = login_as(user)
    assert "at this address" in own.get(PAGE).text
    assert own.get(f"{PAGE}/new").status_code == 200


def test_a_log_in_ends_nothing_elsewhere(app: Flask, client: Client, login_as: Login) -> None:
    user = make_person()
    device = with_passkey(user, login_as)
    device.log_in(client)
    assert session_store.count_sessions(user.id) == 2
