"""Every page in a real browser: nothing blocked, nothing to scroll sideways, nobody shut out."""

import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    ViewportSize,
)
from redis import Redis
from werkzeug.serving import make_server

from app.accounts.demo import ADMINISTRATOR, CUSTOMER, DemoLogin, seed_people
from app.accounts.queries import user_by_email
from app.accounts.service import set_language
from app.accounts.session_cookies import LOCAL_COOKIE
from app.adapters.exchanges.clock import KEYS as CLOCK_KEYS
from app.bots.demo import seed_bots
from app.bots.live import tick_accounts
from app.bots.queries import own_cards
from app.exchanges.service import seed_exchanges
from app.faq.service import seed_faq
from app.health import ADDRESS_KEY, LEDGER_KEY
from app.markets.service import seed_markets
from app.money import Money
from app.subscriptions.service import seed_plans
from app.transactions import transaction
from app.wallet import queries, service
from tests.conftest import new_client
from tests.long import few, thinned

pytestmark = pytest.mark.journey

ACCESS = (Path(__file__).parent / "access.js").read_text()

# An outline of 2 px or more, on whatever holds the focus or stands for it.
FOCUSED = """async () => {
  const one = document.activeElement;
  const shown = one.matches(".choice-card input") ? one.nextElementSibling : one;
  const style = getComputedStyle(shown);
  const inSight = () => {
    const box = shown.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight;
  };
  // The page scrolls to what gets the focus; charts that load late may move it once more.
  for (let picture = 0; picture < 30 && !inSight(); picture += 1) {
    await new Promise(requestAnimationFrame);
  }
  return {
    what: `${one.tagName} ${one.id || one.name || one.className}`,
    text: one.textContent.trim().slice(0, 40),
    ring: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    visible: inSight(),
    place: [...document.querySelectorAll("*")].indexOf(one),
  };
}"""
BARRIERS = """<main><h1>One</h1><h3 id="same">Three</h3><p id="same">text</p>
<input><button></button><input aria-label="fine" aria-describedby="gone">
<table><thead><tr><th>Head</th></tr></thead></table><div tabindex="3">first</div>
<button style="height: 20px; padding: 0; min-height: 0">small</button>
<p style="background: #888; color: #aaa">faint words</p>
<p style="background: #fff; color: #000">fine</p></main>"""

CABINET = [
    "/dashboard",
    "/bots",
    "/bots/{bot}",
    "/bots/{bot}?tab=trades",
    "/bots/{bot}?tab=levels",
    "/bots/{bot}?tab=log",
    "/bots/{bot}?tab=settings",
    "/bots/{bot}/stop",
    "/bots/{bot}/emergency",
    "/bots/{bot}/change",
    "/bots/{bot}/money",
    "/bots/{bot}/limits",
    "/bots/{bot}/tags",
    "/bots/{bot}/share",
    "/bots/new",
    "/strategies",
    "/statistics",
    "/trades",
    "/markets",
    "/exchanges",
    "/exchanges/new",
    "/exchanges/new?exchange=bybit",
    "/exchanges/new?exchange=paper",
    "/subscriptions",
    "/subscribe/pro",
    "/subscribe/extra_bot",
    "/wallet",
    "/wallet/{posting}",
    "/profile",
    "/settings",
    "/settings/tokens",
    "/settings/password",
    "/settings/email",
    "/settings/second-factor",
    "/settings/phone",
    "/settings/data",
    "/settings/delete",
    "/settings/delete/ask",
    "/prove",
    "/faq",
    "/support",
    "/support/new",
]
PUBLIC = [
    "/",
    "/pricing",
    "/pricing?period=year",
    "/login",
    "/register",
    "/reset",
    "/reset/new",
    "/legal/risk",
]
DESK = [
    "/admin/",
    "/admin/bots/",
    "/admin/orders/",
    "/admin/users/",
    "/admin/books/",
    "/admin/ledger/postings/",
    "/admin/statistics/",
    "/admin/tickets/",
]
# Where wide tables or two columns could overflow on a large screen.
WIDE = {"/dashboard", "/bots", "/bots/{bot}", "/bots/new", "/trades", "/admin/orders/"}


CREDIT = "journey:credit"


@pytest.fixture
def bot_id(app: Flask, database: None) -> int:
    """Return the demo bot, started and ticked, so that its page has orders and a chart."""
    for seed in (seed_exchanges, seed_markets, seed_plans, seed_faq, seed_people, seed_bots):
        with transaction():
            seed()
    customer = user_by_email(CUSTOMER.email)
    assert customer is not None
    with transaction():
        credit = Money(Decimal(5), "USD")
        service.grant(
            "journey", customer.id, credit, actor_id=None, reason="A present", refs=(CREDIT,)
        )
    [card] = own_cards(customer.id)
    tick_accounts([card.account_id], "journey")
    return card.id


@pytest.fixture
def address(app: Flask, bot_id: int) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.port}"
    server.shutdown()
    thread.join(timeout=10)


