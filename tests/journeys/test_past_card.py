"""The back-test card in a real browser: one click, and what is typed afterwards makes it old."""

from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask
from playwright.sync_api import Browser, ConsoleMessage, expect
from sqlalchemy import insert, select

from app.accounts.demo import CUSTOMER
from app.db import db, utc_now
from app.markets.models import CandleRow, MarketRow
from app.transactions import transaction
from tests.journeys.test_pages import (
    address,
    bot_id,
    sign_in,
)

__all__ = ["address", "bot_id"]
pytestmark = [pytest.mark.journey, pytest.mark.long]


@pytest.fixture
def history(bot_id: int) -> None:
    """Give every pair with a price 40 days that swing around it.

    Slowly: a page counts for a few seconds at most, also on a machine that is busy.
    """
    now = utc_now().replace(minute=0, second=0, microsecond=0)
    known = select(MarketRow.id, MarketRow.last_price).where(MarketRow.last_price.is_not(None))
    with transaction():
        db.session.query(CandleRow).delete()
        for market_id, last in db.session.execute(known).all():
            assert last is not None
            rows = []
            for hour in range(40 * 24):
                price = last * (Decimal(1000 + abs(hour % 160 - 80) - 40) / 1000)
                rows.append(
                    {
                        "market_id": market_id, "timeframe": "1h",
                        "opened_at": now - timedelta(hours=hour), "open": price,
                        "high": price * Decimal("1.001"), "low": price * Decimal("0.999"),
                        "close": price, "volume": Decimal(1),
                    }
                )  # fmt: skip
            db.session.execute(insert(CandleRow), rows)


def test_one_click_counts_and_typing_makes_it_old(
    app: Flask, browser: Browser, history: None, address: str
) -> None:
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(message.text)

    context = browser.new_context(viewport={"width": 360, "height": 800})
    sign_in(app, context, address, CUSTOMER)
    page = context.new_page()
    page.on("console", note)
    page.goto(f"{address}/bots/new")
    page.locator("#past-button").click()
    card = page.locator("#past-run")
    expect(card).to_contain_text("these settings would have made", timeout=20_000)
    expect(card.locator("[data-outdated]")).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "past-button"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("[data-parameter=investment]").fill("777")
    expect(card.locator("[data-outdated]")).to_be_visible()
    # Enter in a field presses the first submit button: that must not be a count.
    first = "document.querySelector('#bot-form [type=submit]').closest('#past-run')"
    assert page.evaluate(first) is None
    assert faults == []
    context.close()
