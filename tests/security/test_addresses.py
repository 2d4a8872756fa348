"""ASVS 14.2.1 over a real web server: no address carries what opens something."""

import re
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from requests.adapters import HTTPAdapter
from sqlalchemy import select

from app.accounts import invites
from app.accounts.models import Role, User
from app.bots import sharing
from app.db import db
from app.settings import service as settings
from app.settings.rules import SIGNUP_MODE
from app.transactions import transaction
from tests.accounts.people import app_code, mails, newest_code, turn_factor_on, work_off
from tests.bots.shop import Shop
from tests.factories import make_user
from tests.starting import start

EMAIL = "walker@example.org"
FIRST, SECOND = "thirty-nine-wet-lanterns", "forty-dry-lanterns-in-a-row"
# Every place in a page, a mail or an answer that leads somewhere.
ADDRESSES = re.compile(r"""(?:href|src|action|hx-get|hx-post|data-[\w-]*url)=["']([^"']*)""")
INPUTS = re.compile(r'<input[^>]*type="hidden"[^>]*>')
HIDDEN = re.compile(r'\b(name|value)="([^"]*)"')


class Patient(HTTPAdapter):
    """Waits for no answer without end."""

    def send(self, *args: Any, **more: Any) -> requests.Response:
        return super().send(*args, **{**more, "timeout": 60})


class Browser:
    """A person with a browser: keeps cookies, follows redirects, remembers every address."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.mount(base, Patient())
        self.seen: list[str] = []

    def get(self, path: str) -> str:
        """Open a page."""
        return self._follow(self.session.get(urljoin(self.base, path), allow_redirects=False))

    def post(self, path: str, **form: str) -> str:
        """Send the form of a page with what is hidden in it; a fragment stays in the browser."""
        fields = [HIDDEN.findall(tag) for tag in INPUTS.findall(self.get(path))]
        hidden = {each["name"]: each.get("value", "") for each in map(dict, fields)}
        assert "csrf_token" in hidden, path
        data = {**hidden, **form}
        headers = {"Referer": urljoin(self.base, path.partition("#")[0])}
        place = urljoin(self.base, path.partition("#")[0])
        return self._follow(
            self.session.post(place, data=data, headers=headers, allow_redirects=False)
        )

    def secrets(self) -> list[str]:
        """Return what the cookies hold that open something."""
        opening = {"session", "refresh", "shared"}
        return [str(each.value) for each in self.session.cookies if each.name in opening]

    def _follow(self, answer: requests.Response) -> str:
        assert answer.status_code < 500, answer.url
        place = answer.headers.get("Location")
        if place is not None:
            self.seen.append(place)
            referer = {}
            if answer.headers.get("Referrer-Policy") != "no-referrer":
                referer = {"Referer": answer.url}
            return self._follow(
                self.session.get(urljoin(self.base, place), headers=referer, allow_redirects=False)
            )
        self.seen += ADDRESSES.findall(answer.text)
        return answer.text


@pytest.fixture
def served(
    environment: dict[str, str], database: None, tmp_path: Path
) -> Iterator[tuple[str, Path]]:
    """Run gunicorn with a log of requests; yield its address and that log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base, lines = f"http://127.0.0.1:{port}", tmp_path / "access.log"
    # Request line, referrer, and a header that nobody may choose.
    words = [
        "-m", "gunicorn", "-c", "gunicorn.conf.py", "--access-logfile", str(lines),
        "--access-logformat", "%(r)s | %(U)s %(q)s | %(f)s | %({cookie}i)s", "wsgi:app",
    ]  # fmt: skip
    more = {"PORT": str(port), "WEB_WORKERS": "1", "BASE_URL": base}
    child = start(words, {**environment, **more}, tmp_path / "web.log")
    try:
        deadline = time.monotonic() + 60
        while True:
            assert child.poll() is None, (tmp_path / "web.log").read_text()
            assert time.monotonic() < deadline
            try:
                requests.get(f"{base}/healthz", timeout=2)
                break
            except requests.RequestException:
                time.sleep(0.2)
        yield base, lines
    finally:
        child.terminate()
        child.wait(20)


def test_v14_2_1_no_address_of_a_whole_run_carries_a_token_a_key_or_a_code(
    served: tuple[str, Path],
) -> None:
    base, log_file = served
    shop = Shop.open()
    bot_id = shop.run_bot(97)
    with transaction():
        settings.change(SIGNUP_MODE.name, "invite")
        sharing.share(shop.user_id, bot_id, with_money=False)
        link = sharing.share_of(bot_id)
    assert link is not None
    walker, stranger = Browser(base), Browser(base)
    planted = [
        *register(walker),
        *use_tokens(walker),
        *forget_the_password(stranger),
        *walker.secrets(),
        *stranger.secrets(),
        link.token,
    ]
    # A link that is made to be passed on, and one that leads nowhere.
    assert "AAA/USDT" in stranger.get(f"/shared/{link.token}")
    planted.append(secrets.token_hex(16))
    stranger.get(f"/shared/{planted[-1]}")
    addresses = "\n".join([*walker.seen, *stranger.seen])
    logged = log_file.read_text()
    assert "GET /shared/*** HTTP/1.1" in logged and "POST /reset" in logged
    found = {one for one in planted if one in addresses or one in logged}
    assert found == set(), found
    assert len(planted) >= 14


def register(browser: Browser) -> list[str]:
    """Register by an invitation and confirm the address; return every secret of it."""
    with transaction():
        invitation = invites.make(make_user(Role.ADMIN).id, 1, 7, "")
    browser.post(f"/register#{invitation}", email=EMAIL, password=FIRST, invite=invitation)
    code = newest_code()
    browser.post("/confirm", code=code)
    assert "/logout" in browser.get("/settings")
    db.session.rollback()
    return [invitation, FIRST, code]


def use_tokens(browser: Browser) -> list[str]:
    """Make a token on the page that shows it once, and use one as a program does."""
    page = browser.post(
        "/settings/tokens", password=FIRST, label="Mine", scopes="bots:read", days="30"
    )
    shown = re.findall(r"botyard_[A-Za-z0-9_-]{20,}", page)
    assert shown
    sent = {"Authorization": f"Bearer {shown[0]}"}
    assert requests.get(f"{browser.base}/api/v1/bots", headers=sent, timeout=9).status_code == 200
    return shown


def forget_the_password(browser: Browser) -> list[str]:
    """Change it by the mailed link, then log in with a second factor."""
    user = db.session.scalars(select(User).where(User.email == EMAIL)).one()
    secret = turn_factor_on(user)
    db.session.commit()
    browser.post("/reset", email=EMAIL)
    work_off()
    mailed = re.search(r"(/reset/new)#(\S+)", mails()[0].body)
    assert mailed, mails()[0].body
    browser.post(mailed[0], code=mailed[2], password=SECOND)
    browser.post("/login", email=EMAIL, password=SECOND)
    code = app_code(secret)
    browser.post("/login/code", code=code)
    assert "/logout" in browser.get("/settings")
    return [secret, mailed[2], SECOND, code]
