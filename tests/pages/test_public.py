from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from app import config as configuration
from app import health
from app.accounts import demo
from app.accounts.models import Role, User
from app.bots.models import BotMetrics, BotState
from app.db import db, utc_now
from app.extensions import redis_client
from app.faq import service as faq
from app.pages import routes, showcase
from app.subscriptions import service as subscriptions
from app.transactions import transaction
from tests import factories
from tests.client import Client
from tests.factories import make_user

# Nothing listens there.
AWAY = Redis(port=9, retry=Retry(NoBackoff(), 0))
LANGUAGES = ("en", "ru", "pt-BR")
PAGES = ("/", "/pricing", "/legal/risk", "/legal/terms", "/legal/privacy", "/faq")


@pytest.fixture(autouse=True)
def content(database: None) -> None:
    with transaction():
        # A fresh installation would lead to its set-up.
        make_user(Role.ADMIN)
        subscriptions.seed_plans()
        faq.seed_faq()


@pytest.fixture
def set_config(app: Flask) -> Iterator[Callable[..., None]]:
    """Change the configuration for one test."""
    before = configuration.current_config()

    def change(**values: object) -> None:
        configuration.use_config(replace(before, **values))  # type: ignore[arg-type]

    yield change
    configuration.use_config(before)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_public_pages_stand_in_every_language_without_inline_code(
    client: Client, path: str, language: str
) -> None:
    answer = client.get(path, headers={"Accept-Language": language})
    assert answer.status_code == 200
    assert f'<html lang="{language}"' in answer.text
    for inline in (" style=", " onclick=", "javascript:", "<style"):
        assert inline not in answer.text
    assert answer.text.count("<h1") == 1


def test_the_home_page_says_what_it_is_costs_and_risks(client: Client) -> None:
    page = client.get("/").text
    for text in ("29.00\u00a0USD", "You can lose all the money", "What is a grid bot?"):
        assert text in page
    for link in ('href="/register"', 'href="/legal/risk"', 'href="/pricing"', 'action="/language"'):
        assert link in page


@pytest.mark.parametrize("page", ["nothing", "../../etc/passwd", "%00", "x" * 3_000])
def test_unknown_legal_pages_are_not_found(client: Client, page: str) -> None:
    assert client.get(f"/legal/{page}").status_code == 404


# --- language and theme ---------------------------------------------------------------------------


def test_a_visitor_chooses_a_language_and_comes_back(client: Client) -> None:
    answer = client.post_form("/language", {"language": "ru", "next": "/pricing"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/pricing")
    assert '<html lang="ru"' in client.get("/pricing", headers={"Accept-Language": "en"}).text


def test_a_person_keeps_the_language_in_the_profile(login_as: Callable[[User], Client]) -> None:
    with transaction():
        user = make_user()
    login_as(user).post_form("/language", {"language": "pt_BR"})
    login_as(user).post_form("/theme", {"theme": "dark"})
    page = login_as(user).get("/pricing").text
    assert '<html lang="pt-BR"' in page and 'data-theme-choice="dark"' in page


def test_a_visitor_chooses_the_theme(client: Client) -> None:
    client.post_form("/theme", {"theme": "dark", "next": "/faq"})
    assert 'data-theme-choice="dark"' in client.get("/").text


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)",
     "/a\r\nSet-Cookie: x=1", "", "x" * 5_000, "\x00"],
)  # fmt: skip
def test_the_way_back_never_leads_elsewhere(client: Client, target: str) -> None:
    for path, data in (("/language", {"language": "en"}), ("/theme", {"theme": "light"})):
        answer = client.post_form(path, {**data, "next": target})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")


@pytest.mark.parametrize("value", ["", "xx", "EN", "en\x00", "../en", "😀" * 1_000])
def test_unknown_languages_and_themes_are_refused(client: Client, value: str) -> None:
    for path, name in (("/language", "language"), ("/theme", "theme")):
        answer = client.post_form(path, {name: value})
        assert answer.status_code == 400
        assert not answer.headers.getlist("Set-Cookie") or name not in str(
            answer.headers.getlist("Set-Cookie")
        )


