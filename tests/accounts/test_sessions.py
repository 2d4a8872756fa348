"""Short access, rotated refresh, and many sessions of one person."""

import time
from datetime import timedelta
from typing import Any, cast

import pytest
import time_machine
from flask import Flask
from redis import Redis
from sqlalchemy import select

from app.accounts import session_store, session_tokens
from app.accounts.models import AuditEntry
from app.accounts.session_store import StoredSession
from app.accounts.session_tokens import ACCESS_SECONDS, GRACE_SECONDS
from app.db import db
from app.extensions import redis_client
from tests.accounts.people import (
    cookie_of,
    is_signed_in,
    log_in,
    mails,
    make_person,
    session_name,
    work_off,
)
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client

PAST_ACCESS = timedelta(seconds=ACCESS_SECONDS + 1)
PAST_GRACE = timedelta(seconds=GRACE_SECONDS + 1)


def refresh_of(client: Client) -> str:
    cookie = client.get_cookie("refresh")
    assert cookie is not None
    return cookie.value


def holder_of(app: Flask, refresh: str) -> Client:
    """Return a browser with nothing but a copied refresh cookie."""
    thief = new_client(app)
    thief.set_cookie("refresh", refresh)
    return thief


def test_a_person_stays_signed_in_past_the_access_life_with_new_cookies(client: Client) -> None:
    make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        access, refresh = cookie_of(client), refresh_of(client)
        assert is_signed_in(client)
        assert (cookie_of(client), refresh_of(client)) == (access, refresh)
        clock.shift(PAST_ACCESS)
        assert is_signed_in(client)
        assert cookie_of(client) != access
        assert refresh_of(client) != refresh


def test_the_access_cookie_alone_ends_after_its_life(app: Flask, client: Client) -> None:
    make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        thief = new_client(app)
        thief.set_cookie("session", cookie_of(client) or "")
        assert is_signed_in(thief)
        clock.shift(PAST_ACCESS)
        assert not is_signed_in(thief)
        assert is_signed_in(client)


def test_a_used_refresh_cookie_ends_the_session_and_warns_by_mail(
    app: Flask, client: Client
) -> None:
    user = make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        copied = refresh_of(client)
        clock.shift(PAST_ACCESS)
        assert is_signed_in(client)
        clock.shift(PAST_GRACE)
        assert is_signed_in(client)
        assert not is_signed_in(holder_of(app, copied))
        assert not is_signed_in(client)
    assert session_store.list_sessions(user.id) == []
    assert work_off() == ["app.accounts.jobs.warn_of_reuse"]
    assert [mail.template for mail in mails()] == ["session_reused"]
    entries = db.session.scalars(select(AuditEntry.action)).all()
    assert "accounts.session_reused" in entries


def test_a_thief_who_is_first_is_thrown_out_when_the_owner_comes(
    app: Flask, client: Client
) -> None:
    make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        thief = holder_of(app, refresh_of(client))
        assert is_signed_in(thief)
        clock.shift(PAST_ACCESS)
        assert is_signed_in(thief)
        clock.shift(PAST_GRACE)
        assert not is_signed_in(client)
        assert not is_signed_in(thief)


def test_other_sessions_of_the_person_go_on_after_a_reuse(app: Flask, client: Client) -> None:
    make_person()
    other = new_client(app)
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        log_in(other)
        copied = refresh_of(client)
        clock.shift(PAST_ACCESS)
        is_signed_in(client)
        clock.shift(PAST_GRACE)
        is_signed_in(holder_of(app, copied))
        assert is_signed_in(other)


def test_two_tabs_that_renew_at_once_get_the_same_cookies(app: Flask, client: Client) -> None:
    make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        refresh = refresh_of(client)
        clock.shift(PAST_ACCESS)
        renewals = at_once(app, 8, lambda _: session_tokens.renew(refresh))
        assert len({renewal.pair for renewal in renewals if renewal}) == 1
        clock.shift(timedelta(seconds=GRACE_SECONDS - 1))
        again = session_tokens.renew(refresh)
        assert again is not None
        assert again.pair == (renewals[0] and renewals[0].pair)