@thinned(6)
def test_pages_of_the_cabinet(
    app: Flask, browser: Browser, address: str, bot_id: int, step: int
) -> None:
    assert look_at(app, browser, address, CABINET[::step], CUSTOMER, bot_id) == []


@thinned(3)
def test_public_pages(app: Flask, browser: Browser, address: str, step: int) -> None:
    assert look_at(app, browser, address, PUBLIC[::step], None) == []


@pytest.mark.long
def test_pages_of_the_desk(app: Flask, browser: Browser, address: str) -> None:
    assert look_at(app, browser, address, DESK, ADMINISTRATOR) == []


@pytest.mark.long
def test_the_desk_fits_a_phone_in_the_longest_language(
    app: Flask, browser: Browser, address: str, redis_db: Redis
) -> None:
    """Every line that the services may have, none of them seen lately, and the menu open."""
    long_ago = time.time() - 20 * 3600
    redis_db.hset(LEDGER_KEY, mapping={"at": long_ago, "postings": 123_456, "differences": 0})
    redis_db.hset(ADDRESS_KEY, mapping={"at": long_ago, "listed": 1, "address": "203.0.113.254"})
    redis_db.set(f"{CLOCK_KEYS}binance", f"-12345 {int(long_ago)}")
    administrator = user_by_email(ADMINISTRATOR.email)
    assert administrator is not None
    with transaction():
        set_language(administrator.id, "ru")
    for width in (360, 320):
        size: ViewportSize = {"width": width, "height": 740}
        context = browser.new_context(viewport=size, color_scheme="dark")
        sign_in(app, context, address, ADMINISTRATOR)
        page = context.new_page()
        for path in ("/admin/", "/admin/health/"):
            assert faults_of(page, address + path) == [], (path, width)
            assert "Книги" in page.locator("main").inner_text()
            page.locator(".staff-menu > summary").click()
            assert page.locator(".staff-menu .menu-panel").is_visible()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, (path, "the menu is open")
        context.close()


def test_the_look_for_barriers_finds_them(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.set_content(BARRIERS)
    found = page.evaluate(ACCESS)
    page.close()
    for fault in (
        "no name: <input", "no name: <button", "id twice: same", "aria-describedby leads nowhere",
        "heading skips a level", "no scope", "no language", "order forced", "20 px high",
        "light: contrast 1.5", "dark: contrast 1.5",
    ):  # fmt: skip
        assert any(line.startswith(fault) for line in found), (fault, found)
    assert not [line for line in found if "fine" in line], found


@pytest.mark.parametrize("path", few(["/bots/new", "/dashboard"], 2))
def test_the_keyboard_reaches_what_it_shows_where_it_is(
    app: Flask, browser: Browser, address: str, path: str
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    sign_in(app, context, address, CUSTOMER)
    page = context.new_page()
    page.goto(address + path)
    seen = []
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
    context.close()
    assert seen[0]["text"] == "Skip to content"
    assert [each for each in seen if each["ring"] < 2 or not each["visible"]] == []
    # From top to bottom, and never caught in one place.
    assert len({each["place"] for each in seen}) == len(seen)


def look_at(
    app: Flask,
    browser: Browser,
    address: str,
    paths: list[str],
    login: DemoLogin | None,
    bot: int = 0,
) -> list[str]:
    """Open each page small and light, wide ones also large and dark; return what is wrong."""
    small = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme="light")
    large = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    found = []
    known = queries.postings_about(CREDIT)
    posting = known[0].id if known else 0
    for context, chosen in [(small, paths), (large, [path for path in paths if path in WIDE])]:
        if login is not None:
            sign_in(app, context, address, login)
        page = context.new_page()
        for path in chosen:
            faults = faults_of(page, address + path.format(bot=bot, posting=posting))
            found += [f"{path}: {fault}" for fault in faults]
        context.close()
    return found


def sign_in(app: Flask, context: BrowserContext, address: str, login: DemoLogin) -> None:
    user = user_by_email(login.email)
    assert user is not None
    client = new_client(app)
    client.sign_in(user)
    cookie = client.get_cookie(LOCAL_COOKIE)
    assert cookie is not None
    context.add_cookies([{"name": LOCAL_COOKIE, "value": cookie.value, "url": address}])


def faults_of(page: Page, url: str) -> list[str]:
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(message.text)

    def fail(error: Error) -> None:
        faults.append(str(error))

    page.on("console", note)
    page.on("pageerror", fail)
    answer = page.goto(url)
    assert answer is not None
    # Scripts of the page and the chart have their say within this time.
    page.wait_for_timeout(200)
    page.remove_listener("console", note)
    page.remove_listener("pageerror", fail)
    if not answer.ok:
        faults.append(f"answered {answer.status}")
    wide, shown = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    if wide > shown:
        faults.append(f"scrolls sideways: {wide} of {shown} px")
    headings = page.locator("h1").count()
    if headings != 1:
        faults.append(f"{headings} main headings")
    faults += page.evaluate(ACCESS)
    if "None" in page.locator("main").inner_text().split():
        faults.append("shows None")
    return faults
