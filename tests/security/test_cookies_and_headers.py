"""Cookies and headers of every answer."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from app.accounts.session_cookies import Limits, RedisSessions
from app.config import current_config, use_config
from tests.accounts.people import EMAIL, PASSWORD, log_in, make_person
from tests.client import Client

PUBLIC_PAGES = ("/login", "/register", "/pricing", "/faq", "/legal/terms", "/healthz", "/nowhere")
OWN_PAGES = ("/dashboard", "/profile", "/settings", "/confirm", "/subscriptions")
INLINE = re.compile(
    r"<[^>]+\son[a-z]+\s*=|<[^>]+\sstyle\s*=|<script(?![^>]*\ssrc=)[^>]*>|<style|javascript:",
    re.IGNORECASE,
)

INPUT = re.compile(r'name="csrf_token" value="([^"]+)"')


@pytest.fixture
def over_https(app: Flask) -> Iterator[None]:
    """Let the app run as behind https, with its real cookie."""
    before, interface = current_config(), app.session_interface
    use_config(replace(before, base_url="https://localhost"))
    app.session_interface = RedisSessions(Limits(idle_s=1800, absolute_s=43_200, secure=True))
    yield
    app.session_interface = interface
    use_config(before)


def set_cookies(client: Client, path: str) -> list[str]:
    return client.get(path, base_url="https://localhost").headers.getlist("Set-Cookie")


def test_the_session_cookie_is_locked_down_over_https(client: Client, over_https: None) -> None:
    (cookie,) = set_cookies(client, "/login")
    assert cookie.startswith("__Host-session=")
    parts = {part.strip() for part in cookie.split(";")[1:]}
    assert parts == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}


def test_the_refresh_cookie_is_locked_down_over_https(client: Client, over_https: None) -> None:
    make_person()
    form = {"email": EMAIL, "password": PASSWORD}
    site = {"base_url": "https://localhost"}
    client.get("/login", **site)
    token = INPUT.findall(client.get("/login", **site).text)[0]
    answer = client.post(
        "/login",
        data=form | {"csrf_token": token},
        headers={"Referer": "https://localhost/login"},
        **site,
    )
    assert answer.status_code == 303
    cookies = {one.split("=")[0]: one for one in answer.headers.getlist("Set-Cookie")}
    assert set(cookies) == {"__Host-session", "__Host-refresh"}
    for cookie in cookies.values():
        parts = {part.strip() for part in cookie.split(";")[1:]}
        assert parts == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}


def test_the_local_cookie_differs_only_in_what_http_can_not_do(client: Client) -> None:
    cookie = client.get("/login").headers.getlist("Set-Cookie")[0]
    assert cookie.startswith("session=")
    parts = {part.strip() for part in cookie.split(";")[1:]}
    assert parts == {"HttpOnly", "Path=/", "SameSite=Lax"}


def test_the_session_id_stands_in_no_page(client: Client) -> None:
    make_person()
    log_in(client)
    cookie, refresh = client.get_cookie("session"), client.get_cookie("refresh")
    assert cookie is not None and refresh is not None
    for path in OWN_PAGES:
        page = client.get(path, follow_redirects=True).text
        assert cookie.value not in page, path
        assert refresh.value not in page, path


@pytest.mark.parametrize("path", PUBLIC_PAGES)
def test_every_answer_carries_the_security_headers(client: Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    for rule in ("object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "'nonce-"):
        assert rule in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert int(re.findall(r"max-age=(\d+)", headers["Strict-Transport-Security"])[0]) >= 31_536_000
    assert headers["Referrer-Policy"]
    assert headers["Cache-Control"] == "no-store"


def test_the_nonce_is_new_in_every_answer(client: Client) -> None:
    policies = {client.get("/login").headers["Content-Security-Policy"] for _ in range(3)}
    assert len(policies) == 3


def test_no_page_holds_inline_code_or_style(client: Client) -> None:
    pages = {path: client.get(path).text for path in PUBLIC_PAGES}
    pages["/setup"] = client.get("/setup").text
    pages["/setup/checks"] = client.get("/setup/checks").text
    make_person(confirmed=False)
    log_in(client)
    pages |= {path: client.get(path).text for path in OWN_PAGES}
    found = {path: INLINE.findall(html) for path, html in pages.items()}
    assert {path: hits for path, hits in found.items() if hits} == {}


def test_pages_with_a_session_vary_by_cookie(client: Client) -> None:
    assert "Cookie" in client.get("/login").headers["Vary"]
