"""Signing in by a provider in a real browser: a new account, out, in again, and disconnecting."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from app.config import current_config, use_config
from tests.accounts.hashing import cheap_hashes
from tests.accounts.provider import Provider, running_provider

__all__ = ["cheap_hashes"]
pytestmark = [pytest.mark.journey, pytest.mark.long]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def address(app: Flask, database: None, provider: Provider) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address, before = f"http://localhost:{server.port}", current_config()
    use_config(replace(before, base_url=address, sign_in_providers=(provider.configured(),)))
    yield address
    use_config(before)
    server.shutdown()
    thread.join(timeout=10)


def no_overflow(page: Page) -> None:
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(width) <= 0


def test_a_visitor_makes_an_account_by_a_provider_and_comes_again(
    address: str, provider: Provider, browser: Browser
) -> None:
    problems: list[str] = []
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(f"{address}/login")
    no_overflow(page)
    page.get_by_role("button", name="Go on with Company").click()
    page.wait_for_url("**/register/with")
    expect(page.get_by_text(provider.email)).to_be_visible()
    no_overflow(page)
    page.get_by_role("button", name="Create account").click()
    page.wait_for_url("**/dashboard")

    # The session's cookie came along on the way back, and comes along again.
    page.goto(f"{address}/settings/sign-in")
    expect(page.get_by_role("heading", name="Company")).to_be_visible()
    no_overflow(page)
    page.get_by_role("link", name="Disconnect Company").click()
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_text("This is the only way into your account.")).to_be_visible()

    page.goto("about:blank")
    page.context.clear_cookies()
    page.goto(f"{address}/login?next=/profile")
    page.get_by_role("button", name="Go on with Company").click()
    page.wait_for_url("**/profile")
    assert problems == []
