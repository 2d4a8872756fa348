"""Limits for each network address, shared by all processes."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask
from limits import RateLimitItem
from redis.exceptions import TimeoutError

from app import create_app
from app.config import current_config, use_config
from app.db import db
from app.extensions import limiter, redis_client
from tests.accounts.people import PASSWORD, log_in, make_person
from tests.client import Client


@pytest.fixture
def new_process(app: Flask, database: None) -> Iterator[Callable[[], Flask]]:
    """Return a function that makes an app with limits, as production has them, behind a proxy."""
    config = current_config()
    changed = replace(config, environment="development", trusted_proxies=1, demo=False)
    made: list[Flask] = []

    def make() -> Flask:
        one = create_app(changed)
        one.test_client_class = Client
        made.append(one)
        return one

    yield make
    for one in made:
        with one.app_context():
            db.engine.dispose()
    redis_client.client.close()
    limiter.enabled = False
    use_config(config)
    redis_client.configure(config.redis_url)


@pytest.fixture
def limited(new_process: Callable[[], Flask]) -> Flask:
    """Return one app with limits."""
    return new_process()


def browser(app: Flask, address: str = "192.0.2.1") -> Client:
    client = app.test_client()
    assert isinstance(client, Client)
    client.environ_base["HTTP_X_FORWARDED_FOR"] = address
    return client


def register(client: Client, number: int) -> int:
    form = {"email": f"person{number}@example.org", "password": PASSWORD}
    return client.post_form("/register", form).status_code


def test_the_eleventh_wrong_log_in_of_a_minute_is_429(limited: Flask) -> None:
    client = browser(limited)
    statuses = [log_in(client, f"nobody{number}@example.org", "wrong") for number in range(11)]
    assert statuses == [422] * 10 + [429]
    answer = client.post_form("/login", {"email": "x@example.org", "password": "wrong"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert client.get("/login").status_code == 200


@pytest.mark.long
def test_another_address_is_not_held_up(limited: Flask) -> None:
    make_person()
    client = browser(limited)
    for number in range(11):
        log_in(client, f"nobody{number}@example.org", "wrong")
    assert log_in(browser(limited, "192.0.2.2")) == 303


@pytest.mark.long
def test_a_second_process_counts_on(new_process: Callable[[], Flask]) -> None:
    client = browser(new_process())
    for number in range(10):
        log_in(client, f"nobody{number}@example.org", "wrong")
    second = browser(new_process())
    assert log_in(second, "nobody@example.org", "wrong") == 429


def test_redis_that_goes_away_after_the_work_undoes_no_answer(
    limited: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    hit = limiter.limiter.hit

    def away(limit: RateLimitItem, *told: str, **more: int) -> bool:
        if limit.amount == 60:  # of requests: asked before the work
            return hit(limit, *told, **more)
        raise TimeoutError("Timeout reading from socket")

    monkeypatch.setattr(limiter.limiter, "hit", away)
    assert register(browser(limited), 1) == 303


def test_a_forged_address_does_not_escape(limited: Flask) -> None:
    """The proxy appends the true address; what a visitor wrote before it does not count."""
    statuses = []
    for number in range(11):
        client = browser(limited, f"10.9.8.{number}, 192.0.2.1")
        statuses.append(log_in(client, f"nobody{number}@example.org", "wrong"))
    assert statuses == [422] * 10 + [429]


def test_the_sixth_registration_of_an_hour_is_429(limited: Flask) -> None:
    client = browser(limited)
    assert [register(client, number) for number in range(6)] == [303] * 5 + [429]


@pytest.mark.long
def test_correcting_a_form_does_not_use_up_registrations(limited: Flask) -> None:
    client = browser(limited)
    wrong = {"email": "no address", "password": PASSWORD}
    for _ in range(8):
        assert client.post_form("/register", wrong).status_code == 422
    assert register(client, 1) == 303
