"""From the first visit to a stopped bot whose profit equals the books of the venue."""

import json
import re
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import services
from tests.conftest import MASTER_KEYS, SECRET_KEY, shared_folder
from tests.journeys.prices import lively_candles
from tests.journeys.product import Product, running_product
from tests.long import twin
from tests.services import Addresses

pytestmark = pytest.mark.journey

FILL_TIMEOUT_MS = 180_000
PASSWORD = "a long sentence for a journey"


@pytest.fixture
def variables(addresses: Addresses, worker_number: int, tmp_path: Path) -> dict[str, str]:
    # One database a journey; the folder's name is a different one for each.
    name = "".join(filter(str.isalnum, tmp_path.name))[-30:].lower()
    database = services.make_database(addresses, f"{addresses.run}_{worker_number}_{name}")
    return {
        "DATABASE_URL": database,
        "REDIS_URL": addresses.redis_database(8 + worker_number % 8),
        "SECRET_KEY": SECRET_KEY,
        "BOTYARD_MASTER_KEYS": MASTER_KEYS,
        "MARKET_REPLAY_SPEED": "600",
    }


@twin
def test_a_grid_bot_on_made_prices(
    browser: Browser, variables: dict[str, str], tmp_path: Path
) -> None:
    recording = lively_candles(tmp_path / "bybit-BTCUSDT-5m.csv")
    with running_product({**variables, "MARKET_REPLAY": str(recording)}, tmp_path) as product:
        walk(browser, product)


@pytest.mark.shared
def test_a_grid_bot_on_recorded_bybit_prices(
    browser: Browser, variables: dict[str, str], tmp_path: Path
) -> None:
    recording = shared_folder() / "data" / "candles" / "bybit-BTCUSDT-5m.csv.gz"
    if not recording.exists():
        pytest.skip(f"{recording} is absent")
    with running_product({**variables, "MARKET_REPLAY": str(recording)}, tmp_path) as product:
        walk(browser, product)