def test_language_and_theme_need_the_token(client: Client) -> None:
    assert client.post("/language", data={"language": "ru"}).status_code == 400
    assert client.post("/theme", data={"theme": "dark"}).status_code == 400


# --- health ---------------------------------------------------------------------------------------


@pytest.fixture
def fresh_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_serving", routes._Serving())


def test_healthz_is_ok_while_the_servers_answer(client: Client, fresh_answer: None) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert "Set-Cookie" not in answer.headers


def test_healthz_says_503_without_details_when_redis_is_away(
    client: Client, fresh_answer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "_client", AWAY)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (503, "unavailable\n")


def test_healthz_asks_the_servers_at_most_once_a_second(
    client: Client, fresh_answer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    is_serving = health.is_serving

    def counted() -> bool:
        asked.append(1)
        return is_serving()

    monkeypatch.setattr(health, "is_serving", counted)
    for _ in range(20):
        assert client.get("/healthz").status_code == 200
    assert 1 <= len(asked) <= 3


def test_pages_without_a_session_stand_while_redis_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RedisConnectionError):
        AWAY.ping()
    monkeypatch.setattr(redis_client, "_client", AWAY)
    assert client.get("/legal/risk").status_code == 200
    assert client.get("/pricing").status_code == 200


# --- caught mails ---------------------------------------------------------------------------------


def test_caught_mails_are_shown_in_development_only(
    client: Client, set_config: Callable[..., None]
) -> None:
    for environment, status in (("testing", 404), ("production", 404), ("development", 200)):
        set_config(environment=environment)
        assert client.get("/dev/mail").status_code == status


def test_a_caught_mail_shows_its_code(client: Client, set_config: Callable[..., None]) -> None:
    set_config(environment="development", smtp_url=None)
    from app.notifications import queries, service

    with transaction():
        user = make_user(confirmed=False)
        service.send_mail(user, "confirm_email", code="123456", minutes=10)
    from app.notifications.models import OutboxMessage

    for message in db.session.query(OutboxMessage):
        message.state = "caught"
    db.session.commit()
    assert len(queries.caught_mails()) == 1
    page = client.get("/dev/mail").text
    assert "123456" in page and user.email in page


# --- the demo bot ---------------------------------------------------------------------------------


def make_demo_bot() -> None:
    user = make_user()
    user.email = demo.CUSTOMER.email
    bot = factories.make_bot(user=user, market=factories.make_market())
    bot.name = "<b>a visitor's words</b>"
    bot.state, bot.mode, bot.currency = BotState.ACTIVE.value, "paper", "USDT"
    bot.started_at = utc_now() - timedelta(hours=1)
    db.session.merge(
        BotMetrics(
            bot_id=bot.id,
            deposited=Decimal(1_000),
            quote=Decimal(400),
            base=Decimal("0.0101"),
            base_cost=Decimal(600),
            grid_profit=Decimal("1.5"),
            matched_trades=3,
            hold_base=Decimal("0.0166"),
            updated_at=utc_now(),
        )
    )


def test_without_a_running_demo_bot_the_home_page_shows_none(
    client: Client, set_config: Callable[..., None]
) -> None:
    set_config(demo=True)
    assert "paper bot that runs here" not in client.get("/").text


def test_the_demo_bot_shows_total_first_and_its_parts_but_not_its_name(
    client: Client, set_config: Callable[..., None]
) -> None:
    set_config(demo=True)
    with transaction():
        make_demo_bot()
    shown = showcase.running_bot()
    assert shown is not None
    figures = shown.figures
    assert figures.total == Decimal(400) + Decimal("0.0101") * 60_000 - 1_000
    assert figures.total == figures.grid + figures.price_change
    page = client.get("/").text
    assert "BTC/USDT" in page and "+6.00\u00a0USDT" in page and "+1.50\u00a0USDT" in page
    assert "a visitor" not in page


def test_without_demo_nothing_of_it_is_shown(
    client: Client, set_config: Callable[..., None]
) -> None:
    with transaction():
        make_demo_bot()
    set_config(demo=False)
    assert "BTC/USDT" not in client.get("/").text
