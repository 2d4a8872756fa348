"""Signing in by a provider: the trip, hostile answers, accounts, connecting and the last way in."""

import html
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import time_machine
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.accounts import credentials, invites, passwords, second_factor
from app.accounts.access import PROOF_SECONDS
from app.accounts.models import AuditEntry, Role, User
from app.accounts.openid.models import SignInLink
from app.adapters.openid import http
from app.config import Config, current_config, load_config, use_config
from app.db import db, utc_now
from app.errors import ConfigError
from app.settings import service as settings
from app.settings.rules import SIGNUP_MODE
from app.transactions import transaction
from tests.accounts.authenticator import Authenticator
from tests.accounts.people import (
    EMAIL,
    PASSWORD,
    app_code,
    is_signed_in,
    log_in,
    mails,
    make_person,
    newest_code,
    turn_factor_on,
)
from tests.accounts.provider import (
    CLIENT_SECRET,
    OTHER_KEY,
    Provider,
    as_json,
    running_provider,
    signed,
    unsigned,
)
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user
from tests.long import few

PAGE = "/settings/sign-in"
Login = Callable[[User], Client]


@pytest.fixture
def provider(app: Flask, database: None) -> Iterator[Provider]:
    before = current_config()
    with running_provider() as running:
        both = (running.configured(), running.configured("github"))
        use_config(replace(before, sign_in_providers=both))
        yield running
    use_config(before)


def away(client: Client, path: str = "/login/with/company", **form: str) -> str:
    """Press the button; return the address to which the page leads."""
    answer = client.post_form(path, form)
    assert answer.status_code == 200, (answer.status_code, answer.location)
    url = answer.headers["Refresh"].removeprefix("0; url=")
    assert html.escape(url) in answer.text
    return url


def at_provider(url: str) -> str:
    """Log in there; return where the browser comes back to."""
    answer = requests.get(url, allow_redirects=False, timeout=5)
    back = urlsplit(answer.headers["Location"])
    assert (back.scheme, back.netloc) == ("http", "localhost")
    return f"{back.path}?{back.query}"


def come_back(client: Client, path: str = "/login/with/company", **form: str) -> TestResponse:
    return client.get(at_provider(away(client, path, **form)))


def register(client: Client, **form: str) -> TestResponse:
    answer = come_back(client)
    assert answer.location == "/register/with"
    return client.post_form("/register/with", form)


def connected(user: User, provider: Provider) -> None:
    db.session.add(
        SignInLink(user_id=user.id, issuer=provider.issuer, subject=provider.subject, email=EMAIL)
    )
    db.session.commit()


def refused(client: Client, answer: TestResponse, words: str) -> None:
    assert answer.status_code == 303
    assert answer.location.startswith("/login")
    assert words in client.get(answer.location).text
    assert not is_signed_in(client)


REFUSED = "The answer from there was not right."
EXPIRED = "took too long or was begun elsewhere"
DOWN = "The other side does not answer."


# The trip ---------------------------------------------------------------------------------------


