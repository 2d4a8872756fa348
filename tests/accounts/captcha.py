"""What the captcha tests share: the switch, and a program that does the browser's work."""

from collections.abc import Iterator
from dataclasses import replace

import altcha
import pytest
from flask import Flask

from app.config import Config, current_config, use_config
from tests.client import Client


@pytest.fixture
def with_captcha(app: Flask) -> Iterator[Config]:
    """Ask for the captcha, as outside tests."""
    before = current_config()
    use_config(replace(before, captcha=True))
    yield before
    use_config(before)


def solved(client: Client, action: str) -> str:
    """Fetch the work of a form and do it; return what the widget would send."""
    client.csrf_token()
    made = altcha.Challenge.from_dict(client.get(f"/captcha/{action}").get_json())
    solution = altcha.solve_challenge(made)
    assert solution is not None
    return altcha.Payload(made, solution).to_base64()
