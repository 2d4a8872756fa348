"""From the prices to a plan that is paid for, a larger one, and money back: in a real browser."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select, update

from app.accounts.demo import ADMINISTRATOR
from app.accounts.queries import user_by_email
from app.adapters.payments import rails, use_rails
from app.adapters.payments.demo import DemoRail
from app.config import current_config, use_config
from app.db import db, utc_now
from app.notifications.queries import caught_mails
from app.payments import jobs
from app.payments.demo import provider as demo
from app.payments.models import Refund
from app.subscriptions import queries
from app.subscriptions.models import PlanPrice
from app.subscriptions.rules import Limits
from app.transactions import transaction
from tests.client import Client
from tests.conftest import new_client
from tests.journeys.test_pages import (
    address,
    bot_id,
    pytestmark,
    sign_in,
)
from tests.long import few
from tests.payments import world

__all__ = ["address", "bot_id", "pytestmark"]

EMAIL, PASSWORD = "buyer@example.org", "four lamps under water"
SECURE_CARD = "4000 0025 0000 3155"
# The page that waits asks again every two seconds.
WAIT_MS = 15_000


@pytest.fixture
def shop(address: str) -> Iterator[str]:
    """Return the address of a server to which the demonstration leads back, with old prices."""
    before, rails_before = current_config(), dict(rails())
    use_config(replace(before, base_url=address))
    use_rails({"demo": DemoRail(demo, address, (demo.webhook_secret(),))})
    with transaction():
        yesterday = utc_now() - timedelta(days=1)
        db.session.execute(update(PlanPrice).values(valid_from=yesterday))
    yield address
    use_config(before)
    use_rails(rails_before)


@pytest.mark.parametrize("width", few((1280, 360), 2))
def test_from_the_prices_to_money_back(app: Flask, browser: Browser, shop: str, width: int) -> None:
    provider = new_client(app)
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    faults = _listen(page)

    page.goto(f"{shop}/pricing")
    page.get_by_role("link", name="By the year").click()
    expect(page.get_by_text("You save 58.00")).to_be_visible()
    page.get_by_role("link", name="By the month").click()
    page.get_by_role("link", name="Choose Pro").click()
    _register(page)

    expect(page.get_by_role("heading", name="Order Pro")).to_be_visible()
    page.get_by_label("Extra bot").fill("1")
    order = page.get_by_role("button", name=re.compile("Order and pay 34.00"))
    _fits(page)
    order.click()
    _pay_with_confirmation(page)
    expect(page.get_by_text("Waiting for the provider")).to_be_visible()
    assert _plan().plan == "free"
    world.settle(provider)

    # Nobody loads the page anew: it leads on by itself.
    expect(page.get_by_role("heading", name="Your plan", level=1)).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("Your payment has come.")).to_be_visible()
    assert (_plan().plan, _plan().max_bots) == ("pro", 21)
    _fits(page)

    page.get_by_role("link", name="Change plan, period or bots").click()
    page.get_by_role("radio", name=re.compile("^Premium")).check()
    pay = page.get_by_role("button", name=re.compile("Pay .* and change now"))
    expect(pay).to_be_visible(timeout=WAIT_MS)
    _fits(page)
    pay.click()
    expect(page.get_by_role("heading", name="Your plan", level=1)).to_be_visible()
    world.settle(provider)
    page.reload()
    expect(page.get_by_role("heading", name="Premium")).to_be_visible()
    assert _plan().max_bots == 101

    _give_back(app, browser, shop, provider)
    page.goto(f"{shop}/invoices")
    page.get_by_role("link", name="INV-000001", exact=True).click()
    expect(page.get_by_text("Partly refunded")).to_be_visible()
    expect(page.get_by_text(re.compile("^Credit note CN-"))).to_be_visible()
    _fits(page)
    assert faults == []
    context.close()


@pytest.mark.long
@pytest.mark.parametrize(("language", "word"), [("ru", "Цены"), ("pt_BR", "Preços")])
def test_the_prices_and_an_order_stand_in_every_language(
    app: Flask, browser: Browser, address: str, language: str, word: str
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme="dark")
    context.add_cookies([{"name": "language", "value": language, "url": address}])
    page = context.new_page()
    faults = _listen(page)
    page.goto(f"{address}/pricing?period=year")
    expect(page.get_by_role("heading", name=word, level=1)).to_be_visible()
    _fits(page)
    assert faults == []
    context.close()


def _listen(page: Page) -> list[str]:
    """Return a list that fills with what the browser complains about."""
    faults: list[str] = []
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    return faults


def _register(page: Page) -> None:
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    db.session.rollback()
    code = re.search(r"\b\d{6}\b", caught_mails()[0].body)
    assert code is not None
    page.get_by_label("Code").fill(code.group())
    page.get_by_role("button", name="Confirm").click()


def _pay_with_confirmation(page: Page) -> None:
    page.get_by_label("Number of the card").fill(SECURE_CARD)
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_role("heading", name="Your bank asks")).to_be_visible()
    page.get_by_role("button", name="Yes, I do").click()


def _give_back(app: Flask, browser: Browser, address: str, provider: Client) -> None:
    """Let staff give a part of the first payment back, and the provider do it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    sign_in(app, context, address, ADMINISTRATOR)
    page = context.new_page()
    first = world.payments()[0].id
    page.goto(f"{address}/admin/payments/refund?id={first}")
    page.get_by_label("Amount").fill("9.50")
    page.get_by_label("Reason").fill("A week without service")
    page.locator("main form button[type=submit]").click()
    page.wait_for_load_state()
    context.close()
    db.session.rollback()
    for refund_id in db.session.scalars(select(Refund.id)).all():
        db.session.rollback()
        jobs.send_refund(refund_id)
    world.settle(provider)
    db.session.rollback()
    assert [one.amount for one in db.session.scalars(select(Refund))] == [Decimal("9.50")]


def _fits(page: Page) -> None:
    wide, shown = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= shown, page.url


def _plan() -> Limits:
    db.session.rollback()
    user = user_by_email(EMAIL)
    assert user is not None
    return queries.limits_of(user.id)