def test_the_way_there_carries_all_that_guards_the_way_back(
    client: Client, provider: Provider
) -> None:
    query = parse_qs(urlsplit(away(client)).query)
    assert query["response_type"] == ["code"]
    assert query["code_challenge_method"] == ["S256"]
    assert query["scope"] == ["openid email profile"]
    assert query["redirect_uri"] == ["http://localhost/login/with/company/back"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(query[name][0]) >= 43
    assert CLIENT_SECRET not in str(query)


def test_a_known_log_in_opens_its_account(client: Client, provider: Provider) -> None:
    user = make_person(email="other@example.org")
    connected(user, provider)
    provider.email = "moved@example.org"
    assert come_back(client, next="/profile").location == "/profile"
    assert is_signed_in(client)
    link = db.session.scalars(select(SignInLink)).one()
    assert link.last_used_at is not None and link.email == "moved@example.org"
    assert db.session.scalars(
        select(AuditEntry.action).where(AuditEntry.action == "accounts.logged_in")
    ).all()


def test_the_way_back_stays_on_the_site(client: Client, provider: Provider) -> None:
    connected(make_person(), provider)
    assert come_back(client, next="//evil.example").location == "/dashboard"


def test_the_second_factor_is_asked_as_after_a_password(client: Client, provider: Provider) -> None:
    user = make_person()
    connected(user, provider)
    secret = turn_factor_on(user)
    assert come_back(client, next="/profile").location == "/login/code?next=/profile"
    assert not is_signed_in(client)
    assert client.post_form("/login/code", {"code": app_code(secret)}).status_code == 303
    assert is_signed_in(client)


def test_staff_without_a_factor_reaches_only_its_page(client: Client, provider: Provider) -> None:
    connected(make_person(Role.ADMIN), provider)
    come_back(client)
    assert client.get("/admin/").location == "/settings/second-factor"


def test_a_blocked_person_stays_out(client: Client, provider: Provider) -> None:
    user = make_person()
    connected(user, provider)
    user.blocked_at = utc_now()
    db.session.commit()
    refused(client, come_back(client), "blocked")


def test_a_state_works_once_and_in_its_own_browser(
    app: Flask, client: Client, provider: Provider
) -> None:
    connected(make_person(), provider)
    back = at_provider(away(client))
    stranger = new_client(app)
    stranger.get("/login")
    refused(stranger, stranger.get(back), EXPIRED)
    assert client.get(back).location == "/dashboard"
    client.post_form("/logout")
    refused(client, client.get(back), EXPIRED)


@pytest.mark.parametrize("query", ["", "?state=x", "?state=x&code=y", "?code=y", "?state=%00"])
def test_a_way_back_that_nobody_began_is_refused(
    client: Client, provider: Provider, query: str
) -> None:
    answer = client.get(f"/login/with/company/back{query}")
    if "%00" in query:
        assert answer.status_code == 400
        return
    refused(client, answer, EXPIRED)
    assert provider.seen == []


def test_a_state_dies_after_ten_minutes(client: Client, provider: Provider) -> None:
    from app.extensions import redis_client

    back = at_provider(away(client))
    for key in redis_client.client.scan_iter("sign-in:*"):
        assert 0 < redis_client.client.ttl(key) <= 600
        redis_client.client.delete(key)
    refused(client, client.get(back), EXPIRED)


def test_a_state_of_one_provider_is_refused_at_another(client: Client, provider: Provider) -> None:
    back = at_provider(away(client)).replace("/company/", "/github/")
    refused(client, client.get(back), EXPIRED)


def test_who_declines_there_is_told_so_here(client: Client, provider: Provider) -> None:
    state = parse_qs(urlsplit(away(client)).query)["state"][0]
    path = "/login/with/company/back"
    answer = client.get(path, query_string={"state": state, "error": "access_denied"})
    refused(client, answer, "called off there")
    state = parse_qs(urlsplit(away(client)).query)["state"][0]
    answer = client.get(path, query_string={"state": state, "error": "<b>x</b>"})
    refused(client, answer, REFUSED)


def test_the_answer_of_another_issuer_is_refused(client: Client, provider: Provider) -> None:
    refused(client, client.get(at_provider(away(client)) + "&iss=http://evil"), REFUSED)


def test_an_unknown_provider_does_not_exist(client: Client, provider: Provider) -> None:
    assert client.post_form("/login/with/nobody").status_code == 404


def test_without_providers_no_page_offers_them(client: Client, login_as: Login) -> None:
    for path in ("/login", "/register"):
        assert "/login/with/" not in client.get(path).text
    assert client.post_form("/login/with/google").status_code == 404
    own = login_as(make_person())
    assert "offers no log-in of others" in own.get(PAGE).text
    assert PAGE not in own.get("/settings").text


def test_with_providers_log_in_and_registration_offer_them(
    client: Client, provider: Provider
) -> None:
    for path in ("/login", "/register"):
        page = client.get(path).text
        assert "Go on with Company" in page and "Go on with Github" in page
    client.sign_in(make_person())
    assert PAGE in client.get("/settings").text


# Hostile answers --------------------------------------------------------------------------------

BENT: dict[str, dict[str, Any]] = {
    "wrong nonce": {"claims": {"nonce": "another"}},
    "no nonce": {"claims": {"nonce": None}},
    "wrong reader": {"claims": {"aud": "somebody-else"}},
    "two readers, not made for us": {"claims": {"aud": ["x", "botyard-test"], "azp": "x"}},
    "wrong maker": {"claims": {"iss": "https://accounts.example"}},
    "makers in a list": {"claims": {"iss": ["x"]}},
    "run out": {"claims": {"exp": int(time.time()) - 120}},
    "no end": {"claims": {"exp": None}},
    "from the future": {"claims": {"iat": int(time.time()) + 3600}},
    "no subject": {"claims": {"sub": None}},
    "a number as subject": {"claims": {"sub": 5}},
    "an empty subject": {"claims": {"sub": ""}},
    "a subject too long": {"claims": {"sub": "x" * 300}},
    "unsigned": {"sign": unsigned},
    "signed by another": {"sign": lambda claims: signed(claims, OTHER_KEY)},
    "garbage": {"sign": lambda claims: "a.b.c"},
    "emptiness": {"sign": lambda claims: ""},
    "wrong access token": {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
}


def test_a_hostile_token_opens_nothing(client: Client, provider: Provider) -> None:
    connected(make_person(), provider)
    for kind, bent in BENT.items():
        provider.claims, provider.sign = bent.get("claims", {}), bent.get("sign")
        answer = come_back(client)
        assert answer.location == "/login", kind
        page = client.get("/login").text
        assert REFUSED in page or DOWN in page, kind
        assert not is_signed_in(client), kind
    provider.claims, provider.sign = {}, None
    assert come_back(client).location == "/dashboard"


def garbage() -> Any:
    return 200, {"Content-Type": "application/json"}, b"<html>\x00\xff"


def huge() -> Any:
    return 200, {}, b"x" * (http.LARGEST + 1)


def elsewhere() -> Any:
    return 302, {"Location": "http://127.0.0.1:1/"}, b""


BROKEN: dict[str, Callable[[], Any]] = {
    "garbage": garbage,
    "huge": huge,
    "redirect": elsewhere,
    "500": lambda: as_json({}, 500),
    "list": lambda: as_json([]),
    "nonsense": lambda: as_json({"keys": 5, "issuer": 7, "access_token": []}),
    "404": lambda: as_json("x", 404),
}


@pytest.mark.parametrize("path", few(["/.well-known/openid-configuration", "/token", "/keys"], 3))
def test_a_provider_that_is_broken_gives_a_page_and_no_500(
    client: Client, provider: Provider, path: str
) -> None:
    connected(make_person(), provider)
    for kind, answer in BROKEN.items():
        provider.broken[path] = answer
        if path.startswith("/.well"):
            found = client.post_form("/login/with/company")
        else:
            found = come_back(client)
        assert (found.status_code, found.location) == (303, "/login"), kind
        page = client.get("/login").text
        assert DOWN in page or REFUSED in page, kind
        assert not is_signed_in(client), kind
    provider.broken.clear()
    assert come_back(client).location == "/dashboard"


def test_a_slow_provider_is_given_up(
    client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_S", 0.2)

    def slow() -> Any:
        time.sleep(1)
        return as_json({})

    provider.broken["/.well-known/openid-configuration"] = slow
    began = time.monotonic()
    assert client.post_form("/login/with/company").location == "/login"
    assert time.monotonic() - began < 0.9


def test_a_provider_that_is_away_is_said_to_be(client: Client, provider: Provider) -> None:
    provider.port = 1
    use_config(replace(current_config(), sign_in_providers=(provider.configured(),)))
    refused(client, client.post_form("/login/with/company"), DOWN)


ASTRAY: list[dict[str, Any]] = [
    {"issuer": "http://127.0.0.1:1/other"},
    {"token_endpoint": "http://evil.example/token"},
    {"jwks_uri": "file:///etc/passwd"},
    {"authorization_endpoint": "javascript:alert(1)"},
    {"authorization_endpoint": "https://x.example/a\r\nSet-Cookie: a=b"},
    {"authorization_endpoint": "https://x.example/ é"},
    {"userinfo_endpoint": "ftp://x"},
    {"token_endpoint": None},
]


def test_a_description_that_leads_astray_is_refused(client: Client, provider: Provider) -> None:
    for told in ASTRAY:
        provider.told = told
        refused(client, client.post_form("/login/with/company"), DOWN)


def test_the_address_may_stand_on_the_card_only(client: Client, provider: Provider) -> None:
    provider.claims = {"email": None, "email_verified": None}
    provider.user_info = {"email": "card@example.org", "email_verified": True}
    assert register(client).location == "/dashboard"
    assert db.session.scalars(select(User.email)).one() == "card@example.org"


def test_somebody_elses_card_is_refused(client: Client, provider: Provider) -> None:
    provider.claims = {"email": None}
    provider.user_info = {"sub": "another", "email": "card@example.org", "email_verified": True}
    refused(client, come_back(client), REFUSED)


def test_no_secret_and_no_code_is_logged(
    client: Client, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    assert CLIENT_SECRET not in repr(current_config())
    with caplog.at_level(logging.DEBUG):
        back = at_provider(away(client))
        client.get(back)
        provider.broken["/token"] = lambda: as_json({"error": "x"}, 400)
        come_back(client)
    ours = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith("app.")
    )
    assert "sign_in_refused" in ours
    for secret in (CLIENT_SECRET, *parse_qs(urlsplit(back).query)["code"]):
        assert secret not in ours


# GitHub -----------------------------------------------------------------------------------------


def test_github_opens_and_makes_accounts_by_its_verified_primary_address(
    client: Client, provider: Provider
) -> None:
    provider.emails = [
        {"email": "second@example.org", "primary": False, "verified": True},
        {"email": "Ada@Example.org", "primary": True, "verified": True},
    ]
    answer = come_back(client, "/login/with/github")
    assert answer.location == "/register/with"
    assert client.post_form("/register/with").location == "/dashboard"
    user = db.session.scalars(select(User)).one()
    assert user.email == EMAIL and user.is_confirmed and user.profile.name == "Ada"
    assert db.session.scalars(select(SignInLink.subject)).one() == "4711"
    client.post_form("/logout")
    assert come_back(client, "/login/with/github").location == "/dashboard"
    assert is_signed_in(client)


@pytest.mark.parametrize(
    "emails",
    [
        [],
        [{"email": EMAIL, "primary": True, "verified": False}],
        [{"email": EMAIL, "primary": False, "verified": True}],
    ],
)
def test_github_without_a_verified_primary_address_makes_no_account(
    client: Client, provider: Provider, emails: list[dict[str, Any]]
) -> None:
    provider.emails = emails
    refused(client, come_back(client, "/login/with/github"), "no confirmed e-mail address")


def test_a_broken_github_gives_a_page(client: Client, provider: Provider) -> None:
    for path in ("login/oauth/access_token", "api/v3/user", "api/v3/user/emails"):
        for answer in (garbage, lambda: as_json({"id": True}), lambda: as_json([5])):
            provider.broken = {f"/gh/{path}": answer}
            assert come_back(client, "/login/with/github").location == "/login", path
            assert client.get("/login").status_code == 200


# New accounts -----------------------------------------------------------------------------------


def test_a_new_address_makes_a_confirmed_account_after_a_yes(
    client: Client, provider: Provider
) -> None:
    answer = come_back(client)
    assert answer.location == "/register/with"
    assert EMAIL in client.get("/register/with").text
    assert db.session.scalars(select(User)).all() == []
    answer = client.post_form("/register/with", {"timezone": "Europe/Moscow"})
    assert answer.location == "/dashboard"
    assert is_signed_in(client)
    user = db.session.scalars(select(User)).one()
    assert user.is_confirmed and user.timezone == "Europe/Moscow"
    assert user.password_hash == passwords.NO_PASSWORD
    assert client.post_form("/register/with").location == "/register"


def test_an_account_without_a_password_opens_to_none(
    app: Flask, client: Client, provider: Provider
) -> None:
    register(client)
    other = new_client(app)
    for password in ("!", "", "x", passwords.NO_PASSWORD):
        assert log_in(other, password=password) == 422
    form = {"current": "!", "password": "an umbrella for the moon"}
    answer = client.post_form("/settings/password", form)
    assert answer.status_code == 422 and "no password yet" in answer.text
    assert "Choose a password" in client.get("/prove").text


def test_two_windows_make_one_account(app: Flask, client: Client, provider: Provider) -> None:
    other = new_client(app)
    for one in (client, other):
        assert come_back(one).location == "/register/with"
    assert client.post_form("/register/with").location == "/dashboard"
    assert other.post_form("/register/with").location == f"/login?next={PAGE}"
    assert len(db.session.scalars(select(User)).all()) == 1
    assert come_back(other).location == "/dashboard"


def test_an_unproved_address_proves_itself_by_a_mailed_code(
    client: Client, provider: Provider
) -> None:
    provider.email_verified = False
    assert register(client).location == "/confirm"
    assert not is_signed_in(client)
    user = db.session.scalars(select(User)).one()
    assert not user.is_confirmed
    assert client.post_form("/confirm", {"code": newest_code()}).location == "/dashboard"
    db.session.expire_all()
    assert db.session.scalars(select(User)).one().is_confirmed


@pytest.mark.parametrize("says", [None, "yes", 1, "false", []])
def test_only_a_plain_yes_of_the_provider_proves_an_address(
    client: Client, provider: Provider, says: Any
) -> None:
    provider.email_verified = says
    assert register(client).location == "/confirm"


def test_an_unproved_address_tells_nobody_whether_it_has_an_account(
    app: Flask, client: Client, provider: Provider
) -> None:
    make_person()
    provider.email_verified = False
    answers = []
    for number, email in enumerate((EMAIL, "new@example.org")):
        provider.subject, provider.email = f"subject-{number}", email
        one = new_client(app)
        there = come_back(one)
        done = one.post_form("/register/with")
        answers.append((there.location, done.status_code, done.location))
    assert answers[0] == answers[1]
    assert {mail.template for mail in mails()} == {"already_registered", "confirm_email"}
    links = db.session.scalars(select(SignInLink)).all()
    assert [link.email for link in links] == ["new@example.org"]


def test_nobody_prepares_an_account_for_somebody_else(
    app: Flask, client: Client, provider: Provider
) -> None:
    """Made by a log-in with an address that is not one's own, taken over by its owner later."""
    provider.email_verified = False
    register(client)
    owner = new_client(app)
    form = {"email": EMAIL, "password": PASSWORD}
    owner.post_form("/register", form)
    assert owner.post_form("/confirm", {"code": newest_code()}).location == "/dashboard"
    assert db.session.scalars(select(SignInLink)).all() == []
    assert come_back(client).location == "/register/with"


def test_nor_by_a_reset(app: Flask, client: Client, provider: Provider) -> None:
    provider.email_verified = False
    register(client)
    user = db.session.scalars(select(User)).one()
    with transaction():
        credentials.mail_reset_link(user.id)
    code = mails()[0].body.split("/reset/new#")[1].split()[0]
    new_client(app).post_form("/reset/new", {"code": code, "password": PASSWORD})
    assert db.session.scalars(select(SignInLink)).all() == []


def test_a_reset_of_a_proved_account_keeps_its_log_ins(
    app: Flask, client: Client, provider: Provider
) -> None:
    register(client)
    user = db.session.scalars(select(User)).one()
    with transaction():
        credentials.mail_reset_link(user.id)
    code = mails()[0].body.split("/reset/new#")[1].split()[0]
    other = new_client(app)
    other.post_form("/reset/new", {"code": code, "password": PASSWORD})
    assert log_in(other) == 303
    assert come_back(new_client(app)).location == "/dashboard"


def test_without_an_address_no_account_is_made(client: Client, provider: Provider) -> None:
    for email in ("", "x", "a@b", 5, "ada@example.org\0", "x" * 400 + "@example.org"):
        provider.claims = {"email": email}
        refused(client, come_back(client), "no confirmed e-mail address")


def close_registration() -> None:
    with transaction():
        settings.change(SIGNUP_MODE.name, "invite")


def test_an_invitation_is_asked_for_while_it_is_needed(client: Client, provider: Provider) -> None:
    close_registration()
    assert come_back(client).location == "/register/with"
    assert "Invitation needed" in client.get("/register/with").text
    for wrong in ("", "WRONG-CODE"):
        assert client.post_form("/register/with", {"invite": wrong}).status_code == 422
    assert db.session.scalars(select(User).where(User.email == EMAIL)).all() == []
    staff = make_user(Role.ADMIN)
    db.session.commit()
    with transaction():
        code = invites.make(staff.id, 1, 14, "")
    assert client.post_form("/register/with", {"invite": code}).location == "/dashboard"


def test_nobody_registers_without_having_come_from_a_provider(client: Client) -> None:
    assert client.get("/register/with").location == "/register"
    assert client.post_form("/register/with").location == "/register"


def test_the_offer_of_an_account_runs_out(client: Client, provider: Provider) -> None:
    with time_machine.travel(time.time(), tick=True) as clock:
        come_back(client)
        clock.shift(timedelta(minutes=11))
        assert client.get("/register/with").location == "/register"


# Connecting -------------------------------------------------------------------------------------


def test_an_address_with_an_account_proves_itself_first(client: Client, provider: Provider) -> None:
    user = make_person()
    secret = turn_factor_on(user)
    answer = come_back(client)
    assert answer.location == f"/login?next={PAGE}"
    assert "There is an account with this address already." in client.get(answer.location).text
    assert db.session.scalars(select(SignInLink)).all() == []
    form = {"email": EMAIL, "password": PASSWORD}
    answer = client.post_form(answer.location, form)
    answer = client.post_form(answer.location, {"code": app_code(secret)})
    assert answer.location == PAGE
    assert come_back(client, f"{PAGE}/company/connect").location == PAGE
    assert mails()[0].template == "sign_in_added"
    client.post_form("/logout")
    assert come_back(client).location.startswith("/login/code")


def connect(client: Client) -> TestResponse:
    return come_back(client, f"{PAGE}/company/connect")


def test_connecting_twice_changes_nothing(client: Client, provider: Provider) -> None:
    client.sign_in(make_person())
    for _ in range(2):
        assert connect(client).location == PAGE
    assert len(db.session.scalars(select(SignInLink)).all()) == 1
    assert len(mails()) == 1


def test_a_log_in_opens_one_account(client: Client, provider: Provider) -> None:
    connected(make_person(email="other@example.org"), provider)
    client.sign_in(make_person())
    assert connect(client).location == PAGE
    assert "opens another account" in client.get(PAGE).text
    assert db.session.scalars(select(SignInLink.email)).all() == [EMAIL]


def test_connecting_and_disconnecting_ask_for_a_fresh_proof(
    client: Client, provider: Provider
) -> None:
    user = make_person()
    connected(user, provider)
    number = db.session.scalars(select(SignInLink.id)).one()
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False) as clock:
        client.sign_in(user)
        clock.shift(timedelta(seconds=PROOF_SECONDS + 1))
        for path in (f"{PAGE}/company/connect", f"{PAGE}/{number}/remove"):
            assert client.post_form(path).location.startswith("/prove")


def test_the_trip_to_connect_ends_with_who_began_it(
    app: Flask, client: Client, provider: Provider
) -> None:
    user = make_person()
    client.sign_in(user)
    back = at_provider(away(client, f"{PAGE}/company/connect"))
    client.post_form("/logout")
    client.sign_in(make_person(email="eve@example.org"))
    assert client.get(back).location == PAGE
    assert db.session.scalars(select(SignInLink)).all() == []


def test_who_is_signed_in_is_not_sent_away_to_log_in(client: Client, provider: Provider) -> None:
    client.sign_in(make_person())
    assert client.post_form("/login/with/company").location == "/dashboard"


def test_a_log_in_is_disconnected(client: Client, provider: Provider) -> None:
    user = make_person()
    connected(user, provider)
    client.sign_in(user)
    number = db.session.scalars(select(SignInLink.id)).one()
    assert "Disconnect Company" in client.get(f"{PAGE}/{number}/remove").text
    assert client.post_form(f"{PAGE}/{number}/remove").location == PAGE
    assert mails()[0].template == "sign_in_removed"
    assert client.post_form(f"{PAGE}/{number}/remove").status_code == 404
    client.post_form("/logout")
    assert come_back(client).location == f"/login?next={PAGE}"


def test_the_only_way_in_stays(app: Flask, client: Client, provider: Provider) -> None:
    register(client)
    number = db.session.scalars(select(SignInLink.id)).one()
    client.post_form(f"{PAGE}/{number}/remove")
    assert "only way into your account" in client.get(PAGE).text
    assert db.session.scalars(select(SignInLink)).all()
    device = Authenticator()
    assert device.add_to(client).status_code == 200
    client.post_form(f"{PAGE}/{number}/remove")
    assert db.session.scalars(select(SignInLink)).all() == []
    client.post_form("/settings/passkeys/1/remove")
    user = db.session.scalars(select(User)).one()
    assert second_factor.standing(user.id).passkeys == 1


def test_a_link_of_a_provider_that_is_gone_is_still_shown(
    client: Client, provider: Provider
) -> None:
    user = make_person()
    connected(user, provider)
    use_config(replace(current_config(), sign_in_providers=()))
    client.sign_in(user)
    assert provider.issuer in client.get(PAGE).text


# Configuration ----------------------------------------------------------------------------------

RIGHT = {
    "SIGN_IN_PROVIDERS": "google,github,company",
    "SIGN_IN_GOOGLE_CLIENT_ID": "a", "SIGN_IN_GOOGLE_CLIENT_SECRET": "planted",
    "SIGN_IN_GITHUB_CLIENT_ID": "b", "SIGN_IN_GITHUB_CLIENT_SECRET": "planted",
    "SIGN_IN_COMPANY_CLIENT_ID": "c", "SIGN_IN_COMPANY_CLIENT_SECRET": "planted",
    "SIGN_IN_COMPANY_ISSUER": "https://id.company.example",
    "SIGN_IN_COMPANY_LABEL": "The company",
}  # fmt: skip


def config_of(environment: dict[str, str], **changed: str) -> Config:
    return load_config({**environment, **RIGHT, **changed})


def test_providers_are_read_from_the_environment(environment: dict[str, str]) -> None:
    config = config_of(environment)
    found = [(one.name, one.label, one.issuer) for one in config.sign_in_providers]
    assert found == [
        ("google", "Google", "https://accounts.google.com"),
        ("github", "GitHub", "https://github.com"),
        ("company", "The company", "https://id.company.example"),
    ]
    assert "planted" not in repr(config)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"SIGN_IN_PROVIDERS": "Google"}, "SIGN_IN_PROVIDERS"),
        ({"SIGN_IN_PROVIDERS": "google,google"}, "SIGN_IN_PROVIDERS"),
        ({"SIGN_IN_PROVIDERS": "a/b"}, "SIGN_IN_PROVIDERS"),
        ({"SIGN_IN_GOOGLE_CLIENT_ID": ""}, "SIGN_IN_GOOGLE_CLIENT_ID"),
        ({"SIGN_IN_GOOGLE_CLIENT_SECRET": ""}, "SIGN_IN_GOOGLE_CLIENT_SECRET"),
        ({"SIGN_IN_COMPANY_ISSUER": ""}, "SIGN_IN_COMPANY_ISSUER"),
        ({"SIGN_IN_COMPANY_ISSUER": "http://id.example"}, "SIGN_IN_COMPANY_ISSUER"),
        ({"SIGN_IN_COMPANY_ISSUER": "https://"}, "SIGN_IN_COMPANY_ISSUER"),
    ],
)
def test_a_provider_that_can_not_work_is_named_at_the_start(
    environment: dict[str, str], changed: dict[str, str], field: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        config_of(environment, **changed)
    assert raised.value.field == field
