"""Logging in and out, and the sessions behind it."""

import json
import time
from datetime import timedelta
from typing import cast

import pytest
import time_machine
from flask import Flask
from redis import Redis
from sqlalchemy import select

from app.accounts import service, session_store, session_tokens
from app.accounts.models import AuditEntry, Role, User
from app.db import db
from app.errors import Conflict, Forbidden, InvalidInput, NotFound, TooManyTries
from app.transactions import transaction
from tests.accounts.hashing import CountingHasher
from tests.accounts.people import (
    EMAIL,
    PASSWORD,
    SESSION_COOKIE,
    cookie_of,
    is_signed_in,
    log_in,
    make_person,
    session_name,
)
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user


def try_password(password: str, address: str = "10.0.0.1", email: str = EMAIL) -> User:
    with transaction():
        return service.authenticate(email, password, address)[0]


def test_the_right_password_leads_to_the_dashboard(client: Client) -> None:
    make_person()
    answer = client.post_form("/login", {"email": EMAIL.upper() + " ", "password": PASSWORD})
    assert (answer.status_code, answer.location) == (303, "/dashboard")
    assert is_signed_in(client)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "wrong password"),
        ("nobody@example.org", PASSWORD),
        ("\0", PASSWORD),
        (EMAIL + "\0", PASSWORD),
        ("😀" * 50, "😀"),
        ("' OR 1=1--", "' OR 1=1--"),
    ],
)
def test_every_wrong_pair_gets_the_same_answer(client: Client, email: str, password: str) -> None:
    make_person()
    answer = client.post_form("/login", {"email": email, "password": password})
    assert answer.status_code == 422
    assert "E-mail or password is wrong." in answer.text
    assert not is_signed_in(client)


def test_ten_megabytes_are_refused_before_they_are_read(client: Client) -> None:
    make_person()
    answer = client.post_form("/login", {"email": EMAIL, "password": "x" * 10_000_000})
    assert answer.status_code == 413


def test_unknown_and_known_addresses_cost_the_same_work(
    database: None, counting_hashes: CountingHasher
) -> None:
    make_person()
    work = []
    for email in (EMAIL, "nobody@example.org", EMAIL, "somebody@example.org"):
        before = counting_hashes.work
        with pytest.raises(InvalidInput):
            try_password("wrong password", email=email)
        work.append(counting_hashes.work - before)
    # The very first one also makes the hash that unknown addresses are compared with.
    assert work == [2, 1, 1, 1]


def test_the_eleventh_wrong_password_has_to_wait(database: None) -> None:
    make_person()
    for number in range(10):
        with pytest.raises(InvalidInput):
            try_password("wrong password", f"10.0.0.{number}")
    with pytest.raises(TooManyTries) as refused:
        try_password("wrong password", "10.0.0.99")
    assert 0 < refused.value.values["retry_after"] <= 15 * 60


def test_a_guessing_stranger_does_not_lock_the_owner_out(database: None) -> None:
    make_person()
    try_password(PASSWORD, "192.0.2.7")
    for number in range(11):
        with pytest.raises((InvalidInput, TooManyTries)):
            try_password("wrong password", f"10.0.0.{number}")
    assert try_password(PASSWORD, "192.0.2.7").email == EMAIL


def test_a_success_begins_the_count_anew(database: None) -> None:
    make_person()
    for _ in range(3):
        for _ in range(9):
            with pytest.raises(InvalidInput):
                try_password("wrong password")
        try_password(PASSWORD)


def test_parallel_guesses_have_ten_tries_together(app: Flask, database: None) -> None:
    make_person()

    def guess(_: int) -> str:
        try:
            try_password("wrong password")
        except (InvalidInput, TooManyTries) as error:
            return error.code
        return "in"

    outcomes = at_once(app, 14, guess)
    assert outcomes.count("wrong_credentials") == 10
    assert outcomes.count("too_many_tries") == 4


