"""Clocks are measured where somebody trades; an address that nobody was told raises the alarm."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from redis import Redis

from app import config, health
from app.accounts.models import User
from app.adapters import address
from app.adapters.exchanges import client as clients
from app.adapters.exchanges import public
from app.adapters.exchanges.clock import Clocks, Reading
from app.errors import ConfigError, Unavailable
from app.exchanges import jobs, service
from app.health import Grade
from app.subscriptions.service import seed_plans
from app.transactions import transaction
from tests.adapters.exchanges.canned import connect
from tests.exchanges.test_service import connected, paper, wanted
from tests.factories import make_user

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def user(database: None) -> User:
    with transaction():
        service.seed_exchanges()
        seed_plans()
        return make_user()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answer every question for the time with a clock that is 700 ms ahead."""
    urls: list[str] = []
    make = clients.make_client

    def answer(request: Any) -> Any:
        urls.append(request.url)
        now = time.time_ns() // 1_000_000 + 700
        return {"retCode": 0, "result": {}, "time": now}

    def make_canned(*arguments: Any, **named: Any) -> Any:
        client = make(*arguments, **named)
        connect(client, answer)
        return client

    monkeypatch.setattr(clients, "make_client", make_canned)
    return urls


def check(name: str) -> health.Check | None:
    return next((one for one in health.overview().services if one.name == name), None)


def test_clock_of_every_site_with_an_account_is_measured_for_all(
    user: User, asked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    paper(user)
    connected(user, wanted("Real", "bybit"))
    with caplog.at_level(logging.ERROR):
        jobs.measure_clocks()
    assert asked
    assert all("bybit" in url for url in asked)
    # Another process reads it from Redis.
    from app.extensions import redis_client

    assert 650 <= Clocks(lambda: redis_client.client).offset_ms("bybit") <= 750
    assert any("clock_differs exchange=bybit" in record.getMessage() for record in caplog.records)
    found = check("clock:bybit")
    assert found is not None
    assert found.grade is Grade.LATE


def test_nobody_is_asked_for_the_time_where_nobody_trades(user: User, asked: list[str]) -> None:
    paper(user)
    account = connected(user, wanted("Real", "bybit"))
    with transaction():
        service.switch(user.id, account.id, on=False)
    jobs.measure_clocks()
    assert asked == []
    assert check("clock:bybit") is None


def test_clock_that_agrees_is_fine_and_an_old_reading_is_late(user: User, redis_db: Redis) -> None:
    Clocks(lambda: redis_db).keep("okx", Reading(-40, 10))
    found = check("clock:okx")
    assert found is not None
    assert (found.grade, found.figures) == (Grade.OK, {"offset_ms": -40})
    redis_db.set("clock:okx", f"-40 {int(time.time()) - 3600}")
    found = check("clock:okx")
    assert found is not None
    assert found.grade is Grade.LATE


def test_exchange_that_is_away_stops_no_other(
    user: User, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    connected(user, wanted("Real", "bybit"))
    seen: list[str] = []

    def measure(name: str, *, testnet: bool) -> None:
        seen.append(name)
        raise Unavailable("exchange_unreachable", exchange=name)

    monkeypatch.setattr(public, "measure_clock", measure)
    jobs.measure_clocks()
    assert seen == ["bybit"]


# --- our own address --------------------------------------------------------------------------


@pytest.fixture
def probed() -> Iterator[None]:
    before = config.current_config()
    config.use_config(
        replace(
            before,
            outgoing_addresses=("203.0.113.7", "2001:db8::7"),
            address_probe_url="https://probe.example/ip",
        )
    )
    yield
    config.use_config(before)


@pytest.mark.usefixtures("probed")
@pytest.mark.parametrize(
    ("seen", "grade"), [("203.0.113.7", Grade.OK), ("198.51.100.9", Grade.DOWN)]
)
def test_address_that_customers_were_not_told_raises_the_alarm(
    seen: str, grade: Grade, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(address, "seen_from_outside", lambda url: seen)
    with caplog.at_level(logging.ERROR):
        jobs.check_address()
    found = check("address")
    assert found is not None
    assert (found.grade, found.figures) == (grade, {"address": seen})
    rang = any("address_not_listed" in record.getMessage() for record in caplog.records)
    assert rang is (grade is Grade.DOWN)


def test_without_a_probe_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(url: str) -> str:
        raise AssertionError("asked")

    monkeypatch.setattr(address, "seen_from_outside", ask)
    jobs.check_address()
    assert check("address") is None


class Raw:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, size: int, decode_content: bool = False) -> bytes:
        return self.content[:size]


class Answered:
    """What a probe answered."""

    def __init__(self, content: bytes, status: int = 200) -> None:
        self.raw, self.status = Raw(content), status

    def __enter__(self) -> "Answered":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def raise_for_status(self) -> None:
        if self.status != 200:
            raise requests.HTTPError("bad")


@pytest.mark.parametrize(
    ("answer", "seen"),
    [(Answered(b"203.0.113.7\n"), "203.0.113.7"), (Answered(b"2001:0db8::7"), "2001:db8::7")],
)
def test_plain_address_is_read(
    answer: Answered, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "get", lambda url, **_: answer)
    assert address.seen_from_outside("https://probe.example/ip") == seen


@pytest.mark.parametrize(
    "answer",
    [
        Answered(b"<html>"), Answered(b""), Answered(b"203.0.113.7", 500),
        Answered("203.0.113.7 адрес".encode()), Answered(b"1" * 10_000_000),
    ],
)  # fmt: skip
def test_anything_else_is_no_address(answer: Answered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "get", lambda url, **_: answer)
    with pytest.raises(Unavailable):
        address.seen_from_outside("https://probe.example/ip")


def test_probe_must_be_https() -> None:
    with pytest.raises(ConfigError) as error:
        config.load_config({"BOTYARD_ENV": "testing", "ADDRESS_PROBE_URL": "http://probe.example"})
    assert error.value.field == "ADDRESS_PROBE_URL"


def test_calls_of_all_processes_are_in_the_metrics(redis_db: Redis) -> None:
    from app.pages.exposition import collect, render

    redis_db.hset("exchange:calls", "bybit private", 7)
    text = render(collect())
    assert 'botyard_exchange_calls_total{exchange="bybit",kind="private"} 7' in text
