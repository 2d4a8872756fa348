"""Take pictures of the running product: `python -m dev.screenshots [--all FOLDER]`.

Needs a running `make run` with its demo content, and Chromium. Without --all only the pictures of
the read-me are taken, into docs/images.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from app.accounts.demo import ADMINISTRATOR, CUSTOMER, DemoLogin
from app.config import RUN_FILE, read_env_file

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"desktop": (1280, 900), "phone": (360, 740)}
THEMES = ("light", "dark")
LANGUAGES = ("en", "ru", "pt_BR")
PUBLIC = {
    "home": "/",
    "pricing": "/pricing",
    "faq": "/faq",
    "register": "/register",
    "login": "/login",
}
CABINET = {
    "dashboard": "/dashboard",
    "bots": "/bots",
    "create": "/bots/new",
    "bot": "/bots/1",
    "bot-trades": "/bots/1?tab=trades",
    "bot-levels": "/bots/1?tab=levels",
    "bot-log": "/bots/1?tab=log",
    "bot-settings": "/bots/1?tab=settings",
    "change": "/bots/1/change",
    "money": "/bots/1/money",
    "limits": "/bots/1/limits",
    "tags": "/bots/1/tags",
    "share": "/bots/1/share",
    "stop": "/bots/1/stop",
    "emergency": "/bots/1/emergency",
    "strategies": "/strategies",
    "statistics": "/statistics",
    "trades": "/trades",
    "trade": "/trades/1",
    "markets": "/markets",
    "market": "/markets/1",
    "exchanges": "/exchanges",
    "account": "/exchanges/1",
    "connect": "/exchanges/new",
    "connect-keys": "/exchanges/new?exchange=bybit",
    "connect-paper": "/exchanges/new?exchange=paper",
    "plan": "/subscriptions",
    "profile": "/profile",
    "settings": "/settings",
    "sessions": "/profile/sessions",
    "tokens": "/settings/tokens",
}
DESK = {
    "admin": "/admin/",
    "admin-users": "/admin/users/",
    "admin-bots": "/admin/bots/",
    "admin-orders": "/admin/orders/",
    "admin-unclear-orders": "/admin/unclear-orders/",
    "admin-emergency": "/admin/emergency/",
    "admin-queues": "/admin/queues/",
    "admin-health": "/admin/health/",
    "admin-statistics": "/admin/statistics/",
    "admin-settings": "/admin/settings/",
}
README = {
    ("bot", "desktop", "light", "en"),
    ("create", "desktop", "light", "en"),
    ("dashboard", "phone", "light", "ru"),
    ("dashboard", "desktop", "dark", "pt_BR"),
}
# Containers and root can't give Chromium its own sandbox.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


@dataclass(frozen=True, slots=True)
class Look:
    """One way in which all pages are drawn."""

    size: str
    theme: str
    language: str


def main() -> int:
    """Take the pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", metavar="FOLDER", type=Path)
    parser.add_argument("--only", help="names of pages, separated by commas")
    options = parser.parse_args()
    address = os.environ.get("BASE_URL") or read_env_file(RUN_FILE).get("BASE_URL")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not address or not chromium:
        print("This needs a running `make run` and Chromium.", file=sys.stderr)
        return 1
    folder = options.all or ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = set(options.only.split(",")) if options.only else None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        for look in looks():
            take(browser, address, look, folder, everything=bool(options.all), wanted=wanted)
        browser.close()
    return 0


def looks() -> Iterator[Look]:
    """Return every combination of size, theme and language."""
    return (Look(*parts) for parts in product(SIZES, THEMES, LANGUAGES))


def take(
    browser: Browser,
    address: str,
    look: Look,
    folder: Path,
    *,
    everything: bool,
    wanted: set[str] | None,
) -> None:
    """Take the pictures of one look."""
    groups: tuple[tuple[dict[str, str], DemoLogin | None], ...] = (
        (PUBLIC, None),
        (CABINET, CUSTOMER),
        (DESK, ADMINISTRATOR),
    )
    for pages, login in groups:
        chosen = {
            name: path
            for name, path in pages.items()
            if (everything or (name, look.size, look.theme, look.language) in README)
            and (wanted is None or name in wanted)
        }
        if not chosen:
            continue
        width, height = SIZES[look.size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, has_touch=look.size == "phone"
        )
        context.add_cookies(
            [
                {"name": "language", "value": look.language, "url": address},
                {"name": "theme", "value": look.theme, "url": address},
            ]
        )
        page = context.new_page()
        problems: list[str] = []
        listen(page, problems)
        if login is not None:
            sign_in(page, address, login, look)
        for name, path in chosen.items():
            picture(
                page,
                address + path,
                folder / f"{name}-{look.size}-{look.theme}-{look.language}.png",
                whole=everything,
            )
            for problem in problems:
                print(f"{name} {look}: {problem}", file=sys.stderr)
            problems.clear()
        context.close()


def listen(page: Page, problems: list[str]) -> None:
    """Gather what the page complains about."""
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)


def sign_in(page: Page, address: str, login: DemoLogin, look: Look) -> None:
    """Log in and choose language and theme, as the person would."""
    page.goto(f"{address}/login")
    page.fill("input[name=email]", login.email)
    page.fill("input[name=password]", login.password)
    page.click("main form button[type=submit], main form button:not([type])")
    page.wait_for_url(lambda url: not url.endswith("/login"))
    if page.url.endswith("/login/code"):
        page.fill("input[name=code]", second_code())
        page.click("main form button[type=submit]")
        page.wait_for_url(lambda url: "/login" not in url)
    for path, field, value in (
        ("language", "language", look.language),
        ("theme", "theme", look.theme),
    ):
        token = page.get_attribute("meta[name=csrf-token]", "content")
        page.request.post(
            f"{address}/{path}",
            form={field: value, "csrf_token": token or "", "next": "/dashboard"},
        )
        page.goto(f"{address}/dashboard")


def second_code() -> str:
    """Return the administrator's code, waiting for the next when the last one was just used."""
    command = [sys.executable, "-m", "flask", "demo", "code"]
    for _ in range(15):
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode == 0:
            return done.stdout.strip()
        time.sleep(3)
    raise SystemExit("no code for the administrator: flask demo code")


def picture(page: Page, url: str, file: Path, *, whole: bool) -> None:
    """Open a page, wait until charts and fragments are there, and keep its picture."""
    page.goto(url)
    page.wait_for_load_state("load")
    page.wait_for_timeout(900)
    page.screenshot(path=file, full_page=whole)
    width = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    if width > 0:
        print(f"{file.name}: {width} px wider than the screen", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