def test_a_lost_answer_does_not_sign_out(app: Flask, client: Client) -> None:
    make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        clock.shift(PAST_ACCESS)
        assert is_signed_in(holder_of(app, refresh_of(client)))
        clock.shift(timedelta(seconds=5))
        assert is_signed_in(client)
        clock.shift(PAST_ACCESS)
        assert is_signed_in(client)


@pytest.mark.parametrize("refresh", ["", "x", "😀", "x" * 4000, "a b", "%00"])
def test_what_is_no_refresh_token_opens_nothing(client: Client, refresh: str) -> None:
    client.set_cookie("refresh", refresh)
    assert not is_signed_in(client)
    assert client.get("/login").status_code == 200


def test_after_log_out_the_refresh_cookie_opens_nothing(app: Flask, client: Client) -> None:
    make_person()
    log_in(client)
    copied = refresh_of(client)
    client.post_form("/logout")
    assert client.get_cookie("refresh") is None
    assert not is_signed_in(holder_of(app, copied))
    # An ended session is no robbed one.
    assert work_off() == []


def test_a_form_of_the_old_access_goes_through_with_the_new_one(client: Client) -> None:
    make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        log_in(client)
        token = client.csrf_token()
        clock.shift(PAST_ACCESS)
        form = {
            "csrf_token": token,
            "name": "Ada",
            "language": "en",
            "timezone": "UTC",
            "experience": "expert",
            "theme": "auto",
            "palette": "default",
            "density": "compact",
        }
        assert client.post("/profile", data=form).location == "/profile"


def names_of_commands(monitor: Any, redis: Redis) -> set[str]:
    """Return what this database was asked up to now; other tests ask others of the same server."""
    redis.echo("that is all")
    own = str(redis.connection_pool.connection_kwargs["db"])
    names: set[str] = set()
    while (seen := monitor.next_command())["command"] != "ECHO that is all":
        if seen["db"] == own or seen["db"] == int(own):
            names.add(seen["command"].partition(" ")[0].upper())
    return names


def test_ten_thousand_sessions_are_listed_and_ended_without_a_scan(
    database: None, redis_db: Redis
) -> None:
    now = time.time()
    newest = StoredSession(now + 10, now, 1800, 43_200, user_id=7, device="x" * 100)
    session_store.create("k9999", newest)
    # The others as it stands, at once instead of one after the other.
    text = redis_db.get("session:k9999") or b""
    redis_db.mset({f"session:k{number}": text for number in range(9_999)})
    redis_db.zadd("sessions:7", {f"k{number}": now + 43_200 for number in range(9_999)})
    with cast(Any, redis_db).monitor() as monitor:
        started = time.perf_counter()
        listed = session_store.list_sessions(7)
        listing_s = time.perf_counter() - started
        counted = session_store.count_sessions(7)
        started = time.perf_counter()
        ended = session_store.end_all(7, keep="k5000")
        ending_s = time.perf_counter() - started
        used = names_of_commands(monitor, redis_db)
    assert len(listed) == session_store.LISTED
    assert "k9999" in {session.key for session in listed}
    assert (counted, ended) == (10_000, 9_999)
    assert used and not {"SCAN", "KEYS", "SSCAN", "ZSCAN"} & used
    assert session_store.is_alive("k5000") and not session_store.is_alive("k9999")
    assert session_store.count_sessions(7) == 1
    # A page and a button, not a job: on a busy machine still well below a second.
    assert listing_s < 1 and ending_s < 2


def test_a_page_of_many_devices_shows_the_newest(client: Client) -> None:
    user = make_person()
    now = time.time()
    for number in range(80):
        session_store.create(
            f"k{number}", StoredSession(now - number, now, 1800, 43_200, user_id=user.id)
        )
    log_in(client)
    page = client.get("/profile/sessions").text
    assert page.count("<tr>") == session_store.LISTED + 1
    assert "this device" in page
    assert "devices signed in last" in page
    client.post_form("/profile/sessions/end")
    assert session_store.count_sessions(user.id) == 1
    assert is_signed_in(client)


def test_a_refresh_token_outlives_no_session(client: Client) -> None:
    make_person()
    log_in(client)
    name = session_name(cookie_of(client))
    family = session_tokens.families([name])[0]
    assert 0 < redis_client.client.ttl(family) <= 43_200