def test_too_many_tries_is_429_with_the_time_to_wait(client: Client) -> None:
    make_person()
    for _ in range(10):
        log_in(client, password="wrong password")
    answer = client.post_form("/login", {"email": EMAIL, "password": "wrong password"})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_a_log_in_stands_in_the_audit_log(client: Client) -> None:
    user = make_person()
    log_in(client)
    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.actor_id, entry.address) == (
        "accounts.logged_in",
        user.id,
        "127.0.0.1",
    )


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/profile", "/profile"),
        ("/bots?state=active", "/bots?state=active"),
        ("https://evil.example", "/dashboard"),
        ("//evil.example", "/dashboard"),
        ("///evil.example", "/dashboard"),
        ("/\\evil.example", "/dashboard"),
        ("/\t/evil.example", "/dashboard"),
        ("javascript:alert(1)", "/dashboard"),
        ("evil", "/dashboard"),
        ("/" + "x" * 5000, "/dashboard"),
        ("", "/dashboard"),
    ],
)
def test_next_leads_only_to_our_own_pages(client: Client, target: str, place: str) -> None:
    make_person()
    answer = client.post_form(
        "/login", {"email": EMAIL, "password": PASSWORD}, query_string={"next": target}
    )
    assert (answer.status_code, answer.location) == (303, place)


def test_a_closed_page_remembers_where_the_visitor_wanted_to_go(client: Client) -> None:
    make_person()
    answer = client.get("/profile?tab=1")
    assert answer.location == "/login?next=/profile?tab%3D1"
    answer = client.post_form(answer.location, {"email": EMAIL, "password": PASSWORD})
    assert answer.location == "/profile?tab=1"


