"""Passkeys in a real browser with a virtual authenticator: add two, log in by each, remove one."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, expect
from werkzeug.serving import make_server

from app.accounts.access import PROOF_SECONDS
from app.accounts.session_store import (
    StoredSession,
    list_sessions,
    load,
)
from app.accounts.session_store import (
    replace as replace_session,
)
from app.config import current_config, use_config
from tests.accounts.hashing import cheap_hashes
from tests.accounts.people import EMAIL, PASSWORD, make_person

__all__ = ["cheap_hashes"]
pytestmark = [pytest.mark.journey, pytest.mark.long]


@pytest.fixture
def address(app: Flask, database: None) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address, before = f"http://localhost:{server.port}", current_config()
    use_config(replace(before, base_url=address))
    yield address
    use_config(before)
    server.shutdown()
    thread.join(timeout=10)


@dataclass
class Devices:
    """The authenticators of one browser, of which one is there at a time."""

    session: CDPSession
    present: str = ""

    def plug_in(self) -> str:
        """Put a new, empty one in, and the present one out."""
        self.put_out()
        options = {
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
            "hasUserVerification": True, "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }  # fmt: skip
        answer = self.session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self.present = str(answer["authenticatorId"])
        return self.present

    def keys(self) -> list[dict[str, Any]]:
        """Return what the present one holds."""
        answer = self.session.send("WebAuthn.getCredentials", {"authenticatorId": self.present})
        return list(answer["credentials"])

    def put_out(self) -> list[dict[str, Any]]:
        """Take the present one away, with what it holds."""
        if not self.present:
            return []
        held = self.keys()
        self.session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self.present})
        self.present = ""
        return held

    def put_back(self, held: list[dict[str, Any]]) -> None:
        """Put one back that was taken away."""
        self.plug_in()
        for key in held:
            self.session.send(
                "WebAuthn.addCredential", {"authenticatorId": self.present, "credential": key}
            )


def open_page(browser: Browser, width: int, problems: list[str]) -> tuple[BrowserContext, Page]:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    return context, page


def no_overflow(page: Page) -> None:
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(width) <= 0


def add(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}/settings/passkeys")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name of the passkey").fill(name)
    no_overflow(page)
    page.get_by_role("button", name="Make the passkey").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def log_in_by_passkey(page: Page, address: str) -> None:
    page.goto(f"{address}/login")
    no_overflow(page)
    page.get_by_role("button", name="Log in with a passkey").click()
    page.wait_for_url("**/dashboard")


def log_out(page: Page) -> None:
    # Not while a page is open: its live stream would be refused.
    page.goto("about:blank")
    page.context.clear_cookies()


def let_the_proof_grow_old(user_id: int) -> None:
    for one in list_sessions(user_id):
        stored = load(one.key)
        assert isinstance(stored, StoredSession)
        stored.proved -= PROOF_SECONDS + 1
        assert replace_session(one.key, stored)


@pytest.mark.parametrize("width", [1280, 360])
def test_two_passkeys_open_the_account_and_one_is_removed(
    address: str, browser: Browser, width: int
) -> None:
    user_id = make_person().id
    problems: list[str] = []
    context, page = open_page(browser, width, problems)
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    devices = Devices(session)
    page.goto(f"{address}/login")
    page.locator("input[name=email]").fill(EMAIL)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_url("**/dashboard")

    devices.plug_in()
    add(page, address, "Phone")
    expect(page.get_by_text("Your recovery codes")).to_be_visible()
    no_overflow(page)
    phone = devices.put_out()
    devices.plug_in()
    add(page, address, "Blue key")
    no_overflow(page)

    log_out(page)
    log_in_by_passkey(page, address)
    key = devices.put_out()
    log_out(page)
    devices.put_back(phone)
    log_in_by_passkey(page, address)

    let_the_proof_grow_old(user_id)
    page.goto(f"{address}/settings/passkeys")
    page.get_by_role("link", name="Remove Blue key").click()
    page.wait_for_url(re.compile(r"/prove\?next="))
    no_overflow(page)
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("button", name="Remove the passkey").click()
    expect(page.get_by_text("The passkey is removed.")).to_be_visible()
    expect(page.get_by_role("heading", name="Blue key")).to_have_count(0)

    log_out(page)
    devices.put_out()
    devices.put_back(key)
    page.goto(f"{address}/login")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_text("This passkey was not taken.")).to_be_visible()
    context.close()
    assert problems == []
