"""The widget in a real browser under the policy of the pages: it solves the task by itself."""

import re
import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect
from werkzeug.serving import make_server

from app.accounts.queries import user_by_email
from tests.accounts.captcha import with_captcha
from tests.accounts.hashing import cheap_hashes
from tests.accounts.people import EMAIL, PASSWORD

__all__ = ["cheap_hashes", "with_captcha"]
pytestmark = [pytest.mark.journey, pytest.mark.long]


@pytest.fixture
def address(app: Flask, database: None, with_captcha: object) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.port}"
    server.shutdown()
    thread.join(timeout=10)


def test_a_form_that_is_sent_at_once_waits_for_the_task(address: str, browser: Browser) -> None:
    page = browser.new_context().new_page()
    page.goto(f"{address}/reset")
    expect(page.locator("altcha-widget input[type=checkbox]")).to_be_visible()
    page.evaluate(
        """() => {
            document.querySelector("input[name=email]").value = "ada@example.org";
            document.querySelector("main form button[type=submit]").click();
        }"""
    )
    page.wait_for_url("**/reset/asked")


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Verified"), ("ru", "Проверено"), ("pt_BR", "Verificado")]
)
def test_a_visitor_registers(address: str, browser: Browser, language: str, words: str) -> None:
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 360, "height": 740})
    context.add_cookies([{"name": "language", "value": language, "url": address}])
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(f"{address}/register")
    page.locator("input[name=email]").fill(EMAIL)
    page.locator("input[name=password]").fill(PASSWORD)
    expect(page.locator("altcha-widget")).to_contain_text(re.compile(words), timeout=20_000)
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(width) <= 0
    page.locator("main form button[type=submit]").last.click()
    page.wait_for_url("**/confirm")
    context.close()
    assert problems == []
    assert user_by_email(EMAIL) is not None
