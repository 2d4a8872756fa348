import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from unittest.mock import ANY

import pytest
from flask import Flask
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine

from app import config as configuration
from app import health
from app.accounts import demo
from app.accounts.models import Role, User
from app.bots.models import BotState
from app.db import db, utc_now
from app.extensions import redis_client
from app.faq import queries as articles
from app.faq import service as faq
from app.faq.models import FaqArticle, FaqText
from app.markets import queries as markets
from app.markets.models import CandleRow, MarketRow
from app.pages import showcase
from app.pages.exposition import Metric, render
from app.queues import QueueName, enqueue_once
from app.subscriptions import queries as plans
from app.subscriptions import service as subscriptions
from app.transactions import transaction
from tests import factories
from tests.client import Client
from tests.conftest import MASTER_KEYS, SECRET_KEY, new_client
from tests.factories import make_user
from tests.long import few

Login = Callable[[User], Client]
TOKEN = "collector-0123456789"
PUBLIC_PAGES = ("/", "/pricing", "/legal/risk", "/faq", "/faq/what-is-a-grid", "/login")
CABINET_PAGES = (
    "/dashboard", "/bots", "/bots/new", "/exchanges", "/trades", "/subscriptions", "/profile",
    "/settings", "/faq", "/pricing",
)  # fmt: skip
SAMPLE = re.compile(r'^(botyard_[a-z_]+)(?:\{((?:[a-z]+="[^"\\\n]*",?)+)\})? (-?[0-9.e+-]+)$')


@pytest.fixture(autouse=True)
def content(database: None) -> None:
    with transaction():
        # A fresh installation would lead to its set-up.
        make_user(Role.ADMIN)
        subscriptions.seed_plans()
        faq.seed_faq()


@pytest.fixture(autouse=True)
def config(app: Flask) -> Iterator[None]:
    before = configuration.current_config()
    configuration.use_config(replace(before, metrics_token=TOKEN, demo=True))
    yield
    configuration.use_config(before)


