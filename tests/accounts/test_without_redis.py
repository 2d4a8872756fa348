"""With Redis down visitors can look, and nobody is mistaken for a visitor."""

from collections.abc import Iterator

import pytest
from flask import Flask

from app.extensions import redis_client
from tests.accounts.people import log_in, make_person
from tests.client import Client


@pytest.fixture
def without_redis(app: Flask) -> Iterator[None]:
    url = redis_client.url
    redis_client.configure("redis://127.0.0.1:1/0")
    try:
        yield
    finally:
        redis_client.configure(url)


def test_public_pages_open_without_redis(client: Client, without_redis: None) -> None:
    for path in ("/login", "/register", "/pricing", "/legal/terms"):
        assert client.get(path).status_code == 200, path


@pytest.mark.parametrize("cookie", [None, "some-id"])
def test_forms_of_visitors_wait_for_redis(
    client: Client, without_redis: None, cookie: str | None
) -> None:
    if cookie:
        client.set_cookie("session", cookie)
    answer = client.post("/login", data={"email": "a@example.org", "password": "x"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_signed_in_person_is_asked_to_wait_and_not_to_log_in(client: Client, app: Flask) -> None:
    make_person()
    log_in(client)
    url = redis_client.url
    redis_client.configure("redis://127.0.0.1:1/0")
    try:
        assert client.get("/profile").status_code == 503
        assert client.get("/pricing").status_code == 200
    finally:
        redis_client.configure(url)
    assert client.get("/settings").status_code == 200