def walk(browser: Browser, product: Product) -> None:
    """Live the whole story of a new customer."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    register(page, product)
    open_paper_account(page, product)
    create_and_start(page, product)
    wait_for_a_closed_trade(page)
    check_narrow_pages(page, product)
    stop(page, product)
    check_books(product)
    assert problems == []
    assert PASSWORD not in product.log_text()
    assert "Traceback" not in product.log_text(), product.log_text()
    context.close()


def register(page: Page, product: Product) -> None:
    page.goto(f"{product.address}/register")
    page.get_by_label("E-mail").fill("trader@example.org")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.locator("main form button").last.click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    mails = page.context.new_page()
    mails.goto(f"{product.address}/dev/mail")
    expect(mails.get_by_text("trader@example.org").first).to_be_visible()
    found = re.search(r"\b(\d{6})\b", mails.locator("pre").first.inner_text())
    assert found is not None
    mails.close()
    page.locator("input[name=code]").fill(found[1])
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/dashboard")


def open_paper_account(page: Page, product: Product) -> None:
    page.goto(f"{product.address}/exchanges/new?exchange=paper")
    page.locator("select[name=exchange]").select_option("bybit")
    page.locator("input[name=balance]").fill("10000")
    page.get_by_role("button", name="Open the paper account").click()
    expect(page.get_by_text(re.compile("10,000")).first).to_be_visible()


def create_and_start(page: Page, product: Product) -> None:
    page.goto(f"{product.address}/bots/new")
    price = last_price(product)
    # Wide enough that the price stays inside, with steps as fine as the fees allow: from each
    # candle of the recording that may be the first here two trades close within 100 candles (50 s).
    page.locator("input[name=lower]").fill(f"{price * Decimal('0.95'):.1f}")
    page.locator("input[name=upper]").fill(f"{price * Decimal('1.05'):.1f}")
    page.locator("input[name=grids]").fill("40")
    page.locator("input[name=investment]").fill("4000")
    # The preview follows what was typed, without a reload.
    expect(page.locator("#bot-preview")).to_contain_text("Profit per grid")
    expect(page.locator("#bot-summary")).to_contain_text("4,000.00 USDT")
    page.get_by_role("button", name="Review").click()
    start = page.get_by_role("button", name="Start with 4,000.00 USDT")
    expect(start).to_be_visible()
    # It is asked over the form, which stays in sight.
    expect(page.get_by_role("dialog")).to_contain_text("What happens now")
    assert page.url.endswith("/bots/new")
    start.click()
    page.wait_for_url(re.compile(r"/bots/\d+$"))


def last_price(product: Product) -> Decimal:
    with psycopg.connect(plain(product.environment["DATABASE_URL"])) as connection:
        row = connection.execute(
            "select last_price from markets where exchange = 'bybit' and symbol = 'BTC/USDT'"
        ).fetchone()
    assert row is not None
    return Decimal(row[0])


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def wait_for_a_closed_trade(page: Page) -> None:
    """The page changes by itself: nobody reloads it here."""
    page.evaluate("window.neverReloaded = true")
    expect(page.locator("main")).to_contain_text("Active", timeout=30_000)
    matched = page.locator("dt", has_text="Matched trades").locator(
        "xpath=following-sibling::dd[1]"
    )
    expect(matched).to_have_text(re.compile(r"24 h: ([2-9]|\d\d)"), timeout=FILL_TIMEOUT_MS)
    assert page.evaluate("window.neverReloaded === true")


def check_narrow_pages(page: Page, product: Product) -> None:
    """At 360 px, in three languages, no page is wider than the screen and Stop is in reach."""
    bot = page.url
    page.set_viewport_size({"width": 360, "height": 740})
    for language in ("ru", "pt_BR", "en"):
        token = page.get_attribute("meta[name=csrf-token]", "content")
        page.request.post(
            f"{product.address}/language",
            form={"language": language, "csrf_token": token or "", "next": "/dashboard"},
        )
        for path in ("/dashboard", "/bots", "/bots/new", "/trades", "/exchanges", "/profile"):
            page.goto(product.address + path)
            assert_no_sideways_scroll(page)
        page.goto(bot)
        assert_no_sideways_scroll(page)
        expect(page.locator("a[href$='/stop']").first).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(bot)


def assert_no_sideways_scroll(page: Page) -> None:
    spill = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert spill <= 0, f"{page.url} is {spill} px too wide"


def stop(page: Page, product: Product) -> None:
    page.goto(f"{page.url}/stop")
    page.locator("input[name=how][value=keep]").check()
    page.locator("main form button").last.click()
    page.wait_for_url(re.compile(r"/bots/\d+$"))
    expect(page.locator("main")).to_contain_text("Stopped", timeout=30_000)


def check_books(product: Product) -> None:
    """Our books and the venue's were kept apart: they must tell the same to the last unit."""
    (bot,) = json.loads(product.flask("bots", "list", "--json"))
    assert bot["state"] == "stopped"
    assert bot["orders"]["open"] == 0
    assert bot["fills"] >= 3
    profit = {name: Decimal(value) for name, value in bot["profit"].items()}
    assert profit["total"] == profit["grid"] + profit["price_change"] + profit["funding"]
    with psycopg.connect(plain(product.environment["DATABASE_URL"])) as connection:
        balances = connection.execute("select currency, free + locked from paper_balances")
        venue: dict[str, Decimal] = dict(balances.fetchall())
        ours = connection.execute(
            "select 10000 - deposited + withdrawn + quote, base from bot_metrics"
        ).fetchone()
        told = connection.execute("select count(*) from paper_fills").fetchone()
        open_at_venue = connection.execute(
            "select count(*) from paper_orders where status = 'open'"
        ).fetchone()
    assert ours == (venue["USDT"], venue["BTC"])
    assert told == (bot["fills"],)
    assert open_at_venue == (0,)
