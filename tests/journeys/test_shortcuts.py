"""Keys in a real browser: they go where their list says, and never while somebody types."""

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect

from app.accounts.demo import CUSTOMER
from tests.journeys.test_pages import (
    address,
    bot_id,
    sign_in,
)

__all__ = ["address", "bot_id"]
pytestmark = [pytest.mark.journey, pytest.mark.long]


def test_keys_go_where_their_list_says(app: Flask, browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    sign_in(app, context, address, CUSTOMER)
    page = context.new_page()
    page.goto(f"{address}/dashboard")
    page.keyboard.press("g")
    page.keyboard.press("b")
    page.wait_for_url(f"{address}/bots")
    page.keyboard.press("/")
    search = page.locator("main input[type=search]")
    expect(search).to_be_focused()
    # In a field every key is a letter.
    page.keyboard.type("n?gt")
    expect(search).to_have_value("n?gt")
    assert page.url == f"{address}/bots"
    page.locator("h1").click()
    page.keyboard.press("?")
    listed = page.locator("#shortcut-list")
    expect(listed).to_be_visible()
    page.get_by_label("Use keyboard shortcuts in this browser").uncheck()
    page.keyboard.press("Escape")
    expect(listed).to_be_hidden()
    page.keyboard.press("n")
    page.wait_for_timeout(300)
    assert page.url == f"{address}/bots"
    context.close()


def test_ticked_bots_stay_ticked_and_are_summed_up(
    app: Flask, browser: Browser, address: str, bot_id: int
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800})
    sign_in(app, context, address, CUSTOMER)
    page = context.new_page()
    page.goto(f"{address}/bots")
    bar = page.locator("#bulk")
    expect(bar).to_be_hidden()
    page.locator("#bot-rows input[name=id]").first.check()
    expect(bar).to_contain_text("Chosen: 1")
    expect(bar).to_contain_text("USDT PAPER")
    page.evaluate("document.body.dispatchEvent(new Event('refresh'))")
    page.wait_for_timeout(500)
    expect(page.locator("#bot-rows input[name=id]").first).to_be_checked()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    bar.get_by_role("button", name="Stop").click()
    expect(page.locator("h1")).to_have_text("Stop 1 bot")
    context.close()


def test_the_palette_goes_to_pages_and_bots_by_keyboard_alone(
    app: Flask, browser: Browser, address: str, bot_id: int
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    sign_in(app, context, address, CUSTOMER)
    page = context.new_page()
    page.goto(f"{address}/dashboard")
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Go to a page or a bot")
    expect(field).to_be_focused()
    options = page.locator("#palette-list [role=option]:visible")
    expect(options.filter(has_text="BTC demo grid")).to_have_count(1)
    page.keyboard.type("zzzz")
    expect(options).to_have_count(0)
    expect(page.locator("#go-to [role=status]")).to_have_text("Nothing is called so.")
    assert field.get_attribute("aria-activedescendant") is None
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#go-to")).to_be_hidden()
    assert page.url == f"{address}/dashboard"

    page.keyboard.press("Meta+k")
    page.keyboard.type("btc dem")
    expect(options).to_have_count(1)
    chosen = field.get_attribute("aria-activedescendant")
    expect(page.locator(f"#{chosen}")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/bots/{bot_id}")

    page.keyboard.press("Control+k")
    expect(options.filter(has_text="BTC demo grid")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/bots")
    # In a field the keys belong to the field.
    page.locator("main input[type=search]").focus()
    page.keyboard.press("Control+k")
    page.wait_for_timeout(200)
    expect(page.locator("#go-to")).to_be_hidden()
    context.close()
