"""Error pages say what happened and what to do."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from redis.exceptions import TimeoutError as RedisTimeout

from app.extensions import limiter
from app.formatting.filters import duration
from tests.client import Client


@pytest.fixture
def limits(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch on the limits by address that are off in other tests."""
    monkeypatch.setitem(app.config, "RATELIMIT_ENABLED", True)
    hooks = {name: {k: [*v] for k, v in getattr(app, name).items()} for name in _HOOKS}
    monkeypatch.setattr(limiter, "enabled", True)
    monkeypatch.setattr(app, "_got_first_request", False)
    limiter.init_app(app)
    yield
    limiter.reset()
    limiter.initialized = False
    for name, before in hooks.items():
        setattr(app, name, before)


_HOOKS = ("before_request_funcs", "after_request_funcs", "teardown_request_funcs")


@pytest.mark.long
@pytest.mark.usefixtures("limits")
def test_who_sends_a_form_too_often_is_told_how_long_to_wait(client: Client) -> None:
    for _ in range(60):
        assert client.post_form("/register", {"email": "x"}).status_code == 422
    refused = client.post_form("/register", {"email": "x"})
    assert refused.status_code == 429
    seconds = int(refused.headers["Retry-After"])
    assert seconds > 60
    # The header may be written in the second after the sentence.
    told = {duration(timedelta(seconds=seconds + later)) for later in (0, 1)}
    assert any(f"Please wait {each} and" in refused.text for each in told)


@pytest.mark.usefixtures("limits")
def test_what_was_done_is_not_called_a_fault_when_the_counters_go_away_meanwhile(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form was counted and taken; only then Redis went away."""

    def away(*_: object) -> None:
        raise RedisTimeout

    monkeypatch.setattr(limiter.limiter, "get_window_stats", away)
    assert client.post_form("/register", {"email": "x"}).status_code == 422
    monkeypatch.setattr(limiter.limiter, "hit", lambda *_, **__: False)
    assert client.post_form("/register", {"email": "x"}).status_code == 429