def test_a_closed_fragment_sends_the_whole_page_to_the_log_in(client: Client) -> None:
    answer = client.get("/profile", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login")


def test_a_signed_in_person_does_not_log_in_twice(client: Client) -> None:
    make_person()
    log_in(client)
    for path in ("/login", "/register", "/confirm"):
        assert client.get(path).location == "/dashboard"
    assert log_in(client) == 303


# Sessions ---------------------------------------------------------------------------------------


def test_logging_in_makes_a_new_session_and_kills_the_old_one(app: Flask, client: Client) -> None:
    make_person()
    client.get("/login")
    before = cookie_of(client)
    assert before
    name = session_name(before)
    assert session_store.load(name) is not None
    log_in(client)
    after = cookie_of(client)
    assert after and after != before
    assert session_store.load(name) is None


def test_an_id_that_an_attacker_planted_is_never_taken_over(app: Flask, client: Client) -> None:
    make_person()
    planted = "planted-by-an-attacker"
    client.set_cookie(SESSION_COOKIE, planted)
    client.get("/login")
    assert cookie_of(client) != planted
    log_in(client)
    assert cookie_of(client) != planted
    attacker = new_client(app)
    attacker.set_cookie(SESSION_COOKIE, planted)
    assert not is_signed_in(attacker)


def test_a_known_anonymous_id_does_not_become_a_signed_in_one(app: Flask, client: Client) -> None:
    """Session fixation: the attacker's own anonymous session, put into the victim's browser."""
    make_person()
    attacker = new_client(app)
    attacker.get("/login")
    fixed = cookie_of(attacker)
    assert fixed
    client.set_cookie(SESSION_COOKIE, fixed)
    assert log_in(client) == 303
    assert not is_signed_in(attacker)


def test_the_old_cookie_is_dead_after_log_out(app: Flask, client: Client) -> None:
    make_person()
    log_in(client)
    copied = cookie_of(client)
    assert copied
    answer = client.post_form("/logout")
    assert (answer.status_code, answer.location) == (303, "/login")
    thief = new_client(app)
    thief.set_cookie(SESSION_COOKIE, copied)
    assert thief.get("/dashboard").location.startswith("/login")
    assert not is_signed_in(client)


def test_logging_out_twice_does_no_harm(client: Client) -> None:
    make_person()
    log_in(client)
    old = cookie_of(client)
    client.post_form("/logout")
    client.set_cookie(SESSION_COOKIE, old or "")
    assert client.post("/logout").status_code == 303
    assert client.post_form("/logout").status_code == 303


def test_log_out_needs_a_post(client: Client) -> None:
    assert client.get("/logout").status_code == 405


def test_only_a_hash_of_the_session_id_is_stored(client: Client, redis_db: Redis) -> None:
    make_person()
    log_in(client)
    token = cookie_of(client)
    assert token and len(token) >= 43
    refresh = client.get_cookie("refresh")
    assert refresh and len(refresh.value) >= 43
    names = cast(list[bytes], redis_db.keys("*"))
    dump = b" ".join([*names, *(redis_db.dump(name) or b"" for name in names)])
    assert token.encode() not in dump
    assert refresh.value.encode() not in dump
    assert session_tokens.hash_of(token).encode() in dump
    assert session_tokens.hash_of(refresh.value).encode() in dump


def test_a_blocked_person_is_out_at_once_and_does_not_get_in_again(
    app: Flask, client: Client
) -> None:
    user = make_person()
    staff = make_user(Role.ADMIN)
    log_in(client)
    with transaction():
        service.block_user(staff.id, user.id, "asked for it")
    assert not is_signed_in(client)
    answer = client.post_form("/login", {"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 422
    assert "blocked" in answer.text
    assert "blocked" not in client.post_form("/login", {"email": EMAIL, "password": "no"}).text
    with transaction():
        service.unblock_user(staff.id, user.id, "asked again")
    assert log_in(client) == 303


def test_a_block_ends_sessions_even_if_redis_did_not_hear_of_it(client: Client) -> None:
    user = make_person()
    log_in(client)
    user.blocked_at = user.created_at
    db.session.commit()
    assert not is_signed_in(client)


def test_who_may_block_whom(database: None) -> None:
    admin, manager = make_user(Role.ADMIN), make_user(Role.MANAGER)
    support, customer = make_user(Role.SUPPORT), make_user()
    db.session.commit()

    def block(actor: User, user: User, reason: str = "a good reason") -> None:
        with transaction():
            service.block_user(actor.id, user.id, reason)

    block(manager, customer)
    block(manager, customer)
    with pytest.raises(Forbidden):
        block(support, customer)
    with pytest.raises(Forbidden):
        block(manager, admin)
    with pytest.raises(Conflict):
        block(admin, admin)
    with pytest.raises(InvalidInput):
        block(admin, manager, " ")
    with pytest.raises(InvalidInput):
        block(admin, manager, "x" * 501)
    with pytest.raises(NotFound), transaction():
        service.block_user(admin.id, 2**70, "a good reason")
    entries = db.session.scalars(select(AuditEntry)).all()
    assert [(entry.action, entry.actor_id, entry.reason) for entry in entries] == [
        ("accounts.blocked", manager.id, "a good reason")
    ]


def test_sessions_are_listed_and_ended(app: Flask, client: Client) -> None:
    user = make_person()
    other = new_client(app)
    client.post_form(
        "/login", {"email": EMAIL, "password": PASSWORD}, headers={"User-Agent": "Phone"}
    )
    log_in(other)
    sessions = session_store.list_sessions(user.id)
    assert len(sessions) == 2
    phone = next(session for session in sessions if session.device == "Phone")
    assert phone.address == "127.0.0.1"
    assert session_store.end_all(user.id, keep=phone.key) == 1
    assert is_signed_in(client)
    assert not is_signed_in(other)
    assert session_store.end_own(user.id + 1, phone.key) is False
    assert is_signed_in(client)
    assert session_store.end_own(user.id, phone.key) is True
    assert not is_signed_in(client)
    assert session_store.list_sessions(user.id) == []


def test_a_person_signs_other_devices_out_but_nobody_elses(app: Flask, client: Client) -> None:
    user, eve = make_person(), make_person(email="eve@example.org")
    phone, laptop, stranger = new_client(app), new_client(app), new_client(app)
    for browser in (client, phone, laptop):
        log_in(browser)
    log_in(stranger, "eve@example.org")
    page = client.get("/profile/sessions").text
    assert page.count('name="key"') == 2
    assert "this device" in page
    (eves,) = session_store.list_sessions(eve.id)
    client.post_form("/profile/sessions/end", {"key": eves.key})
    assert is_signed_in(stranger)
    phones = session_name(cookie_of(phone))
    client.post_form("/profile/sessions/end", {"key": phones})
    assert not is_signed_in(phone)
    assert is_signed_in(laptop)
    client.post_form("/profile/sessions/end", {"key": "\0😀" * 1000})
    client.post_form("/profile/sessions/end")
    assert not is_signed_in(laptop)
    assert is_signed_in(client)
    assert len(session_store.list_sessions(user.id)) == 1


def test_a_request_under_way_does_not_revive_an_ended_session(database: None) -> None:
    stored = session_store.StoredSession(time.time(), time.time(), 600, 600, user_id=1)
    session_store.create("k", stored)
    under_way = session_store.load("k")
    assert under_way is not None
    session_store.end("k", 1)
    assert session_store.replace("k", under_way) is False
    assert session_store.load("k") is None


@pytest.mark.parametrize(
    ("role", "idle"),
    [(Role.CUSTOMER, timedelta(minutes=30)), (Role.SUPPORT, timedelta(minutes=15))],
)
def test_an_idle_session_ends(client: Client, role: Role, idle: timedelta) -> None:
    person = make_person(role)
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        client.sign_in(person)
        clock.shift(idle - timedelta(minutes=1))
        assert is_signed_in(client)
        clock.shift(idle - timedelta(minutes=1))
        assert is_signed_in(client)
        clock.shift(idle + timedelta(seconds=1))
        assert not is_signed_in(client)


@pytest.mark.long
def test_a_busy_session_ends_at_the_absolute_limit(client: Client) -> None:
    make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        for _ in range(12 * 3 - 1):
            clock.shift(timedelta(minutes=20))
            assert is_signed_in(client)
        clock.shift(timedelta(minutes=20, seconds=1))
        assert not is_signed_in(client)


def test_a_visitor_who_only_looks_leaves_no_session_behind(client: Client, redis_db: Redis) -> None:
    assert client.get("/healthz").status_code == 200
    with client.get("/static/css/botyard.css") as answer:
        assert answer.status_code == 200
    assert redis_db.keys("session:*") == []


def test_an_anonymous_session_is_short(client: Client, redis_db: Redis) -> None:
    client.get("/login")
    (key,) = redis_db.keys("session:*")
    assert 0 < int(redis_db.ttl(key)) <= 3600
    assert json.loads(redis_db.get(key))["user_id"] is None  # type: ignore[arg-type]


def test_a_form_sent_with_a_dead_session_begins_anew(client: Client) -> None:
    make_person()
    client.set_cookie(SESSION_COOKIE, "run-out")
    answer = client.post("/login?next=/profile", data={"email": EMAIL, "password": PASSWORD})
    assert (answer.status_code, answer.location) == (303, "/login")
    assert "open for too long" in client.get("/login").text
    client.set_cookie(SESSION_COOKIE, "run-out")
    assert client.post("/profile", data={"name": "x"}).location == "/login"


@pytest.mark.parametrize("opened_login_page", [False, True])
def test_a_form_left_open_after_log_out_asks_to_log_in(
    client: Client, opened_login_page: bool
) -> None:
    client.sign_in(make_person())
    left_open = {"name": "x", "csrf_token": client.csrf_token()}
    client.post_form("/logout")
    if opened_login_page:
        # A new anonymous session, with which the old token doesn't fit.
        client.get("/login")
    answer = client.post("/profile", data=left_open)
    assert (answer.status_code, answer.location) == (303, "/login")
    part = client.post("/bots/new/preview", data=left_open, headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/login")