def ask(client: Client, given: str = f"Bearer {TOKEN}") -> str:
    answer = client.get("/metrics", headers={"Authorization": given})
    assert answer.status_code == 200
    return answer.text


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return the samples by metric and labels; every line must be as the format has it."""
    found: dict[tuple[str, str], float] = {}
    for line in text.splitlines():
        if line.startswith("# HELP ") or line.startswith("# TYPE "):
            continue
        match = SAMPLE.match(line)
        assert match, line
        key = (match[1], match[2] or "")
        assert key not in found
        found[key] = float(match[3])
    return found


# --- who may see it -------------------------------------------------------------------------------


def test_for_visitors_and_customers_there_is_no_such_page(client: Client, login_as: Login) -> None:
    with transaction():
        customer = make_user()
    for one in (client, login_as(customer)):
        assert one.get("/metrics").status_code == 404


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.MANAGER, Role.ADMIN])
def test_staff_who_may_see_the_health_page_may_see_the_figures(login_as: Login, role: Role) -> None:
    with transaction():
        person = make_user(role)
    answer = login_as(person).get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_collector_with_the_token_needs_no_session(client: Client, scheme: str) -> None:
    answer = client.get("/metrics", headers={"Authorization": f"{scheme} {TOKEN}"})
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "given",
    few(["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}",
     f"Bearer {TOKEN}x",
     f"Bearer {TOKEN.upper()}", "Bearer \xe9\xff", f"Bearer {TOKEN} {TOKEN}",
     "Bearer " + "x" * 5_000, "Bearer None"], 3),
)  # fmt: skip
def test_any_other_token_opens_nothing(client: Client, given: str) -> None:
    assert client.get("/metrics", headers={"Authorization": given}).status_code == 404


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Bearer None", f"Bearer {TOKEN}"])
def test_without_a_token_of_the_operator_no_token_opens(client: Client, given: str) -> None:
    configuration.use_config(replace(configuration.current_config(), metrics_token=None))
    assert client.get("/metrics", headers={"Authorization": given}).status_code == 404


def test_the_token_in_the_address_opens_nothing(client: Client) -> None:
    assert client.get(f"/metrics?token={TOKEN}").status_code == 404


# --- what it shows --------------------------------------------------------------------------------


def test_cache_hits_are_counted(client: Client) -> None:
    client.get("/pricing")
    before = samples(ask(client))
    assert before["botyard_cache_misses_total", 'name="price_list"'] == 1
    # The page looks at the prices more than once: only its first look found nothing.
    looks = before["botyard_cache_hits_total", 'name="price_list"'] + 1
    for _ in range(3):
        client.get("/pricing")
    after = samples(ask(client))
    for name, hits in (("price_list", 4 * looks - 1), ("faq_articles", 3)):
        assert after["botyard_cache_misses_total", f'name="{name}"'] == 1
        assert after["botyard_cache_hits_total", f'name="{name}"'] == hits


def test_services_queues_workers_and_bots_are_counted(client: Client) -> None:
    with transaction():
        user, market = make_user(), factories.make_market()
        for state, mode in ((BotState.ACTIVE, "paper"), (BotState.ACTIVE, "paper"),
                            (BotState.ERROR, "live")):  # fmt: skip
            factories.make_bot(user, market=market, state=state.value, mode=mode)
        factories.make_bot(user, market=market, deleted_at=utc_now())
    health.beat("feed")
    enqueue_once(QueueName.MESSAGES, "builtins.print", key="one")
    found = samples(ask(client))
    assert found["botyard_up", 'service="database"'] == 1
    assert found["botyard_up", 'service="redis"'] == 1
    assert found["botyard_up", 'service="feed"'] == 1
    assert found["botyard_up", 'service="scheduler"'] == 0
    assert found["botyard_queue_waiting", 'queue="messages"'] == 1
    assert found["botyard_queue_waiting", 'queue="ticks"'] == 0
    assert found["botyard_queue_failed", 'queue="messages"'] == 0
    assert 0 <= found["botyard_queue_oldest_seconds", 'queue="messages"'] < 30
    assert found["botyard_worker_up", 'queue="ticks"'] == 0
    assert found["botyard_bots", 'state="active",mode="paper"'] == 2
    assert found["botyard_bots", 'state="error",mode="live"'] == 1
    assert ("botyard_bots", 'state="stopped",mode="paper"') not in found
    assert 0 <= found["botyard_exchange_price_age_seconds", 'exchange="bybit"'] < 30


def test_a_worker_is_counted_for_each_of_its_queues(client: Client, redis_url: str) -> None:
    from rq import SimpleWorker
    from rq.serializers import JSONSerializer

    from app.queues import queue

    with Redis.from_url(redis_url) as connection:
        queues = [queue(QueueName.MESSAGES), queue(QueueName.REPORTS)]
        worker = SimpleWorker(queues, connection=connection, serializer=JSONSerializer)
        worker.register_birth()  # type: ignore[no-untyped-call]
        try:
            text = ask(client)
        finally:
            worker.register_death()  # type: ignore[no-untyped-call]
    found = samples(text)
    for name, count in (("messages", 1), ("reports", 1), ("ticks", 0)):
        assert found["botyard_worker_up", f'queue="{name}"'] == count
        assert found["botyard_workers", f'queue="{name}"'] == count
    assert worker.name not in text


def test_no_secret_and_no_person_stands_in_the_text(client: Client, redis_url: str) -> None:
    with transaction():
        user = make_user()
        bot = factories.make_bot(user)
        bot.name = "a secret plan"
    client.get("/")
    text = ask(client)
    secrets = (TOKEN, SECRET_KEY, MASTER_KEYS, redis_url, "postgresql", "password",
               user.email, bot.name, "@")  # fmt: skip
    for secret in secrets:
        assert secret not in text


def test_with_redis_away_a_collector_still_learns_that_it_is(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "_client", Redis(port=9, retry=Retry(NoBackoff(), 0)))
    found = samples(ask(client))
    assert found["botyard_up", 'service="redis"'] == 0
    assert found["botyard_up", 'service="database"'] == 1
    assert not any(name.startswith(("botyard_cache", "botyard_queue")) for name, _ in found)


def test_with_the_database_away_a_collector_still_learns_that_it_is(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = create_engine(
        "postgresql+psycopg://nobody:hunter2@127.0.0.1:9/none", connect_args={"connect_timeout": 1}
    )
    with monkeypatch.context() as patch:
        patch.setattr(type(db), "engine", property(lambda self: away))
        text = ask(client)
    found = samples(text)
    assert found["botyard_up", 'service="database"'] == 0
    assert found["botyard_up", 'service="redis"'] == 1
    assert not any(name == "botyard_bots" for name, _ in found)
    assert "hunter2" not in text


def test_labels_are_escaped() -> None:
    metric = Metric("x", "gauge", "Help.", (({"name": 'a"b\\c\nd'}, 1), ({}, 2)))
    assert render([metric]) == '# HELP x Help.\n# TYPE x gauge\nx{name="a\\"b\\\\c\\nd"} 1\nx 2\n'


# --- pages and the cache --------------------------------------------------------------------------


def make_demo_bot() -> None:
    user = make_user()
    user.email = demo.CUSTOMER.email
    bot = factories.make_bot(user, state="active", started_at=utc_now())
    db.session.add(
        CandleRow(
            market_id=bot.market_id,
            timeframe="1h",
            opened_at=utc_now().replace(minute=0, second=0, microsecond=0),
            open=Decimal(1),
            high=Decimal(2),
            low=Decimal(1),
            close=Decimal("1.000000000000000001"),
            volume=Decimal(3),
        )
    )


def walk(app: Flask, person: Client) -> None:
    visitor = new_client(app)
    for path in PUBLIC_PAGES:
        assert visitor.get(path).status_code == 200, path
    for path in CABINET_PAGES:
        assert person.get(path).status_code == 200, path


@pytest.mark.long
def test_all_pages_stand_with_a_full_a_flushed_and_a_spoilt_cache(
    app: Flask, login_as: Login, redis_db: Redis
) -> None:
    with transaction():
        make_demo_bot()
        customer = make_user()
        factories.make_account(customer)
    person = login_as(customer)
    walk(app, person)
    walk(app, person)
    keys = redis_db.keys("cache*")
    assert {b"cache:price_list:USD", b"cache:faq_articles:en", b"cache:showcase:demo"} <= set(keys)
    redis_db.delete(*keys)
    walk(app, person)
    for key in redis_db.keys("cache:*:*"):
        redis_db.set(key, b'{"generation": "", "value": [{}]}')
    walk(app, person)


def test_kept_answers_are_the_same_as_made_ones(redis_db: Redis) -> None:
    with transaction():
        make_demo_bot()
    pair = db.session.query(MarketRow).one().id

    def read() -> tuple[object, ...]:
        return (
            plans.price_list(),
            showcase.running_bot(),
            markets.day_figures([pair, 999_999]),
            articles.categories("ru"),
            articles.by_slugs(["risk", "fees"], "en"),
        )

    made = read()
    kept = set(redis_db.keys("cache:*:*"))
    assert len(kept) == 5
    assert read() == made
    assert repr(read()) == repr(made)
    assert all(made)
    assert made[2] == {pair: markets.DayFigures(ANY, 3 * Decimal("1.000000000000000001"))}


def test_a_change_of_price_or_plan_shows_at_once(client: Client) -> None:
    assert "29.00\u00a0USD" in client.get("/pricing").text
    with transaction():
        staff = make_user(Role.MANAGER).id
        subscriptions.add_price(staff, "pro", Decimal("31.50"))
    page = client.get("/pricing").text
    assert "31.50\u00a0USD" in page and "29.00\u00a0USD" not in page
    pro = plans.plans_on_offer()[1]
    with transaction():
        subscriptions.change_plan(staff, "pro", replace(pro, name="Sparrow"), visible=True)
    assert "Sparrow" in client.get("/pricing").text


def test_a_coming_price_shows_at_its_moment_though_the_list_is_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    start = utc_now() + timedelta(seconds=10)
    with transaction():
        subscriptions.add_price(None, "pro", Decimal("35.00"), valid_from=start)
    assert "29.00\u00a0USD" in client.get("/pricing").text
    monkeypatch.setattr(plans, "utc_now", lambda: start)
    assert "35.00\u00a0USD" in client.get("/pricing").text


def test_an_article_that_staff_withdraw_or_rewrite_changes_at_once(
    client: Client, login_as: Login
) -> None:
    article = db.session.query(FaqArticle).filter_by(slug="what-is-a-grid").one()
    text = db.session.query(FaqText).filter_by(article_id=article.id, language="en").one()
    assert text.question in client.get("/faq").text
    with transaction():
        support = login_as(make_user(Role.SUPPORT))
    new = {"question": "What is a sparrow?", "answer": text.answer, "keywords": text.keywords}
    assert support.post_form(f"/admin/faq-texts/edit/?id={text.id}", new).status_code == 302
    assert "What is a sparrow?" in client.get("/faq").text
    withdrawn = {"position": str(article.position)}
    assert support.post_form(f"/admin/faq/edit/?id={article.id}", withdrawn).status_code == 302
    assert "What is a sparrow?" not in client.get("/faq").text
